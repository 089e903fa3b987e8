"""Every job ends with one typed reason, the first that applies in a stated order, said in one sentence."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converge import Budget, Engine, Fact, RootIntent, StopReason, View, agent, invariant, run
from converge.errors import BudgetInvalid
from converge.stop import Stop, Unread
from converge.testing import VirtualClock
from converge.trace import JobStopped


class Claim(Fact, key=("about",)):
    about: str
    n: int


class Other(Fact):
    n: int


@agent(reads=Claim, name="failing")
def failing(view: View):
    raise ValueError("no good")


@agent(reads=Claim, writes=Other)
def counting(view: View):
    return [Other(claim.n).because(claim) for claim in view.new(Claim)]


@invariant
def never(view: View) -> str:
    return "it never holds"


CONTESTED = [Claim("a", 1), Claim("a", 2)]


def ended(*against: str):
    """Run a job with these reasons against a fixed point."""
    intent = RootIntent(
        "an end",
        constraints=("never",) if "invariant" in against else (),
        success=("never",) if "unaccepted" in against else (),
        budget=Budget(rounds=0) if "budget" in against else Budget(),
    )
    agents = [counting, failing] if "agent_failed" in against else [counting]
    facts: list[Fact] = [*CONTESTED] if "contested" in against else [Claim("a", 1)]
    return run(Engine(agents, invariants=[never]), intent, facts)


TWO_CLAIMS = "Claim 'a' has 2 live facts: Claim(about='a', n=1) (given) against Claim(about='a', n=2) (given)"
IN_ORDER = ["budget", "agent_failed", "invariant", "contested", "unaccepted"]


def test_the_reasons_stand_in_their_order_of_precedence():
    """The enumeration is the written order, and only its last member means that the answer stands."""
    assert list(StopReason) == [
        "cancelled", "budget", "agent_failed", "invariant", "waiting", "contested", "unaccepted", "fixed_point",
    ]  # fmt: skip


@given(st.sets(st.sampled_from(IN_ORDER)))
def test_of_several_reasons_the_first_in_precedence_is_the_stop(against):
    """Whatever else could be said against the answer."""
    expected = min(against, key=IN_ORDER.index, default="fixed_point")
    outcome = ended(*against)
    assert outcome.stop.reason == expected
    assert outcome.converged is (not against)


@pytest.mark.parametrize(
    ("against", "sentence"),
    [
        ("budget", "the budget is spent before a fixed point: rounds (counting had more to read)"),
        (
            "agent_failed",
            "a required agent still fails: failing (ValueError: no good (test_stop.py, line 27, in failing))",
        ),
        ("invariant", "a constraint of the root intent does not hold: never: it never holds"),
        ("contested", "facts that contest each other are live: " + TWO_CLAIMS),
        ("unaccepted", "a success criterion of the root intent is not met: never: it never holds"),
        ("fixed_point", "fixed point: no agent would add anything"),
    ],
)
def test_a_stop_is_one_sentence(against: str, sentence: str):
    """With its detail: which budget, which agent, which rule, which key."""
    outcome = ended(against)
    assert str(outcome.stop) == sentence
    assert isinstance(outcome.trace[-1], JobStopped)
    assert (outcome.trace[-1].reason, outcome.trace[-1].text) == (against, sentence)


def test_a_long_list_of_unread_agents_is_cut_short_in_the_sentence_only():
    """All of them are in the data."""
    unread = tuple(Unread(f"a{n}", 0) for n in range(8))
    stop = Stop(StopReason.CANCELLED, (), unread)
    assert str(stop) == "cancelled before a fixed point (a0, a1, a2, a3, a4 and 3 more had more to read)"
    assert len(stop.unread) == 8


@pytest.mark.asyncio
async def test_cancelling_takes_precedence_over_everything():
    """And returns the outcome with all that was merged."""
    async with VirtualClock() as clock:

        @agent(reads=Other)
        async def forever(view: View):
            job.cancel()
            await clock.sleep(1e9)

        engine = Engine([counting, failing, forever], invariants=[never], clock=clock)
        async with engine.start(RootIntent("an end", constraints=("never",)), CONTESTED) as job:
            outcome = await job.outcome()
    assert outcome.stop.reason is StopReason.CANCELLED
    assert len(outcome.context.live(Other)) == 2
    assert [item.agent for item in outcome.stop.unread] == ["forever"]


# --- contested -------------------------------------------------------------------------------------------------------


def test_contested_is_about_live_facts():
    """A conflict never goes away, and no longer stands in the way once all but one of its facts are dead."""
    one, other = CONTESTED
    outcome = run([counting], "an end", [one, other, other.invalidate("wrong")])
    assert outcome.converged
    assert len(outcome.context.conflicts(Claim)) == 1


def test_every_contested_key_is_named():
    """In the order of kind and key."""
    outcome = run([counting], "an end", [Claim(about, n) for about in "ba" for n in (1, 2)])
    assert [detail.partition(" has ")[0] for detail in outcome.stop.detail] == ["Claim 'a'", "Claim 'b'"]


def test_disputed_facts_are_listed_beside_the_answer():
    """Two facts that invalidate each other are neither live nor dead, and the job converges all the same."""

    class Vote(Fact):
        who: str

    @agent(reads=Vote, invalidates=Vote)
    def oppose(view: View):
        for vote in view.new(Vote):
            for other in view.all(Vote):
                if other != vote:
                    yield other.invalidate(f"{vote.who} says no").because(vote)

    outcome = run([oppose], "an end", [Vote("a"), Vote("b")])
    assert outcome.converged
    assert {fact.who for fact in outcome.disputed if isinstance(fact, Vote)} == {"a", "b"}
    assert outcome.context.live(Vote) == ()


# --- budgets that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rounds", "facts", "activations", "seconds"])
@pytest.mark.parametrize("value", [-1, float("nan"), "3", None, True])
def test_what_is_no_number_of_its_unit_is_refused_as_a_budget(name: str, value: Any):
    """By name, with the list of what there is."""
    with pytest.raises(BudgetInvalid, match=rf"budget {name}=.*budgets are rounds, facts, activations, seconds"):
        Budget(**{name: value})


@pytest.mark.parametrize("name", ["rounds", "facts", "activations"])
def test_a_counted_budget_is_a_whole_number(name: str):
    """Half a round cannot be had."""
    with pytest.raises(BudgetInvalid, match=name):
        Budget(**{name: 1.5})  # type: ignore[arg-type]  # the point of this test


def test_an_unknown_budget_is_refused_with_the_nearest_name():
    """Whoever types it learns what it is called."""
    with pytest.raises(BudgetInvalid, match=r"no budget 'activation' \(did you mean activations\?\)"):
        Budget().with_limits({"activation": 3})


@pytest.mark.asyncio
@pytest.mark.parametrize("seconds", [0, 0.0])
async def test_a_budget_of_no_seconds_stops_before_anything_is_merged(seconds: float):
    """0 is allowed and stops at once; the premises are kept."""
    async with VirtualClock() as clock:

        @agent(reads=Claim, writes=Other)
        async def slow(view: View):
            await clock.sleep(1)
            return Other(1)

        outcome = await Engine([slow], clock=clock).run(
            RootIntent("an end", budget=Budget(seconds=seconds)), [Claim("a", 1)]
        )
    assert (outcome.stop.reason, outcome.stop.detail) == (StopReason.BUDGET, ("seconds",))
    assert (outcome.context.all(Claim), outcome.context.all(Other)) == ((Claim("a", 1),), ())
