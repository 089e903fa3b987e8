"""(h) Memory: for a fact, a cycle, an agent that is idle and one that waits. Each is measured in its own process."""

__all__ = ["cases"]

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from benchmarks.case import Case, Figures, Plan, Setting, Variant
from benchmarks.footprint import LISTENERS

_ROOT = Path(__file__).parents[2]


def cases(setting: Setting) -> Iterator[Plan]:
    """One round each: memory is not noisy."""
    cycles = setting.of(200, 10_000)
    yield Plan(f"memory, {LISTENERS * cycles} facts", partial(_of_facts, cycles))
    yield Plan("memory", partial(_of_things, setting))


@asynccontextmanager
async def _of_facts(cycles: int) -> AsyncIterator[Case]:
    yield Case(
        f"(h) {LISTENERS} agents, {cycles:,} cycles: {LISTENERS * cycles:,} facts with supports, memory store",
        "MiB at most",
        [Variant("a whole process", partial(_elsewhere, "facts", cycles))],
        rounds=1,
        warm=False,
    )


@asynccontextmanager
async def _of_things(setting: Setting) -> AsyncIterator[Case]:
    things = {
        "an idle agent": ("idle", setting.of(1_000, 10_000)),
        "an agent that waits": ("waiting", setting.of(1_000, 10_000)),
        "a cycle with one fact": ("cycles", setting.of(500, 5_000)),
    }
    variants = [Variant(name, partial(_elsewhere, *thing)) for name, thing in things.items()]
    yield Case("(h) memory", "bytes each", variants, rounds=1, warm=False)


async def _elsewhere(name: str, count: int) -> Figures:
    command = [sys.executable, "-m", "benchmarks.footprint", name, f"{count}"]
    process = await asyncio.create_subprocess_exec(*command, cwd=_ROOT, stdout=subprocess.PIPE)
    said, _ = await process.communicate()
    figures: Figures = json.loads(said)
    return figures
