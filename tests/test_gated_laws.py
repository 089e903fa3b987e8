"""Jobs that are random and gated keep every law that jobs keep: gates, opinions and decisions are facts like others.

A plan of tests/jobs.py says what an agent concludes; a gate, by name, says what must come of it before it is believed.
People decide by the id of what they are asked, so that they decide alike whenever they are.
"""

import asyncio
import dataclasses
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from converge import (
    Decision,
    Engine,
    Fact,
    Invalidation,
    Live,
    Opinion,
    Outcome,
    Proposal,
    SameAs,
    View,
    agent,
    corroborated_by,
    human,
    id_of,
    judged_by,
    min_confidence,
    same_as,
)
from converge.agent import Agent
from converge.deciding import asked
from converge.errors import WiringInvalid
from converge.fact import Assertion
from converge.gate import Steps, steps_of
from converge.wiring import Wiring
from converge_stores import MemoryStore
from tests.jobs import EVERY, KINDS, VALUES, Plan, Play, agents_of, cells, digests, nets, plans, play
from tests.jobs import premises as given_facts
from tests.test_frontier import FIRM, LIVELY, assert_same
from tests.timing import JOBS, TIMINGS, Timed, any_durations, even, timed, timed_on

North, *_ = KINDS
UNGATED = ("strike", "unmark", "revise")  # what they mark would pass by a gate
STEADY = ("seed", "each", "pair", "strike", "sum", "count", "none", "best", "replace", "each", "each")
orders = st.integers(0, 2**16).map(random.Random)
salts = st.integers(0, 4)


class Gated(NamedTuple):
    """An agent's plan, and the names of the steps of its gate; none for an agent without one."""

    plan: Plan
    steps: tuple[str, ...] = ()


# --- gates, by name --------------------------------------------------------------------------------------------------


def steps(gated: Gated) -> Steps:
    """Return the steps that a gate is made of."""
    plan = gated.plan

    def parity(fact: Any) -> object:
        return (fact.n + plan.n) % 2 == 0 or f"{fact.n} does not suit {plan.n}"

    def around(fact: Any, view: View) -> bool:
        return plan.shape == "seed" or (view.count(EVERY[plan.reads[0]]) + fact.n) % 2 == 0

    known: dict[str, Any] = {
        "parity": parity,
        "around": around,
        "sure": min_confidence(0.5),
        "alike": corroborated_by(2),
        "judge": judged_by("judge"),
        "moody": judged_by("moody"),
        "lead": human("lead"),
        "counsel": human("counsel"),
    }
    return steps_of([known[name] for name in gated.steps])


COMPUTED = ("parity", "around", "sure", "alike", "judge", "moody")


@st.composite
def jobs(draw: st.DrawFn, shapes: Sequence[str] = FIRM) -> list[Gated]:
    """Draw the agents of a job, most of them gated; those that would close a forbidden circle are left out."""
    return wirable([draw(gates(plan)) for plan in draw(plans(shapes=shapes))])


@st.composite
def gated_nets(draw: st.DrawFn) -> list[Gated]:
    """Draw agents that may read what they reach, as above."""
    return wirable([draw(gates(plan)) for plan in draw(nets((*LIVELY, "strike", "strike")))])


def wirable(several: Iterable[Gated]) -> list[Gated]:
    """Leave out, one by one, those that would close a circle through one that replaces, gates included."""
    kept: list[Gated] = []
    for gated in several:
        if _is_wirable([*kept, gated]):
            kept.append(gated)
    return kept


def gates(plan: Plan) -> st.SearchStrategy[Gated]:
    if plan.shape in UNGATED:
        return st.just(Gated(plan))
    computed = st.lists(st.sampled_from(COMPUTED), max_size=2, unique=True)
    people = st.sampled_from([(), (), ("lead",), ("lead", "counsel")])
    return st.builds(lambda some, others: Gated(plan, (*some, *others)), computed, people)


def _is_wirable(several: Sequence[Gated]) -> bool:
    try:
        Wiring(agents_for(several))
    except WiringInvalid:
        return False
    return True


# --- the agents of a job ---------------------------------------------------------------------------------------------


def agents_for(several: Sequence[Gated]) -> list[Agent]:
    """Return one agent for each plan, and those who judge and compare what these propose."""
    agents = [
        _suggesting(one, gated) if gated.steps else one
        for one, gated in zip(agents_of(gated.plan for gated in several), several, strict=True)
    ]
    kinds = tuple(dict.fromkeys(kind for one in agents for kind in one.proposals))
    asked_for = {step for gated in several for step in gated.steps}
    validators = {"judge": _judge, "moody": _moody, "alike": _thesaurus}
    return agents + [validators[name](kinds) for name in sorted(asked_for & validators.keys())]


def _suggesting(one: Agent, gated: Gated) -> Agent:
    """Return an agent that suggests what it would state, more or less sure of it."""

    def run(view: View) -> Iterator[Any]:
        fact: Any
        for said in one.run(view) or ():
            fact, evidence = said if isinstance(said, Assertion) else Assertion(said, ())
            suggestion = fact.propose((fact.n + gated.plan.n) % VALUES / VALUES)
            yield suggestion.because(*evidence) if evidence else suggestion

    return dataclasses.replace(one, run=run, gate=steps(gated))


def _judge(kinds: Sequence[Any]) -> Agent:
    @agent(reads=kinds, writes=Opinion)
    def judge(view: View):
        for proposal in (one for kind in kinds for one in view.new(kind)):
            passed = (proposal.fact.n + len(proposal.by)) % 3 != 0
            yield Opinion(id_of(proposal), "judge", passed, f"{proposal.fact.n}").because(proposal)

    return judge


def _moody(kinds: Sequence[Any]) -> Agent:
    """Return an agent that holds of all proposals what the number of some facts says."""

    @agent(reads=[Live(North), *map(Live, kinds)], writes=Opinion)
    def moody(view: View):
        count = view.count(North)
        for proposal in (one for kind in kinds for one in view.live(kind)):
            passed = (count + proposal.fact.n) % 2 == 0
            yield Opinion(id_of(proposal), "moody", passed, f"{count}").because(proposal)

    return moody


def _thesaurus(kinds: Sequence[Any]) -> Agent:
    @agent(reads=kinds, writes=SameAs)
    def thesaurus(view: View):
        every = [one for kind in kinds for one in view.all(kind)]
        for one in every:
            for other in every:
                if id_of(one) < id_of(other) and one.fact != other.fact and (one.fact.n + other.fact.n) % 3 == 0:
                    yield same_as(one, other).because(one, other)

    return thesaurus


# --- people ----------------------------------------------------------------------------------------------------------


def decided(view: View, salt: int) -> list[Fact]:
    """Return what people decide of what a job asks; by `salt` some of them do not decide."""
    return [decision for one in asked(view) for decision in _decisions(one, salt)]


def _decisions(one: Any, salt: int) -> Iterator[Decision]:
    number = int(one.id[-4:], 16) + salt
    if number % 5 < 2:
        yield Decision(one.id, "approve", by=one.role, reason=f"{number % 3}")
    elif number % 5 == 2:
        yield Decision(one.id, "reject", by=one.role)
    elif number % 5 == 3:
        yield Decision(one.id, "refine", by=one.role, changes={"n": number % VALUES})


def told(job: Play) -> Any:
    """Return all that must be equal, and what is asked."""
    return digests(job.view), job.rounds, job.activations, asked(job.view)


# --- whatever the durations ------------------------------------------------------------------------------------------


@given(jobs(), given_facts(), salts, orders)
@settings(max_examples=JOBS // 2)
def test_frontier_equals_lockstep_for_gated_agents_and_what_people_decide(several, facts, salt, order):
    """In facts, rounds, views, the three digests and what is asked, decision after decision."""
    agents = agents_for(several)
    one = timed(agents, facts, even, schedule="lockstep")
    others = [timed(agents, facts, any_durations(order), schedule="frontier") for _ in range(TIMINGS // 2)]
    for _ in range(3):
        for other in others:
            assert_same(one, other)
            assert asked(one.view) == asked(other.view)
        decisions = decided(one.view, salt)
        one = timed_on(one, decisions, even)
        others = [timed_on(other, decisions, any_durations(order)) for other in others]


@given(gated_nets(), cells(), salts, orders)
@settings(max_examples=JOBS // 4)
def test_so_it_does_in_a_net_where_facts_are_invalidated_late(several, facts, salt, order):
    """What was approved falls with what it was proposed for, in the same rounds."""
    agents, markers = agents_for(several), [fact.invalidate("late") for fact in facts[:2]]
    one = timed(agents, facts, even, schedule="lockstep")
    other = timed(agents, facts, any_durations(order), schedule="frontier")
    for late in (decided(one.view, salt), markers, [marker.invalidate("not so") for marker in markers]):
        one, other = timed_on(one, late, even), timed_on(other, late, any_durations(order))
        assert_same(one, other)


# --- crashes ---------------------------------------------------------------------------------------------------------


@given(jobs(), given_facts(), salts, orders)
@settings(max_examples=JOBS // 4)
def test_a_gated_job_that_crashed_after_any_commit_goes_on_as_if_it_had_not(several, facts, salt, order):
    """Before people decide, and after."""
    agents = agents_for(several)
    whole = timed(agents, facts, even, schedule="lockstep")
    job = timed(agents, facts, any_durations(order), schedule="frontier")
    for kept in range(1, len(job.bodies)):
        assert told(resumed(job, kept, order)) == told(whole)
    decisions, before = decided(whole.view, salt), len(job.bodies)
    whole, job = timed_on(whole, decisions, even), timed_on(job, decisions, any_durations(order))
    for kept in range(before + 1, len(job.bodies)):
        assert told(resumed(job, kept, order)) == told(whole)


def resumed(job: Timed, kept: int, order: random.Random) -> Timed:
    """Return what comes of a job of which only the first rows were kept."""
    return timed_on(dataclasses.replace(job, bodies=job.bodies[:kept]), [], any_durations(order))


# --- late knowledge --------------------------------------------------------------------------------------------------


@given(jobs(shapes=STEADY), given_facts(), given_facts(), salts, st.data())
@settings(max_examples=JOBS // 2)
def test_what_is_decided_invalidated_and_stated_late_leads_to_what_a_run_from_scratch_finds_live(
    several, facts, late, salt, data
):
    """People decide, facts come and go, and what people decided may be taken back: all in portions, or all at once."""
    agents, order = agents_for(several), data.draw(orders)
    job = timed(agents, facts, any_durations(order), schedule="frontier")
    told, none = [*facts], list[Fact]()
    for more in (late, none, late):
        decisions = decided(job.view, salt)
        markers = [fact.invalidate("late") for fact in told if data.draw(st.integers(0, 3)) == 0]
        portion = [fact for fact in (*more, *decisions, *markers) if fact not in told]
        job = timed_on(job, portion, any_durations(order))
        told += portion
    scratch = play(agents, told)
    assert held(job) == held(scratch)
    assert job.view.live_digest() == scratch.view.live_digest()
    assert asked(job.view) == asked(scratch.view)


def held(job: Play) -> set[str]:
    """Return what holds, in words: so that a failure says what differs."""
    kinds = {type(fact) for fact in job.view.facts() if not isinstance(fact, Invalidation)}
    return {repr(fact) for kind in kinds for fact in job.view.live(kind)}


# --- quarantine ------------------------------------------------------------------------------------------------------


@given(jobs(), given_facts(), salts, orders)
@settings(max_examples=JOBS // 4)
def test_whatever_a_gated_agent_suggests_is_believed_because_of_a_proposal_and_its_verdict(several, facts, salt, order):
    """Its own supports are of proposals alone, and those of its gate that state a fact cite one."""
    agents = agents_for(several)
    job = timed(agents, facts, any_durations(order), schedule="frontier")
    job = timed_on(job, decided(job.view, salt), any_durations(order))
    context, gated = job.context, {one.name for one in agents if one.gate}
    for support in context.supports:
        author = context.supports.sources[support.source].agent
        fact = context.facts[support.fact]
        cited = {type(context.facts[place]).__name__.partition("[")[0] for place in context.evidence_of(support)}
        if author in gated:
            assert isinstance(fact, Proposal)
        elif author.removesuffix(".gate") in gated and type(fact) in EVERY:
            assert {"Proposal", "Verdict"} <= cited


# --- tested by the engine --------------------------------------------------------------------------------------------


async def settled(engine: Engine, facts: Iterable[Fact], salt: int) -> Outcome:
    """Run a job, and go on with what people decide as long as they do."""
    outcome = await engine.run("a law", list(facts), job_id="one")
    for _ in range(4):
        if not (decisions := decided(outcome.context, salt)):
            break
        outcome = await engine.resume("one", decisions)
    return outcome


@given(jobs(shapes=STEADY), given_facts(), salts)
@settings(max_examples=JOBS // 5)
def test_a_gated_job_can_be_certified_and_verified(several, facts, salt):
    """Asked once more nobody adds anything, and no other order leads elsewhere."""
    engine = Engine(agents_for(several), store=MemoryStore(), inputs=EVERY)

    async def checked() -> tuple[Any, Any]:
        outcome = await settled(engine, facts, salt)
        return await engine.certify(outcome), await engine.verify("one", 12)

    certificate, report = asyncio.run(checked())
    assert certificate.holds, str(certificate)
    assert report.sound, str(report)


@given(jobs(shapes=STEADY), given_facts(), salts)
@settings(max_examples=JOBS // 5)
def test_a_gated_job_that_begins_again_or_is_forked_keeps_what_people_decided(several, facts, salt):
    """A fork is the same in every support; who begins again knows the decisions from the start."""
    engine = Engine(agents_for(several), store=MemoryStore(), inputs=EVERY)

    async def thrice() -> list[Outcome]:
        outcome = await settled(engine, facts, salt)
        return [outcome, await engine.fork("one"), await engine.restart("one")]

    whole, forked, anew = asyncio.run(thrice())
    assert (forked.proof_digest, str(forked.stop)) == (whole.proof_digest, str(whole.stop))
    assert (anew.live_digest, anew.asked) == (whole.live_digest, whole.asked)
