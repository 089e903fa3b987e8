"""A column: what stands for one field of a kind in a table, and how it gets there and back."""

__all__ = ["Column", "Sort", "columns_of"]

import json
from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from pydantic_core import from_json

from converge.fact import Fact, kind_of

Sort = Literal["text", "whole", "number", "flag", "moment", "day", "json"]
_LARGEST = 2**63  # what a column of whole numbers holds is below that


class Column(NamedTuple):
    """One field: its name, what its cells hold, whether each is a list of these, and whether one may be empty.

    required: whether the column must be there, its field having no default. Of sorts, moment is a point in time, day a
    date, and json any JSON, as text.
    """

    name: str
    sort: Sort
    many: bool = False
    optional: bool = False
    required: bool = True

    def cell(self, content: Any) -> Any:
        """Return what stands in a table for a field's content. Raises ValueError for a number that does not fit."""
        if content is None:
            return None
        match self.sort:
            case "json":
                return json.dumps(content, ensure_ascii=False)
            case "whole":
                self._check_size(content if self.many else [content])
            case "moment":
                return datetime.fromisoformat(content)
            case "day":
                return date.fromisoformat(content)
        return content

    def content(self, cell: Any) -> Any:
        """Return what is to be validated for a cell. Raises ValueError for text that is not JSON where that is held."""
        if self.sort == "json" and isinstance(cell, str):
            try:
                return from_json(cell)
            except ValueError:
                raise ValueError(
                    f"{cell!r:.40} is not JSON text, which this column holds: write json.dumps(...)"
                ) from None
        return cell

    def _check_size(self, numbers: list[int | None]) -> None:
        for number in numbers:
            if number is not None and not -_LARGEST <= number < _LARGEST:
                raise ValueError(f"{number} is more than 64 bits hold: declare the field as str, or use JSON lines")


@lru_cache(256)
def columns_of(kind: type[Fact]) -> tuple[Column, ...]:
    """Return the columns of a kind, in the order of its fields."""
    schema = kind_of(kind).json_schema("serialization")
    definitions = schema.get("$defs", {})
    own = _resolved(schema, definitions)
    found = (_column(name, part, definitions) for name, part in own.get("properties", {}).items())
    return tuple(column._replace(required=column.name in own.get("required", ())) for column in found)


def _column(name: str, part: Mapping[str, Any], definitions: Mapping[str, Any]) -> Column:
    part = _resolved(part, definitions)
    others = [other for other in part.get("anyOf", ()) if other.get("type") != "null"]
    if len(others) == 1 and len(part["anyOf"]) == 2:
        return _column(name, others[0], definitions)._replace(optional=True)
    if part.get("type") == "array" and (sort := _sort_of_items(part, definitions)) is not None:
        return Column(name, sort, many=True)
    sort = _sort(part)
    return Column(name, sort, optional=sort == "json" and "type" not in part)


def _sort_of_items(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> Sort | None:
    """Return what a list is of, where every table can hold a list of that."""
    items = part.get("items")
    if not isinstance(items, dict):
        return None
    column = _column("", items, definitions)
    return column.sort if column.sort in ("text", "whole", "number", "flag") and not column.many else None


def _sort(part: Mapping[str, Any]) -> Sort:
    formatted: dict[Any, Sort] = {"date-time": "moment", "date": "day"}
    plain: dict[Any, Sort] = {"string": "text", "integer": "whole", "number": "number", "boolean": "flag"}
    return formatted.get(part.get("format")) or plain.get(part.get("type"), "json")


def _resolved(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in part:
        part = definitions[part["$ref"].rpartition("/")[2]]
    return part
