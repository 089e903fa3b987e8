"""The laws that a join must keep, checked on facts: without them what a view gives would depend on arrival."""

__all__ = ["assert_join_laws", "check_join"]

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import groupby, product
from typing import TYPE_CHECKING, Any, TypeVar

from converge.errors import JoinInvalid
from converge.fact import Fact, id_of, identified, kind_of
from converge.join import least_upper_bound
from converge.testing.generating import facts_of, generator

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

F = TypeVar("F", bound=Fact)
_MOST = 12  # facts of one key: 1,728 triples, well below a second


def check_join(kind: type[F], facts: Iterable[F]) -> None:
    """Check a kind's join on facts: all pairs and triples of one key, of the first twelve of it in id order.

    Raises JoinInvalid, naming the law and the facts, for a join that is not commutative, associative or idempotent, or
    that leaves kind or key; what the join itself raises comes through.
    """
    if kind_of(kind).policy != "join":
        raise JoinInvalid(kind_of(kind).label, 'the policy of the kind is not "join"')
    known = {identified(fact)[0] for fact in facts}
    for fact in known:
        if type(fact) is not kind:
            raise JoinInvalid(kind_of(kind).label, f"{fact!r:.200} is no {kind_of(kind).label}")
    by_key: Any = kind_of(kind).key_of
    for _, about in groupby(sorted(known, key=lambda fact: (repr(by_key(fact)), id_of(fact))), key=by_key):
        _check_key(list(about)[:_MOST])


def assert_join_laws(kind: type[F], facts: Iterable[F] | None = None, **fields: "SearchStrategy[Any]") -> None:
    """Check a kind's join as `check_join` does: on these facts, or on facts of equal keys that hypothesis makes.

    fields: strategies for fields whose own validators refuse most of what their type allows; see `facts_of`. Raises
    AssertionError naming the law, the facts, and the remedy; LibraryMissing where facts are to be made.
    """
    try:
        if facts is None:
            _check_made(kind, fields)
        else:
            check_join(kind, _some(kind, facts))
    except JoinInvalid as error:
        raise AssertionError(f"{error}; {_REMEDY}") from error


_REMEDY = "a join gives the least fact that says what both say, as max, min, a union or an intersection do"


def _some(kind: type[F], facts: Iterable[F]) -> list[F]:
    if found := list(facts):
        return found
    raise AssertionError(f"{kind_of(kind).label}.join was not checked: give facts, or leave them out to have some made")


def _check_made(kind: type[F], fields: "Mapping[str, SearchStrategy[Any]]") -> None:
    if kind_of(kind).policy != "join":
        raise JoinInvalid(kind_of(kind).label, 'the policy of the kind is not "join"')
    generator("assert_join_laws without facts")
    import hypothesis
    from hypothesis import strategies as st

    made = st.lists(facts_of(kind, **fields), min_size=1, max_size=4)

    @hypothesis.settings(database=None, deadline=None)
    @hypothesis.given(made)
    def laws(facts: list[F]) -> None:
        check_join(kind, list(_about_the_same(facts)))

    laws()


def _about_the_same(facts: list[F]) -> Iterator[F]:
    """Iterate over facts with the key of the first one; those that their kind refuses are left out."""
    key = {name: getattr(facts[0], name) for name in kind_of(facts[0]).key}
    for fact in facts:
        with suppress(ValueError):
            yield replace(fact, **key)


def _check_key(facts: list[F]) -> None:
    pairs = {(one, other): _joined(one, other) for one, other in product(facts, repeat=2)}
    for one in facts:
        if pairs[one, one] != one:
            raise _broken("idempotent", one, f"joined with itself it is {pairs[one, one]!r}")
    for (one, other), joined in pairs.items():
        if joined != pairs[other, one]:
            text = f"joined with {other!r} it is {joined!r}, the other way round {pairs[other, one]!r}"
            raise _broken("commutative", one, text)
    for one, other, third in product(facts, repeat=3):
        left, right = _joined(pairs[one, other], third), _joined(one, pairs[other, third])
        if left != right:
            text = f"with {other!r} and then {third!r} it is {left!r}, with these two joined first {right!r}"
            raise _broken("associative", one, text)


def _joined(one: F, other: F) -> F:
    try:
        return least_upper_bound([one, other])
    except JoinInvalid as error:
        label = kind_of(one).label
        reason = str(error).removeprefix(f"{label}.join: ")
        raise JoinInvalid(label, f"of {one!r} and {other!r}: {reason}") from error


def _broken(law: str, fact: Fact, text: str) -> JoinInvalid:
    return JoinInvalid(kind_of(fact).label, f"it is not {law}: {fact!r} {text}")
