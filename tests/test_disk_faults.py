"""The disk is full, does not sync or cannot be written from one moment on: the job stops by name and goes on later."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import cache
from inspect import getsource
from itertools import count
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest

from converge.chain import JobHeader
from converge.clock import SystemClock
from converge.errors import StoreUnavailable
from converge.lease import this_process
from converge.ports import Store
from converge.testing import STORE_CHECKS
from converge.testing.stores import StoredText
from converge.writer import Writer
from converge_stores import SQLiteStore
from converge_stores.sqlite import Level
from tests.disk import Disk
from tests.disk_store import Connection, DiskStore, Expert, go_on, rows_on

ROOT = Path(__file__).parent.parent
FAULTS: dict[str, dict[str, float]] = {
    "full": {"room": 0},
    "one bad sync": {"bad_syncs": 1},
    "no more syncs": {"bad_syncs": inf},
    "read-only": {"read_only": True},
    "gone": {"off_at": 0},
}
STEP = (
    1 if os.environ.get("CONVERGE_NIGHTLY") == "1" else 10
)  # one operation in so many is the one with which the disk breaks
with_every_fault = pytest.mark.parametrize("fault", FAULTS)


class Stopped(NamedTuple):
    """A job whose disk broke, and how the job ended: None if it never noticed."""

    store: DiskStore
    error: StoreUnavailable | None


@cache
def stopped(fault: str, level: Level = "power") -> Sequence[Stopped]:
    """Run the job once for each operation that is tried, with a disk that breaks with that one."""
    return asyncio.run(_stopped(fault, level))


async def _stopped(fault: str, level: Level) -> list[Stopped]:
    jobs = []
    for operation in count(1 + [*FAULTS].index(fault) % STEP, STEP):
        store, error = DiskStore(Disk(operation), level), None
        store.disk.break_at(operation, **FAULTS[fault])
        try:
            await go_on(store, Expert())
        except StoreUnavailable as raised:
            error = raised
        if store.disk.operations < operation:
            break
        jobs.append(Stopped(store, error))
    return jobs


async def digests(stores: Iterable[Store]) -> set[str]:
    """Go on with each, and return where they come to."""
    return {(await go_on(store, Expert())).proof_digest for store in stores}


@cache
def uninterrupted() -> str:
    return asyncio.run(go_on(DiskStore(Disk()), Expert())).proof_digest


# --- the disk is one -------------------------------------------------------------------------------------------------


IN_TURN = [check for check in STORE_CHECKS if "as second" not in getsource(check)]  # two at once would share memory


@pytest.mark.asyncio
@pytest.mark.parametrize("check", IN_TURN, ids=lambda check: check.__name__)
async def test_a_store_on_this_disk_keeps_the_contract(check):
    """What is shown here is shown of the store that everybody uses."""
    disk = Disk()
    await check(lambda: DiskStore(disk))


def the_key_is_taken(connection: Any) -> None:
    connection.execute("CREATE TABLE t (a TEXT PRIMARY KEY)")
    for _ in range(2):
        connection.execute("INSERT INTO t VALUES (?)", ("1",))


def there_is_no_room(connection: Any) -> None:
    connection.execute("CREATE TABLE t (a)")
    connection.execute("PRAGMA max_page_count = 2")
    connection.execute("INSERT INTO t VALUES (zeroblob(9999))")


def it_may_not_be_written(connection: Any) -> None:
    connection.execute("PRAGMA query_only = 1")
    connection.execute("CREATE TABLE t (a)")


def the_sentence_is_wrong(connection: Any) -> None:
    connection.execute("CREATE TABEL t (a)")


@pytest.mark.parametrize("mistake", [the_key_is_taken, there_is_no_room, it_may_not_be_written, the_sentence_is_wrong])
def test_the_store_hears_of_an_error_what_it_hears_from_sqlite3(mistake: Callable[[Any], None], tmp_path: Path):
    """Class, code and words."""
    said = []
    for connection in (sqlite3.connect(tmp_path / "real.db", isolation_level=None), Connection(Disk(), "jobs.db")):
        with closing(connection), pytest.raises(sqlite3.Error) as raised:
            mistake(connection)
        said.append((raised.type, str(raised.value), raised.value.sqlite_errorcode, raised.value.sqlite_errorname))
    assert said[0] == said[1]


def test_a_file_is_locked_as_it_is_by_sqlite3(tmp_path: Path):
    """Two connections that would write at once are never both let in."""
    disk = Disk()

    def real() -> sqlite3.Connection:
        return sqlite3.connect(tmp_path / "real.db", timeout=0, isolation_level=None)

    assert refusal(real(), real()) == refusal(Connection(disk, "jobs.db"), Connection(disk, "jobs.db"))


def refusal(one: Any, other: Any) -> tuple[str, str]:
    with closing(one), closing(other):
        one.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as raised:
            other.execute("BEGIN IMMEDIATE")
        return str(raised.value), raised.value.sqlite_errorname


# --- how the job ends ------------------------------------------------------------------------------------------------


@with_every_fault
def test_a_job_whose_disk_breaks_stops_with_a_sentence_that_says_what_to_do(fault: str):
    """Whoever runs the store is told, and never with what the driver alone says."""
    errors = [str(job.error) for job in stopped(fault) if job.error]
    assert errors
    assert all("resume the job" in error or "writable" in error for error in errors)


@with_every_fault
def test_a_job_that_did_not_stop_has_kept_every_row(fault: str):
    """A disk may break when nothing is written any more, or where SQLite can do without."""
    for store, error in stopped(fault):
        assert error is not None or rows_on(store.disk.after_kill()) == store.handed


@with_every_fault
def test_nothing_that_was_said_to_be_kept_is_missing(fault: str):
    """What is there is the beginning of what the store was handed."""
    for store, _ in stopped(fault):
        rows = rows_on(store.disk.after_kill())
        assert rows == store.handed[: len(rows)]
        assert len(rows) >= store.kept


@with_every_fault
def test_at_level_power_nor_is_it_if_the_power_goes_after_that(fault: str):
    """A sync that fails may leave less on the disk than can be read: what was kept before it, and after, is there."""
    for seed, (store, _) in enumerate(stopped(fault)):
        rows = rows_on(store.disk.after_crash(seed))
        assert rows == store.handed[: len(rows)]
        assert len(rows) >= store.kept


def test_at_level_process_a_disk_that_syncs_no_more_takes_nothing_from_a_machine_that_stays_on():
    """Nobody waits for it, and what it did not write can still be read."""
    for store, _ in stopped("no more syncs", "process"):
        rows = rows_on(store.disk.after_kill())
        assert rows == store.handed[: len(rows)]
        assert len(rows) >= store.kept


@with_every_fault
def test_when_the_disk_is_mended_the_job_goes_on_to_where_it_would_have_come(fault: str):
    """It is opened again by somebody else."""
    disks = [job.store.disk.after_kill() for job in stopped(fault)]
    assert asyncio.run(digests(map(DiskStore, disks))) == {uninterrupted()}


@pytest.mark.parametrize("fault", ["one bad sync", "no more syncs"])
def test_and_when_the_machine_is_started_anew_after_syncs_that_failed(fault: str):
    """Then nothing is read any more that is not on the disk."""
    disks = [job.store.disk.after_crash(seed) for seed, job in enumerate(stopped(fault))]
    assert asyncio.run(digests(map(DiskStore, disks))) == {uninterrupted()}


# --- within the run --------------------------------------------------------------------------------------------------


@with_every_fault
@pytest.mark.asyncio
async def test_after_a_commit_that_failed_every_other_is_refused(fault: str):
    """Else a row would be missing in between, were the disk mended in the meantime."""
    store = DiskStore(Disk())
    await store.open()
    lease = await store.take("review", this_process(), 0.0, 10.0)
    writer = Writer(store, lease, SystemClock(), 1, header=JobHeader("review", 0.0, '{"objective":"review"}'))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        try:
            await writer.commit(row(1))
            store.disk.break_at(1, **FAULTS[fault])
            with pytest.raises(StoreUnavailable) as first:
                await writer.commit(row(2))
            store.disk.mend()
            with pytest.raises(StoreUnavailable) as second:
                await writer.commit(row(3))
        finally:
            await writer.close()
    await store.close()
    assert first.value is second.value
    assert rows_on(store.disk) in ([row(1).body()], [row(1).body(), row(2).body()])


class Committed(StoredText):
    budget = None  # as of a cycle that is not the first of a run


def row(number: int) -> Any:
    return Committed(number, f'{{"cycle":{number}}}')


# --- a real one ------------------------------------------------------------------------------------------------------

SCRIPT = """
import asyncio, resource, sys
from converge.errors import StoreUnavailable
from converge_stores import SQLiteStore
from tests.disk_store import Expert, go_on

path, room = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(room), int(room)))  # a write beyond it fails: Python ignores the signal
try:
    asyncio.run(go_on(SQLiteStore(path), Expert()))
except StoreUnavailable as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="only unix limits how long a file may become")
def test_a_real_file_that_may_not_grow_stops_the_job_which_goes_on_later(tmp_path: Path):
    """A write that the system itself refuses, in another process and on a real disk."""
    path = tmp_path / "jobs.db"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in (".", "agents", "stores")),
    }
    command = [sys.executable, "-c", SCRIPT, str(path), str(128 * 1024)]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.startswith(f"{path} cannot be used: ")
    assert "resume the job" in ended.stdout
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT count(*) FROM log").fetchone()[0] > 2
    expert = Expert()
    assert asyncio.run(go_on(SQLiteStore(path), expert)).proof_digest == uninterrupted()
    assert expert.asked
