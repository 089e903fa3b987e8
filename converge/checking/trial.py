"""A trial is one way to run a job again: in which order, with which effects in another form, or with a crash.

Nothing here may change what a sound job comes to: an order is any that its schedule allows, and merging an effect in
parts, or twice, is what a union of sets does not notice.
"""

__all__ = ["Act", "Rerun", "Starving", "Trial", "TrialMachine", "singles"]

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from converge.checking.watched import Call
from converge.context import Context
from converge.effect import Effect, Emission
from converge.fact import Invalidation
from converge.machine import Machine
from converge.merge import NOTHING, Growth, merge
from converge.progress import Progress
from converge.schedule import Ready, Schedule
from converge.stop import Stop
from converge.view import UNRESTRICTED, View


class Trial(NamedTuple):
    """One way to run a job again: of which family, and what is particular about it.

    agent: who is starved or preferred; crash: the commit after which the process is gone; stream: under the stream
    schedule, whatever the job ran under; emptied: with what agents share and change empty at the start.
    """

    family: str
    agent: str = ""
    crash: int = 0
    stream: bool = False
    emptied: bool = False

    def __str__(self) -> str:
        said = f"{self.family} {self.crash or self.agent}".strip()
        return f"stream: {said}" if self.stream else f"{said}, as if never run before" if self.emptied else said


class Act(NamedTuple):
    """One activation as it went: what it read, what it asked of its view, what it emitted on what evidence.

    `error` is what it failed with, where it had not failed before.
    """

    agent: str
    round: int
    calls: Sequence[Call]
    emissions: tuple[Emission, ...] = ()
    error: BaseException | None = None


class Rerun(NamedTuple):
    """The end of a trial. `stop` is None where it was given up because of the last of `acts`."""

    trial: Trial
    context: Context
    acts: Sequence[Act]
    stop: Stop | None
    commits: int

    @property
    def broken(self) -> Act | None:
        """The activation that ended it early."""
        return self.acts[-1] if self.acts and self.acts[-1].error is not None else None

    @property
    def view(self) -> View:
        """Everything it came to know."""
        return View(self.context, self.context.highest, UNRESTRICTED)


Form = Callable[[Effect], Iterable[Effect]]


class TrialMachine(Machine):
    """A machine that may be handed effects in parts or twice; with `repeats`, at the next merge once more."""

    form: Form
    repeats = False
    _late: Sequence[tuple[Effect, int]] = ()

    def vary(self, family: str) -> None:
        """Merge effects as a family of trials has them merged."""
        self.form, self.repeats = _FORMS.get(family, _whole), family == "twice"

    def take(self, effect: Effect) -> None:
        """Merge a part of an effect whose activation is still open, and wake its readers."""
        round = self.schedule.writes(effect.round, self.context.highest)
        self._wake(merge(self.context, [(effect, round)]))

    def _add(self, effects: Sequence[tuple[Effect, int]]) -> Growth:
        parts = [*self._late, *((part, round) for effect, round in effects for part in self.form(effect))]
        self._late = effects if self.repeats else ()
        growth = NOTHING
        for part in parts:  # each by itself, as nobody else has them merged
            growth = growth.and_then(super()._add([part]))
        return growth


class Starving:
    """A schedule under which one agent begins only when there is nothing else to do."""

    def __init__(self, schedule: Schedule, number: int) -> None:
        self.name, self.exact = schedule.name, schedule.exact
        self._schedule, self._number = schedule, number

    def ready(self, progress: Progress, newest: int) -> list[Ready]:
        """Return who may read what."""
        ready = self._schedule.ready(progress, newest)
        others = [one for one in ready if one[1] != self._number]
        return others if others or progress.reading else ready

    def waits(self, progress: Progress) -> bool:
        """Whether what has ended is to wait."""
        return self._schedule.waits(progress)

    def writes(self, read: int, newest: int) -> int:
        """Return the round that is written."""
        return self._schedule.writes(read, newest)


# --- the forms of an effect -------------------------------------------------------------------------------------------


def _whole(effect: Effect) -> Iterable[Effect]:
    return (effect,)


def _twice(effect: Effect) -> Iterable[Effect]:
    return (effect, effect)


def singles(effect: Effect) -> list[Effect]:
    """Return an effect as one for each emission; what rests on others of them, or is about them, comes after those."""
    left = list(effect.emissions)
    parts: list[tuple[Emission, ...]] = []
    while left:
        own = {emission.fact_id for emission in left}
        free = [emission for emission in left if not (own - {emission.fact_id}).intersection(_needs(emission))]
        parts += [(emission,) for emission in free] or [tuple(left)]  # a circle cannot be taken apart
        left = [emission for emission in left if free and emission not in free]
    return [effect._replace(emissions=part) for part in parts] or [effect]


def _needs(emission: Emission) -> Iterator[str]:
    yield from emission.evidence or ()
    if isinstance(emission.fact, Invalidation):
        yield emission.fact.target


_FORMS: dict[str, Form] = {"singles": singles, "twice": _twice}
