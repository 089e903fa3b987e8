"""(b) A hub, N agents, the hub again: each agent adds one fact, which is validated, identified, merged and traced."""

__all__ = ["Start", "back", "cases", "hub", "listening"]

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

from benchmarks import floors
from benchmarks.case import Case, Setting, Variant
from benchmarks.floors import Echo, Tick, echo
from benchmarks.jobs import STORES, engine_on, timed
from converge import Agent, Engine, Fact, View, agent

_PEERS = ("langgraph", "pydantic_graph", "autogen", "burr", "pykka", "llama_index")
AND_COMMITTED = {
    "memory": "",
    "process": ", one commit by sqlite3 (NORMAL)",
    "power": ", one commit by sqlite3 (FULL)",
}
_TOO_SLOW = {"llama-index-workflows": "a round takes seconds: only in `make bench`"}


class Start(Fact):
    n: int


class Total(Fact):
    heard: int


@agent(reads=Start, writes=Tick)
async def hub(view: View):
    for start in view.new(Start):
        yield Tick(start.n).because(start)


@agent(reads=Echo, writes=Total)
async def back(view: View):
    yield Total(len(view.new(Echo)))  # rests on all it was given


def listening(listener: int) -> Agent:
    @agent(name=f"listener-{listener}", reads=Tick, writes=Echo)
    async def listen(view: View):
        for tick in view.new(Tick):
            yield (await echo(listener, tick)).because(tick)

    return listen


def everybody(count: int) -> list[Agent]:
    return [hub, back, *map(listening, range(count))]


async def cases(setting: Setting) -> AsyncIterator[Case]:
    """Beside peers where they can follow, and for itself as N grows."""
    for count in (100, 1_000):
        for store in STORES if count == 100 else setting.of(("memory",), STORES):
            async with engine_on(store, setting.folder, everybody(count)) as engine:
                yield await _beside_peers(setting, engine, store, count)
    for store in setting.of(("memory",), STORES):
        async with AsyncExitStack() as stack:
            yield await _as_it_grows(setting, stack, store)


async def _beside_peers(setting: Setting, engine: Engine, store: str, count: int) -> Case:
    is_too_much = setting.quick and count > 100
    names = _PEERS if store == "memory" else ("langgraph",)
    if is_too_much:
        names = tuple(name for name in names if store == "memory" and name != "llama_index")
    return Case(
        f"fan {count}, {store}",
        f"(b) hub → {count:,} agents → hub, {store}",
        "µs an activation",
        [
            Variant("direct loop" + AND_COMMITTED[store], partial(_direct, setting, store, count)),
            Variant("converge", partial(_converge, engine, count)),
            *await setting.peers.variants(names, f"fan, {store}", count, 1e6 / count),
        ],
        base="converge",
        absent=_TOO_SLOW if store == "memory" and is_too_much else {},
    )


async def _as_it_grows(setting: Setting, stack: AsyncExitStack, store: str) -> Case:
    variants = []
    for count in setting.of((100, 10_000), (1, 10, 100, 1_000, 10_000)):
        engine = await stack.enter_async_context(engine_on(store, setting.folder, everybody(count)))
        variants.append(Variant(f"converge, N = {count:,}", partial(_converge, engine, count)))
        if store == "memory":
            variants.append(Variant(f"direct loop, N = {count:,}", partial(_direct, setting, store, count)))
    title = f"(b) hub → N agents → hub, {store}"
    rounds = setting.of(1, setting.rounds)
    return Case(f"fan, {store}", title, "µs an activation", variants, base="converge, N = 100", rounds=rounds)


async def _direct(setting: Setting, store: str, count: int) -> float:
    seconds = await floors.direct_loop(count)
    if store != "memory":
        seconds += floors.commits(setting.folder, store, 1, count)
    return seconds / count * 1e6


async def _converge(engine: Engine, count: int) -> float:
    return await timed(engine, [Start(0)]) / count * 1e6
