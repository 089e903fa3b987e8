"""Outside problems with known answers: where they lie, how their tables are read, and the one way tests solve them.

They are looked for in the folder that CONVERGE_DATA names, else in `../shared/data` beside the project.
"""

__all__ = ["SCHEDULES", "folder", "in_every_schedule", "joined", "needs", "solve", "table"]

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

import pytest

from converge import Engine, Fact, Outcome, View, run
from converge.schedule import ScheduleName

SCHEDULES = ("frontier", "lockstep", "stream")
BESIDE = Path(__file__).parents[1].parent / "shared" / "data"

L = TypeVar("L", bound=Fact)
R = TypeVar("R", bound=Fact)

in_every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


def folder(name: str) -> Path:
    """Return where a set of problems is looked for."""
    return Path(os.environ.get("CONVERGE_DATA") or BESIDE) / name


def needs(name: str) -> pytest.MarkDecorator:
    """Skip where a set of problems is absent."""
    reason = f"{folder(name)} is not there: set CONVERGE_DATA to the folder that holds {name}"
    return pytest.mark.skipif(not folder(name).is_dir(), reason=reason)


def table(path: Path) -> list[list[str]]:
    """Return the rows of a TAB-separated file."""
    return [line.split("\t") for line in path.read_text("utf-8").splitlines()]


def solve(agents: Iterable[object], facts: Iterable[Fact], schedule: ScheduleName) -> Outcome:
    """Run a job to its fixed point under a schedule; a stream of agents that replace says that it depends on timing."""
    engine = Engine(agents, schedule=schedule)
    outcome = run(engine, "solve the problem", facts)
    assert outcome.converged, str(outcome.stop)
    replacing = any(agent.replacing for agent in engine.agents)
    assert bool(outcome.timing_dependent) == (schedule == "stream" and replacing)
    return outcome


def joined(view: View, left: type[L], right: type[R], **on: str) -> Iterator[tuple[L, R]]:
    """Iterate over the pairs that agree, `left's field="right's field"`, and of which at least one is new.

    New × all and all × new: together they meet every pair once, or twice within one activation, however the facts
    come in batches. A conclusion that an activation draws twice is one support.
    """
    yield from _matches(view.new(left), view.all(right), on)
    yield from _matches(view.all(left), view.new(right), on)


def _matches(lefts: Iterable[L], rights: Iterable[R], on: dict[str, str]) -> Iterator[tuple[L, R]]:
    left_value, right_value = attrgetter(*on.keys()), attrgetter(*on.values())
    partners = defaultdict(list)
    for right in rights:
        partners[right_value(right)].append(right)
    for left in lefts:
        for right in partners.get(left_value(left), ()):
            yield left, right
