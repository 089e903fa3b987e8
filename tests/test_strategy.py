"""The strategy job finds what brute force finds, and a late regulation takes away exactly what rested on it."""

import itertools
import json
import random
from collections.abc import Iterable
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

import pytest

import converge
from converge import Engine, Fact, Outcome, StopReason, id_of
from converge.cli import execute
from converge.cli.exit_codes import ExitCode
from converge.trace import Activated
from converge_agents.teams import strategy
from converge_agents.teams.strategy.appraise import narrowed, prudent, valued
from converge_agents.teams.strategy.kinds import (
    Approval,
    Criterion,
    Estimate,
    Feasible,
    Limit,
    Mandate,
    Optimum,
    Option,
    Plan,
    Rank,
    Recommendation,
    Referral,
    Regulation,
    Risk,
    Score,
    Value,
    Worth,
)
from converge_stores.memory import MemoryStore

FOLDER = Path(strategy.__file__).parent
READERS_OF_A_REGULATION = {"comply", "admit", "optimise", "rank", "explain", "approve", "refer", "approve.gate"}

Row = dict[str, Any]
Table = dict[str, list[Row]]


# An independent brute force: plain JSON, exact fractions, none of the project's code.


def read_table(*names: str) -> Table:
    table: Table = {}
    for name in names:
        for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            table.setdefault(row["kind"], []).append(row["fact"])
    return table


def spoken(asked: str) -> list[Row]:
    """What the shipped script says to the question that begins so."""
    lines = map(json.loads, (FOLDER / "answers.jsonl").read_text(encoding="utf-8").splitlines())
    return [item for line in lines if line["asked"] == asked for item in line["said"]["items"]]


def suggested_options(table: Table) -> list[Row]:
    """The leads that are pitched, that nothing speaks against, and that have an estimate for all that takes one."""
    needed = {criterion["name"] for criterion in table["Criterion"] if criterion["group"] != "risk"}
    found = []
    for lead in table.get("Lead", []):
        known = {estimate["criterion"] for estimate in table["Estimate"] if estimate["option"] == lead["name"]}
        pitched = spoken(f"Is there an option in the lead {lead['name']}?")
        passed = [judgement["passed"] for judgement in spoken(f"What speaks against {lead['name']}?")]
        if pitched and passed == [True] and needed <= known:
            found.append({field: lead[field] for field in ("name", "country", "region", "mode")})
    return found


def suggested_risks(table: Table) -> list[Row]:
    """What may go wrong by an observation, if that is likely to be a risk and not all but certain."""
    said = [
        item["fact"] | {"option": seen["option"], "confidence": item["confidence"]}
        for seen in table.get("Observation", [])
        for item in spoken(f"What may go wrong with {seen['option']}, going by the {seen['source']}?")
    ]
    return [risk for risk in said if risk["confidence"] >= 0.5 and risk["probability"] < 900]


def amount_of(table: Table, option: str, criterion: Row) -> int:
    if criterion["group"] == "risk":
        risks = [risk for risk in table["Risk"] if risk["option"] == option]
        return ceil(sum((Fraction(risk["probability"] * risk["impact"], 1000) for risk in risks), Fraction(0)))
    mine = [e for e in table["Estimate"] if (e["option"], e["criterion"]) == (option, criterion["name"])]
    low, high = max(Fraction(e["low"]) for e in mine), min(Fraction(e["high"]) for e in mine)
    if low > high:
        low, high = min(Fraction(e["low"]) for e in mine), max(Fraction(e["high"]) for e in mine)
    optimism = Fraction(criterion["optimism"], 100)
    if criterion["best"] > criterion["worst"]:
        return floor(low + (high - low) * optimism)
    return ceil(high - (high - low) * optimism)


def points_of(criterion: Row, amount: int) -> int:
    share = Fraction(amount - criterion["worst"], criterion["best"] - criterion["worst"])
    return int(criterion["weight"]) * floor(10_000 * min(max(share, Fraction(0)), Fraction(1)))


def keeps(limit: Row, plan: tuple[Row, ...], amounts: dict[tuple[str, str], int]) -> bool:
    if limit["across"] == "one region":
        regions = [option["region"] for option in plan]
        tried = [regions.count(region) for region in regions]
    else:
        tried = [amounts[option["name"], limit["measure"]] for option in plan]
        tried = [sum(tried)] if limit["across"] == "plan total" else tried
    return all(found <= limit["bound"] if limit["sense"] == "at most" else found >= limit["bound"] for found in tried)


def brute_force(table: Table) -> list[tuple[int, str]]:
    """All feasible plans as (points, name), the best first, of what is given and what of the suggestions is let in."""
    table = table | {
        "Option": [*table["Option"], *suggested_options(table)],
        "Risk": [*table["Risk"], *suggested_risks(table)],
    }
    forbidden = {(law["country"], law["mode"]) for law in table.get("Regulation", [])}
    options = [option for option in table["Option"] if (option["country"], option["mode"]) not in forbidden]
    amounts = {
        (option["name"], criterion["name"]): amount_of(table, option["name"], criterion)
        for option in options
        for criterion in table["Criterion"]
    }
    found = []
    for plan in [*itertools.combinations(options, 1), *itertools.combinations(options, 2)]:
        if all(keeps(limit, plan, amounts) for limit in table["Limit"]):
            names = sorted(option["name"] for option in plan)
            points = [points_of(c, amounts[name, c["name"]]) for name in names for c in table["Criterion"]]
            found.append((sum(points), " + ".join(names)))
    return sorted(found, key=lambda plan: (-plan[0], plan[1]))


def awaits_the_board(table: Table, plan: str) -> bool:
    """Whether the capital of a plan is within the one mandate, so that it is put to the board."""
    (mandate,) = table["Mandate"]
    (capital,) = [criterion for criterion in table["Criterion"] if criterion["name"] == "capital"]
    return sum(amount_of(table, entry, capital) for entry in plan.split(" + ")) <= int(mandate["capital"])


# What the tests ask of an outcome.


def recommended(outcome: Outcome) -> Recommendation:
    (only,) = outcome.context.live(Recommendation)
    return only


def ranked(outcome: Outcome) -> list[tuple[int, str]]:
    return [(rank.points, rank.plan) for rank in sorted(outcome.context.live(Rank), key=lambda rank: rank.place)]


def activated(outcome: Outcome, after: int) -> set[str]:
    return {event.agent for event in outcome.trace if isinstance(event, Activated) and event.sequence > after}


def as_facts(table: Table) -> list[Fact]:
    return [strategy.engine.kinds[kind].cls(**row) for kind, rows in table.items() for row in rows]


def in_memory() -> Engine:
    return strategy.engine.with_store(MemoryStore())


async def run_from_the_start(facts: Iterable[Fact]) -> Outcome:
    async with in_memory() as engine:
        return await engine.run(strategy.intent, facts=list(facts))


async def run_and_resume(late: Iterable[Fact]) -> tuple[Outcome, Outcome]:
    async with in_memory() as engine:
        first = await engine.run(strategy.intent, facts=strategy.facts())
        return first, await engine.resume(first.job_id, facts=list(late))


async def approved(engine: Engine, outcome: Outcome) -> Outcome:
    """The job after the board has approved what it is asked."""
    assert outcome.stop.reason is StopReason.WAITING
    for one in outcome.asked:
        assert one.role == "board"
        await engine.decide(outcome.job_id, one.id, "approve", by="ada")
    return await engine.resume(outcome.job_id)


async def run_and_approve(facts: Iterable[Fact]) -> Outcome:
    async with in_memory() as engine:
        return await approved(engine, await engine.run(strategy.intent, facts=list(facts)))


async def approve_and_resume(late: Iterable[Fact]) -> tuple[Outcome, Outcome]:
    """The approved job, and what it is with the late facts, before the board has spoken again."""
    async with in_memory() as engine:
        first = await approved(engine, await engine.run(strategy.intent, facts=strategy.facts()))
        return first, await engine.resume(first.job_id, facts=list(late))


def asked_about(outcome: Outcome) -> list[str]:
    """The plans that the board is asked to approve, where the job waits for nothing else."""
    assert outcome.stop.reason is StopReason.WAITING, outcome.stop
    return [one.fact.plan for one in outcome.asked if isinstance(one.fact, Approval) and one.role == "board"]


# The table.


def test_the_table_is_as_large_as_a_real_decision():
    """At least six options by six criteria in intervals, eight limits, and risks for every option; and leads."""
    table = read_table("facts.jsonl")
    options = {option["name"] for option in table["Option"]}
    estimated = {(estimate["option"], estimate["criterion"]) for estimate in table["Estimate"]}
    criteria = {criterion["name"] for criterion in table["Criterion"] if criterion["group"] != "risk"}
    assert len(options) >= 6
    assert len(criteria) >= 6
    assert len(table["Limit"]) >= 8
    assert {pair for pair in estimated if pair[0] in options} == set(itertools.product(options, criteria))
    assert {option for option, _ in estimated} - options <= {lead["name"] for lead in table["Lead"]}
    assert {risk["option"] for risk in table["Risk"]} == options
    assert sum(criterion["weight"] for criterion in table["Criterion"]) == 100


def test_limits_and_law_both_bind():
    """Without the limits, or without the laws of the table, other plans would come first."""
    table = read_table("facts.jsonl")
    assert brute_force(table | {"Limit": []})[0] != brute_force(table)[0]
    assert brute_force(table | {"Limit": [], "Regulation": []})[0] != brute_force(table | {"Limit": []})[0]


# Agents as functions.


CRITERION: Row = {"name": "x", "group": "money", "unit": "k€", "weight": 10, "worst": 0, "best": 100, "optimism": 30}


def test_sources_that_agree_narrow_an_interval_and_sources_that_contradict_widen_it():
    """Overlap where there is one, hull where there is none, in any order."""
    wide, narrow, apart = (
        Estimate(option="a", criterion="x", low=low, high=high, source="s")
        for low, high in [(0, 50), (40, 90), (60, 70)]
    )
    for pair in itertools.permutations([wide, narrow]):
        assert narrowed(pair) == (40, 50)
    for pair in itertools.permutations([wide, apart]):
        assert narrowed(pair) == (0, 70)


def test_a_value_is_taken_on_the_unfavourable_side():
    """More optimism moves it towards the better end, and rounding never flatters."""
    more_is_better = Criterion(**CRITERION)
    less_is_better = Criterion(**CRITERION | {"worst": 100, "best": 0})
    assert prudent(more_is_better, 10, 21) == 13
    assert prudent(less_is_better, 10, 21) == 18


def test_points_end_at_worst_and_best():
    """Linear between worst and best, none below and no more above."""
    criterion = Criterion(**CRITERION)
    points = [valued(criterion, "a", amount).points for amount in (-5, 0, 25, 100, 120)]
    assert points == [0, 0, 25_000, 100_000, 100_000]


# The decision.


@pytest.mark.asyncio
async def test_the_outcome_is_the_brute_force_optimum():
    """Recommendation, optimum and the whole ranking are what enumerating the table gives."""
    outcome = await run_and_approve(strategy.facts())
    expected = brute_force(read_table("facts.jsonl"))
    assert outcome.converged, outcome.stop
    assert outcome.warnings == ()
    assert ranked(outcome) == expected
    assert (recommended(outcome).points, recommended(outcome).plan) == expected[0]
    assert outcome.context.live(Optimum)[0].feasible == len(expected)


@pytest.mark.parametrize("seed", range(25))
def test_any_table_is_decided_as_brute_force_decides_it(seed: int):
    """Whatever the estimates, risks and bounds, the ranking is exact; where no plan is feasible the job says so."""
    chance = random.Random(seed)

    def moved(number: int) -> int:
        return number * chance.randint(80, 125) // 100

    table = read_table("facts.jsonl")
    table["Option"] = table["Option"][:5]
    table["Limit"] = [limit | {"bound": moved(limit["bound"])} for limit in table["Limit"]]
    table["Risk"] = [risk | {"impact": moved(risk["impact"])} for risk in table["Risk"]]
    table["Estimate"] = [
        estimate | dict(zip(("low", "high"), sorted((moved(estimate["low"]), moved(estimate["high"]))), strict=True))
        for estimate in table["Estimate"]
    ]
    outcome = converge.run(in_memory(), strategy.intent, as_facts(table))
    expected = brute_force(table)
    assert ranked(outcome) == expected
    if expected and awaits_the_board(table, expected[0][1]):
        assert asked_about(outcome) == [expected[0][1]]
    else:
        assert outcome.asked == ()
        assert outcome.stop.reason is StopReason.UNACCEPTED
        assert ("is beyond the mandate" if expected else "no plan keeps every limit") in str(outcome.stop)


@pytest.mark.asyncio
async def test_the_reasons_lead_back_to_given_facts():
    """The proof of the recommendation ends in premises only, estimates, limits and options among them."""
    outcome = await run_from_the_start(strategy.facts())
    premises = set(outcome.why(recommended(outcome)).premises())
    assert premises <= set(strategy.facts())
    assert {type(fact) for fact in premises} >= {Option, Criterion, Estimate, Risk, Limit}


@pytest.mark.asyncio
async def test_two_runs_agree():
    """The same facts in another order give the same three digests."""
    first = await run_from_the_start(strategy.facts())
    second = await run_from_the_start(reversed(strategy.facts()))
    assert first.digest == second.digest
    assert first.live_digest == second.live_digest
    assert first.proof_digest == second.proof_digest


@pytest.mark.asyncio
async def test_a_suggestion_that_is_let_in_competes_with_what_is_given():
    """Without the leads there are fewer plans, and another order: brute force saw the same options as the agents."""
    table = read_table("facts.jsonl")
    outcome = await run_from_the_start(strategy.facts())
    names = {option["name"] for option in [*table["Option"], *suggested_options(table)]}
    live = {option.name for option in outcome.context.live(Option)}
    dead = {option.name for option in outcome.context.dead(Option)}
    assert live | dead == names > {option["name"] for option in table["Option"]}
    assert brute_force(table | {"Lead": []}) != brute_force(table)


@pytest.mark.asyncio
async def test_the_board_is_asked_within_the_mandate_and_the_plan_is_referred_beyond_it():
    """The rule compares the plan's capital with the mandate's; only a person's word makes an approval."""
    without = [fact for fact in strategy.facts() if not isinstance(fact, Mandate)]
    within = [*without, Mandate(holder="owners", capital=100_000)]
    waiting = await run_from_the_start(within)
    assert asked_about(waiting) == [recommended(waiting).plan]
    assert waiting.context.live(Approval) == waiting.context.live(Referral) == ()
    after = await run_and_approve(within)
    assert after.converged, after.stop
    assert [approval.plan for approval in after.context.live(Approval)] == [recommended(after).plan]

    beyond = await run_from_the_start([*without, Mandate(holder="owners", capital=0)])
    assert beyond.asked == beyond.context.live(Approval) == ()
    assert [referral.plan for referral in beyond.context.live(Referral)] == [recommended(beyond).plan]
    assert beyond.stop.reason is StopReason.UNACCEPTED
    assert "beyond the mandate of the owners" in str(beyond.stop)


@pytest.mark.asyncio
async def test_an_option_that_was_not_estimated_in_full_is_in_no_feasible_plan():
    """No answer beats a wrong one: a missing value is not read as a harmless one."""
    facts = strategy.facts()
    best = recommended(await run_from_the_start(facts)).plan.split(" + ")[0]
    gone = {f for f in facts if isinstance(f, Estimate) and (f.option, f.criterion) == (best, "margin")}
    outcome = await run_from_the_start(fact for fact in facts if fact not in gone)
    assert outcome.context.absent(Worth, best)
    assert not [feasible for feasible in outcome.context.live(Feasible) if best in feasible.plan]


@pytest.mark.asyncio
async def test_limits_that_no_plan_keeps_end_unaccepted():
    """The job does not recommend the least bad plan; it says that none will do."""
    impossible = Limit(name="no people", measure="staff", across="plan total", sense="at most", bound=0)
    outcome = await run_from_the_start([*strategy.facts(), impossible])
    assert outcome.stop.reason is StopReason.UNACCEPTED
    assert "no plan keeps every limit" in str(outcome.stop)


@pytest.mark.asyncio
async def test_of_two_equal_plans_the_first_by_name_wins():
    """An option that is another one's twin gives plans with equal points, in an order that does not depend on ids."""
    table = read_table("facts.jsonl")
    for kind, name in [("Option", "name"), ("Estimate", "option"), ("Risk", "option")]:
        table[kind] += [row | {name: "a-twin"} for row in table[kind] if row[name] == "india-licence"]
    expected = brute_force(table)
    assert expected[0][0] == expected[1][0]
    assert ranked(await run_from_the_start(as_facts(table))) == expected


@pytest.mark.asyncio
async def test_an_option_described_in_two_ways_is_contested_and_never_combined_with_itself():
    """Both descriptions stay; the job does not choose between them, whatever the board approves."""
    table = read_table("facts.jsonl")
    table["Option"] += [table["Option"][0] | {"region": "elsewhere"}]
    outcome = await run_and_approve(as_facts(table))
    assert outcome.stop.reason is StopReason.CONTESTED
    assert all(len(set(plan.entries)) == len(plan.entries) for plan in outcome.context.all(Plan))


@pytest.mark.asyncio
async def test_two_weights_for_one_criterion_are_contested():
    """Two answers to one question are not settled by taking the last."""
    outcome = await run_from_the_start([*strategy.facts(), Criterion(**CRITERION | {"name": "margin", "unit": "‰"})])
    assert outcome.stop.reason is StopReason.CONTESTED


# A regulation comes late.


@pytest.mark.asyncio
async def test_a_late_regulation_makes_the_runner_up_the_recommendation():
    """It forbids an entry of the winner, and what brute force now finds first was second before."""
    first, second = await approve_and_resume(strategy.regulation())
    assert first.converged, first.stop
    assert asked_about(second) == [recommended(second).plan]
    assert ranked(second) == brute_force(read_table("facts.jsonl", "regulation.jsonl"))
    assert recommended(second).plan == ranked(first)[1][1]


@pytest.mark.asyncio
async def test_the_old_winner_falls_with_all_that_rested_on_it():
    """Option, plans, scores, optimum, recommendation and approval are dead; nothing was deleted."""
    first, second = await approve_and_resume(strategy.regulation())
    old = recommended(first)
    (law,) = strategy.regulation()
    assert isinstance(law, Regulation)
    fallen = [option for option in second.context.dead(Option) if option.country == law.country]
    assert fallen
    assert old.plan in {plan.name for plan in second.context.dead(Plan)}
    assert old.plan in {score.plan for score in second.context.dead(Score)}
    assert old.plan in {optimum.plan for optimum in second.context.dead(Optimum)}
    assert old.plan in {approval.plan for approval in second.context.dead(Approval)}
    assert old in second.context.dead(Recommendation)
    assert old in second.context.all(Recommendation)
    assert not any(option.name in plan.entries for option in fallen for plan in second.context.live(Plan))


@pytest.mark.asyncio
async def test_only_agents_that_read_what_changed_are_activated():
    """Estimators, risk analyst and those who combine, score and check have nothing new to read."""
    first, second = await approve_and_resume(strategy.regulation())
    assert activated(second, after=len(first.trace)) == READERS_OF_A_REGULATION
    assert activated(second, after=0) == activated(first, after=0) > READERS_OF_A_REGULATION


@pytest.mark.asyncio
@pytest.mark.parametrize("option", [row["name"] for row in read_table("facts.jsonl")["Option"]])
async def test_a_late_regulation_agrees_with_one_known_from_the_start(option: str):
    """Whichever option it forbids, what is live in the end does not depend on when it came."""
    (target,) = [fact for fact in strategy.facts() if isinstance(fact, Option) and fact.name == option]
    law = Regulation(name="a new law", country=target.country, mode=target.mode, text="it is forbidden")
    _, late = await run_and_resume([law])
    early = await run_from_the_start([*strategy.facts(), law])
    assert late.live_digest == early.live_digest


@pytest.mark.asyncio
async def test_invalidating_the_regulation_brings_the_old_winner_back():
    """What had fallen rests again on what holds: the same facts are live as before the law."""
    (law,) = strategy.regulation()
    async with in_memory() as engine:
        first = await approved(engine, await engine.run(strategy.intent, facts=strategy.facts()))
        await engine.resume(first.job_id, facts=[law])
        last = await engine.resume(first.job_id, facts=[law.invalidate("struck down by a court")])
    assert last.converged, last.stop
    assert recommended(last) == recommended(first)
    assert ranked(last) == ranked(first)


@pytest.mark.asyncio
async def test_a_regulation_about_something_else_changes_no_answer():
    """It is read by compliance and wakes nobody else."""
    elsewhere = Regulation(name="elsewhere", country="Iceland", mode="branch", text="no branches")
    first, second = await run_and_resume([elsewhere])
    assert recommended(second) == recommended(first)
    assert activated(second, after=len(first.trace)) == {"comply"}


@pytest.mark.asyncio
async def test_a_late_estimate_replaces_the_value_it_changes():
    """The old value, worth and scores fall; the answer is that of a run that knew it all along."""
    estimate = Estimate(option="germany-partner", criterion="margin", low=225, high=226, source="signed contract")
    first, late = await run_and_resume([estimate])
    early = await run_from_the_start([*strategy.facts(), estimate])
    assert late.live_digest == early.live_digest
    (old,) = first.context.live(Value, ("germany-partner", "margin"))
    assert id_of(old) in {id_of(value) for value in late.context.dead(Value)}


def test_the_command_line_decides_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Run and resume by command, on a file, end in the digest of a run that knew the regulation from the start."""
    kept, target = f"--store=sqlite:///{tmp_path}/jobs.db", "converge_agents.teams.strategy:engine"
    assert execute(["run", target, f"--facts={strategy.FACTS}", kept, "--job=one", "--json"]) == ExitCode.WAITING
    first = json.loads(capsys.readouterr().out)
    assert execute(["resume", target, "one", f"--facts={strategy.REGULATION}", kept, "--json"]) == ExitCode.WAITING
    second = json.loads(capsys.readouterr().out)
    early = converge.run(in_memory(), strategy.intent, [*strategy.facts(), *strategy.regulation()])
    assert first["live_digest"] != second["live_digest"] == early.live_digest
    assert [one["fact"]["plan"] for one in second["asked"]] == asked_about(early) == [recommended(early).plan]

    (request,) = [one["request"] for one in second["asked"]]
    assert execute(["decide", "one", request, "--approve", "--by=ada", kept]) == 0
    capsys.readouterr()
    assert execute(["resume", target, "one", kept, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["answer"]
    approvals = [row["fact"]["plan"] for row in answer if row["kind"] == "Approval"]
    assert approvals == [recommended(early).plan]


def test_the_engine_knows_every_kind_of_its_files():
    """The lines of both files are of kinds that the agents declare, and every kind given from outside is among them."""
    assert set(read_table("facts.jsonl", "regulation.jsonl")) <= set(strategy.engine.kinds)
    assert {type(fact) for fact in strategy.facts()} >= {Option, Criterion, Estimate, Risk, Limit, Regulation, Mandate}
