"""A store on a disk in memory, and a job to keep there.

Between them stands what Python's sqlite3 would be: the store speaks to a connection of apsw, which can be given a
file system of ours, and hears of its errors what it would hear from sqlite3.
"""

__all__ = ["Connection", "Cursor", "DiskStore", "Expert", "go_on", "rows_on"]

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from threading import Lock
from typing import Any, cast

import anyio
import apsw

from converge import Agent, Engine, Fact, Live, Outcome, View, agent
from converge.chain import JobHeader, Row, StoredRow
from converge.errors import JobUnknown
from converge.ports import Lease, Store
from converge_stores import SQLiteStore
from converge_stores.sqlite import Level
from tests.disk import Disk

_FEW_PAGES = 10  # in the log, about, before they go into the file: so that a short job has many checkpoints
_SAID: dict[int, tuple[type[sqlite3.Error], str]] = {  # by SQLite's primary result code: what Python makes of it
    apsw.SQLITE_BUSY: (sqlite3.OperationalError, "database is locked"),
    apsw.SQLITE_READONLY: (sqlite3.OperationalError, "attempt to write a readonly database"),
    apsw.SQLITE_IOERR: (sqlite3.OperationalError, "disk I/O error"),
    apsw.SQLITE_CORRUPT: (sqlite3.DatabaseError, "database disk image is malformed"),
    apsw.SQLITE_FULL: (sqlite3.OperationalError, "database or disk is full"),
    apsw.SQLITE_CANTOPEN: (sqlite3.OperationalError, "unable to open database file"),
    apsw.SQLITE_CONSTRAINT: (sqlite3.IntegrityError, "constraint failed"),
    apsw.SQLITE_NOTADB: (sqlite3.DatabaseError, "file is not a database"),
}
_NAMES = apsw.mapping_result_codes | apsw.mapping_extended_result_codes


class Cursor:
    """The part of sqlite3.Cursor that aiosqlite and the store use. All rows are read at once."""

    arraysize = 1

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self._rows: list[Any] = []

    def execute(self, sql: str, values: Any = ()) -> "Cursor":
        self._rows = self.connection.rows(sql, values)
        return self

    def __iter__(self) -> Iterator[Any]:
        while self._rows:
            yield self._rows.pop(0)

    def fetchone(self) -> Any:
        return next(iter(self), None)

    def fetchall(self) -> list[Any]:
        return list(self)

    def close(self) -> None:
        self._rows = []


class Connection:
    """The part of sqlite3.Connection, in autocommit mode, that aiosqlite and the store use."""

    isolation_level = None

    def __init__(self, disk: Disk, path: object, **pragmas: object) -> None:
        self._pragmas, self._turn = pragmas, Lock()  # the pragmas win over what the store asks for
        try:
            self._connection = apsw.Connection(str(path), vfs=disk.name)
        except apsw.Error as error:
            raise _as_sqlite3(error) from error
        if disk.holds(str(path)):
            self._lock_exclusively()

    def _lock_exclusively(self) -> None:
        """Have the index of the log in memory: there is none to share it in. Before there is a log, nothing differs."""
        list(self._connection.execute("PRAGMA locking_mode = EXCLUSIVE"))

    def rows(self, sql: str, values: Any = ()) -> list[Any]:
        """Execute a statement and return all its rows."""
        for pragma, value in self._pragmas.items():
            if sql.startswith(f"PRAGMA {pragma}"):
                sql = f"PRAGMA {pragma} = {value}"
        with self._turn:  # as sqlite3 has it: of several threads one waits for the other
            if sql.startswith("PRAGMA journal_mode"):
                self._lock_exclusively()
            return self._rows(sql, values)

    def _rows(self, sql: str, values: Any) -> list[Any]:
        changes, rows = self._connection.total_changes(), []
        try:
            for row in self._connection.execute(sql, values):
                rows.append(row)  # noqa: PERF402 - what was read is wanted even if the next one is not to be had
        except apsw.Error as error:
            # SQLite commits, then moves the log into the file if it is long, and passes over an error in that; apsw
            # raises what the disk raised all the same.
            if self._connection.total_changes() == changes:
                raise _as_sqlite3(error) from error
        return rows

    def execute(self, sql: str, values: Any = ()) -> Cursor:
        return Cursor(self).execute(sql, values)

    def executemany(self, sql: str, many: Iterable[Any]) -> Cursor:
        for values in many:
            self.rows(sql, values)
        return Cursor(self)

    def cursor(self) -> Cursor:
        return Cursor(self)

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    @property
    def total_changes(self) -> int:
        return self._connection.total_changes()

    def commit(self) -> None:
        if self.in_transaction:
            self.rows("COMMIT")

    def rollback(self) -> None:
        if self.in_transaction:
            self.rows("ROLLBACK")

    def close(self) -> None:
        with suppress(apsw.Error):  # as SQLite does it: whether the log went into the file is not asked
            self._connection.close()


def _as_sqlite3(error: apsw.Error) -> sqlite3.Error:
    code = getattr(error, "extendedresult", apsw.SQLITE_ERROR)
    made, words = _SAID.get(code & 0xFF, (sqlite3.OperationalError, "SQL logic error"))
    raised = made(str(error) or words)
    raised.sqlite_errorcode, raised.sqlite_errorname = code, str(_NAMES[code])
    return raised


class DiskStore(SQLiteStore):
    """A store on such a disk. It notes the rows it is handed, and how many of them it has said to be kept."""

    def __init__(self, disk: Disk, level: Level = "power", known: Sequence[str] = (), **pragmas: object) -> None:
        super().__init__("jobs.db", level)
        self._connection._most = _FEW_PAGES * 8192
        self.disk, self.pragmas = disk, pragmas
        self.handed, self.kept = list(known), len(known)

    def _connect(self) -> sqlite3.Connection:
        return cast(sqlite3.Connection, Connection(self.disk, self.path, **self.pragmas))

    def _make_ready(self) -> None:
        """Do nothing: there is no file on a real disk."""

    async def create(self, lease: Lease, header: JobHeader, rows: Sequence[Row]) -> None:
        self._note(0, rows)
        await super().create(lease, header, rows)
        self.kept = len(self.handed)

    async def append(self, lease: Lease, after: int, rows: Sequence[Row]) -> int:
        self._note(after, rows)
        last_letter = await super().append(lease, after, rows)
        self.kept = len(self.handed)
        return last_letter

    def _note(self, after: int, rows: Sequence[Row]) -> None:
        self.handed[after:] = [row.body() for row in rows]


def rows_on(disk: Disk) -> list[str]:
    """Return the rows of the only job there, having looked at every page of the file and at every link of the chain."""
    with closing(Connection(disk, "jobs.db")) as connection:
        assert connection.rows("PRAGMA integrity_check") == [("ok",)]
        if not connection.rows("SELECT name FROM sqlite_master WHERE name = 'log'"):
            return []
        columns = ", ".join(StoredRow._fields)
        rows = [StoredRow(*row) for row in connection.rows(f"SELECT {columns} FROM log ORDER BY number")]
    previous = "review"
    for number, row in enumerate(rows):
        assert (row.number, row.digest) == (number, row.digest_after(previous))
        previous = row.digest
    return [row.body for row in rows[1:]]


# --- a job -----------------------------------------------------------------------------------------------------------


class Clause(Fact):
    text: str


class Opinion(Fact):
    text: str
    depth: int


class Summary(Fact):
    opinions: int
    words: int


class Expert:
    """Answers each question in one way, and remembers what it was asked, and which answers have arrived."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.told: list[str] = []

    async def tell(self, view: View, question: str) -> str:
        """Return an answer, captured."""
        answer: str = await view.capture("ask", self.answer, question)
        self.told.append(question)
        return answer

    async def answer(self, question: str) -> str:
        self.asked.append(question)
        await anyio.lowlevel.checkpoint()
        return f"answer to {question}"


def agents(expert: Expert) -> list[Agent]:
    """Return three agents; two of them ask the expert, in one cycle after the other."""

    @agent(reads=Clause, writes=Opinion)
    async def lawyer(view: View):
        for clause in view.new(Clause):
            yield Opinion(await expert.tell(view, clause.text), 0).because(clause)

    @agent(reads=Opinion, writes=Opinion)
    async def doubter(view: View):
        for opinion in view.new(Opinion):
            if opinion.depth < 1:
                yield Opinion(await expert.tell(view, opinion.text), opinion.depth + 1).because(opinion)

    @agent(reads=Live(Opinion), writes=Summary)
    def clerk(view: View):
        opinions = view.live(Opinion)
        return Summary(len(opinions), sum(len(opinion.text.split()) for opinion in opinions))

    return [lawyer, doubter, clerk]


async def go_on(store: Store, expert: Expert) -> Outcome:
    """Do what is yet to be done: run the job, give it one more clause when it has come to rest, and resume it."""
    engine = Engine(agents(expert), store=store)
    async with engine:
        if not await store.letters("review", 0):
            try:
                await engine.resume("review")
            except JobUnknown:
                await engine.run("review", [Clause("liability"), Clause("notice")], job_id="review")
            await engine.give("review", Clause("term"))
        return await engine.resume("review")
