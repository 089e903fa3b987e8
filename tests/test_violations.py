"""Violations: a constraint that does not hold is stated, once nothing is unread, for the agents that can mend it.

The job here books carriers for a budget of 100. Whoever reads Violation may cancel a booking, or ask for more money.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import (
    Budget,
    Engine,
    Fact,
    Invalidation,
    Invariant,
    Outcome,
    RootIntent,
    StopReason,
    View,
    Violation,
    agent,
    invariant,
    run,
)
from converge.errors import AgentInvalid
from converge.ports import Store
from converge.stores import MemoryStore, SQLiteStore
from converge.trace import Activated
from tests.jobs import Play, digests, go_on, play

EXACT = ["lockstep", "frontier"]
SCHEDULES = [*EXACT, "stream"]
in_every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


class Offer(Fact):
    carrier: str
    price: int


class Booking(Fact, key="carrier"):
    carrier: str
    price: int


class Money(Fact):
    amount: int


class Note(Fact):
    text: str


SEA, RAIL, AIR = Offer("sea", 20), Offer("rail", 50), Offer("air", 90)


@agent(reads=Offer, writes=Booking)
def book(view: View):
    return [Booking(offer.carrier, offer.price).because(offer) for offer in view.new(Offer)]


@invariant
def affordable(view: View) -> str | None:
    """The total varies, so that each state of affairs is a violation of its own."""
    over = sum(one.price for one in view.live(Booking)) - sum((100, *(money.amount for money in view.live(Money))))
    return f"{over} too much" if over > 0 else None


@invariant
def no_flights(view: View) -> bool:
    return view.absent(Booking, "air")


@agent(reads=[Violation, Booking], invalidates=Booking)
def cancel_the_dearest(view: View):
    """Answer each violation with one booking less."""
    bookings = sorted(view.all(Booking), key=lambda one: -one.price)
    for nth, violation in enumerate(sorted(view.all(Violation), key=lambda one: -int(one.text.split()[0]))):
        yield from (one.invalidate("too dear").because(violation) for one in bookings[nth : nth + 1])


@agent(reads=Violation, writes=Money)
def ask_for_more(view: View):
    return [Money(int(violation.text.split()[0])).because(violation) for violation in view.new(Violation)]


@agent(reads=Violation, writes=Note)
def shrug(view: View):
    return [Note(violation.text).because(violation) for violation in view.new(Violation)]


RULES = [affordable, no_flights]
KINDS: list[type[Fact]] = [Offer, Booking, Money, Note]
AFFORDABLE = RootIntent("book", constraints=("affordable",))


def engine(*agents: Any, **options: Any) -> Engine:
    return Engine([book, *agents], invariants=RULES, inputs=KINDS, **options)


def played(*agents: Any, facts: list[Fact], intent: RootIntent = AFFORDABLE, **options: Any) -> Play:
    return play([book, *agents], facts, intent=intent, invariants=RULES, inputs=KINDS, **options)


def booked(view: View) -> set[str]:
    return {one.carrier for one in view.live(Booking)}


def runs(outcome: Outcome, name: str) -> int:
    return sum(isinstance(event, Activated) and event.agent == name for event in outcome.trace)


# --- stated and mended -----------------------------------------------------------------------------------------------


@in_every_schedule
def test_an_agent_mends_a_violation_by_taking_something_back(schedule: Any):
    """It is told what is wrong, says what no longer holds and why, and the job converges."""
    outcome = run(engine(cancel_the_dearest, schedule=schedule), AFFORDABLE, [SEA, AIR])
    assert outcome.converged
    assert booked(outcome.context) == {"sea"}
    (marker,) = outcome.context.live(Invalidation)
    assert outcome.why(marker).premises() == (Violation("affordable", "10 too much"),)


@in_every_schedule
def test_an_agent_mends_a_violation_by_adding_something(schedule: Any):
    """What is wrong may be what is missing."""
    outcome = run(engine(ask_for_more, schedule=schedule), AFFORDABLE, [RAIL, AIR])
    assert outcome.converged
    assert outcome.context.live(Money) == (Money(40),)
    assert booked(outcome.context) == {"rail", "air"}


@in_every_schedule
def test_what_is_still_wrong_is_stated_again_as_long_as_something_is_done_about_it(schedule: Any):
    """One booking less was not enough, so another one goes."""
    outcome = run(engine(cancel_the_dearest, schedule=schedule), AFFORDABLE, [RAIL, AIR, Offer("road", 60)])
    assert outcome.converged
    assert booked(outcome.context) == {"rail"}
    assert {violation.text for violation in outcome.context.all(Violation)} == {"100 too much", "10 too much"}


@in_every_schedule
def test_several_violations_are_stated_at_once(schedule: Any):
    """And each is a fact of its own, with its rule and what is wrong."""
    intent = RootIntent("book", constraints=("affordable", "no_flights"))
    outcome = run(engine(shrug, schedule=schedule), intent, [RAIL, AIR])
    assert set(outcome.context.all(Violation)) == {
        Violation("affordable", "40 too much"),
        Violation("no_flights", "does not hold"),
    }


def test_a_constraint_is_looked_at_only_when_nothing_is_unread():
    """What is wrong for a while only is not wrong."""

    @agent(reads=Offer, invalidates=Offer)
    def refuse_flights(view: View):
        cheaper = [offer for offer in view.all(Offer) if offer.carrier != "air"]
        return [offer.invalidate("too dear").because(*cheaper) for offer in view.new(Offer) if offer == AIR]

    outcome = run(engine(refuse_flights, shrug), AFFORDABLE, [SEA, AIR])
    assert outcome.converged
    assert outcome.context.all(Violation) == ()


def test_conclusions_that_must_be_drawn_again_come_first():
    """What rests on bookings that fell is settled before anybody is called to account."""

    @agent(reads=Booking, writes=Money)
    def lend(view: View):
        bookings = view.new(Booking)
        return Money(sum(one.price for one in bookings)) if bookings else None  # all of them are the reason

    job = played(lend, shrug, facts=[RAIL, AIR])
    job = go_on(job, [AIR.invalidate("withdrawn"), Offer("road", 90)], invariants=RULES)
    assert job.view.all(Violation) == ()
    assert job.stop is not None
    assert job.stop.reason is StopReason.FIXED_POINT


@pytest.mark.parametrize("schedule", EXACT)
def test_a_settled_agent_chooses_again_when_its_choice_was_not_allowed(schedule: Any):
    """No edge leads from a violation back to who caused it: the mending is an edge, and the only one."""

    @agent(reads=Offer, writes=Booking, when="settled")
    def choose(view: View):
        best = view.best(Offer, by=lambda offer: offer.price)
        return Booking(best.carrier, best.price) if best else None

    @agent(reads=[Violation, Offer], invalidates=Offer)
    def ground(view: View):
        flights = [offer for offer in view.all(Offer) if offer.carrier == "air"]
        return [offer.invalidate("grounded").because(*view.all(Violation)) for offer in flights if view.all(Violation)]

    outcome = run(
        Engine([choose, ground], invariants=RULES, schedule=schedule),
        RootIntent("book", constraints=("no_flights",)),
        [SEA, RAIL, AIR],
    )
    assert outcome.converged
    assert outcome.context.live(Booking) == (Booking("rail", 50),)


# --- not mended ------------------------------------------------------------------------------------------------------


@in_every_schedule
def test_what_nobody_mends_ends_the_job_after_one_attempt(schedule: Any):
    """The stop names the constraint; saying something about it is not mending it."""
    outcome = run(engine(shrug, schedule=schedule), AFFORDABLE, [RAIL, AIR])
    assert outcome.stop.reason is StopReason.INVARIANT
    assert outcome.stop.detail == ("affordable: 40 too much",)
    assert runs(outcome, "shrug") == 1


@in_every_schedule
@pytest.mark.parametrize("willing", [True, False])
def test_a_constraint_whose_words_change_by_themselves_ends_the_job_too(schedule: Any, willing: bool):
    """Stating a violation is no growth: only what agents add could make a second attempt worth while."""

    @invariant
    def few(view: View) -> str:
        return f"{len(view.facts())} facts are too many"

    @agent(reads=Violation, accepts=lambda view: willing)
    def helpless(view: View) -> None:
        pass

    intent = RootIntent("book", constraints=("few",), budget=Budget(rounds=20, activations=20))
    outcome = run(Engine([book, helpless], invariants=[few], schedule=schedule), intent, [SEA])
    assert outcome.stop.reason is StopReason.INVARIANT
    assert runs(outcome, "helpless") == willing


def test_resuming_it_with_nothing_states_nothing_more():
    """Not in other words either: nobody has added anything since."""

    @invariant
    def few(view: View) -> str:
        return f"{len(view.facts())} facts are too many"

    @agent(reads=[Offer, Violation])
    def helpless(view: View) -> None:
        pass

    first = play([helpless], [SEA], intent=RootIntent("book", constraints=("few",)), invariants=[few])
    second = go_on(first, invariants=[few])
    assert second.stop == first.stop
    assert second.bodies == first.bodies


def test_a_constraint_that_cannot_be_computed_is_violated():
    """And says why; who reads violations is told like of any other."""

    @invariant
    def broken(view: View) -> bool:
        raise ZeroDivisionError("no bookings to divide by")

    outcome = run(Engine([book, shrug], invariants=[broken]), RootIntent("book", constraints=("broken",)), [SEA])
    assert outcome.stop.reason is StopReason.INVARIANT
    assert outcome.context.live(Note) == (Note("it raised ZeroDivisionError: no bookings to divide by"),)


def test_a_mender_that_fails_ends_the_job_as_failed():
    """A required agent that failed comes before the constraint it did not mend."""

    @agent(reads=Violation)
    def clumsy(view: View) -> None:
        raise TimeoutError("the accountant is out")

    outcome = run(engine(clumsy), AFFORDABLE, [RAIL, AIR])
    assert outcome.stop.reason is StopReason.AGENT_FAILED
    assert set(outcome.errors) == {"clumsy"}


def test_while_a_required_agent_fails_nothing_is_stated():
    """What it would have said could have changed everything."""

    @agent(reads=Offer)
    def clumsy(view: View) -> None:
        raise TimeoutError("the accountant is out")

    outcome = run(engine(clumsy, shrug), AFFORDABLE, [RAIL, AIR])
    assert outcome.stop.reason is StopReason.AGENT_FAILED
    assert outcome.context.all(Violation) == ()


def test_nothing_is_stated_when_the_budget_is_spent():
    """There may be more to know, and nobody could answer."""
    outcome = run(engine(shrug), RootIntent("book", constraints=("affordable",), budget=Budget(rounds=0)), [RAIL, AIR])
    assert outcome.stop.reason is StopReason.BUDGET
    assert outcome.context.all(Violation) == ()


# --- what a violation is ---------------------------------------------------------------------------------------------


def test_what_nobody_reads_is_not_stated():
    """The stop says it."""
    outcome = run(engine(), AFFORDABLE, [RAIL, AIR])
    assert outcome.stop.reason is StopReason.INVARIANT
    assert outcome.context.all(Violation) == ()


def test_a_violation_is_in_no_digest():
    """It is about this run, not about the world."""

    @agent(reads=Violation)
    def listen(view: View) -> None:
        pass

    heard, unheard = run(engine(listen), AFFORDABLE, [RAIL, AIR]), run(engine(), AFFORDABLE, [RAIL, AIR])
    assert heard.context.all(Violation) != unheard.context.all(Violation)
    assert digests(heard.context) == digests(unheard.context)


def test_a_violation_stays_when_it_is_mended():
    """Like a conflict it is never withdrawn, so what was concluded from it stays too."""
    outcome = run(engine(cancel_the_dearest, shrug), AFFORDABLE, [SEA, AIR])
    assert outcome.converged
    assert outcome.context.live(Violation) == (Violation("affordable", "10 too much"),)
    assert outcome.context.live(Note) == (Note("10 too much"),)


def test_a_violation_has_no_reason():
    """It is stated from outside of all agents, so a proof ends in it."""
    outcome = run(engine(shrug), AFFORDABLE, [RAIL, AIR])
    assert outcome.why(Violation("affordable", "40 too much")).agent is None


def test_a_violation_is_stated_by_the_runtime_only():
    """No agent declares that it writes one."""
    with pytest.raises(AgentInvalid, match="Violation is stated by the runtime only"):
        agent(reads=Offer, writes=Violation, name="judge")(lambda view: None)


# --- schedules and resumes -------------------------------------------------------------------------------------------

offers = st.lists(st.builds(Offer, st.sampled_from(["sea", "rail", "air"]), st.integers(10, 90)), max_size=5)
menders = st.sets(st.sampled_from(["cancel_the_dearest", "ask_for_more", "shrug"]))
BY_NAME = {one.name: one for one in (cancel_the_dearest, ask_for_more, shrug)}


@given(offers, menders)
@settings(max_examples=40)
def test_exact_schedules_agree_on_what_is_violated_and_mended(facts, names):
    """In every fact, support and round, in the attempts that are made, and in how it ends."""
    agents = [BY_NAME[name] for name in sorted(names)]
    one, other = (played(*agents, facts=facts, schedule=schedule) for schedule in EXACT)
    assert (digests(one.view), one.rounds, one.activations) == (digests(other.view), other.rounds, other.activations)
    assert one.stop == other.stop


@given(offers, menders, st.integers(0, 4))
@settings(max_examples=40)
def test_a_job_that_is_cut_while_it_mends_goes_on_as_if_it_had_not_been(facts, names, rounds):
    """What was stated before the cut is neither forgotten nor stated twice."""
    agents = [BY_NAME[name] for name in sorted(names)]
    whole = played(*agents, facts=facts)
    cut = go_on(played(*agents, facts=facts, budget=Budget(rounds=rounds)), budget=Budget(), invariants=RULES)
    assert (digests(cut.view), cut.rounds, cut.activations) == (digests(whole.view), whole.rounds, whole.activations)
    assert cut.stop == whole.stop


def over_resumes(store: Store, *steps: tuple[list[Any], list[Fact]]) -> list[Outcome]:
    """Run and resume one job, each time with these agents besides `book` and these facts."""

    async def live() -> list[Outcome]:
        outcomes: list[Outcome] = []
        for agents, facts in steps:
            kept = engine(*agents, store=store)
            if outcomes:
                outcomes.append(await kept.resume(outcomes[0].job_id, facts))
            else:
                outcomes.append(await kept.run(AFFORDABLE, facts))
        return outcomes

    return asyncio.run(live())


@pytest.mark.parametrize("made", [lambda path: MemoryStore(), SQLiteStore], ids=["memory", "file"])
def test_a_violated_job_is_mended_by_an_agent_that_comes_with_a_resume(made: Callable[[Path], Store], tmp_path: Path):
    """The stop said what was wrong; whoever can mend it is added, and the job goes on."""
    violated, mended = over_resumes(made(tmp_path / "jobs.db"), ([], [SEA, AIR]), ([cancel_the_dearest], []))
    assert violated.stop.reason is StopReason.INVARIANT
    assert mended.converged
    assert booked(mended.context) == {"sea"}


def test_a_violated_job_that_is_resumed_with_nothing_makes_no_second_attempt():
    """Nothing has changed, so nobody is asked again, and nothing is added."""
    first, second = over_resumes(MemoryStore(), ([shrug], [RAIL, AIR]), ([shrug], []))
    assert (first.stop, first.cycles) == (second.stop, second.cycles)
    assert runs(second, "shrug") == 1


def test_what_is_violated_by_late_facts_is_stated_and_mended():
    """A job that had converged may come to break its constraint."""
    first, second = over_resumes(MemoryStore(), ([cancel_the_dearest], [SEA, RAIL]), ([cancel_the_dearest], [AIR]))
    assert first.converged
    assert second.converged
    assert booked(second.context) == {"sea", "rail"}


def test_late_money_mends_as_well():
    """Not only agents mend: what is given from outside may end what was wrong."""
    first, second = over_resumes(MemoryStore(), ([shrug], [RAIL, AIR]), ([shrug], [Money(40)]))
    assert first.stop.reason is StopReason.INVARIANT
    assert second.converged
    assert second.context.live(Note) == (Note("40 too much"),)


def test_a_constraint_can_be_any_predicate_of_what_holds():
    """A plain function with a name will do; it is asked about live facts, whatever was stated once."""
    rule = Invariant("three_at_most", lambda view: view.count(Booking) <= 3 or f"{view.count(Booking)} bookings")
    facts: list[Fact] = [Offer(carrier, 1) for carrier in ("sea", "rail", "air", "road")]
    outcome = run(Engine([book, shrug], invariants=[rule]), RootIntent("book", constraints=("three_at_most",)), facts)
    assert outcome.stop.detail == ("three_at_most: 4 bookings",)
    assert outcome.context.live(Note) == (Note("4 bookings"),)
