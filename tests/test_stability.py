"""Stability: who says something new for reasons read before is named; what was struck on the way leaves no trace.

The first half is about authors of agents, who are told by name when theirs is no function of its view; the second about
the live digest, which must not depend on conclusions that somebody drew on the way and nobody draws any more.
"""

import itertools
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Agent, Budget, Engine, Fact, Invalidation, Live, RootIntent, StopReason, View, agent, id_of, run
from converge.trace import Warned
from tests.jobs import KINDS, PURE, Play, agents_of, go_on, plans, play
from tests.jobs import premises as given_facts

North, East, South, Middle, Top = KINDS
EXACT = ["lockstep", "frontier"]
SCHEDULES = [*EXACT, "stream"]


class Report(Fact):
    text: str


class Ticket(Fact):
    number: str
    text: str


class Ban(Fact):
    name: str


class Option(Fact, key="name"):
    name: str
    price: int


class Choice(Fact):
    name: str


def unstable(job: Play) -> list[str]:
    """Return who is named as unstable, each as often as it is."""
    said = [event for event in job.machine.trace if isinstance(event, Warned)]
    return [event.agent for event in said if event.text.startswith("is unstable: ")]


def lived(agents: Iterable[Agent], *batches: list[Any], schedule: str = "frontier") -> Play:
    job = play(agents, batches[0], schedule=schedule)
    for facts in batches[1:]:
        job = go_on(job, facts)
    return job


# --- agents that are named -------------------------------------------------------------------------------------------


def numbering(mint: Callable[[], object], *, cites: bool = True) -> Agent:
    """Return an agent that opens a ticket for each report, numbered as it pleases, each time it is asked."""

    @agent(reads=Report, writes=Ticket, name="clerk")
    def clerk(view: View):
        for report in view.all(Report):
            ticket = Ticket(str(mint()), report.text)
            yield ticket.because(report) if cites else ticket

    return clerk


MINTS = pytest.mark.parametrize("mint", [uuid.uuid4, itertools.count().__next__], ids=["uuid", "counter"])
LEAK, SMOKE, NOISE = Report("leak"), Report("smoke"), Report("noise")


@MINTS
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_an_agent_that_mints_new_ids_from_what_it_had_read_is_named(mint: Callable[[], object], schedule: str):
    """It has a new ticket for an old report: the same view would give other facts the next time, too."""
    assert unstable(lived([numbering(mint)], [LEAK], [SMOKE], schedule=schedule)) == ["clerk"]


@MINTS
def test_it_is_named_once_in_the_life_of_a_job(mint: Callable[[], object]):
    """However often it is resumed."""
    assert unstable(lived([numbering(mint)], [LEAK], [SMOKE], [NOISE], [Report("heat")])) == ["clerk"]


@MINTS
def test_it_is_not_named_before_it_shows(mint: Callable[[], object]):
    """A number may be made up once."""
    assert unstable(lived([numbering(mint)], [LEAK, SMOKE])) == []


def test_the_warning_says_what_is_wrong_and_what_it_emitted():
    """In the words of the outcome: who, which fact, and the two ways to mend it."""
    numbers = itertools.count()

    @agent(reads=[Report, Ticket], writes=Ticket)
    def clerk(view: View):
        return [Ticket(str(next(numbers)), report.text).because(report) for report in view.all(Report)]

    outcome = run([clerk], RootIntent("file", budget=Budget(rounds=3)), [LEAK])
    (warning,) = outcome.warnings
    assert warning.startswith(f"agent clerk is unstable: it emits {id_of(Ticket('1', 'leak'))} because of facts that")
    assert "the same view gives other facts, or it cites too little" in warning


def test_one_that_wakes_itself_so_ends_by_its_budget_and_is_named():
    """Each new ticket is something new to read: nothing but the budget ends that, and the warning says why."""
    numbers = itertools.count()

    @agent(reads=[Report, Ticket], writes=Ticket)
    def clerk(view: View):
        return [Ticket(str(next(numbers)), report.text).because(report) for report in view.all(Report)]

    outcome = run([clerk], RootIntent("file", budget=Budget(rounds=20)), [LEAK])
    assert outcome.stop.reason is StopReason.BUDGET
    assert len(outcome.warnings) == 1


def test_one_that_cites_too_little_is_named_as_well():
    """What it says depends on more than it says: the new option is part of the reason, and not named."""

    @agent(reads=[Report, Option], writes=Choice)
    def pair(view: View):
        for report, option in itertools.product(view.all(Report), view.all(Option)):
            yield Choice(f"{report.text} by {option.name}").because(report)

    assert unstable(lived([pair], [LEAK, Option("sea", 1)], [Option("rail", 2)])) == ["pair"]


def test_one_that_cites_nothing_is_not_named():
    """Its reason is everything it was given, which is more each time; that it cites nothing is a warning of its own."""
    job = lived([numbering(itertools.count().__next__, cites=False)], [LEAK], [SMOKE])
    (warning,) = (event for event in job.machine.trace if isinstance(event, Warned))
    assert "cited none" in warning.text


@pytest.mark.asyncio
async def test_the_certificate_names_one_that_cites_nothing():
    """What it would say now of the same view it has not said before."""
    engine = Engine([numbering(itertools.count().__next__, cites=False)])
    certificate = await engine.certify(await engine.run("file", [LEAK]))
    assert not certificate.holds
    assert [problem.agent for problem in certificate.problems] == ["clerk"]


# --- agents that are not ---------------------------------------------------------------------------------------------


@given(plans(shapes=(*PURE, "strike")), given_facts(), given_facts(), st.data(), st.sampled_from(SCHEDULES))
@settings(max_examples=80)
def test_a_sound_agent_is_never_named(plan, facts, late, data, schedule):
    """Whatever comes late, falls and comes back, under any schedule."""
    markers = [fact.invalidate("late") for fact in facts + late if data.draw(st.booleans())]
    back = [marker.invalidate("later") for marker in markers if data.draw(st.booleans())]
    assert unstable(lived(agents_of(plan), facts, late, markers, back, schedule=schedule)) == []


@agent(reads=[Option, Ban], invalidates=Option)
def comply(view: View):
    for ban in view.all(Ban):
        for option in view.all(Option, ban.name):
            yield option.invalidate(f"{ban.name} is banned").because(ban)


@agent(reads=[Option, Ban], writes=Option, invalidates=Option)
def tax(view: View):
    for ban in view.all(Ban):
        for option in view.all(Option, ban.name):
            if option.price < 100:
                yield option.revise(price=option.price + 100).because(ban)


@pytest.mark.parametrize("one", [comply, tax], ids=["invalidation", "revision"])
def test_an_old_reason_against_something_new_is_sound(one: Agent):
    """A marker must not cite what it is about: what it is about counts as read all the same."""
    assert unstable(lived([one], [Ban("sea")], [Option("sea", 9)], [Option("sea", 8)])) == []


def test_a_new_version_may_say_something_new():
    """It has read nothing yet."""

    def version(number: str) -> Agent:
        @agent(reads=Report, writes=Ticket, name="clerk", version=number)
        def clerk(view: View):
            return [Ticket(number, report.text).because(report) for report in view.all(Report)]

        return clerk

    assert unstable(go_on(lived([version("1")], [LEAK]), agents=[version("2")])) == []


def test_an_agent_that_failed_may_say_something_new():
    """It has not come to an end on what it had read."""
    attempts = itertools.count()

    @agent(reads=Report, writes=Ticket, required=False)
    def clerk(view: View):
        for report in view.all(Report):
            if next(attempts) == 0:
                raise TimeoutError("the printer is out of paper")
            yield Ticket("one", report.text).because(report)

    job = lived([clerk], [LEAK], [SMOKE])
    assert set(job.view.live(Ticket)) == {Ticket("one", "leak"), Ticket("one", "smoke")}
    assert unstable(job) == []


def test_an_agent_that_waited_may_say_something_new():
    """What it refused is not read."""

    @agent(reads=Report, writes=Ticket, accepts=lambda view: len(view.new(Report)) > 1)
    def clerk(view: View):
        return [Ticket("one", report.text).because(report) for report in view.all(Report)]

    assert unstable(lived([clerk], [LEAK], [SMOKE], [NOISE])) == []


def test_an_agent_that_is_given_something_again_may_say_something_new():
    """That is what it was given it for."""

    @agent(reads=Report, writes=Ticket)
    def clerk(view: View):
        if reports := view.new(Report):
            texts = sorted(report.text for report in reports)
            yield Ticket("all", " ".join(texts))  # uncited: all of them are the reason
            yield from (Ticket("last", texts[-1]).because(report) for report in reports if report.text == texts[-1])

    job = lived([clerk], [LEAK, SMOKE], [SMOKE.invalidate("a barbecue")])
    assert set(job.view.live(Ticket)) == {Ticket("all", "leak"), Ticket("last", "leak")}
    assert unstable(job) == []


def test_an_agent_that_replaces_its_conclusions_may_say_something_new():
    """The best of what there is may be another one each time, for whatever reason it gives."""

    @agent(reads=Live(Option), writes=Choice)
    def choose(view: View):
        best = view.best(Option, by=lambda option: -option.price)
        return Choice(best.name).because(best) if best else None

    sea = Option("sea", 1)
    job = lived([choose], [sea, Option("rail", 2)], [sea.invalidate("sunk")])
    assert job.view.live(Choice) == (Choice("rail"),)
    assert unstable(job) == []


# --- what nobody draws any more --------------------------------------------------------------------------------------


@agent(reads=Option, writes=Choice, when="settled")
def choose(view: View):
    best = view.best(Option, by=lambda option: -option.price)
    return Choice(best.name) if best else None


@agent(reads=[Ban, Choice], invalidates=Choice)
def veto(view: View):
    """Strike every choice that is banned, whether or not it is still the choice."""
    for ban in view.all(Ban):
        yield from (choice.invalidate("banned").because(ban) for choice in view.all(Choice) if choice.name == ban.name)


SEA, RAIL = Option("sea", 5), Option("rail", 7)


def live_digest(*batches: list[Any], schedule: str = "frontier", agents: tuple[Agent, ...] = (choose, veto)) -> str:
    return lived(agents, *batches, schedule=schedule).view.live_digest()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_marker_on_a_conclusion_nobody_draws_any_more_makes_no_difference(schedule: str):
    """Rail was the choice and was struck; since there is the sea, who knows it from the start never chose rail."""
    late = lived([choose, veto], [RAIL, Ban("rail")], [SEA], schedule=schedule)
    scratch = lived([choose, veto], [RAIL, Ban("rail"), SEA], schedule=schedule)
    assert len(late.view.live(Invalidation)) == 1
    assert scratch.view.live(Invalidation) == ()
    assert late.view.live_digest() == scratch.view.live_digest()


def test_a_marker_on_a_conclusion_that_is_drawn_does():
    """Whether the choice holds is what the digest is about."""

    @agent(reads=[Ban, Choice], invalidates=Choice, name="veto")
    def let_pass(view: View) -> None:
        pass

    assert live_digest([RAIL, Ban("rail")]) != live_digest([RAIL, Ban("rail")], agents=(choose, let_pass))


def test_it_makes_a_difference_again_when_the_conclusion_is_drawn_again():
    """The sea falls, rail is the choice again, and is struck again."""
    sunk = SEA.invalidate("sunk")
    assert live_digest([RAIL, Ban("rail")], [SEA], [sunk]) == live_digest([RAIL, Ban("rail"), SEA, sunk])


def test_a_marker_whose_reason_fell_makes_no_difference():
    """It is dead, and dead facts are in no live digest."""
    lifted = Ban("rail").invalidate("lifted")
    assert live_digest([RAIL, Ban("rail")], [lifted]) == live_digest([RAIL, Ban("rail"), lifted])


def test_a_marker_on_such_a_marker_makes_no_difference_either():
    """Whoever spares a choice that nobody makes any more has spared nothing."""

    @agent(reads=[Report, Invalidation], invalidates=Invalidation)
    def pardon(view: View):
        for report in view.all(Report):
            struck = (marker for marker in view.all(Invalidation) if marker.target.startswith("Choice"))
            yield from (marker.invalidate(report.text).because(report) for marker in struck)

    facts = [RAIL, Ban("rail"), Report("mercy")]
    first = play([choose, veto, pardon], facts, allow_disputes=True)
    late, scratch = go_on(first, [SEA]), play([choose, veto, pardon], [*facts, SEA], allow_disputes=True)
    assert late.view.live_digest() == scratch.view.live_digest()


@given(plans(shapes=(*PURE, "strike", "strike", "sum")), given_facts(), given_facts(), st.data())
@settings(max_examples=80)
def test_the_live_digest_is_that_of_a_run_from_scratch_whatever_was_struck_on_the_way(plan, facts, late, data):
    """Strikes of replaced conclusions included, under either exact schedule."""
    schedule = data.draw(st.sampled_from(EXACT))
    markers = [fact.invalidate("late") for fact in facts + late if data.draw(st.booleans())]
    job = lived(agents_of(plan), facts, late + markers, schedule=schedule)
    assert job.view.live_digest() == play(agents_of(plan), facts + late + markers, schedule=schedule).view.live_digest()
