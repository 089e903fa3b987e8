"""(a) A chain: one agent that reads its own last fact and adds the next, so that each cycle has one activation."""

__all__ = ["cases"]

from collections.abc import AsyncIterator
from functools import partial

from benchmarks import floors
from benchmarks.case import Case, Setting, Variant
from benchmarks.crowd import walker
from benchmarks.floors import Echo
from benchmarks.jobs import STORES, engine_on, timed
from converge import Engine

_AND_COMMITTED = {
    "memory": "",
    "process": ", each committed by sqlite3 (NORMAL)",
    "power": ", each committed by sqlite3 (FULL)",
}
_PEERS = {"memory": ("langgraph",), "process": ("langgraph",), "power": ("langgraph", "dbos")}


async def cases(setting: Setting) -> AsyncIterator[Case]:
    """In memory, and on SQLite at each level, beside peers in the same mode."""
    cycles = setting.of(200, 1_000)
    scale = 1e6 / cycles
    for store in STORES:
        async with engine_on(store, setting.folder, [walker(cycles)]) as engine:
            yield Case(
                f"chain, {store}",
                f"(a) chain of {cycles:,} cycles, {store}",
                "µs a cycle",
                [
                    Variant("direct loop" + _AND_COMMITTED[store], partial(_direct, setting, store, cycles)),
                    Variant("converge", partial(_converge, engine, cycles)),
                    *await setting.peers.variants(_PEERS[store], f"chain, {store}", cycles, scale),
                ],
                base="converge",
            )


async def _converge(engine: Engine, cycles: int) -> float:
    return await timed(engine, [Echo(0, 0)]) / cycles * 1e6


async def _direct(setting: Setting, store: str, cycles: int) -> float:
    seconds = await floors.direct_loop(cycles)
    if store != "memory":
        seconds += floors.commits(setting.folder, store, cycles, 1)
    return seconds / cycles * 1e6
