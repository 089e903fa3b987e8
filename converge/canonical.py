"""Canonical JSON: one byte string per content, whatever the order, text form or time zone it was written in.

A kind's serializer is its pydantic schema with four rules added: fields and mapping keys are sorted, sets are
sorted by encoding, datetimes are written in UTC. Text in NFC and the sign of zero are mended after encoding,
since almost no fact needs it and a hook on every string would cost each fact.
"""

__all__ = ["CanonicalSerializer", "normalized"]

import json
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic_core import CoreSchema, SchemaSerializer, core_schema

# Containers and times can hold the same content in two forms; a kind that has one is decoded from its canonical
# body before it enters a context, so that readers cannot see which form the author used or change it afterwards.
_LOOSE = frozenset({"list", "set", "frozenset", "dict", "any", "datetime", "time", "typed-dict", "model"})


class CanonicalSerializer:
    """Encodes instances of one schema canonically; `loose` says that equal content may differ in form."""

    __slots__ = ("_to_json", "loose")

    def __init__(self, schema: CoreSchema) -> None:
        seen: set[str] = set()
        canonical = _rewrite(schema, seen)
        self.loose = bool(seen & _LOOSE)
        self._to_json = SchemaSerializer(canonical, {"allow_inf_nan": False}).to_json

    def encode(self, value: object) -> bytes:
        """Return the body of `value`. Raises pydantic's serialization error or ValueError for what JSON cannot hold."""
        return self._to_json(value)

    @staticmethod
    def is_normal(body: bytes) -> bool:
        """Whether `body` needs no mending: its text is NFC and it has no negative zero."""
        if b"-0.0" in body:
            return False
        return body.isascii() or unicodedata.is_normalized("NFC", body.decode())


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


def _rewrite(node: Any, seen: set[str]) -> Any:
    if isinstance(node, list):
        return [_rewrite(item, seen) for item in node]
    if not isinstance(node, dict):
        return node
    rewritten = {key: _rewrite(item, seen) for key, item in node.items() if key != "metadata"}
    shape = node.get("type")
    if not isinstance(shape, str):
        return rewritten
    seen.add(shape)
    if shape == "dataclass-args":
        rewritten["fields"] = sorted(rewritten["fields"], key=lambda field: str(field["name"]))
    elif shape == "dataclass":
        rewritten["fields"] = sorted(rewritten["fields"])
    elif shape in {"model-fields", "typed-dict"}:
        rewritten["fields"] = dict(sorted(rewritten["fields"].items()))
    elif shape in _RULES and "serialization" not in rewritten:
        rule = core_schema.wrap_serializer_function_ser_schema(_RULES[shape], when_used="json")
        rewritten["serialization"] = rule
    return rewritten


def _sorted_set(value: object, encode: Callable[[object], list[Any]]) -> list[Any]:
    return sorted(encode(value), key=_text)


def _sorted_keys(value: object, encode: Callable[[object], Mapping[str, Any]]) -> dict[str, Any]:
    return dict(sorted(encode(value).items()))


def _sorted_deep(value: object, encode: Callable[[object], Any]) -> Any:
    return json.loads(_text(encode(value)))


def _in_utc(value: datetime, encode: Callable[[object], Any]) -> Any:
    # A naive datetime names no instant; it is kept as written rather than read in this machine's zone.
    return encode(value.astimezone(UTC) if value.tzinfo else value)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


_RULES: dict[str, Callable[..., Any]] = {
    "set": _sorted_set,
    "frozenset": _sorted_set,
    "dict": _sorted_keys,
    "any": _sorted_deep,
    "datetime": _in_utc,
}
