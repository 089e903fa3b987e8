"""Datalog programs from another project's tests: agents, one to a rule or nearly so, derive exactly the known rows.

A recursive rule joins what it wrote itself with what else there is; `joined` takes care of what comes in batches. A
negated condition is a settled agent's: it asks for what is absent once all that could still supply it is quiet, and
what it writes feeds the recursion, so that no rule depends on its own absence.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, TypeVar

from converge import Agent, Assertion, Fact, Outcome, View, agent
from tests.problems import folder, in_every_schedule, joined, needs, solve, table

pytestmark = needs("datalog")


class Pair(Fact):
    """A row of a relation with two columns, which rules call x and y."""

    x: str
    y: str


P = TypeVar("P", bound=Pair)


def given(program: str, relation: str, kind: type[Fact]) -> list[Fact]:
    return [kind(*row) for row in table(folder("datalog") / program / f"in_{relation}.tsv")]


def rows(outcome: Outcome, kind: type[Pair]) -> set[tuple[str, ...]]:
    return {(pair.x, pair.y) for pair in outcome.context.live(kind)}


def expected(program: str, relation: str) -> set[tuple[str, ...]]:
    """Return the rows of an answer; there are as many as the list of all answers says."""
    known = {tuple(row) for row in table(folder("datalog") / program / f"expected_{relation}.tsv")}
    answers: Any = json.loads((folder("datalog") / "expected.json").read_text("utf-8"))
    assert len(known) == answers[program]["expected"][relation]["rows"]
    return known


# rsg. Rsg(x, y) if Flat(x, y); Rsg(x, y) if Up(x, a), Rsg(b, a), Down(b, y). Three conditions are two joins.


class Up(Pair): ...


class Flat(Pair): ...


class Down(Pair): ...


class Rsg(Pair): ...


class UpAndAcross(Pair): ...


@agent(reads=Flat, writes=Rsg)
def stay(view: View) -> Iterator[Assertion]:
    for flat in view.new(Flat):
        yield Rsg(flat.x, flat.y).because(flat)


@agent(reads=[Up, Rsg], writes=UpAndAcross)
def climb(view: View) -> Iterator[Assertion]:
    for up, across in joined(view, Up, Rsg, y="y"):
        yield UpAndAcross(up.x, across.x).because(up, across)


@agent(reads=[UpAndAcross, Down], writes=Rsg)
def descend(view: View) -> Iterator[Assertion]:
    for way, down in joined(view, UpAndAcross, Down, y="x"):
        yield Rsg(way.x, down.y).because(way, down)


@in_every_schedule
def test_reverse_same_generation_has_exactly_the_known_rows(schedule):
    facts = given("rsg", "UP", Up) + given("rsg", "FLAT", Flat) + given("rsg", "DOWN", Down)
    assert rows(solve([stay, climb, descend], facts, schedule), Rsg) == expected("rsg", "RSG")


# topological_ordering. IsBefore is the transitive closure of the edges between listed vertices.


class Vertex(Fact):
    x: str


class Edge(Pair): ...


class FromVertex(Pair): ...


class IsBefore(Pair): ...


@agent(reads=[Vertex, Edge], writes=FromVertex)
def leave(view: View) -> Iterator[Assertion]:
    for vertex, edge in joined(view, Vertex, Edge, x="x"):
        yield FromVertex(edge.x, edge.y).because(vertex, edge)


@agent(reads=[FromVertex, Vertex], writes=IsBefore)
def arrive(view: View) -> Iterator[Assertion]:
    for edge, vertex in joined(view, FromVertex, Vertex, y="x"):
        yield IsBefore(edge.x, edge.y).because(edge, vertex)


@agent(reads=IsBefore, writes=IsBefore)
def close(view: View) -> Iterator[Assertion]:
    for one, other in joined(view, IsBefore, IsBefore, y="x"):
        yield IsBefore(one.x, other.y).because(one, other)


@in_every_schedule
def test_the_closure_of_an_order_has_exactly_the_known_rows(schedule):
    program = "topological_ordering"
    facts = given(program, "vertices", Vertex) + given(program, "edges", Edge)
    assert rows(solve([leave, arrive, close], facts, schedule), IsBefore) == expected(program, "is_before")


# dfa: what flows through a small program, whose nodes (x) generate, kill and use items (y). Of what reaches and of what
# is live, the rule for one node is contained in the rule for all; of what is not available, it is not.

ENTRY = "1"


class Gen(Pair): ...


class Kill(Pair): ...


class Use(Pair): ...


class Node(Fact):
    """An end point of an edge."""

    name: str


class Item(Fact):
    """What occurs in Gen or Kill."""

    name: str


class Step(Fact):
    """What holds of an item in node `p` holds of it in node `x` as well."""

    p: str
    x: str
    i: str


class Onward(Step): ...


class Backward(Step): ...


class Lost(Step): ...


class Reaching(Pair): ...


class Needed(Pair): ...


class NotAvailable(Pair): ...


class Available(Pair): ...


@agent(reads=[Edge, Gen, Kill, Use], writes=[Node, Item, Reaching, Needed])
def begin(view: View) -> Iterator[Assertion]:
    for edge in view.new(Edge):
        yield from (Node(name).because(edge) for name in (edge.x, edge.y))
    for fact in (*view.new(Gen), *view.new(Kill)):
        yield Item(fact.y).because(fact)
    for gen in view.new(Gen):
        yield Reaching(gen.x, gen.y).because(gen)
    for use in view.new(Use):
        yield Needed(use.x, use.y).because(use)


@agent(reads=[Edge, Gen, Kill, Use, Item], writes=[Onward, Backward, Lost], when="settled")
def let_pass(view: View) -> Iterator[Assertion]:
    """Find the steps that nothing forbids: negation below the recursion."""
    for edge, gen in product(view.live(Edge), view.live(Gen)):
        if view.absent(Kill, (edge.y, gen.y)):
            yield Onward(edge.x, edge.y, gen.y).because(edge, gen)
    for edge, use in product(view.live(Edge), view.live(Use)):
        if view.absent(Kill, (edge.x, use.y)):
            yield Backward(edge.y, edge.x, use.y).because(edge, use)
    for edge, item in product(view.live(Edge), view.live(Item)):
        if view.absent(Gen, (edge.y, item.name)):
            yield Lost(edge.x, edge.y, item.name).because(edge, item)


@agent(reads=[Gen, Kill, Item], writes=NotAvailable, when="settled")
def lose(view: View) -> Iterator[Assertion]:
    for kill in view.live(Kill):
        if view.absent(Gen, (kill.x, kill.y)):
            yield NotAvailable(kill.x, kill.y).because(kill)
    for item in view.live(Item):
        if view.absent(Kill, (ENTRY, item.name)):
            yield NotAvailable(ENTRY, item.name).because(item)


def spread(kind: type[P], steps: type[Step]) -> Agent:
    """Make an agent that carries what holds of an item along its steps."""

    @agent(reads=[kind, steps], writes=kind, name=f"spread {kind.__name__}")
    def rule(view: View) -> Iterator[Assertion]:
        for pair, step in joined(view, kind, steps, x="p", y="i"):
            if step.x != step.p:  # what leads back to where it came from is no reason for itself
                yield kind(step.x, pair.y).because(pair, step)

    return rule


@agent(reads=[Node, Item, NotAvailable], writes=Available, when="settled")
def conclude(view: View) -> Iterator[Assertion]:
    """Call available what is lost on no way: negation above the recursion."""
    for node, item in product(view.live(Node), view.live(Item)):
        if view.absent(NotAvailable, (node.name, item.name)):
            yield Available(node.name, item.name).because(node, item)


FLOW = [
    begin,
    let_pass,
    lose,
    spread(Reaching, Onward),
    spread(Needed, Backward),
    spread(NotAvailable, Lost),
    conclude,
]


def program() -> list[Fact]:
    relations = {"edge": Edge, "gen": Gen, "kill": Kill, "use": Use}
    return [fact for relation, kind in relations.items() for fact in given("dfa", relation, kind)]


def is_as_known(outcome: Outcome) -> None:
    assert rows(outcome, Reaching) == expected("dfa", "reaching_definitions")
    assert rows(outcome, Needed) == expected("dfa", "live_variables")
    assert rows(outcome, Available) == expected("dfa", "available_expressions")


@in_every_schedule
def test_a_flow_analysis_with_two_strata_of_negation_has_exactly_the_known_rows(schedule):
    is_as_known(solve(FLOW, program(), schedule))


@in_every_schedule
def test_rows_that_were_taken_back_leave_exactly_the_known_rows(schedule):
    """Every row that could have been given and was not is given, and invalidated."""
    facts = program()
    wrong = [row for row in every_row(facts) if row not in facts]
    marks = [row.invalidate("it was never so") for row in wrong]
    is_as_known(solve(FLOW, [*facts, *wrong, *marks], schedule))


def every_row(facts: Iterable[Fact]) -> Iterator[Fact]:
    nodes = {name for edge in facts if isinstance(edge, Edge) for name in (edge.x, edge.y)}
    items = {pair.y for pair in facts if isinstance(pair, (Gen, Kill, Use))}
    yield from (Edge(*ends) for ends in product(nodes, nodes))
    yield from (kind(*row) for kind in (Gen, Kill, Use) for row in product(nodes, items))
