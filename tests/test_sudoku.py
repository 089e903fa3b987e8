"""Published puzzles: agents that only ever rule candidates out reach exactly the known fixed points.

Two agents, "strike" and "naked", look after each row; in the larger team a third, "hidden", after each unit. Facts only
grow and no rule rests on what is missing, so there is one fixed point, whoever runs first and whatever comes together.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256
from itertools import islice
from typing import Any

import pytest

from converge import Agent, Assertion, Fact, Outcome, View, agent
from tests.problems import folder, in_every_schedule, needs, solve

pytestmark = needs("sudoku")

Unit = Sequence[int]  # its cells, numbered row by row from 0
Puzzle = dict[str, Any]


class Given(Fact):
    """This digit is printed in the cell."""

    cell: int
    digit: int


class Fixed(Fact):
    """This digit is the cell's: it was given, or no other is possible."""

    cell: int
    digit: int


class Eliminated(Fact, key="cell", policy="many"):
    """This digit is not the cell's."""

    cell: int
    digit: int


# The rules; all but the first as makers of agents that look after some cells each.


@agent(reads=Given, writes=Fixed)
def accept(view: View) -> Iterator[Assertion]:
    """What is given is fixed."""
    for given in view.new(Given):
        yield Fixed(given.cell, given.digit).because(given)


def strike(name: str, cells: Unit, peers: Sequence[set[int]], digits: set[int]) -> Agent:
    """A fixed cell takes its digit from its peers, and every other digit from itself."""
    own = frozenset(cells)

    @agent(reads=Fixed, writes=Eliminated, name=f"strike {name}")
    def rule(view: View) -> Iterator[Assertion]:
        for fixed in view.new(Fixed):
            if fixed.cell in own:
                for peer in peers[fixed.cell]:
                    yield Eliminated(peer, fixed.digit).because(fixed)
                for other in digits - {fixed.digit}:
                    yield Eliminated(fixed.cell, other).because(fixed)

    return rule


def naked(name: str, cells: Unit, digits: set[int]) -> Agent:
    """A cell with one digit left is fixed."""
    own = frozenset(cells)

    @agent(reads=Eliminated, writes=Fixed, name=f"naked {name}")
    def rule(view: View) -> Iterator[Assertion]:
        for cell in {out.cell for out in view.new(Eliminated) if out.cell in own}:
            outs = view.all(Eliminated, cell)
            if len(outs) >= len(digits) - 1:
                # With none left each is: what follows from some facts must follow from more of them.
                for digit in digits - {out.digit for out in outs} or digits:
                    yield Fixed(cell, digit).because(*(out for out in outs if out.digit != digit))

    return rule


def hidden(name: str, cells: Unit) -> Agent:
    """A digit with one place left in a unit goes there."""
    own = frozenset(cells)

    @agent(reads=Eliminated, writes=Fixed, name=f"hidden {name}")
    def rule(view: View) -> Iterator[Assertion]:
        outs = cache(lambda cell: {out.digit: out for out in view.all(Eliminated, cell)})
        for digit in {out.digit for out in view.new(Eliminated) if out.cell in own}:
            places = list(islice((cell for cell in cells if digit not in outs(cell)), 2))
            if len(places) < 2:
                for place in places or cells:
                    yield Fixed(place, digit).because(*(outs(cell)[digit] for cell in cells if cell != place))

    return rule


@cache
def team(box: int, rules: str) -> tuple[Agent, ...]:
    """Return the agents for a grid of box × box boxes; the rules are "naked" or "naked_hidden"."""
    units = units_of(box)
    digits = set(range(1, box * box + 1))
    peers = [set[int]().union(*(unit for unit in units.values() if cell in unit)) - {cell} for cell in range(box**4)]
    rows = {name: unit for name, unit in units.items() if name.startswith("row")}
    agents = [accept]
    agents += [strike(name, unit, peers, digits) for name, unit in rows.items()]
    agents += [naked(name, unit, digits) for name, unit in rows.items()]
    if rules == "naked_hidden":
        agents += [hidden(name, unit) for name, unit in units.items()]
    return tuple(agents)


def units_of(box: int) -> dict[str, Unit]:
    """Return the rows, columns and boxes of a grid by name."""
    side = range(box * box)
    units: dict[str, Unit] = {}
    for n in side:
        top, left = n // box * box, n % box * box
        units[f"row {n}"] = [n * len(side) + column for column in side]
        units[f"column {n}"] = [row * len(side) + n for row in side]
        units[f"box {n}"] = [(top + k // box) * len(side) + left + k % box for k in side]
    return units


# From the files' words to facts, and from facts to the files' masks.


def puzzles(file: str) -> list[Puzzle]:
    loaded: list[Puzzle] = json.loads((folder("sudoku") / f"{file}.json").read_text("utf-8"))
    return loaded


def givens(puzzle: Puzzle) -> list[Given]:
    cells = enumerate(map(int, puzzle["puzzle"].split()))
    return [Given(cell, digit) for cell, digit in cells if digit]


def masks(outcome: Outcome, box: int) -> list[int]:
    """Return for each cell what is possible: bit d - 1 for the digit d."""
    possible = [2 ** (box * box) - 1] * box**4
    for out in outcome.context.live(Eliminated):
        possible[out.cell] &= ~(1 << out.digit - 1)
    return possible


def described(possible: Sequence[int], rules: str) -> dict[str, Any]:
    """Return what the files say of a fixed point, in their words."""
    text = " ".join(map(str, possible))
    said = {
        f"{rules}_cells_fixed": sum(mask.bit_count() == 1 for mask in possible),
        f"{rules}_candidates_left": sum(mask.bit_count() for mask in possible),
        f"{rules}_empty_cells": possible.count(0),
        f"{rules}_fixpoint_sha256": sha256(text.encode()).hexdigest()[:16],
    }
    if rules == "naked_hidden":
        said["solved_by_propagation"] = all(mask.bit_count() == 1 for mask in possible)
        said["naked_hidden_masks"] = text if len(possible) <= 9 * 9 else ""  # of larger grids there is the digest
    return said


def expected(puzzle: Puzzle, rules: str) -> dict[str, Any]:
    return {field: puzzle[field] for field in described([], rules)}


def test_the_files_are_the_ones_whose_sums_are_known():
    easy, clips = puzzles("easy50"), puzzles("clips_graded")
    assert (len(easy), len(clips)) == (50, 33)
    assert sum(puzzle["naked_hidden_cells_fixed"] for puzzle in easy) == 3_606
    assert sum(puzzle["naked_hidden_candidates_left"] for puzzle in easy) == 5_058
    assert [sum(puzzle["solved_by_propagation"] for puzzle in file) for file in (easy, clips)] == [40, 5]


@pytest.mark.slow
@in_every_schedule
@pytest.mark.parametrize("rules", ["naked", "naked_hidden"])
@pytest.mark.parametrize("file", ["easy50", "clips_graded"])
def test_every_puzzle_ends_at_its_known_fixed_point(file, rules, schedule):
    for puzzle in puzzles(file):
        possible = masks(solve(team(puzzle["box"], rules), givens(puzzle), schedule), puzzle["box"])
        assert described(possible, rules) == expected(puzzle, rules), puzzle["id"]
        for mask, digit in zip(possible, puzzle["solution"].split(), strict=True):
            assert mask >> int(digit) - 1 & 1, f"{puzzle['id']}: the solution's {digit} was eliminated"


@pytest.mark.slow
@in_every_schedule
def test_a_wrong_given_once_invalidated_leaves_the_known_fixed_point(schedule):
    """Its contradictions eliminate every candidate; with it, exactly what rested on it must fall.

    Cells fix one another in circles: what is left standing must not stand on itself.
    """
    for puzzle in puzzles("easy50")[:3]:
        wrong = misprint(puzzle)
        facts = [*givens(puzzle), wrong, wrong.invalidate("a misprint")]
        outcome = solve(team(puzzle["box"], "naked_hidden"), facts, schedule)
        assert len(outcome.context.all(Eliminated)) == 9 * 9 * 9, puzzle["id"]
        possible = masks(outcome, puzzle["box"])
        assert described(possible, "naked_hidden") == expected(puzzle, "naked_hidden"), puzzle["id"]


def misprint(puzzle: Puzzle) -> Given:
    """Return a digit in the first empty cell that is not the solution's."""
    cell = puzzle["puzzle"].split().index("0")
    return Given(cell, int(puzzle["solution"].split()[cell]) % 9 + 1)
