"""A store in one SQLite file: readable with plain `sqlite3`, appended to in one statement a commit.

One connection writes. Its thread is aiosqlite's; a statement that has begun is not stopped by cancelling its caller,
so whoever must know whether a commit happened shields it.
"""

__all__ = ["SQLiteStore", "chained"]

import json
import os
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from converge.errors import JobExists, JobUnknown, StoreConflict, StoreForeign, StoreTooNew, StoreUnavailable
from converge.ports import CycleRow, JobHeader, JobSummary, StoredJob
from converge_stores.schema import APPLICATION_ID, MIGRATIONS, VERSION

if TYPE_CHECKING:
    import aiosqlite

_INSERT = "INSERT INTO cycles (job_id, number, at, round, facts, stop, digest, body) VALUES "
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?)"
_SWITCH_ATTEMPTS, _SWITCH_SECONDS = 100, 0.02
_ADVICE = {  # what the driver says -> what it means and what to do
    "readonly": "it cannot be written (attempt to write a readonly database): make it and its folder writable",
    "unable to open": "it cannot be opened: make its folder writable, or choose another path",
    "locked": "another process keeps it locked (database is locked): try again when that one is done",
    "disk is full": "the disk is full: make room, then resume the job",
}


class SQLiteStore:
    """Keeps jobs in the file at `path`, made on first use. What is committed survives the end of the process."""

    durable = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._connection: aiosqlite.Connection | None = None
        self._heads: dict[str, tuple[int, str]] = {}  # job -> number and digest of its last row

    def __repr__(self) -> str:
        return f"<SQLite store {self.path}>"

    async def open(self) -> None:
        """Open the file, make or bring its tables up to date, and refuse a foreign or newer one."""
        import aiosqlite  # here and not above: `import converge` must not load a driver

        self._make_ready()
        async with self._errors():
            connection = await aiosqlite.connect(self.path, isolation_level=None)
            try:
                await self._prepare(connection)
            except BaseException:
                await connection.close()
                raise
        self._connection = connection

    async def close(self) -> None:
        """Close the connection; one left open would keep the interpreter from ending."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._heads.clear()
            async with self._errors():
                await connection.close()

    async def create(self, header: JobHeader, first: CycleRow) -> None:
        """Add a job and its first row in one statement."""
        columns = (header.job_id, 0, header.created, 0, 0, None)
        digest = chained("", columns, header.intent)
        values = [*columns, digest, header.intent]
        try:
            await self._insert(header.job_id, values, digest, [first])
        except sqlite3.IntegrityError as error:
            raise JobExists(header.job_id, str(self.path)) from error

    async def append(self, job_id: str, rows: Sequence[CycleRow]) -> None:
        """Add rows in one statement. The primary key refuses a number that another process has written."""
        number, digest = await self._head(job_id)
        if rows and rows[0].number != number + 1:
            raise StoreConflict(job_id, rows[0].number)
        try:
            await self._insert(job_id, [], digest, rows)
        except sqlite3.IntegrityError as error:
            self._heads.pop(job_id, None)
            raise StoreConflict(job_id, rows[0].number) from error

    async def load(self, job_id: str) -> StoredJob:
        """Return a job."""
        rows = await self._fetch(
            "SELECT number, at, body, digest FROM cycles WHERE job_id = ? ORDER BY number", (job_id,)
        )
        if not rows:
            raise JobUnknown(job_id, str(self.path), [summary.job_id for summary in await self.jobs()])
        self._heads[job_id] = (rows[-1][0], rows[-1][3])
        return StoredJob(JobHeader(job_id, rows[0][1], rows[0][2]), [row[2] for row in rows[1:]])

    async def jobs(self) -> Sequence[JobSummary]:
        """Return all jobs, the newest first."""
        columns = ", ".join(JobSummary._fields)
        return [
            JobSummary(*row) for row in await self._fetch(f"SELECT {columns} FROM jobs ORDER BY created DESC, job_id")
        ]

    # --- within -------------------------------------------------------------------------------------------------

    async def _insert(self, job_id: str, values: list[Any], digest: str, rows: Iterable[CycleRow]) -> None:
        number = 0
        for row in rows:
            body, number = row.body(), row.number
            columns = (job_id, number, row.at, row.round, row.facts, row.stop)
            digest = chained(digest, columns, body)
            values += [*columns, digest, body]
        places = ", ".join([_ROW] * (len(values) // 8))
        async with self._errors():
            await self._open_connection().execute_insert(_INSERT + places, values)
        self._heads[job_id] = (number, digest)

    async def _head(self, job_id: str) -> tuple[int, str]:
        if job_id not in self._heads:
            last = "SELECT number, digest FROM cycles WHERE job_id = ? ORDER BY number DESC LIMIT 1"
            rows = await self._fetch(last, (job_id,))
            if not rows:
                raise JobUnknown(job_id, str(self.path))
            self._heads[job_id] = (rows[0][0], rows[0][1])
        return self._heads[job_id]

    async def _fetch(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        async with self._errors():
            return list(await self._open_connection().execute_fetchall(query, values))

    def _open_connection(self) -> "aiosqlite.Connection":
        if self._connection is None:
            raise StoreUnavailable(str(self.path), "it is not open: use `async with engine`, or await store.open()")
        return self._connection

    async def _prepare(self, connection: "aiosqlite.Connection") -> None:
        await connection.execute_fetchall("PRAGMA busy_timeout = 5000")
        await connection.execute_fetchall("BEGIN IMMEDIATE")  # two that open a new file must not both fill it
        try:
            version = await self._known_version(connection)
            for number in range(version, VERSION):
                for statement in (*MIGRATIONS[number], f"PRAGMA user_version = {number + 1}"):
                    await connection.execute_fetchall(statement)
            await connection.execute_fetchall(f"PRAGMA application_id = {APPLICATION_ID}")
        except BaseException:
            await connection.execute_fetchall("ROLLBACK")
            raise
        await connection.execute_fetchall("COMMIT")
        # WAL with NORMAL survives the end of the process at any moment; a power cut may lose the newest cycles.
        await self._in_wal(connection)
        await connection.execute_fetchall("PRAGMA synchronous = NORMAL")

    async def _known_version(self, connection: "aiosqlite.Connection") -> int:
        queries = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        found = [list(await connection.execute_fetchall(query)) for query in queries]
        application, version, tables = (rows[0][0] for rows in found)
        if application != APPLICATION_ID and (application or version or tables):
            raise StoreForeign(str(self.path), "another program's SQLite file")
        if version > VERSION:
            raise StoreTooNew(str(self.path), version, VERSION)
        return int(version)

    async def _in_wal(self, connection: "aiosqlite.Connection") -> None:
        """Switch to WAL; while another one that opens the file is switching, SQLite refuses without waiting."""
        for _ in range(_SWITCH_ATTEMPTS):
            try:
                await connection.execute_fetchall("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                await anyio.sleep(_SWITCH_SECONDS)
            else:
                return
        await connection.execute_fetchall("PRAGMA journal_mode = WAL")

    def _make_ready(self) -> None:
        """Make the file, for its owner alone: facts and prompts are private, and SQLite's side files take its mode."""
        if str(self.path) == ":memory:":
            raise StoreUnavailable(":memory:", "it is not a file: leave store= out to keep jobs in memory")
        if self.path.is_dir():
            raise StoreUnavailable(str(self.path), "it is a directory: name a file")
        if not self.path.parent.is_dir():
            raise StoreUnavailable(str(self.path), f"the folder {self.path.parent} does not exist: make it first")
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            why = f"{(error.strerror or str(error)).lower()}: make it writable or choose another path"
            raise StoreUnavailable(str(self.path), why) from error

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        """Turn the driver's errors into the library's; a refused key is for the caller to name."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            if "not a database" in str(error):
                raise StoreForeign(str(self.path), "not an SQLite file") from error
            advice = next((text for said, text in _ADVICE.items() if said in str(error)), str(error))
            raise StoreUnavailable(str(self.path), advice) from error


def chained(previous: str, columns: Sequence[str | float | None], body: str) -> str:
    """Return the digest of a row: of the digest of the row before it, its other columns, and its body."""
    text = json.dumps([previous, *columns]) + body
    return blake2b(text.encode(), digest_size=16).hexdigest()
