"""LangGraph.

In memory: no checkpointer. A chain is one node that returns `Command(goto=...)`, which saves the branch that
`add_conditional_edges` evaluates (measured: 0.55 of its time) and keeps the last value only; a fan is `Send`, whose
workers append to a list by a reducer (tasks of the functional API took twice as long).
On SQLite: AsyncSqliteSaver. A chain is tasks of the functional API, which store each result once; a graph writes its
state again in every superstep (measured: 1.1 times as long with one value in it, 5 times with a list). "process" is
durability "async", the default, with synchronous=NORMAL; "power" is "sync" with FULL, as the saver leaves it.
"""

__all__ = ["PACKAGES", "TASKS"]

import asyncio
import operator
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial
from itertools import count as numbers
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, TypedDict

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send

from benchmarks.peers.echo import Echo, Timer

PACKAGES = ("langgraph", "langgraph-checkpoint-sqlite", "pydantic")
Level = Literal["memory", "process", "power"]
_DURABILITY = {"process": "async", "power": "sync"}
_SYNCHRONOUS = {"process": "NORMAL", "power": "FULL"}
_threads = numbers()


class Last(TypedDict):
    echo: Echo


class Heard(TypedDict):
    n: int
    echoes: Annotated[list[Echo], operator.add]


@cache
def chain_graph(steps: int) -> Any:
    async def step(state: Last) -> Command[str]:
        n = state["echo"].n + 1
        return Command(update={"echo": Echo(0, n)}, goto="step" if n < steps else END)

    graph = StateGraph(Last)
    graph.add_node("step", step, destinations=("step", END))
    graph.add_edge(START, "step")
    return graph.compile()


async def chain_in_memory(steps: int) -> float:
    graph, config = chain_graph(steps), {"recursion_limit": steps + 10}
    with Timer() as timer:
        end = await graph.ainvoke({"echo": Echo(0, 0)}, config)
    assert end["echo"].n == steps
    return timer.seconds


@task
async def step(n: int) -> Echo:
    return Echo(0, n)


async def chain_on_sqlite(steps: int, level: Level) -> float:
    async with saver(level) as checkpointer:

        @entrypoint(checkpointer=checkpointer)
        async def walk(steps: int) -> int:
            return len([await step(n) for n in range(steps)])

        with Timer() as timer:
            assert await walk.ainvoke(steps, _thread(), durability=_DURABILITY[level]) == steps
    return timer.seconds


def fan_graph(count: int, seconds: float = 0.0, checkpointer: Any = None) -> Any:
    async def hub(state: Heard) -> dict[str, Any]:
        return {"n": state["n"]}

    async def listen(tick: dict[str, int]) -> dict[str, Any]:
        if seconds:
            await asyncio.sleep(seconds)
        return {"echoes": [Echo(tick["listener"], tick["n"])]}

    async def back(state: Heard) -> dict[str, Any]:
        return {"n": len(state["echoes"])}

    def everybody(state: Heard) -> list[Send]:
        return [Send("listen", {"listener": listener, "n": state["n"]}) for listener in range(count)]

    graph = StateGraph(Heard)
    for node in (hub, listen, back):
        graph.add_node(node.__name__, node)
    graph.add_edge(START, "hub")
    graph.add_conditional_edges("hub", everybody, ["listen"])
    graph.add_edge("listen", "back")
    graph.add_edge("back", END)
    return graph.compile(checkpointer=checkpointer)


_fan_graph = cache(fan_graph)  # those without a checkpointer


async def fan(count: int, level: Level = "memory", seconds: float = 0.0) -> float:
    if level == "memory":
        return await _run(_fan_graph(count, seconds), count, {})
    async with saver(level) as checkpointer:
        graph = fan_graph(count, seconds, checkpointer)
        return await _run(graph, count, {"config": _thread(), "durability": _DURABILITY[level]})


async def _run(graph: Any, count: int, options: dict[str, Any]) -> float:
    with Timer() as timer:
        end = await graph.ainvoke({"n": 0, "echoes": []}, **options)
    assert end["n"] == count
    return timer.seconds


@asynccontextmanager
async def saver(level: Level) -> AsyncIterator[AsyncSqliteSaver]:
    with TemporaryDirectory(prefix="langgraph-") as folder:
        async with aiosqlite.connect(Path(folder) / "jobs.db") as connection:
            checkpointer = AsyncSqliteSaver(connection)
            await checkpointer.setup()
            await connection.execute(f"PRAGMA synchronous={_SYNCHRONOUS[level]}")
            yield checkpointer


def _thread() -> dict[str, Any]:
    return {"configurable": {"thread_id": f"{next(_threads)}"}}


TASKS = {
    "chain, memory": chain_in_memory,
    "chain, process": partial(chain_on_sqlite, level="process"),
    "chain, power": partial(chain_on_sqlite, level="power"),
    "fan, memory": fan,
    "fan, process": partial(fan, level="process"),
    "fan, power": partial(fan, level="power"),
    "sleep, memory": partial(fan, seconds=0.05),
    "sleep, process": partial(fan, level="process", seconds=0.05),
}
