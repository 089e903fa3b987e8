"""(g) One more fact for a job that had converged: it costs what follows from it, however much is known already."""

__all__ = ["cases"]

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count as numbers

from benchmarks.case import Case, Plan, Setting, Variant
from benchmarks.cases.closure import late
from benchmarks.cases.resume import Item, see
from benchmarks.jobs import engine_on, run
from converge import Engine

_late = numbers(10**9)


def cases(setting: Setting) -> Iterator[Plan]:
    """From when the job has been read to its outcome; reading it is (f)."""
    for store in ("memory", "process"):
        yield Plan(f"one more, {store}", partial(_on, setting, store))


@asynccontextmanager
async def _on(setting: Setting, store: str) -> AsyncIterator[Case]:
    sizes, variants = setting.of((1_000, 10_000), (1_000, 10_000, 100_000)), []
    async with AsyncExitStack() as stack:
        for facts in sizes:
            engine = await stack.enter_async_context(engine_on(store, setting.folder, [see]))
            await run(engine, [Item(n, f"word {n}") for n in range(facts // 2)], job_id="items")
            variants.append(Variant(f"{facts:,} facts", partial(_late_fact, engine)))
        title = f"(g) one more fact on a converged job, {store}"
        yield Case(title, "µs", variants, base=f"{sizes[0]:,} facts")


async def _late_fact(engine: Engine) -> float:
    return await late(engine, "items", Item(next(_late), "late")) * 1e6
