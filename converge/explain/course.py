"""The course of a fact: when it came, who stated it again, who marked it, and when it fell and returned."""

__all__ = ["Course", "Turn", "course"]

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from converge.context import Context
from converge.explain.content import data_of, described, label_of
from converge.explain.facts import fact_line
from converge.explain.outline import Line, Outline, Shown, Span, one_line
from converge.explain.standing import author, standing
from converge.fact import Fact, Invalidation, kind_of
from converge.trace import Event, FactsArrived, JobResumed, JobStarted, RoundMerged

What = Literal["given", "stated", "marked", "fell", "disputed", "returned"]


class Turn(NamedTuple):
    """One thing that happened to a fact in a round. agent: who did it; None: somebody outside, or nobody at once.

    at: when, in seconds since the epoch, where the trace says so. facts: because of which; at most twenty.
    """

    round: int
    what: What
    agent: str | None
    text: str
    facts: tuple[Fact, ...] = ()
    at: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data; see `turn` in docs/explaining.schema.json."""
        at = None if self.at is None else datetime.fromtimestamp(self.at, UTC).isoformat()
        told = {name: getattr(self, name) for name in ("round", "what", "agent", "text")}
        return {**told, "facts": [data_of(fact) for fact in self.facts], "at": at}


class Course(Shown):
    """What happened to a fact, in the order of rounds, and how it stands now."""

    def __init__(self, fact: Fact, label: str, turns: tuple[Turn, ...]) -> None:
        self.fact, self.label, self.turns = fact, label, turns

    def __repr__(self) -> str:
        return f"<course of {self.fact!r:.80}: {len(self.turns)} turns, {self.label}>"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data; see `history` in docs/explaining.schema.json."""
        turns = [turn.to_dict() for turn in self.turns]
        return {"what": "history", "fact": data_of(self.fact), "label": self.label, "turns": turns}

    def outline(self) -> Outline:
        """Return the turns, one a line."""
        role: Any = self.label
        kind, *said = fact_line(self.fact)
        head = kind, Span(" ["), Span(self.label, role), Span("]"), *said
        return Outline(head, parts=lambda: list(map(_told, self.turns)), tall=_TALL)


_ROLES: Mapping[What, Any] = {"fell": "dead", "disputed": "disputed", "returned": "live", "marked": "warn"}


def _told(turn: Turn) -> Outline:
    by = f" by {one_line(turn.agent)}" if turn.agent else ""
    line: Line = (
        Span(f"round {turn.round}  ", "dim"),
        Span(turn.what, _ROLES.get(turn.what, "strong")),
        Span(by, "agent"),
        Span(f": {one_line(turn.text)}" if turn.text else ""),
    )
    return Outline(line, tall=_TALL)


_TALL = 4


def course(context: Context, trace: Iterable[Event], place: int) -> Course:
    """Return what happened to the fact at a position."""
    times = _times(trace)
    turns = sorted([*_stated(context, place), *_marked(context, place), *_changes(context, place)], key=_order)
    timed = tuple(turn._replace(at=times.get(turn.round)) for turn in turns)
    return Course(context.facts[place], label_of(context, place, context.highest), timed)


def _order(turn: Turn) -> tuple[int, int, str, str]:
    return (turn.round, _ORDER.index(turn.what), turn.agent or "", turn.text)


_ORDER: tuple[What, ...] = ("given", "stated", "marked", "fell", "disputed", "returned")
_NAMED = 20


def _stated(context: Context, place: int) -> Iterator[Turn]:
    for support in context.supports_of(place):
        name = author(context, support)
        evidence = context.evidence_of(support)
        facts = tuple(context.facts[cited] for cited in evidence[:_NAMED])
        because = "" if name is None else f"because of {_named(facts, len(evidence))}"
        yield Turn(support.round, "given" if name is None else "stated", name, because, facts)


def _marked(context: Context, place: int) -> Iterator[Turn]:
    for marker in context.labelling.markers_on(place, context.highest):
        fact = context.facts[marker]
        assert isinstance(fact, Invalidation)
        by = author(context, context.supports[context.supports.lowest(marker)])
        round = max(context.rounds[marker], context.rounds[place])
        yield Turn(round, "marked", by, f"it no longer holds: {fact.reason}", (fact,))


def _changes(context: Context, place: int) -> Iterator[Turn]:
    """Yield the rounds in which the label changed. A fact that is stated is live then, unless this says otherwise."""
    before = "live"
    first = context.rounds[place]
    for round in sorted({first, *(one for one in context.labelling.rounds(first) if one <= context.highest)}):
        now = label_of(context, place, round)
        if now != before:
            yield _change(context, place, round, now)
        before = now


def _change(context: Context, place: int, round: int, label: str) -> Turn:
    now = standing(context, place, round)
    if label == "live":
        agents = {one.agent: None for one in now.stated if one.state == "holds"}
        by = next(iter(agents), None)
        again = "what stood against it has fallen" if now.marks else "what it rests on holds again"
        return Turn(round, "returned", by if len(agents) == 1 else None, again)
    lost = dict.fromkeys(fact for one in now.stated for fact in one.lost)
    facts = (*(mark.fact for mark in now.marks if mark.label != "dead"), *lost)
    what: What = "fell" if label == "dead" else "disputed"
    marked = dict.fromkeys(mark.agent or "somebody outside" for mark in now.marks if mark.label != "dead")
    text = f"what {' and '.join(marked)} said of it stands" if marked else "; ".join(now.reasons)
    return Turn(round, what, None, text, facts[:_NAMED])


def _named(facts: tuple[Fact, ...], count: int) -> str:
    shown = ", ".join(f"{kind_of(fact).label}({described(fact):.60})" for fact in facts[:_SHOWN])
    return shown + (f" and {count - _SHOWN:,} more" if count > _SHOWN else "")


_SHOWN = 3


def _times(trace: Iterable[Event]) -> dict[int, float]:
    """Return when each round was last merged into, and when what was given came."""
    times: dict[int, float] = {}
    highest = 0
    for event in trace:
        if isinstance(event, (RoundMerged, FactsArrived)):
            times[event.round] = event.at
            highest = max(highest, event.round)
        elif isinstance(event, JobStarted):
            times[0] = event.at
        elif isinstance(event, JobResumed) and event.facts:
            times[highest + 1] = event.at
    return times
