"""A face: where jobs are kept, re-exported from `converge_stores` for users to import."""

__all__ = ["MemoryStore", "PostgresStore", "SQLiteStore"]

from typing import TYPE_CHECKING, Any

import converge_stores

if TYPE_CHECKING:
    from converge_stores import MemoryStore, PostgresStore, SQLiteStore


def __getattr__(name: str) -> Any:
    """Load the store that is asked for, and no other."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(converge_stores, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
