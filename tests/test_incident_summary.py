"""The incident in a model's words, and what whoever is on call decides: neither changes the ranking."""

import asyncio
import dataclasses

import pytest

from converge import Budget, StopReason, Verdict
from converge.cli.exit_codes import ExitCode
from converge.jsonl import write_facts
from converge.schedule import SCHEDULES
from converge.stores import SQLiteStore
from converge_agents.teams import incident
from converge_agents.teams.incident.kinds import Incident, IncidentSummary, Mitigation, RankedCause, SensorFault
from converge_agents.teams.incident.respond import scripted
from tests.commands import command_line
from tests.test_incident import SHOP, SOME, all_at_once, digests, needs_data, ranked, row

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
    alone, said = await incident.build().run(incident.intent, incident.facts_of(one)), set()
    for schedule in SCHEDULES:
        model, engine = responding(schedule)
        outcome = await engine.run(incident.intent, incident.facts_of(one))
        assert ranking(outcome) == ranking(alone)
        assert len(model.requests) == 1
        said.add((outcome.live_digest, outcome.context.live(IncidentSummary)))
        await model.aclose()
    assert len(said) == 1


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
async def test_without_a_call_the_ranking_is_whole_and_the_summary_is_what_is_unread():
    model, engine = responding()
    outcome = await engine.run(with_budget(calls=0), FACTS)
    assert ranked(outcome) == ["cart", "site"]
    assert not outcome.context.all(IncidentSummary)
    assert [unread.agent for unread in outcome.stop.unread] == ["summarise"]
    assert not model.requests
    await model.aclose()


@pytest.mark.asyncio
async def test_where_nothing_is_ranked_nobody_is_asked():
    model, engine = responding()
    outcome = await engine.run(incident.intent, [*SHOP, row("site", 1, 1)])
    assert outcome.stop.reason is StopReason.UNACCEPTED
    assert not model.requests
    await model.aclose()


@pytest.mark.asyncio
async def test_nothing_is_asked_twice_whoever_goes_on(tmp_path):
    """A resume, another engine on the same file, and a job begun again find what was answered."""
    model, other = scripted(), scripted()
    first = await incident.build(SQLiteStore(tmp_path / "jobs.db"), model).run(incident.intent, FACTS)
    engine = incident.build(SQLiteStore(tmp_path / "jobs.db"), other)
    resumed = await engine.resume(first.job_id)
    again = await engine.restart(first.job_id)
    assert first.proof_digest == resumed.proof_digest == again.proof_digest
    assert (len(model.requests), len(other.requests)) == (1, 0)
    await model.aclose()
    await other.aclose()


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


# The recorded incidents.


@needs_data
@pytest.mark.asyncio
async def test_each_recorded_incident_is_ranked_as_without_a_model_and_summed_up_in_one_question():
    model, engine = responding()
    alone, outcomes = await asyncio.gather(all_at_once(incident.build()), all_at_once(engine))
    assert len(outcomes) == 52
    for one, outcome in outcomes.items():
        assert ranking(outcome) == ranking(alone[one])
        [summary] = outcome.context.live(IncidentSummary)
        assert summary.node == ranked(outcome)[0]
        assert summary.text.startswith(f"{summary.node} is probably")
        assert [asked.fact.node for asked in outcome.asked] == [summary.node]
        assert outcome.spend.calls == 1
    assert len(model.requests) == 52
    await model.aclose()


@needs_data
@pytest.mark.parametrize("one", SOME)
@pytest.mark.asyncio
async def test_what_was_approved_of_a_recorded_incident_falls_and_returns_with_the_sensor(one):
    model, engine = responding()
    first = await engine.run(incident.intent, incident.facts_of(one))
    await engine.decide(first.job_id, first.asked[0].id, "approve", by="kim")
    approved = await engine.resume(first.job_id)
    [mitigation], [noticed] = approved.context.live(Mitigation), approved.context.live(Incident)
    fault = SensorFault(mitigation.node, noticed.metric)
    fallen = await engine.resume(first.job_id, fault)
    assert not fallen.context.live(Mitigation)
    asked = len(model.requests)
    again = await engine.resume(first.job_id, fault.invalidate("it was calibrated the day before"))
    assert (again.converged, again.context.live(Mitigation)) == (True, (mitigation,))
    assert len(model.requests) == asked
    await model.aclose()


# The command line.


def test_by_command_an_incident_waits_is_decided_and_ends(tmp_path, monkeypatch, capsys):
    """Between the commands the job is in the file alone."""
    target = "converge_agents.teams.incident:responding"
    write_facts(tmp_path / "incident.jsonl", FACTS)
    with command_line(tmp_path, {}, monkeypatch, capsys) as cli:
        assert "summarise" in cli("plan", target).out
        assert cli("run", target, "--facts", "incident.jsonl", "--job", "one", "--quiet").code == ExitCode.WAITING
        [asked] = cli("decide", "one", "--json").data["asked"]
        assert (asked["role"], asked["fact"]["node"]) == ("on-call", "cart")
        assert cli("decide", "one", asked["request"], "--approve", "--by", "kim").code == 0
        ended = cli("resume", target, "one", "--json")
    assert ended.code == 0
    approved = [one["fact"] for one in ended.data["answer"] if one["kind"] == "Mitigation"]
    assert approved == [{"target": "site", "node": "cart", "action": "take cart out of service"}]
