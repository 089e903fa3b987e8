"""Facts as a pandas DataFrame, and back."""

__all__ = ["from_pandas", "to_pandas"]

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from converge.errors import FrameInvalid
from converge.fact import Fact, kind_of
from converge.frames.column import Column
from converge.frames.table import facts_in, is_zoned, need, table_of

if TYPE_CHECKING:
    import pandas

F = TypeVar("F", bound=Fact)


def to_pandas(facts: Iterable[Fact], kind: type[Fact] | None = None) -> "pandas.DataFrame":
    """Return facts of one kind as a DataFrame with a column for each field, which `from_pandas` reads back.

    kind: names the columns where there may be no facts. Numbers and flags that may be None have pandas's nullable
    types; datetimes are in UTC; objects are JSON text. Raises FrameInvalid, or LibraryMissing.
    """
    need("to_pandas", "pandas")
    import pandas

    table = table_of(facts, kind)
    made = {
        column.name: pandas.Series(cells, dtype=_dtype(pandas, column, cells))
        for column, cells in zip(table.columns, table.cells, strict=True)
    }
    return pandas.DataFrame(made)


def from_pandas(kind: type[F], frame: "pandas.DataFrame") -> list[F]:
    """Return the facts of a kind that a DataFrame holds, one a row, in order; NaN, NaT and NA are None.

    Raises FrameInvalid naming the column or the row that does not fit, or LibraryMissing.
    """
    need("from_pandas", "pandas")
    import pandas

    if not isinstance(frame, pandas.DataFrame):
        raise FrameInvalid(kind_of(kind).label, f"a pandas.DataFrame is needed, not a {type(frame).__name__}")

    def read(column: Column) -> Sequence[Any]:
        return [_cell(pandas, kind, column, row, value) for row, value in enumerate(frame[column.name].tolist())]

    return facts_in(kind, list(frame.columns), len(frame), read)


def _dtype(pandas: Any, column: Column, cells: Sequence[Any]) -> Any:
    if column.many:
        return object
    match column.sort:
        case "whole":
            return "Int64" if column.optional else "int64"
        case "number":
            return "float64"
        case "flag":
            return "boolean" if column.optional else "bool"
        case "moment":
            return "datetime64[us, UTC]" if is_zoned(cells) else "datetime64[us]"
        case "text" | "json" if int(pandas.__version__.partition(".")[0]) >= _STRINGS:
            return "str"
    return object


_STRINGS = 3  # the version from which on text has a type of its own that keeps None


def _cell(pandas: Any, kind: type[Fact], column: Column, row: int, value: Any) -> Any:
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # an array in a cell, as parquet files give lists
        return value.tolist()
    if isinstance(value, (list, tuple, dict, set, frozenset)):
        return value
    if pandas.isna(value):
        return None
    if isinstance(value, pandas.Timestamp):
        if value.nanosecond:
            fine = f"{column.name}: {value} is finer than a microsecond: round it, as in .dt.round('us')"
            raise FrameInvalid(kind_of(kind).label, fine, row)
        return value.to_pydatetime()
    return value.to_pytimedelta() if isinstance(value, pandas.Timedelta) else value
