"""(b) A hub, N agents, the hub again: each agent adds one fact, which is validated, identified, merged and traced."""

__all__ = ["Start", "back", "cases", "hub"]

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from benchmarks import floors
from benchmarks.case import Case, Plan, Setting, Variant
from benchmarks.crowd import listener, listening
from benchmarks.floors import Echo, Given, Tick
from benchmarks.jobs import STORES, engine_on, timed
from benchmarks.peer import PEERS, variants
from converge import Agent, Assertion, Engine, Fact, View, agent

_PEERS = ("langgraph", "pydantic_graph", "autogen", "burr", "pykka", "llama_index")
_COMMITTED = {"memory": "", "process": ", one commit (NORMAL)", "power": ", one commit (FULL)"}
_SLOW = {"llama_index": "a round takes seconds: only in `make bench`"}  # at 1,000


class Start(Fact):
    n: int


class Total(Fact):
    heard: int


@agent(reads=Start, writes=Tick)
async def hub(view: View) -> AsyncIterator[Assertion]:
    for start in view.new(Start):
        yield Tick(start.n).because(start)


@agent(reads=Echo, writes=Total)
async def back(view: View) -> AsyncIterator[Total]:
    yield Total(len(view.new(Echo)))  # rests on all it was given


def everybody(count: int) -> list[Agent]:
    return [hub, back, *map(listener, range(count))]


def cases(setting: Setting) -> Iterator[Plan]:
    """Beside peers where they can follow, and for itself as N grows."""
    for count in (100, 1_000):
        for store in STORES if count == 100 else setting.of(("memory",), STORES):
            peers = _peers(setting, store, count)
            yield Plan(f"fan {count}, {store}", partial(_beside_peers, setting, store, count, peers), peers)
    for store in setting.of(("memory",), STORES):
        yield Plan(f"fan, {store}", partial(_as_it_grows, setting, store))


@asynccontextmanager
async def _beside_peers(setting: Setting, store: str, count: int, peers: Sequence[str]) -> AsyncIterator[Case]:
    async with engine_on(store, setting.folder, everybody(count)) as engine:
        yield Case(
            f"(b) hub → {count:,} agents → hub, {store}",
            "µs an activation",
            [
                Variant("direct loop" + _COMMITTED[store], partial(_direct, setting, store, count)),
                Variant("converge", partial(_converge, engine, count)),
                *variants(setting.peers, peers, f"fan, {store}", count, 1e6 / count),
            ],
            base="converge",
            absent={PEERS[name]: why for name, why in _SLOW.items() if store == "memory" and name not in peers},
            rounds=setting.rounds if count == 100 else setting.of(1, 3),
        )


def _peers(setting: Setting, store: str, count: int) -> Sequence[str]:
    names = _PEERS if store == "memory" else ("langgraph",)
    return tuple(name for name in names if not (name in _SLOW and setting.quick and count > 100))


@asynccontextmanager
async def _as_it_grows(setting: Setting, store: str) -> AsyncIterator[Case]:
    sizes = []
    async with AsyncExitStack() as stack:
        for count in setting.of((100, 10_000), (1, 10, 100, 1_000, 10_000)):
            engine = await stack.enter_async_context(engine_on(store, setting.folder, everybody(count)))
            sizes.append(Variant(f"converge, N = {count:,}", partial(_converge, engine, count)))
            if store == "memory":
                sizes.append(Variant(f"direct loop, N = {count:,}", partial(_direct, setting, store, count)))
        yield Case(
            f"(b) hub → N agents → hub, {store}",
            "µs an activation",
            sizes,
            base="converge, N = 100",
            rounds=setting.of(1, 3),
        )


async def _direct(setting: Setting, store: str, count: int) -> float:
    """The N agents alone, and one transaction for all of them, where a cycle is committed."""
    functions = list(map(listening, range(count)))
    seconds = await floors.direct_loop(functions, Given(Tick(0)))
    if store != "memory":
        seconds += floors.commits(setting.folder, store, 1, count)
    return seconds / count * 1e6


async def _converge(engine: Engine, count: int) -> float:
    return await timed(engine, [Start(0)]) / count * 1e6
