"""A store in a PostgreSQL database: any machine that reaches it can go on with any job.

A commit is one statement, which locks the job's lease while it looks at the epoch. Where the server goes away, whatever
was under way is tried again for a while; a commit whose answer was lost is looked for first, since it may be there.
"""

__all__ = ["Level", "PostgresStore"]

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic_core import from_json

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
from converge_stores.postgres.address import Address
from converge_stores.postgres.preparing import driver, is_passing, prepare, unavailable
from converge_stores.postgres.statements import Statements, columns_of
from converge_stores.reading import job_of, lease_of, summary_of

if TYPE_CHECKING:
    import psycopg
    import psycopg_pool

Level = Literal["process", "power"]
_LEVELS = {"process": "off", "power": "on"}  # what `synchronous_commit` is set to for it
_NAME = "[a-z_][a-z0-9_]{0,62}"
T = TypeVar("T")
Work = Callable[["psycopg.AsyncConnection[Any]"], Awaitable[T]]


class PostgresStore:
    """Keeps jobs in a schema of the database at `url`, made on first use: postgresql://user@host:5432/database.

    What the URL leaves out is what libpq takes from the environment, as PGPASSWORD.

    level: "power" survives whatever the server survives; with "process" a crash of the server may take the newest
    cycles back, for commits that wait for no disk. Neither is ever left corrupt.
    schema: its tables are apart from everybody else's; it is made unless `create` is False.
    connections: how many are open at most, and one more to renew leases.
    patience: for how many seconds a server that went away is waited for; StoreUnavailable is raised after that.

    Machines that share a store should agree on the time to well under a lease's length: one whose clock is ahead takes
    leases over too early. Whoever loses one so has its commits refused, and nothing is written twice.
    """

    durable = True

    def __init__(
        self,
        url: str,
        level: Level = "power",
        *,
        schema: str = "converge",
        connections: int = 8,
        patience: float = 15.0,
        create: bool = True,
    ) -> None:
        self.address = Address(url)
        if level not in _LEVELS:
            raise StoreUnavailable(str(self.address), f'there is no level {level!r}: choose "process" or "power"')
        if not re.fullmatch(_NAME, schema):
            why = f"{schema!r} is no name for a schema: use small letters, digits and _, at most 63"
            raise StoreUnavailable(str(self.address), why)
        self.level, self.schema, self.may_create = level, schema, create
        self._connections, self._patience = connections, patience
        self.says = Statements(schema)
        self._pool: psycopg_pool.AsyncConnectionPool[Any] | None = None
        self._at_work: set[asyncio.Task[Any]] = set()  # statements, of which some nobody waits for any more
        self._direct: psycopg.Connection[Any] | None = None  # of the thread that renews leases
        self._renewing = threading.Lock()
        self._heads: dict[str, tuple[int, str]] = {}  # job that is run here -> number and digest of its last row

    def __repr__(self) -> str:
        return f"<PostgreSQL store {self}>"

    def __str__(self) -> str:
        return f"{self.address} (schema {self.schema})"

    async def open(self) -> None:
        """Connect, make or bring the tables up to date, and refuse foreign or newer ones."""
        psycopg, pool = driver()
        try:
            async with await psycopg.AsyncConnection.connect(self.address.url, **self.options()) as connection:
                await prepare(connection, self)
        except psycopg.Error as error:
            raise unavailable(str(self), error) from error
        self._pool = pool.AsyncConnectionPool(
            self.address.url,
            kwargs=self.options(),
            min_size=1,
            max_size=self._connections,
            timeout=self._patience,
            reconnect_timeout=self._patience,
            open=False,
            name="converge",
        )
        await self._pool.open()

    async def close(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            self._heads.clear()
            while self._at_work:
                await asyncio.wait(self._at_work)
            await pool.close()
        with self._renewing:
            self._hang_up()

    def options(self) -> dict[str, Any]:
        """Return what every connection is made with, where its URL does not say otherwise."""
        psycopg, _ = driver()
        given = psycopg.conninfo.conninfo_to_dict(self.address.url)
        seconds = max(2, int(self._patience))  # libpq counts whole seconds, and from two on
        ours = {
            "application_name": "converge",
            "connect_timeout": seconds,
            # Without these a network that is cut keeps a statement waiting for a quarter of an hour, or for hours.
            "tcp_user_timeout": seconds * 1_000,
            "keepalives_idle": seconds,
            "keepalives_interval": 1,
        }
        options = f"-c synchronous_commit={_LEVELS[self.level]} -c client_encoding=UTF8"
        return {
            **{name: value for name, value in ours.items() if name not in given},
            "autocommit": True,
            "options": f"{given.get('options', '')} {options}".strip(),
        }

    # --- leases -------------------------------------------------------------------------------------------------

    async def take(self, job_id: str, holder: Holder, now: float, expires: float, over: str | None = None) -> Lease:
        """Give out the lease of a job in one statement."""
        if taken := await self._fetch(self.says.take, (job_id, *holder, expires, now, over)):
            self._heads.pop(job_id, None)  # somebody else may have run it since
            return Lease(job_id, holder, taken[0][0], expires)
        lease = await self.holder(job_id, now)
        if lease is None:  # it was given back in this very moment
            return await self.take(job_id, holder, now, expires, over)
        raise JobLeased(job_id, lease.holder, lease.expires)

    def renew(self, leases: Iterable[Lease], expires: float) -> None:
        """Put off when leases expire, on a connection of its own: the others belong to an event loop."""
        ours = [(lease.job_id, lease.epoch) for lease in leases]
        if not ours:
            return
        psycopg, _ = driver()
        with self._renewing:
            if self._pool is None:  # asked here, for it may be closed by another thread: nobody would hang up then
                return
            try:
                if self._direct is None:
                    self._direct = psycopg.Connection.connect(self.address.url, **self.options())
                jobs, epochs = map(list, zip(*ours, strict=True))
                self._direct.execute(self.says.renew, (expires, jobs, epochs)).close()
            except psycopg.Error as error:
                self._hang_up()  # the next time finds another
                raise unavailable(str(self), error) from error

    async def release(self, lease: Lease) -> None:
        """Give a lease back, and note number and digest of the job's last row."""
        which = {"job": lease.job_id, "epoch": lease.epoch}
        await self._execute(self.says.release, which)
        if self._heads.pop(lease.job_id, None) is None and lease.epoch == 1:
            await self._execute(self.says.forget, which)

    async def holder(self, job_id: str, now: float) -> Lease | None:
        """Return the lease of a job that somebody runs."""
        found = await self._fetch(self.says.holder, (job_id, now))
        return lease_of(job_id, *found[0]) if found else None

    # --- rows ---------------------------------------------------------------------------------------------------

    async def create(self, lease: Lease, header: JobHeader, rows: Sequence[Row]) -> None:
        """Add a job and its first rows in one statement."""
        first = header_row(header)
        try:
            await self._append(lease, [first, *sealed(rows, 0, first.digest, lease.epoch)])
        except _RowTaken as error:
            raise JobExists(header.job_id, str(self)) from error

    async def append(self, lease: Lease, after: int, rows: Sequence[Row]) -> int:
        """Add rows in one statement, which adds none under a lease that is not the latest."""
        number, digest = await self._head(lease.job_id)
        if number != after:
            raise StoreConflict(lease.job_id, after + 1)
        try:
            return await self._append(lease, list(sealed(rows, after, digest, lease.epoch)))
        except _RowTaken as error:
            raise StoreConflict(lease.job_id, after + 1) from error

    async def adopt(self, job_id: str, rows: Sequence[StoredRow]) -> None:
        """Add a whole job as it was kept elsewhere, in one statement."""
        try:
            await self._add(self.says.adopt, job_id, rows, (job_id, *columns_of(rows)))
        except _RowTaken as error:
            raise JobExists(job_id, str(self)) from error

    async def load(self, job_id: str, cycle: int | None = None) -> StoredJob:
        """Return a job, or what it was."""
        if not (rows := await self._fetch(self.says.load, (job_id,))):
            raise await self._unknown(job_id)
        return job_of(job_id, rows, cycle)

    async def rows(self, job_id: str, after: int = -1) -> Sequence[StoredRow]:
        """Return the rows of a job with a higher number than `after`."""
        rows = await self._fetch(self.says.rows, (job_id, after))
        if not rows and (after < 0 or not await self._fetch(self.says.head, (job_id,))):  # it may have been begun since
            raise await self._unknown(job_id)
        return [StoredRow(*row) for row in rows]

    async def anchor(self, job_id: str) -> tuple[int, str]:
        """Return number and digest of the last row when a lease was last given back."""
        found = await self._fetch(self.says.anchor, (job_id,))
        return found[0] if found else (0, "")

    async def jobs(self) -> Sequence[JobSummary]:
        """Return all jobs, the newest first."""
        found = await self._fetch(self.says.jobs)
        return [
            summary_of(job_id, created, updated, _objective(body), *rest)
            for job_id, created, updated, body, *rest in found
        ]

    async def mentioned(self) -> Sequence[str]:
        """Return the ids of all jobs that anything tells of, in order."""
        return [job_id for (job_id,) in await self._fetch(self.says.mentioned)]

    async def remove(self, job_id: str, now: float) -> None:
        """Delete a job with all that belongs to it, in one transaction."""

        async def removal(connection: "psycopg.AsyncConnection[Any]") -> None:
            async with connection.transaction():
                await connection.execute(self.says.lock, (job_id,))
                found = await (await connection.execute(self.says.holder, (job_id, now))).fetchall()
                if found:
                    lease = lease_of(job_id, *found[0])
                    raise JobLeased(job_id, lease.holder, lease.expires)
                for statement in self.says.removals:
                    await connection.execute(statement, (job_id,))

        await self._with_connection(removal)
        self._heads.pop(job_id, None)

    # --- letters ------------------------------------------------------------------------------------------------

    async def give(self, job_id: str, at: float, body: str) -> int:
        """Keep a letter to a job and return its number."""
        while True:
            try:
                kept = await self._fetch(self.says.give, {"job": job_id, "at": at, "body": body})
            except _RowTaken:  # somebody else has given at the same moment, so that one is done
                continue
            if not kept:
                raise await self._unknown(job_id)
            return int(kept[0][0])

    async def letters(self, job_id: str, after: int) -> Sequence[Letter]:
        """Return the letters to a job with a higher number than `after`."""
        return [Letter(*row) for row in await self._fetch(self.says.letters, (job_id, after))]

    # --- within -------------------------------------------------------------------------------------------------

    async def _append(self, lease: Lease, rows: list[StoredRow]) -> int:
        """Add rows where the lease is the latest; return the number of the last letter. Raises _RowTaken."""
        self._heads.pop(lease.job_id, None)  # until it is known how this ends
        job_id = lease.job_id
        values = (job_id, lease.epoch, job_id, *columns_of(rows), job_id)
        found = await self._add(self.says.append, job_id, rows, values)
        if not found:
            raise LeaseLost(job_id, lease.epoch)
        self._heads[job_id] = rows[-1].number, rows[-1].digest
        return int(found[-1][0])

    async def _add(self, statement: str, job_id: str, rows: Sequence[StoredRow], values: Sequence[Any]) -> list[Any]:
        """Add rows in one statement. Where an answer was lost, they may be there already, and are not added twice."""
        try:
            return await self._fetch(statement, values)
        except _RowTaken as taken:
            last = rows[-1]
            if not taken.again or [(last.digest,)] != await self._fetch(self.says.digest, (job_id, last.number)):
                raise
            return [(0,)]  # the next append, or the watch, tells of letters

    async def _head(self, job_id: str) -> tuple[int, str]:
        if job_id not in self._heads:
            found: list[tuple[int, str]] = await self._fetch(self.says.head, (job_id,))
            if not found:
                raise await self._unknown(job_id)
            return self._heads.get(job_id, found[0])  # who has the job now may have written meanwhile
        return self._heads[job_id]

    async def _unknown(self, job_id: str) -> JobUnknown:
        return JobUnknown(job_id, str(self), [known for (known,) in await self._fetch(self.says.known)])

    async def _fetch(self, statement: str, values: Any = ()) -> list[Any]:
        async def fetched(connection: "psycopg.AsyncConnection[Any]") -> list[Any]:
            return await (await connection.execute(statement, values)).fetchall()

        return await self._with_connection(fetched)

    async def _execute(self, statement: str, values: Any) -> None:
        async def executed(connection: "psycopg.AsyncConnection[Any]") -> None:
            await connection.execute(statement, values)

        await self._with_connection(executed)

    async def _with_connection(self, work: Work[T]) -> T:
        """Do something on a connection, and again on another while the server is away. Raises _RowTaken."""
        psycopg, _ = driver()
        again = False
        try:
            try:
                return await self._once(work)
            except psycopg.Error as error:
                if not is_passing(error):
                    raise
            again = True
            return await self._again(work)
        except psycopg.errors.UniqueViolation as error:
            raise _RowTaken(again) from error
        except psycopg.Error as error:
            raise unavailable(str(self), error) from error

    async def _once(self, work: Work[T]) -> T:
        """Do it in a task of its own, to its end: who is cancelled costs the pool the connection that they have."""
        if self._pool is None:
            raise StoreUnavailable(str(self), "it is not open: use `async with engine`, or await store.open()")
        task = asyncio.ensure_future(_lent(self._pool, work))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)
        return await asyncio.shield(task)

    async def _again(self, work: Work[T]) -> T:
        import tenacity

        trying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(is_passing),
            stop=tenacity.stop_after_delay(self._patience),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=1.0),
            reraise=True,
        )
        return await trying(self._once, work)

    def _hang_up(self) -> None:
        direct, self._direct = self._direct, None
        if direct is not None:
            with suppress(Exception):
                direct.close()


async def _lent(pool: "psycopg_pool.AsyncConnectionPool[Any]", work: Work[T]) -> T:
    async with pool.connection() as connection:
        return await work(connection)


class _RowTaken(Exception):
    """A row of this number is there; `again` if an earlier try, whose answer was lost, may have put it there."""

    def __init__(self, again: bool) -> None:
        super().__init__("row taken")
        self.again = again


def _objective(body: str) -> str:
    try:
        return str(from_json(body)["objective"])
    except (ValueError, LookupError, TypeError):
        return ""
