"""Whether a database can be trusted with jobs: the server, what it promises of commits, and the tables there.

Nothing is made or changed.
"""

__all__ = ["examine"]

import statistics
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from converge.errors import OperatorError
from converge_stores.check import Check
from converge_stores.postgres.preparing import driver, unavailable, version_of
from converge_stores.postgres.schema import VERSION

if TYPE_CHECKING:
    import psycopg

    from converge_stores.postgres.store import Level, PostgresStore

_OLDEST = 130_000  # what is older has no updates any more
_TIMES = 20
_SETTINGS = ["fsync", "full_page_writes", "server_encoding", "max_connections"]
_SKEW = 2.0  # seconds between two clocks, from which on leases are not what they say


async def examine(store: "PostgresStore", level: "Level") -> list[Check]:
    """Return what there is to say about a store that need not exist yet, at the level that it is to have."""
    checks = []
    try:
        psycopg, _ = driver()
        checks.append(Check("driver", "ok", f"psycopg {psycopg.__version__}, {psycopg.pq.__impl__}"))
        async with await psycopg.AsyncConnection.connect(store.address.url, **store.options()) as connection:
            checks += [check async for check in _found(connection, store, level)]
    except OperatorError as error:
        checks.append(Check("server", "failed", str(error)))
    except psycopg.Error as error:
        checks.append(Check("server", "failed", str(unavailable(str(store), error))))
    return checks


async def _found(
    connection: "psycopg.AsyncConnection[Any]", store: "PostgresStore", level: "Level"
) -> AsyncIterator[Check]:
    yield _server(connection.info.server_version)
    settings = dict(await _all(connection, "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (_SETTINGS,)))
    yield _encoding(settings["server_encoding"])
    yield _disk(settings["fsync"], settings["full_page_writes"])
    yield await _room(connection, int(settings["max_connections"]))
    yield await _clock(connection)
    yield await _latency(connection)
    yield await _tables(connection, store)
    yield _level(level)


def _server(version: int) -> Check:
    text = f"PostgreSQL {version // 10_000}.{version % 10_000}"
    if version < _OLDEST:
        return Check("server", "warning", f"{text}, which has no updates any more: use 13 or newer")
    return Check("server", "ok", text)


def _encoding(name: str) -> Check:
    if name != "UTF8":
        text = f"{name}: facts may hold what it has no signs for; create the database with ENCODING 'UTF8'"
        return Check("encoding", "failed", text)
    return Check("encoding", "ok", name)


def _disk(fsync: str, full_page_writes: str) -> Check:
    off = [name for name, value in (("fsync", fsync), ("full_page_writes", full_page_writes)) if value != "on"]
    if off:
        text = f"{' and '.join(off)} off: a crash of the server's machine may damage the database; turn it on"
        return Check("disk", "warning", text)
    return Check("disk", "ok", "fsync and full_page_writes are on")


async def _room(connection: "psycopg.AsyncConnection[Any]", most: int) -> Check:
    ((used,),) = await _all(connection, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
    text = f"{used:,} of {most:,} in use"
    if used > most * 0.9:
        return Check("connections", "warning", f"{text}: raise max_connections, or put a pool in front")
    return Check("connections", "ok", text)


async def _clock(connection: "psycopg.AsyncConnection[Any]") -> Check:
    before = time.time()
    ((there,),) = await _all(connection, "SELECT extract(epoch FROM clock_timestamp())::float8")
    apart = float(there) - (before + time.time()) / 2
    if abs(apart) > _SKEW:
        text = f"this machine's differs by {apart:.1f} s from the server's: leases end early or late; set it right"
        return Check("clock", "warning", text)
    return Check("clock", "ok", f"within {max(abs(apart) * 1e3, 1):.0f} ms of the server's")


async def _latency(connection: "psycopg.AsyncConnection[Any]") -> Check:
    taken = []
    for _ in range(_TIMES):
        begun = time.perf_counter()
        await _all(connection, "SELECT 1")
        taken.append(time.perf_counter() - begun)
    return Check("latency", "ok", f"{statistics.median(taken) * 1e3:.2f} ms there and back, at least, for each commit")


async def _tables(connection: "psycopg.AsyncConnection[Any]", store: "PostgresStore") -> Check:
    version = await version_of(connection, store)
    if version:
        ((count,),) = await _all(connection, f"SELECT count(*) FROM {store.schema}.log WHERE number = 0")
        jobs = f"{count:,} job{'' if count == 1 else 's'}"
        if version < VERSION:
            return Check("tables", "note", f"version {version}, brought to {VERSION} when next opened, {jobs}")
        return Check("tables", "ok", f"version {version} in schema {store.schema}, {jobs}")
    may = "SELECT to_regnamespace(%s) IS NOT NULL, has_database_privilege(current_database(), 'CREATE')"
    ((is_there, may_make),) = await _all(connection, may, (store.schema,))
    if is_there or may_make:
        return Check("tables", "note", f"none in schema {store.schema} yet: the first job makes them")
    text = f"there is no schema {store.schema}, and this user may not make one: CREATE SCHEMA as its owner"
    return Check("tables", "failed", text)


def _level(level: "Level") -> Check:
    if level == "power":
        return Check("level", "ok", "power: a commit is on the server's disk before the job goes on")
    text = "process: every commit survives the end of this process; a crash of the server may lose the newest"
    return Check("level", "ok", text)


async def _all(connection: "psycopg.AsyncConnection[Any]", query: str, values: Any = ()) -> list[Any]:
    return await (await connection.execute(query, values)).fetchall()
