"""pydantic-graph: its builder, as documented for fan-out over data: `.map()` to a step, joined by reduce_list_append.

A list of edges to N steps would be a graph of N nodes; mapping over a list is the documented way for a number of
items, and there is one join for all of them.
"""

__all__ = ["PACKAGES", "TASKS"]

from functools import cache
from typing import Any

from pydantic_graph import GraphBuilder, StepContext, reduce_list_append

from benchmarks.peers.echo import Echo, Timer

PACKAGES = ("pydantic-graph", "pydantic")


@cache
def graph_of(count: int) -> Any:
    graph = GraphBuilder(input_type=int, output_type=int)

    @graph.step
    async def hub(context: StepContext[None, None, int]) -> list[tuple[int, int]]:
        return [(listener, context.inputs) for listener in range(count)]

    @graph.step
    async def listen(context: StepContext[None, None, tuple[int, int]]) -> Echo:
        return Echo(*context.inputs)

    @graph.step
    async def back(context: StepContext[None, None, list[Echo]]) -> int:
        return len(context.inputs)

    heard = graph.join(reduce_list_append, initial_factory=list[Echo])
    graph.add(
        graph.edge_from(graph.start_node).to(hub),
        graph.edge_from(hub).map().to(listen),
        graph.edge_from(listen).to(heard),
        graph.edge_from(heard).to(back),
        graph.edge_from(back).to(graph.end_node),
    )
    return graph.build()


async def fan(count: int) -> float:
    graph = graph_of(count)
    with Timer() as timer:
        assert await graph.run(inputs=0) == count
    return timer.seconds


TASKS = {"fan, memory": fan}
