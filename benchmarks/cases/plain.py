"""The floors by themselves, so that the other figures can be read against them."""

__all__ = ["cases"]

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from benchmarks import floors
from benchmarks.case import Case, Figures, Plan, Setting, Variant
from benchmarks.crowd import listening
from benchmarks.floors import Given, Tick


def cases(setting: Setting) -> Iterator[Plan]:
    """One case, whose variants are not to be compared with each other."""
    yield Plan("floors", partial(_floors, setting.folder))


@asynccontextmanager
async def _floors(folder: Path) -> AsyncIterator[Case]:
    yield Case(
        "Floors: plain code",
        "µs",
        [
            _each("a fact created, encoded, hashed", lambda: floors.facts(1_000), 1_000),
            Variant("an agent's function run, its fact kept so (direct loop)", _direct),
            Variant("an anyio stream, there and back", _round_trip),
            _each("sqlite3: commit 1 row, NORMAL", lambda: floors.commits(folder, "process", 200, 1), 200),
            _each("sqlite3: commit 100 rows, NORMAL", lambda: floors.commits(folder, "process", 20, 100), 20),
            _each("sqlite3: commit 1 row, FULL", lambda: floors.commits(folder, "power", 50, 1), 50),
            _each("sqlite3: commit 100 rows, FULL", lambda: floors.commits(folder, "power", 20, 100), 20),
        ],
    )


def _each(name: str, seconds: Callable[[], float], count: int) -> Variant:
    async def measure() -> Figures:
        return {"µs": seconds() / count * 1e6}

    return Variant(name, measure)


async def _round_trip() -> float:
    return await floors.round_trips(2_000) / 2_000 * 1e6


async def _direct() -> float:
    return await floors.direct_loop(map(listening, range(2_000)), Given(Tick(0))) / 2_000 * 1e6
