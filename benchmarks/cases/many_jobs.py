"""(i) Many small jobs at once in one process, of one engine."""

__all__ = ["cases"]

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from time import perf_counter

import anyio

from benchmarks.case import Case, Plan, Setting, Variant
from benchmarks.cases.fan import Start, back, hub
from benchmarks.crowd import listener
from benchmarks.jobs import STORES, engine_on, run
from converge import Engine


def cases(setting: Setting) -> Iterator[Plan]:
    """Each of five agents, seven facts and four cycles; beside the same jobs one after the other."""
    for store in setting.of(("memory", "process"), STORES):
        yield Plan(f"jobs, {store}", partial(_many, setting, store))


@asynccontextmanager
async def _many(setting: Setting, store: str) -> AsyncIterator[Case]:
    jobs = setting.of(50, 1_000)
    async with engine_on(store, setting.folder, [hub, back, *map(listener, range(3))]) as engine:
        yield Case(
            f"(i) {jobs:,} small jobs, {store}",
            "ms a job",
            [
                Variant("all at once", partial(_at_once, engine, jobs)),
                Variant("one after the other", partial(_in_turn, engine, jobs)),
            ],
            base="one after the other",
            rounds=setting.of(1, 2),
            warm=False,
        )


async def _at_once(engine: Engine, jobs: int) -> float:
    started = perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(jobs):
            tasks.start_soon(run, engine, [Start(0)])
    return (perf_counter() - started) / jobs * 1e3


async def _in_turn(engine: Engine, jobs: int) -> float:
    started = perf_counter()
    for _ in range(jobs):
        await run(engine, [Start(0)])
    return (perf_counter() - started) / jobs * 1e3
