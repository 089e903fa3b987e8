"""A budget cannot be overshot by concurrency: fifty agents run side by side, whatever order they end in."""

import asyncio
import random
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Agent, Budget, Engine, Fact, Outcome, RootIntent, View, agent, id_of
from converge.testing import VirtualClock
from converge.trace import Activated, ActivationFailed

COUNT = 50


class Task(Fact):
    n: int


class Result(Fact):
    by: int
    n: int


class Watch:
    """Counts what really happens, independent of what the runtime says it spent."""

    def __init__(self) -> None:
        self.open = self.most = self.begun = 0

    def __enter__(self) -> None:
        self.open += 1
        self.begun += 1
        self.most = max(self.most, self.open)

    def __exit__(self, *_: object) -> None:
        self.open -= 1


class Timing(NamedTuple):
    """How long each agent takes, and how much it has to say."""

    seed: int
    emissions: int

    def of(self, number: int, round: int) -> float:
        return random.Random(f"{self.seed} {number} {round}").choice([0.0, 0.5, 1.0, 1.0, 3.0])


def worker(number: int, timing: Timing, watch: Watch, clock: VirtualClock) -> Agent:
    @agent(reads=[Task, Result], writes=Result, name=f"worker {number:02}")
    async def work(view: View):
        with watch:
            await clock.sleep(timing.of(number, view.round))
            for task in view.new(Task):
                for n in range(timing.emissions):
                    yield Result(number, n).because(task)
            await asyncio.sleep(0)
            for result in view.new(Result):
                if result.n == 0 and result.by < 2:
                    yield Result(number, 100 + result.by).because(result)

    return work


async def finish(timing: Timing, *budgets: Budget) -> tuple[list[Outcome], Watch]:
    """Run the job under the first budget and go on under each of the others."""
    watch = Watch()
    async with VirtualClock() as clock:
        engine = Engine([worker(number, timing, watch, clock) for number in range(COUNT)], clock=clock)
        outcomes = [await engine.run(RootIntent("work", budget=budgets[0]), [Task(1)], job_id="job")]
        outcomes += [await engine.resume("job", budget=budget) for budget in budgets[1:]]
    return outcomes, watch


def derived(outcome: Outcome) -> int:
    return len(outcome.context.all(Result))


timings = st.builds(Timing, st.integers(0, 999), st.integers(0, 3))
budgets = st.builds(Budget, rounds=st.integers(0, 4), facts=st.integers(0, 300), activations=st.integers(0, 3 * COUNT))


@given(timings, budgets)
@settings(max_examples=25)
def test_a_budget_is_never_exceeded_with_fifty_concurrent_agents(timing, budget):
    """Counted by the agents themselves and in the context: rounds, derived facts and activations."""
    (outcome,), watch = asyncio.run(finish(timing, budget))
    assert watch.begun == outcome.spend.activations <= budget.activations
    assert derived(outcome) == outcome.spend.facts <= budget.facts
    assert outcome.spend.rounds <= budget.rounds
    assert watch.open == 0


@given(timings, st.lists(budgets, min_size=2, max_size=3))
@settings(max_examples=12)
def test_a_budget_is_never_exceeded_by_going_on_with_fifty_concurrent_agents(timing, allowed):
    """It counts over the whole life of the job."""
    outcomes, watch = asyncio.run(finish(timing, *allowed))
    assert watch.begun == outcomes[-1].spend.activations <= max(budget.activations for budget in allowed)
    assert derived(outcomes[-1]) <= max(budget.facts for budget in allowed)


@given(timings, st.lists(budgets, max_size=2))
@settings(max_examples=12)
def test_going_on_with_fifty_concurrent_agents_equals_one_long_run(timing, allowed):
    """However often a budget cut the job short, and whoever was slow."""
    (whole,), _ = asyncio.run(finish(timing, Budget()))
    *_, last = asyncio.run(finish(timing, *allowed, Budget()))[0]
    assert (last.digest, last.live_digest, last.proof_digest) == (whole.digest, whole.live_digest, whole.proof_digest)


def concluded(outcome: Outcome) -> list[tuple[object, ...]]:
    return sorted(event[1:4] for event in outcome.trace if isinstance(event, Activated))


@given(timings, timings)
@settings(max_examples=12)
def test_who_is_slow_changes_no_result(one, other):
    """Fifty agents that end in another order lead to the same three digests and the same trace of conclusions."""
    other = other._replace(emissions=one.emissions)
    (first,), _ = asyncio.run(finish(one, Budget()))
    (second,), _ = asyncio.run(finish(other, Budget()))
    assert (first.digest, first.live_digest, first.proof_digest) == (
        second.digest, second.live_digest, second.proof_digest,
    )  # fmt: skip
    assert concluded(first) == concluded(second)


def test_the_fifty_agents_truly_run_side_by_side():
    """Otherwise this file would test nothing."""
    (outcome,), watch = asyncio.run(finish(Timing(1, 2), Budget()))
    assert outcome.converged
    assert watch.most == COUNT
    assert watch.begun == 3 * COUNT


@given(st.integers(0, 999), st.floats(0, 4))
@settings(max_examples=12)
def test_what_was_in_flight_when_the_clock_ran_out_is_unread_and_counts_as_spent(seed, seconds):
    """A job ended by the clock holds whole rounds only, and going on finds everything."""
    timing = Timing(seed, 2)
    outcomes, watch = asyncio.run(finish(timing, Budget(seconds=seconds), Budget()))
    cut, last = outcomes
    assert cut.spend.activations <= watch.begun
    assert cut.stop.reason in ("budget", "fixed_point")
    (whole,), _ = asyncio.run(finish(timing, Budget()))
    assert {id_of(fact) for fact in cut.context.all(Result)} <= {id_of(fact) for fact in whole.context.all(Result)}
    assert (last.digest, last.proof_digest) == (whole.digest, whole.proof_digest)


def test_fifty_failures_at_once_are_fifty_failures():
    """Each recorded with its agent, none of them lost and none in the way of another."""

    def broken(number: int) -> Agent:
        @agent(reads=Task, name=f"broken {number:02}")
        async def fail(view: View):
            await asyncio.sleep(0)
            raise ValueError(number)

        return fail

    outcome = asyncio.run(Engine([broken(number) for number in range(COUNT)]).run("work", [Task(1)]))
    failed = [event.agent for event in outcome.trace if isinstance(event, ActivationFailed)]
    assert failed == [f"broken {number:02}" for number in range(COUNT)]
    assert len(outcome.stop.detail) == COUNT
