"""(i) Many small jobs at once in one process, of one engine."""

__all__ = ["cases"]

from collections.abc import AsyncIterator
from functools import partial
from time import perf_counter

import anyio

from benchmarks.case import Case, Setting, Variant
from benchmarks.cases.fan import Start, back, hub, listening
from benchmarks.jobs import STORES, engine_on, run
from converge import Engine


async def cases(setting: Setting) -> AsyncIterator[Case]:
    """Each of five agents, seven facts and four cycles; beside the same jobs one after the other."""
    jobs = setting.of(50, 1_000)
    agents = [hub, back, *map(listening, range(3))]
    for store in setting.of(("memory", "process"), STORES):
        async with engine_on(store, setting.folder, agents) as engine:
            yield Case(
                f"jobs, {store}",
                f"(i) {jobs:,} small jobs, {store}",
                "ms a job",
                [
                    Variant("all at once", partial(_at_once, engine, jobs)),
                    Variant("one after the other", partial(_in_turn, engine, jobs)),
                ],
                base="one after the other",
                rounds=setting.of(1, 3),
                warm=not setting.quick,
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
