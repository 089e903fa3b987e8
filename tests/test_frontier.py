"""The frontier gives every activation the view that lockstep gives it, and lets nobody wait without need."""

import random
from statistics import median

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converge.intent import Budget
from tests.jobs import EVERY, ITEMWISE, MORE, SHAPES, Plan, agents_of, cells, digests, nets, plans, wirable
from tests.jobs import premises as given_facts
from tests.timing import JOBS, TIMINGS, Timed, any_durations, timed, timed_on

ANY = (*SHAPES, *MORE)
MIXES = {  # how often an agent is one that is not monotone
    0: [*ITEMWISE, "batch"],
    30: [*ITEMWISE, "batch", "each", "sum", "none", "whole"],
    70: ["each", "strike", "sum", "none", "count", "whole", "again", "best"],
}
jobs = settings(max_examples=JOBS, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
ENOUGH = Budget(rounds=400)


def same(seconds: float):
    return lambda agent: seconds


def agree(one: Timed, other: Timed) -> None:
    """Facts and their rounds, each activation's exact view, the digests and the stop."""
    assert sorted(one.seen) == sorted(other.seen)
    assert one.rounds == other.rounds
    assert digests(one.view) == digests(other.view)
    assert str(one.stop) == str(other.stop)


def in_any_timing(agents, facts, order: random.Random, **options) -> None:
    oracle = timed(agents, facts, same(1.0), schedule="lockstep", **options)
    for _ in range(TIMINGS):
        agree(timed(agents, facts, any_durations(order), schedule="frontier", **options), oracle)


@given(plans(shapes=ANY), given_facts(), st.randoms(use_true_random=False))
@jobs
def test_whoever_is_slow_the_frontier_is_lockstep(plan, facts, order):
    """Seeds, settled agents on several levels, readers of liveness, markers on markers, failures, refusals."""
    in_any_timing(agents_of(wirable(plan)), facts, order, budget=ENOUGH)


@pytest.mark.parametrize("percent", MIXES)
def test_a_net_of_agents_that_read_what_they_reach_is_lockstep(percent):
    """Graphs with circles, and a share of agents that say of more what they do not say of less."""

    @given(nets(MIXES[percent]), cells(), st.randoms(use_true_random=False))
    @jobs
    def law(plan, facts, order):
        in_any_timing(agents_of(plan), facts, order, budget=ENOUGH)

    law()


@given(plans(shapes=ANY), given_facts(), given_facts(), st.randoms(use_true_random=False))
@settings(jobs, max_examples=JOBS // 2)
def test_what_comes_late_finds_the_same_job(plan, facts, late, order):
    """Resumed with late facts and invalidations, the two go on as one."""
    agents = agents_of(wirable(plan))
    late = [*late, *(fact.invalidate("late") for fact in facts[:2])]
    one = timed_on(timed(agents, facts, same(1.0), schedule="lockstep", budget=ENOUGH), late, same(1.0))
    other = timed(agents, facts, any_durations(order), schedule="frontier", budget=ENOUGH)
    agree(timed_on(other, late, any_durations(order)), one)


@given(plans(shapes=ANY), given_facts(), st.integers(0, 4), st.randoms(use_true_random=False))
@settings(jobs, max_examples=JOBS // 2)
def test_a_budget_of_rounds_stops_at_the_same_place(plan, facts, rounds, order):
    """Who was fast does not matter: the rounds that are paid for are read by all."""
    agents = agents_of(wirable(plan))
    one = timed(agents, facts, same(1.0), schedule="lockstep", budget=Budget(rounds=rounds))
    agree(timed(agents, facts, any_durations(order), schedule="frontier", budget=Budget(rounds=rounds)), one)


@given(plans(), given_facts(), st.lists(st.integers(0, 9), max_size=3), st.randoms(use_true_random=False))
@settings(jobs, max_examples=JOBS // 2)
def test_a_job_cut_short_and_continued_equals_one_long_run(plan, facts, cuts, order):
    """However often its activations were cut, and whoever was fast."""
    agents = agents_of(plan)
    whole = timed(agents, facts, same(1.0), schedule="lockstep")
    job = timed(agents, facts, any_durations(order), schedule="frontier", budget=Budget(activations=0))
    for activations in sorted(cuts):
        job = timed_on(job, [], any_durations(order), budget=Budget(activations=activations))
    job = timed_on(job, [], any_durations(order), budget=Budget())
    assert digests(job.view) == digests(whole.view)
    assert job.rounds == whole.rounds


def test_nobody_waits_for_a_slow_agent_it_does_not_depend_on():
    """One agent of ten seconds among twelve fast ones, over sixty graphs: facts are there three times sooner."""
    ratios = []
    for seed in range(60):
        order = random.Random(seed)
        agents, facts = a_net(order)
        speed = {agent.name: 10.0 if place == 0 else order.uniform(0.05, 0.2) for place, agent in enumerate(agents)}
        waited = {
            schedule: median(timed(agents, facts, speed.__getitem__, schedule=schedule).known_at.values())
            for schedule in ("lockstep", "frontier")
        }
        if waited["lockstep"]:
            ratios.append(waited["lockstep"] / max(waited["frontier"], 0.01))
    assert len(ratios) > 40
    assert median(ratios) >= 3


def a_net(order: random.Random):
    """Thirteen agents over eight kinds, at random: each reads one or two and writes one."""
    cell = range(5, 13)
    plan = [
        Plan("each", tuple(order.sample(cell, order.randint(1, 2))), order.choice(cell), order.randrange(4))
        for _ in range(13)
    ]
    return agents_of(plan), [EVERY[order.choice(cell)](order.randrange(4)) for _ in range(3)]
