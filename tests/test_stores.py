"""Both stores keep the contract, and the SQLite file says what it is."""

import asyncio
import sqlite3
import stat
from itertools import count

import anyio.lowlevel
import pytest

from converge import Engine
from converge.chain import JobHeader
from converge.errors import StoredFactInvalid, StoreForeign, StoreTooNew, StoreUnavailable
from converge.ports import Holder, StoredJob
from converge.restore import restore
from converge.testing import STORE_CHECKS, StoredText, check_store
from converge_stores import MemoryStore, SQLiteStore
from converge_stores.sqlite.schema import APPLICATION_ID, VERSION
from converge_stores.sqlite.statements import RELEASE
from tests.jobs import play


@pytest.mark.asyncio
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_the_memory_store_keeps_the_contract(check):
    """Memory is the reference for the contract."""
    store = MemoryStore()
    await check(lambda: store)


@pytest.mark.asyncio
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_the_sqlite_store_keeps_the_contract(check, tmp_path):
    """A real file, opened anew each time."""
    await check(lambda: SQLiteStore(tmp_path / "jobs.db"))


@pytest.mark.asyncio
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_the_postgresql_store_keeps_the_contract(check, database):
    """A real server, and a schema for each check."""
    schema = database.schema()
    await check(lambda: database.store(schema=schema))


@pytest.mark.asyncio
async def test_what_was_read_before_a_commit_and_is_heard_of_after_it_is_in_nobodys_way(tmp_path):
    """A commit in place is done at once; of what the thread has read, the loop hears when it next has a turn."""
    store = SQLiteStore(tmp_path / "jobs.db")
    await store.open()
    lease = await store.take("one", Holder("a", "host", "place", 1, "0"), 0.0, 10.0)
    await store.create(lease, JobHeader("one", 0.0, "{}"), [StoredText(1)])
    reading = asyncio.create_task(store.load("one"))
    await anyio.lowlevel.checkpoint()
    guarded = store._connection._guarded
    assert guarded is not None
    while guarded.done < store._connection._queued:
        pass  # the thread is at work, and the loop gets no turn
    await store.append(lease, 1, [StoredText(2)])
    assert not reading.done()
    assert len((await reading).bodies) == 1
    await store.append(lease, 2, [StoredText(3)])
    await store.close()


@pytest.mark.asyncio
async def test_who_gives_back_a_lease_of_nothing_does_not_forget_that_of_whoever_takes_it_next(tmp_path, monkeypatch):
    """Forgetting is a statement of its own: another process may have the job by then, and is about to begin it."""
    one, other = (SQLiteStore(tmp_path / "jobs.db") for _ in range(2))
    await one.open()
    await other.open()
    lease = await one.take("job", Holder("a", "host", "place", 1, "0"), 0.0, 10.0)
    write, taken = one._connection.write, []

    async def write_and_let_the_other_in(query, *values, **options):
        found = await write(query, *values, **options)
        if query == RELEASE:
            taken.append(await other.take("job", Holder("b", "host", "place", 2, "0"), 0.0, 10.0))
        return found

    monkeypatch.setattr(one._connection, "write", write_and_let_the_other_in)
    await one.release(lease)
    await other.create(taken[0], JobHeader("job", 0.0, "{}"), [StoredText(1)])
    assert len(await one.rows("job")) == 2
    await one.close()
    await other.close()


@pytest.mark.asyncio
async def test_the_whole_suite_can_be_called_by_a_third_party(tmp_path):
    """One call runs every check, each on a place of its own."""
    numbers = count()

    def make_store():
        path = tmp_path / f"{next(numbers)}.db"
        return lambda: SQLiteStore(path)

    await check_store(make_store)
    assert next(numbers) == len(STORE_CHECKS)


@pytest.mark.asyncio
async def test_a_store_that_forgets_fails_the_suite():
    """The suite can fail: a store that keeps nothing does not pass it."""
    with pytest.raises(Exception, match=r"no job|was to be raised|came back"):
        await check_store(lambda: MemoryStore)


@pytest.mark.asyncio
async def test_a_new_file_says_what_it_is_and_is_private(tmp_path):
    """Application id, schema version, WAL, and no access for others."""
    path = tmp_path / "jobs.db"
    store = SQLiteStore(path)
    await store.open()
    await store.close()
    with sqlite3.connect(path) as reader:
        names = ("application_id", "user_version", "journal_mode")
        pragmas = [reader.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    reader.close()
    assert pragmas == [APPLICATION_ID, VERSION, "wal"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.asyncio
async def test_a_directory_is_refused(tmp_path):
    """The sentence says what it is and what to do."""
    with pytest.raises(StoreUnavailable, match="directory: name a file"):
        await SQLiteStore(tmp_path).open()


@pytest.mark.asyncio
async def test_a_folder_that_is_not_there_is_named(tmp_path):
    """SQLite itself would only say that it cannot open the file."""
    with pytest.raises(StoreUnavailable, match="nowhere does not exist"):
        await SQLiteStore(tmp_path / "nowhere" / "jobs.db").open()


@pytest.mark.asyncio
async def test_a_file_that_is_not_sqlite_is_refused_and_left_alone(tmp_path):
    """A text file stays what it was."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but rather long " * 100)
    with pytest.raises(StoreForeign, match="not an SQLite file"):
        await SQLiteStore(path).open()
    assert path.read_text().startswith("not a database")


@pytest.mark.asyncio
async def test_another_programs_file_is_refused_and_left_alone(tmp_path):
    """Tables of somebody else are not ours to add to."""
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (a)")
    other.close()
    with pytest.raises(StoreForeign, match="another program"):
        await SQLiteStore(path).open()
    with sqlite3.connect(path) as other:
        assert [name for (name,) in other.execute("SELECT name FROM sqlite_master")] == ["theirs"]
    other.close()


@pytest.mark.asyncio
async def test_a_newer_schema_is_refused(tmp_path):
    """A file from the future is not guessed at."""
    path = tmp_path / "jobs.db"
    store = SQLiteStore(path)
    await store.open()
    await store.close()
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {VERSION + 1}")
    newer.close()
    with pytest.raises(StoreTooNew, match="upgrade converge-runtime"):
        await store.open()


@pytest.mark.asyncio
async def test_memory_keeps_the_newest_jobs():
    """A service that runs for ever on the default store does not fill the machine."""
    store = MemoryStore(keep=2)
    for name in ("a", "b", "c"):
        lease = await store.take(name, Holder(name, "host", "place", 1, ""), 0.0, 9.0)
        await store.create(lease, JobHeader(name, 0.0, '{"objective":"x"}'), [StoredText(1, stop="fixed_point")])
        await store.release(lease)
    assert [summary.job_id for summary in await store.jobs()] == ["c", "b"]


@pytest.mark.asyncio
async def test_memory_keeps_a_job_that_somebody_goes_on_with():
    """Where it stopped was not its end: a letter came in the last moment, say."""
    store = MemoryStore(keep=1)
    leases = [await store.take(name, Holder(name, "host", "place", 1, ""), 0.0, 9.0) for name in ("a", "b")]
    for lease in leases:
        header = JobHeader(lease.job_id, 0.0, '{"objective":"x"}')
        await store.create(lease, header, [StoredText(1, stop="fixed_point")])
    await store.append(leases[0], 1, [StoredText(2)])
    assert [summary.job_id for summary in await store.jobs()] == ["b", "a"]


class _Failing(MemoryStore):
    """A durable store whose author forgot an error."""

    durable = True

    async def create(self, lease, header, rows):
        raise OSError("the disk is gone")


@pytest.mark.asyncio
async def test_an_error_that_a_store_did_not_foresee_ends_the_job_by_name():
    """Nobody waits for ever, and the cause is kept."""
    with pytest.raises(StoreUnavailable, match="OSError: the disk is gone") as raised:
        await Engine([], store=_Failing()).run("anything")
    assert isinstance(raised.value.__cause__, OSError)


def test_a_row_of_another_form_is_refused():
    """It is said which row, and nothing is guessed."""
    job = play([], [])
    body = job.bodies[0].replace('"form":3', '"form":1')
    with pytest.raises(StoredFactInvalid, match=r"row 1.*form 1 is not form 3"):
        restore(StoredJob(job.header, [body]), None)
