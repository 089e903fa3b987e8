"""Facts as tables of other libraries, and back: a kind's fields are columns, and what comes back is what went in.

1. A column's type is its field's declared type, never what happens to stand in it.
2. What a table has no type for that keeps it exactly (objects, lists of lists, unions) stands as JSON text.
3. What does not fit is refused by a sentence that names the row or the field; nothing is rounded or dropped.
"""

from converge.frames.in_arrow import from_arrow, to_arrow
from converge.frames.in_pandas import from_pandas, to_pandas
from converge.frames.in_polars import from_polars, to_polars

__all__ = ["from_arrow", "from_pandas", "from_polars", "to_arrow", "to_pandas", "to_polars"]
