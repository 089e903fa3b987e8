"""Facts as JSON lines: one `{"kind": "Risk", "fact": {...}}` a line, so that a field may be called anything.

A version is written where it is not the first: `{"kind": "Risk", "version": 2, "fact": {...}}`.
"""

__all__ = ["fact_line", "lines_schema", "read_facts", "write_facts"]

import json
import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from converge.errors import FactFileUnreadable, FactInvalid, FactLineInvalid, FactTooLarge
from converge.fact import Fact, Invalidation, identified, kind_of
from converge.kind import Kind


def read_facts(path: str | os.PathLike[str], kinds: Mapping[str, Kind]) -> list[Fact]:
    """Return the facts in a file, each validated by its kind; blank lines are passed over.

    `kinds` by label, as in `engine.kinds`. Raises FactFileUnreadable, or FactLineInvalid with the line's number and
    the reason.
    """
    known = {**kinds, "Invalidation": kind_of(Invalidation)}
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise FactFileUnreadable(str(path), error.strerror or str(error)) from error
    return [_fact(str(path), number, line, known) for number, line in enumerate(lines, start=1) if line.strip()]


def write_facts(path: str | os.PathLike[str], facts: Iterable[Fact]) -> None:
    """Write facts to a file that `read_facts` reads."""
    Path(path).write_text("".join(fact_line(fact) + "\n" for fact in facts), encoding="utf-8")


def fact_line(fact: Fact) -> str:
    """Return one fact as a line, without its end."""
    kind, content = kind_of(fact), identified(fact)[2].decode()
    version = "" if kind.version == 1 else f', "version": {kind.version}'
    return f'{{"kind": "{kind.name}"{version}, "fact": {content}}}'


def lines_schema(kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """Return the JSON Schema of a line that `read_facts` reads, as other programs check it."""
    known = {**kinds, "Invalidation": kind_of(Invalidation)}
    adapters: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        (label, "validation", TypeAdapter(kind.cls)) for label, kind in known.items()
    ]
    contents, shared = TypeAdapter.json_schemas(adapters)
    lines = [_line_schema(kind, contents[label, "validation"]) for label, kind in known.items()]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "oneOf": lines, **shared}


def _line_schema(kind: Kind, content: Mapping[str, Any]) -> dict[str, Any]:
    needed = ["kind", "fact"] if kind.version == 1 else ["kind", "version", "fact"]
    return {
        "title": kind.label,
        "type": "object",
        "properties": {"kind": {"const": kind.name}, "version": {"const": kind.version}, "fact": content},
        "required": needed,
        "additionalProperties": False,
    }


def _fact(path: str, number: int, line: bytes, kinds: Mapping[str, Kind]) -> Fact:
    def refuse(reason: str) -> FactLineInvalid:
        return FactLineInvalid(path, number, reason)

    try:
        data: Any = json.loads(line, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise refuse("it is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise refuse(f"not JSON: {error.msg[0].lower()}{error.msg[1:]} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise refuse(f"not JSON: {reason}") from error
    if not _is_line(data):
        raise refuse('a line is {"kind": "...", "fact": {...}}, with "version": 2 where it is not the first')
    label = data["kind"] if data.get("version", 1) == 1 else f"{data['kind']}@{data['version']}"
    if label not in kinds:
        raise refuse(f"unknown kind {label!r}: {_hint(label, kinds)}")
    try:
        return identified(kinds[label].load(data["fact"]))[0]  # type: ignore[no-any-return]
    except (FactInvalid, FactTooLarge) as error:
        raise refuse(str(error)) from error


def _is_line(data: object) -> bool:
    if not isinstance(data, dict) or not {"kind", "fact"} <= data.keys() <= {"kind", "fact", "version"}:
        return False
    return isinstance(data["kind"], str) and isinstance(data.get("version", 1), int)


def _hint(label: str, kinds: Mapping[str, Kind]) -> str:
    if near := get_close_matches(label, list(kinds), n=1):
        return f"did you mean {near[0]}?"
    declared = sorted(kinds.keys() - {"Invalidation"})
    return f"the kinds here are {', '.join(declared)}" if declared else "no agent here declares a kind"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that JSON or a fact can hold")
