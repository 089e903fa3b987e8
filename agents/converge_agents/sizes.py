"""How large a strict schema may be, over all kinds that are asked for together."""

__all__ = ["exceeded"]

from collections.abc import Iterator
from typing import Any

from converge_agents.subset import Problem

MAX_FIELDS = 5_000
MAX_DEPTH = 10  # objects and lists within each other; the answer itself and its list of items are two
MAX_VALUES = 1_000  # in all enums
MAX_NAMES = 120_000  # characters in all names of fields and definitions and all enum and const values
LONG_ENUM, MAX_LONG_ENUM = 250, 15_000  # an enum of more than 250 texts may have 15,000 characters


def exceeded(document: Any, kind: str) -> list[Problem]:
    """Return which limits the schema passes; `kind` names it, and is empty for several kinds together."""
    return [
        Problem(kind, "", f"the schema has {found:,} {what} and {limit:,} is the limit", remedy)
        for found, limit, what, remedy in _counted(document)
        if found > limit
    ]


def _counted(document: Any) -> Iterator[tuple[int, int, str, str]]:
    nodes = list(_nodes(document))
    enums = [node["enum"] for node in nodes if "enum" in node]
    fields = [name for node in nodes for name in node.get("properties", ())]
    values = [value for enum in enums for value in enum] + [node["const"] for node in nodes if "const" in node]
    names = sum(len(str(text)) for text in [*fields, *document.get("$defs", ()), *values])
    yield len(fields), MAX_FIELDS, "fields", "ask for fewer at a time"
    yield _depth(document, document, frozenset()), MAX_DEPTH, "levels within each other", "make the kind flatter"
    yield sum(map(len, enums)), MAX_VALUES, "values in enums", "use str and a validator"
    yield names, MAX_NAMES, "characters in names and values", "ask for fewer at a time"
    for enum in enums:
        if len(enum) > LONG_ENUM:
            what = f"characters in one enum of {len(enum)} values"
            yield (
                sum(len(text) for text in enum if isinstance(text, str)),
                MAX_LONG_ENUM,
                what,
                "use str and a validator",
            )


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for part in (*node.get("$defs", {}).values(), *_parts(node)):
        yield from _nodes(part)


def _parts(node: Any) -> Iterator[Any]:
    yield from node.get("properties", {}).values()
    for word in ("items", "additionalProperties"):
        if isinstance(part := node.get(word), dict):
            yield part
    for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        yield from node.get(word, ())


def _depth(document: Any, node: Any, above: frozenset[str]) -> int:
    """Return how many objects and lists lie within each other; where one holds itself, once around."""
    if ref := node.get("$ref"):
        if ref in above:
            return 0
        return _depth(document, document["$defs"][ref.removeprefix("#/$defs/")], above | {ref})
    own = node.get("type") in {"object", "array"}
    return own + max((_depth(document, part, above) for part in _parts(node)), default=0)
