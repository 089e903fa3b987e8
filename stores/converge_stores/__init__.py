"""Where jobs are kept: in memory, in one SQLite file, or in a PostgreSQL database."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converge_stores.memory import MemoryStore
    from converge_stores.postgres import PostgresStore
    from converge_stores.sqlite import SQLiteStore

__all__ = ["MemoryStore", "PostgresStore", "SQLiteStore"]

_FOUND_IN = {
    "MemoryStore": "converge_stores.memory",
    "PostgresStore": "converge_stores.postgres",
    "SQLiteStore": "converge_stores.sqlite",
}


def __getattr__(name: str) -> Any:
    """Load the store that is asked for, and no other: whoever keeps jobs in memory needs neither database."""
    if name not in _FOUND_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_FOUND_IN[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_FOUND_IN})
