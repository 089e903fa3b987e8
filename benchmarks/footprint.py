"""How much memory a job takes: `python -m benchmarks.footprint NAME COUNT` prints the figures as JSON."""

__all__ = ["LISTENERS"]

import asyncio
import gc
import json
import resource
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import perf_counter

import anyio

from benchmarks.case import Figures
from benchmarks.crowd import bystanders, walker
from benchmarks.floors import Echo, Tick
from benchmarks.jobs import UNBOUNDED, run
from converge import Agent, Assertion, Engine, View, agent

LISTENERS = 100


async def facts(cycles: int) -> Figures:
    """A chain that a hundred agents listen to: each cycle has a fact of each of them, and the next of the chain."""
    engine = Engine([walker(cycles), *map(_listening, range(LISTENERS))])
    before, marks = _peak(), list[float]()
    async with engine.start(UNBOUNDED, [Echo(0, 0)]) as job:
        started = perf_counter()
        async for event in job.events():
            if type(event).__name__ == "RoundMerged":
                marks.append(perf_counter())
        outcome = await job.outcome()
    known, tenth = len(outcome.context.facts()), len(marks) // 10
    return {
        "MiB at most": _peak() / 2**20,
        "bytes a fact": (_peak() - before) / known,
        "µs a fact": (marks[-1] - started) / known * 1e6,
        "last tenth / first": (marks[-1] - marks[-tenth]) / (marks[tenth - 1] - marks[0]),
    }


class Heard(Echo): ...


def _listening(listener: int) -> Agent:
    @agent(name=f"listener-{listener}", reads=Echo, writes=Heard)
    async def listen(view: View) -> AsyncIterator[Assertion]:
        for echo in view.new(Echo):
            yield Heard(listener, echo.n).because(echo)

    return listen


def _peak() -> int:
    """Bytes, of this program alone: what getrusage says begins with what the parent had when it started this one."""
    try:
        status = Path("/proc/self/status").read_text("utf-8")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


async def idle(count: int) -> Figures:
    """With its declaration and its function, while the job runs and one agent waits."""
    return await _while_it_waits(1, lambda: bystanders(count), count)


async def waiting(count: int) -> Figures:
    """All of them are in the middle of their activation."""
    return await _while_it_waits(count, list, count)


async def _while_it_waits(waiters: int, others: Callable[[], list[Agent]], count: int) -> Figures:
    go, at_work = anyio.Event(), anyio.Event()
    left = [waiters]

    def parked(number: int) -> Agent:
        @agent(name=f"parked-{number}", reads=Tick, writes=Echo)
        async def park(view: View) -> None:
            left[0] -= 1
            if not left[0]:
                at_work.set()
            await go.wait()

        return park

    await run(Engine([parked(0), *bystanders(1)]), [])  # what is made once is made by now: imports, kinds
    gc.collect()
    tracemalloc.start()
    agents = [*map(parked, range(waiters)), *others()]
    async with Engine(agents).start(UNBOUNDED, [Tick(0)]) as job:
        await at_work.wait()
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        go.set()
        await job.outcome()
    return {"bytes each": taken / count}


async def cycles(count: int) -> Figures:
    """With all that is kept of it: the fact, its support, its row and its events."""
    engine = Engine([walker(count)])
    await run(Engine([walker(1)]), [Echo(0, 0)])
    gc.collect()
    tracemalloc.start()
    outcome = await run(engine, [Echo(0, 0)])
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    assert outcome.cycles > count
    return {"bytes each": taken / count}


_MEASURED = {"facts": facts, "idle": idle, "waiting": waiting, "cycles": cycles}

if __name__ == "__main__":
    print(json.dumps(asyncio.run(_MEASURED[sys.argv[1]](int(sys.argv[2])))))
