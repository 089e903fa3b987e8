"""Floors: what plain code takes for the same work, with nothing to check, to merge, to trace or to keep."""

__all__ = [
    "LEVELS",
    "SLEEP",
    "Echo",
    "Function",
    "Given",
    "Tick",
    "anyio_group",
    "asyncio_group",
    "commits",
    "direct_chain",
    "direct_loop",
    "facts",
    "round_trips",
]

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import closing
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio

from converge import Assertion, Fact, id_of

SLEEP = 0.05
LEVELS = {"process": "NORMAL", "power": "FULL"}  # a level of the SQLite store -> PRAGMA synchronous


class Tick(Fact):
    n: int


class Echo(Fact):
    listener: int
    n: int


class Given:
    """All that these functions ask of a view: the facts that are new."""

    def __init__(self, *facts: Fact) -> None:
        self._facts = facts

    def new(self, kind: type[Fact]) -> tuple[Fact, ...]:
        """Return them."""
        return self._facts


Function = Callable[[Any], AsyncIterator[Assertion]]  # an agent's, with its reasons named by `because`


async def direct_loop(functions: Iterable[Function], given: Given) -> float:
    """Seconds for the bound of any Python runtime: run each agent's function; encode, hash and keep what it states."""
    kept, started = list[Assertion](), perf_counter()
    for function in functions:
        async for stated in function(given):
            id_of(stated.fact)
            kept.append(stated)
    return perf_counter() - started


async def direct_chain(function: Function, first: Fact, cycles: int) -> float:
    """Seconds for the same where one function is given its own last fact."""
    kept, last, started = list[Assertion](), first, perf_counter()
    while len(kept) < cycles:
        async for stated in function(Given(last)):
            id_of(stated.fact)
            kept.append(stated)
            last = stated.fact
    return perf_counter() - started


def facts(count: int) -> float:
    """Seconds for creating, encoding and hashing so many facts."""
    started = perf_counter()
    for n in range(count):
        id_of(Echo(1, n))
    return perf_counter() - started


async def round_trips(count: int) -> float:
    """Seconds for so many messages to another task and back, on two anyio streams."""
    ask, asked = anyio.create_memory_object_stream[int](inf)
    answer, answered = anyio.create_memory_object_stream[int](inf)

    async def other() -> None:
        async for message in asked:
            answer.send_nowait(message)

    async with answered, answer, asked, anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        started = perf_counter()
        for number in range(count):
            ask.send_nowait(number)
            await answered.receive()
        seconds = perf_counter() - started
        ask.close()
    return seconds


async def asyncio_group(count: int) -> float:
    """Seconds for so many tasks that sleep."""
    started = perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(asyncio.sleep(SLEEP))
    return perf_counter() - started


async def anyio_group(count: int) -> float:
    """Seconds for so many tasks that sleep."""
    started = perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(anyio.sleep, SLEEP)
    return perf_counter() - started


def commits(folder: Path, level: str, transactions: int, rows: int) -> float:
    """Seconds for so many transactions of so many rows of about 250 bytes, by sqlite3 directly."""
    path = folder / f"floor-{level}.db"
    body = "x" * 250
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {LEVELS[level]}")
        connection.execute("CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, body TEXT)")
        started = perf_counter()
        for _ in range(transactions):
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO log (body) VALUES (?)", [(body,)] * rows)
            connection.execute("COMMIT")
        return perf_counter() - started
