"""Facts as outlines: one a line, and many of one kind under one line that says how many."""

__all__ = ["fact_line", "fact_outlines"]

from collections.abc import Iterable
from functools import partial

from converge.explain.content import described
from converge.explain.outline import Outline, Span, one_line
from converge.fact import Fact, kind_of

_MANY = 5  # of one kind: more stand under one line


def fact_line(fact: Fact) -> tuple[Span, ...]:
    """Return a fact as a line."""
    said = one_line(described(fact))
    return Span(kind_of(fact).label, "kind"), Span(f" {said}" if said else "")


def fact_outlines(facts: Iterable[Fact]) -> list[Outline]:
    """Return facts as outlines, in the order of the first of each kind."""
    by_kind: dict[str, list[Fact]] = {}
    for fact in facts:
        by_kind.setdefault(kind_of(fact).label, []).append(fact)
    return [outline for kind, several in by_kind.items() for outline in _grouped(kind, several)]


def _grouped(kind: str, facts: list[Fact]) -> list[Outline]:
    if len(facts) <= _MANY:
        return _each(facts)
    return [Outline((Span(f"{len(facts):,} "), Span(kind, "kind")), parts=partial(_each, facts), folded=True)]


def _each(facts: list[Fact]) -> list[Outline]:
    return [Outline(fact_line(fact)) for fact in facts]
