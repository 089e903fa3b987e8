"""Invariants have three moments: on an effect, when nothing is unread, and when a fixed point is claimed."""

import pytest

from converge import Budget, Engine, Fact, Invariant, RootIntent, StopReason, View, agent, invariant, run
from converge.errors import InvariantInvalid, InvariantUnknown
from converge.invariant import Invariants
from converge.trace import ActivationFailed
from tests.jobs import go_on, play


class Offer(Fact):
    price: int


class Deal(Fact):
    price: int


@agent(reads=Offer, writes=Deal)
def strike_deals(view: View):
    return [Deal(offer.price).because(offer) for offer in view.new(Offer)]


@agent(reads=Offer, writes=Deal)
def haggle(view: View):
    return [Deal(offer.price // 2).because(offer) for offer in view.new(Offer)]


@invariant
def affordable(view: View, facts: tuple[Fact, ...]) -> str | None:
    dear = [fact.price for fact in facts if isinstance(fact, Deal) and fact.price > 100]
    return f"{dear[0]} is more than 100" if dear else None


@invariant
def within_the_total(view: View) -> bool:
    return sum(deal.price for deal in view.live(Deal)) <= 100


@invariant
def some_deal(view: View) -> str | None:
    return "there is no deal" if view.absent(Deal) else None


RULES = [affordable, within_the_total, some_deal]


def ended(facts: list[Fact], **intent: object):
    return run(Engine([strike_deals, haggle], invariants=RULES), RootIntent("deals", **intent), facts)  # type: ignore[arg-type]


# --- scope -----------------------------------------------------------------------------------------------------------


def test_a_scope_rejects_the_effect_that_breaks_it_whole():
    """The agent contributes nothing from that activation, not even what was within bounds; its siblings go on."""
    outcome = ended([Offer(150), Offer(40)], scope=("affordable",))
    assert {deal.price for deal in outcome.context.live(Deal)} == {75, 20}
    assert outcome.stop.reason is StopReason.AGENT_FAILED


def test_a_rejection_is_recorded_with_rule_agent_and_reason():
    """So that whoever reads the trace knows what was forbidden to whom."""
    outcome = ended([Offer(150)], scope=("affordable",))
    (event,) = (event for event in outcome.trace if isinstance(event, ActivationFailed))
    assert (event.agent, event.error) == ("strike_deals", "InvariantBroken")
    assert event.text == "invariant affordable forbids what agent strike_deals emitted: 150 is more than 100"


def test_a_scope_is_not_checked_unless_the_intent_names_it():
    """The engine knows many rules; the intent decides which ones and when."""
    assert ended([Offer(150)]).converged


def test_a_scope_sees_the_view_the_effect_was_made_from():
    """A pure function of the effect and the agent's own view: it may read what the agent may, and of its round."""
    seen: list[tuple[Fact, ...]] = []

    @invariant
    def watch(view: View, facts: tuple[Fact, ...]) -> None:
        seen.append(view.all(Offer))

    run(Engine([strike_deals, haggle], invariants=[watch]), RootIntent("deals", scope=("watch",)), [Offer(10)])
    assert seen == [(Offer(10),), (Offer(10),)]


def test_a_scope_that_looks_past_the_agents_view_has_not_been_kept():
    """What others write in the same round would make the verdict depend on timing."""

    @invariant
    def nosy(view: View, facts: tuple[Fact, ...]) -> bool:
        return not view.all(Deal)

    outcome = run(Engine([strike_deals], invariants=[nosy]), RootIntent("deals", scope=("nosy",)), [Offer(10)])
    assert outcome.stop.reason is StopReason.AGENT_FAILED
    assert "UndeclaredRead" in str(outcome.stop)


def test_an_agent_rejected_once_is_tried_again_on_growth():
    """A rejection is a failed activation like any other."""

    @agent(reads=Offer, writes=Deal)
    def sum_up(view: View):
        return Deal(200 - sum(offer.price for offer in view.all(Offer)))

    engine = Engine([sum_up, steps], invariants=RULES)
    outcome = run(engine, RootIntent("deals", scope=("affordable",)), [Offer(40), Offer(30)])
    assert outcome.converged
    assert [deal.price for deal in outcome.context.live(Deal)] == [80]


@agent(reads=Offer, writes=Offer)
def steps(view: View):
    return [Offer(50).because(*view.new(Offer))] if view.all(Offer, 50) == () else None


# --- constraints -----------------------------------------------------------------------------------------------------


def test_a_constraint_that_does_not_hold_on_live_facts_ends_the_job_as_invariant():
    """Everything is still there to be looked at, with the rule that is broken."""
    outcome = ended([Offer(90)], constraints=("within_the_total",))
    assert outcome.stop.reason is StopReason.INVARIANT
    assert outcome.stop.detail == ("within_the_total: does not hold",)
    assert len(outcome.context.live(Deal)) == 2


def test_a_constraint_is_checked_on_what_holds_and_not_on_what_fell():
    """Once the dear deal is dead, the constraint holds."""
    offer = Offer(90)
    job = play(
        [strike_deals],
        [offer, Offer(80)],
        intent=RootIntent("deals", constraints=("within_the_total",)),
        invariants=RULES,
    )
    assert job.stop is not None
    assert job.stop.reason is StopReason.INVARIANT
    late = go_on(job, [offer.invalidate("withdrawn")], invariants=RULES)
    assert late.stop is not None
    assert late.stop.reason is StopReason.FIXED_POINT


def test_a_constraint_is_not_checked_while_anything_is_unread():
    """What is broken on the way and mended in the end was never a violation."""
    checked: list[int] = []

    @invariant
    def none_left_over(view: View) -> bool:
        checked.append(view.round)
        return len(view.live(Offer)) == len(view.live(Deal))

    engine = Engine([strike_deals], invariants=[none_left_over])
    outcome = run(engine, RootIntent("deals", constraints=("none_left_over",)), [Offer(1), Offer(2)])
    assert outcome.converged
    assert checked == [1]


def test_every_broken_constraint_is_named():
    """In the order in which the intent names them."""
    outcome = ended([], constraints=("some_deal", "within_the_total"))
    assert outcome.stop.detail == ("some_deal: there is no deal",)
    both = run(
        Engine([strike_deals], invariants=[some_deal, Invariant("never", lambda view: "it never holds")]),
        RootIntent("deals", constraints=("never", "some_deal")),
    )
    assert both.stop.detail == ("never: it never holds", "some_deal: there is no deal")


# --- success ---------------------------------------------------------------------------------------------------------


def test_a_success_criterion_that_is_not_met_makes_a_fixed_point_unaccepted():
    """Nothing more follows, and it is not what was asked for."""
    outcome = ended([], success=("some_deal",))
    assert (outcome.stop.reason, outcome.stop.detail) == (StopReason.UNACCEPTED, ("some_deal: there is no deal",))
    assert not outcome.converged


def test_a_success_criterion_that_is_met_says_nothing():
    """The fixed point stands."""
    assert ended(
        [Offer(10)], success=("some_deal",), constraints=("within_the_total",), scope=("affordable",)
    ).converged


@pytest.mark.parametrize(("verdict", "holds"), [(True, True), (None, True), (False, False), ("no", False), ("", False)])
def test_true_and_none_mean_that_it_holds_and_false_or_a_text_that_it_does_not(verdict, holds):
    """A text is what is wrong; an empty one is still a text."""
    rule = Invariant("rule", lambda view: verdict)
    outcome = run(Engine([], invariants=[rule]), RootIntent("deals", success=("rule",)))
    assert outcome.converged is holds


@pytest.mark.parametrize("moment", ["scope", "constraints", "success"])
def test_a_rule_that_raises_has_not_been_kept(moment: str):
    """What cannot be computed is no answer, and the job ends with the reason rather than with a traceback."""

    def broken(*_: object) -> bool:
        raise ZeroDivisionError("by nothing")

    engine = Engine([strike_deals], invariants=[Invariant("broken", broken)])
    outcome = run(engine, RootIntent("deals", **{moment: "broken"}), [Offer(1)])  # type: ignore[arg-type]
    assert not outcome.converged
    assert "ZeroDivisionError: by nothing" in str(outcome.stop)


# --- naming them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["scope", "constraints", "success"])
def test_a_name_the_engine_was_not_given_is_refused_before_anything_runs(moment: str):
    """With the nearest name and the remedy."""
    with pytest.raises(InvariantUnknown, match=r"'some_deals'.*did you mean some_deal.*invariants="):
        ended([Offer(1)], **{moment: "some_deals"})


def test_a_rule_that_takes_too_little_for_its_moment_is_refused():
    """A scope is asked about the facts of an effect as well."""
    with pytest.raises(InvariantInvalid, match=r"some_deal.*scope it takes \(view, facts\)"):
        Invariants(RootIntent("deals", scope=("some_deal",)), RULES)
    with pytest.raises(InvariantInvalid, match=r"affordable.*it takes \(view\)"):
        Invariants(RootIntent("deals", success=("affordable",)), RULES)


def test_one_name_and_a_list_of_names_are_both_allowed():
    """A single name need not be put into a tuple."""
    single = RootIntent("deals", scope="affordable")  # type: ignore[arg-type]  # what a caller in a hurry writes
    assert single == RootIntent("deals", scope=("affordable",))


def test_agents_can_read_what_the_intent_asks_for():
    """The root intent is in every view, with its budget."""
    seen: list[RootIntent] = []

    @agent(writes=Offer)
    def seed(view: View):
        seen.append(view.intent)

    intent = RootIntent("deals", success=("some_deal",), budget=Budget(rounds=7))
    run(Engine([seed], invariants=RULES), intent)
    assert seen == [intent]
    assert seen[0].budget == Budget(rounds=7)
