"""Jobs in one SQLite file: the store itself is in `store`."""

from converge_stores.sqlite.store import Level, SQLiteStore

__all__ = ["Level", "SQLiteStore"]
