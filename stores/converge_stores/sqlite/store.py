"""A store in one SQLite file: readable with plain `sqlite3`, appended to in one statement a commit."""

__all__ = ["Level", "SQLiteStore"]

import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from converge.chain import JobHeader, Row, StoredRow, header_row, sealed
from converge.errors import (
    JobExists,
    JobLeased,
    JobUnknown,
    LeaseLost,
    StoreConflict,
    StoreUnavailable,
)
from converge.ports import Holder, JobSummary, Lease, Letter, StoredJob
from converge_stores.reading import job_of, lease_of, summary_of
from converge_stores.sqlite.connection import Connection
from converge_stores.sqlite.preparing import prepare
from converge_stores.sqlite.statements import (
    COLUMNS,
    FORGET,
    GIVE,
    HOLDER,
    JOBS,
    MENTIONED,
    PLACES,
    RELEASE,
    RENEW,
    TAKE,
    append,
    values_of,
)

Level = Literal["process", "power"]
_MOST_NAMES = 100  # of jobs among which one that was meant is looked for: who asks first is not to pay for them all
_MOST_ROWS = 500  # in one statement: SQLite takes 32,766 values


class SQLiteStore:
    """Keeps jobs in the file at `path`, made on first use.

    level: "process" survives the end of the process at any moment, and a power cut may take the newest cycles back;
    "power" survives that too, for one sync of the disk a commit. Neither is ever left corrupt.
    """

    durable = True

    def __init__(self, path: str | os.PathLike[str], level: Level = "process") -> None:
        if level not in get_args(Level):
            raise StoreUnavailable(str(path), f'there is no level {level!r}: choose "process" or "power"')
        self.path, self.level = Path(path), level
        self._connection = Connection(str(path), self._prepared, synced=level == "power")
        self._heads: dict[str, tuple[int, str]] = {}  # job that is run here -> number and digest of its last row

    def __repr__(self) -> str:
        return f"<SQLite store {self.path}>"

    async def open(self) -> None:
        """Open the file, make or bring its tables up to date, and refuse a foreign or newer one."""
        self._make_ready()
        await self._connection.open()

    async def close(self) -> None:
        """Close the connection; one left open would keep the interpreter from ending."""
        self._heads.clear()
        await self._connection.close()

    # --- leases -------------------------------------------------------------------------------------------------

    async def take(self, job_id: str, holder: Holder, now: float, expires: float, over: str | None = None) -> Lease:
        """Give out the lease of a job in one statement.

        No power cut leaves anybody who holds one, and what is written under it takes it along.
        """
        taken = await self._connection.write(TAKE, (job_id, *holder, expires, now, over), lasting=False)
        if taken:
            self._heads.pop(job_id, None)  # somebody else may have run it since
            return Lease(job_id, holder, taken[0][0], expires)
        lease = await self.holder(job_id, now)
        if lease is None:  # it was given back in this very moment
            return await self.take(job_id, holder, now, expires, over)
        raise JobLeased(job_id, lease.holder, lease.expires)

    def renew(self, leases: Iterable[Lease], expires: float) -> None:
        """Put off when leases expire, in a thread of its own."""
        for lease in leases:
            self._connection.write_from_outside(RENEW, (expires, lease.job_id, lease.epoch))

    async def release(self, lease: Lease) -> None:
        """Give a lease back, and note number and digest of the job's last row; a power cut may take that back."""
        await self._connection.write(RELEASE, (lease.job_id, lease.epoch), lasting=False)
        if self._heads.pop(lease.job_id, None) is None and lease.epoch == 1:
            await self._connection.write(FORGET, (lease.job_id,), lasting=False)

    async def holder(self, job_id: str, now: float) -> Lease | None:
        """Return the lease of a job that somebody runs."""
        found = await self._connection.read(HOLDER, (job_id, now))
        return lease_of(job_id, *found[0]) if found else None

    # --- rows ---------------------------------------------------------------------------------------------------

    async def create(self, lease: Lease, header: JobHeader, rows: Sequence[Row]) -> None:
        """Add a job and its first rows in one statement."""
        first = header_row(header)
        try:
            await self._insert(lease, [first, *sealed(rows, 0, first.digest, lease.epoch)])
        except sqlite3.IntegrityError as error:
            raise JobExists(header.job_id, str(self.path)) from error

    async def append(self, lease: Lease, after: int, rows: Sequence[Row]) -> int:
        """Add rows in one statement, which adds none under a lease that is not the latest."""
        number, digest = await self._head(lease.job_id)
        if number != after:
            raise StoreConflict(lease.job_id, after + 1)
        try:
            return await self._insert(lease, list(sealed(rows, after, digest, lease.epoch)))
        except sqlite3.IntegrityError as error:
            raise StoreConflict(lease.job_id, after + 1) from error

    async def adopt(self, job_id: str, rows: Sequence[StoredRow]) -> None:
        """Add a whole job as it was kept elsewhere, in one transaction."""
        try:
            async with self._connection.transaction(_size(rows)) as several:
                await several.execute_many(f"INSERT INTO log VALUES {PLACES}", [(job_id, *row) for row in rows])
        except sqlite3.IntegrityError as error:
            raise JobExists(job_id, str(self.path)) from error

    async def load(self, job_id: str, cycle: int | None = None) -> StoredJob:
        """Return a job, or what it was."""
        query = "SELECT number, cycle, at, digest, body FROM log WHERE job_id = ? ORDER BY number"
        if not (rows := await self._connection.read(query, (job_id,))):
            raise await self._unknown(job_id)
        return job_of(job_id, rows, cycle)

    async def rows(self, job_id: str, after: int = -1) -> Sequence[StoredRow]:
        """Return the rows of a job with a higher number than `after`."""
        query = f"SELECT {COLUMNS} FROM log WHERE job_id = ? AND number > ? ORDER BY number"
        rows = await self._connection.read(query, (job_id, after))
        if not rows and (after < 0 or not await self._is_there(job_id)):  # it may have been begun since
            raise await self._unknown(job_id)
        return [StoredRow(*row) for row in rows]

    async def anchor(self, job_id: str) -> tuple[int, str]:
        """Return number and digest of the last row when a lease was last given back."""
        found = await self._connection.read("SELECT last_number, last_digest FROM leases WHERE job_id = ?", (job_id,))
        return found[0] if found else (0, "")

    async def jobs(self) -> Sequence[JobSummary]:
        """Return all jobs, the newest first."""
        return [summary_of(*row) for row in await self._connection.read(JOBS)]

    async def mentioned(self) -> Sequence[str]:
        """Return the ids of all jobs that anything tells of: a lease stays behind where rows are taken away."""
        return [job_id for (job_id,) in await self._connection.read(MENTIONED)]

    async def remove(self, job_id: str, now: float) -> None:
        """Delete a job with all that belongs to it, in one transaction."""
        async with self._connection.transaction() as several:
            if found := await several.execute(HOLDER, (job_id, now)):
                lease = lease_of(job_id, *found[0])
                raise JobLeased(job_id, lease.holder, lease.expires)
            for table in ("leases", "letters", "log"):  # a lease that outlived its rows would say that they are missing
                await several.execute(f"DELETE FROM {table} WHERE job_id = ?", (job_id,))
        self._heads.pop(job_id, None)

    # --- letters ------------------------------------------------------------------------------------------------

    async def give(self, job_id: str, at: float, body: str) -> int:
        """Keep a letter to a job and return its number."""
        kept = await self._connection.write(GIVE, (job_id, at, body))
        if not kept:
            raise await self._unknown(job_id)
        return int(kept[0][0])

    async def letters(self, job_id: str, after: int) -> Sequence[Letter]:
        """Return the letters to a job with a higher number than `after`."""
        query = "SELECT number, at, body FROM letters WHERE job_id = ? AND number > ? ORDER BY number"
        return [Letter(*row) for row in await self._connection.read(query, (job_id, after))]

    # --- within -------------------------------------------------------------------------------------------------

    async def _insert(self, lease: Lease, rows: list[StoredRow]) -> int:
        """Add rows where the lease is the latest; return the number of the last letter."""
        self._heads.pop(lease.job_id, None)  # until it is known how this ends
        if len(rows) <= _MOST_ROWS:
            found = await self._connection.write(append(len(rows)), values_of(lease, rows), _size(rows))
        else:
            found = await self._insert_many(lease, rows)
        if not found:
            raise LeaseLost(lease.job_id, lease.epoch)
        self._heads[lease.job_id] = rows[-1].number, rows[-1].digest
        return int(found[-1][0])

    async def _insert_many(self, lease: Lease, rows: list[StoredRow]) -> list[Any]:
        found: list[Any] = []
        async with self._connection.transaction(_size(rows)) as several:
            for start in range(0, len(rows), _MOST_ROWS):
                part = rows[start : start + _MOST_ROWS]
                found = await several.execute(append(len(part)), values_of(lease, part))
        return found

    async def _head(self, job_id: str) -> tuple[int, str]:
        if job_id not in self._heads:
            query = "SELECT number, digest FROM log WHERE job_id = ? ORDER BY number DESC LIMIT 1"
            found: list[tuple[int, str]] = await self._connection.read(query, (job_id,))
            if not found:
                raise await self._unknown(job_id)
            return self._heads.get(job_id, found[0])  # who has the job now may have written meanwhile
        return self._heads[job_id]

    async def _is_there(self, job_id: str) -> bool:
        return bool(await self._connection.read("SELECT 1 FROM log WHERE job_id = ? LIMIT 1", (job_id,)))

    async def _unknown(self, job_id: str) -> JobUnknown:
        # By leases, of which there is one a job: whoever asks may have taken one for the id that is not there.
        query = f"SELECT job_id FROM leases WHERE job_id != ? ORDER BY rowid DESC LIMIT {_MOST_NAMES}"
        newest = await self._connection.read(query, (job_id,))
        return JobUnknown(job_id, str(self.path), [name for (name,) in newest])

    def _connect(self) -> sqlite3.Connection:
        """Return a new connection to the file, usable from any thread: SQLite puts the calls in turn."""
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA busy_timeout = 5000").close()
        # What is no UTF-8 in an edited file is for an audit to find and for whoever reads the row to refuse.
        connection.text_factory = lambda text: text.decode(errors="surrogateescape")
        return connection

    def _prepared(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            prepare(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

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


def _size(rows: Iterable[StoredRow]) -> int:
    return sum(len(row.body) for row in rows)
