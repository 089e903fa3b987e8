"""(a) A chain: one agent that reads its own last fact and adds the next, so that each cycle has one activation."""

__all__ = ["cases"]

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from benchmarks import floors
from benchmarks.case import Case, Plan, Setting, Variant
from benchmarks.crowd import walker, walking
from benchmarks.floors import Echo
from benchmarks.jobs import STORES, engine_on, timed
from benchmarks.peer import variants
from converge import Engine

_COMMITTED = {"memory": "", "process": ", sqlite3 (NORMAL)", "power": ", sqlite3 (FULL)"}
_PEERS = {"memory": ("langgraph",), "process": ("langgraph",), "power": ("langgraph", "dbos")}
# Slower than its synchronous way, and what an asyncio program would take.
_ALSO_ASYNCIO: dict[str, Sequence[str]] = {"memory": (), "process": ("langgraph",), "power": ("langgraph",)}


def cases(setting: Setting) -> Iterator[Plan]:
    """In memory, and on SQLite at each level, beside peers in the same mode."""
    for store in STORES:
        yield Plan(f"chain, {store}", partial(_on, setting, store), _PEERS[store])


@asynccontextmanager
async def _on(setting: Setting, store: str) -> AsyncIterator[Case]:
    cycles, task = setting.of(200, 1_000), f"chain, {store}"
    scale, also = 1e6 / cycles, setting.of((), _ALSO_ASYNCIO[store])
    async with engine_on(store, setting.folder, [walker(cycles)]) as engine:
        yield Case(
            f"(a) chain of {cycles:,} cycles, {store}",
            "µs a cycle",
            [
                Variant("direct loop" + _COMMITTED[store], partial(_direct, setting, store, cycles)),
                Variant("converge", partial(_converge, engine, cycles)),
                *variants(setting.peers, _PEERS[store], task, cycles, scale),
                *variants(setting.peers, also, f"{task}, asyncio", cycles, scale, ", asyncio"),
            ],
            base="converge",
            rounds=setting.rounds if store == "memory" else setting.of(1, 3),
        )


async def _converge(engine: Engine, cycles: int) -> float:
    return await timed(engine, [Echo(0, 0)]) / cycles * 1e6


async def _direct(setting: Setting, store: str, cycles: int) -> float:
    """With a transaction for each cycle, where a cycle is committed."""
    seconds = await floors.direct_chain(walking(cycles), Echo(0, 0), cycles)
    if store != "memory":
        seconds += floors.commits(setting.folder, store, cycles, 1)
    return seconds / cycles * 1e6
