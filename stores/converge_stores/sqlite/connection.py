"""The one connection to a store file, and where its statements are executed.

It is the only one that this process opens: two that write or checkpoint at the same instant can meet a bug of SQLite
before 3.51.3. One thread at a time uses it. Whatever may wait, for a disk or for another process, is executed in
aiosqlite's thread. A statement that has begun there is not stopped by cancelling its caller, so whoever must know what
became of it shields it.

A short statement takes less time than handing it to a thread. Where it need not be synced, it is executed in place, in
the event loop's own thread, while nothing is queued, nobody else uses the connection and no other process has the file
locked. Moving the log into the file, which is synced, is not left to whichever statement comes along, but done in the
thread, and so is the statement after it, which begins the log anew.
"""

__all__ = ["Connection"]

import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import anyio
import anyio.to_thread

from converge.errors import ConvergeError, StoreForeign, StoreUnavailable

if TYPE_CHECKING:
    import aiosqlite

_SHORT = 65_536  # bytes of rows in a statement that may be executed in place
_SLOW, _LEFT = 0.02, 200  # seconds; after one that took longer, so many are left to the thread
_MUCH = 8_000_000  # bytes, about, as SQLite has it by itself
_ALL_ELSE = 4 * 8_192  # bytes that a statement adds to the log besides its rows: pages that it changes
_WAITS = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, *[0.025] * 3, *[0.05] * 2, *[0.1] * 48)  # for who has the lock: 5 s
_ADVICE = {  # what the driver says -> what it means and what to do
    "readonly": "it cannot be written (attempt to write a readonly database): make it and its folder writable",
    "unable to open": "it cannot be opened: make its folder writable, or choose another path",
    "locked": "another process keeps it locked (database is locked): try again when that one is done",
    "is full": "the disk is full: make room, then resume the job",
    "disk I/O error": "the disk failed (disk I/O error): look after it, mount it anew or restart, then resume the job",
    "malformed": "the file is damaged (database disk image is malformed): put back a copy, or `sqlite3 FILE .recover`",
}


class Connection:
    """Executes statements; all of them raise StoreUnavailable, StoreForeign, or sqlite3.IntegrityError.

    synced: whether a commit is on the disk when it returns, so that it outlives a power cut.
    """

    def __init__(self, path: str, connect: Callable[[], sqlite3.Connection], *, synced: bool) -> None:
        self._path, self._connect, self._synced = path, connect, synced
        self._guarded: _Guarded | None = None
        self._thread: aiosqlite.Connection | None = None  # the same connection, as its thread has it
        self._turn: anyio.Event | None = None  # while a transaction of several statements is open: when it is over
        self._queued = 0  # how many statements the thread was given
        self._left = 0  # how many are yet to be left to it
        self._logged, self._most = 0, _MUCH  # bytes, about, in the log, and before they are moved into the file

    async def open(self) -> None:
        """Connect."""
        import aiosqlite  # here and not above: `import converge` must not load a driver

        try:
            with anyio.CancelScope(shield=True):  # a connection that was begun must be there to be closed
                # Connected before aiosqlite has a thread: it does not end that after a connector that fails.
                guarded: Any = await anyio.to_thread.run_sync(self._made)
                connection = aiosqlite.Connection(lambda: guarded, 64)
                if (thread := getattr(connection, "_thread", None)) is not None:
                    thread.daemon = True  # one that nobody closes must not keep the interpreter from ending
                self._thread, self._guarded = await connection, guarded
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from error
        self._queued, self._left = 0, 1

    async def close(self) -> None:
        """Close it; one left open would keep the interpreter from ending."""
        if self._thread is not None:
            connection, self._thread, self._guarded = self._thread, None, None
            try:
                await connection.close()
            except sqlite3.DatabaseError as error:
                raise self._explained(error) from error

    async def read(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Return the rows that a statement finds; of a transaction of several, none before it is over."""
        try:
            return await self._patiently(query, values, alone=True)
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from error

    async def write(self, query: str, values: tuple[Any, ...], size: int = 0, *, lasting: bool = True) -> list[Any]:
        """Execute one statement that is a transaction, and return its rows.

        size: in bytes, about. lasting: whether it is to outlive a power cut by itself, where commits do; if not, the
        next one that does takes it along.
        """
        in_place = size < _SHORT and not (lasting and self._synced)
        try:
            found = await self._patiently(query, values, in_place=in_place, alone=True)
            await self._note(size)
        except sqlite3.IntegrityError:  # for the caller to name
            raise
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from error
        return found

    def write_from_outside(self, query: str, values: tuple[Any, ...]) -> None:
        """Execute one statement in a thread of the caller's, which may wait; do nothing once it is closed."""
        try:
            for wait in (*_WAITS, 0):
                guarded = self._guarded
                if guarded is None or guarded.attempt(query, values) is not None:
                    return
                sleep(wait)
        except sqlite3.Error as error:
            raise StoreUnavailable(self._path, str(error)) from error
        raise StoreUnavailable(self._path, _ADVICE["locked"])

    @asynccontextmanager
    async def transaction(self, size: int = 0) -> AsyncIterator["Transaction"]:
        """Run several statements as one. Nobody else writes meanwhile, which would be part of it, nor reads."""
        with anyio.CancelScope(shield=True):
            while self._turn is not None:
                await self._turn.wait()
            turn = self._turn = anyio.Event()
            try:
                await self._patiently("BEGIN IMMEDIATE")
                yield Transaction(self._queue, self._queue_many)
                await self._queue("COMMIT", ())
            except BaseException as error:
                with suppress(sqlite3.OperationalError):  # none was begun, or it is over
                    await self._queue("ROLLBACK", ())
                if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.IntegrityError):
                    raise self._explained(error) from error
                raise
            finally:
                self._turn = None
                turn.set()
            await self._note(size)

    # --- within -------------------------------------------------------------------------------------------------

    async def _patiently(
        self, query: str, values: tuple[Any, ...] = (), *, in_place: bool = False, alone: bool = False
    ) -> list[Any]:
        """Execute a statement, and again for as long as another process has the file locked.

        alone: in no transaction of several.
        """
        for wait in (*_WAITS, 0):
            while alone and self._turn is not None:
                await self._turn.wait()
            try:
                found = self._in_place(query, values) if in_place else None
                return await self._queue(query, values) if found is None else found
            except sqlite3.OperationalError as error:
                if not _is_locked(error) or not wait:
                    raise
            await anyio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _in_place(self, query: str, values: tuple[Any, ...]) -> list[Any] | None:
        """Execute a statement in place; None where that would have to wait for somebody."""
        if self._left:
            self._left -= 1
            return None
        if self._guarded is None or self._guarded.done != self._queued:
            return None
        began = perf_counter()
        found = self._guarded.attempt(query, values, blocking=False, unsynced=self._synced)
        if perf_counter() - began > _SLOW:
            self._left = _LEFT
        return found

    async def _queue(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        """Execute a statement in the thread, after all that was queued before."""
        connection = self._opened()
        self._queued += 1
        return list(await connection.execute_fetchall(query, values))

    async def _queue_many(self, query: str, several: Sequence[tuple[Any, ...]]) -> None:
        connection = self._opened()
        self._queued += 1
        await connection.executemany(query, several)

    async def _note(self, size: int) -> None:
        """Note what a commit has added to the log, which is moved into the file from time to time."""
        self._logged += size + _ALL_ELSE
        if self._logged > self._most and self._thread is not None:
            self._logged, self._left = 0, max(1, self._left)
            with suppress(sqlite3.DatabaseError):  # as SQLite passes over it: what was committed is in the log
                await self._queue("PRAGMA wal_checkpoint(PASSIVE)", ())

    def _made(self) -> "_Guarded":
        connection = self._connect()
        try:
            connection.execute(f"PRAGMA synchronous = {'FULL' if self._synced else 'NORMAL'}").close()
            connection.execute("PRAGMA busy_timeout = 0").close()  # who has the file locked is waited for out here
            connection.execute("PRAGMA wal_autocheckpoint = 0").close()
            with suppress(OSError):  # who wrote it may be gone
                self._logged = Path(f"{self._path}-wal").stat().st_size
        except BaseException:
            connection.close()
            raise
        return _Guarded(connection)

    def _opened(self) -> "aiosqlite.Connection":
        if self._thread is None:
            raise StoreUnavailable(self._path, "it is not open: use `async with engine`, or await store.open()")
        return self._thread

    def _explained(self, error: sqlite3.DatabaseError) -> ConvergeError:
        """Return the library's error for the driver's."""
        if "not a database" in str(error):
            return StoreForeign(self._path, "not an SQLite file")
        advice = next((text for said, text in _ADVICE.items() if said in str(error)), str(error))
        return StoreUnavailable(self._path, advice)


class Transaction(NamedTuple):
    """Executes statements within a transaction of several: one at a time, or one for each of many values."""

    execute: Callable[[str, tuple[Any, ...]], Awaitable[list[Any]]]
    execute_many: Callable[[str, Sequence[tuple[Any, ...]]], Awaitable[None]]


class _Rows(list[Any]):
    """All rows of a statement, as aiosqlite asks a cursor for them."""

    def fetchall(self) -> Self:
        """Return them."""
        return self


class _Guarded:
    """A connection that one thread at a time uses; for aiosqlite it is the connection.

    Python's sqlite3 reads what went wrong from the connection, where another thread's statement may have put its own.
    done: how many statements aiosqlite's thread has executed; it alone counts them.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection, self._lock, self._is_closed = connection, threading.Lock(), False
        self.done = 0

    def execute(self, query: str, values: Any) -> _Rows:
        """Execute a statement in aiosqlite's thread."""
        try:
            with self._lock:
                return _Rows(self._connection.execute(query, values).fetchall())
        finally:
            self.done += 1

    def executemany(self, query: str, several: Any) -> None:
        """As above, for each of many values."""
        try:
            with self._lock:
                self._connection.executemany(query, several).close()
        finally:
            self.done += 1

    def attempt(
        self, query: str, values: tuple[Any, ...], *, blocking: bool = True, unsynced: bool = False
    ) -> list[Any] | None:
        """Execute a statement in any other thread; None where the file is locked, or where that would block.

        unsynced: not waiting for the disk, on a connection whose commits do.
        """
        if not self._lock.acquire(blocking=blocking):
            return None
        try:
            return [] if self._is_closed else self._attempt(query, values, unsynced=unsynced)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close it, once nobody uses it: one that is closed meanwhile ends the process."""
        with self._lock:
            self._is_closed = True
            self._connection.close()

    def _attempt(self, query: str, values: tuple[Any, ...], *, unsynced: bool) -> list[Any] | None:
        if unsynced:
            self._connection.execute("PRAGMA synchronous = NORMAL").close()
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            if _is_locked(error):
                return None
            raise
        finally:
            if unsynced:
                self._connection.execute("PRAGMA synchronous = FULL").close()


def _is_locked(error: sqlite3.OperationalError) -> bool:
    return "locked" in str(error)
