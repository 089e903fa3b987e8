"""Where the statements of a SQLite store are executed: nothing that may wait keeps the event loop from its work."""

import asyncio
import sqlite3
import threading
from contextlib import asynccontextmanager, closing, suppress

import anyio
import pytest

from converge.errors import StoreUnavailable
from converge_stores.sqlite import connection
from converge_stores.sqlite.connection import Connection

ADD, FIRST = "INSERT INTO log VALUES (?)", "DELETE FROM log"


class Opened:
    """A connection to a file with one table, and the thread that each statement on it was executed in."""

    def __init__(self, path, *, synced=False):
        self.path, self.threads, self.may_go_on = path, {}, threading.Event()
        self.connection = Connection(str(path), self._connect, synced=synced)

    def _connect(self):
        made = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        made.execute("PRAGMA journal_mode = WAL").fetchall()
        made.execute("CREATE TABLE IF NOT EXISTS log (text TEXT UNIQUE)").close()
        made.create_function("wait", 0, lambda: self.may_go_on.wait(10))
        made.set_trace_callback(self._note)
        return made

    def _note(self, statement):
        self.threads[statement] = threading.current_thread()

    def was_here(self, text):
        return self.threads[f"INSERT INTO log VALUES ('{text}')"] is threading.current_thread()

    def rows(self):
        with closing(sqlite3.connect(self.path)) as reader:
            return [text for (text,) in reader.execute("SELECT text FROM log")]


async def add_together(made, *texts):
    async with made.connection.transaction() as several:
        for text in texts:
            await several.execute(ADD, (text,))


@asynccontextmanager
async def opened(path, **options):
    made = Opened(path, **options)
    await made.connection.open()
    try:
        await made.connection.write(FIRST, (), lasting=False)  # which begins the log, and so is left to the thread
        yield made
    finally:
        await made.connection.close()


@pytest.mark.asyncio
async def test_where_no_commit_waits_for_the_disk_a_short_one_is_made_in_place(tmp_path):
    async with opened(tmp_path / "a.db") as made:
        await made.connection.write(ADD, ("a",))
        assert made.was_here("a")
        assert made.rows() == ["a"]


@pytest.mark.asyncio
async def test_the_first_one_begins_the_log_which_is_synced_and_so_is_made_in_a_thread(tmp_path):
    async with opened(tmp_path / "a.db") as made:
        assert made.threads[FIRST] is not threading.current_thread()


@pytest.mark.asyncio
async def test_a_commit_that_waits_for_the_disk_is_made_in_a_thread(tmp_path):
    async with opened(tmp_path / "a.db", synced=True) as made:
        await made.connection.write(ADD, ("a",))
        assert not made.was_here("a")
        assert made.rows() == ["a"]


@pytest.mark.asyncio
async def test_what_need_not_outlive_a_power_cut_by_itself_waits_for_no_disk(tmp_path):
    async with opened(tmp_path / "a.db", synced=True) as made:
        await made.connection.write(ADD, ("a",), lasting=False)
        await made.connection.write(ADD, ("b",))
        assert [made.was_here(text) for text in "ab"] == [True, False]
        assert [*made.threads] == [
            "PRAGMA synchronous = FULL",
            "PRAGMA busy_timeout = 0",
            "PRAGMA wal_autocheckpoint = 0",
            FIRST,
            "PRAGMA synchronous = NORMAL",
            "INSERT INTO log VALUES ('a')",
            "INSERT INTO log VALUES ('b')",
        ]
        assert await made.connection.read("PRAGMA synchronous") == [(2,)]


@pytest.mark.asyncio
async def test_a_long_one_is_made_in_a_thread(tmp_path):
    async with opened(tmp_path / "a.db") as made:
        await made.connection.write(ADD, ("a",), 1_000_000)
        assert not made.was_here("a")


@pytest.mark.asyncio
async def test_while_the_thread_is_at_work_another_statement_waits_its_turn_there(tmp_path):
    async with opened(tmp_path / "a.db") as made:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(made.connection.read, "SELECT wait()")
            await anyio.lowlevel.checkpoint()
            tasks.start_soon(made.connection.write, ADD, ("a",))
            await anyio.lowlevel.checkpoint()
            made.may_go_on.set()
        assert not made.was_here("a")


@pytest.mark.asyncio
async def test_a_statement_that_nobody_waits_for_any_more_still_has_its_turn_in_the_thread(tmp_path):
    """It may not have begun; whatever comes after it must not overtake it."""
    async with opened(tmp_path / "a.db") as made:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await made.connection.read("SELECT wait()")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(made.connection.write, ADD, ("a",))
            await anyio.lowlevel.checkpoint()
            made.may_go_on.set()
        await made.connection.write(ADD, ("b",))
        assert [made.was_here(text) for text in "ab"] == [False, True]


@pytest.mark.asyncio
async def test_after_one_that_took_long_others_are_left_to_the_thread_for_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "_SLOW", -1)
    monkeypatch.setattr(connection, "_LEFT", 2)
    async with opened(tmp_path / "a.db") as made:
        for text in "abcd":
            await made.connection.write(ADD, (text,))
        assert [made.was_here(text) for text in "abcd"] == [True, False, False, True]


@pytest.mark.asyncio
async def test_the_loop_goes_on_while_another_process_has_the_file_locked(tmp_path):
    async with opened(tmp_path / "a.db") as made:
        with closing(sqlite3.connect(made.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE").close()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(made.connection.write, ADD, ("a",))
                for _ in range(100):  # of the loop's turns, while the writer waits
                    await anyio.lowlevel.checkpoint()
                assert made.rows() == []
                other.execute("COMMIT").close()
        assert made.rows() == ["a"]


@pytest.mark.asyncio
async def test_a_file_that_stays_locked_is_given_up_with_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "_WAITS", (0,) * 3)
    async with opened(tmp_path / "a.db") as made:
        with closing(sqlite3.connect(made.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE").close()
            with pytest.raises(StoreUnavailable, match="another process keeps it locked"):
                await made.connection.write(ADD, ("a",))
            with pytest.raises(StoreUnavailable, match="another process keeps it locked"):
                made.connection.write_from_outside(ADD, ("a",))
    assert made.rows() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [0, 1_000_000], ids=["in place", "in a thread"])
async def test_what_breaks_a_constraint_is_for_the_caller_to_name(tmp_path, size):
    async with opened(tmp_path / "a.db") as made:
        await made.connection.write(ADD, ("a",), size)
        with pytest.raises(sqlite3.IntegrityError):
            await made.connection.write(ADD, ("a",), size)
        assert made.rows() == ["a"]


@pytest.mark.asyncio
@pytest.mark.parametrize("synced", [False, True])
async def test_the_log_is_moved_into_the_file_from_time_to_time_in_the_thread(tmp_path, synced):
    log = tmp_path / "a.db-wal"
    async with opened(tmp_path / "a.db", synced=synced) as made:
        made.connection._most = 100_000
        for number in range(200):
            await made.connection.write(ADD, (f"{number:05} {'x' * 1_000}",))
        assert made.threads["PRAGMA wal_checkpoint(PASSIVE)"] is not threading.current_thread()
        assert log.stat().st_size < 200_000  # some 2,000,000 if it were never moved
        assert len(made.rows()) == 200


@pytest.mark.asyncio
async def test_of_several_statements_all_are_kept_or_none(tmp_path):
    async with opened(tmp_path / "a.db") as made:
        with pytest.raises(sqlite3.IntegrityError):
            await add_together(made, "a", "a")
        assert made.rows() == []
        await add_together(made, "a", "b")
        assert made.rows() == ["a", "b"]


@pytest.mark.asyncio
async def test_nobody_writes_between_the_statements_of_a_transaction(tmp_path):
    async with (
        opened(tmp_path / "a.db") as made,
        anyio.create_task_group() as tasks,
        made.connection.transaction() as several,
    ):
        await several.execute(ADD, ("a",))
        tasks.start_soon(made.connection.write, ADD, ("b",))
        await anyio.lowlevel.checkpoint()
        await several.execute(ADD, ("c",))
        assert made.rows() == []
    assert made.rows() == ["a", "c", "b"]


@pytest.mark.asyncio
async def test_nobody_reads_what_a_transaction_may_yet_take_back(tmp_path):
    async with opened(tmp_path / "a.db") as made, anyio.create_task_group() as tasks:
        found = []

        async def read():
            found.append(await made.connection.read("SELECT text FROM log"))

        with suppress(sqlite3.IntegrityError):
            async with made.connection.transaction() as several:
                await several.execute(ADD, ("a",))
                tasks.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                await several.execute(ADD, ("a",))
    assert found == [[]]


@pytest.mark.asyncio
async def test_what_comes_after_the_end_is_refused_or_passed_over(tmp_path):
    async with opened(tmp_path / "a.db") as made:
        pass
    made.connection.write_from_outside(ADD, ("a",))
    with pytest.raises(StoreUnavailable, match="not open"):
        await made.connection.write(ADD, ("a",))
    assert made.rows() == []


# --- several threads, and several tasks ------------------------------------------------------------------------------


class Overseen(sqlite3.Connection):
    """Notes how many threads were in it at once, and keeps the first that inserts until it is let go."""

    inside = most = 0
    has_begun, may_go_on = threading.Event(), threading.Event()

    def execute(self, query, *values):
        Overseen.inside += 1
        Overseen.most = max(Overseen.most, Overseen.inside)
        if query == ADD and not self.has_begun.is_set():
            self.has_begun.set()
            self.may_go_on.wait(10)
        try:
            return super().execute(query, *values)
        finally:
            Overseen.inside -= 1


@pytest.mark.asyncio
async def test_one_thread_at_a_time_uses_the_connection(tmp_path):
    """Python's sqlite3 would take the error of one for that of another, and return as though nothing had been wrong."""

    def connect():
        made = sqlite3.connect(tmp_path / "a.db", isolation_level=None, check_same_thread=False, factory=Overseen)
        made.execute("CREATE TABLE IF NOT EXISTS log (text TEXT UNIQUE)").close()
        return made

    shared = Connection(str(tmp_path / "a.db"), connect, synced=True)
    await shared.open()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shared.write, ADD, ("a",))
        await anyio.to_thread.run_sync(Overseen.has_begun.wait, 10)
        renewing = threading.Thread(target=shared.write_from_outside, args=(ADD, ("b",)))
        renewing.start()
        await anyio.lowlevel.checkpoint()
        Overseen.may_go_on.set()
    await anyio.to_thread.run_sync(renewing.join, 10)
    assert sorted(await shared.read("SELECT text FROM log")) == [("a",), ("b",)]
    assert Overseen.most == 1
    await shared.close()


@pytest.mark.asyncio
async def test_a_write_that_waits_for_another_process_is_no_part_of_a_transaction_that_began_meanwhile(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(connection, "_WAITS", (0.0001,) * 100_000)
    async with opened(tmp_path / "a.db") as made, anyio.create_task_group() as tasks:
        with closing(sqlite3.connect(made.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE").close()
            tasks.start_soon(made.connection.write, ADD, ("a",))
            await made.connection.read("SELECT text FROM log")  # it has been refused by now
            other.execute("COMMIT").close()
        with pytest.raises(ZeroDivisionError):
            await undone(made)
    assert made.rows() == ["a"]


async def undone(made):
    async with made.connection.transaction():
        for _ in range(1_000):  # of the loop's turns: who waits looks again
            await anyio.lowlevel.checkpoint()
        raise ZeroDivisionError


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.asyncio
async def test_a_transaction_that_asyncio_cuts_off_is_not_left_open(tmp_path, turns):
    """A cancellation of asyncio's own does not mind anyio's shields."""
    async with opened(tmp_path / "a.db") as made:
        task = asyncio.create_task(add_together(made, "a", "b"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await made.connection.write(ADD, ("c",))
        assert made.rows() in (["c"], ["a", "b", "c"])


@pytest.mark.asyncio
async def test_what_others_have_left_in_the_log_counts(tmp_path):
    """Who comes, writes little and goes would else let it grow for ever while somebody else has the file open."""
    log = tmp_path / "a.db-wal"
    async with opened(tmp_path / "a.db"):
        for number in range(20):
            async with opened(tmp_path / "a.db") as made:
                made.connection._most = 100_000
                await made.connection.write(ADD, (f"{number:05} {'x' * 20_000}",))
        assert log.stat().st_size < 300_000
