"""The graphs whose transitive closure is computed, and the floor for it: sets."""

__all__ = ["chain", "random_graph", "semi_naive"]

import random
from collections.abc import Iterable


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


def semi_naive(edges: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return the transitive closure: sets of pairs, joining only what is new. No ids, no provenance."""
    successors: dict[int, list[int]] = {}
    for a, b in edges:
        successors.setdefault(a, []).append(b)
    new = set(edges)
    known = set(new)
    while new:
        new = {(a, c) for a, b in new for c in successors.get(b, ())} - known
        known |= new
    return known
