"""Making a database ready, and what its driver says turned into what to do about it."""

__all__ = ["driver", "is_passing", "prepare", "unavailable", "version_of"]

from typing import TYPE_CHECKING, Any

from converge.errors import ExtraMissing, StoreForeign, StoreTooNew, StoreUnavailable
from converge_stores.postgres.schema import MIGRATIONS, VERSION

if TYPE_CHECKING:
    import psycopg

    from converge_stores.postgres.store import PostgresStore

_PASSING = ("08", "57P01", "57P02", "57P03", "53300", "40001", "40P01")  # SQLSTATEs, or how they begin
_ADVICE = {  # what the server or the driver says -> what it means and what to do
    "password authentication failed": "the user or the password is wrong: put them into the URL, or set PGPASSWORD",
    "no password supplied": "it wants a password: put it into the URL, or set PGPASSWORD",
    'relation "': "its tables are not there any more: put back a copy, or open it anew to begin with empty ones",
    "does not exist": "there is no such database or user: create it, or correct the URL",
    "Connection refused": "no server listens there: start it, or correct host and port",
    "could not translate host name": "there is no such host: correct the URL",
    "failed to resolve host": "there is no such host: correct the URL",
    "No such file or directory": "no server listens there: start it, or name its host in the URL",
    "timeout expired": "the server does not answer: see whether host and port are right and nothing blocks the way",
    "Connection timed out": "the server does not answer any more: see whether the network is up, then resume the job",
    "couldn't get a connection": "the server does not answer any more: see whether it is up, then resume the job",
    "permission denied": "this user may not use the schema: GRANT it USAGE and CREATE, or name another schema",
    "No space left on device": "the server's disk is full: make room, then resume the job",
    "too many clients": "the server has too many connections: raise max_connections, or lower `connections`",
    "remaining connection slots": "the server has too many connections: raise max_connections, or lower `connections`",
}


def driver() -> tuple[Any, Any]:
    """Return psycopg and its pool, loaded here so that `import converge` loads no driver. Raises ExtraMissing."""
    try:
        import psycopg
        import psycopg_pool
    except ImportError as error:
        raise ExtraMissing("PostgresStore", "postgres") from error
    return psycopg, psycopg_pool


def is_passing(error: BaseException) -> bool:
    """Whether an error is one of a server that went away, starts or is full, so that another try may do."""
    import psycopg
    import psycopg_pool

    if not isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return False
    if isinstance(error, psycopg_pool.PoolTimeout):  # it has been waited for
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_PASSING)


def unavailable(store: str, error: Exception) -> StoreUnavailable:
    """Return the library's error for one of the driver's, with the remedy where it is known."""
    said = " ".join(str(error).split())
    return StoreUnavailable(store, next((text for words, text in _ADVICE.items() if words in said), said))


async def prepare(connection: "psycopg.AsyncConnection[Any]", store: "PostgresStore") -> None:
    """Bring a schema to the present version, all of it or nothing; two who come at once do it one after the other.

    Raises StoreForeign, StoreTooNew, or StoreUnavailable where there is none and none is to be made.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('converge'), hashtext(%s))", (store.schema,))
        version = await version_of(connection, store)
        if version == VERSION:
            return
        if not version:
            await _make(connection, store)
        for number in range(version, VERSION):
            for statement in MIGRATIONS[number]:
                await connection.execute(statement.format(schema=store.schema))
        await connection.execute(f"UPDATE {store.schema}.converge_store SET version = %s", (VERSION,))


async def version_of(connection: "psycopg.AsyncConnection[Any]", store: "PostgresStore") -> int:
    """Return the version of the tables that are there, 0 for none. Raises StoreForeign or StoreTooNew."""
    query = "SELECT to_regclass(%s) IS NOT NULL, to_regclass(%s) IS NOT NULL"
    names = [f"{store.schema}.{table}" for table in ("converge_store", "log")]
    is_ours, is_taken = await _one(connection, query, names)
    if not is_ours:
        if is_taken:
            raise StoreForeign(str(store), f"a table {names[1]} of somebody else is there")
        return 0
    (version,) = await _one(connection, f"SELECT version FROM {names[0]}", ())
    if version > VERSION:
        raise StoreTooNew(str(store), version, VERSION)
    return int(version)


async def _make(connection: "psycopg.AsyncConnection[Any]", store: "PostgresStore") -> None:
    if not store.may_create:
        raise StoreUnavailable(str(store), "no job was ever kept there: correct the database or the schema")
    (is_there,) = await _one(connection, "SELECT to_regnamespace(%s) IS NOT NULL", (store.schema,))
    if not is_there:  # asked for first, since making one takes a right that a user may lack where it is there
        await connection.execute(f"CREATE SCHEMA {store.schema}")
    await connection.execute(f"CREATE TABLE {store.schema}.converge_store (version integer NOT NULL)")
    await connection.execute(f"INSERT INTO {store.schema}.converge_store VALUES (0)")


async def _one(connection: "psycopg.AsyncConnection[Any]", query: str, values: Any) -> Any:
    return await (await connection.execute(query, values)).fetchone()
