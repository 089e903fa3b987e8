"""What the three teams conclude leads back to what they were given, and they answer what a newcomer asks."""

from collections.abc import AsyncIterator

import pytest

from converge import Outcome
from converge.fact import Fact, id_of
from converge_agents.teams import contract, incident, strategy
from converge_agents.teams.incident import telemetry
from converge_agents.teams.strategy.script import scripted
from converge_stores.memory import MemoryStore

pytestmark = pytest.mark.asyncio


async def outcomes() -> AsyncIterator[Outcome]:
    async with strategy.build(MemoryStore(), scripted()) as engine:
        first = await engine.run(strategy.intent, facts=strategy.facts())
        yield first
        yield await engine.fork(first.job_id, facts=strategy.regulation())
    yield await contract.build().run(contract.intent, contract.facts())
    if telemetry.folder().is_dir():
        for one in ("high_traffic/test/0", "low_traffic/train/0"):
            yield await incident.build().run(incident.intent, facts=incident.facts_of(one))


def live(outcome: Outcome) -> list[Fact]:
    context = outcome.context
    return [fact for kind in {type(fact) for fact in context.facts()} for fact in context.live(kind)]


async def test_why_of_every_live_fact_ends_in_premises():
    """Every path of every proof, and each agent on it is one of the engine's."""
    async for outcome in outcomes():
        for fact in live(outcome):
            for step in outcome.why(fact).steps():
                assert (step.agent is None) is not bool(step.because)


async def test_every_answer_of_a_model_is_found_behind_a_fact_or_led_to_none():
    """And it is known which: nothing is said to be one of several."""
    async for outcome in outcomes():
        asked = {
            call.question
            for fact in outcome.context.facts()
            if outcome.explained.label(fact) == "live"
            for call in outcome.why(fact).calls
        }
        assert all(call.exact for fact in live(outcome) for call in outcome.why(fact).calls)
        cost = outcome.cost()
        assert cost.spent.tokens == outcome.spend.tokens
        assert (
            sum(part.tokens for part in cost.fates.values()) + cost.other.tokens
            == cost.spent.tokens + cost.earlier.tokens
        )
        assert bool(asked) is bool(outcome.spend.calls)


async def test_a_newcomer_learns_why_this_plan_why_not_that_one_what_it_cost_and_what_it_waits_for():
    """The strategy team, before the board has spoken."""
    async with strategy.build(MemoryStore(), scripted()) as engine:
        outcome = await engine.run(strategy.intent, facts=strategy.facts())
    (conclusion,) = outcome.explained.conclusions()
    why = str(outcome.why(conclusion))
    assert "Optimum [optimise, " in why
    assert "model scripted answered: " in why
    (refused,) = [one for one in outcome.why_not("Option", "chile-branch").hindrances if one.sort == "refused"]
    assert "nobody has estimated its margin" in refused.text
    assert "on proposals that a gate refused" in str(outcome.cost())
    (waiting,) = outcome.why_not("Approval").hindrances
    assert (waiting.sort, id_of(waiting.facts[1])) == ("waiting", outcome.asked[0].id)


async def test_the_jobs_part_where_the_regulation_comes():
    async with strategy.build(MemoryStore(), scripted()) as engine:
        first = await engine.run(strategy.intent, facts=strategy.facts())
        second = await engine.fork(first.job_id, facts=strategy.regulation())
    here, there = first.diff(second).sides
    assert set(there.stated) == set(strategy.regulation())
    assert there.follows
    assert there.others == here.stated == here.follows == ()
    assert here.held
