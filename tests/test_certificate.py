"""A certificate says whether a fixed point stands: asked once more, nobody adds anything, and no model is asked."""

import itertools
import random
from collections.abc import Iterable

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings

from converge import Budget, Certificate, Engine, Fact, Live, Outcome, RootIntent, View, agent
from converge.agent import Agent
from converge_agents.teams import strategy
from converge_stores.memory import MemoryStore
from converge_stores.sqlite import SQLiteStore
from tests.jobs import KINDS, PURE, agents_of, plans
from tests.jobs import premises as given_facts


class Signal(Fact):
    text: str


class Risk(Fact):
    text: str


class Total(Fact):
    n: int


@agent(reads=Signal, writes=Risk)
def assess(view: View):
    return [Risk(signal.text).because(signal) for signal in view.new(Signal)]


@agent(reads=Risk, writes=Total, when="settled")
def count(view: View):
    return Total(view.count(Risk))


@agent(reads=[Signal, Risk], invalidates=Signal)
def doubt(view: View):
    for risk in view.all(Risk):
        if risk.text == "denial":
            yield Signal("rumour").invalidate("it is one").because(risk)


FACTS = (Signal("a"), Signal("b"))


def certified(
    agents: Iterable[object], facts: Iterable[Fact] = FACTS, late: Iterable[Fact] = (), budget: Budget | None = None
) -> Certificate:
    """Run a job, give it some facts late, and certify it."""

    async def main() -> Certificate:
        engine = Engine(agents, inputs=[Signal, *KINDS])
        outcome = await engine.run(RootIntent("certify", budget=budget or Budget()), facts)
        if late:
            outcome = await engine.resume(outcome.job_id, late)
        return await engine.certify(outcome)

    return anyio.run(main)


def problem(certificate: Certificate) -> tuple[str, str]:
    """Return who the one problem is about, and what it is."""
    assert not certificate
    (found,) = certificate.problems
    assert found.remedy
    return found.agent, found.what


# --- what holds -------------------------------------------------------------------------------------------------------


def test_a_fixed_point_is_certified():
    """Agents that conclude per fact, and settled ones, add nothing when they are asked again."""
    certificate = certified([assess, count])
    assert certificate
    assert (certificate.problems, certificate.asked) == ((), 2)
    assert str(certificate) == "the fixed point holds: 2 agents asked again, and nothing is added"


def test_a_fixed_point_with_dead_facts_is_certified():
    """Asked again, nobody brings back what has fallen."""
    assert certified([assess, count, doubt], [Signal("rumour"), Signal("denial")], [Signal("c")])


@given(plans(shapes=PURE), given_facts(), given_facts())
@settings(max_examples=20)
def test_every_fixed_point_of_agents_that_conclude_per_fact_is_certified(plan, facts, late):
    """Random ones, with late facts and a late invalidation of one of the first."""
    late = [*late, *(fact.invalidate("late") for fact in facts[:1])]
    assert certified(agents_of(plan), facts, late)


def asking(model) -> Agent:
    @agent(name="llm", reads=Signal, writes=Risk)
    async def ask(view: View):
        for signal in view.new(Signal):
            yield Risk(await view.capture("model", model, signal.text)).because(signal)

    return ask


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "sqlite"])
def test_no_model_is_asked(durable, tmp_path):
    """Who has asked one is run on the last view it completed on, where everything it asks was captured."""
    asked: list[str] = []

    async def model(text: str) -> str:
        await anyio.lowlevel.checkpoint()
        asked.append(text)
        return f"{text}, call {len(asked)}"

    async def main() -> tuple[Certificate, int]:
        engine = Engine([asking(model), count], store=SQLiteStore(tmp_path / "jobs.db") if durable else None)
        outcome = await engine.run("ask", FACTS, job_id="j")
        outcome = await engine.resume("j", [Signal("late")])
        before = len(asked)
        return await engine.certify(outcome), len(asked) - before

    certificate, calls = anyio.run(main)
    assert certificate, certificate
    assert calls == 0


def test_a_settled_agent_that_reads_what_was_lost_is_asked_on_its_last_view():
    """Where its watermark stood matters to it, so it stands there again."""

    @agent(reads=Live(Signal), writes=Total)
    def losses(view: View):
        return Total(len(view.lost(Signal)))

    assert certified([losses], FACTS, [Signal("a").invalidate("no"), Signal("c")])


def test_the_strategy_team_is_certified():
    """Before and after the regulation that comes late."""

    async def main() -> list[Certificate]:
        engine = strategy.engine.with_store(MemoryStore())
        first = await engine.run(strategy.intent, strategy.facts(), job_id="j")
        certificates = [await engine.certify(first)]
        later = await engine.resume("j", strategy.regulation())
        return [*certificates, await engine.certify(later), await engine.certify(first)]

    assert [str(one) for one in anyio.run(main) if not one] == []


def test_an_optional_agent_that_failed_is_left_out_by_name():
    """The outcome lists it as missing; what the others concluded stands without it."""

    @agent(reads=Signal, writes=Risk, required=False)
    def tool(view: View):
        raise ConnectionError("no network")

    certificate = certified([assess, tool])
    assert certificate
    assert certificate.left_out == ("tool",)
    assert str(certificate).endswith("(left out, as they failed: tool)")


# --- what does not ----------------------------------------------------------------------------------------------------


def test_an_agent_that_mints_new_ids_is_named():
    """Chance that is not captured has no fixed point."""

    @agent(reads=Signal, writes=Risk)
    def dice(view: View):
        return [Risk(f"{random.getrandbits(60)}").because(signal) for signal in view.new(Signal)]

    name, what = problem(certified([assess, dice]))
    assert name == "dice"
    assert what.startswith("is unstable, it mints new ids from the same view: Risk(text=")


def test_an_agent_that_mints_new_ids_is_named_where_the_budget_ended_it():
    """It is what used the budget up."""
    numbers = itertools.count()

    @agent(reads=Risk, writes=Risk)
    def restless(view: View):
        return [Risk(f"{next(numbers)}").because(risk) for risk in view.new(Risk)[:1]]

    certificate = certified([assess, restless], budget=Budget(rounds=6))
    assert not certificate
    assert [(one.agent, one.what.partition(",")[0]) for one in certificate.problems] == [
        ("restless", "has yet to read round 6"),
        ("", "the budget is spent before a fixed point: rounds (restless had more to read)"),
        ("restless", "is unstable"),
    ]


def test_a_job_cut_short_is_not_certified():
    """Who has something unread may have something to add; nobody is blamed for it."""
    certificate = certified([assess, count], budget=Budget(rounds=1))
    assert not certificate
    assert [one.agent for one in certificate.problems] == ["count", ""]
    assert "resume" in str(certificate)


def test_a_conclusion_from_what_came_together_is_no_fixed_point():
    """Run on everything at once it adds a fact; so it depends on what arrived when."""

    @agent(reads=Signal, writes=Total)
    def batch(view: View):
        return Total(len(view.new(Signal)))

    name, what = problem(certified([assess, batch], FACTS, [Signal("late")]))
    assert (name, what) == ("batch", "would add Total(n=3) on the view of round 3")


def test_a_support_that_changes_a_label_is_no_fixed_point():
    """No fact is new, but one would hold again: its author named too little, or reads too much."""

    @agent(reads=Signal, writes=Total)
    def two_or_more(view: View):
        signals = sorted(view.new(Signal), key=lambda signal: signal.text)
        return Total(2).because(signals[-1]) if len(signals) > 1 else None

    name, what = problem(certified([two_or_more], FACTS, [Signal("c"), Signal("b").invalidate("no")]))
    assert name == "two_or_more"
    assert what.startswith("would change which facts hold")


def test_a_question_that_was_never_captured_is_no_fixed_point():
    """It is asked of the record only, and the gap is named, also where the agent catches the error."""
    asked = itertools.count()

    @agent(reads=Signal, writes=Risk)
    async def llm(view: View):
        for signal in view.new(Signal):
            try:
                yield Risk(await view.capture("model", str, next(asked))).because(signal)
            except LookupError:
                yield Risk("no answer").because(signal)

    name, what = problem(certified([llm]))
    assert (name, what) == ("llm", "asks 'model' what was never captured, on the view of round 0")


def test_a_conclusion_that_is_not_drawn_again_is_no_fixed_point():
    """A settled agent that remembers is not a function of its view."""
    told: list[int] = []

    @agent(reads=Risk, writes=Total, when="settled")
    def once(view: View):
        if not told:
            told.append(1)
            yield Total(view.count(Risk))

    name, what = problem(certified([assess, once]))
    assert name == "once"
    assert what.startswith("does not conclude Total:")


def test_an_agent_that_cannot_take_the_final_view_is_named():
    """It fails where everything is there at once."""

    @agent(reads=Signal, writes=Total)
    def fragile(view: View):
        (signal,) = view.new(Signal)
        return Total(1).because(signal)

    name, what = problem(certified([fragile], FACTS[:1], FACTS[1:]))
    assert name == "fragile"
    assert what.startswith("fails with ValueError on the view of round 3")


def test_an_agent_that_has_not_run_is_named():
    """An engine with an agent more is asked about a job that it has not resumed."""

    async def main() -> Certificate:
        engine = Engine([assess])
        outcome = await engine.run("one agent less", FACTS)
        return await Engine([assess, count], store=engine.store).certify(outcome)

    assert problem(anyio.run(main)) == ("count", "has not run in this job")


def test_a_certified_outcome_is_that_of_its_time():
    """What the job learned later is no part of it, and certifying adds nothing to the store."""

    async def main() -> tuple[Certificate, Outcome, Outcome]:
        engine = Engine([assess, count])
        first = await engine.run("now", FACTS, job_id="j")
        await engine.resume("j", [Signal("late")])
        certificate = await engine.certify(first)
        return certificate, first, await engine.resume("j")

    certificate, first, last = anyio.run(main)
    assert certificate
    assert (first.context.live(Total), last.context.live(Total)) == ((Total(2),), (Total(3),))
