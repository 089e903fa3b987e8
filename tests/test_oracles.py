"""An independent reference: our lockstep and frontier are those of a small simulation of rounds and frontiers."""

import random
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge.agent import Agent, agent
from converge.fact import id_of
from tests.jobs import CELLS
from tests.oracles import reference
from tests.timing import JOBS, any_durations, timed

SIZE = 4  # values per kind: the knowledge is finite


class Rule(NamedTuple):
    """An agent of the reference: a pure function of the set of all facts it may see, monotone or not."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    salt: int
    monotone: bool

    def run(self, view: frozenset[tuple[str, int]]) -> set[tuple[str, int]]:
        """Say something of each fact, or of all of them together."""
        if self.monotone:
            return {(kind, (n + self.salt) % SIZE) for _, n in view for kind in self.writes}
        return {(kind, (sum(n for _, n in view) * len(view) + self.salt) % SIZE) for kind in self.writes if view}


@pytest.fixture(scope="module")
def oracle() -> ModuleType:
    return reference("frontier")


KINDS = {kind.__name__: kind for kind in CELLS[:6]}


def ours(rule: Rule) -> Agent:
    def run(view):
        shown = frozenset((name, fact.n) for name in rule.reads for fact in view.all(KINDS[name]))
        return [KINDS[name](n) for name, n in sorted(rule.run(shown))]

    declared: Callable[[Any], Agent] = agent(
        reads=[KINDS[name] for name in rule.reads], writes=[KINDS[name] for name in rule.writes], name=rule.name
    )
    return declared(run)


names = st.sampled_from(sorted(KINDS))
several = st.lists(names, min_size=1, max_size=2, unique=True).map(tuple)
rules = st.lists(st.tuples(several, several, st.integers(0, SIZE - 1), st.booleans()), min_size=1, max_size=8).map(
    lambda drawn: [Rule(f"agent {place}", *one) for place, one in enumerate(drawn)]
)
premises = st.lists(st.tuples(names, st.integers(0, SIZE - 1)), min_size=1, max_size=5, unique=True)


def told(job):
    rounds = {(kind.__name__, fact.n): job.rounds[id_of(fact)] for kind in CELLS for fact in job.view.all(kind)}
    activations = sorted((seen.agent, seen.round + 1, tuple(sorted(seen.shown))) for seen in job.seen)
    return rounds, activations


def expected(answer):
    born, activations = answer
    ids = {(name, n): id_of(KINDS[name](n)) for name in KINDS for n in range(SIZE)}
    shown = sorted((name, round, tuple(sorted(ids[fact] for fact in view))) for name, round, view in activations)
    return born, shown


@given(rules, premises, st.randoms(use_true_random=False))
@settings(max_examples=JOBS)
def test_facts_rounds_and_views_are_those_of_the_reference(oracle, drawn, given_facts, order: random.Random):
    """Both schedules, over graphs with circles and agents that are not monotone, whoever is slow."""
    agents, facts = [ours(rule) for rule in drawn], [KINDS[name](n) for name, n in given_facts]
    known = expected(oracle.lockstep(drawn, given_facts))
    slow = any_durations(order)
    assert expected(oracle.frontier(drawn, given_facts, lambda rule: slow(rule.name))) == known
    assert told(timed(agents, facts, lambda name: 1.0, schedule="lockstep")) == known
    assert told(timed(agents, facts, any_durations(order), schedule="frontier")) == known
