"""Facts of one kind as columns of cells, and cells as facts again: what all libraries have in common."""

__all__ = ["Table", "facts_in", "is_zoned", "need", "refuse_finer", "table_of"]

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

from pydantic_core import from_json

from converge.errors import FactInvalid, FrameInvalid, LibraryMissing
from converge.fact import Fact, identified, kind_of
from converge.frames.column import Column, columns_of

F = TypeVar("F", bound=Fact)


def need(what: str, library: str) -> None:
    """Raise LibraryMissing, naming what needs it, where a library is not installed."""
    try:
        import_module(library)
    except ModuleNotFoundError as error:
        raise LibraryMissing(what, library) from error


class Table(NamedTuple):
    """The columns of a kind, and their cells: None where one is empty."""

    columns: tuple[Column, ...] = ()
    cells: tuple[list[Any], ...] = ()


def table_of(facts: Iterable[Fact], kind: type[Fact] | None) -> Table:
    """Return facts as a table. Raises FrameInvalid where they are of several kinds, or a table cannot hold one."""
    given = list(facts)
    if kind is None and given:
        kind = type(given[0])
    if kind is None:
        return Table()
    if strange := [fact for fact in given if type(fact) is not kind]:
        raise FrameInvalid(kind_of(kind).label, f"{strange[0]!r:.80} is none: make one frame for each kind")
    columns, contents = columns_of(kind), [from_json(identified(fact)[2]) for fact in given]
    return Table(columns, tuple(_cells(kind, column, contents) for column in columns))


def _cells(kind: type[Fact], column: Column, contents: Sequence[Mapping[str, Any]]) -> list[Any]:
    try:
        cells = [column.cell(content[column.name]) for content in contents]
    except ValueError as error:
        raise FrameInvalid(kind_of(kind).label, f"{column.name}: {error}") from error
    if len(_zones(cells)) > 1:
        mixed = "some datetimes have a zone and some have none, and a column has it for all: give each a zone"
        raise FrameInvalid(kind_of(kind).label, f"{column.name}: {mixed}")
    return cells


def is_zoned(cells: Iterable[Any]) -> bool:
    """Whether the moments among some cells have a zone, which is UTC; true where there are none."""
    return _zones(cells) != {False}


def _zones(cells: Iterable[Any]) -> set[bool]:
    return {cell.tzinfo is not None for cell in cells if isinstance(cell, datetime)}


def facts_in(kind: type[F], names: Sequence[Any], size: int, read: Callable[[Column], Sequence[Any]]) -> list[F]:
    """Return the facts of a table with columns of these names and so many rows; `read` gives a column's cells.

    Raises FrameInvalid for a column that is missing or not known, and naming the row for what the kind refuses.
    """
    if not size and not names:
        return []
    columns = _matched(kind, list(names))
    cells = [read(column) for column in columns]
    return [_fact(kind, row, columns, values) for row, values in enumerate(zip(*cells, strict=True))]


def refuse_finer(kind: type[Fact], name: str, nanoseconds: Iterable[int | None], remedy: str) -> None:
    """Raise FrameInvalid for the first time in a column that is finer than a microsecond, which facts do not hold."""
    for row, value in enumerate(nanoseconds):
        if value is not None and value % 1_000:
            fine = f"{name}: {value:,} ns is finer than a microsecond: round it, as in {remedy}"
            raise FrameInvalid(kind_of(kind).label, fine, row)


def _matched(kind: type[Fact], names: list[Any]) -> list[Column]:
    """Return the columns that a table has; one whose field has a default may be left out."""
    label, columns = kind_of(kind).label, columns_of(kind)
    known = [column.name for column in columns]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise FrameInvalid(label, f"two columns are named {name!r}: name each once")
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            perhaps = f"rename it to {near[0]!r}" if near and near[0] not in names else "leave it out"
            raise FrameInvalid(label, f"column {name!r} is no field of it: {perhaps}")
    for column in columns:
        if column.required and column.name not in names:
            raise FrameInvalid(label, f"there is no column {column.name!r}, which it needs")
    return [column for column in columns if column.name in names]


def _fact(kind: type[F], row: int, columns: Sequence[Column], cells: Sequence[Any]) -> F:
    label = kind_of(kind).label
    try:
        content = {column.name: _content(column, cell) for column, cell in zip(columns, cells, strict=True)}
        fact: F = identified(kind_of(kind).load(content))[0]
    except FactInvalid as error:
        problems = "; ".join(f"{field}: {text}" if field else text for field, text in error.problems)
        raise FrameInvalid(label, problems, row) from error
    except ValueError as error:
        raise FrameInvalid(label, str(error), row) from error
    return fact


def _content(column: Column, cell: Any) -> Any:
    try:
        return column.content(cell)
    except ValueError as error:
        raise ValueError(f"{column.name}: {error}") from error
