"""(f) Taking a job up again: all its facts from the file, and how soon its first agent is at work."""

__all__ = ["cases"]

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count as numbers
from time import perf_counter

from benchmarks.case import Case, Figures, Plan, Setting, Variant
from benchmarks.jobs import UNBOUNDED
from converge import Assertion, Engine, Fact, View, agent
from converge.stores import SQLiteStore

_late = numbers(10**9)


class Item(Fact, policy="many"):
    n: int
    text: str


class Seen(Fact, policy="many"):
    n: int


_at_work: list[float] = []  # when the agent was called


@agent(reads=Item, writes=Seen)
def see(view: View) -> list[Assertion]:
    _at_work.append(perf_counter())
    return [Seen(item.n).because(item) for item in view.new(Item)]


def cases(setting: Setting) -> Iterator[Plan]:
    """Half of the facts were given and half derived. A million only where there is time."""
    for facts in setting.of((1_000, 10_000), (1_000, 100_000, 1_000_000)):
        yield Plan(f"resume {facts}", partial(_of, setting, facts))


@asynccontextmanager
async def _of(setting: Setting, facts: int) -> AsyncIterator[Case]:
    store = SQLiteStore(setting.folder / f"items-{facts}.db")
    given = [Item(n, f"word {n}") for n in range(facts // 2)]
    await Engine([see], store=store, max_emissions=facts).run(UNBOUNDED, given, job_id="items")
    del given
    yield Case(
        f"(f) resume of {facts:,} facts, SQLite",
        "µs a fact",
        [
            Variant("resume", partial(_resume, store, facts)),
            Variant("one late fact: first agent at work", partial(_first_round, store, facts)),
        ],
        rounds=1 if facts > 100_000 else setting.of(2, 3),
        warm=facts <= 100_000,
    )
    store.path.unlink()


async def _resume(store: SQLiteStore, facts: int) -> Figures:
    started = perf_counter()
    outcome = await Engine([see], store=store).resume("items")
    seconds = perf_counter() - started
    assert outcome.converged
    return _figures(seconds, facts)


async def _first_round(store: SQLiteStore, facts: int) -> Figures:
    _at_work.clear()
    started = perf_counter()
    await Engine([see], store=store).resume("items", Item(next(_late), "late"))
    gc.collect()
    return _figures(_at_work[0] - started, facts)


def _figures(seconds: float, facts: int) -> Figures:
    return {"µs a fact": seconds / facts * 1e6, "facts a second": facts / seconds, "seconds": seconds}
