"""The one connection to a store file, and where its statements are executed.

It is the only one that this process opens: two that write or checkpoint at the same instant can meet a bug of SQLite
before 3.51.3. Whatever may wait, for a disk or for another process, is executed in aiosqlite's thread. A statement
that has begun there is not stopped by cancelling its caller, so whoever must know what became of it shields it.

A short statement that waits for no disk takes less time than handing it to a thread: it is executed in place, in the
event loop's own thread, while nobody else uses the connection and no other process has the file locked. Moving the log
into the file, which does wait for the disk, is not left to whichever statement comes along, but done in the thread.
"""

__all__ = ["Connection"]

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

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
        self._queued: aiosqlite.Connection | None = None  # the connection, as its thread has it
        self._direct: sqlite3.Connection | None = None  # the same one, for whoever holds the lock
        self._lock = threading.Lock()  # a connection that is closed while another thread uses it ends the process
        self._queued_yet = self._under_way = 0  # statements that the thread was given, and those waited for
        self._let_go = 0  # the number of the last one that nobody waits for any more, until a later one is done
        self._turn: anyio.Event | None = None  # while a transaction of several statements is open: when it is over
        self.most = _MUCH  # bytes in the log before they are moved into the file
        self._logged = 0  # bytes, about, since the log was last moved into the file
        self._left = 0  # how many statements are yet to be left to the thread

    async def open(self) -> None:
        """Connect."""
        import aiosqlite  # here and not above: `import converge` must not load a driver

        try:
            with anyio.CancelScope(shield=True):  # a connection that was begun must be there to be closed
                # Connected before aiosqlite has a thread: it does not end that after a connector that fails.
                self._direct = direct = await anyio.to_thread.run_sync(self._made)
                connection = aiosqlite.Connection(lambda: direct, 64)
                if (thread := getattr(connection, "_thread", None)) is not None:
                    thread.daemon = True  # one that nobody closes must not keep the interpreter from ending
                self._queued = await connection
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from error

    async def close(self) -> None:
        """Close it; one left open would keep the interpreter from ending."""
        if self._queued is not None:
            queued, self._queued = self._queued, None
            with self._lock:
                self._direct = None
            try:
                await queued.close()
            except sqlite3.DatabaseError as error:
                raise self._explained(error) from error

    async def read(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Return the rows that a statement finds."""
        try:
            return await self._in_thread(query, values)
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from error

    async def write(self, query: str, values: tuple[Any, ...], size: int = 0, *, lasting: bool = True) -> list[Any]:
        """Execute one statement that is a transaction, and return its rows.

        size: in bytes, about. lasting: whether it is to outlive a power cut by itself, where commits do; if not, the
        next one that does takes it along.
        """
        while self._turn is not None:
            await self._turn.wait()
        try:
            found = None
            if size < _SHORT and not (lasting and self._synced):
                found = self._at_once(query, values)
            if found is None:
                found = await self._in_thread(query, values)
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
                with self._lock:
                    if self._direct is None or self._is_done(query, values) is not None:
                        return
                sleep(wait)
        except sqlite3.Error as error:
            raise StoreUnavailable(self._path, str(error)) from error
        raise StoreUnavailable(self._path, _ADVICE["locked"])

    @asynccontextmanager
    async def transaction(self, size: int = 0) -> AsyncIterator["aiosqlite.Connection"]:
        """Run several statements as one. Nobody else writes meanwhile: what they add would be part of it."""
        with anyio.CancelScope(shield=True):
            while self._turn is not None:
                await self._turn.wait()
            turn = self._turn = anyio.Event()
            try:
                await self._in_thread("BEGIN IMMEDIATE")
                try:
                    yield self._opened()
                except BaseException:
                    await self._in_thread("ROLLBACK")
                    raise
                await self._in_thread("COMMIT")
            except sqlite3.IntegrityError:
                raise
            except sqlite3.DatabaseError as error:
                raise self._explained(error) from error
            finally:
                self._turn = None
                turn.set()
            await self._note(size)

    # --- within -------------------------------------------------------------------------------------------------

    async def _in_thread(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Execute a statement in the thread, and again for as long as another process has the file locked."""
        for wait in _WAITS:
            try:
                return await self._queue(query, values)
            except sqlite3.OperationalError as error:
                if not _is_locked(error):
                    raise
            await anyio.sleep(wait)
        return await self._queue(query, values)

    async def _queue(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        self._queued_yet += 1
        self._under_way += 1
        number = self._queued_yet
        try:
            found = list(await self._opened().execute_fetchall(query, values))
        except anyio.get_cancelled_exc_class():
            self._let_go = number
            raise
        finally:
            self._under_way -= 1
        if number > self._let_go:
            self._let_go = 0
        return found

    def _at_once(self, query: str, values: tuple[Any, ...]) -> list[Any] | None:
        """Execute a short statement in place; None where that would have to wait for somebody."""
        if self._left:
            self._left -= 1
            return None
        if self._under_way or self._let_go or not self._lock.acquire(blocking=False):
            return None
        began = perf_counter()
        try:
            return None if self._direct is None else self._unsynced(query, values)
        finally:
            self._lock.release()
            if perf_counter() - began > _SLOW:
                self._left = _LEFT

    def _unsynced(self, query: str, values: tuple[Any, ...]) -> list[Any] | None:
        """Execute a statement as below, without waiting for the disk."""
        if not self._synced:
            return self._is_done(query, values)
        self._sync("NORMAL")
        try:
            return self._is_done(query, values)
        finally:
            self._sync("FULL")

    def _sync(self, how: str) -> None:
        assert self._direct is not None
        self._direct.execute(f"PRAGMA synchronous = {how}").close()

    def _is_done(self, query: str, values: tuple[Any, ...]) -> list[Any] | None:
        """Execute a statement; None where another process has the file locked. The caller holds the lock."""
        assert self._direct is not None
        try:
            return self._direct.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            if _is_locked(error):
                return None
            raise

    async def _note(self, size: int) -> None:
        """Note what a commit has added to the log, which is moved into the file from time to time."""
        self._logged += size + _ALL_ELSE
        if self._logged > self.most and self._queued is not None:
            self._logged = 0
            with suppress(sqlite3.DatabaseError):  # as SQLite passes over it: what was committed is in the log
                await self._queue("PRAGMA wal_checkpoint(PASSIVE)", ())

    def _made(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            connection.execute(f"PRAGMA synchronous = {'FULL' if self._synced else 'NORMAL'}").close()
            connection.execute("PRAGMA busy_timeout = 0").close()  # who has the file locked is waited for out here
            connection.execute("PRAGMA wal_autocheckpoint = 0").close()
        except BaseException:
            connection.close()
            raise
        return connection

    def _opened(self) -> "aiosqlite.Connection":
        if self._queued is None:
            raise StoreUnavailable(self._path, "it is not open: use `async with engine`, or await store.open()")
        return self._queued

    def _explained(self, error: sqlite3.DatabaseError) -> ConvergeError:
        """Return the library's error for the driver's."""
        if "not a database" in str(error):
            return StoreForeign(self._path, "not an SQLite file")
        advice = next((text for said, text in _ADVICE.items() if said in str(error)), str(error))
        return StoreUnavailable(self._path, advice)


def _is_locked(error: sqlite3.OperationalError) -> bool:
    return "locked" in str(error)
