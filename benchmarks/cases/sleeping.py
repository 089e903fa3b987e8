"""(e) N agents that wait 50 ms each, all at once: what is on top of 50 ms is the runtime's."""

__all__ = ["cases"]

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from benchmarks import floors
from benchmarks.case import Case, Plan, Setting, Variant
from benchmarks.floors import SLEEP, Echo, Tick
from benchmarks.jobs import engine_on, timed
from benchmarks.peer import variants
from converge import Agent, Assertion, Engine, View, agent

_MOST_OF_PEERS = 1_000


def cases(setting: Setting) -> Iterator[Plan]:
    """Beside bare groups of tasks, and LangGraph in the same mode."""
    for count in setting.of((1_000,), (1, 10, 100, 1_000, 10_000)):
        yield Plan(f"sleep {count}", partial(_of, setting, count), _peers(count))


@asynccontextmanager
async def _of(setting: Setting, count: int) -> AsyncIterator[Case]:
    agents, peers = list(map(waiting, range(count))), _peers(count)
    async with (
        engine_on("memory", setting.folder, agents) as memory,
        engine_on("process", setting.folder, agents) as process,
    ):
        yield Case(
            f"(e) N = {count:,} agents that sleep 50 ms",
            "ms",
            [
                Variant("asyncio group", partial(_asyncio, count)),
                Variant("anyio group", partial(_anyio, count)),
                Variant("converge, memory", partial(_converge, memory)),
                Variant("converge, process", partial(_converge, process)),
                *variants(setting.peers, peers, "sleep, memory", count, 1e3, ", memory"),
                *variants(setting.peers, peers, "sleep, process", count, 1e3, ", process"),
            ],
            base="anyio group",
            rounds=setting.of(1, setting.rounds if count < 10_000 else 3),
        )


def _peers(count: int) -> Sequence[str]:
    return ("langgraph",) if 100 <= count <= _MOST_OF_PEERS else ()


def waiting(listener: int) -> Agent:
    @agent(name=f"listener-{listener}", reads=Tick, writes=Echo)
    async def wait(view: View) -> AsyncIterator[Assertion]:
        for tick in view.new(Tick):
            await asyncio.sleep(SLEEP)
            yield Echo(listener, tick.n).because(tick)

    return wait


async def _converge(engine: Engine) -> float:
    return await timed(engine, [Tick(0)]) * 1e3


async def _asyncio(count: int) -> float:
    return await floors.asyncio_group(count) * 1e3


async def _anyio(count: int) -> float:
    return await floors.anyio_group(count) * 1e3
