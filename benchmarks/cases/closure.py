"""(d) Transitive closure by agents that join only what is new, every path with an id, supports and evidence."""

__all__ = ["cases"]

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count as numbers
from time import perf_counter

from benchmarks.case import Case, Plan, Setting, Variant
from benchmarks.graphs import chain, random_graph, semi_naive
from benchmarks.jobs import engine_on, run
from benchmarks.peer import variants
from converge import Agent, Assertion, Engine, Fact, View, agent

_PEERS, _LARGEST = ("clips",), 1_000
Edges = list[tuple[int, int]]


class Edge(Fact, key="a", policy="many"):
    a: int
    b: int


class Path(Fact, key="b", policy="many"):
    a: int
    b: int


def cases(setting: Setting) -> Iterator[Plan]:
    """Chains and a random graph, beside sets and CLIPS; then one edge more."""
    for length in setting.of((100,), (100, 500)):
        known = (f"chain of {length}", "closure, chain", length)
        yield Plan(f"closure, chain of {length}", partial(_beside_peers, setting, *known, chain(length)), _PEERS)
    if not setting.quick:
        known = ("random graph of 1,000 nodes, 1,500 edges", "closure, random", _LARGEST)
        yield Plan("closure, random graph", partial(_beside_peers, setting, *known, random_graph(_LARGEST)), _PEERS)
    yield Plan("closure, one more edge", partial(_one_more_edge, setting))


@asynccontextmanager
async def _beside_peers(setting: Setting, title: str, task: str, size: int, edges: Edges) -> AsyncIterator[Case]:
    pairs = len(semi_naive(edges))
    ours = {
        "converge, 1 agent, reads by key": [joining("all")],
        "converge, 1 agent, its own index": [indexing],
        "converge, 8 agents": [joining(f"part-{part}", part, 8) for part in range(8)],
    }
    if size == _LARGEST:
        del ours["converge, 1 agent, reads by key"]  # the other way is the faster one here
    yield Case(
        f"(d) closure of a {title}: {pairs:,} paths",
        "µs a path",
        [
            Variant("semi-naive sets", partial(_sets, edges, pairs)),
            *(Variant(name, partial(_converge, setting, agents, edges, pairs)) for name, agents in ours.items()),
            *variants(setting.peers, _PEERS, task, size, 1e6 / pairs),
            *variants(setting.peers, _PEERS, f"{task}, read", size, 1e6 / pairs, ", read into Python"),
        ],
        base="semi-naive sets",
        warm=setting.quick,
        rounds=setting.of(setting.rounds, 3),
    )


def joining(name: str, part: int = 0, parts: int = 1) -> Agent:
    """An agent for the paths from every so-many-th node."""

    @agent(name=name, reads=(Edge, Path), writes=Path)
    def join(view: View) -> Iterator[Assertion]:
        for edge in view.new(Edge):
            if edge.a % parts == part:
                yield Path(edge.a, edge.b).because(edge)
            for path in view.all(Path, edge.a):
                if path.a % parts == part:
                    yield Path(path.a, edge.b).because(path, edge)
        for path in view.new(Path):
            if path.a % parts == part:
                for edge in view.all(Edge, path.b):
                    yield Path(path.a, edge.b).because(path, edge)

    return join


@agent(reads=(Edge, Path), writes=Path)
def indexing(view: View) -> Iterator[Assertion]:
    """All edges again in each round, but no question to the view for each path: better for much at once."""
    after: dict[int, list[Edge]] = {}
    for edge in view.all(Edge):
        after.setdefault(edge.a, []).append(edge)
    for edge in view.new(Edge):
        yield Path(edge.a, edge.b).because(edge)
    for path in view.new(Path):
        for edge in after.get(path.b, ()):
            yield Path(path.a, edge.b).because(path, edge)


async def _sets(edges: Edges, pairs: int) -> float:
    started = perf_counter()
    assert len(semi_naive(edges)) == pairs
    return (perf_counter() - started) / pairs * 1e6


async def _converge(setting: Setting, agents: list[Agent], edges: Edges, pairs: int) -> float:
    async with engine_on("memory", setting.folder, agents) as engine:
        facts = [Edge(a, b) for a, b in edges]
        started = perf_counter()
        outcome = await run(engine, facts)
        seconds = perf_counter() - started
    assert len(outcome.context.all(Path)) == pairs
    return seconds / pairs * 1e6


@asynccontextmanager
async def _one_more_edge(setting: Setting) -> AsyncIterator[Case]:
    """What a late edge costs for each path that follows, where there are so many paths and four times as many."""
    agents, few, many = [joining("all")], *setting.of((50, 100), (250, 500))
    async with AsyncExitStack() as stack:
        late_ones = []
        for length in (few, many):
            engine = await stack.enter_async_context(engine_on("memory", setting.folder, agents))
            await run(engine, [Edge(a, b) for a, b in chain(length)], job_id="closure")
            late_ones.append(Variant(f"one more, after {length}", partial(_late_edge, engine, numbers(length))))
        edges = chain(few)
        whole = partial(_converge, setting, agents, edges, len(semi_naive(edges)))
        yield Case(
            f"(d) one more edge, after a chain of {few} and one of {many}",
            "µs a path",
            [Variant(f"from nothing, {few}", whole), *late_ones],
            base=f"from nothing, {few}",
            rounds=setting.of(2, 3),
        )


async def _late_edge(engine: Engine, nodes: Iterator[int]) -> float:
    """At the end of the chain, which is one longer each time: to the new node there is a path from every other."""
    last = next(nodes)
    return await late(engine, "closure", Edge(last, last + 1)) / (last + 1) * 1e6


async def late(engine: Engine, job_id: str, fact: Fact) -> float:
    """Seconds for one late fact, once the job has been read."""
    async with engine.reopen(job_id, fact) as job:
        await job.standing()
        started = perf_counter()
        assert (await job.outcome()).converged
        return perf_counter() - started
