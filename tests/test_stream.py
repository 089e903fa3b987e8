"""A stream gives the answer of lockstep where agents are monotone, and says so where they are not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Budget, Engine, Fact, Live, agent, run
from converge.stop import StopReason
from tests.jobs import ITEMWISE, MORE, SHAPES, agents_of, cells, nets, plans, wirable
from tests.jobs import premises as given_facts
from tests.timing import JOBS, TIMINGS, any_durations, timed, timed_on


class Offer(Fact):
    price: int


class Lowest(Fact):
    price: int


@agent(reads=Live(Offer), writes=Lowest)
def choose(view):
    best = view.best(Offer, by=lambda offer: -offer.price)
    return [Lowest(best.price)] if best else None


@agent(reads=Offer, writes=Lowest, accepts=lambda view: len(view.new(Offer)) > 1)
def patient(view):
    return [Lowest(offer.price).because(offer) for offer in view.new(Offer)]


@agent(reads=Offer, writes=Lowest)
def each(view):
    return [Lowest(offer.price).because(offer) for offer in view.new(Offer)]


@agent(reads=Offer, writes=Lowest)
def forget(view):
    return [Lowest(min(offer.price for offer in view.new(Offer)))]


ANY = [shape for shape in (*SHAPES, *MORE) if shape not in ("fragile", "fickle", "faint", "nurse")]  # none that fails


def same_answer(agents, facts, order):
    oracle = timed(agents, facts, lambda name: 1.0, schedule="lockstep").view
    for _ in range(TIMINGS):
        job = timed(agents, facts, any_durations(order), schedule="stream")
        assert (job.view.digest(), job.view.live_digest()) == (oracle.digest(), oracle.live_digest())
        assert job.machine.doubts() == ()


@given(plans(shapes=ITEMWISE), given_facts(), st.randoms(use_true_random=False))
@settings(max_examples=JOBS // 2)
def test_agents_that_conclude_fact_by_fact_lead_to_the_same_answer(plan, facts, order):
    """Invalidations included: what is merged is a set, and labels are a function of it."""
    same_answer(agents_of(plan), facts, order)


@given(nets(ITEMWISE), cells(), st.randoms(use_true_random=False))
@settings(max_examples=JOBS // 2)
def test_circles_of_monotone_agents_change_nothing(plan, facts, order):
    """Everybody reads, in the end, everything."""
    same_answer(agents_of(plan), facts, order)


@given(plans(shapes=ANY), given_facts(), st.randoms(use_true_random=False))
@settings(max_examples=JOBS // 2)
def test_an_answer_that_arrival_has_changed_is_in_doubt(plan, facts, order):
    """Whoever replaces, chooses what to read or cites nothing is named, so no difference goes unsaid."""
    agents = agents_of(wirable(plan))
    oracle = timed(agents, facts, lambda name: 1.0, schedule="lockstep").view
    for _ in range(TIMINGS):
        job = timed(agents, facts, any_durations(order), schedule="stream")
        same = (job.view.digest(), job.view.live_digest()) == (oracle.digest(), oracle.live_digest())
        assert same or job.machine.doubts()


@given(nets(ITEMWISE), cells(), st.integers(0, 4), st.randoms(use_true_random=False))
@settings(max_examples=JOBS // 4)
def test_a_stream_that_its_budget_ended_is_in_doubt(plan, facts, rounds, order):
    """Rounds of a stream are its own, so which of them a budget buys is timing, also for monotone agents."""
    job = timed(agents_of(plan), facts, any_durations(order), schedule="stream", budget=Budget(rounds=rounds))
    assert job.stop is not None
    assert bool(job.machine.doubts()) == (job.stop.reason is StopReason.BUDGET)


@given(nets(ITEMWISE), cells(), cells(), st.randoms(use_true_random=False))
@settings(max_examples=JOBS // 4)
def test_what_comes_late_to_a_stream_is_as_if_it_had_been_known(plan, facts, late, order):
    """Premises and markers on premises, whoever was slow before and after."""
    late = [*late, *(fact.invalidate("late") for fact in facts[:2])]
    job = timed(agents_of(plan), facts, any_durations(order), schedule="stream")
    scratch = timed(agents_of(plan), [*facts, *late], any_durations(order), schedule="lockstep").view
    resumed = timed_on(job, late, any_durations(order)).view
    assert (resumed.digest(), resumed.live_digest()) == (scratch.digest(), scratch.live_digest())


@pytest.mark.parametrize("doubtful", [choose, patient, forget])
def test_the_outcome_names_agents_that_are_not_monotone(doubtful):
    """A read of liveness, a condition on the view, a conclusion that cites nothing of what came together."""
    outcome = run(Engine([doubtful], schedule="stream"), "buy", [Offer(3), Offer(2)])
    assert outcome.converged
    assert [doubtful.name in doubt for doubt in outcome.timing_dependent] == [True]


@pytest.mark.parametrize("schedule", ["frontier", "lockstep"])
def test_the_exact_schedules_name_nobody(schedule):
    """Their answer does not depend on timing."""
    assert run(Engine([choose], schedule=schedule), "buy", [Offer(3), Offer(2)]).timing_dependent == ()


def test_a_stream_of_monotone_agents_is_not_in_doubt():
    """Neither in the stream nor in a job that was one once."""
    assert run(Engine([each], schedule="stream"), "buy", [Offer(3)]).timing_dependent == ()


def test_who_is_busy_reads_all_that_came_meanwhile_at_once():
    """Three conclusions of others cost a slow agent one activation in a stream, and three under frontier."""

    @agent(reads=Offer, writes=Offer)
    def outbid(view):
        return [Offer(offer.price + 1).because(offer) for offer in view.new(Offer) if offer.price < 3]

    @agent(reads=Offer, writes=Lowest)
    def slow(view):
        return [Lowest(offer.price).because(offer) for offer in view.new(Offer)]

    def ran(schedule: str) -> list[int]:
        job = timed([outbid, slow], [Offer(0)], lambda name: 60.0 if name == "slow" else 1.0, schedule=schedule)
        return [len(one.shown) for one in job.seen if one.agent == "slow"]

    assert (ran("stream"), ran("frontier")) == ([1, 4], [1, 2, 3, 4])


@pytest.mark.asyncio
async def test_a_job_that_was_streamed_once_says_so_for_ever():
    """A resume under another schedule does not make it exact."""
    engine = Engine([choose], schedule="stream")
    await engine.run("buy", [Offer(3)], job_id="one")
    later = Engine([choose], store=engine.store, schedule="frontier")
    assert (await later.resume("one", [Offer(2)])).timing_dependent
