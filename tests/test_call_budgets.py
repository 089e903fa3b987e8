"""Budgets of calls, tokens and money: reserved before a request, settled after it, and overshot by nobody."""

import asyncio
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converge import Allowance, Budget, Engine, Fact, RootIntent, StopReason, View, agent
from converge.agents import LLMAgent, Price
from converge.errors import BudgetInvalid, BudgetSpent, PriceUnknown
from converge.ledger import Ledger, Line, billionths
from converge.stores import SQLiteStore
from converge.testing import Reply, ScriptedModel, VirtualClock
from converge.trace import Captured


class Topic(Fact):
    n: int


class Judgement(Fact, key=("n", "by")):
    n: int
    by: str


TOPIC = Topic(1)


def opinion(request):
    """Answer with the number of the agent that asks, which its prompt names."""
    by = request["messages"][1]["content"].split("You are ")[1].split(".")[0]
    return {"items": [{"n": 1, "by": by}]}


def panel(model, count, **options):
    prompts = {f"judge-{n:02}": f"You are judge-{n:02}. Judge: {{facts}}" for n in range(count)}
    return [LLMAgent(name, model, prompt, Topic, Judgement, **options) for name, prompt in prompts.items()]


def notes(outcome):
    return [event.note or {} for event in outcome.trace if isinstance(event, Captured)]


@pytest.mark.asyncio
@pytest.mark.parametrize("schedule", ["frontier", "lockstep"])
async def test_six_calls_for_fifty_agents_are_exactly_six(schedule):
    model = ScriptedModel(opinion)
    engine = Engine(panel(model, 50), schedule=schedule)
    outcome = await engine.run(RootIntent("judge", budget=Budget(calls=6)), TOPIC)
    assert len(model.requests) == 6
    assert outcome.spend.calls == 6
    assert (outcome.stop.reason, outcome.stop.detail) == (StopReason.BUDGET, ("calls",))
    assert len(outcome.stop.unread) == 44
    assert any("calls" in reason for reason in outcome.timing_dependent)
    await model.aclose()


@pytest.mark.asyncio
async def test_going_on_with_more_calls_equals_one_long_run():
    model = ScriptedModel(opinion)
    engine = Engine(panel(model, 50))
    whole = await engine.run("judge", TOPIC)
    part = await engine.run(RootIntent("judge", budget=Budget(calls=6)), TOPIC)
    asked = len(model.requests)
    rest = await engine.resume(part.job_id, budget={"calls": 50})
    assert rest.converged
    assert rest.proof_digest == whole.proof_digest
    assert len(model.requests) == asked + 44
    assert rest.spend.calls == 50
    await model.aclose()


@pytest.mark.asyncio
async def test_what_one_activation_asked_before_the_budget_ended_is_not_asked_again():
    model = ScriptedModel(lambda request: {"items": [{"n": 1, "by": request["messages"][1]["content"][-12:]}]})
    each = LLMAgent("each", model, "About {item}", Topic, Judgement, each=Topic)
    engine = Engine([each])
    topics = [Topic(n) for n in range(10)]
    part = await engine.run(RootIntent("judge", budget=Budget(calls=4)), topics)
    assert len(model.requests) == 4
    assert not part.context.live(Judgement), "an effect is whole"
    rest = await engine.resume(part.job_id, budget={"calls": 10})
    assert rest.converged
    assert len(model.requests) == 10
    await model.aclose()


@pytest.mark.asyncio
async def test_an_agent_that_swallows_the_refusal_has_concluded_nothing():
    @agent(reads=Topic, writes=Judgement)
    async def careless(view: View):
        async def paid():
            async with view.reserve(tokens=10) as bill:
                bill(tokens=5)
            return "yes"

        try:
            await view.capture("ask", paid)
        except Exception:
            return Judgement(1, "careless")
        return Judgement(1, "answered")

    engine = Engine([careless])
    outcome = await engine.run(RootIntent("judge", budget=Budget(calls=0)), TOPIC)
    assert outcome.stop.detail == ("calls",)
    assert not outcome.context.live(Judgement)
    rest = await engine.resume(outcome.job_id, budget={"calls": 1})
    assert rest.context.live(Judgement) == (Judgement(1, "answered"),)
    assert (rest.spend.calls, rest.spend.tokens) == (1, 5)


@pytest.mark.asyncio
async def test_a_token_budget_waits_for_what_others_do_not_use_rather_than_stop_with_money_left():
    """Each may come to far more than it does: not all find room at once, yet there is room for all in turn."""
    model = ScriptedModel(opinion, max_tokens=1_000)
    engine = Engine(panel(model, 20))
    outcome = await engine.run(RootIntent("judge", budget=Budget(tokens=8_000)), TOPIC)
    assert outcome.converged
    assert outcome.spend.tokens <= 8_000
    await model.aclose()


@pytest.mark.asyncio
async def test_a_request_that_may_not_fit_is_not_made_though_it_might_have():
    model = ScriptedModel(opinion, max_tokens=1_000)
    outcome = await Engine(panel(model, 1)).run(RootIntent("judge", budget=Budget(tokens=1_000)), TOPIC)
    assert outcome.stop.detail == ("tokens",)
    assert not model.requests
    await model.aclose()


@pytest.mark.asyncio
async def test_an_allowance_limits_one_agent_and_the_stop_names_it():
    model = ScriptedModel(lambda request: {"items": [{"n": 1, "by": request["messages"][1]["content"][-12:]}]})
    frugal = LLMAgent("frugal", model, "A {item}", Topic, Judgement, each=Topic, budget=Allowance(calls=2))
    lavish = LLMAgent("lavish", model, "B {item}", Topic, Judgement, each=Topic)
    outcome = await Engine([frugal, lavish]).run("judge", [Topic(n) for n in range(5)])
    assert outcome.stop.detail == ("calls", "of agent frugal")
    assert [unread.agent for unread in outcome.stop.unread] == ["frugal"]
    assert sum("A {" in request["messages"][1]["content"] for request in model.requests) == 2
    await model.aclose()


@pytest.mark.asyncio
async def test_money_is_reserved_at_the_worst_and_settled_at_what_it_came_to():
    price = Price(input=1_000, output=1_000)
    model = ScriptedModel(opinion, price=price, max_tokens=100)
    engine = Engine(panel(model, 30))
    outcome = await engine.run(RootIntent("judge", budget=Budget(money=4.0)), TOPIC)
    told = [note["money"] for note in notes(outcome)]
    assert outcome.spend.money == pytest.approx(sum(told))
    assert outcome.spend.money <= 4.0
    await model.aclose()


@pytest.mark.asyncio
async def test_where_money_is_limited_an_unknown_price_is_named_before_anything_is_asked():
    model = ScriptedModel(opinion, name="mystery")
    outcome = await Engine(panel(model, 1)).run(RootIntent("judge", budget=Budget(money=1.0)), TOPIC)
    assert outcome.stop.reason is StopReason.AGENT_FAILED
    assert isinstance(outcome.errors["judge-00"], PriceUnknown)
    assert "mystery" in str(outcome.errors["judge-00"])
    assert not model.requests
    await model.aclose()


@pytest.mark.asyncio
async def test_where_money_is_not_limited_an_unknown_price_is_a_warning_and_not_a_silent_nothing():
    model = ScriptedModel(opinion, name="mystery")
    outcome = await Engine(panel(model, 2)).run("judge", TOPIC)
    assert outcome.converged
    assert [warning for warning in outcome.warnings if "mystery" in warning] == [
        "the price of model mystery is not known: what it cost is not in the money spent"
    ]
    await model.aclose()


@pytest.mark.asyncio
async def test_a_refused_request_costs_a_call_and_no_token():
    failing = itertools.chain([Reply(status=500)] * 2, itertools.repeat(None))

    def script(request):
        return next(failing) or opinion(request)

    async with VirtualClock() as clock:
        model = ScriptedModel(script, clock=clock)
        outcome = await Engine(panel(model, 1), clock=clock).run("judge", TOPIC)
    [told] = notes(outcome)
    assert outcome.spend.calls == told["requests"] == 3
    assert outcome.spend.tokens == told["input_tokens"] + told["output_tokens"]
    await model.aclose()


@pytest.mark.asyncio
async def test_a_call_under_way_when_the_job_is_cancelled_counts_as_spent_after_a_resume(tmp_path):
    asked = asyncio.Event()
    answering = asyncio.Event()

    class Slow:
        name, price, max_tokens = "slow", Price(1, 1), 100

        async def ask(self, messages, *, meter, **_):
            async with meter(700, 0.5, "model slow"):
                asked.set()
                await answering.wait()
            raise AssertionError("it is cancelled before")

    store = tmp_path / "jobs.db"
    engine = Engine(panel(Slow(), 1), store=SQLiteStore(store))
    async with engine.start("judge", TOPIC) as job:
        await asked.wait()
        job.cancel()
        first = await job.outcome()
    assert (first.spend.calls, first.spend.tokens, first.spend.money) == (1, 700, 0.5)
    model = ScriptedModel(opinion, price=Price(1, 1))
    other = Engine(panel(model, 1), store=SQLiteStore(store))
    second = await other.resume(first.job_id, budget={"calls": 1})
    assert second.stop.detail == ("calls",), "the one call was spent"
    third = await other.resume(first.job_id, budget={"calls": 2})
    assert third.converged
    assert third.spend.calls == 2
    assert third.spend.tokens > 700
    await model.aclose()


@pytest.mark.asyncio
async def test_a_reservation_is_in_the_store_before_the_call_is_made(tmp_path):
    store = SQLiteStore(tmp_path / "jobs.db")
    found: list[object] = []

    class Looking:
        name, price = "looking", Price(1, 1)

        async def ask(self, messages, *, meter, **_):
            async with meter(700, 0.5, "model looking") as bill:
                rows = await store.rows("one")
                found.extend(line for row in rows for line in json.loads(row.body).get("spent", ()))
                bill(1, 0.1)
            raise ValueError("no answer")

    engine = Engine(panel(Looking(), 1), store=store)
    await engine.run("judge", TOPIC, job_id="one")
    assert found == [[1, "judge-00", 700, billionths(0.5)]]


def test_a_restart_has_paid_for_nothing_it_finds_captured():
    async def main():
        model = ScriptedModel(opinion, price=Price(1, 1))
        engine = Engine(panel(model, 3))
        first = await engine.run("judge", TOPIC)
        again = await engine.restart(first.job_id)
        assert again.spend.calls == 0
        assert len(model.requests) == 3
        await model.aclose()

    asyncio.run(main())


# --- the ledger ------------------------------------------------------------------------------------------------------

requests = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 50), st.integers(0, 50), st.booleans(), st.integers(0, 100)),
    max_size=40,
)


@given(requests, st.integers(0, 20), st.integers(0, 300), st.integers(0, 300))
def test_no_order_of_reservations_and_settlements_overshoots(asked, calls, tokens, money):
    """Whatever is asked and however it is settled, at most at what was reserved: the sums stay below the limits."""
    ledger = Ledger()
    ledger.limits = Budget(calls=calls, tokens=tokens, money=money / 10**9)
    ledger.allowances = {"a": Allowance(calls=3, tokens=60)}
    for agent_name, most_tokens, most_money, settles, share in asked:
        if ledger.refusal(agent_name, most_tokens, most_money) is None:
            number = ledger.reserve(agent_name, most_tokens, most_money)
            if settles:
                ledger.settle(number, most_tokens * share // 100, most_money * share // 100)
                ledger.close(number)
        spent = ledger.spent
        assert spent[0] <= calls
        assert spent[1] <= tokens
        assert round(spent[2] * 10**9) <= money
        lines = [line for line in ledger if line.agent == "a"]
        assert len(lines) <= 3
        assert sum(line.tokens for line in lines) <= 60


@given(requests)
def test_a_ledger_that_is_restored_line_by_line_has_the_same_sums(asked):
    ledger, other = Ledger(), Ledger()
    for agent_name, most_tokens, most_money, settles, share in asked:
        number = ledger.reserve(agent_name, most_tokens, most_money)
        for line in ledger.take():
            other.restore(line)
        if settles:
            ledger.settle(number, share, share)
    for line in ledger.take():
        other.restore(line)
    assert other.spent == ledger.spent
    assert list(other) == list(ledger)
    assert not other.take(), "what was kept is not kept again"


def test_a_refusal_may_pass_only_while_somebody_else_may_use_less():
    ledger = Ledger()
    ledger.limits = Budget(tokens=100)
    number = ledger.reserve("a", 80, 0)
    refusal = ledger.refusal("b", 50, 0)
    assert isinstance(refusal, BudgetSpent)
    assert ledger.may_pass(refusal, "b", 50, 0)
    ledger.settle(number, 60, 0)
    ledger.close(number)
    refusal = ledger.refusal("b", 50, 0)
    assert refusal is not None
    assert not ledger.may_pass(refusal, "b", 50, 0)
    assert list(ledger) == [Line(1, "a", 60, 0)]


@pytest.mark.parametrize("limits", [{"calls": -1}, {"tokens": 1.5}, {"money": float("nan")}, {"calls": True}])
def test_an_allowance_that_is_no_number_of_its_unit_is_refused(limits):
    with pytest.raises(BudgetInvalid):
        Allowance(**limits)
