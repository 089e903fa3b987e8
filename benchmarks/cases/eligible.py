"""(b) Ten thousand agents, of which each cycle concerns one: the others must cost nothing."""

__all__ = ["cases"]

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.case import Case, Plan, Setting, Variant
from benchmarks.crowd import bystanders, walker
from benchmarks.floors import Echo
from benchmarks.jobs import engine_on, run
from converge import Engine
from converge.trace import RoundMerged


def cases(setting: Setting) -> Iterator[Plan]:
    """Beside the same chain with nobody else around."""
    yield Plan("eligible", partial(_one_of_many, setting))


@asynccontextmanager
async def _one_of_many(setting: Setting) -> AsyncIterator[Case]:
    cycles = setting.of(200, 1_000)
    async with (
        engine_on("memory", setting.folder, [walker(cycles)]) as alone,
        engine_on("memory", setting.folder, [walker(cycles), *bystanders(10_000)]) as crowded,
    ):
        yield Case(
            "(b) a cycle that concerns one agent",
            "µs a cycle",
            [
                Variant("1 agent", partial(_laps, alone)),
                Variant("10,001 agents", partial(_laps, crowded)),
            ],
            base="1 agent",
        )


async def _laps(engine: Engine) -> float:
    """From one merge to the next: what a job of many agents takes to begin is not a matter of cycles."""
    outcome = await run(engine, [Echo(0, 0)])
    times = [event.at for event in outcome.trace if isinstance(event, RoundMerged)]
    return (times[-1] - times[10]) / (len(times) - 11) * 1e6
