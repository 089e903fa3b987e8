"""A job whose agents never wait shares the event loop: others have their turn after a while, whoever runs."""

import asyncio
import threading
from functools import partial
from itertools import pairwise
from typing import Any

import anyio
import anyio.to_thread
import pytest

from converge import Agent, Assertion, Engine, Fact, View
from converge.clock import SystemClock
from converge.command import Done
from converge.crew import Crew
from converge.errors import StoreUnavailable
from converge.pool import Pool
from converge.stores import MemoryStore
from converge.testing import VirtualClock


class Lap(Fact):
    lane: int
    number: int


def run_on(lane: int, view: View) -> list[Assertion]:
    """Run thirty laps, and never wait."""
    mine = [lap for lap in view.new(Lap) if lap.lane == lane and lap.number < 30]
    return [Lap(lane, lap.number + 1).because(lap) for lap in mine]


class CountingClock(SystemClock):
    """Time that passes by a millisecond whenever somebody looks at it, as the job does for each activation."""

    def __init__(self) -> None:
        self.looks = 0

    def elapsed(self) -> float:
        """Return the seconds that have passed."""
        self.looks += 1
        return self.looks / 1_000


@pytest.mark.asyncio
@pytest.mark.parametrize("lanes", [1, 100])
async def test_agents_that_never_wait_leave_everybody_else_a_turn(lanes: int):
    """Between two turns of another task a job has a turn or two of ten milliseconds, and not one for each agent."""
    clock, seen, ended = CountingClock(), [0], anyio.Event()

    async def other() -> None:
        while not ended.is_set():
            seen.append(clock.looks)
            await asyncio.sleep(0)

    runners = [Agent(f"lane-{lane}", partial(run_on, lane), reads=(Lap,), writes=(Lap,)) for lane in range(lanes)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        outcome = await Engine(runners, clock=clock).run("run", [Lap(lane, 0) for lane in range(lanes)])
        ended.set()
    assert len(outcome.context.live(Lap)) == 31 * lanes
    assert max(later - before for before, later in pairwise(seen)) < 40


@pytest.mark.asyncio
async def test_a_round_is_not_merged_in_parts_because_it_takes_long():
    """However often its workers give way: what is committed together does not depend on how fast a machine is."""
    runners = [Agent(f"lane-{lane}", partial(run_on, lane), reads=(Lap,), writes=(Lap,)) for lane in range(100)]
    laps = [Lap(lane, 0) for lane in range(100)]
    slow = await Engine(runners, clock=CountingClock()).run("run", laps)
    async with VirtualClock() as clock:
        quick = await Engine(runners, clock=clock).run("run", laps)
    assert slow.cycles == quick.cycles


class Read(Fact):
    """A fact that knows which thread has made it."""

    number: int
    text: str

    def __post_init__(self) -> None:
        _makers.add(threading.current_thread())


_makers: set[threading.Thread] = set()


@pytest.mark.asyncio
@pytest.mark.parametrize(("facts", "is_long"), [(300, True), (3, False)])
async def test_a_job_that_is_long_to_restore_is_restored_in_a_thread(facts: int, is_long: bool):
    """It would keep everybody else waiting; a short one takes less than a thread does."""
    engine = Engine([], inputs=[Read])
    given = [Read(number, "x" * 1_000) for number in range(facts)]
    job_id = (await engine.run("read", given)).job_id
    knows = partial(engine.knows, intent="read", facts=given)
    for look in (engine.resume, engine.explained, knows, engine.restart):
        _makers.clear()
        await look(job_id)
        assert (_makers != {threading.current_thread()}) is is_long, look


@pytest.mark.asyncio
async def test_a_job_is_restored_though_agents_that_block_hold_all_threads():
    engine = Engine([], inputs=[Read])
    job_id = (await engine.run("read", [Read(number, "x" * 1_000) for number in range(300)])).job_id
    limiter = anyio.to_thread.current_default_thread_limiter()
    for agents in range(int(limiter.total_tokens)):
        limiter.acquire_on_behalf_of_nowait(agents)
    with anyio.fail_after(10):
        assert len((await engine.explained(job_id)).view.all(Read)) == 300


@pytest.mark.asyncio
async def test_of_many_workers_that_have_waited_few_are_kept():
    """Each takes a kilobyte, and a later round has seldom as much to wait for."""
    here, all_here, counted = list[int](), asyncio.Event(), list[int]()

    async def wait(number: int, view: View):
        here.append(number)
        if len(here) == 300:
            all_here.set()
        await all_here.wait()
        return [Lap(number, 1).because(lap) for lap in view.new(Lap) if not lap.number]

    def look(view: View) -> None:
        counted.append(len(asyncio.all_tasks()) if any(lap.number for lap in view.new(Lap)) else 0)

    waiting = [Agent(f"lane-{lane}", partial(wait, lane), reads=(Lap,), writes=(Lap,)) for lane in range(300)]
    before = len(asyncio.all_tasks())
    outcome = await Engine([*waiting, Agent("look", look, reads=(Lap,))]).run("run", [Lap(0, 0)])
    assert len(outcome.context.all(Lap)) == 301
    assert 100 < counted[-1] - before < 110


class Nobody:
    """An inbox that nothing comes to."""

    def put(self, done: Done) -> None:
        """Take it."""

    def call(self) -> None:
        """Have nobody look."""

    async def attend(self) -> None:
        """Do nothing."""


@pytest.mark.asyncio
async def test_a_worker_that_is_being_cancelled_is_not_called():
    """It hears of that a turn later; until then somebody may look for one to call, and another one comes."""
    async with Crew() as crew:
        pool = Pool(crew, Nobody(), SystemClock(), lambda view, effect: None, 100)
        before = asyncio.all_tasks()
        pool.open()
        await anyio.wait_all_tasks_blocked()
        (worker,) = asyncio.all_tasks() - before
        worker.cancel()
        pool.submit(())
        pool.close()
    assert worker.cancelled()


class Lane(Fact):
    """What a lagging agent counts."""

    number: int


class Slow(MemoryStore):
    """Says that it is durable, and takes some turns of the loop for each commit."""

    durable = True

    async def append(self, *arguments: Any) -> int:
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        return await super().append(*arguments)


@pytest.mark.asyncio
@pytest.mark.parametrize("agents", [1, 2])
@pytest.mark.parametrize("turns", range(20))
async def test_a_job_whose_worker_is_cancelled_behind_its_back_comes_to_an_end(turns: int, agents: int):
    """As where an agent's own timeout is still running when it has ended: the worker may just be called, or commit."""

    def cancel_later(worker: "asyncio.Task[Any]", turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(cancel_later, worker, turns - 1)
        else:
            worker.cancel()

    async def count(view: View):
        for lane in view.new(Lane):
            if lane.number == 2:
                worker = asyncio.current_task()
                assert worker is not None
                cancel_later(worker, turns)
            if lane.number < 6:
                yield Lane(lane.number + 1).because(lane)

    counting = [Agent(f"count-{number}", count, reads=(Lane,), writes=(Lane,)) for number in range(agents)]
    engine = Engine(counting, store=Slow())
    running = asyncio.create_task(engine.run("count", Lane(0)))
    await asyncio.wait([running], timeout=10)
    assert running.done()
    assert isinstance(running.exception(), (StoreUnavailable, type(None)))
