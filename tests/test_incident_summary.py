"""The incident in a model's words, and what whoever is on call decides: neither changes the ranking."""

import dataclasses

import pytest

from converge import Budget, StopReason, Verdict
from converge.schedule import SCHEDULES
from converge_agents.teams import incident
from converge_agents.teams.incident.kinds import IncidentSummary, Mitigation, RankedCause, SensorFault
from converge_agents.teams.incident.respond import scripted
from tests.test_incident import SHOP, SOME, digests, needs_data, row

FACTS = [*SHOP, row("site", 1, 9), row("cart", 1, 9), row("search", 1, 1)]
BROKEN = SensorFault("cart", "latency")


def responding(schedule="frontier"):
    model = scripted()
    return model, incident.build(model=model, schedule=schedule)


def ranking(outcome):
    ranked = outcome.context.live(RankedCause)
    return sorted((one.target, one.rank, one.node, one.explained_away) for one in ranked)


def with_budget(**limits):
    return dataclasses.replace(incident.intent, budget=Budget(**limits))


@pytest.mark.asyncio
@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_every_schedule_ranks_the_same_and_says_the_same(schedule):
    alone = await incident.build().run(incident.intent, FACTS)
    model, engine = responding(schedule)
    outcome = await engine.run(incident.intent, FACTS)
    assert ranking(outcome) == ranking(alone)
    assert outcome.context.live(IncidentSummary) == (
        IncidentSummary("site", "cart", "cart is probably what is broken. If it is not, look at site."),
    )
    assert outcome.stop.reason is StopReason.WAITING
    assert [one.role for one in outcome.asked] == ["on-call"]
    assert len(model.requests) == 1
    await model.aclose()


@needs_data
@pytest.mark.asyncio
@pytest.mark.parametrize("one", SOME)
async def test_a_recorded_incident_is_ranked_the_same_under_every_schedule_with_one_question(one):
    """As without a model, whose words change nothing."""
    alone = await incident.build().run(incident.intent, incident.facts_of(one))
    for schedule in SCHEDULES:
        model, engine = responding(schedule)
        outcome = await engine.run(incident.intent, incident.facts_of(one))
        assert ranking(outcome) == ranking(alone)
        assert len(model.requests) == 1
        await model.aclose()


@pytest.mark.asyncio
async def test_wherever_a_budget_of_activations_ends_going_on_is_one_long_run():
    """Each place to stop says who had more to read, and the model is asked once in all."""
    model, engine = responding()
    whole = await engine.run(incident.intent, FACTS)
    for activations in range(whole.spend.activations):
        asked = len(model.requests)
        part = await engine.run(with_budget(activations=activations), FACTS)
        assert part.stop.reason is StopReason.BUDGET
        assert part.stop.unread
        rest = await engine.resume(part.job_id, budget=Budget())
        assert digests(rest) == digests(whole)
        assert len(model.requests) == asked + 1
    await model.aclose()


@pytest.mark.asyncio
@pytest.mark.parametrize("limits", [{"calls": 0}, {"activations": 3}, {"rounds": 2}])
async def test_a_budget_stop_says_what_is_unread_and_going_on_is_one_long_run(limits):
    model, engine = responding()
    whole = await engine.run(incident.intent, FACTS)
    part = await engine.run(with_budget(**limits), FACTS)
    assert (part.stop.reason, part.stop.detail) == (StopReason.BUDGET, tuple(limits))
    assert part.stop.unread
    rest = await engine.resume(part.job_id, budget=Budget())
    assert rest.stop.reason is StopReason.WAITING
    assert digests(rest) == digests(whole)
    await model.aclose()


@pytest.mark.asyncio
async def test_who_is_on_call_lets_the_job_end():
    model, engine = responding()
    first = await engine.run(incident.intent, FACTS)
    await engine.decide(first.job_id, first.asked[0].id, "approve", by="kim")
    outcome = await engine.resume(first.job_id)
    assert outcome.converged
    assert outcome.context.live(Mitigation) == (Mitigation("site", "cart", "take cart out of service"),)
    assert len(model.requests) == 1
    await model.aclose()


@pytest.mark.asyncio
async def test_a_rejection_is_recorded_with_its_reason():
    model, engine = responding()
    first = await engine.run(incident.intent, FACTS)
    await engine.decide(first.job_id, first.asked[0].id, "reject", by="kim", reason="it takes the orders")
    outcome = await engine.resume(first.job_id)
    assert outcome.converged
    assert not outcome.context.live(Mitigation)
    [refused] = [one for one in outcome.context.live(Verdict) if not one.passed]
    assert "it takes the orders" in refused.reason
    await model.aclose()


@pytest.mark.asyncio
async def test_what_was_approved_falls_with_a_sensor_and_returns_with_it_without_a_call():
    model, engine = responding()
    first = await engine.run(incident.intent, FACTS)
    await engine.decide(first.job_id, first.asked[0].id, "approve", by="kim")
    approved = await engine.resume(first.job_id)
    fallen = await engine.resume(first.job_id, BROKEN)
    assert not [one for one in fallen.context.live(Mitigation) if one.node == "cart"]
    asked = len(model.requests)
    again = await engine.resume(first.job_id, BROKEN.invalidate("it was calibrated the day before"))
    assert again.context.live(Mitigation) == approved.context.live(Mitigation)
    assert len(model.requests) == asked
    assert again.converged
    await model.aclose()
