"""What is measured: a case has variants, and a variant gives its figures one round at a time."""

__all__ = ["Case", "Figures", "Measured", "Setting", "Variant"]

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from benchmarks.peer import Peers

T = TypeVar("T")
Figures = Mapping[str, float]  # what a round gave, by unit; the case's own unit is among them


class Variant(NamedTuple):
    """One way to do the work of a case. `measure` runs one round of it and returns what it took, in the case's unit."""

    name: str
    measure: Callable[[], Awaitable[float | Figures]]


class Case(NamedTuple):
    """The same work done in several ways, which are measured in turn.

    key: how targets find it. base: the variant that ratios are to; None for none. rounds: instead of the setting's.
    absent: who takes no part, and why. warm: whether a first round is dropped.
    """

    key: str
    title: str
    unit: str
    variants: Sequence[Variant]
    base: str | None = None
    rounds: int | None = None
    absent: Mapping[str, str] = {}
    warm: bool = True


class Setting(NamedTuple):
    """How much is measured. patience: seconds after which a variant has had rounds enough. folder: for files."""

    quick: bool
    rounds: int
    patience: float
    folder: Path
    peers: "Peers"

    def of(self, quick: T, full: T) -> T:
        """Return what fits the run."""
        return quick if self.quick else full


class Measured(NamedTuple):
    """What came of a case: for each variant its figures of every round, None where a round was left out.

    absent, failed: who took no part and who could not, and why. seconds: for the whole of it.
    """

    case: Case
    samples: Mapping[str, Sequence[Figures | None]]
    absent: Mapping[str, str]
    failed: Mapping[str, str]
    seconds: float

    def median(self, variant: str, unit: str | None = None) -> float | None:
        """Return the median of a variant's figure, by default of the case's unit."""
        figures = [sample[unit or self.case.unit] for sample in self.samples.get(variant, ()) if sample]
        return median(figures) if figures else None

    def best(self, variant: str) -> float | None:
        """Return the lowest figure of a variant, in the case's unit: what it took when nobody disturbed it."""
        return min((sample[self.case.unit] for sample in self.samples.get(variant, ()) if sample), default=None)

    def ratio(self, variant: str, to: str, unit: str | None = None) -> float | None:
        """Return the median of the ratios of each round, which hold on a noisy machine where the figures do not."""
        unit = unit or self.case.unit
        rounds = zip(self.samples.get(variant, ()), self.samples.get(to, ()), strict=False)
        ratios = [own[unit] / other[unit] for own, other in rounds if own and other and other[unit]]
        return median(ratios) if ratios else None
