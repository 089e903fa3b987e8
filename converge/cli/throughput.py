"""Many jobs in one store, run by several processes: how many are done in a second, and what a commit takes there.

What is measured leaves nothing behind: a file lies in a temporary folder, a schema of a database is dropped again.
"""

__all__ = ["Commit", "Throughput", "WorkersFailed", "commits", "throughputs"]

import multiprocessing
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import anyio

from converge.agent import Agent
from converge.chain import JobHeader, StoredRow, header_row
from converge.cli.place import store_at
from converge.engine import Engine
from converge.errors import OperatorError
from converge.fact import Assertion, Fact
from converge.lease import this_process
from converge.ports import Lease, Store
from converge.view import View
from converge_stores.postgres import PostgresStore
from converge_stores.postgres.preparing import driver
from converge_stores.postgres.statements import columns_of
from converge_stores.sqlite import SQLiteStore
from converge_stores.sqlite.statements import append, values_of

_CYCLES = 10  # of each job
_FACTS_EACH = 3  # of each cycle
_AT_ONCE = 16  # jobs of one process
_ROUNDS = 20  # of commits, each beside as many bare ones
_PATIENCE = 120.0  # seconds until a process that was killed before all could begin is given up
_FRESH = multiprocessing.get_context("spawn")


class WorkersFailed(OperatorError):
    """Raised when processes that were to run jobs failed; what they say of it is on stderr."""

    def __init__(self, failed: int, workers: int) -> None:
        super().__init__(
            f"{failed} of {workers} processes failed: see what they say above, and that the store takes so many at once"
        )


class Throughput(NamedTuple):
    """Jobs that so many processes ran; `seconds` from the first who began to the last who was done."""

    store: str
    workers: int
    jobs: int
    seconds: float


class Commit(NamedTuple):
    """What one commit of a job takes, and what the same statement takes by itself, on the driver; in seconds."""

    store: str
    seconds: float
    bare: float


class Reading(Fact, policy="many"):
    """What the agent of a measured job states."""

    cycle: int
    part: int


def _read(view: View) -> Iterator[Assertion]:
    newest = view.new(Reading)
    if newest and newest[-1].cycle < _CYCLES:
        for part in range(_FACTS_EACH):
            yield Reading(newest[-1].cycle + 1, part).because(newest[-1])


_READER = Agent("reader", _read, reads=(Reading,), writes=(Reading,))


@contextmanager
def _place(address: str | None) -> Iterator[str]:
    """Make room for jobs that are not to stay: in a file, or in a schema of its own where a database is named."""
    if address is None:
        with TemporaryDirectory(prefix="converge-bench-") as folder:
            yield f"sqlite:///{Path(folder, 'jobs.db')}"
        return
    schema = f"converge_bench_{os.getpid()}"
    place = f"{address}{'&' if '?' in address else '?'}schema={schema}"
    try:
        yield place
    finally:
        store = store_at(place)
        assert isinstance(store, PostgresStore)
        psycopg, _ = driver()
        with psycopg.connect(store.address.url, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


# --- jobs -------------------------------------------------------------------------------------------------------------


def throughputs(address: str | None, jobs: int, workers: int) -> Iterator[Throughput]:
    """Iterate over what 1, 2, ... processes do, each time with as many jobs in an empty store. Raises WorkersFailed."""
    for count in range(1, workers + 1):
        with _place(address) as place:
            anyio.run(_opened, store_at(place))  # so that nobody waits for tables
            yield Throughput(_name(address), count, jobs, _together(place, jobs, count))


def _together(place: str, jobs: int, workers: int) -> float:
    door, results = _FRESH.Barrier(workers, timeout=_PATIENCE), _FRESH.Queue()
    shares = [range(first, jobs, workers) for first in range(workers)]
    processes = [_FRESH.Process(target=_work, args=(place, share, door, results)) for share in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()  # first: one that failed tells nothing, and would be waited for
    if failed := [process.exitcode for process in processes if process.exitcode]:
        raise WorkersFailed(len(failed), workers)
    spans = [results.get() for _ in processes]
    return float(max(end for _, end in spans) - min(begin for begin, _ in spans))


def _work(place: str, share: Sequence[int], door: Barrier, results: "Queue[tuple[float, float]]") -> None:
    try:
        results.put(anyio.run(_run, store_at(place), share, door.wait))
    except BaseException:
        door.abort()  # nobody waits there for one that does not come
        raise


async def _run(store: Store, share: Sequence[int], ready: Callable[[], object]) -> tuple[float, float]:
    engine, limit = Engine([_READER], store=store), anyio.CapacityLimiter(_AT_ONCE)

    async def job(number: int) -> None:
        async with limit:
            await engine.run("measure", [Reading(0, 0)], job_id=f"job-{number}")

    async with engine:
        await engine.run("warm up", [Reading(0, 0)])
        ready()
        begin = time.time()
        async with anyio.create_task_group() as group:
            for number in share:
                group.start_soon(job, number)
        return begin, time.time()


# --- commits ----------------------------------------------------------------------------------------------------------


def commits(address: str | None) -> Commit:
    """Return what commits of one job take, and bare ones of the same rows in between: medians."""
    with _place(address) as place:
        return anyio.run(_commits, store_at(place), _name(address))


async def _commits(store: Store, name: str) -> Commit:
    taken: list[float] = []
    alone: list[float] = []
    async with Engine([_READER], store=store) as engine:
        first = await engine.run("measure", [Reading(0, 0)])
        with _bare(store, await store.rows(first.job_id)) as bare:
            store.append = _timed(store.append, taken)  # type: ignore[method-assign]
            for _ in range(_ROUNDS):
                await engine.run("measure", [Reading(0, 0)])
                alone += [_seconds(bare) for _ in range(_CYCLES)]
    return Commit(name, median(taken), median(alone))


def _timed(call: Callable[..., Any], taken: list[float]) -> Callable[..., Any]:
    async def timed(*arguments: Any) -> Any:
        begun = time.perf_counter()
        result = await call(*arguments)
        taken.append(time.perf_counter() - begun)
        return result

    return timed


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@contextmanager
def _bare(store: Store, rows: Sequence[StoredRow]) -> Iterator[Callable[[], object]]:
    """Yield a call that adds one row in one fenced statement, with nothing but the driver."""
    lease = Lease("bare", this_process(), 1, 0.0)
    numbered = iter(_numbered(rows))
    if isinstance(store, PostgresStore):
        psycopg, _ = driver()
        says = store.says
        with psycopg.connect(store.address.url, autocommit=True) as connection:
            connection.execute(says.take, ("bare", *lease.holder, 0.0, 0.0, None))

            def add() -> None:
                columns = columns_of([next(numbered)])
                connection.execute(says.append, ("bare", 1, "bare", *columns, "bare")).fetchall()

            yield add
    else:
        assert isinstance(store, SQLiteStore)
        with closing(sqlite3.connect(store.path, isolation_level=None)) as direct:
            direct.execute("PRAGMA synchronous = NORMAL")
            direct.execute("INSERT INTO leases VALUES ('bare', 1, '', '', '', 0, '', 0.0, 0, '')")
            yield lambda: direct.execute(append(1), values_of(lease, [next(numbered)])).fetchall()


def _numbered(rows: Sequence[StoredRow]) -> Iterator[StoredRow]:
    """Iterate for ever over rows like those of the job, the header first."""
    yield header_row(JobHeader("bare", 0.0, "{}"))
    number = 0
    while True:
        for row in rows[1:]:
            number += 1
            yield row._replace(number=number, epoch=1)


async def _opened(store: Store) -> None:
    await store.open()
    await store.close()


def _name(address: str | None) -> str:
    return "sqlite" if address is None else "postgresql"
