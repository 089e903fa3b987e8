"""Facts made up from their kinds, for hypothesis: whatever a field's type and limits allow, and its kind accepts."""

__all__ = ["facts_of", "generator"]

import operator
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import pydantic

from converge.errors import CallerError, FactInvalid, FactTooLarge, LibraryMissing
from converge.fact import Fact, identified, kind_of

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Values = Any  # a SearchStrategy; the library is loaded only where facts are made up
F = TypeVar("F", bound=Fact)


def facts_of(kind: type[F], **fields: Values) -> "SearchStrategy[F]":
    """Return a hypothesis strategy for facts of a kind, in canonical form.

    fields: strategies for some fields, where a validator refuses most of what the type allows or a test needs less.
    Raises LibraryMissing, or ValueError for a field that the kind does not have or whose type says too little.
    """
    st, declared = generator("facts_of").strategies, kind.__pydantic_fields__  # type: ignore[attr-defined]
    if unknown := [name for name in fields if name not in declared]:
        raise ValueError(f"{kind_of(kind).label} has no field {unknown[0]!r}: it has {', '.join(declared)}")
    made = {name: fields[name] if name in fields else _of_field(kind, name, info) for name, info in declared.items()}
    found: SearchStrategy[F] = st.fixed_dictionaries(made).map(partial(_made, kind)).filter(operator.truth)
    return found


def generator(what: str) -> Any:
    """Return the library that makes values up. Raises LibraryMissing, which names what needs it."""
    try:
        import hypothesis
        import hypothesis.strategies
    except ModuleNotFoundError as error:
        raise LibraryMissing(what, "hypothesis") from error
    return hypothesis


def _made(kind: type[F], values: Mapping[str, Any]) -> F | None:
    """Return the fact, or None where the kind refuses these values."""
    try:
        return identified(kind(**values))[0]
    except (pydantic.ValidationError, FactInvalid, FactTooLarge):
        return None


def _of_field(kind: type[Fact], name: str, info: Any) -> Values:
    try:
        strategy = _of_type(info.annotation, info.metadata)
        strategy.validate()
    except Exception as error:
        raise _Unforeseen(kind_of(kind).label, name, info.annotation) from error
    return strategy


class _Unforeseen(CallerError, ValueError):
    """Raised for a field for which no values can be made up."""

    def __init__(self, kind: str, field: str, annotation: object) -> None:
        super().__init__(
            f"no values can be made up for {kind}.{field} ({annotation}): "
            f"give some, as in facts_of({kind}, {field}=st.sampled_from([...]))"
        )


# --- by type ----------------------------------------------------------------------------------------------------------


def _of_type(annotation: Any, limits: Sequence[Any] = ()) -> Values:
    """Return a strategy for values of a type, within limits as `Annotated` states them."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _of_type(arguments[0], [*_limits(arguments[1:]), *limits])
    if hasattr(annotation, "__value__"):  # a type statement
        return _of_type(annotation.__value__, limits)
    if origin in (Union, types.UnionType):
        return _st().one_of([_of_type(argument, limits) for argument in arguments])
    if origin is Literal:
        return _st().sampled_from(arguments)
    if (container := _containers().get(origin or annotation)) is not None:
        return container(arguments, _sizes(limits))
    return _within(_scalar(annotation, limits), limits)


def _limits(metadata: Iterable[Any]) -> list[Any]:
    """Return limits one by one: pydantic keeps those of a `Field` inside it."""
    return [limit for item in metadata for limit in getattr(item, "metadata", None) or [item]]


def _within(strategy: Values, limits: Sequence[Any]) -> Values:
    """Keep to limits on numbers; hypothesis makes bounds of such filters."""
    for limit in limits:
        for name, holds in _BOUNDS.items():
            if (bound := getattr(limit, name, None)) is not None:
                strategy = strategy.filter(partial(holds, bound))
        if (step := getattr(limit, "multiple_of", None)) is not None:
            strategy = strategy.map(partial(_rounded, step))
    return strategy


_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "ge": operator.le,
    "gt": operator.lt,
    "le": operator.ge,
    "lt": operator.gt,
}


def _rounded(step: Any, number: Any) -> Any:
    return number - number % step


def _sizes(limits: Sequence[Any]) -> dict[str, Any]:
    least = [limit.min_length for limit in limits if getattr(limit, "min_length", None) is not None]
    most = [limit.max_length for limit in limits if getattr(limit, "max_length", None) is not None]
    return {"min_size": max(least, default=0), **({"max_size": min(most)} if most else {})}


def _scalar(annotation: Any, limits: Sequence[Any]) -> Values:
    st = _st()
    if annotation is str:
        pattern = next((limit.pattern for limit in limits if getattr(limit, "pattern", None)), None)
        if pattern is not None:
            return st.from_regex(pattern, alphabet=_signs()).filter(_fits(**_sizes(limits)))
        return st.text(_signs(), **_sizes(limits))
    if annotation is bytes:
        return st.text(st.characters(codec="ascii"), **_sizes(limits)).map(str.encode)  # JSON holds no others
    known: dict[Any, Callable[[], Values]] = {
        Any: _json,
        object: _json,
        float: lambda: st.floats(allow_nan=False, allow_infinity=False),
        Decimal: lambda: st.decimals(allow_nan=False, allow_infinity=False),
        datetime: lambda: st.datetimes(timezones=st.none() | _zones()),
        pydantic.AwareDatetime: lambda: st.datetimes(timezones=_zones()),
        pydantic.NaiveDatetime: st.datetimes,
        pydantic.PastDate: lambda: st.dates(max_value=date(2000, 1, 1)),
    }
    if annotation in known:
        return known[annotation]()
    if isinstance(annotation, type) and issubclass(annotation, Fact):
        return facts_of(annotation)
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        fields = {name: _of_type(info.annotation, info.metadata) for name, info in annotation.model_fields.items()}
        return st.builds(annotation, **fields)
    return st.from_type(annotation)


def _fits(min_size: int, max_size: int | None = None) -> Callable[[str], bool]:
    return lambda text: min_size <= len(text) and (max_size is None or len(text) <= max_size)


def _containers() -> dict[Any, Callable[[tuple[Any, ...], Mapping[str, Any]], Values]]:
    st = _st()

    def of(make: Any) -> Callable[[tuple[Any, ...], Mapping[str, Any]], Values]:
        return lambda items, sizes: make(_of_type(items[0]) if items else _json(), **sizes)

    def mapping(items: tuple[Any, ...], sizes: Mapping[str, Any]) -> Values:
        key, value = items or (str, Any)
        return st.dictionaries(_of_type(key), _of_type(value), **sizes)

    def several(items: tuple[Any, ...], sizes: Mapping[str, Any]) -> Values:
        if len(items) == 2 and items[1] is Ellipsis:
            return st.lists(_of_type(items[0]), **sizes).map(tuple)
        return st.tuples(*map(_of_type, items)) if items else st.lists(_json(), **sizes).map(tuple)

    lists, sets = of(st.lists), of(st.frozensets)
    return {
        list: lists,
        Sequence: lists,
        set: lambda items, sizes: sets(items or (str,), sizes).map(set),
        frozenset: lambda items, sizes: sets(items or (str,), sizes),
        dict: mapping,
        Mapping: mapping,
        tuple: several,
    }


def _json() -> Values:
    """Return a strategy for what JSON can hold."""
    st = _st()
    numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    scalars = st.none() | st.booleans() | numbers | st.text(_signs(), max_size=8)
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(_signs(), max_size=4), inner, max_size=3),
        max_leaves=6,
    )


def _zones() -> Values:
    st = _st()
    return st.just(UTC) | st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def _signs() -> Values:
    """Return a strategy for the characters that UTF-8 can write."""
    found: Values = _st().characters(codec="utf-8")
    return found


def _st() -> Any:
    return generator("facts_of").strategies
