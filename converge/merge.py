"""Effects into the context: a union of facts and supports, so that order cannot change what is known.

Where an order must be written down it is round, then agent name, then emission: the only one that no clock knows.
Merging the same effect twice adds nothing.
"""

__all__ = ["NOTHING", "Growth", "fresh", "merge", "premises"]

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from converge.context import Context
from converge.effect import Effect, Given, Source
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


NOTHING = Growth(0, 0, frozenset(), ())
_SEVERAL = 8  # emissions from which on it is cheaper to add them together than one by one


class _Additions:
    """What one merge adds to a context, counted by where its logs ended before."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.facts, self.supports = len(context.facts), len(context.supports)
        self.bodies: list[bytes] = []
        self.lowered: set[tuple[str, int]] = set()

    def effects(self, effects: Sequence[tuple[Effect, int]]) -> None:
        if len(effects) > 1 and self._together(effects):
            return
        for effect, round in effects:
            if len(effect.emissions) < _SEVERAL or not self._together([(effect, round)]):
                self._one(effect, round)

    def fact(self, fact: Fact, body: bytes, round: int) -> None:
        if self.context.add(fact, round):
            self.bodies.append(body)

    def support(self, place: int, source: Source, round: int, evidence: Evidence) -> None:
        if round < self.context.rounds[place]:  # it is known earlier than it was thought to be
            self.lowered.add((kind_of(self.context.facts[place]).label, round))
        self.context.support(place, source, round, evidence)

    def growth(self) -> Growth:
        facts, rounds = self.context.facts[self.facts :], self.context.rounds[self.facts :]
        grown = {(kind_of(cls).label, round) for cls, round in {*zip(map(type, facts), rounds, strict=True)}}
        supports = len(self.context.supports) - self.supports
        return Growth(len(facts), supports, frozenset(grown | self.lowered), tuple(self.bodies))

    def _one(self, effect: Effect, round: int) -> None:
        context, node = self.context, self._node(effect)
        for fact, _, body, _ in effect.emissions:
            if context.add(fact, round):
                self.bodies.append(body)
        for _, fact_id, _, cited in effect.emissions:
            self.support(context.position[fact_id], effect.source, round, _evidence(context.position, cited, node))

    def _together(self, effects: Sequence[tuple[Effect, int]]) -> bool:
        """Add all that effects say at once, if every fact of it is new; else nothing."""
        context, first = self.context, len(self.context.facts)
        emissions = [emission for effect, _ in effects for emission in effect.emissions]
        if len(emissions) < _SEVERAL:
            return False
        rounds = [round for effect, round in effects for _ in effect.emissions]
        if not context.extend([emission.fact for emission in emissions], rounds):
            return False
        self.bodies += [emission.body for emission in emissions]
        sources: list[int] = []
        evidence: list[Evidence] = []
        for effect, _ in effects:
            node, number = self._node(effect), context.supports.number(effect.source)
            sources += [number] * len(effect.emissions)
            evidence += [_evidence(context.position, emission.evidence, node) for emission in effect.emissions]
        context.derive(range(first, first + len(emissions)), sources, rounds, evidence)
        return True

    def _node(self, effect: Effect) -> Given | None:
        return None if effect.given is None else self.context.node(effect.given)


def merge(context: Context, effects: Sequence[tuple[Effect, int]]) -> Growth:
    """Merge effects, each into a round, and return what grew."""
    additions = _Additions(context)
    additions.effects(effects)
    for effect, round in effects:
        # A replacing agent's older conclusions fall with its new activation, even one that emitted nothing.
        context.complete(effect.source, effect.round, round)
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
        additions.fact(fact, body, round)
        additions.support(context.position[fact_id], OUTSIDE, round, ())
    return additions.growth()


def fresh(context: Context, effects: Iterable[Effect]) -> set[str]:
    """Return the ids in effects that the context does not know."""
    return {emission.fact_id for effect in effects for emission in effect.emissions} - context.position.keys()


def _evidence(position: Mapping[str, int], cited: Sequence[str] | None, node: Given | None) -> Evidence:
    """Return what is cited by position, or the node of what was given where nothing is."""
    if cited is None:
        assert node is not None
        return node
    if len(cited) == 1:
        return (position[cited[0]],)
    return tuple(sorted({*map(position.__getitem__, cited)}))
