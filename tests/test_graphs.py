"""Well-known graphs: components, distances, reach and cores come out exactly as published.

Where an agent writes only what improves on what it sees (a shorter way, a smaller name), which facts there are may
depend on the schedule; the least of them, which is the answer, does not.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any

import pytest

from converge import Agent, Assertion, Fact, View, agent
from converge.schedule import ScheduleName
from tests.problems import folder, in_every_schedule, joined, needs, solve, table

pytestmark = needs("graphs")

GRAPHS = ("karate", "les_miserables", "florentine", "davis_women")
of_every_graph = pytest.mark.parametrize("graph", GRAPHS)


class Link(Fact):
    """Two nodes are linked, whichever is named first."""

    one: str
    other: str
    weight: int


class Edge(Fact, key="start", policy="many"):
    """A link, as seen from one of its ends."""

    start: str
    end: str
    weight: int


@agent(reads=Link, writes=Edge)
def both_ways(view: View) -> Iterator[Assertion]:
    for link in view.new(Link):
        yield Edge(link.one, link.other, link.weight).because(link)
        yield Edge(link.other, link.one, link.weight).because(link)


def links_of(graph: str) -> list[Link]:
    _, *rows = table(folder("graphs") / f"{graph}.tsv")
    return [Link(one, other, int(weight)) for one, other, weight in rows]


def nodes(links: Iterable[Link]) -> set[str]:
    return {name for link in links for name in (link.one, link.other)}


@cache
def expected(graph: str) -> dict[str, Any]:
    published: dict[str, dict[str, Any]] = json.loads((folder("graphs") / "expected.json").read_text("utf-8"))
    return published[graph]


@of_every_graph
def test_the_files_are_the_graphs_meant(graph):
    known = expected(graph)
    assert (len(nodes(links_of(graph))), len(links_of(graph))) == (known["nodes"], known["edges"])


# Components: each node is an agent, and takes the smallest name it hears of from its neighbours.


class Label(Fact, key="node", policy="many"):
    """The node is in one component with the node of this name."""

    node: str
    name: str


@agent(reads=Edge, writes=Label)
def introduce(view: View) -> Iterator[Assertion]:
    for edge in view.new(Edge):
        yield Label(edge.start, edge.start).because(edge)


def listener(node: str) -> Agent:
    @agent(reads=[Edge, Label], writes=Label, name=f"listener {node}")
    def listen(view: View) -> Iterator[Assertion]:
        heard = [(edge, label) for edge in view.all(Edge, node) for label in view.all(Label, edge.end)]
        for edge, label in sorted(heard, key=lambda pair: pair[1].name)[:1]:
            if all(label.name < own.name for own in view.all(Label, node)):
                yield Label(node, label.name).because(edge, label)

    return listen


def components(links: Sequence[Link], schedule: ScheduleName) -> list[set[str]]:
    listeners = [listener(node) for node in nodes(links)]
    outcome = solve([both_ways, introduce, *listeners], links, schedule)
    members = defaultdict(set)
    for node in nodes(links):
        members[min(label.name for label in outcome.context.live(Label, node))].add(node)
    return list(members.values())


@in_every_schedule
@of_every_graph
def test_nodes_that_listen_to_their_neighbours_agree_on_the_components(graph, schedule):
    found = components(links_of(graph), schedule)
    assert len(found) == expected(graph)["components"]
    assert set[str]().union(*found) == set(expected(graph)["hops"])


@in_every_schedule
def test_graphs_side_by_side_are_a_component_each(schedule):
    together = [link for graph in GRAPHS for link in links_of(graph)]
    found = components(together, schedule)
    assert sorted(map(sorted, found)) == sorted(sorted(nodes(links_of(graph))) for graph in GRAPHS)


# Distances: whoever is reached shows its neighbours a way; only a way shorter than all that are known is written down.


class Start(Fact):
    node: str


class Way(Fact, key=("start", "end"), policy="many"):
    """There is a way of this length; the distance is the least."""

    start: str
    end: str
    length: int


@agent(reads=Start, writes=Way)
def stay(view: View) -> Iterator[Assertion]:
    for start in view.new(Start):
        yield Way(start.node, start.node, 0).because(start)


@agent(reads=[Way, Edge], writes=Way)
def walk(view: View) -> Iterator[Assertion]:
    for way, edge in joined(view, Way, Edge, end="start"):
        length = way.length + edge.weight
        if all(length < known.length for known in view.all(Way, (way.start, edge.end))):
            yield Way(way.start, edge.end, length).because(way, edge)


def distances(links: Iterable[Link], starts: Iterable[str], schedule: ScheduleName) -> dict[tuple[str, str], int]:
    outcome = solve([both_ways, stay, walk], [*links, *map(Start, starts)], schedule)
    ways = sorted(outcome.context.live(Way), key=lambda way: way.length, reverse=True)
    return {(way.start, way.end): way.length for way in ways}


@in_every_schedule
@of_every_graph
def test_distances_by_weight_are_as_published(graph, schedule):
    source = str(expected(graph)["source"])
    found = distances(links_of(graph), [source], schedule)
    assert {end: length for (_, end), length in found.items()} == expected(graph)["weighted_distance"]


@in_every_schedule
@of_every_graph
def test_hops_between_all_nodes_are_as_published(graph, schedule):
    known = expected(graph)
    source = str(known["source"])
    steps = [Link(link.one, link.other, 1) for link in links_of(graph)]
    found = distances(steps, nodes(steps), schedule)
    assert {end: hops for (start, end), hops in found.items() if start == source} == known["hops"]
    assert sum(found.values()) == known["sum_all_pair_hops"]
    assert max(found.values()) == known["diameter"]


# Reach: the transitive closure, every derivation of every pair included.


class Reaches(Fact):
    start: str
    end: str


@agent(reads=Edge, writes=Reaches)
def step(view: View) -> Iterator[Assertion]:
    for edge in view.new(Edge):
        yield Reaches(edge.start, edge.end).because(edge)


@agent(reads=[Reaches, Edge], writes=Reaches)
def go_on(view: View) -> Iterator[Assertion]:
    for reached, edge in joined(view, Reaches, Edge, end="start"):
        yield Reaches(reached.start, edge.end).because(reached, edge)


@in_every_schedule
@of_every_graph
def test_the_transitive_closure_has_as_many_pairs_as_published(graph, schedule):
    outcome = solve([both_ways, step, go_on], links_of(graph), schedule)
    assert len(outcome.context.live(Reaches)) == expected(graph)["transitive_closure_pairs_incl_self"]


# Cores: degrees are counted once all edges are there, nodes leave a core when too few of their neighbours stay, and
# the core number is read off once nobody leaves any more. All edges are given at once: whoever left because of a count
# that a later edge changes is not asked again.


class Degree(Fact, key="node"):
    node: str
    neighbours: int


class Level(Fact):
    k: int


class Left(Fact, key=("node", "k")):
    """The node is not in the k-core."""

    node: str
    k: int


class Core(Fact, key="node"):
    node: str
    number: int


@agent(reads=Edge, writes=[Degree, Level], when="settled")
def count(view: View) -> Iterator[Assertion]:
    for edges in by_start(view.live(Edge)).values():
        degree = Degree(edges[0].start, len(edges))
        yield degree.because(*edges)
        yield from (Level(k).because(degree) for k in range(1, len(edges) + 1))


@agent(reads=[Edge, Degree, Level, Left], writes=Left)
def peel(view: View) -> Iterator[Assertion]:
    """Let go whoever has fewer than k neighbours left in the k-core, for one reason and no more.

    Whenever it looks, it looks at everything: so it does not matter what is new.
    """
    left = {(one.node, one.k): one for one in view.all(Left)}
    edges = by_start(view.all(Edge))
    for degree, level in product(view.all(Degree), view.all(Level)):
        gone = [left[edge.end, level.k] for edge in edges[degree.node] if (edge.end, level.k) in left]
        if degree.neighbours - len(gone) < level.k and (degree.node, level.k) not in left:
            yield Left(degree.node, level.k).because(degree, level, *gone)


@agent(reads=[Degree, Level, Left], writes=Core, when="settled")
def conclude(view: View) -> Iterator[Assertion]:
    for degree in view.live(Degree):
        stays = [level for level in view.live(Level) if view.absent(Left, (degree.node, level.k))]
        yield Core(degree.node, max(level.k for level in stays)).because(degree, *stays)


def by_start(edges: Iterable[Edge]) -> Mapping[str, list[Edge]]:
    found = defaultdict(list)
    for edge in edges:
        found[edge.start].append(edge)
    return found


@in_every_schedule
@of_every_graph
def test_core_numbers_are_as_published(graph, schedule):
    outcome = solve([both_ways, count, peel, conclude], links_of(graph), schedule)
    assert {core.node: core.number for core in outcome.context.live(Core)} == expected(graph)["core_number"]
