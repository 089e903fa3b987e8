"""Every way to stop a job short: what is merged is kept, nothing goes on running, and the rest is done later."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from converge import Engine, Fact, View, agent
from converge.errors import JobUnknown, StoreUnavailable
from converge.stores import MemoryStore, SQLiteStore

ROOT = Path(__file__).parents[1]
PATHS = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "agents", ROOT / "stores")))}


class Rung(Fact):
    number: int


def _nothing() -> None:
    pass


class Log:
    """What the world was asked; in a file as well, where the environment names one."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget all that was asked."""
        self.asked: list[str] = []
        self.at_the_fourth: Callable[[], None] = _nothing

    def ask(self, question: str) -> str:
        self.asked.append(question)
        if question == "rung 4":
            self.at_the_fourth()
        if path := os.environ.get("CONVERGE_TEST_LOG"):
            with Path(path).open("a") as file:
                file.write(f"{question}\n")
        return question


world = Log()


@agent(reads=Rung, writes=Rung)
async def climb(view: View):
    """Climb to the sixth rung."""
    for rung in view.new(Rung):
        if rung.number < 6:
            await view.capture("ask", world.ask, f"rung {rung.number + 1}")
            yield Rung(rung.number + 1).because(rung)


@agent(reads=Rung, writes=Rung)
async def wait(view: View):
    """Never return from the third rung, unless nobody minds."""
    if any(rung.number == 3 for rung in view.new(Rung)) and os.environ.get("CONVERGE_TEST_WAITS", "1") == "1":
        await anyio.sleep_forever()


climbing = Engine([climb])
waiting = Engine([climb, wait])


def digests(outcome: Any) -> tuple[str, str, str]:
    known = outcome.context
    return known.digest(), known.live_digest(), known.proof_digest()


def nothing_is_left() -> None:
    """Neither a task nor, in a moment, the thread that renews leases."""
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert_no_renewing()


def renewing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "converge leases"]


def assert_no_renewing() -> None:
    for thread in renewing():
        thread.join(30)
    assert renewing() == []


# --- signals to `converge run` ----------------------------------------------------------------------------------------


def command(folder: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Start the command line on an engine of this module."""
    known = {**os.environ, **PATHS, "CONVERGE_TEST_LOG": str(folder / "asked"), **environment}
    pipe = subprocess.PIPE
    line = [sys.executable, "-m", "converge.cli", *arguments, "--store", f"sqlite:///{folder / 'jobs.db'}", "--json"]
    return subprocess.Popen(line, cwd=folder, env=known, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_a_run_and_a_resume_repeats_nothing(tmp_path: Path, number: signal.Signals):
    """It ends as `cancelled` with code 9; all that was merged is there, and each question is asked once in all."""
    (tmp_path / "facts").write_text('{"kind": "Rung", "fact": {"number": 0}}\n')
    target = "tests.test_shutdown:waiting"
    first = command(tmp_path, "run", target, "--job", "job", "--objective", "climb", "--facts", "facts")
    assert first.stderr is not None
    next(line for line in first.stderr if "round 3:" in line)
    first.send_signal(number)
    out, err = first.communicate()
    assert (first.returncode, json.loads(out)["stop"]["reason"]) == (9, "cancelled")
    assert "Traceback" not in err
    shown = json.loads(command(tmp_path, "show", "job").communicate()[0])
    merged = [fact["fact"]["number"] for fact in shown["facts"] if fact["kind"] == "Rung"]
    second = command(tmp_path, "resume", target, "job", CONVERGE_TEST_WAITS="0")
    out, err = second.communicate()
    assert second.returncode == 0, err
    assert set(merged) >= {0, 1, 2, 3}
    assert (tmp_path / "asked").read_text().split("\n")[:-1] == [f"rung {number}" for number in range(1, 7)]


# --- scopes around `engine.run` ---------------------------------------------------------------------------------------


async def resumed(engine: Engine) -> Any:
    """Go on with the job, and see that it comes to what one long run comes to, asking nothing twice."""
    nothing_is_left()
    world.at_the_fourth = _nothing
    outcome = await climbing.with_store(engine.store).resume("job")
    nothing_is_left()
    assert outcome.converged
    assert sorted(world.asked) == sorted(set(world.asked))
    return outcome


@pytest.fixture(autouse=True)
def new_world() -> None:
    world.begin_anew()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine whose jobs never end by themselves, on a file."""
    return waiting.with_store(SQLiteStore(tmp_path / "jobs.db"))


async def in_asyncio_timeout(engine: Engine) -> None:
    async with asyncio.timeout(None) as scope:
        world.at_the_fourth = partial(scope.reschedule, 0)
        await engine.run("climb", Rung(0), job_id="job")


async def in_fail_after(engine: Engine) -> None:
    with anyio.fail_after(None) as scope:
        world.at_the_fourth = partial(setattr, scope, "deadline", 0)
        await engine.run("climb", Rung(0), job_id="job")


@pytest.mark.asyncio
@pytest.mark.parametrize("run_in_time", [in_asyncio_timeout, in_fail_after])
async def test_a_timeout_ends_a_run_with_timeout_error(engine: Engine, run_in_time: Callable[[Engine], Any]):
    """As around any other call."""
    with pytest.raises(TimeoutError):
        await run_in_time(engine)
    await resumed(engine)


@pytest.mark.asyncio
async def test_move_on_after_leaves_a_run_behind(engine: Engine):
    """The scope says that it was cancelled, and nothing is raised."""
    with anyio.move_on_after(None) as scope:
        world.at_the_fourth = partial(setattr, scope, "deadline", 0)
        await engine.run("climb", Rung(0), job_id="job")
    assert scope.cancelled_caught
    await resumed(engine)


@pytest.mark.asyncio
async def test_a_cancelled_task_is_cancelled_and_what_is_merged_is_kept(engine: Engine):
    """The cancellation goes on to whoever awaits the task."""
    task = asyncio.create_task(engine.run("climb", Rung(0), job_id="job"))
    while "rung 4" not in world.asked:
        await anyio.lowlevel.checkpoint()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with engine:
        (job,) = await engine.store.jobs()
    assert job.stop == "cancelled"
    await resumed(engine)


@pytest.mark.asyncio
async def test_a_job_that_is_cancelled_returns_its_outcome(engine: Engine):
    """`job.cancel()` is a foreseen ending, not an error."""
    async with engine.start("climb", Rung(0), job_id="job") as job:
        async for event in job.events():
            if getattr(event, "round", 0) == 3:
                job.cancel()
        outcome = await job.outcome()
    assert outcome.stop.reason.value == "cancelled"
    await resumed(engine)


# --- cancelled at every step ------------------------------------------------------------------------------------------


class Slow:
    """A store that takes several turns of the event loop before and after each commit, each one a place to be cut."""

    cut: Callable[[], object]

    async def append(self, *arguments: Any) -> int:
        await self._turns()
        letter: int = await super().append(*arguments)  # type: ignore[misc]
        await self._turns()
        return letter

    async def create(self, *arguments: Any) -> None:
        await self._turns()
        await super().create(*arguments)  # type: ignore[misc]
        await self._turns()

    async def _turns(self) -> None:
        for _ in range(3):
            self.cut()
            await anyio.lowlevel.checkpoint()


class SlowMemory(Slow, MemoryStore):
    """Claims to be durable, so that all goes through the writer's inbox; without threads, so that turns can be told."""

    durable = True


class SlowFile(Slow, SQLiteStore):
    """As above, on a file."""


@pytest.mark.asyncio
async def test_a_run_cancelled_at_any_turn_of_the_loop_leaves_each_commit_whole_or_none():
    """One turn later each time: the rows are a prefix of a sound chain, and a resume ends the job."""
    found, turns, was_cut = set(), 0, True
    while was_cut:
        engine = climbing.with_store(store := SlowMemory())
        store.cut = lambda: None
        task = asyncio.create_task(engine.run("climb", Rung(0), job_id="job"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        was_cut = await cut_short(task)
        found.add(await cycles_of_a_job_gone_on_with(engine))
        turns += 1
    assert turns > 100
    assert found == {0, *range(2, 10)}  # whoever has begun has its end in the store too


@pytest.mark.asyncio
async def test_a_run_cancelled_anywhere_in_a_commit_to_a_file_leaves_all_of_it_or_none(tmp_path: Path):
    """The same where a thread does the work, which no cancellation stops."""
    found, place, was_cut = set(), 0, True
    while was_cut:
        engine = climbing.with_store(store := SlowFile(tmp_path / f"{place}.db"))
        task = asyncio.create_task(engine.run("climb", Rung(0), job_id="job"))
        store.cut = partial(_cancel_at, place, count(), task)
        was_cut = await cut_short(task)
        store.cut = lambda: None
        found.add(await cycles_of_a_job_gone_on_with(engine))
        place += STRIDE
    assert place > 60
    assert len(found) > 4


def _cancel_at(place: int, places: "count[int]", task: "asyncio.Task[Any]") -> None:
    if next(places) == place:
        task.cancel()


STRIDE = 1 if os.environ.get("CONVERGE_NIGHTLY") == "1" else 5


async def cut_short(task: "asyncio.Task[Any]") -> bool:
    """Wait for a task; return whether it was cancelled before its end."""
    await asyncio.wait([task])
    nothing_is_left()
    return task.cancelled()


async def cycles_of_a_job_gone_on_with(engine: Engine) -> int:
    """Return how many cycles the store has, after a look at them and at what a resume makes of the job."""
    cycles = await cycles_kept(engine)
    outcome = await (engine.resume("job") if cycles else engine.run("climb", Rung(0), job_id="job"))
    assert digests(outcome) == digests(await climbing.run("climb", Rung(0)))
    asked = [f"rung {number}" for number in range(1, 7)]
    assert sorted(world.asked) == sorted(asked + asked)  # once by this job, once by the one that was let be
    world.asked.clear()
    return cycles


async def cycles_kept(engine: Engine) -> int:
    async with engine:
        try:
            rows: Sequence[Any] = await engine.store.rows("job")
        except JobUnknown:
            return 0
    assert all(row.digest_after(before.digest) == row.digest for before, row in pairwise(rows))
    assert [row.cycle for row in rows if row.cycle] == [*range(1, sum(row.cycle is not None for row in rows) + 1)]
    assert rows[-1].stop in ("cancelled", "fixed_point")  # who cancels waits until all that is merged is kept
    return len({row.cycle for row in rows} - {None})


class Interruption(BaseException):
    """What a key does to whatever is at work, or a test that fails within a store."""


@agent(reads=Rung, writes=Rung)
async def look(view: View):
    """Ask of all rungs at once, while others conclude."""

    async def seen(number: int) -> int:
        await anyio.lowlevel.checkpoint()
        return number

    async with anyio.create_task_group() as tasks:
        for rung in view.all(Rung):
            tasks.start_soon(view.capture, "look", seen, rung.number)


@pytest.mark.asyncio
async def test_what_interrupts_a_commit_anywhere_ends_the_job_and_nothing_follows_what_was_not_kept():
    """Nobody waits for ever, and what is kept can be gone on with."""
    places, place, was_cut = count(), 0, True

    def cut() -> None:
        if next(places) == place:
            raise Interruption

    while was_cut:
        store, places = SlowMemory(), count()
        engine = Engine([climb, look], store=store)
        store.cut = cut
        task = asyncio.create_task(engine.run("climb", Rung(0), job_id="job"))
        await asyncio.wait([task], timeout=10)
        assert task.done()
        nothing_is_left()
        was_cut, store.cut = task.exception() is not None, lambda: None
        await (engine.resume("job") if await cycles_kept_in(store) else engine.run("climb", Rung(0), job_id="job"))
        place += 1
    assert place > 60


@pytest.mark.asyncio
async def test_a_capture_that_comes_after_the_end_of_its_job_is_refused():
    """Nobody would keep it, as where an agent leaves a task of its own behind."""
    answered, left = asyncio.Event(), list[Any]()

    @agent(reads=Rung, writes=Rung)
    async def leave(view: View):
        left.append(asyncio.create_task(view.capture("leave", answered.wait)))
        await anyio.lowlevel.checkpoint()

    store = SlowMemory()
    store.cut = lambda: None
    assert (await Engine([leave], store=store).run("climb", Rung(0))).converged
    answered.set()
    await asyncio.wait(left, timeout=10)
    assert isinstance(left[0].exception(), StoreUnavailable)


async def cycles_kept_in(store: MemoryStore) -> int:
    return sum(job.cycles for job in await store.jobs())


# --- a script that ends -----------------------------------------------------------------------------------------------


SCRIPT = """
import asyncio, signal, threading
import anyio
from converge import Engine, Fact, agent
from converge.stores import SQLiteStore

class Rung(Fact):
    number: int

@agent(reads=Rung, writes=Rung)
async def climb(view):
    for rung in view.new(Rung):
        if rung.number < 4:
            yield Rung(rung.number + 1).because(rung)
        elif WAITS:
            AT_WORK.append(rung)
            await anyio.sleep_forever()

WAITS, AT_WORK = False, []
engine = Engine([climb], store=SQLiteStore("jobs.db"), lease_seconds=0.02)

{body}
for thread in threading.enumerate():
    if thread.name == "converge leases":
        thread.join()
print("ended")
"""

BODIES = {
    "runs a job": 'anyio.run(engine.run, "climb", Rung(0))',
    "runs a job in an asyncio loop": 'asyncio.run(engine.run("climb", Rung(0)))',
    "is cancelled": """
WAITS = True
async def main():
    with anyio.move_on_after(0.1):
        await engine.run("climb", Rung(0))
anyio.run(main)
""",
    "raises in the middle": """
WAITS = True
async def main():
    async with engine.start("climb", Rung(0)) as job:
        async for event in job.events():
            if getattr(event, "round", 0) == 2:
                raise KeyError("mine")
try:
    anyio.run(main)
except KeyError:
    pass
""",
    "abandons a job it never entered": """
async def main():
    engine.start("climb", Rung(0))
anyio.run(main)
""",
    "leaves its engine by an exception": """
async def main():
    async with engine:
        await engine.run("climb", Rung(0))
        raise KeyError("mine")
try:
    anyio.run(main)
except KeyError:
    pass
""",
    "leaves its engine by an exception in a job": """
WAITS = True
async def main():
    async with engine, engine.start("climb", Rung(0)) as job:
        raise KeyError("mine")
try:
    anyio.run(main)
except KeyError:
    pass
""",
    "is interrupted from the keyboard": """
WAITS = True
async def main():
    async with engine.start("climb", Rung(0)) as job:
        async for event in job.events():
            if getattr(event, "round", 0) == 2:
                signal.raise_signal(signal.SIGINT)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
""",
    "closes the loop on a task": """
WAITS = True
async def main():
    task = asyncio.create_task(engine.run("climb", Rung(0)))
    while not AT_WORK or "converge leases" not in [t.name for t in threading.enumerate()]:
        await asyncio.sleep(0)
asyncio.run(main())
""",
    "closes the loop on a commit": """
class Slow(SQLiteStore):
    async def append(self, *_):
        AT_WORK.append(True)
        await anyio.sleep_forever()
async def main():
    task = asyncio.create_task(Engine([climb], store=Slow("jobs.db")).run("climb", Rung(0)))
    while not AT_WORK:
        await asyncio.sleep(0)
asyncio.run(main())
""",
    "closes the loop on a commit that takes its time to end": """
class Slow(SQLiteStore):
    async def append(self, *_):
        AT_WORK.append(True)
        try:
            await anyio.sleep_forever()
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
async def main():
    task = asyncio.create_task(Engine([climb], store=Slow("jobs.db"), checkpoints=5).run("climb", Rung(0)))
    while not AT_WORK:
        await asyncio.sleep(0)
asyncio.run(main())
""",
}


def script(folder: Path, text: str) -> tuple[int, str, str]:
    """Run a script in a folder to its end; return its exit code and what it said."""
    line = [sys.executable, "-W", "error", "-c", text]
    known = {**os.environ, **PATHS}
    done = subprocess.run(line, cwd=folder, env=known, capture_output=True, text=True, timeout=100, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("what", BODIES)
def test_a_script_ends_by_itself_when_it(tmp_path: Path, what: str):
    """No thread and no connection keeps the interpreter; the thread that renews leases ends with the last job."""
    assert script(tmp_path, SCRIPT.replace("{body}", BODIES[what])) == (0, "ended\n", "")


CLOSED = """
import threading
import anyio
from converge.lease import this_process
from converge.stores import SQLiteStore

store = SQLiteStore("jobs.db")
ended = threading.Event()

def renew():
    while not ended.is_set():
        store.renew([lease] * 50, 2.0)

async def main():
    for _ in range(40):
        await store.open()
        await store.close()

async def taken():
    await store.open()
    try:
        return await store.take("job", this_process(), 0.0, 1.0)
    finally:
        await store.close()

lease = anyio.run(taken)
thread = threading.Thread(target=renew)
thread.start()
try:
    anyio.run(main)
finally:
    ended.set()
print("ended")
"""


@pytest.mark.slow
def test_a_store_may_be_closed_while_its_leases_are_renewed(tmp_path: Path):
    """The renewing thread uses the one connection, which must not be closed under it: that ends the process."""
    assert script(tmp_path, CLOSED) == (0, "ended\n", "")


def test_one_thread_renews_the_leases_of_all_jobs_and_ends_with_the_last(tmp_path: Path):
    """There is one while jobs run, whatever their number, and none after."""
    engine = waiting.with_store(SQLiteStore(tmp_path / "jobs.db"))

    async def three() -> int:
        async with engine, anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(partial(engine.run, "climb", Rung(0), job_id=f"job {number}"))
            while world.asked.count("rung 4") < 3:
                await anyio.lowlevel.checkpoint()
            threads = len(renewing())
            tasks.cancel_scope.cancel()
        return threads

    assert anyio.run(three) == 1
    assert_no_renewing()
