"""A job run again in other orders comes to the same facts; where it does not, who did it is named, and the remedy."""

import random
from collections.abc import Callable, Iterable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Budget, Engine, Fact, Failure, Live, Report, RootIntent, View, agent
from converge.activation import seal
from converge.agent import Agent
from converge.checking.finding import Finding
from converge.checking.trial import singles
from converge.errors import EngineInvalid, JobForeign, JobUnsettled, NonMonotoneRead
from converge_agents.teams import strategy
from converge_stores.memory import MemoryStore
from tests.jobs import KINDS, agents_of, plans, play
from tests.jobs import premises as given_facts

LENGTH, NOISE, ENOUGH = 8, 10, 39


class Start(Fact):
    n: int


class Step(Fact):
    n: int


class Noise(Fact):
    by: str
    n: int


class End(Fact):
    n: int


class Veto(Fact):
    n: int


class Ask(Fact):
    n: int


class Go(Fact):
    n: int


# --- a job to plant things in: a chain of eight steps among ten agents that make noise -------------------------------


def chain(length: int = LENGTH, noise: int = NOISE) -> list[Agent]:
    def link(n: int) -> Agent:
        reads: type[Any] = Step if n else Start

        @agent(name=f"chain-{n}", reads=reads, writes=Step)
        def step(view: View):
            for fact in view.new(reads):
                if not n or fact.n == n - 1:
                    yield Step(n).because(fact)

        return step

    def noisy(n: int) -> Agent:
        @agent(name=f"noise-{n}", reads=Step, writes=Noise)
        async def make_noise(view: View):
            await anyio.lowlevel.checkpoint()
            for fact in view.new(Step):
                if fact.n % (n + 1) == 0:
                    yield Noise(f"{n}", fact.n).because(fact)

        return make_noise

    return [*map(link, range(length)), *map(noisy, range(noise))]


def short() -> list[Agent]:
    """Return a chain for what shows anywhere."""
    return chain(3, 2)


def at_the_end(name: str, writes: type[Any], when: Callable[[], bool] = lambda: True) -> Agent:
    """Return an agent that concludes something from the last step of the chain."""

    @agent(name=name, reads=Step, writes=writes)
    def conclude(view: View):
        for step in view.new(Step):
            if step.n == LENGTH - 1 and when():
                yield writes(step.n).because(step)

    return conclude


def checked(
    agents: Iterable[object], schedules: int | None = None, *, facts: Iterable[Fact] = (Start(0),), stream: bool = False
) -> Report:
    """Run a job and verify it."""

    async def main() -> Report:
        engine = Engine(agents)
        await engine.run("plant something", facts, job_id="planted")
        return await engine.verify("planted", schedules, stream=stream)

    return anyio.run(main)


def defect(report: Report) -> Finding:
    assert not report.sound
    (found,) = report.defects
    return found


def warning(report: Report) -> Finding:
    assert report.sound, report
    (found,) = report.warnings
    return found


# --- what lies outside of the views ----------------------------------------------------------------------------------


def sharing(name: str, when: Callable[[list[int]], bool]) -> list[Agent]:
    """Return two agents that share a list: whoever runs first at the end of the chain decides."""
    seen: list[int] = []

    @agent(name=name, reads=Step, writes=End)
    def write(view: View):
        for step in view.new(Step):
            if step.n == LENGTH - 1:
                seen.append(step.n)
                yield End(step.n).because(step)

    return [write, at_the_end("reader", Go, lambda: when(seen))]


@pytest.mark.parametrize("name", ["a-writer", "writer"])
@pytest.mark.parametrize("when", [bool, lambda seen: not seen], ids=["if any", "if none"])
def test_two_agents_that_share_a_list_are_found_and_named(name, when):
    """Under the job's own schedule, behind eight steps and ten others, whichever of the two ran first."""
    found = defect(checked([*chain(), *sharing(name, when)], ENOUGH))
    assert found.number <= ENOUGH
    assert (found.agent, found.round, found.read, found.text) == ("reader", LENGTH, "seen", f"Go(n={LENGTH - 1})")
    assert f"emits other facts from the same view of round {LENGTH}" in found.what
    assert f"it reads `seen`, a list that agent {name} holds too" in found.what
    assert f"make it a fact that {name} writes and reader reads" in found.remedy


def test_what_a_crash_would_lose_is_found():
    """One always runs before the other, so no order shows that the list is no fact; a new process does."""
    seen: list[int] = []

    @agent(reads=Start, writes=End)
    def write(view: View):
        seen.append(0)
        yield End(0)

    @agent(reads=End, writes=Go)
    def reader(view: View):
        if seen:
            yield Go(0).because(*view.new(End))

    found = defect(checked([*chain(3, 2), write, reader]))
    assert found.schedule.startswith("crash after commit")
    assert (found.agent, found.read) == ("reader", "seen")


class Memory:
    """What two agents that are methods share: a mistake made in a class."""

    def __init__(self) -> None:
        self.last = 0

    def remember(self, view: View):
        for step in view.new(Step):
            self.last = step.n

    def recall(self, view: View):
        for step in view.new(Step):
            yield Go(self.last).because(step)


def test_two_methods_that_share_an_object_are_found():
    """An attribute is as shared as a list."""
    memory = Memory()
    agents = [agent(name="recall", reads=Step, writes=Go)(memory.recall), agent(name="z", reads=Step)(memory.remember)]
    found = defect(checked([*short(), *agents], ENOUGH))
    assert found.agent == "recall"
    assert "it reads `self`, a Memory that agent z holds too" in found.what


def test_an_agent_that_counts_its_own_activations_is_found():
    """What it keeps from one activation to the next is no part of its view."""
    count = 0

    @agent(reads=Step, writes=Go)
    def counter(view: View):
        nonlocal count
        for step in view.new(Step):
            count += 1
            yield Go(count).because(step)

    found = defect(checked([*short(), counter]))
    assert (found.agent, found.read) == ("counter", "count")
    assert "it keeps `count`, a variable, from one activation to the next" in found.what


def test_an_agent_that_asks_chance_is_found():
    """The module that its code names is a hint, and the remedy is a capture."""

    @agent(reads=Step, writes=Go)
    def dice(view: View):
        for step in view.new(Step):
            yield Go(random.getrandbits(60)).because(step)

    found = defect(checked([*short(), dice]))
    assert (found.agent, found.round, found.number) == ("dice", 1, 1)
    assert found.what.endswith("its code asks random")
    assert found.remedy == "record what that returns with view.capture"


def test_an_agent_that_fails_where_it_had_not_is_found():
    """It is not only facts that can differ."""
    seen: list[int] = []

    @agent(reads=Step)
    def a_writer(view: View):
        seen.extend(step.n for step in view.new(Step))

    @agent(reads=Step, writes=Go)
    def reader(view: View):
        for step in view.new(Step):
            yield Go(seen.index(step.n) * 0).because(step)

    found = defect(checked([*short(), a_writer, reader], ENOUGH))
    assert (found.agent, found.differs, found.read) == ("reader", "failure", "seen")
    assert "fails on round 1, where it did not (ValueError" in found.what


def test_an_agent_whose_accepts_looks_elsewhere_is_found():
    """Whether an agent runs is a function of its view, too."""
    seen: list[int] = []

    @agent(reads=Step, writes=Go, accepts=lambda view: not seen)
    def reader(view: View):
        for step in view.new(Step):
            yield Go(step.n).because(step)

    @agent(reads=Step)
    def writer(view: View):
        seen.extend(step.n for step in view.new(Step))

    found = defect(checked([*short(), reader, writer], ENOUGH))
    assert (found.agent, found.round) == ("reader", 1)
    assert "does not run on round 1" in found.what


def test_what_agents_hold_is_put_back():
    """Verifying a job leaves the lists of its agents as they were, whatever it did to them meanwhile."""
    seen: list[int] = []

    @agent(reads=Step)
    def diary(view: View):
        seen.extend(step.n for step in view.new(Step))

    assert checked([*short(), diary])
    assert seen == [0, 1, 2]


# --- what is in the views, and arrives in some order ------------------------------------------------------------------


@agent(reads=Ask, writes=End)
def ask_again(view: View):
    return [End(ask.n).because(ask) for ask in view.new(Ask)]


@agent(reads=[End, Veto], writes=Go)
def catching(view: View):
    for end in view.new(End):
        try:
            free = view.absent(Veto)
        except NonMonotoneRead:
            free = not view.all(Veto)
        if free:
            yield Go(end.n).because(end)


@agent(reads=[End, Veto], writes=Go)
def peeking(view: View):
    for end in view.new(End):
        if not view.all(Veto):
            yield Go(end.n).because(end)


def vetoing(judge: Agent) -> list[Agent]:
    """Return a judge behind a chain, and two ways to it: a veto is there a round before what it is asked."""
    return [*chain(), at_the_end("veto", Veto), at_the_end("ask", Ask), ask_again, judge]


def test_an_absence_that_is_not_declared_is_no_defect_under_the_own_schedule():
    """Rounds and views are the same whatever the timing, so what an agent makes of them is as well."""
    report = checked(vetoing(catching), 20)
    assert report.sound
    assert report.warnings == ()


def test_an_absence_read_by_catching_the_error_is_found_as_a_stream():
    """The agent, the call that was refused and the declaration that is missing are named."""
    found = warning(checked(vetoing(catching), ENOUGH, stream=True))
    assert found.number <= ENOUGH
    assert (found.agent, found.read) == ("catching", "view.absent(Veto)")
    assert found.what == "calls view.absent(Veto), is refused, catches that and goes on"
    assert found.remedy == "declare reads=[Live(Veto)] or when='settled'"
    assert (found.text, found.only_in) == (f"Go(n={LENGTH - 1})", "schedule")


def test_a_read_of_what_has_arrived_so_far_is_found_as_a_stream():
    """A positive read can be asked a question whose answer is no."""
    found = warning(checked(vetoing(peeking), ENOUGH, stream=True))
    assert (found.agent, found.read) == ("peeking", "view.all(Veto)")
    assert "depends on how much of it has arrived" in found.what
    assert "declare reads=[Live(Veto)] or when='settled', or let it conclude per fact" in found.remedy


def test_a_conclusion_from_whatever_came_together_is_found_as_a_stream():
    """Which facts are new at once is timing."""

    @agent(reads=Noise, writes=Go)
    def batch(view: View):
        return Go(len(view.new(Noise)))

    found = checked([*short(), batch], ENOUGH, stream=True).warnings[0]
    assert (found.agent, found.read) == ("batch", "view.new(Noise)")
    assert "depends on which of them arrive together" in found.what


def test_an_agent_that_fails_on_another_arrival_is_found_as_a_stream():
    """A call that is refused only sometimes, and not caught."""

    class Claim(Fact, key=("of",)):
        of: str
        n: int

    @agent(reads=Step, writes=Claim)
    def one(view: View):
        return [Claim("x", 1).because(step) for step in view.new(Step) if step.n == 0]

    @agent(reads=Step, writes=Claim)
    def other(view: View):
        return [Claim("x", 2).because(step) for step in view.new(Step) if step.n == 2]

    @agent(reads=[Step, Claim], writes=Go)
    def trusting(view: View):
        for step in view.new(Step):
            if step.n == 1:
                view.get(Claim, "x")
                yield Go(step.n).because(step)

    async def main() -> Report:
        engine = Engine([*short(), one, other, trusting])
        outcome = await engine.run("contest", [Start(0)], job_id="j")
        assert outcome.stop.reason == "contested"
        return await engine.verify("j", stream=True)

    found = warning(anyio.run(main))
    assert (found.agent, found.differs) == ("trusting", "failure")
    assert found.what == "calls view.get(Claim, 'x'), is refused, and fails"


# --- sound jobs -------------------------------------------------------------------------------------------------------


def asking(calls: list[str], *, together: bool = False) -> Agent:
    """Return an agent with a model that never says the same twice."""

    async def model(prompt: str) -> str:
        await anyio.lowlevel.checkpoint()
        calls.append(prompt)
        return f"answer {len(calls)} to {prompt}"

    @agent(name="llm", reads=[Step, Start], writes=Noise)
    async def per_item(view: View):
        for step in view.new(Step):
            answer = await view.capture("model", model, f"what of {step.n}?")
            yield Noise(answer, step.n).because(step)

    @agent(name="llm", reads=[Step, Noise], writes=End)
    async def all_at_once(view: View):
        listed = sorted(noise.by + str(noise.n) for noise in view.new(Noise))
        yield End(len(await view.capture("model", model, listed)))

    return all_at_once if together else per_item


def test_a_sound_job_with_a_model_passes_without_a_warning_or_a_call():
    """What was captured answers, in whatever order it is asked; the model would say something else."""
    calls: list[str] = []

    async def main() -> Report:
        engine = Engine([*short(), asking(calls)])
        await engine.run("ask", [Start(0)], job_id="j")
        calls.append("from here on nothing")
        return await engine.verify("j", stream=True)

    report = anyio.run(main)
    assert report.sound
    assert report.warnings == ()
    assert calls[-1] == "from here on nothing"
    assert {"as it is", "starve", "reversed", "prefer", "singles", "twice", "crash after commit"} < {*report.families}


def test_a_model_that_is_asked_about_whatever_came_together_is_found_as_a_stream():
    """A prompt that was never captured is itself the divergence."""
    found = checked([*short(), asking([], together=True)], ENOUGH, stream=True).warnings[0]
    assert (found.agent, found.differs) == ("llm", "capture")
    assert "asks 'model' what was never captured: that depends on the answer of view.new(Noise)" in found.what
    assert found.remedy.startswith("ask about one item at a time")


def test_a_model_that_is_asked_something_else_each_time_is_found():
    """Under the own schedule it is a defect: the question came from outside the view."""
    asked = [0]

    @agent(reads=Step, writes=Go)
    async def restless(view: View):
        for step in view.new(Step):
            asked[0] += 1
            yield Go(await view.capture("model", int, asked[0])).because(step)

    found = defect(checked([*short(), restless]))
    assert (found.agent, found.read, found.differs) == ("restless", "capture 'model'", "capture")
    assert "it keeps `asked`, a list, from one activation to the next" in found.what


@pytest.mark.parametrize("schedule", ["frontier", "lockstep", "stream"])
def test_a_job_with_late_facts_is_run_again_as_it_was_given_them(schedule):
    """Late facts and late invalidations come where they came, after a stop at the fixed point or by budget."""

    @agent(reads=Live(Noise), writes=Go)
    def count(view: View):
        return Go(view.count(Noise))

    async def main() -> Report:
        agents = short() if schedule == "stream" else [*short(), count]  # its states in between are timing there
        engine = Engine(agents, schedule=schedule)
        await engine.run(RootIntent("late", budget=Budget(rounds=3)), [Start(0)], job_id="j")
        await engine.resume("j", [Step(20)], budget=Budget())
        await engine.resume("j", [Start(0).invalidate("a mistake"), Step(30)])
        await engine.resume("j", [Start(1)])
        return await engine.verify("j", 20)

    report = anyio.run(main)
    assert report.sound, report


def test_a_failure_that_was_recorded_is_no_defect():
    """It fails again where it had failed, whatever it would do now; who reads failures reads the same."""
    weather = ["bad"]

    @agent(reads=Step, writes=Go, required=False)
    def tool(view: View):
        if weather:
            raise ConnectionError("no network")
        return Go(1)

    @agent(reads=Failure, writes=End)
    def notice(view: View):
        return [End(len(failure.error)).because(failure) for failure in view.new(Failure)]

    async def main() -> Report:
        engine = Engine([*short(), tool, notice])
        await engine.run("try", [Start(0)], job_id="j")
        weather.clear()
        return await engine.verify("j", stream=True)

    report = anyio.run(main)
    assert report.sound, report


@given(plans(), given_facts(), given_facts(), st.sampled_from(["frontier", "lockstep"]), st.integers(0, 9))
@settings(max_examples=8)
def test_any_job_is_sound_under_its_own_schedule(plan, facts, late, schedule, rounds):
    """Random agents of all shapes, cut short and gone on with, given facts early and late."""

    async def main() -> Report | None:
        engine = Engine(agents_of(plan), inputs=KINDS, schedule=schedule)
        await engine.run(RootIntent("any", budget=Budget(rounds=rounds)), facts, job_id="j")
        outcome = await engine.resume("j", late, budget=Budget())
        return None if outcome.stop.reason == "budget" else await engine.verify("j", 15)

    report = anyio.run(main)
    assert report is None or report.sound, report


@given(plans(shapes=("seed", "each", "pair")), given_facts())
@settings(max_examples=8)
def test_a_monotone_job_never_depends_on_arrival(plan, facts):
    """As a stream it comes to the same facts, so there is nothing to warn about."""

    async def main() -> Report:
        engine = Engine(agents_of(plan), inputs=KINDS)
        await engine.run("any", facts, job_id="j")
        return await engine.verify("j", stream=True)

    report = anyio.run(main)
    assert (report.sound, report.warnings) == (True, ()), report


def test_the_strategy_team_passes():
    """A whole decision, with settled agents, models, limits and a regulation that comes late.

    In a stream, who replaces may meet the risks that a model suggests together with the given ones or after them: it is
    warned of, by name, and nobody else is.
    """

    async def main() -> Report:
        engine = strategy.engine.with_store(MemoryStore())
        await engine.run(strategy.intent, strategy.facts(), job_id="j")
        await engine.resume("j", strategy.regulation())
        return await engine.verify("j", 16, stream=True)

    report = anyio.run(main)
    assert report.sound, report
    assert {(warning.schedule.partition(":")[0], warning.agent) for warning in report.warnings} <= {("stream", "weigh")}
    assert report.schedules == 16


# --- what can be verified ---------------------------------------------------------------------------------------------


def refusal(run: Callable[[Engine], Any], error: type[Exception]) -> str:
    async def main() -> str:
        with pytest.raises(error) as raised:
            await run(Engine(short()))
        return str(raised.value)

    return anyio.run(main)


def test_a_job_that_has_not_come_to_rest_is_refused():
    """What it would come to is not known yet."""

    async def cut(engine: Engine) -> None:
        await engine.run(RootIntent("cut", budget=Budget(rounds=2)), [Start(0)], job_id="j")
        await engine.verify("j")

    assert "resume it first" in refusal(cut, JobUnsettled)


def test_a_job_of_other_agents_is_refused():
    """Another version is another agent: what the old one concluded cannot be concluded again."""

    async def changed(engine: Engine) -> None:
        await engine.run("one version", [Start(0)], job_id="j")
        await Engine(short()[1:], store=engine.store, inputs=Start).verify("j")

    async def grown(engine: Engine) -> None:
        await engine.run("one agent less", [Start(0)], job_id="j")
        await Engine([*short(), ask_again], store=engine.store).verify("j")

    assert refusal(changed, JobForeign).startswith("agent chain-0, which ran job 'j', is not in this engine")
    assert refusal(grown, JobForeign).startswith("agent ask_again has not run in job 'j' yet: resume it first")


def test_no_schedules_are_refused():
    """Nothing tried is nothing found."""

    async def none(engine: Engine) -> None:
        await engine.run("none", [Start(0)], job_id="j")
        await engine.verify("j", 0)

    assert "a whole number above 0" in refusal(none, EngineInvalid)


def test_verifying_leaves_the_stored_job_as_it_is():
    """It works on a copy."""

    async def main() -> None:
        engine = Engine(short())
        await engine.run("copy", [Start(0)], job_id="j")
        before = await engine.store.load("j")
        assert await engine.verify("j", 5)
        assert await engine.store.load("j") == before

    anyio.run(main)


# --- what it is made of -----------------------------------------------------------------------------------------------


def test_an_effect_in_singles_has_each_emission_after_those_it_rests_on():
    """A circle cannot be taken apart; a marker follows its target."""

    @agent(reads=Start, writes=[Step, Go, End], invalidates=Step)
    def think(view: View):
        (start,) = view.new(Start)
        yield Go(1).because(Step(1))
        yield Step(1).invalidate("no").because(start)
        yield Step(1).because(start)
        yield End(1).because(End(2))
        yield End(2).because(End(1))

    job = play([think], [Start(0)], inputs=[Start])
    view = View(job.context, 0, think.reader)
    effect = seal(think, view, think.run(view))
    parts = [[emission.fact for emission in part.emissions] for part in singles(effect)]
    assert parts[0] == [Step(1)]
    assert parts[1:3] == [[Go(1)], [Step(1).invalidate("no")]]
    assert parts[3:] == [[End(1), End(2)]]


def test_a_report_says_what_was_tried_and_found():
    """One can act on it without looking anything up."""
    report = checked([*chain(), *sharing("writer", lambda seen: not seen)], ENOUGH)
    first, *more = str(report).splitlines()
    assert first.startswith("job planted has a defect: it depends on more than its facts (")
    assert more[:2] == [
        "defect, shown by schedule 1: as it is",
        "  first fact that differs: Go(n=7) is in the job, and not under this schedule",
    ]
    assert more[2].startswith(f"  agent reader emits other facts from the same view of round {LENGTH}: it reads `seen`")
    assert more[3].startswith("  remedy: make it a fact that writer writes and reader reads")
