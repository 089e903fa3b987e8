"""Agents that give one view two answers are named; recommendations that change with what is known are not."""

from itertools import count

import pytest
from hypothesis import given, settings

from converge import Engine, Fact, agent, run
from converge.stores import MemoryStore, SQLiteStore
from tests.jobs import PURE, agents_of, go_on, plans, play
from tests.jobs import premises as given_facts


class Offer(Fact):
    shop: str
    price: int


class Choice(Fact):
    shop: str


class Note(Fact):
    text: str


@agent(reads=Offer, writes=Choice, when="settled")
def choose(view):
    best = view.best(Offer, by=lambda offer: -offer.price)
    return Choice(best.shop).because(best) if best else None


def unstable(outcome) -> list[str]:
    return [warning for warning in outcome.warnings if "is unstable" in warning]


@pytest.mark.asyncio
async def test_an_agent_that_mints_new_ids_from_what_it_had_read_is_named():
    """A counter in its content makes everything new for ever."""
    number = count()

    @agent(reads=Offer, writes=Note)
    def mint(view):
        return [Note(f"{offer.shop} {next(number)}").because(offer) for offer in view.all(Offer)]

    engine = Engine([mint])
    first = await engine.run("buy", [Offer("a", 1)], job_id="one")
    assert unstable(first) == []
    later = await engine.resume("one", [Offer("b", 2)])
    assert [warning.startswith("agent mint is unstable: it emits Note:") for warning in unstable(later)] == [True]
    assert len(unstable(await engine.resume("one", [Offer("c", 3)]))) == 1


@pytest.mark.asyncio
async def test_the_certificate_names_an_agent_that_mints_without_citing():
    """What it would say now of the same view it has not said before."""
    number = count()

    @agent(reads=Offer, writes=Note)
    def mint(view):
        return [Note(f"number {next(number)}")] if view.new(Offer) else None

    engine = Engine([mint])
    certificate = await engine.certify(await engine.run("buy", [Offer("a", 1)]))
    assert not certificate.holds
    assert [problem.agent for problem in certificate.problems] == ["mint"]


@given(plans(shapes=PURE), given_facts(), given_facts())
@settings(max_examples=60)
def test_a_sound_agent_is_never_called_unstable(plan, facts, late):
    """Pairs of an old and a new fact, markers with an old reason, conclusions that change: none of it is a mood."""
    job = go_on(play(agents_of(plan), facts), late)
    assert [event for event in job.machine.trace if "is unstable" in getattr(event, "text", "")] == []


@pytest.mark.parametrize("schedule", ["frontier", "lockstep"])
@pytest.mark.parametrize("kept", ["memory", "file"])
@pytest.mark.asyncio
async def test_a_better_offer_takes_the_place_of_the_old_choice_and_gives_it_back(schedule, kept, tmp_path):
    """The old choice falls when a better offer comes, and is back when that offer falls."""
    store = MemoryStore() if kept == "memory" else SQLiteStore(tmp_path / "jobs.db")
    engine = Engine([choose], store=store, schedule=schedule)
    first = await engine.run("buy", [Offer("corner", 9)], job_id="one")
    second = await engine.resume("one", [Offer("market", 5)])
    third = await engine.resume("one", [Offer("market", 5).invalidate("sold out")])
    choices = [outcome.context.live(Choice) for outcome in (first, second, third)]
    assert choices == [(Choice("corner"),), (Choice("market"),), (Choice("corner"),)]
    assert second.context.dead(Choice) == (Choice("corner"),)
    assert third.why(Choice("corner")).premises() == (Offer("corner", 9),)
    assert third.live_digest != second.live_digest


def test_an_offer_among_many_is_chosen_once():
    """Nothing falls in a job that knows everything from the start."""
    outcome = run(Engine([choose]), "buy", [Offer(f"shop {n}", n) for n in range(5)])
    assert (outcome.context.live(Choice), outcome.context.dead(Choice)) == ((Choice("shop 0"),), ())
