"""How a fact stands: live, dead or disputed, and what makes it so: its markers, and what became of its supports."""

__all__ = ["Mark", "Standing", "Stated", "standing"]

from typing import Any, Literal, NamedTuple

from converge.context import Context
from converge.explain.content import data_of, label_of
from converge.fact import Fact, Invalidation, id_of
from converge.liveness import LIVE
from converge.support import OUTSIDE, Support

State = Literal["holds", "superseded", "rests on the dead", "rests on the disputed"]


class Mark(NamedTuple):
    """A marker on a fact: who states it (None: it was given), why, how it stands itself, and in which round it came."""

    fact: Fact
    agent: str | None
    reason: str
    label: str
    round: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data; see `mark` in docs/explaining.schema.json."""
        return {"id": id_of(self.fact), **{name: getattr(self, name) for name in ("agent", "reason", "label", "round")}}


class Stated(NamedTuple):
    """A derivation of a fact, and whether it can still prove it. lost: what it rests on that is not live."""

    agent: str | None
    round: int
    state: State
    lost: tuple[Fact, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data; see `stated` in docs/explaining.schema.json."""
        lost = [data_of(fact) for fact in self.lost]
        return {"agent": self.agent, "round": self.round, "state": self.state, "lost": lost}


class Standing(NamedTuple):
    """How a fact stands as of a round, and why."""

    fact: Fact
    label: str
    round: int
    marks: tuple[Mark, ...]
    stated: tuple[Stated, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a fact is not live, in a sentence each."""
        marked = [mark for mark in self.marks if mark.label != "dead"]
        said = [f"{mark.agent or 'somebody outside'} says that it does not hold: {mark.reason}" for mark in marked]
        return tuple(said) or tuple(dict.fromkeys(map(_lost, self.stated)))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data; see `standing` in docs/explaining.schema.json."""
        marks, stated = [mark.to_dict() for mark in self.marks], [one.to_dict() for one in self.stated]
        return {**data_of(self.fact), "label": self.label, "round": self.round, "marks": marks, "stated": stated}


def standing(context: Context, place: int, upto: int) -> Standing:
    """Return how the fact at a position stands in a round in which it is known."""
    markers = context.labelling.markers_on(place, upto)
    marks = tuple(_mark(context, marker, upto) for marker in sorted(markers, key=lambda m: id_of(context.facts[m])))
    counted = [(index, context.supports[index]) for index in context.supports.of(place)]
    stated = [_stated(context, index, one, upto) for index, one in counted if one.round <= upto]
    stated.sort(key=lambda one: (one.round, one.agent or ""))
    return Standing(context.facts[place], label_of(context, place, upto), context.rounds[place], marks, tuple(stated))


def _mark(context: Context, marker: int, upto: int) -> Mark:
    fact = context.facts[marker]
    assert isinstance(fact, Invalidation)
    support = context.supports[context.supports.lowest(marker)]
    return Mark(fact, author(context, support), fact.reason, label_of(context, marker, upto), context.rounds[marker])


def _stated(context: Context, index: int, support: Support, upto: int) -> Stated:
    if not context.supports.counts(index, upto):
        return Stated(author(context, support), support.round, "superseded")
    lost = [cited for cited in context.evidence_of(support) if context.label(cited, upto) != LIVE]
    dead = [cited for cited in lost if label_of(context, cited, upto) == "dead"]
    state: State = "rests on the dead" if dead else "rests on the disputed" if lost else "holds"
    named = sorted((context.facts[cited] for cited in dead or lost), key=id_of)
    return Stated(author(context, support), support.round, state, tuple(named[:_NAMED]))


_NAMED = 20


def author(context: Context, support: Support) -> str | None:
    """Return the agent that states a support; None for what was given."""
    source = context.supports.sources[support.source]
    return None if source == OUTSIDE else source.agent


def _lost(one: Stated) -> str:
    if one.state == "superseded":
        return f"{one.agent} does not conclude it any more: its latest conclusions take the place of the earlier ones"
    if one.lost:
        return f"{one.agent} concluded it from what does not hold any more"
    return "what it rests on rests on it in turn, and on nothing else"
