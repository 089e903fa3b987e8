"""The graphs whose transitive closure is computed."""

__all__ = ["chain", "random_graph"]

import random


def chain(length: int) -> list[tuple[int, int]]:
    """Return the edges of a chain: its closure has length * (length + 1) / 2 pairs."""
    return [(node, node + 1) for node in range(length)]


def random_graph(nodes: int) -> list[tuple[int, int]]:
    """Return half as many edges again as there are nodes, always the same ones."""
    order = random.Random(1)
    edges: set[tuple[int, int]] = set()
    while len(edges) < nodes * 3 // 2:
        edges.add((order.randrange(nodes), order.randrange(nodes)))
    return sorted(edges)
