"""Where two jobs part: the first effect that one of them has and the other has not, and what follows from it.

A statement is a fact, who states it, and what it rests on. Statements are compared by content, so that the same thing
said in another round is the same; the first of those that differ, by round and agent, is where the jobs part.
"""

__all__ = ["Parting", "Side", "parting"]

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from converge.context import Context
from converge.effect import Given
from converge.explain.call import Call, Calls
from converge.explain.content import data_of
from converge.explain.facts import fact_outlines
from converge.explain.outline import Block, Outline, Shown, Span, clipped, one_line
from converge.fact import Fact, Invalidation, id_of, kind_of
from converge.stored_kinds import BUILT_IN
from converge.support import OUTSIDE, Support


class Side(NamedTuple):
    """What one job has at the parting that the other has not.

    stated: facts of that effect; none where this job's agent said nothing, or less. because: what the effect rests on.
    calls: what models were asked and answered for it. follows: what else only this job has that rests on it, live
    facts first; others: what only it has for other reasons. held: facts both know that are live in this job alone.
    """

    job_id: str
    stated: tuple[Fact, ...]
    because: tuple[Fact, ...]
    calls: tuple[Call, ...]
    follows: tuple[Fact, ...]
    others: tuple[Fact, ...]
    held: tuple[Fact, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data; see `side` in docs/explaining.schema.json."""
        facts = {name: [data_of(fact) for fact in getattr(self, name)] for name in _FACTS}
        return {"job_id": self.job_id, **facts, "calls": [call.to_dict() for call in self.calls]}


_FACTS = ("stated", "because", "follows", "others", "held")


class Parting(Shown):
    """The first effect in which two jobs part. It is falsy where nothing that is known differs.

    agent: whose effect it is; None: what was given from outside. round: in which it was read, in the job that comes to
    it first. reason: in a sentence, why they part there.
    """

    def __init__(self, agent: str | None, round: int | None, reason: str, sides: tuple[Side, Side]) -> None:
        self.agent, self.round, self.reason, self.sides = agent, round, reason, sides

    def __bool__(self) -> bool:
        return self.round is not None

    def __repr__(self) -> str:
        one, other = (side.job_id for side in self.sides)
        return f"<parting of {one} and {other}: {self.reason}>"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data; see `diff` in docs/explaining.schema.json."""
        return {
            "what": "diff",
            "differs": bool(self),
            "agent": self.agent,
            "round": self.round,
            "reason": self.reason,
            "sides": [side.to_dict() for side in self.sides],
        }

    def outline(self) -> Outline:
        """Return the parting and what follows from it, job by job."""
        one, other = (one_line(side.job_id) for side in self.sides)
        head = Span(one, "strong"), Span(" and "), Span(other, "strong"), Span(f": {one_line(self.reason)}")
        return Outline(head, parts=lambda: [_side(side) for side in self.sides] if self else [], tall=4)


def _side(side: Side) -> Outline:
    parts: list[Outline] = [
        _listed("stated", side.stated, side.calls),
        _listed("because of", side.because),
        _listed("from which follows", side.follows),
        _listed("only here otherwise", side.others),
        _listed("known to both, and live only here", side.held),
    ]
    shown = [part for part in parts if part.parts()]
    line = (
        Span("in "),
        Span(one_line(side.job_id), "strong"),
        Span("" if side.stated else ": nothing of the sort", "dim"),
    )
    return Outline(line, parts=lambda: shown)


_QUOTED = 300


def _listed(title: str, facts: Sequence[Fact], calls: Sequence[Call] = ()) -> Outline:
    count = f"  {len(facts):,}" if len(facts) > 1 else ""
    notes = tuple(
        (
            Span(f"{one_line(call.model or call.question.name)} answered: ", "agent"),
            Span(clipped(one_line(call.text or call.answer), _QUOTED)),
        )
        for call in calls
    )
    blocks = tuple(
        Block(f"{call.question.name}: {m.get('role', '')}", str(m.get("content")))
        for call in calls
        for m in call.prompt
    )
    return Outline((Span(title, "dim"), Span(count, "dim")), notes, blocks, lambda: fact_outlines(facts))


# --- finding ----------------------------------------------------------------------------------------------------------

_Key = tuple[str, str, int, Hashable]  # an agent, its version, a fact, and what it rests on


class Known(NamedTuple):
    """What is compared of a job."""

    job_id: str
    context: Context
    calls: Calls


def parting(one: Known, other: Known) -> Parting:
    """Return where two jobs part."""
    mine = _statements(one.context, range(len(one.context.facts)))
    theirs = _statements(other.context, _places_in(one.context, other.context))
    mine_only = [index for key, index in mine.items() if key not in theirs]
    theirs_only = [index for key, index in theirs.items() if key not in mine]
    jobs = (one, mine_only), (other, theirs_only)
    first = min((_place(job, index) for job, only in jobs for index in only), default=None)
    held = _held(one, other), _held(other, one)
    here, there = (_side_of(job, only, first, facts) for (job, only), facts in zip(jobs, held, strict=True))
    if first is None:
        return Parting(None, _round_of(one, other, held), _unparted(held), (here, there))
    round, is_derived, agent = first
    name = agent if is_derived else None
    return Parting(name, round, _reason(name, round, (here, there)), (here, there))


def _places_in(one: Context, other: Context) -> list[int]:
    """Return where each fact of `other` stands in `one`; a negative number of its own for what is not known there."""
    return [one.position.get(id_of(fact), -1 - place) for place, fact in enumerate(other.facts)]


def _statements(context: Context, places: Sequence[int]) -> dict[_Key, int]:
    """Return the supports of a context by what they say; what went wrong on the way is no part of that.

    Facts are named by their `places`, which are the same for both contexts that are compared.
    """
    rests: dict[int, Hashable] = {}  # an evidence node -> what it is compared by; it is shared by many supports
    found: dict[_Key, int] = {}
    for index, support in enumerate(context.supports):
        source, evidence = context.supports.sources[support.source], support.evidence
        if not kind_of(context.facts[support.fact]).digested:
            continue
        if isinstance(evidence, Given):
            if id(evidence) not in rests:
                rests[id(evidence)] = tuple(sorted(places[cited] for cited in context.members(evidence)))
            because = rests[id(evidence)]
        else:
            because = tuple(sorted(places[cited] for cited in evidence))
        key = source.agent, source.version, places[support.fact], because
        if key not in found or support.round < context.supports[found[key]].round:
            found[key] = index
    return found


_Place = tuple[int, bool, str]


def _place(job: Known, index: int) -> _Place:
    """Return where a statement stands: its round, whether an agent states it, and which."""
    support = job.context.supports[index]
    source = job.context.supports.sources[support.source]
    return support.round, source != OUTSIDE, source.agent


def _side_of(job: Known, only: Sequence[int], first: _Place | None, held: tuple[Fact, ...]) -> Side:
    """Return what a job alone has of the effect in which the two part first, and besides."""
    context = job.context
    supports = [context.supports[index] for index in only if _place(job, index) == first]
    stated = dict.fromkeys(support.fact for support in supports)
    rests = {cited: None for support in supports for cited in context.evidence_of(support)}
    asked = {call.question: call for support in supports for call in job.calls.of(support)}
    reached = _reached(context, stated)
    new = {context.supports[index].fact: None for index in only}
    follows = [place for place in new if place in reached and place not in stated]
    others = [place for place in new if place not in reached and place not in stated]
    facts = (_sorted(context, several) for several in (stated, rests, follows, others))
    mine, because, after, beside = facts
    return Side(job.job_id, mine, because, tuple(asked.values()), after, beside, held)


def _reached(context: Context, places: Iterable[int]) -> set[int]:
    """Return what follows from some facts: what rests on them, what they mark, and what is concluded instead.

    An agent that replaces its conclusions concludes anew when one of them fell: that, too, follows.
    """
    reliance, supports = context.labelling.reliance, context.supports
    reliance.update()
    reached, waiting, anew = set(places), list(places), _Anew(context)
    while waiting:
        place = waiting.pop()
        fact = context.facts[place]
        marked = context.position.get(fact.target) if isinstance(fact, Invalidation) else None
        heads = [supports[index].fact for index in reliance.users(place)]
        for other in (*heads, *anew.after(place), *([] if marked is None else [marked])):
            if other not in reached:
                reached.add(other)
                waiting.append(other)
    return reached


class _Anew:
    """What agents that replace their conclusions stated after something that they had stated fell."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stated: dict[int, list[Support]] = {}
        for support in context.supports:
            if context.supports.sources[support.source].replaces:
                self._stated.setdefault(support.source, []).append(support)

    def after(self, place: int) -> Iterator[int]:
        """Iterate over what was stated instead of a fact that does not hold any more, once for each agent."""
        context = self._context
        if context.is_live(place, context.highest):
            return
        for support in context.supports_of(place):
            later = self._stated.pop(support.source, ())
            yield from (one.fact for one in later if one.round > support.round)


def _sorted(context: Context, places: Iterable[int]) -> tuple[Fact, ...]:
    """Return facts, live ones first, what was concluded last before the rest, and facts about facts at the end."""

    def order(place: int) -> tuple[bool, bool, int, str]:
        fact = context.facts[place]
        return (
            not context.is_live(place, context.highest),
            kind_of(fact).label in BUILT_IN,
            -context.rounds[place],
            id_of(fact),
        )

    return tuple(context.facts[place] for place in sorted(places, key=order))


def _held(job: Known, other: Known) -> tuple[Fact, ...]:
    """Return the facts both know that are live in one job and not in the other."""
    mine, theirs = job.context, other.context
    fallen = (place for kind in theirs.kinds for place in theirs.labelling.fallen(kind, theirs.highest))
    facts = [theirs.facts[place] for place in fallen]
    known = [mine.position[id_of(fact)] for fact in facts if id_of(fact) in mine.position and kind_of(fact).digested]
    return _sorted(mine, (place for place in known if mine.is_live(place, mine.highest)))


def _round_of(one: Known, other: Known, held: tuple[tuple[Fact, ...], tuple[Fact, ...]]) -> int | None:
    facts = [(job.context, fact) for job, several in zip((one, other), held, strict=True) for fact in several]
    return min((context.rounds[context.position[id_of(fact)]] for context, fact in facts), default=None)


def _unparted(held: tuple[tuple[Fact, ...], ...]) -> str:
    if any(held):
        return "they state the same for the same reasons, and came to it in another order: other facts hold"
    return "nothing that they state differs"


def _reason(agent: str | None, round: int, sides: Sequence[Side]) -> str:
    counts = [len(side.stated) for side in sides]
    if agent is None:
        alone = [side.job_id for side in sides if side.stated]
        whose = f"{alone[0]} alone was given something" if len(alone) == 1 else "each was given what the other was not"
        return f"they part in round {round}, where {whose}"
    first = f"they part at agent {agent} in round {round}"
    prompts = [[call.prompt for call in side.calls] for side in sides]
    if all(prompts):
        same = prompts[0] == prompts[1]
        return f"{first}, whose model {'answered the same prompt otherwise' if same else 'was asked something else'}"
    if not all(counts):
        return f"{first}, which states in one job what it does not state in the other"
    return f"{first}, which states other facts, or the same for other reasons"
