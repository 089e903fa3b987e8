"""The three schedules: which of those with something unread may read now, and what round.

`lockstep`: all wait for all, the lowest unread round first. `frontier`: an agent reads its next unread round as soon as
nobody whose writes it minds can still add to that round or an earlier one (the progress tracking of Naiad, Murray et
al. 2013, with rounds for timestamps). Both give every activation the same view. `stream`: whoever is free reads
everything that has arrived; exact only for agents that are monotone.

A settled agent reads the highest round of its upstream, once that is quiet.
"""

__all__ = ["SCHEDULES", "Ready", "Schedule", "schedule_named"]

from itertools import repeat
from math import inf
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from converge.errors import EngineInvalid

if TYPE_CHECKING:
    from converge.progress import Progress

ScheduleName = Literal["frontier", "lockstep", "stream"]
SCHEDULES: tuple[ScheduleName, ...] = get_args(ScheduleName)


Ready = tuple[int, int]  # a round, and the agent, by number, that may read it now


class Schedule(Protocol):
    """One way to order activations. `exact`: facts, rounds and views do not depend on how long anything takes."""

    name: str
    exact: bool

    def ready(self, progress: "Progress", newest: int) -> list[Ready]:
        """Return who may read what, in the order of rounds and names. `newest` is the highest round there is."""

    def waits(self, progress: "Progress") -> bool:
        """Whether what has ended is to wait for what has not."""

    def writes(self, read: int, newest: int) -> int:
        """Return the round that an activation which read `read` writes."""


class _ByRound:
    """What the exact schedules share: one writes the round after the one that was read."""

    exact = True

    def writes(self, read: int, newest: int) -> int:
        """Return the round after the one read."""
        return read + 1


class Lockstep(_ByRound):
    """A barrier per round."""

    name = "lockstep"

    def ready(self, progress: "Progress", newest: int) -> list[Ready]:
        """Return all who have the lowest unread round unread, once nobody is reading."""
        found = [] if progress.reading else _candidates(progress)
        lowest, _ = min(found, default=(0, 0))
        found = sorted(one for one in found if one[0] == lowest)
        return _unreached(progress, found, lowest) or found

    def waits(self, progress: "Progress") -> bool:
        """Whether anybody is reading."""
        return progress.reading


class Frontier(_ByRound):
    """Each agent waits only for those that can still add to what it is about to read."""

    name = "frontier"
    _on_a_circle = Lockstep()  # where a settled agent and those it can reach would wait for each other

    def ready(self, progress: "Progress", newest: int) -> list[Ready]:
        """Return all whose next unread round nobody can add to any more."""
        if (found := progress.alone()) is not None:  # as in a chain, and in most small jobs
            return found
        stamps = progress.stamps()
        lowest = min(stamps.values(), default=0)
        arrivals: dict[int, int] | None = None  # what is read first waits for nobody: mostly that is all there is
        found = []
        for place, group, round, numbers in progress.due():
            if group.settled:
                if progress.is_quiet_above(place):
                    found += zip(repeat(progress.highest_upstream(place)), numbers, strict=False)
                continue
            if round > lowest:
                arrivals = progress.wiring.flow.arrivals(stamps) if arrivals is None else arrivals
                if arrivals.get(place, inf) <= round:
                    continue
            found += zip(repeat(round), numbers, strict=False)
        return sorted(found) or self._on_a_circle.ready(progress, newest)

    def waits(self, progress: "Progress") -> bool:
        """Nothing waits: an effect is merged when it arrives."""
        return False


class Stream:
    """Everything is merged on arrival, into a round of its own, and read at once."""

    name = "stream"
    exact = False

    def ready(self, progress: "Progress", newest: int) -> list[Ready]:
        """Return all who have anything unread, to read all there is; settled ones once their upstream is quiet."""
        due = ((place, group, numbers) for place, group, _, numbers in progress.due())
        free = (numbers for place, group, numbers in due if not group.settled or progress.is_quiet_above(place))
        return sorted((newest, number) for numbers in free for number in numbers)

    def waits(self, progress: "Progress") -> bool:
        """Nothing waits."""
        return False

    def writes(self, read: int, newest: int) -> int:
        """Return a round that nobody has read."""
        return newest + 1


def schedule_named(name: object) -> Schedule:
    """Return a schedule by its name. Raises EngineInvalid."""
    for schedule in (Frontier(), Lockstep(), Stream()):
        if schedule.name == name:
            return schedule
    raise EngineInvalid("Engine(schedule=...)", "one of " + ", ".join(map(repr, SCHEDULES)), name)


def _unreached(progress: "Progress", found: list[Ready], round: int) -> list[Ready]:
    """Leave out whom a settled agent can reach that will read a lower round, once what it waits for came to nothing."""
    stamps, flow = progress.stamps(), progress.wiring.flow
    if min(stamps.values(), default=round) >= round:
        return found
    arrivals = flow.arrivals(stamps)
    free = [one for one in found if arrivals.get(flow.group_of[one[1]], inf) > round]
    # On a circle a settled agent waits for whom it can reach: these go first, and nobody else.
    awaited = frozenset().union(*(flow.upstream[place] for place in stamps if flow.groups[place].settled))
    return free or [one for one in found if flow.group_of[one[1]] in awaited]


def _candidates(progress: "Progress") -> list[Ready]:
    found: list[Ready] = []
    for place, group, round, numbers in progress.due():
        if not group.settled:
            found += zip(repeat(round), numbers, strict=False)
        elif progress.is_quiet_above(place):
            found += zip(repeat(progress.highest_upstream(place)), numbers, strict=False)
    return found
