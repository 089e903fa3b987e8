"""Canonical JSON: one byte string per content, whatever the order, text form or time zone it was written in.

A kind's serializer is its pydantic schema with four rules added: fields and mapping keys are sorted, sets are
sorted by encoding, datetimes are written in UTC. Text in NFC and the sign of zero are mended after encoding,
since almost no fact needs it and a hook on every string would cost each fact.
"""

__all__ = ["CanonicalSerializer", "is_normal", "normalized"]

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from math import isfinite
from threading import Lock
from typing import Any

from pydantic_core import CoreSchema, SchemaSerializer, core_schema

# Containers and times can hold the same content in two forms; a kind that has one is decoded from its canonical
# body before it enters a context, so that readers cannot see which form the author used or change it afterwards.
_LOOSE = frozenset({"list", "set", "frozenset", "dict", "any", "datetime", "time", "typed-dict", "model"})


class CanonicalSerializer:
    """Encodes instances of one schema canonically; `loose` says that equal content may differ in form."""

    __slots__ = ("encode", "loose")

    # Returns the body of a value. Raises pydantic's serialization error or ValueError for what JSON cannot hold.
    encode: Callable[[object], bytes]

    def __init__(self, schema: CoreSchema) -> None:
        seen: Counter[str] = Counter()
        canonical = _rewrite(schema, seen)
        self.loose = bool(seen.keys() & _LOOSE) or seen["dataclass"] > 1  # one is the kind itself
        with _incomplete(_classes(canonical)):
            self.encode = SchemaSerializer(canonical, {"allow_inf_nan": False}).to_json


def is_normal(body: bytes) -> bool:
    """Whether a body needs no mending: it has no negative zero, and its text is NFC, as ASCII always is."""
    return b"-0.0" not in body and (body.isascii() or unicodedata.is_normalized("NFC", body.decode()))


def normalized(value: Any) -> Any:
    """Return decoded JSON with every text in NFC and no negative zero."""
    match value:
        case str():
            return unicodedata.normalize("NFC", value)
        case float():
            return value + 0.0
        case list():
            return [normalized(item) for item in value]
        case dict():
            return {normalized(key): normalized(item) for key, item in value.items()}
        case _:
            return value


def _rewrite(node: Any, seen: Counter[str], classes: int = 0) -> Any:
    """Return a schema with the rules added; `classes` counts those it stands within."""
    if isinstance(node, list):
        return [_rewrite(item, seen, classes) for item in node]
    if not isinstance(node, dict) or node.get("serialization_exclude"):
        return node
    shape = node.get("type")
    node = {**_UNDECLARED.get(str(shape), {}), **node}
    within = classes + (shape in _CLASSES)
    rewritten = {key: _rewrite(item, seen, within) for key, item in node.items() if key != "metadata"}
    if not isinstance(shape, str):
        return rewritten
    seen[shape] += 1
    if shape == "dataclass-args":
        rewritten["fields"] = sorted(rewritten["fields"], key=lambda field: str(field["name"]))
    elif shape == "dataclass":
        rewritten["fields"] = sorted(rewritten["fields"])
    rule = _finite if shape == "float" and classes > 1 else _RULES.get(shape)  # a fact's own floats are validated so
    if rule is not None and "serialization" not in rewritten:
        rewritten["serialization"] = core_schema.wrap_serializer_function_ser_schema(rule, when_used="json")
    return rewritten


def _classes(node: Any) -> Iterator[type]:
    if isinstance(node, list):
        for item in node:
            yield from _classes(item)
    elif isinstance(node, dict):
        if node.get("type") in {"dataclass", "model"}:
            yield node["cls"]
        for item in node.values():
            yield from _classes(item)


@contextmanager
def _incomplete(classes: Iterable[type]) -> Iterator[None]:
    """Have pydantic build from the schema given: for a class that is complete it takes the class's own serializer.

    One thread at a time: to another one, a class that is held to be incomplete would look as if it were.
    """
    with _BUILDING:
        complete = [cls for cls in set(classes) if getattr(cls, "__pydantic_complete__", False)]
        for cls in complete:
            cls.__pydantic_complete__ = False  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for cls in complete:
                cls.__pydantic_complete__ = True  # type: ignore[attr-defined]


_BUILDING = Lock()


def _sorted_set(value: object, encode: Callable[[object], list[Any]]) -> list[Any]:
    return sorted(encode(value), key=_text)


def _sorted_keys(value: Mapping[Any, Any], encode: Callable[[object], Mapping[str, Any]]) -> dict[str, Any]:
    return dict(sorted(encode({_utc(key): item for key, item in value.items()}).items()))


def _sorted_fields(value: object, encode: Callable[[object], Any]) -> Any:
    # Their serializers follow the instance's own order, whatever the schema's is.
    encoded = encode(value)
    return dict(sorted(encoded.items())) if isinstance(encoded, dict) else encoded


def _in_utc(value: object, encode: Callable[[object], Any]) -> Any:
    return encode(_utc(value))


def _finite(value: object, encode: Callable[[object], Any]) -> Any:
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{value} is not a number that JSON can hold")
    return encode(value)


def _sorted_deep(value: object, encode: Callable[[object], Any]) -> Any:
    """Give a value of no declared type the same form as the declared ones have."""
    match value:
        case set() | frozenset():
            return sorted((_sorted_deep(item, encode) for item in value), key=_text)
        case list() | tuple():
            return [_sorted_deep(item, encode) for item in value]
        case dict():
            return _sorted_keys({key: _sorted_deep(item, encode) for key, item in value.items()}, encode)
        case _:
            return _finite(_utc(value), encode)


def _utc(value: object) -> object:
    # A naive datetime names no instant; it is kept as written rather than read in this machine's zone.
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else value


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


# Where a container's parts have no declared type, pydantic leaves their schema out and no rule would reach them.
_ANY = core_schema.any_schema()
_UNDECLARED: dict[str, dict[str, Any]] = {
    "dict": {"keys_schema": _ANY, "values_schema": _ANY},
    "list": {"items_schema": _ANY},
    "set": {"items_schema": _ANY},
    "frozenset": {"items_schema": _ANY},
}
_CLASSES = ("dataclass", "model", "typed-dict")
_RULES: dict[str, Callable[..., Any]] = {
    "set": _sorted_set,
    "frozenset": _sorted_set,
    "dict": _sorted_keys,
    "model": _sorted_fields,
    "typed-dict": _sorted_fields,
    "any": _sorted_deep,
    "datetime": _in_utc,
}
