"""(c) A job that grows: one fact of a kilobyte a cycle. What a cycle takes must not depend on how many there were."""

__all__ = ["cases"]

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from uuid import uuid4

from benchmarks.case import Case, Figures, Plan, Setting, Variant
from converge import Engine, Outcome
from converge.fact import identified
from converge.stores import SQLiteStore
from converge.trace import RoundMerged


def cases(setting: Setting) -> Iterator[Plan]:
    """The jobs of tests/test_growth.py, timed."""
    yield Plan("growth", partial(_growing, setting))
    yield Plan("large", partial(_one_large, setting))


@asynccontextmanager
async def _growing(setting: Setting) -> AsyncIterator[Case]:
    sizes = setting.of((500, 2_000), (1_000, 4_000, 16_000))
    yield Case(
        "(c) a fact of 1 kB a cycle, SQLite at level process",
        "ms a cycle",
        [Variant(f"{cycles:,} cycles", partial(_grow, setting.folder, cycles)) for cycles in sizes],
        base=f"{sizes[0]:,} cycles",
        rounds=setting.of(1, 2),
        warm=False,
    )


@asynccontextmanager
async def _one_large(setting: Setting) -> AsyncIterator[Case]:
    yield Case("(c) a fact of 1 MB", "ms", [Variant("run and resumed", partial(_large, setting.folder))])


async def _grow(folder: Path, cycles: int) -> Figures:
    from tests.test_growth import Step, walked

    path = folder / f"{uuid4().hex}.db"
    started = perf_counter()
    outcome = await walked(path, cycles)
    seconds = perf_counter() - started
    assert outcome.converged
    encoded = sum(len(identified(fact)[2]) for fact in outcome.context.all(Step))
    size, tenth = path.stat().st_size, cycles // 10
    path.unlink()
    laps = _laps(outcome)
    return {
        "ms a cycle": seconds / cycles * 1e3,
        "bytes a cycle": size / cycles,
        "file / facts": size / encoded,
        "last tenth / first": median(laps[-tenth:]) / median(laps[:tenth]),
    }


def _laps(outcome: Outcome) -> list[float]:
    times = [event.at for event in outcome.trace if isinstance(event, RoundMerged)]
    return [later - earlier for earlier, later in pairwise(times)]


async def _large(folder: Path) -> float:
    from tests.test_growth import Step, see

    store = SQLiteStore(folder / "large.db")
    started = perf_counter()
    outcome = await Engine([see], store=store).run("see", Step(1, "x" * 1_000_000))
    again = await Engine([see], store=store).resume(outcome.job_id)
    assert len(again.context.all(Step)[0].text) == 1_000_000
    return (perf_counter() - started) * 1e3
