"""A face: where jobs are kept, re-exported from `converge_stores` for users to import."""

__all__ = ["MemoryStore", "PostgresStore", "SQLiteStore"]

from converge_stores import MemoryStore, PostgresStore, SQLiteStore
