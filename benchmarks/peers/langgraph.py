"""LangGraph: `invoke` where that is faster, `ainvoke` where it is not; each way below was timed beside the others.

A chain is one node that returns `Command(goto=...)`, which saves the branch that `add_conditional_edges` evaluates (0.5
of its time), and keeps the last value only: with a list in it, whose growth is stored again in every superstep, 1,000
steps took 17 times as long on SQLite. In memory, without a checkpointer, the node is asynchronous (a synchronous one
took 1.1 times as long); on SQLite synchronous, with SqliteSaver. Tasks of the functional API, which store each result
once, took 1.1 to 1.3 times as long there, and AsyncSqliteSaver 1.1 to 1.9 times; as it is what an asyncio program would
take, it is there too. "process" is durability "async", the default, with synchronous=NORMAL; "power" is "sync" with
FULL, as the saver leaves it.

A fan is `Send`, whose workers append to a list by a reducer. A `Command` that sends, and N nodes of the graph's own,
took as long; tasks of the functional API 1.5 times as long in memory, and as long on SQLite. Up to a few hundred
workers asynchronous nodes are faster (synchronous ones took 1.2 to 1.3 times as long at 100 and 300), at 1,000
synchronous ones (0.7). Those that sleep are asynchronous, as they would be if they asked a model.
"""

__all__ = ["PACKAGES", "TASKS"]

import asyncio
import operator
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import cache, partial
from itertools import count as numbers
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, TypedDict

import aiosqlite
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send

from benchmarks.peers.echo import Echo, Timer

PACKAGES = ("langgraph", "langgraph-checkpoint-sqlite", "pydantic")
Level = Literal["memory", "process", "power"]
Node = Callable[[Any], Any]
_DURABILITY = {"process": "async", "power": "sync"}
_SYNCHRONOUS = {"process": "NORMAL", "power": "FULL"}
_MANY = 500  # workers, from which on synchronous ones are faster
_threads = numbers()


class Last(TypedDict):
    echo: Echo


class Heard(TypedDict):
    n: int
    echoes: Annotated[list[Echo], operator.add]


def awaited(node: Node, seconds: float = 0.0) -> Node:
    async def wait(state: Any) -> Any:
        if seconds:
            await asyncio.sleep(seconds)
        return node(state)

    return wait


def chain_graph(steps: int, wrap: Callable[[Node], Node], checkpointer: Any = None) -> Any:
    def step(state: Last) -> Command[str]:
        n = state["echo"].n + 1
        return Command(update={"echo": Echo(0, n)}, goto="step" if n < steps else END)

    graph = StateGraph(Last)
    graph.add_node("step", wrap(step), destinations=("step", END))
    graph.add_edge(START, "step")
    return graph.compile(checkpointer=checkpointer)


_chain_in_memory = cache(chain_graph)


async def chain_in_memory(steps: int) -> float:
    graph = _chain_in_memory(steps, awaited)
    with Timer() as timer:
        end = await graph.ainvoke({"echo": Echo(0, 0)}, {"recursion_limit": steps + 10})
    assert end["echo"].n == steps
    return timer.seconds


async def chain_on_sqlite(steps: int, level: Level) -> float:
    with saver(level) as checkpointer:
        graph = chain_graph(steps, lambda node: node, checkpointer)
        with Timer() as timer:
            end = graph.invoke({"echo": Echo(0, 0)}, **_kept(level, steps))
    assert end["echo"].n == steps
    return timer.seconds


async def chain_awaited(steps: int, level: Level) -> float:
    async with async_saver(level) as checkpointer:
        graph = chain_graph(steps, awaited, checkpointer)
        with Timer() as timer:
            end = await graph.ainvoke({"echo": Echo(0, 0)}, **_kept(level, steps))
    assert end["echo"].n == steps
    return timer.seconds


def hub(state: Heard) -> dict[str, Any]:
    return {"n": state["n"]}


def listen(tick: dict[str, int]) -> dict[str, Any]:
    return {"echoes": [Echo(tick["listener"], tick["n"])]}


def back(state: Heard) -> dict[str, Any]:
    return {"n": len(state["echoes"])}


def fan_graph(count: int, hub: Node, listen: Node, back: Node, checkpointer: Any = None) -> Any:
    def everybody(state: Heard) -> list[Send]:
        return [Send("listen", {"listener": listener, "n": state["n"]}) for listener in range(count)]

    graph = StateGraph(Heard)
    for name, node in (("hub", hub), ("listen", listen), ("back", back)):
        graph.add_node(name, node)
    graph.add_edge(START, "hub")
    graph.add_conditional_edges("hub", everybody, ["listen"])
    graph.add_edge("listen", "back")
    graph.add_edge("back", END)
    return graph.compile(checkpointer=checkpointer)


SYNCHRONOUS = (hub, listen, back)
ASYNCHRONOUS = tuple(map(awaited, SYNCHRONOUS))
SLOW = (awaited(hub), awaited(listen, 0.05), awaited(back))
_in_memory = cache(fan_graph)


async def fan(count: int, level: Level = "memory") -> float:
    if count < _MANY:
        return await fan_awaited(count, level, ASYNCHRONOUS)
    if level == "memory":
        return _timed(_in_memory(count, *SYNCHRONOUS), count, {})
    with saver(level) as checkpointer:
        return _timed(fan_graph(count, *SYNCHRONOUS, checkpointer), count, _kept(level))


async def fan_awaited(count: int, level: Level, nodes: tuple[Node, ...]) -> float:
    if level == "memory":
        return await _time_awaited(_in_memory(count, *nodes), count, {})
    async with async_saver(level) as checkpointer:
        return await _time_awaited(fan_graph(count, *nodes, checkpointer), count, _kept(level))


def _timed(graph: Any, count: int, options: dict[str, Any]) -> float:
    with Timer() as timer:
        end = graph.invoke({"n": 0, "echoes": []}, **options)
    assert end["n"] == count
    return timer.seconds


async def _time_awaited(graph: Any, count: int, options: dict[str, Any]) -> float:
    with Timer() as timer:
        end = await graph.ainvoke({"n": 0, "echoes": []}, **options)
    assert end["n"] == count
    return timer.seconds


@contextmanager
def saver(level: Level) -> Iterator[SqliteSaver]:
    # Its threads share the connection, as its own from_conn_string has them do; it holds a lock.
    with (
        TemporaryDirectory(prefix="langgraph-") as folder,
        closing(sqlite3.connect(Path(folder) / "jobs.db", check_same_thread=False)) as connection,
    ):
        checkpointer = SqliteSaver(connection)
        checkpointer.setup()
        connection.execute(f"PRAGMA synchronous={_SYNCHRONOUS[level]}")
        yield checkpointer


@asynccontextmanager
async def async_saver(level: Level) -> AsyncIterator[AsyncSqliteSaver]:
    with TemporaryDirectory(prefix="langgraph-") as folder:
        async with aiosqlite.connect(Path(folder) / "jobs.db") as connection:
            checkpointer = AsyncSqliteSaver(connection)
            await checkpointer.setup()
            await connection.execute(f"PRAGMA synchronous={_SYNCHRONOUS[level]}")
            yield checkpointer


def _kept(level: Level, steps: int = 0) -> dict[str, Any]:
    config = {"configurable": {"thread_id": f"{next(_threads)}"}, "recursion_limit": steps + 10}
    return {"config": config, "durability": _DURABILITY[level]}


TASKS = {
    "chain, memory": chain_in_memory,
    "chain, process": partial(chain_on_sqlite, level="process"),
    "chain, power": partial(chain_on_sqlite, level="power"),
    "chain, process, asyncio": partial(chain_awaited, level="process"),
    "chain, power, asyncio": partial(chain_awaited, level="power"),
    "fan, memory": fan,
    "fan, process": partial(fan, level="process"),
    "fan, power": partial(fan, level="power"),
    "sleep, memory": partial(fan_awaited, level="memory", nodes=SLOW),
    "sleep, process": partial(fan_awaited, level="process", nodes=SLOW),
}
