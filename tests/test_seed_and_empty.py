"""Jobs with little or nothing in them behave as the laws say: they end at once, honestly, and start from nothing."""

import pytest

from converge import Engine, Fact, Live, Outcome, RootIntent, StopReason, View, agent, invariant, run
from converge.errors import WiringInvalid
from converge.stores import MemoryStore
from converge.trace import Activated, JobStarted, JobStopped


class Option(Fact):
    name: str


class Finding(Fact):
    text: str


@agent(reads=Option, writes=Finding)
def examine(view: View):
    return [Finding(f"{option.name} is there").because(option) for option in view.new(Option)]


@agent(reads=Option, writes=Finding, when="settled")
def none_found(view: View):
    return Finding("none was found") if view.absent(Option) else None


def activated(outcome: Outcome) -> list[str]:
    return [event.agent for event in outcome.trace if isinstance(event, Activated)]


# --- a seed agent ----------------------------------------------------------------------------------------------------


@agent(writes=Option)
def seed(view: View):
    return [Option(word) for word in view.intent.objective.split()]


def test_a_seed_agent_that_reads_only_the_intent_starts_a_job_from_nothing():
    """It has the root intent as unread, so it runs once, and what it says wakes the others."""
    outcome = run([seed, examine], "north south")
    assert outcome.converged
    assert activated(outcome) == ["seed", "examine"]
    assert {finding.text for finding in outcome.context.live(Finding)} == {"north is there", "south is there"}


def test_what_a_seed_agent_says_rests_on_the_root_intent():
    """Every derived fact has evidence; only facts from outside have none."""
    outcome = run([seed, examine], "north")
    proof = outcome.why(Finding("north is there"))
    assert proof.premises() == (RootIntent("north"),)
    assert outcome.why(Option("north")).agent == "seed"


@pytest.mark.asyncio
async def test_a_seed_agent_does_not_run_again_on_resume():
    """The intent has been read."""
    engine = Engine([seed, examine])
    await engine.run("north", job_id="one")
    again = await engine.resume("one", [Option("south")])
    assert activated(again).count("seed") == 1
    assert len(again.context.live(Finding)) == 2


def test_the_root_intent_can_be_read_as_a_kind():
    """Its readers are woken by it like those of any other premise."""

    @agent(reads=RootIntent, writes=Option)
    def read_it(view: View):
        return [Option(intent.objective).because(intent) for intent in view.new(RootIntent)]

    assert run([read_it], "north").context.live(Option) == (Option("north"),)


# --- nothing was found -----------------------------------------------------------------------------------------------


def test_a_settled_agent_says_that_none_was_found_on_an_empty_context():
    """It runs when all else is quiet, be it from the start."""
    outcome = run([examine, none_found], "look")
    assert outcome.converged
    assert activated(outcome) == ["none_found"]
    assert outcome.context.live(Finding) == (Finding("none was found"),)


@pytest.mark.asyncio
async def test_that_none_was_found_falls_when_one_is_found():
    """The conclusion is not drawn again, so it no longer holds, though its evidence does."""
    engine = Engine([examine, none_found])
    await engine.run("look", job_id="one")
    late = await engine.resume("one", [Option("north")])
    assert late.converged
    assert late.context.live(Finding) == (Finding("north is there"),)
    assert late.context.dead(Finding) == (Finding("none was found"),)
    assert late.live_digest == (await engine.run("look", [Option("north")])).live_digest


@pytest.mark.asyncio
async def test_that_none_was_found_returns_when_the_one_is_invalidated():
    """Drawn again, it holds again."""
    engine = Engine([examine, none_found])
    await engine.run("look", [Option("north")], job_id="one")
    late = await engine.resume("one", [Option("north").invalidate("a mirage")])
    assert late.context.live(Finding) == (Finding("none was found"),)


def test_an_agent_with_a_live_read_runs_on_an_empty_context_too():
    """Whether there is nothing is a question to it as well."""

    @agent(reads=Live(Option), writes=Finding)
    def count(view: View):
        return Finding(f"{view.count(Option)} found")

    assert run([count], "look").context.live(Finding) == (Finding("0 found"),)


# --- nothing is said -------------------------------------------------------------------------------------------------


def test_an_agent_that_returns_none_completes_and_adds_nothing():
    """Silence is an answer: it is not run again, and the job converges."""

    @agent(reads=Option, writes=Finding)
    def silent(view: View):
        return None

    outcome = run([silent], "look", [Option("north")])
    assert outcome.converged
    assert activated(outcome) == ["silent"]
    assert (outcome.spend.facts, outcome.spend.activations, outcome.warnings) == (0, 1, ())


# --- nothing is given ------------------------------------------------------------------------------------------------


def test_a_job_whose_inputs_nobody_wrote_converges_with_a_warning():
    """The kind is named: it may be a spelling mistake, or there may really be none."""
    outcome = run([examine], "look")
    assert outcome.converged
    assert activated(outcome) == []
    assert outcome.warnings == ("no fact of kind Option was given and no agent writes it",)


def test_a_given_input_is_not_warned_about():
    """Nor is one that an agent may write, whether or not it did."""
    assert run([examine], "look", [Option("north")]).warnings == ()
    assert run([seed, examine], "").warnings == ()


@pytest.mark.asyncio
async def test_a_missing_input_is_warned_about_once_in_a_job():
    """However often the job is resumed, and resuming it adds nothing."""
    engine = Engine([examine])
    first = await engine.run("look", job_id="one")
    again = await engine.resume("one")
    assert (await engine.resume("one")).warnings == first.warnings
    assert (again.cycles, list(again.trace)) == (first.cycles, list(first.trace))


@pytest.mark.asyncio
async def test_an_input_that_comes_late_is_no_longer_missing():
    """The job goes on as if it had been there."""
    engine = Engine([examine])
    await engine.run("look", job_id="one")
    late = await engine.resume("one", [Option("north")])
    assert late.live_digest == (await engine.run("look", [Option("north")])).live_digest


def test_an_input_that_the_engine_was_not_told_of_is_refused():
    """Where inputs are listed, what nobody writes and the list omits is a mistake."""
    with pytest.raises(WiringInvalid, match=r"kind Option is read and no agent writes it"):
        Engine([examine], inputs=[])
    assert run(Engine([examine], inputs=[Option]), "look").converged


# --- nobody is there -------------------------------------------------------------------------------------------------


def test_a_job_without_agents_converges_at_once():
    """Nobody would add anything, which is what a fixed point is."""
    outcome = run([], "nothing to do")
    assert outcome.converged
    assert (outcome.spend.rounds, outcome.spend.activations, outcome.spend.facts) == (0, 0, 0)
    assert [type(event) for event in outcome.trace] == [JobStarted, JobStopped]


def test_a_job_without_agents_keeps_the_facts_it_was_given():
    """Declared as inputs, they are premises like any other."""
    outcome = run(Engine([], inputs=[Option]), "remember", [Option("north")])
    assert outcome.context.live(Option) == (Option("north"),)
    assert outcome.why(Option("north")).agent is None


def test_a_job_without_agents_can_still_be_unaccepted():
    """The intent is asked for its success in an empty job as well."""

    @invariant
    def something(view: View) -> bool:
        return not view.absent(Option)

    outcome = run(Engine([], invariants=[something], inputs=[Option]), RootIntent("find", success=("something",)))
    assert outcome.stop.reason is StopReason.UNACCEPTED


@pytest.mark.asyncio
async def test_a_job_without_agents_can_be_resumed_by_an_engine_that_has_some():
    """They are new to it and read all there is."""
    store = MemoryStore()
    await Engine([], store=store, inputs=[Option]).run("look", [Option("north")], job_id="one")
    outcome = await Engine([examine], store=store).resume("one")
    assert outcome.context.live(Finding) == (Finding("north is there"),)


def test_the_digest_of_an_empty_job_is_that_of_its_intent():
    """Two jobs about nothing differ by what they are for, and by nothing else."""
    assert run([], "one").digest == run([examine], "one").digest
    assert run([], "one").digest != run([], "other").digest
