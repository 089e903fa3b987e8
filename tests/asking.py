"""A job that asks a model server, killed at a moment of its life, and gone on with by another process.

    python tests/asking.py '{"folder": "...", "base_url": "...", "every": 1}'

counts the moments of one whole life: before and after each request, each reservation, each record of an answer and
each merge. Then, for every `every`th of them, one process dies there by `kill -9` and another goes on; what they came
to is printed as JSON. The questions of each life name it, so that the server's journal tells them apart.
"""

import asyncio
import json
import os
import signal
import sys
from functools import wraps
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, NamedTuple

import httpx2  # noqa: F401 -- what a job imports when it begins, this program imports once for all
import openai  # noqa: F401 -- as above

from converge import Engine, Fact, RootIntent
from converge.agents import LLMAgent, Model, Price
from converge.capture import Captures
from converge.clock import SystemClock
from converge.errors import JobUnknown
from converge.machine import Machine
from converge.stores import SQLiteStore
from converge.trace import Captured
from converge.writer import Writer
from converge_agents.wire import Wire

ITEMS = 5


class Item(Fact):
    text: str


class Grade(Fact, key="item"):
    item: int
    mark: int


class Summary(Fact):
    text: str


class Plan(NamedTuple):
    folder: str
    base_url: str
    every: int = 1


class Moments:
    """The moments of one process's life; it dies at the `end`th."""

    def __init__(self, end: int = 0) -> None:
        self.end, self.passed = end, 0

    def pass_one(self) -> None:
        self.passed += 1
        if self.passed == self.end:
            os.kill(os.getpid(), signal.SIGKILL)


moments = Moments()


def around(owner: Any, name: str) -> None:
    """Make a moment before and after each call of a method."""
    call = getattr(owner, name)

    @wraps(call)
    async def awaited(*arguments: Any, **options: Any) -> Any:
        moments.pass_one()
        result = await call(*arguments, **options)
        moments.pass_one()
        return result

    @wraps(call)
    def called(*arguments: Any, **options: Any) -> Any:
        moments.pass_one()
        result = call(*arguments, **options)
        moments.pass_one()
        return result

    setattr(owner, name, awaited if iscoroutinefunction(call) else called)


class StillClock(SystemClock):
    """Time that does not pass for leases: whoever goes on does so because the holder is known dead."""

    def now(self) -> float:
        return 1_700_000_000.0


async def live(plan: Plan, name: str) -> dict[str, Any]:
    """Run the job of this name, or go on with it, and say what became of it."""
    async with Model("gpt-4o", base_url=plan.base_url, api_key="none", concurrency=3, price=Price(1, 1)) as model:
        grade = LLMAgent("grade", model, "Grade {item.text}", Item, Grade, each=Item)
        sum_up = LLMAgent("sum-up", model, f"Sum up {name}\n{{facts}}", Grade, Summary, when="settled")
        engine = Engine([grade, sum_up], store=SQLiteStore(Path(plan.folder) / f"{name}.db"), clock=StillClock())
        try:
            outcome = await engine.resume("job")
        except JobUnknown:
            items = [Item(f"{name} item {n}.") for n in range(ITEMS)]
            outcome = await engine.run(RootIntent("grade"), items, job_id="job")
    told = [event.note or {} for event in outcome.trace if isinstance(event, Captured)]
    return {
        "stop": str(outcome.stop),
        "grades": sorted((grade.item, grade.mark) for grade in outcome.context.live(Grade)),
        "requests": sum(note["requests"] for note in told),
        "request_ids": sorted(str(note["request_id"]) for note in told),
        "calls": outcome.spend.calls,
        "money": outcome.spend.money,
        "moments": moments.passed,
    }


def forked(plan: Plan, name: str, end: int = 0) -> dict[str, Any] | None:
    """Let a process live, and return what it said at its end; None for one that was killed."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.close(read)
        moments.end, moments.passed = end, 0
        os.write(write, json.dumps(asyncio.run(live(plan, name))).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        text = said.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    assert status == 0, f"life {name} ended with {status}"
    told: dict[str, Any] = json.loads(text)
    return told


def main(plan: Plan) -> None:
    for owner, name in ((Wire, "send"), (Captures, "record"), (Writer, "note"), (Machine, "_merge")):
        around(owner, name)
    whole = forked(plan, "whole")
    assert whole is not None
    lives = {}
    for end in range(1, whole["moments"] + 1, plan.every):
        name = f"life{end:03}"
        killed = forked(plan, name, end) is None
        lives[name] = {"killed": killed, **(forked(plan, name) or {})}
    sys.stdout.write(json.dumps({"whole": whole, "lives": lives}))


if __name__ == "__main__":
    main(Plan(**json.loads(sys.argv[1])))
