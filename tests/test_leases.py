"""Leases: a job is run by one process at a time, and by another as soon as that one is known to have ended.

What a process is known by is read off the running system here; where one has ended, a real one has.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from converge import Engine, Fact, View, agent
from converge.errors import EngineBusy, JobExists, JobLeased, StoreUnavailable
from converge.lease import Leases, is_gone, this_process
from converge.ports import Holder, Lease
from converge.stores import MemoryStore, SQLiteStore
from converge.testing import VirtualClock

RENEWING = "converge leases"


class Word(Fact):
    text: str


@agent(reads=Word)
def reader(view: View):
    view.new(Word)


class Patient:
    """An agent that waits until it is told to go on."""

    def __init__(self) -> None:
        self.begun, self.may_end = anyio.Event(), anyio.Event()

    def agent(self):
        @agent(reads=Word, name="patient")
        async def patient(view: View):
            self.begun.set()
            await self.may_end.wait()

        return patient


class Fixed:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def now(self) -> float:
        return self.time

    def elapsed(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()

    def move_on_after(self, seconds: float):
        return anyio.move_on_after(60)


def renewing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == RENEWING]


def joined() -> None:
    """Wait for the threads that have been told to end."""
    for thread in renewing():
        thread.join(10)


@pytest.fixture
def ended() -> Holder:
    """Return a holder whose process has ended, and was asked how."""
    with _child() as child:
        found = _of(child.pid)
        child.communicate(b"\n")
    return found


def _child(code: str = "input()") -> Any:
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _of(process: int) -> Holder:
    """Return the holder that a process of this machine would name itself."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return this_process()._replace(process=process, started=fields[19])


# --- who is gone -----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_this_process_is_there_while_it_holds_the_lease():
    """And has let go of what it no longer holds, however that came about: nobody must wait for it."""
    leases = Leases(MemoryStore(), Fixed(), 30.0)
    async with leases.of("one") as lease:
        assert not is_gone(lease.holder)
    assert is_gone(lease.holder)
    assert is_gone(this_process())  # a token that was never used


def test_every_lease_has_a_token_of_its_own():
    """One process may hold several."""
    one, other = this_process(), this_process()
    assert one.token != other.token
    assert one[1:] == other[1:]
    assert (one.host, one.process) == (socket.gethostname(), os.getpid())


def test_a_process_that_runs_is_not_gone():
    """Whatever it does."""
    with _child() as child:
        holder = _of(child.pid)
        assert not is_gone(holder)
        child.communicate(b"\n")
    assert is_gone(holder)


def test_a_process_that_was_killed_is_gone_before_its_parent_has_asked():
    """In a container there may be nobody to ask: its number would stay taken for ever."""
    with _child("print(); input()") as child:
        child.stdout.readline()
        holder = _of(child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is still to be asked
        assert is_gone(holder)


def test_a_process_on_another_host_is_not_known_to_be_gone(ended: Holder):
    """Its number says nothing here."""
    assert is_gone(ended)
    assert not is_gone(ended._replace(host="elsewhere"))


HERE = ("3d12", "330b", "pid:[7]")  # machine, boot, namespace


@pytest.mark.parametrize(
    ("there", "gone"),
    [
        ((*HERE[:2], "pid:[1]"), False),  # another container: each may have its process 7
        (("another", *HERE[1:]), False),  # another machine of the same name
        ((HERE[0], "another", HERE[2]), True),  # the machine was started anew since
        ((HERE[0], "", HERE[2]), False),  # it cannot be told
        (HERE, True),
    ],
)
def test_a_process_elsewhere_is_gone_only_where_its_machine_was_started_anew(
    ended: Holder, monkeypatch: pytest.MonkeyPatch, there: tuple[str, str, str], gone: bool
):
    """Its number says something in one container of one machine since that was started."""
    monkeypatch.setattr("converge.lease._place", lambda: "/".join(HERE))
    assert is_gone(ended._replace(place="/".join(there))) is gone


def test_where_the_machine_has_no_name_another_boot_may_be_another_machine(
    ended: Holder, monkeypatch: pytest.MonkeyPatch
):
    """Nothing is known then."""
    monkeypatch.setattr("converge.lease._place", lambda: "/330b/pid:[7]")
    assert not is_gone(ended._replace(place="/another/pid:[7]"))


def test_a_place_is_a_machine_a_boot_and_a_namespace():
    """The last two are read off the system, the first where it has one."""
    _, boot, namespace = this_process().place.split("/")
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert namespace == str(Path("/proc/self/ns/pid").readlink())


def test_a_number_that_another_process_has_now_is_no_sign_of_life():
    """Numbers are used again; when a process began tells it from the one before."""
    with _child() as child:
        holder = _of(child.pid)
        assert is_gone(holder._replace(started=str(int(holder.started) - 1)))
        child.communicate(b"\n")


def test_nor_is_our_own_number():
    """Whoever had it before us has ended."""
    assert is_gone(this_process()._replace(started="1"))


@pytest.mark.parametrize("of", ["this", "a child"])
def test_where_it_cannot_be_told_when_a_process_began_it_is_not_known_to_be_gone(of: str):
    """A number that is taken may well be its own."""
    with _child() as child:
        holder = this_process() if of == "this" else _of(child.pid)
        assert not is_gone(holder._replace(started=""))
        child.communicate(b"\n")


def test_init_is_there_whoever_may_ask():
    """A process that may not be signalled is there all the same."""
    assert not is_gone(_of(1))


# --- taken, renewed, given back --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_lease_is_taken_over_from_who_has_ended(tmp_path: Path, ended: Holder):
    """At once, though it has not expired; the epoch rises."""
    store = SQLiteStore(tmp_path / "jobs.db")
    await store.open()
    before = await store.take("one", ended, 1_000.0, 9e9)
    async with Leases(store, Fixed(), 30.0).of("one") as lease:
        assert lease.epoch == before.epoch + 1
        assert lease.expires == 1_030.0
    await store.close()


@pytest.mark.asyncio
async def test_a_lease_of_who_may_be_alive_is_refused_until_it_expires(tmp_path: Path, ended: Holder):
    """The sentence names process and host, and until when."""
    store, clock = SQLiteStore(tmp_path / "jobs.db"), Fixed()
    await store.open()
    await store.take("one", ended._replace(host="elsewhere"), 1_000.0, 1_030.0)
    with pytest.raises(
        JobLeased, match=rf"process {ended.process} on elsewhere, which holds it until 1970-01-01 00:17"
    ):
        async with Leases(store, clock, 30.0).of("one"):
            raise AssertionError("it was given out twice")
    clock.time = 1_030.5
    async with Leases(store, clock, 30.0).of("one") as lease:
        assert lease.epoch == 2
    assert await store.holder("one", clock.now()) is None
    await store.close()


@pytest.mark.asyncio
async def test_a_refused_lease_leaves_nothing_behind(tmp_path: Path, ended: Holder):
    """Neither a thread nor a token; and the one who holds it goes on holding it."""
    store = SQLiteStore(tmp_path / "jobs.db")
    await store.open()
    held = await store.take("one", ended._replace(host="elsewhere"), 1_000.0, 1_030.0)
    leases = Leases(store, Fixed(), 30.0)
    with pytest.raises(JobLeased):
        async with leases.of("one"):
            pass
    assert renewing() == []
    assert await store.holder("one", 1_000.0) == held
    await store.close()


class Noting(MemoryStore):
    """A store that says it is durable, and notes what is renewed."""

    durable = True

    def __init__(self) -> None:
        super().__init__()
        self.renewed: list[tuple[tuple[Lease, ...], float, bool]] = []
        self.was_renewed = threading.Semaphore(0)

    def renew(self, leases, expires):
        self.renewed.append((tuple(leases), expires, threading.current_thread().daemon))
        self.was_renewed.release()
        super().renew(leases, expires)


@pytest.mark.asyncio
async def test_leases_are_renewed_by_one_thread_from_the_first_to_the_last():
    """A daemon, so that it keeps no process from ending; it is gone after the last, and comes again."""
    leases = Leases(Noting(), Fixed(), 30.0)
    for _ in range(3):
        assert renewing() == []
        async with leases.of("one"):
            (thread,) = renewing()
            assert thread.daemon
            async with leases.of("two"):
                assert renewing() == [thread]
            assert renewing() == [thread]
        await anyio.to_thread.run_sync(joined)
        assert not thread.is_alive()


@pytest.mark.asyncio
async def test_every_lease_that_is_held_is_renewed_while_the_event_loop_is_busy():
    """The loop does not turn here: the thread alone is at work."""
    store = Noting()
    leases = Leases(store, Fixed(), 0.003)
    async with leases.of("one"):
        async with leases.of("two"):
            while len(store.renewed[-1][0] if store.renewed else ()) < 2:
                assert store.was_renewed.acquire(timeout=10)
            held, expires, is_daemon = store.renewed[-1]
            assert {lease.job_id for lease in held} == {"one", "two"}
            assert (expires, is_daemon) == (1_000.003, True)
        store.renewed.clear()
        while len(store.renewed) < 3:  # the one that is still held goes on being renewed
            assert store.was_renewed.acquire(timeout=10)
    await anyio.to_thread.run_sync(joined)
    count = len(store.renewed)
    assert renewing() == []
    assert len(store.renewed) == count


@pytest.mark.parametrize("error", [StoreUnavailable("jobs.db", "the disk is gone"), OSError("gone"), ValueError("odd")])
@pytest.mark.asyncio
async def test_a_store_that_cannot_renew_is_asked_again(error: Exception):
    """The next commit says what is wrong; a store that has recovered must still know who holds what."""

    class Failing(Noting):
        def renew(self, leases, expires):
            super().renew(leases, expires)
            if len(self.renewed) < 3:
                raise error

    store = Failing()
    async with Leases(store, Fixed(), 0.003).of("one"):
        for _ in range(4):
            assert store.was_renewed.acquire(timeout=10)
    joined()


def test_in_memory_nothing_is_renewed():
    """Whoever else comes is of this process and sees what is held."""
    seen: list[Any] = []

    async def hold() -> None:
        async with Leases(MemoryStore(), Fixed(), 30.0).of("one"):
            seen.extend(renewing())

    anyio.run(hold)
    assert seen == []


@pytest.mark.parametrize("made", [MemoryStore, Noting])
@pytest.mark.asyncio
async def test_a_lease_is_given_back_when_its_holder_fails(made: Callable[[], MemoryStore]):
    """And the failure goes on."""
    store = made()
    with pytest.raises(ValueError, match="at work"):
        async with Leases(store, Fixed(), 30.0).of("one"):
            raise ValueError("at work")
    assert await store.holder("one", 1_000.0) is None
    joined()


@pytest.mark.asyncio
async def test_a_lease_is_given_back_by_one_that_is_cancelled(tmp_path: Path):
    """To give it back is shielded."""
    store = SQLiteStore(tmp_path / "jobs.db")
    await store.open()
    with anyio.CancelScope() as scope:
        async with Leases(store, Fixed(), 30.0).of("one"):
            assert await store.holder("one", 1_000.0) is not None
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert await store.holder("one", 1_000.0) is None
    await store.close()


# --- engines ---------------------------------------------------------------------------------------------------------


class Ungrateful(MemoryStore):
    """A store to which nothing can be given back."""

    def __init__(self, error: Exception, *, durable: bool) -> None:
        super().__init__()
        self.error, self.durable = error, durable

    async def release(self, lease):
        raise self.error


errors = pytest.mark.parametrize("error", [StoreUnavailable("jobs.db", "gone"), OSError("gone")], ids=["ours", "other"])


@errors
@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.asyncio
async def test_a_lease_that_cannot_be_given_back_does_not_hide_the_outcome(error: Exception, durable: bool):
    """Everything is committed; and the same process may go on with the job at once."""
    engine = Engine([reader], store=Ungrateful(error, durable=durable))
    assert (await engine.run("a law", Word("a"), job_id="one")).converged
    assert (await engine.resume("one", Word("b"))).converged
    joined()


@errors
@pytest.mark.asyncio
async def test_nor_does_it_hide_what_went_wrong(error: Exception):
    """The first error is the one to mend."""

    class Broken(Ungrateful):
        async def load(self, job_id, cycle=None):
            raise StoreUnavailable("jobs.db", "it cannot be read")

    with pytest.raises(StoreUnavailable, match="cannot be read"):
        await Engine([reader], store=Broken(error, durable=True)).resume("one")
    joined()


@pytest.mark.parametrize("made", [lambda path: MemoryStore(), SQLiteStore], ids=["memory", "file"])
@pytest.mark.asyncio
async def test_two_engines_of_one_process_do_not_run_one_job(made: Callable[[Path], Any], tmp_path: Path):
    """The second is refused while the first is at work, and goes on as soon as it is not."""
    store = made(tmp_path / "jobs.db")
    other = store if isinstance(store, MemoryStore) else made(tmp_path / "jobs.db")
    patient = Patient()
    one, two = Engine([patient.agent()], store=store), Engine([patient.agent()], store=other)
    async with one.start("a law", Word("a"), job_id="one") as job:
        await patient.begun.wait()
        with pytest.raises(EngineBusy):
            await one.resume("one")
        with pytest.raises(JobLeased, match=f"is run by process {os.getpid()} on {socket.gethostname()}"):
            await two.resume("one")
        with pytest.raises(JobExists):
            await two.run("a law", job_id="one")
        assert await two.give("one", Word("b"))
        patient.may_end.set()
        assert (await job.outcome()).converged
    outcome = await two.resume("one")
    assert set(outcome.context.all(Word)) == {Word("a"), Word("b")}


@pytest.mark.asyncio
async def test_a_job_in_memory_is_not_taken_over_however_long_it_takes():
    """Nothing renews its lease, and nothing has to."""
    store = MemoryStore()
    async with VirtualClock() as clock:

        @agent(reads=Word)
        async def slow(view: View):
            await clock.sleep(100)

        one, two = (Engine([slow], store=store, clock=clock, lease_seconds=30) for _ in range(2))
        async with one.start("a law", Word("a"), job_id="one") as job:
            await clock.sleep(60)
            with pytest.raises(JobLeased):
                await two.resume("one")
            assert await two.give("one", Word("b"))
            assert (await job.outcome()).converged


@pytest.mark.asyncio
async def test_an_engine_is_used_again_and_again(tmp_path: Path):
    """Each job has its lease and gives it back; no thread is left over, and none is missing."""
    engine = Engine([reader], store=SQLiteStore(tmp_path / "jobs.db"))
    for number in range(5):
        outcome = await engine.run("a law", Word(str(number)), job_id=f"job {number}")
        assert outcome.converged
        assert (await engine.resume(f"job {number}", Word("late"))).converged
    await anyio.to_thread.run_sync(joined)
    assert renewing() == []
    store = SQLiteStore(tmp_path / "jobs.db")
    await store.open()
    assert [job.lease for job in await store.jobs()] == [None] * 5
    await store.close()


@pytest.mark.asyncio
async def test_several_jobs_of_one_engine_share_one_thread(tmp_path: Path):
    """It ends with the last of them."""
    patient = Patient()
    engine = Engine([patient.agent()], store=SQLiteStore(tmp_path / "jobs.db"))
    async with engine, engine.start("a law", Word("a"), job_id="one") as one:
        await patient.begun.wait()
        patient.begun = anyio.Event()
        async with engine.start("a law", Word("a"), job_id="two") as two:
            await patient.begun.wait()
            assert len(renewing()) == 1
            patient.may_end.set()
            await one.outcome()
            await two.outcome()
    await anyio.to_thread.run_sync(joined)
    assert renewing() == []


_HELD = """
import asyncio, sys
from tests.test_leases import *
async def main():
    patient = Patient()
    engine = Engine([patient.agent()], store=SQLiteStore(sys.argv[1]))
    async with engine.start("a law", Word("a"), job_id="one"):
        await patient.begun.wait()
        print("at work", flush=True)
        await anyio.sleep_forever()
asyncio.run(main())
"""
_PATHS = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), *filter(None, sys.path)])}


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a job in another process, which waits."""
    command = [sys.executable, "-c", _HELD, str(tmp_path / "jobs.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=_PATHS) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"at work\n"
        yield child
        child.kill()


@pytest.mark.asyncio
async def test_a_job_is_taken_over_from_a_process_that_was_killed(tmp_path: Path, at_work: subprocess.Popen[bytes]):
    """Without waiting for its lease to expire; while it ran it was refused."""
    engine = Engine([reader], store=SQLiteStore(tmp_path / "jobs.db"))
    with pytest.raises(JobLeased, match=f"is run by process {at_work.pid} "):
        await engine.resume("one")
    at_work.kill()
    await anyio.to_thread.run_sync(os.waitid, os.P_PID, at_work.pid, os.WEXITED | os.WNOWAIT)
    assert (await engine.resume("one")).converged


def test_a_process_that_ends_does_not_wait_for_the_thread():
    """It is a daemon even where the loop was left without a word."""
    code = "from tests.test_leases import *; from converge.lease import Leases; import asyncio, os\n"
    code += "async def main():\n    scope = Leases(Noting(), Fixed(), 3000.0).of('one')\n    await scope.__aenter__()\n"
    code += "    print(len(renewing()), flush=True)\n    raise SystemExit(7)\nasyncio.run(main())"
    ran = subprocess.run([sys.executable, "-c", code], env=_PATHS, capture_output=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (7, b"1\n"), ran.stderr
