"""Where jobs are kept: in memory, in one SQLite file, or in a PostgreSQL database."""

from converge_stores.memory import MemoryStore
from converge_stores.postgres import PostgresStore
from converge_stores.sqlite import SQLiteStore

__all__ = ["MemoryStore", "PostgresStore", "SQLiteStore"]
