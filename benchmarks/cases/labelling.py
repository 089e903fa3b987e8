"""Liveness: labelling ten thousand facts with twenty thousand invalidations, and then one more."""

__all__ = ["cases"]

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from statistics import median
from time import perf_counter

from benchmarks.case import Case, Figures, Plan, Setting, Variant


def cases(setting: Setting) -> Iterator[Plan]:
    """The context of tests/test_labelling_cost.py, timed."""
    yield Plan("labelling", partial(_labelling, setting))


@asynccontextmanager
async def _labelling(setting: Setting) -> AsyncIterator[Case]:
    facts = setting.of(2_000, 10_000)
    yield Case(
        f"labelling {facts:,} facts with {2 * facts:,} invalidations",
        "ms",
        [Variant("at once", partial(_label, facts))],
        rounds=setting.of(1, 3),
        warm=False,
    )


async def _label(facts: int) -> Figures:
    from tests.test_labelling_cost import in_dispute, state

    context, claims = in_dispute(facts, 2 * facts)
    started = perf_counter()
    context.label(0, 20)
    at_once, laps = perf_counter() - started, list[float]()
    for round in range(21, 71):
        state(context, claims[round * facts // 100].invalidate("late"), round)
        started = perf_counter()
        context.label(0, round)
        laps.append(perf_counter() - started)
    return {"ms": at_once * 1e3, "µs for one more": median(laps) * 1e6}
