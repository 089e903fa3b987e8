"""Effects into the context: a union of facts and supports, so that order cannot change what is known.

Where an order must be written down it is round, then agent name, then emission: the only one that no clock knows.
Merging the same effect twice adds nothing.
"""

__all__ = ["Growth", "fresh", "merge", "premises"]

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from converge.context import OUTSIDE, Context
from converge.effect import Effect, Source
from converge.errors import FactInvalid
from converge.fact import Fact, Invalidation, identified, kind_of


class Growth(NamedTuple):
    """What a merge really added. `kinds` gained facts; `bodies` are the new facts' canonical JSON, in order."""

    round: int
    facts: int
    supports: int
    kinds: frozenset[str]
    bodies: tuple[bytes, ...]
    relabels: bool

    def __bool__(self) -> bool:
        return bool(self.facts or self.supports)


class _Additions:
    """Adds to one context for one merge and counts what was new."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.facts, self.supports = len(context.facts), len(context.supports)
        self.bodies: list[bytes] = []
        self.kinds: set[str] = set()
        self.relabels = False

    def fact(self, fact: Fact, body: bytes, round: int) -> None:
        if self.context.add(fact, round):
            self.bodies.append(body)
            self.kinds.add(kind_of(fact).label)
            self.relabels |= isinstance(fact, Invalidation)

    def support(self, fact_id: str, source: Source, round: int, evidence: object) -> None:
        position = self.context.position[fact_id]
        added = self.context.support(position, source, round, evidence)  # type: ignore[arg-type]
        self.relabels |= added and position < self.facts

    def growth(self, round: int) -> Growth:
        facts = len(self.context.facts) - self.facts
        supports = len(self.context.supports) - self.supports
        return Growth(round, facts, supports, frozenset(self.kinds), tuple(self.bodies), self.relabels)


def merge(context: Context, effects: Iterable[Effect], round: int) -> Growth:
    """Merge effects, sorted by agent name, into `round` and return what grew."""
    additions = _Additions(context)
    for effect in effects:
        for emission in effect.emissions:
            additions.fact(emission.fact, emission.body, round)
        uncited = any(emission.evidence is None for emission in effect.emissions)
        node = context.node(effect.given) if uncited else effect.given
        for emission in effect.emissions:
            evidence = node if emission.evidence is None else _positions(context, emission.evidence)
            additions.support(emission.fact_id, effect.source, round, evidence)
        # A replacing agent's older conclusions fall with its new activation, even one that emitted nothing.
        additions.relabels |= context.complete(effect.source, round)
    return additions.growth(round)


def premises(context: Context, facts: Iterable[Fact], round: int) -> Growth:
    """State facts from outside in `round` and return what grew.

    Raises FactInvalid for an invalidation whose target is unknown; nothing is added then.
    """
    canonical = {fact_id: (fact, body) for fact, fact_id, body in map(identified, facts)}
    for fact, _ in canonical.values():
        if isinstance(fact, Invalidation) and fact.target not in context.position.keys() | canonical.keys():
            raise FactInvalid("Invalidation", [("target", f"this job has no fact {fact.target}")])
    additions = _Additions(context)
    for fact_id in sorted(canonical):
        fact, body = canonical[fact_id]
        additions.fact(fact, body, round)
        additions.support(fact_id, OUTSIDE, round, ())
    return additions.growth(round)


def fresh(context: Context, effects: Iterable[Effect]) -> set[str]:
    """Return the ids in effects that the context does not know."""
    return {emission.fact_id for effect in effects for emission in effect.emissions} - context.position.keys()


def _positions(context: Context, ids: Sequence[str]) -> tuple[int, ...]:
    return tuple(sorted({context.position[fact_id] for fact_id in ids}))
