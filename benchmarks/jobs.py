"""What our side of the cases has in common: an engine with a store, a budget that stops nobody, a job that is timed."""

__all__ = ["STORES", "UNBOUNDED", "engine_on", "run", "timed"]

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Literal
from uuid import uuid4

from converge import Budget, Engine, Fact, Outcome, RootIntent
from converge.stores import SQLiteStore

_LEVELS: dict[str, Literal["process", "power"]] = {"process": "process", "power": "power"}
STORES = ("memory", *_LEVELS)  # in memory, or on SQLite at that level
UNBOUNDED = RootIntent("measure", budget=Budget(rounds=10**9, facts=10**9, activations=10**9, seconds=3_600))


@asynccontextmanager
async def engine_on(store: str, folder: Path, agents: Iterable[object], telemetry: Any = None) -> AsyncIterator[Engine]:
    """Enter an engine whose jobs are kept so; its file is a new one, and open."""
    kept = None if store == "memory" else SQLiteStore(folder / f"{store}-{uuid4().hex}.db", level=_LEVELS[store])
    async with Engine(agents, store=kept, max_emissions=10**9, telemetry=telemetry) as engine:
        yield engine


async def run(engine: Engine, facts: Iterable[Fact], job_id: str | None = None) -> Outcome:
    """Run a job to its fixed point."""
    outcome = await engine.run(UNBOUNDED, facts, job_id=job_id)
    assert outcome.converged, outcome
    return outcome


async def timed(engine: Engine, facts: Iterable[Fact]) -> float:
    """Seconds for one job, from nothing to its outcome."""
    started = perf_counter()
    await run(engine, facts)
    return perf_counter() - started
