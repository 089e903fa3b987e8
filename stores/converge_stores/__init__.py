"""Where jobs are kept: in memory, or in one SQLite file."""

from converge_stores.memory import MemoryStore
from converge_stores.sqlite import SQLiteStore

__all__ = ["MemoryStore", "SQLiteStore"]
