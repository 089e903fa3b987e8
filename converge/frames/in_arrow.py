"""Facts as an Arrow table, and back: the form in which they go into Parquet, DuckDB and most of the rest."""

__all__ = ["from_arrow", "to_arrow"]

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from converge.errors import FrameInvalid
from converge.fact import Fact, kind_of
from converge.frames.column import Column
from converge.frames.table import facts_in, is_zoned, need, refuse_finer, table_of

if TYPE_CHECKING:
    import pyarrow

F = TypeVar("F", bound=Fact)


def to_arrow(facts: Iterable[Fact], kind: type[Fact] | None = None) -> "pyarrow.Table":
    """Return facts of one kind as a Table with a column for each field, which `from_arrow` reads back.

    kind: names the columns where there may be no facts. Datetimes are in UTC; objects are JSON text. Raises
    FrameInvalid, or LibraryMissing.
    """
    need("to_arrow", "pyarrow")
    import pyarrow

    table = table_of(facts, kind)
    types = [_type(pyarrow, column, cells) for column, cells in zip(*table, strict=True)]
    fields = [
        pyarrow.field(column.name, type_, nullable=column.optional)
        for column, type_ in zip(table.columns, types, strict=True)
    ]
    arrays = [pyarrow.array(cells, type_) for cells, type_ in zip(table.cells, types, strict=True)]
    return pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields))


def from_arrow(kind: type[F], table: "pyarrow.Table") -> list[F]:
    """Return the facts of a kind that a Table holds, one a row, in order.

    Raises FrameInvalid naming the column or the row that does not fit, or LibraryMissing.
    """
    need("from_arrow", "pyarrow")
    import pyarrow

    if not isinstance(table, pyarrow.Table):
        raise FrameInvalid(kind_of(kind).label, f"a pyarrow.Table is needed, not a {type(table).__name__}")

    def read(column: Column) -> Sequence[Any]:
        cells = table.column(column.name)
        if getattr(cells.type, "unit", None) == "ns":  # of a timestamp, a duration or a time
            refuse_finer(kind, column.name, cells.cast("int64").to_pylist(), _ROUND)
        found: list[Any] = cells.to_pylist()
        return found

    return facts_in(kind, table.column_names, table.num_rows, read)


_ROUND = "pyarrow.compute.round_temporal(column, unit='microsecond')"


def _type(pyarrow: Any, column: Column, cells: Sequence[Any]) -> Any:
    match column.sort:
        case "whole":
            one = pyarrow.int64()
        case "number":
            one = pyarrow.float64()
        case "flag":
            one = pyarrow.bool_()
        case "moment":
            one = pyarrow.timestamp("us", "UTC" if is_zoned(cells) else None)
        case "day":
            one = pyarrow.date32()
        case _:
            one = pyarrow.string()
    return pyarrow.list_(one) if column.many else one
