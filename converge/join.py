"""Kinds of policy "join": per key, what a view gives is the least upper bound of the facts; nothing is minted."""

__all__ = ["least_upper_bound"]

from collections.abc import Sequence
from typing import Any, TypeVar

from converge.errors import JoinInvalid
from converge.fact import Fact, id_of, identified, kind_of

F = TypeVar("F", bound=Fact)


def least_upper_bound(facts: Sequence[F]) -> F:
    """Return the join of facts of one key, in canonical form. Raises JoinInvalid for a join that leaves kind or key."""
    kind = kind_of(facts[0])
    total: Any = facts[0]
    for fact in sorted(facts[1:], key=id_of):
        total = total.join(fact)
        if type(total) is not kind.cls:
            raise JoinInvalid(kind.label, f"it returned {total!r:.80}, which is no {kind.label}")
        if kind.key_of(total) != kind.key_of(fact):
            raise JoinInvalid(kind.label, f"it made a fact of key {kind.key_of(total)!r} of facts of another key")
    return identified(total)[0]  # type: ignore[no-any-return]
