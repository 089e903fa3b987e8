"""Many agents, many facts: they reach their fixed point, and cost grows with what changed."""

import pytest

from converge import Budget, Engine, Fact, RootIntent, StopReason, View, agent
from converge_stores import SQLiteStore


class Tick(Fact):
    n: int


class Echo(Fact):
    listener: int
    n: int


def listener(number: int):
    @agent(name=f"listener-{number}", reads=Tick, writes=Echo)
    async def listen(view: View):
        for tick in view.new(Tick):
            yield Echo(listener=number, n=tick.n).because(tick)

    return listen


@agent(reads=Tick, writes=Echo)
def burst(view: View):
    for tick in view.new(Tick):
        for number in range(10_000):
            yield Echo(listener=number, n=tick.n).because(tick)


@pytest.mark.asyncio
async def test_a_thousand_agents_reach_their_fixed_point():
    """One fact for each of a thousand, and each of them answers once."""
    outcome = await Engine(listener(number) for number in range(1_000)).run("listen", [Tick(0)])
    assert outcome.converged
    assert len(outcome.context.live(Echo)) == 1_000
    assert outcome.spend.activations == 1_000


@pytest.mark.asyncio
async def test_a_hundred_thousand_facts_reach_their_fixed_point_and_resume(tmp_path):
    """They are kept in a file; one more fact wakes one agent, and only for what is new."""
    engine = Engine([burst], store=SQLiteStore(tmp_path / "many.db"))
    first = await engine.run(RootIntent("many", budget=Budget(facts=200_000)), [Tick(n) for n in range(10)])
    assert first.stop.reason is StopReason.FIXED_POINT
    assert first.spend.facts == 100_000
    later = await engine.resume(first.job_id, [Tick(10)])
    assert later.converged
    assert later.spend.activations == first.spend.activations + 1
    assert later.spend.facts == 110_000
