"""How each agent of a job stands: at work, waiting and for whom, done, failed; as far as what is stored tells.

What an agent reads and writes is known from its declarations, or else from what it stated before, and on what that
rested.
"""

__all__ = ["Agents", "Standing", "agents_of"]

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from converge.agent import kind_read
from converge.deciding import Asked, asked
from converge.effect import Given
from converge.fact import kind_of
from converge.inspector.reading import Reading
from converge.snapshot import Watermark
from converge.stop import StopReason
from converge.support import OUTSIDE
from converge.trace import Activated, ActivationFailed, JobStopped
from converge.view import UNRESTRICTED, View

State = Literal["at work", "waiting", "failed", "had more to read", "idle", "not run"]


class Standing(NamedTuple):
    """One agent: its state, for whom it waits, how often it ran and failed, its last round, its seconds, its words."""

    name: str
    state: State
    awaits: tuple[str, ...]
    runs: int
    failures: int
    round: int
    seconds: float
    said: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


class Agents(NamedTuple):
    """All agents of a job, and what people are asked in it."""

    standings: tuple[Standing, ...]
    asked: tuple[Asked, ...]
    declared: bool


class _Hands(NamedTuple):
    reads: frozenset[str]
    writes: frozenset[str]


def agents_of(reading: Reading) -> Agents:
    """Return how the agents of a job stand."""
    context = reading.job.context
    people = asked(View(context, context.highest, UNRESTRICTED))
    hands = _declared(reading) or _seen(reading)
    due = {name: _is_due(reading, name, one.reads) for name, one in hands.items()}
    awaited: dict[str, list[str]] = defaultdict(list)
    for one in people:
        awaited[f"{one.by}.gate"].append(one.role)
    runs, failures, seconds, last = _counts(reading)
    found = []
    for name in sorted({*hands, *runs, *failures}):
        hand = hands.get(name, _Hands(frozenset(), frozenset()))
        above = sorted(
            other for other, one in hands.items() if other != name and due[other] and one.writes & hand.reads
        )
        failed = last.get(name)
        state = _state(reading, name, due.get(name, False), above, awaited, failed, runs[name])
        awaits = tuple(dict.fromkeys(awaited.get(name, ()))) if state == "waiting" and name in awaited else ()
        awaits = awaits or (tuple(above) if state == "waiting" else ())
        said = f"{failed.error}: {failed.text}" if state == "failed" and failed else ""
        found.append(
            Standing(
                name,
                state,
                awaits,
                runs[name],
                failures[name],
                _round(reading, name),
                seconds[name],
                said,
                tuple(sorted(hand.reads)),
                tuple(sorted(hand.writes)),
            )
        )
    order: tuple[State, ...] = ("at work", "failed", "waiting", "had more to read", "idle", "not run")
    found.sort(key=lambda one: (order.index(one.state), one.name))
    return Agents(tuple(found), people, reading.wiring is not None)


def _state(
    reading: Reading,
    name: str,
    due: bool,
    above: list[str],
    awaited: Mapping[str, list[str]],
    failed: ActivationFailed | None,
    runs: int,
) -> State:
    if failed is not None and not (reading.running and due):
        return "failed"
    if name in awaited:
        return "waiting"
    if due and not reading.running and not _is_at_rest(reading):
        return "had more to read"
    if reading.running and above:
        return "waiting"
    if reading.running and due:
        return "at work"
    return "idle" if runs else "not run"


def _is_at_rest(reading: Reading) -> bool:
    """Whether the job stopped with nothing unread; what looks so then is what an agent does not read after all."""
    last = reading.job.trace[-1] if reading.job.trace else None
    return isinstance(last, JobStopped) and last.reason not in (StopReason.BUDGET, StopReason.CANCELLED)


def _declared(reading: Reading) -> dict[str, _Hands]:
    if reading.wiring is None:
        return {}
    return {
        agent.name: _Hands(
            frozenset(kind_of(kind_read(item)).label for item in agent.reads),
            frozenset(kind_of(cls).label for cls in agent.writes),
        )
        for agent in reading.wiring.agents
    }


def _seen(reading: Reading) -> dict[str, _Hands]:
    """Return what agents were seen to read and write; the evidence of a proposal's gate is its proposals."""
    context = reading.job.context
    supports = context.supports
    labels = [kind_of(fact).label for fact in context.facts]
    reads, writes = defaultdict[int, set[str]](set), defaultdict[int, set[str]](set)
    nodes: set[tuple[int, int]] = set()
    for support in supports:
        writes[support.source].add(labels[support.fact])
        evidence = support.evidence
        if isinstance(evidence, Given):
            if (support.source, id(evidence)) in nodes:
                continue
            nodes.add((support.source, id(evidence)))
            reads[support.source].update(part.kind for part in evidence.ranges)
            evidence = evidence.picks
        reads[support.source].update(labels[place] for place in evidence)
    by_name: dict[str, _Hands] = {}
    for number, source in enumerate(supports.sources):
        if source == OUTSIDE or not source.agent:
            continue
        before = by_name.get(source.agent, _Hands(frozenset(), frozenset()))
        by_name[source.agent] = _Hands(before.reads | reads[number], before.writes | writes[number])
    for name in reading.job.watermarks:
        by_name.setdefault(name, _Hands(frozenset(), frozenset()))
    return by_name


def _is_due(reading: Reading, name: str, reads: Iterable[str]) -> bool:
    """Whether there is something that an agent reads in a round that it has not looked at."""
    watermark = reading.job.watermarks.get(name)
    seen = watermark.seen if isinstance(watermark, Watermark) else -1
    logs = (reading.job.context.kinds.get(label) for label in reads)
    return any(log.first_after(seen) is not None for log in logs if log is not None)


def _round(reading: Reading, name: str) -> int:
    watermark = reading.job.watermarks.get(name)
    return watermark.ran if watermark is not None else -1


def _counts(
    reading: Reading,
) -> tuple[Counter[str], Counter[str], dict[str, float], dict[str, ActivationFailed | None]]:
    """Return runs, failures and seconds by agent, and the failure after which an agent has not succeeded."""
    runs, failures = Counter[str](), Counter[str]()
    seconds: dict[str, float] = defaultdict(float)
    last: dict[str, ActivationFailed | None] = {}
    for event in reading.job.trace:
        if isinstance(event, Activated):
            runs[event.agent] += 1
            seconds[event.agent] += event.seconds
            last[event.agent] = None
        elif isinstance(event, ActivationFailed):
            failures[event.agent] += 1
            last[event.agent] = event
    return runs, failures, seconds, last
