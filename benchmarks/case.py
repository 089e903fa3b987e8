"""What is measured: a case has variants, and a variant gives its figures one round at a time."""

__all__ = ["Case", "Figures", "Measured", "Plan", "Setting", "Variant"]

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from benchmarks.peer import Peer

T = TypeVar("T")
Figures = Mapping[str, float]  # what a round gave, by unit; the case's own unit is among them


class Variant(NamedTuple):
    """One way to do the work of a case. `measure` runs one round of it and returns what it took, in the case's unit."""

    name: str
    measure: Callable[[], Awaitable[float | Figures]]


class Case(NamedTuple):
    """The same work done in several ways, which are measured in turn.

    base: the variant that ratios are to; None for none. rounds, patience: instead of the setting's. absent: who takes
    no part, and why. warm: whether a first round is dropped.
    """

    title: str
    unit: str
    variants: Sequence[Variant]
    base: str | None = None
    rounds: int | None = None
    patience: float | None = None
    absent: Mapping[str, str] = {}
    warm: bool = True


class Plan(NamedTuple):
    """A case that can be made. key: how targets find it. open: makes it, and keeps open what it needs until it is left.

    peers: those that are to be running by then. Nothing else is made before, for each case is made and measured in a
    process of its own.
    """

    key: str
    open: Callable[[], AbstractAsyncContextManager[Case]]
    peers: Sequence[str] = ()


class Setting(NamedTuple):
    """How much is measured. patience: seconds after which a variant has had rounds enough. folder: for files.

    python_of_peers: what runs them. peers: those that are running.
    """

    quick: bool
    rounds: int
    patience: float
    folder: Path
    python_of_peers: Path
    peers: Mapping[str, "Peer"]

    def of(self, quick: T, full: T) -> T:
        """Return what fits the run."""
        return quick if self.quick else full


class Measured(NamedTuple):
    """What came of a case: for each variant its figures of every round, None where a round was left out.

    absent, failed: who took no part and who could not, and why. seconds: for the whole of it.
    """

    title: str
    unit: str
    base: str | None
    samples: Mapping[str, Sequence[Figures | None]]
    absent: Mapping[str, str]
    failed: Mapping[str, str]
    seconds: float = 0.0

    def median(self, variant: str, unit: str | None = None) -> float | None:
        """Return the median of a variant's figure, by default of the case's unit."""
        figures = [sample[unit or self.unit] for sample in self.samples.get(variant, ()) if sample]
        return median(figures) if figures else None

    def best(self, variant: str) -> float | None:
        """Return the lowest figure of a variant, in the case's unit: what it took when nobody disturbed it."""
        return min((sample[self.unit] for sample in self.samples.get(variant, ()) if sample), default=None)

    def ratio(self, variant: str, to: str, unit: str | None = None) -> float | None:
        """Return the median of the ratios of each round, which hold on a noisy machine where the figures do not."""
        return self._in_rounds(variant, to, unit or self.unit, lambda own, other: own / other)

    def share(self, variant: str, beyond: str, unit: str) -> float | None:
        """Return how much of a variant's figure is beyond another's, in percent of its own: a median of the rounds."""
        return self._in_rounds(variant, beyond, unit, lambda own, other: (own - other) / own * 100)

    def _in_rounds(self, variant: str, other: str, unit: str, figure: Callable[[float, float], float]) -> float | None:
        rounds = zip(self.samples.get(variant, ()), self.samples.get(other, ()), strict=False)
        figures = [figure(own[unit], theirs[unit]) for own, theirs in rounds if own and theirs and theirs[unit]]
        return median(figures) if figures else None
