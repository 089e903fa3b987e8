"""A job cut at any cycle and resumed is the job that was never cut: nobody is starved, nobody runs twice."""

import asyncio
import dataclasses
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Budget, Engine, Fact, Live, Outcome, RootIntent, agent, id_of
from converge.agent import Agent
from converge.ports import Store
from converge.stores import MemoryStore, SQLiteStore
from converge.trace import Activated, Warned
from tests.jobs import KINDS, LAYERS, PURE, Plan, Play, agents_of, digests, go_on, plans, play
from tests.jobs import premises as given_facts

North, East, South, Middle, Top = KINDS
LOWEST = LAYERS.count(0)  # the kinds before this place are written by no replacing agent
ENOUGH = Budget()


def told(job: Play):
    """Return all that must be equal: digests, the round of every fact, and who completed on which round."""
    return digests(job.view), job.rounds, job.activations, job.stop


def named_supports(job: Play):
    context = job.context
    return [(s.fact, context.supports.sources[s.source], s.round, s.evidence) for s in context.supports]


def cut(agents: list[Agent], facts: list[Fact], rounds: int) -> Play:
    return play(agents, facts, budget=Budget(rounds=rounds))


# --- the machine alone: restored from its rows, as another process would ---------------------------------------------


@given(plans(), given_facts())
@settings(max_examples=40)
def test_a_job_cut_after_any_cycle_goes_on_as_if_it_had_not_been(plan, facts):
    """For every k: stopped by its budget after k rounds and resumed, it ends with the same everything."""
    agents = agents_of(plan)
    whole = play(agents, facts)
    for k in range(whole.spend.rounds):
        resumed = go_on(cut(agents, facts, k), budget=ENOUGH)
        assert told(resumed) == told(whole)


@given(plans(), given_facts())
@settings(max_examples=40)
def test_a_job_cut_after_every_cycle_goes_on_as_if_it_had_not_been(plan, facts):
    """One round a process, however many processes it takes."""
    agents = agents_of(plan)
    whole, job = play(agents, facts), cut(agents, facts, 0)
    for k in range(1, whole.spend.rounds + 1):
        job = go_on(job, budget=Budget(rounds=k))
    assert told(go_on(job, budget=ENOUGH)) == told(whole)


@given(plans(), given_facts())
@settings(max_examples=40)
def test_a_job_that_crashed_after_any_commit_goes_on_as_if_it_had_not(plan, facts):
    """Whatever rows a store still has, from the first on, a resume comes to the same end."""
    agents = agents_of(plan)
    whole = play(agents, facts)
    for kept in range(1, len(whole.bodies)):
        crashed = dataclasses.replace(whole, bodies=whole.bodies[:kept])
        assert told(go_on(crashed)) == told(whole)


@given(plans(), given_facts(), st.lists(st.integers(0, 12), max_size=4))
@settings(max_examples=40)
def test_a_budget_of_activations_cuts_a_round_in_two_and_nobody_can_tell(plan, facts, cuts):
    """Those who were left over read the round they would have read, before anybody reads a later one."""
    agents = agents_of(plan)
    whole, job = play(agents, facts), play(agents, facts, budget=Budget(activations=0))
    for activations in sorted(cuts):
        job = go_on(job, budget=Budget(activations=activations))
    assert told(go_on(job, budget=ENOUGH)) == told(whole)


@given(plans(), given_facts(), st.lists(st.integers(0, 12), max_size=4))
@settings(max_examples=40)
def test_a_budget_of_facts_refuses_whole_effects_and_nobody_can_tell(plan, facts, cuts):
    """What found no room is derived again on the same view, as far as the outcome shows."""
    agents = agents_of(plan)
    whole, job = play(agents, facts), play(agents, facts, budget=Budget(facts=0))
    for room in sorted(cuts):
        job = go_on(job, budget=Budget(facts=room))
    assert told(go_on(job, budget=ENOUGH)) == told(whole)


@agent(reads=East, writes=Middle, when="settled")
def count_easts(view):
    return Middle(view.count(East))


@agent(reads=Middle, writes=East, when="settled")
def count_middles(view):
    return East(view.count(Middle))


@pytest.mark.parametrize("name", ["activations", "facts"])
def test_settled_agents_that_read_each_other_are_never_cut_apart(name):
    """All of a level read one round or none does: one that came later would see what the other had concluded."""
    agents = [count_easts, count_middles]
    whole = play(agents, allow_disputes=True)
    for k in range(whole.spend.activations):
        cut = play(agents, budget=Budget(**{name: k}), allow_disputes=True)
        assert told(go_on(cut, budget=ENOUGH)) == told(whole)


@given(plans(), given_facts())
@settings(max_examples=50)
def test_resuming_a_job_with_nothing_to_do_adds_nothing(plan, facts):
    """Neither a fact nor a support, an event or a row: however often it is resumed."""
    job = play(agents_of(plan), facts)
    again = go_on(go_on(job))
    assert again.bodies == job.bodies
    assert (told(again), list(again.machine.trace)) == (told(job), list(job.machine.trace))


@given(plans(), given_facts())
@settings(max_examples=50)
def test_a_restored_job_is_the_job_that_was_written(plan, facts):
    """Facts, supports, rounds, labels and spend come back from the rows as they were."""
    job = play(agents_of(plan), facts)
    restored = go_on(job)
    assert restored.context.facts == job.context.facts
    assert restored.context.rounds == job.context.rounds
    assert named_supports(restored) == named_supports(job)
    assert restored.context.highest == job.context.highest
    for kind in KINDS:
        assert restored.view.live(kind) == job.view.live(kind)
        assert restored.view.disputed(kind) == job.view.disputed(kind)
    assert restored.spend == job.spend


# --- late facts ------------------------------------------------------------------------------------------------------


def pure_plans() -> st.SearchStrategy[list[Plan]]:
    """Draw agents whose conclusions do not depend on arrival, and none that strikes what a replacing agent concluded.

    A marker is about its target and does not rest on it: one about a conclusion that is replaced later stays live.
    """
    return plans(shapes=PURE).map(lambda drawn: [p for p in drawn if p.shape != "strike" or max(p.reads) < LOWEST])


@given(pure_plans(), given_facts(), given_facts(), st.data())
@settings(max_examples=50)
def test_a_late_fact_or_invalidation_leads_to_what_a_run_from_scratch_finds_live(plan, facts, late, data):
    """Old conclusions fall, new ones are drawn, and the live digest is that of knowing it all from the start."""
    agents = agents_of(plan)
    late = late + [fact.invalidate("late") for fact in facts + late if data.draw(st.booleans())]
    resumed = go_on(play(agents, facts), late)
    assert resumed.view.live_digest() == play(agents, facts + late).view.live_digest()


@given(pure_plans(), given_facts(), st.data())
@settings(max_examples=40)
def test_facts_that_come_late_to_a_job_cut_short_are_no_different(plan, facts, data):
    """However spent the budget was each time something was stated, in the end all of it was read."""
    agents = agents_of(plan)
    markers = {fact: fact.invalidate("late") for fact in facts}
    stated = data.draw(st.permutations([*markers, *markers.values()]))
    for target, marker in markers.items():  # a marker is stated after its target
        here, there = sorted([stated.index(target), stated.index(marker)])
        stated[here], stated[there] = target, marker
    parts = [stated[start : start + 3] for start in range(0, len(stated), 3)] or [[]]
    job = play(agents, parts[0], budget=Budget(rounds=0))
    for part in parts[1:]:
        job = go_on(job, part, budget=Budget(rounds=data.draw(st.integers(0, 8))))
    assert go_on(job, budget=ENOUGH).view.live_digest() == play(agents, stated).view.live_digest()


def test_a_late_fact_wakes_only_the_agents_that_read_it():
    """The others have nothing unread and stay quiet."""

    @agent(reads=North, writes=Middle)
    def norths(view):
        return [Middle(fact.n).because(fact) for fact in view.new(North)]

    @agent(reads=East, writes=Middle)
    def easts(view):
        return [Middle(fact.n).because(fact) for fact in view.new(East)]

    job = play([norths, easts], [North(1), East(1)])
    late = go_on(job, [East(2)])
    assert (late.ran("norths"), late.ran("easts")) == ([0], [0, 2])


def test_a_late_fact_stands_one_round_above_everything_known():
    """So no agent that reads it can have read that round before."""

    @agent(reads=North, writes=East)
    def step(view):
        return [East(fact.n).because(fact) for fact in view.new(North)]

    late = go_on(play([step], [North(1)]), [North(2)])
    assert late.rounds[id_of(North(2))] == 2
    assert late.rounds[id_of(East(2))] == 3


def test_a_late_fact_that_is_known_already_changes_nothing_but_its_support():
    """It is a premise from now on as well, and nobody reads it again."""

    @agent(reads=North, writes=East)
    def step(view):
        return [East(fact.n).because(fact) for fact in view.new(North)]

    job = play([step], [North(1)])
    late = go_on(job, [East(1), North(1)])
    assert late.ran("step") == [0]
    assert late.view.digest() == job.view.digest()
    assert late.view.proof_digest() != job.view.proof_digest()


def test_an_invalidation_that_comes_before_its_round_is_read_reaches_the_readers_of_labels():
    """Facts stated under a spent budget wait in their rounds; what falls there is noticed when the round is reached."""

    @agent(reads=North, writes=East)
    def step(view):
        return [East(fact.n).because(fact) for fact in view.new(North)]

    @agent(reads=Live(East), writes=Top)
    def counter(view):
        return Top(view.count(East))

    @agent(reads=South)
    def bystander(view):
        return None

    agents, spent = [step, counter, bystander], Budget(rounds=0)
    job = play(agents, [North(1)], budget=spent)
    for n in range(3):
        job = go_on(job, [South(n)], budget=spent)
    job = go_on(job, [North(1).invalidate("late")], budget=ENOUGH)
    assert job.view.live(Top) == (Top(0),)


# --- agents that came, went or changed -------------------------------------------------------------------------------


def one_of(version: str, *conclusions: int) -> Agent:
    @agent(reads=North, writes=East, name="thinker", version=version)
    def think(view):
        return [East(n).because(fact) for n in conclusions for fact in view.new(North)]

    return think


@agent(reads=East, writes=Top, when="settled")
def tally(view):
    return Top(view.count(East))


def test_a_new_version_reads_everything_again():
    """Its watermark is empty, and its conclusions take the place of those of the version before."""
    job = go_on(play([one_of("1", 1), tally], [North(0)]), agents=[one_of("2", 2, 3), tally])
    assert set(job.view.live(East)) == {East(2), East(3)}
    assert set(job.view.dead(East)) == {East(1)}
    assert job.view.live(Top) == (Top(2),)


def test_a_new_version_that_concludes_nothing_makes_the_old_conclusions_fall():
    """Its first completed activation is what counts, not that it emitted something; liveness readers are woken."""
    job = go_on(play([one_of("1", 1), tally], [North(0)]), agents=[one_of("2"), tally])
    assert job.view.live(East) == ()
    assert job.view.live(Top) == (Top(0),)


def test_an_old_version_that_comes_back_counts_again():
    """Going back is a version like any other: what it concludes holds, what the one between concluded does not."""
    job = play([one_of("1", 1)], [North(0)])
    for version, conclusion in (("2", 2), ("1", 1)):
        job = go_on(job, agents=[one_of(version, conclusion)])
    assert job.view.live(East) == (East(1),)
    assert job.view.dead(East) == (East(2),)


def test_the_conclusions_of_a_removed_agent_stay():
    """Nobody has said anything against them."""
    job = go_on(play([one_of("1", 1)], [North(0)]), [South(1)], agents=[tally])
    assert job.view.live(East) == (East(1),)
    assert job.view.live(Top) == (Top(1),)


def test_an_agent_that_is_new_to_a_job_reads_all_of_it():
    """It starts with an empty watermark, whatever the others have read."""
    job = go_on(play([one_of("1", 1)], [North(0)]), agents=[one_of("1", 1), tally])
    assert (job.ran("thinker"), len(job.ran("tally"))) == ([0], 1)
    assert job.view.live(Top) == (Top(1),)


def test_a_failed_agent_is_tried_again_on_resume():
    """Nothing has grown, but whoever resumes hopes for better luck."""
    luck = [False, True]

    @agent(reads=North, writes=East)
    def unlucky(view):
        if not luck.pop(0):
            raise ValueError("bad luck")
        return [East(fact.n).because(fact) for fact in view.new(North)]

    job = play([unlucky], [North(1)])
    assert job.stop is not None
    assert job.stop.reason == "agent_failed"
    again = go_on(job)
    assert again.stop is not None
    assert again.stop.reason == "fixed_point"
    assert again.view.live(East) == (East(1),)


def test_what_was_warned_about_once_is_not_warned_about_again():
    """A resume remembers what the trace says."""

    @agent(reads=North, writes=East)
    def vague(view):
        return East(len(view.new(North)))

    job = play([vague], [North(1), North(2)])
    late = go_on(go_on(job), [North(3), South(1)])
    warned = Counter(event.text for event in late.machine.trace if isinstance(event, Warned))
    assert set(warned.values()) == {1}


# --- the engine on real stores ---------------------------------------------------------------------------------------


def ended(outcome: Outcome):
    context = outcome.context._context
    rounds = {id_of(fact): round for fact, round in zip(context.facts, context.rounds, strict=True)}
    ran = Counter((event.agent, event.round) for event in outcome.trace if isinstance(event, Activated))
    return (outcome.digest, outcome.live_digest, outcome.proof_digest), rounds, ran, str(outcome.stop)


async def run_whole_and_in_parts(store: Store, agents: list[Agent], facts: list[Fact]):
    async with Engine(agents, store=store, inputs=KINDS) as engine:
        whole = await engine.run(RootIntent("a law"), facts, job_id="whole")
        yield ended(whole)
        for k in range(whole.spend.rounds):
            job_id = f"cut after {k}"
            await engine.run(RootIntent("a law", budget=Budget(rounds=k)), facts, job_id=job_id)
            yield ended(await engine.resume(job_id, budget=ENOUGH))


async def all_ends(store: Store, agents: list[Agent], facts: list[Fact]):
    return [end async for end in run_whole_and_in_parts(store, agents, facts)]


@given(plans(), given_facts())
@settings(max_examples=12)
def test_a_job_in_memory_is_resumed_at_every_cycle(plan, facts):
    """The library's default store: run, cut after each k-th cycle, resumed by the same engine."""
    whole, *parts = asyncio.run(all_ends(MemoryStore(), agents_of(plan), facts))
    assert [part for part in parts if part != whole] == []


@given(plans(), given_facts())
@settings(max_examples=10)
def test_a_job_in_a_file_is_resumed_at_every_cycle(plan, facts):
    """A real SQLite file, whose rows are all that a resume has."""
    with TemporaryDirectory() as folder:
        whole, *parts = asyncio.run(all_ends(SQLiteStore(Path(folder) / "jobs.db"), agents_of(plan), facts))
    assert [part for part in parts if part != whole] == []


@given(plans(), given_facts())
@settings(max_examples=10)
def test_a_job_in_a_file_is_resumed_by_an_engine_that_never_saw_it(plan, facts):
    """Nothing but the file goes from one process to the next: each round is run by an engine of its own."""

    async def in_steps(path: Path) -> Outcome:
        outcome = await Engine(agents_of(plan), store=SQLiteStore(path), inputs=KINDS).run(
            RootIntent("a law", budget=Budget(rounds=0)), facts, job_id="one"
        )
        while outcome.stop.reason == "budget":
            engine = Engine(agents_of(plan), store=SQLiteStore(path), inputs=KINDS)
            outcome = await engine.resume("one", budget=Budget(rounds=outcome.spend.rounds + 1))
        return outcome

    with TemporaryDirectory() as folder:
        stepped = ended(asyncio.run(in_steps(Path(folder) / "jobs.db")))
    assert stepped == asyncio.run(all_ends(MemoryStore(), agents_of(plan), facts))[0]


@pytest.mark.asyncio
async def test_a_budget_in_a_resume_replaces_the_one_before():
    """It counts from the beginning of the job, and is kept for the resume after."""
    engine = Engine([one_of("1", 1), tally], inputs=KINDS)
    await engine.run(RootIntent("a law", budget=Budget(rounds=0)), [North(1)], job_id="one")
    assert (await engine.resume("one", budget=Budget(rounds=1))).spend.rounds == 1
    assert (await engine.resume("one")).stop.reason == "budget"
    assert (await engine.resume("one", budget=ENOUGH)).converged
