"""Law 9: frontier gives the facts, rounds and views of lockstep, whatever the durations; it waits less."""

import dataclasses
import random
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Budget, Fact, Live, View, agent, id_of
from converge.agent import Agent
from converge.errors import FactNotLive
from converge.stop import StopReason
from tests.jobs import CELLS, EVERY, KINDS, MORE, SHAPES, VALUES, Plan, agents_of, cells, digests, nets, plans, wirable
from tests.jobs import premises as given_facts
from tests.timing import JOBS, TIMINGS, Duration, Timed, any_durations, even, timed, timed_on

North, East, South, *_ = KINDS
One, Two, Three, Four, Five, Six, Seven, Eight = CELLS
ALL = (*SHAPES, *MORE, "each", "sum", "strike")
# A failed activation is tried again on resume.
FIRM = tuple(shape for shape in ALL if shape not in ("fragile", "fickle", "faint"))
LIVELY = ("each",) * 8 + ("pair", "seed", "sum", "sum", "count", "best", "again", "again", "unmark", "revise")
orders = st.integers(0, 2**16).map(random.Random)


def assert_same(one: Timed, other: Timed) -> None:
    """Compare all that law 9 promises, and how both stopped."""
    assert sorted(one.seen) == sorted(other.seen)
    assert one.rounds == other.rounds
    assert digests(one.view) == digests(other.view)
    assert one.activations == other.activations
    assert str(one.stop) == str(other.stop)


def assert_no_timing_matters(agents: Sequence[Agent], facts: Sequence[Fact], order: random.Random) -> None:
    oracle = timed(agents, facts, even, schedule="lockstep")
    for _ in range(TIMINGS):
        assert_same(oracle, timed(agents, facts, any_durations(order), schedule="frontier"))


# --- whatever the durations ------------------------------------------------------------------------------------------


@given(plans(shapes=ALL).map(wirable), given_facts(), orders)
@settings(max_examples=JOBS)
def test_frontier_gives_the_facts_rounds_and_views_of_lockstep(plan, facts, order):
    """For seeds, batches, settled agents on several levels, readers of liveness, markers, refusals and failures."""
    assert_no_timing_matters(agents_of(plan), facts, order)


@pytest.mark.parametrize("unsteady", [0, 3, 7])
@given(st.data())
@settings(max_examples=JOBS // 3)
def test_frontier_equals_lockstep_for_agents_that_read_what_they_reach(unsteady, data):
    """On circles, with 0, 30 and 70 in a hundred agents that take back with more facts what they said of fewer."""
    shapes = (*("each",) * (7 - unsteady), *("pair",) * 3, *("whole",) * unsteady)
    plan, facts = data.draw(nets(shapes)), data.draw(cells())
    assert_no_timing_matters(agents_of(plan), facts, data.draw(orders))


@given(nets((*LIVELY, *("strike",) * 6)), cells(), orders)
@settings(max_examples=JOBS // 2)
def test_frontier_equals_lockstep_for_readers_of_liveness_above_circles(plan, facts, order):
    """What falls and rises again below them is seen in the same rounds."""
    assert_no_timing_matters(agents_of(plan), facts, order)


@given(plans(shapes=ALL).map(wirable), given_facts(), given_facts(), st.data())
@settings(max_examples=JOBS // 4)
def test_frontier_equals_lockstep_for_what_is_stated_late(plan, facts, late, data):
    """New premises and markers on old ones, however slow the jobs were that they come to; and once more."""
    agents, order = agents_of(plan), data.draw(orders)
    one = timed(agents, facts, even, schedule="lockstep")
    other = timed(agents, facts, any_durations(order), schedule="frontier")
    for _ in range(2):
        known = [fact for fact in one.context.facts[1:] if type(fact) in KINDS]
        marked = [fact.invalidate("late") for fact in known if order.random() < 0.2]
        one, other = timed_on(one, [*late, *marked], even), timed_on(other, [*late, *marked], any_durations(order))
        assert_same(one, other)
        late = []


@given(nets((*LIVELY, *("strike",) * 6)), cells(), orders)
@settings(max_examples=JOBS // 4)
def test_frontier_equals_lockstep_for_what_is_stated_late_to_a_net(plan, facts, order):
    """As above, where agents read what they reach."""
    agents, marked = agents_of(plan), [fact.invalidate("late") for fact in facts[:2]]
    one = timed(agents, facts, even, schedule="lockstep")
    other = timed(agents, facts, any_durations(order), schedule="frontier")
    for late in ([*marked, One(3)], [marker.invalidate("not so") for marker in marked]):
        one, other = timed_on(one, late, even), timed_on(other, late, any_durations(order))
        assert_same(one, other)


@given(plans(shapes=FIRM).map(wirable), given_facts(), orders)
@settings(max_examples=JOBS // 4)
def test_a_job_may_go_on_under_another_schedule(plan, facts, order):
    """What one schedule began is finished by the other as the first would have finished it."""
    agents, markers = agents_of(plan), [fact.invalidate("late") for fact in facts[:3]]
    one = timed(agents, facts, even, schedule="lockstep")
    other = timed(agents, facts, any_durations(order), schedule="frontier")
    assert_same(timed_on(one, markers, even), timed_on(one, markers, any_durations(order), schedule="frontier"))
    assert_same(timed_on(one, markers, even), timed_on(other, markers, even, schedule="lockstep"))


@given(nets((*LIVELY, *FIRM), disputes=True), cells(), orders)
@settings(max_examples=JOBS // 4)
def test_on_circles_that_may_dispute_frontier_equals_lockstep(plan, facts, order):
    """Where settled agents read what they reach, unless the same facts come back for ever: then both stop for that."""
    agents, options = agents_of(plan), {"allow_disputes": True, "budget": Budget(rounds=40)}
    oracle = timed(agents, facts, even, schedule="lockstep", **options)
    for _ in range(TIMINGS):
        job = timed(agents, facts, any_durations(order), schedule="frontier", **options)
        if oracle.stop is not None and oracle.stop.reason is StopReason.BUDGET:
            assert job.stop is not None
            assert job.stop.reason is StopReason.BUDGET
        else:
            assert_same(oracle, job)


# --- crashes ---------------------------------------------------------------------------------------------------------


@given(plans(shapes=FIRM).map(wirable) | nets((*LIVELY, *FIRM)), given_facts(), cells(), orders)
@settings(max_examples=JOBS // 4)
def test_a_frontier_job_that_crashed_after_any_commit_goes_on_as_if_it_had_not(plan, facts, more, order):
    """Twice, the second time in the middle of what was lost by late markers."""
    agents, facts = agents_of(plan), [*facts[:6], *more]
    markers = [fact.invalidate("late") for fact in facts[:2]]
    whole = timed(agents, facts, even, schedule="lockstep")
    job = crashed(timed(agents, facts, any_durations(order), schedule="frontier"), 0, order)
    assert (digests(job.view), job.rounds, job.activations) == (digests(whole.view), whole.rounds, whole.activations)
    whole, before = timed_on(whole, markers, even), len(job.bodies)
    job = crashed(timed_on(job, markers, any_durations(order)), before, order)
    assert (digests(job.view), job.rounds, job.activations) == (digests(whole.view), whole.rounds, whole.activations)


def crashed(job: Timed, since: int, order: random.Random) -> Timed:
    """Return what comes of a job of which only some of the rows after the first of `since` were kept."""
    kept = order.randint(min(since + 1, len(job.bodies)), len(job.bodies))
    return timed_on(dataclasses.replace(job, bodies=job.bodies[:kept]), [], any_durations(order))


# --- budgets ---------------------------------------------------------------------------------------------------------


@given(plans(shapes=FIRM).map(wirable), given_facts(), st.lists(st.integers(0, 9), max_size=4), orders)
@settings(max_examples=JOBS // 2)
def test_a_frontier_job_cut_by_its_budget_and_continued_equals_one_long_run(plan, facts, cuts, order):
    """Facts, their rounds, who completed on which round, and the three digests, wherever it was cut."""
    agents, whole = agents_of(plan), timed(agents_of(plan), facts, even, schedule="lockstep")
    job = timed(agents, facts, any_durations(order), schedule="frontier", budget=Budget(rounds=0))
    seen = job.seen
    for cut in cuts:
        name = order.choice(("rounds", "facts", "activations"))
        job = timed_on(job, [], any_durations(order), budget=Budget(**{name: cut * (1 + 2 * (name != "rounds"))}))
        seen += job.seen
    job = timed_on(job, [], any_durations(order), budget=Budget())
    assert (digests(job.view), job.rounds, job.activations) == (digests(whole.view), whole.rounds, whole.activations)
    assert set(whole.seen) == {*seen, *job.seen}


@given(nets(LIVELY), cells(), st.integers(0, 6), orders)
@settings(max_examples=JOBS // 4)
def test_a_budget_of_rounds_buys_the_same_whoever_is_fast(plan, facts, rounds, order):
    """A job that began with it stops with the facts and the unread rounds at which lockstep stops."""
    one = timed(agents_of(plan), facts, even, schedule="lockstep", budget=Budget(rounds=rounds))
    for _ in range(TIMINGS):
        budget = Budget(rounds=rounds)
        assert_same(one, timed(agents_of(plan), facts, any_durations(order), schedule="frontier", budget=budget))


# --- proofs ----------------------------------------------------------------------------------------------------------


@given(nets((*LIVELY, *("strike",) * 6)), cells(), orders)
@settings(max_examples=JOBS // 4)
def test_under_frontier_every_live_fact_has_a_finite_proof_that_ends_in_live_premises(plan, facts, order):
    """However late the round it rests on was merged."""
    job = timed(agents_of(plan), facts, any_durations(order), schedule="frontier")
    view = timed_on(job, [fact.invalidate("late") for fact in facts[:1]], any_durations(order)).view
    for fact in view.facts():
        if fact in view.live(type(fact)):
            steps = list(view.why(fact).steps())
            assert steps[0].fact == fact
            assert all(step.because for step in steps if step.agent is not None)
            assert all(step.fact in view.live(type(step.fact)) for step in steps)
        else:
            with pytest.raises(FactNotLive, match="known and not live"):
                view.why(fact)


# --- one by one ------------------------------------------------------------------------------------------------------


def step(reads: Any, writes: Any, name: str) -> Agent:
    @agent(reads=reads, writes=writes, name=name)
    def go(view: View):
        return [writes(fact.n).because(fact) for fact in view.new(reads)]

    return go


def chain(*kinds: type, name: str) -> list[Agent]:
    return [step(one, other, f"{name}{place}") for place, (one, other) in enumerate(pairwise(kinds))]


def slow(name: str):
    return lambda agent: 100.0 if agent == name else 1.0


def test_a_fact_that_rises_again_by_a_support_merged_before_an_earlier_one_is_counted_again():
    """Three(0) is derived in round 5, and then, by a slow agent, in 3; a marker of round 4 takes only the latter."""

    @agent(reads=[Seven, Four], invalidates=Four)
    def strike(view):
        return [four.invalidate("no").because(seven) for seven in view.all(Seven) for four in view.all(Four)]

    @agent(reads=Live(Three), writes=North)
    def count(view):
        return North(view.count(Three))

    agents = [*chain(One, Two, Four, Three, name="a"), *chain(One, Five, Six, Seven, Eight, Three, name="b"), strike]
    job = timed([*agents, count], [One(0)], slow("a2"), schedule="frontier")
    assert job.ran("count") == [0, 3, 4, 5]
    assert job.view.live(North) == (North(1),)
    assert_same(timed([*agents, count], [One(0)], even, schedule="lockstep"), job)


def test_what_was_given_again_and_refused_is_not_taken_for_certain_in_a_later_round():
    """Labels are known to an ordinary agent only in the round that it is given something again in."""

    @agent(reads=North, writes=East, accepts=lambda view: len(view.new(North)) > 1)
    def patient(view):
        return East(sum(north.n for north in view.all(North)))

    @agent(reads=[South, North], invalidates=North)
    def strike(view):
        return [north.invalidate("no").because(*view.all(South)) for north in view.all(North) if north.n == 1]

    agents = [patient, strike, *chain(One, Five, Six, North, name="a")]

    def driven(duration, schedule: str) -> Timed:
        job = timed(agents, [North(1), North(2)], duration, schedule=schedule)
        job = timed_on(job, [North(2).invalidate("late")], duration)
        return timed_on(job, [South(1), One(7)], duration)

    assert_same(driven(even, "lockstep"), driven(slow("strike"), "frontier"))


def test_a_round_that_a_settled_agent_has_yet_to_write_is_passed_by_by_nobody():
    """It may come to nothing that others below have unread; then the settled agent reads a lower round than they."""
    drawn = [("each", (7, 5), 7, 3), ("sum", (0, 7), 2, 2), ("count", (1, 7), 0, 3), ("again", (5, 7), 1, 3)]
    agents = agents_of(Plan(*one) for one in drawn)
    one, other = (timed(agents, [Three(0)], even, schedule=schedule) for schedule in ("lockstep", "frontier"))
    assert one.ran("1-sum")[-1] == one.rounds[id_of(one.view.all(North)[0])]
    assert_same(one, other)


def test_who_might_fail_closes_no_round_by_looking_at_it():
    """Somebody reads failures, so that everybody can reach the settled agent: what turned out as nothing is nothing."""
    drawn = [("count", (8, 7), 4, 1), ("sum", (5, 7), 4, 1), ("each", (8, 5), 5, 3), ("nurse", (7,), 7, 1)]
    agents = agents_of(Plan(*one) for one in [*drawn, ("each", (9,), 5, 3)])
    facts = [Four(0), Five(1), One(2)]
    one = timed(agents, facts, even, schedule="lockstep")
    assert_same(one, timed(agents, facts, slow("1-sum"), schedule="frontier"))


def test_who_is_below_a_circle_waits_for_it():
    """A settled agent and the one it reads wait for each other; whoever reads what they settle on is not let go."""
    drawn = [("best", (5,), 5, 1), ("sum", (5,), 5, 3), ("each", (5,), 7, 0), ("again", (7,), 7, 1)]
    agents = agents_of(Plan(*one) for one in drawn)
    for name in ("0-best", "1-sum", "2-each", "3-again"):
        job = timed(agents, [One(3)], slow(name), schedule="frontier", allow_disputes=True)
        assert job.stop is not None
        assert job.stop.detail[0] == "churn"


# --- who waits -------------------------------------------------------------------------------------------------------


def test_nobody_waits_for_a_slow_agent_it_does_not_depend_on():
    """A chain ends while an agent beside it is still reading its first round."""
    agents = [*chain(One, Two, Three, name="a"), *chain(Five, Six, name="b")]
    job = timed(agents, [One(1), Five(1)], slow("b0"), schedule="frontier")
    assert (job.known_at[id_of(Three(1))], job.ended_at) == (2.0, 100.0)


def test_an_agent_waits_for_a_slow_one_that_can_still_add_to_its_round():
    """What it depends on is waited for, and no longer than that."""
    agents = [*chain(One, Two, Three, name="a"), *chain(Five, Two, name="b")]
    job = timed(agents, [One(1), Five(1)], slow("b0"), schedule="frontier")
    assert (job.known_at[id_of(Two(1))], job.known_at[id_of(Three(1))]) == (1.0, 101.0)


def test_with_one_slow_agent_among_twelve_fast_ones_facts_are_known_three_times_sooner():
    """Half of what sixty jobs derive is known by a third of the time; the slow agent ends when it ends."""
    known: dict[str, list[float]] = {"lockstep": [], "frontier": []}
    for seed in range(60):
        agents, facts = any_net(random.Random(seed))
        for schedule, times in known.items():
            job = timed(agents, facts, one_slow(agents, random.Random(seed)), schedule=schedule)
            times += [job.known_at[fact] for fact, round in job.rounds.items() if round]
    assert statistics.median(known["lockstep"]) > 3 * statistics.median(known["frontier"])


def any_net(order: random.Random) -> tuple[list[Agent], list[Fact]]:
    """Return thirteen agents, a third of them not monotone, that read and write some of eight kinds, and four facts."""
    places = range(len(KINDS), len(EVERY))
    plan = [
        Plan(
            order.choice(("each", "each", "whole")),
            tuple(order.sample(places, order.randint(1, 2))),
            order.choice(places),
            order.randrange(VALUES),
        )
        for _ in range(13)
    ]
    return agents_of(plan), [order.choice(CELLS)(order.randrange(VALUES)) for _ in range(4)]


def one_slow(agents: Sequence[Agent], order: random.Random) -> Duration:
    usual = {agent.name: order.uniform(0.05, 0.2) for agent in agents}
    usual[order.choice(sorted(usual))] = 10.0
    return lambda agent: usual[agent] * order.uniform(0.3, 3.0)
