"""Effects into the context: a union of facts and supports, so that order cannot change what is known.

Where an order must be written down it is round, then agent name, then emission: the only one that no clock knows.
Merging the same effect twice adds nothing.
"""

__all__ = ["Growth", "fresh", "merge", "premises"]

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from converge.context import Context
from converge.effect import Effect, Source
from converge.errors import FactInvalid
from converge.fact import Fact, Invalidation, identified, kind_of
from converge.support import OUTSIDE, Evidence


class Growth(NamedTuple):
    """What a merge really added. `grown` holds which kind gained facts in which round; `bodies` the new facts' JSON."""

    facts: int
    supports: int
    grown: frozenset[tuple[str, int]]
    bodies: tuple[bytes, ...]

    def __bool__(self) -> bool:
        return bool(self.facts or self.supports)

    def and_then(self, later: "Growth") -> "Growth":
        """Return this growth and a later one together."""
        return Growth(
            self.facts + later.facts,
            self.supports + later.supports,
            self.grown | later.grown,
            self.bodies + later.bodies,
        )


class _Additions:
    """What one merge adds to a context, counted by where its logs ended before."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.facts, self.supports = len(context.facts), len(context.supports)
        self.bodies: list[bytes] = []
        self.lowered: set[tuple[str, int]] = set()

    def support(self, place: int, source: Source, round: int, evidence: Evidence) -> None:
        before = self.context.rounds[place]
        self.context.support(place, source, round, evidence)
        if self.context.rounds[place] < before:  # it is known earlier than it was thought to be
            self.lowered.add((kind_of(self.context.facts[place]).label, round))

    def growth(self) -> Growth:
        context, first = self.context, self.facts
        new = zip(context.facts[first:], context.rounds[first:], strict=True)
        grown = {(fact.__kind__.label, round) for fact, round in new}  # type: ignore[attr-defined]  # they are facts
        supports = len(context.supports) - self.supports
        return Growth(len(context.facts) - first, supports, frozenset(grown | self.lowered), tuple(self.bodies))


def merge(context: Context, effects: Iterable[tuple[Effect, int]]) -> Growth:
    """Merge effects, each into a round, and return what grew."""
    additions = _Additions(context)
    add, support, position, bodies = context.add, additions.support, context.position, additions.bodies
    for effect, round in effects:
        source, emissions = effect.source, effect.emissions
        for emission in emissions:
            if add(emission.fact, round):
                bodies.append(emission.body)
        node = context.node(effect.given) if effect.uncited else effect.given
        for emission in emissions:
            cited = emission.evidence
            evidence = node if cited is None else _positions(position, cited)
            support(position[emission.fact_id], source, round, evidence)
        # A replacing agent's older conclusions fall with its new activation, even one that emitted nothing.
        context.complete(source, effect.round, round)
    return additions.growth()


def premises(context: Context, facts: Iterable[Fact], round: int, *, ahead: bool = False) -> Growth:
    """State facts from outside in `round` and return what grew.

    Raises FactInvalid for an invalidation whose target is unknown, unless it is stated `ahead` of that; nothing is
    added then.
    """
    canonical = {fact_id: (fact, body) for fact, fact_id, body in map(identified, facts)}
    for fact, _ in canonical.values():
        if ahead or not isinstance(fact, Invalidation):
            continue
        if fact.target not in context.position.keys() | canonical.keys():
            raise FactInvalid("Invalidation", [("target", f"this job has no fact {fact.target}")])
    additions = _Additions(context)
    for fact_id in sorted(canonical):
        fact, body = canonical[fact_id]
        if context.add(fact, round):
            additions.bodies.append(body)
        additions.support(context.position[fact_id], OUTSIDE, round, ())
    return additions.growth()


def fresh(context: Context, effects: Iterable[Effect]) -> set[str]:
    """Return the ids in effects that the context does not know."""
    return {emission.fact_id for effect in effects for emission in effect.emissions} - context.position.keys()


def _positions(position: Mapping[str, int], ids: Sequence[str]) -> tuple[int, ...]:
    if len(ids) == 1:
        return (position[ids[0]],)
    return tuple(sorted({position[fact_id] for fact_id in ids}))
