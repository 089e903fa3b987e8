"""Facts as a polars DataFrame, and back."""

__all__ = ["from_polars", "to_polars"]

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from converge.errors import FrameInvalid
from converge.fact import Fact, kind_of
from converge.frames.column import Column
from converge.frames.table import facts_in, is_zoned, need, refuse_finer, table_of

if TYPE_CHECKING:
    import polars

F = TypeVar("F", bound=Fact)


def to_polars(facts: Iterable[Fact], kind: type[Fact] | None = None) -> "polars.DataFrame":
    """Return facts of one kind as a DataFrame with a column for each field, which `from_polars` reads back.

    kind: names the columns where there may be no facts. Datetimes are in UTC; objects are JSON text. Raises
    FrameInvalid, or LibraryMissing.
    """
    need("to_polars", "polars")
    import polars

    table = table_of(facts, kind)
    made = [
        polars.Series(column.name, cells, dtype=_dtype(polars, column, cells), strict=True)
        for column, cells in zip(table.columns, table.cells, strict=True)
    ]
    return polars.DataFrame(made)


def from_polars(kind: type[F], frame: "polars.DataFrame") -> list[F]:
    """Return the facts of a kind that a DataFrame holds, one a row, in order.

    Raises FrameInvalid naming the column or the row that does not fit, or LibraryMissing.
    """
    need("from_polars", "polars")
    import polars

    if not isinstance(frame, polars.DataFrame):
        raise FrameInvalid(kind_of(kind).label, f"a polars.DataFrame is needed, not a {type(frame).__name__}")

    def read(column: Column) -> Sequence[Any]:
        cells = frame[column.name]
        is_time = cells.dtype == polars.Time
        if is_time or getattr(cells.dtype, "time_unit", None) == "ns":
            refuse_finer(kind, column.name, cells.to_physical().to_list(), _ROUND_TIME if is_time else _ROUND)
        return cells.to_list()

    return facts_in(kind, frame.columns, frame.height, read)


_ROUND = ".dt.cast_time_unit('us')"
_ROUND_TIME = "(column.to_physical() // 1000 * 1000).cast(polars.Time)"


def _dtype(polars: Any, column: Column, cells: Sequence[Any]) -> Any:
    match column.sort:
        case "whole":
            one = polars.Int64
        case "number":
            one = polars.Float64
        case "flag":
            one = polars.Boolean
        case "moment":
            one = polars.Datetime("us", "UTC" if is_zoned(cells) else None)
        case "day":
            one = polars.Date
        case _:
            one = polars.String
    return polars.List(one) if column.many else one
