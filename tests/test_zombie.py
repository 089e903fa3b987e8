"""A process that was taken for dead and wakes up: it writes nothing more, and says so. One that lives keeps its job.

The process that freezes is `converge run` on the engine of this module; it stops itself in the middle of a call.
"""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import AsyncExitStack, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from converge import Engine, Fact, View, agent, run
from converge.errors import JobLeased, LeaseLost
from converge.lease import this_process
from converge.stores import SQLiteStore
from converge.testing.stores import StoredText

ROOT = Path(__file__).parents[1]
SECONDS = 0.25  # of a lease


class Rung(Fact):
    number: int
    said: str = ""


def ask(question: str) -> str:
    """Stand for an outside call, in the middle of which a process may be stopped, or end."""
    if os.environ.get("CONVERGE_TEST_AT") == question:
        os.kill(os.getpid(), getattr(signal, os.environ["CONVERGE_TEST_SIGNAL"]))
    return f"{question}, says the world"


@agent(reads=Rung, writes=Rung)
async def captured(view: View):
    """Climb to the fourth rung."""
    for rung in view.new(Rung):
        if rung.number < 4:
            number = rung.number + 1
            yield Rung(number, await view.capture("ask", ask, f"captured {number}")).because(rung)


@agent(reads=Rung, writes=Rung)
def plain(view: View):
    """Climb from the tenth to the fourteenth."""
    for rung in view.new(Rung):
        if 10 <= rung.number < 14:
            yield Rung(rung.number + 1, ask(f"plain {rung.number + 1}")).because(rung)


@agent(reads=[], writes=Rung)
def begin(view: View):
    """Stand on the first and the tenth."""
    return [Rung(0), Rung(10)]


engine = Engine([begin, captured, plain], lease_seconds=SECONDS)
patient = Engine(engine.agents, lease_seconds=3_600)


def begun(folder: Path, at: str, number: str, target: str = "engine") -> "subprocess.Popen[str]":
    """Start a job in another process, which sends itself a signal when it asks `at`."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "agents", ROOT / "stores"))),
        "CONVERGE_TEST_AT": at,
        "CONVERGE_TEST_SIGNAL": number,
    }
    command = [sys.executable, "-m", "converge.cli", "run", f"tests.test_zombie:{target}", "--objective", "climb"]
    command += ["--job", "job", "--store", f"sqlite:///{folder / 'jobs.db'}", "--quiet"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def stopped(process: "subprocess.Popen[str]") -> None:
    """Wait until a process has stopped itself."""
    ended = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert ended is not None
    assert ended.si_code == os.CLD_STOPPED, process.communicate()


async def taken_over(other: Engine) -> Any:
    """Go on with the job as soon as its holder's lease has expired."""
    while True:
        try:
            return await other.resume("job")
        except JobLeased:
            await anyio.lowlevel.checkpoint()


def digests(outcome: Any) -> tuple[str, str, str]:
    known = outcome.context
    return known.digest(), known.live_digest(), known.proof_digest()


async def rows_of(store: SQLiteStore) -> Any:
    await store.open()
    try:
        return await store.rows("job")
    finally:
        await store.close()


@pytest.fixture
def mine(tmp_path: Path) -> Engine:
    """An engine whose store holds a job."""
    found = engine.with_store(SQLiteStore(tmp_path / "jobs.db"))
    anyio.run(partial(found.run, "climb", job_id="job"))
    return found


# --- who is late ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("call", ["captured 2", "plain 12"])
def test_a_frozen_process_that_wakes_up_late_cannot_write(tmp_path: Path, call: str):
    """Its capture or its commit is refused, it says who has the job now, and each cycle is in the file once."""
    late = begun(tmp_path, call, "SIGSTOP")
    stopped(late)
    store = SQLiteStore(tmp_path / "jobs.db")
    outcome = anyio.run(taken_over, engine.with_store(store))
    before = anyio.run(rows_of, store)
    late.send_signal(signal.SIGCONT)
    out, err = late.communicate()
    assert (late.returncode, out) == (10, "")
    assert err.startswith("error: job 'job' was taken over by another process while this one did not answer")
    assert "Traceback" not in err
    assert anyio.run(rows_of, store) == before
    assert digests(outcome) == digests(run(engine, "climb"))
    assert_whole(before, outcome.cycles)


def assert_whole(rows: Any, cycles: int) -> None:
    """The chain holds, each cycle is there once, and whoever took over wrote all that came after."""
    assert [row.cycle for row in rows if row.cycle] == [*range(1, cycles + 1)]
    assert all(row.digest_after(last.digest) == row.digest for last, row in pairwise(rows))
    epochs = [row.epoch for row in rows[1:]]
    assert epochs == sorted(epochs)
    assert set(epochs) == {1, 2}


def test_who_takes_over_may_not_be_late_either(tmp_path: Path, mine: Engine):
    """Of three that had the lease one after the other, only the last can write."""
    assert anyio.run(epochs_that_write, [SQLiteStore(tmp_path / "jobs.db") for _ in range(3)]) == [4]


async def epochs_that_write(stores: list[SQLiteStore]) -> list[int]:
    """Let each take the lease when that of the one before has expired, and then all of them write."""
    wrote = []
    async with AsyncExitStack() as stack:
        for store in stores:
            await store.open()
            stack.push_async_callback(store.close)
        leases = [await store.take("job", this_process(), now, now + 0.5) for now, store in enumerate(stores)]
        for store, lease in zip(stores, leases, strict=True):
            with suppress(LeaseLost):
                await store.append(lease, len(await store.rows("job")) - 1, [StoredText(9)])
                wrote.append(lease.epoch)
    return wrote


# --- who lives --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_job_is_left_to_a_process_that_lives(tmp_path: Path):
    """Even to a frozen one, until its lease expires; who comes is told the process, the host and the moment."""
    holder = begun(tmp_path, "captured 2", "SIGSTOP", "patient")
    try:
        stopped(holder)
        with pytest.raises(JobLeased) as refusal:
            anyio.run(engine.with_store(SQLiteStore(tmp_path / "jobs.db")).resume, "job")
        expiry = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(refusal.value.expires))
        said = str(refusal.value)
        assert f"is run by process {holder.pid} on {socket.gethostname()}, which holds it until {expiry}" in said
        assert refusal.value.expires > time.time() + 3_000
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.slow
def test_an_agent_that_blocks_the_event_loop_does_not_cost_its_job(tmp_path: Path):
    """A thread renews the lease, so after several lengths of it whoever comes is still refused."""
    path, seconds = tmp_path / "jobs.db", 0.8  # so that the thread is never late, however busy the machine is
    refusals: list[JobLeased] = []

    def come() -> None:
        with pytest.raises(JobLeased) as refusal:
            anyio.run(Engine([block], store=SQLiteStore(path)).resume, "job")
        refusals.append(refusal.value)

    @agent(reads=[], writes=Rung)
    def block(view: View):
        first = until = expires(path)
        while until < first + 3 * seconds:
            time.sleep(0.01)
            until = expires(path)
        other = threading.Thread(target=come)
        other.start()
        other.join()
        return Rung(1)

    mine = Engine([block], store=SQLiteStore(path), lease_seconds=seconds)
    outcome = anyio.run(partial(mine.run, "block", job_id="job"))
    assert outcome.converged
    assert [refusal.holder.process for refusal in refusals] == [os.getpid()]


def expires(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return float(connection.execute("SELECT expires FROM leases").fetchone()[0])
    finally:
        connection.close()


# --- who is dead ------------------------------------------------------------------------------------------------------


def held_by(path: Path, **columns: object) -> None:
    """Have the job be held, for an hour, by a process of this machine that has ended, but for these columns."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    me = this_process()._asdict() | {"process": gone.pid, "expires": time.time() + 3_600} | columns
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(
        "UPDATE leases SET token = :token, host = :host, place = :place, process = :process, started = :started, "
        "expires = :expires",
        me,
    )
    connection.close()


def test_a_holder_that_ended_on_this_machine_is_followed_at_once(tmp_path: Path, mine: Engine):
    """Nobody waits for a lease whose holder cannot come back."""
    held_by(tmp_path / "jobs.db")
    assert anyio.run(mine.resume, "job").converged


def test_a_process_that_has_the_number_of_the_holder_is_not_the_holder(tmp_path: Path, mine: Engine):
    """Numbers are given out again; when the process began tells them apart."""
    held_by(tmp_path / "jobs.db", process=os.getpid(), started="1")
    assert anyio.run(mine.resume, "job").converged


@pytest.mark.parametrize("elsewhere", [{"host": "elsewhere"}, {"place": "another start of it/pid:[1]"}])
def test_a_holder_on_another_machine_is_never_taken_for_dead(tmp_path: Path, mine: Engine, elsewhere: dict[str, str]):
    """Of another host, an earlier start of this one or another container, a number says nothing: the lease decides."""
    held_by(tmp_path / "jobs.db", **elsewhere)
    with pytest.raises(JobLeased):
        anyio.run(mine.resume, "job")
    held_by(tmp_path / "jobs.db", **elsewhere, expires=time.time() - 1)
    assert anyio.run(mine.resume, "job").converged


@pytest.mark.slow
def test_a_killed_process_that_nobody_has_buried_is_dead(tmp_path: Path):
    """Its parent may never ask for its exit code, as in a container; its number is taken until then."""
    killed = begun(tmp_path, "captured 2", "SIGKILL", "patient")
    try:
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        outcome = anyio.run(engine.with_store(SQLiteStore(tmp_path / "jobs.db")).resume, "job")
    finally:
        killed.communicate()
    assert digests(outcome) == digests(run(engine, "climb"))
