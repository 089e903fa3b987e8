"""Jobs in a PostgreSQL database, which many machines can reach: the store itself is in `store`."""

from converge_stores.postgres.store import Level, PostgresStore

__all__ = ["Level", "PostgresStore"]
