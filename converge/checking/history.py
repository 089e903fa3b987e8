"""What a stored job was given, and when: enough to run it once more from the start.

A job is a row of stretches: one run and any number of resumes. What came from outside is read off the rows, and so is
who had ended on which round when a stretch was cut short: under an exact schedule that says all there is to say.
"""

__all__ = ["AT_REST", "History", "Stretch", "history_of"]

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic_core import from_json

from converge.effect import Source
from converge.errors import JobForeign, JobUnsettled, JobUpgraded
from converge.fact import Fact, kind_of
from converge.intent import Budget
from converge.ports import StoredJob
from converge.restore import restore
from converge.schedule import schedule_named
from converge.snapshot import Snapshot
from converge.stop import StopReason
from converge.support import OUTSIDE
from converge.trace import (
    Activated,
    ActivationFailed,
    FactsArrived,
    JobResumed,
    JobStarted,
    JobStopped,
    Warned,
    decode_event,
)
from converge.wiring import STATED, Wiring

# The stops after which nothing is unread: all but those that cut a job short.
AT_REST = frozenset(
    {StopReason.FIXED_POINT, StopReason.CONTESTED, StopReason.UNACCEPTED, StopReason.INVARIANT, StopReason.WAITING}
)
_STATED = frozenset(kind_of(cls).label for cls in STATED) - {"Invalidation"}  # by the runtime, never from outside
Ended = tuple[str, int]  # an agent, and the round it read


class Arrival(NamedTuple):
    """What a letter brought in the middle of a stretch, once the activations in `after` had been merged.

    at_once: it came together with what was given before, and nobody had begun to read that yet.
    """

    facts: tuple[Fact, ...]
    after: frozenset[Ended]
    at_once: bool


class Stretch(NamedTuple):
    """What one run or resume was given, under which schedule and budget, and how its activations ended.

    `rests` says whether everything was read when it stopped; a required agent may still have failed then.
    """

    schedule: str
    facts: tuple[Fact, ...]
    budget: Budget
    completed: frozenset[Ended]
    failed: Mapping[Ended, ActivationFailed]
    rests: bool
    letters: tuple[Arrival, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether its rounds and views do not depend on timing."""
        return schedule_named(self.schedule).exact


class History(NamedTuple):
    """A stored job: its position as it is now, and its stretches."""

    stored: StoredJob
    end: Snapshot
    stretches: tuple[Stretch, ...]

    @property
    def repeatable(self) -> bool:
        """Whether a run from the start comes to the same facts: nothing was given while what was known was timing."""
        *before, last = self.stretches
        cut = [stretch for stretch in before if stretch.letters or not stretch.rests]
        return all(stretch.exact for stretch in (*cut, last) if stretch is not last or last.letters)

    @property
    def failing(self) -> frozenset[str]:
        """The agents that failed at some time."""
        return frozenset(agent for stretch in self.stretches for agent, _ in stretch.failed)


def history_of(stored: StoredJob, wiring: Wiring) -> History:
    """Read a job that has come to rest. Raises JobUnsettled for another, JobForeign where these agents did not run it.

    Also raises JobUpgraded and StoredFactInvalid.
    """
    end = restore(stored, wiring.kinds)
    last = end.trace[-1] if len(end.trace) else None
    if not isinstance(last, JobStopped) or last.reason not in AT_REST:
        raise JobUnsettled(end.job_id, last.text if isinstance(last, JobStopped) else "it is unfinished")
    _check_agents(end, wiring)
    return History(stored, end, tuple(_stretches(stored.bodies, end)))


def _check_agents(end: Snapshot, wiring: Wiring) -> None:
    here = {agent.source for agent in wiring.agents}
    there = {watermark.source for watermark in end.watermarks.values()}
    for source in sorted({*end.context.supports.sources, *there} - here - {OUTSIDE}):
        raise JobForeign(end.job_id, _named(source), here=False)
    for source in sorted(here - there):
        raise JobForeign(end.job_id, _named(source), here=True)


def _named(source: Source) -> str:
    return source.agent if source.version == "1" else f"{source.agent} (version {source.version})"


def _stretches(bodies: Sequence[str], end: Snapshot) -> Iterator[Stretch]:
    current: _Stretch | None = None
    for row in _since_it_began(bodies):
        for event in map(decode_event, row.get("trace", ())):
            if isinstance(event, (JobStarted, JobResumed)):
                if current is not None:
                    yield current.told()
                current = _Stretch(event.schedule, tuple(_given(row, end)), Budget(**row["budget"]))
            elif isinstance(event, FactsArrived) and current is not None:
                current.bring(tuple(_given(row, end)))
            elif current is not None:
                current.see(event)
    if current is not None:
        yield current.told()


def _since_it_began(bodies: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows from the one on in which the job began, or began anew. Raises JobUpgraded."""
    rows = [from_json(body) for body in bodies]
    first = max((place for place, row in enumerate(rows) if "anew" in row), default=0)
    if sum(event[0] in ("JobStarted", "JobResumed", "FactsArrived") for event in rows[first].get("trace", ())) > 1:
        raise JobUpgraded
    return rows[first:]


class _Stretch:
    """A stretch while its rows are read."""

    def __init__(self, schedule: str, facts: tuple[Fact, ...], budget: Budget) -> None:
        self._begun = schedule, facts, budget
        self._completed: set[Ended] = set()
        self._failed: dict[Ended, ActivationFailed] = {}
        self._rests, self._is_unread = False, True  # whether nobody has begun to read what it was given last
        self._letters: list[Arrival] = []

    def see(self, event: object) -> None:
        self._is_unread = self._is_unread and isinstance(event, Warned)
        if isinstance(event, Activated):
            self._completed.add((event.agent, event.round))
        elif isinstance(event, ActivationFailed):
            self._failed[event.agent, event.round] = event
        elif isinstance(event, JobStopped):
            self._rests = event.reason in AT_REST or event.reason == StopReason.AGENT_FAILED

    def bring(self, facts: tuple[Fact, ...]) -> None:
        self._letters.append(Arrival(facts, frozenset({*self._completed, *self._failed}), self._is_unread))
        self._is_unread = True

    def told(self) -> Stretch:
        ended = frozenset(self._completed), self._failed
        return Stretch(*self._begun, *ended, self._rests, tuple(self._letters))


def _given(row: Mapping[str, Any], end: Snapshot) -> Iterator[Fact]:
    """Iterate over what a row holds from outside; a stretch's first row holds nothing else."""
    for place, source, _, _ in row["supports"]:
        fact = end.context.facts[place]
        if Source(*row["sources"][source]) == OUTSIDE and kind_of(fact).label not in _STATED:
            yield fact
