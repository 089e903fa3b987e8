"""What fell and what came back: conclusions that are replaced, and how an agent asks what has changed.

The jobs here recommend a carrier: the cheapest offer that holds. Offers are withdrawn, sometimes in error.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Engine, Fact, Live, Outcome, StopReason, View, agent, run
from converge.errors import FactNotLive, NonMonotoneRead, UndeclaredRead
from converge.ports import Store
from converge.stores import MemoryStore, SQLiteStore
from tests.jobs import digests, go_on, play

EXACT = ["lockstep", "frontier"]
in_every_exact_schedule = pytest.mark.parametrize("schedule", EXACT)


class Offer(Fact, key="carrier"):
    carrier: str
    price: int


class Complaint(Fact):
    carrier: str


class Advice(Fact):
    carrier: str


class Letter(Fact):
    text: str


SEA, RAIL, AIR = Offer("sea", 5), Offer("rail", 7), Offer("air", 9)


@agent(reads=Offer, writes=Advice, when="settled")
def recommend(view: View):
    best = view.best(Offer, by=lambda offer: -offer.price)
    return Advice(best.carrier) if best else None


@agent(reads=Advice, writes=Letter)
def write_letter(view: View):
    return [Letter(f"we choose {advice.carrier}").because(advice) for advice in view.new(Advice)]


@agent(reads=[Offer, Complaint], invalidates=Offer)
def strike(view: View):
    for complaint in view.all(Complaint):
        for offer in view.all(Offer, complaint.carrier):
            yield offer.invalidate("somebody complained").because(complaint)


def withdrawn(fact: Fact) -> Fact:
    return fact.invalidate("withdrawn")


def lived(agents: list[Any], *batches: list[Fact], schedule: Any = "frontier", store: Store | None = None) -> Outcome:
    """Run a job on the first facts, resume it with each later batch, each time in an engine that never saw it."""

    async def live() -> Outcome:
        kept = MemoryStore() if store is None else store
        outcome = await Engine(agents, schedule=schedule, store=kept).run("recommend", batches[0])
        for facts in batches[1:]:
            outcome = await Engine(agents, schedule=schedule, store=kept).resume(outcome.job_id, facts)
        return outcome

    return asyncio.run(live())


def advised(outcome: Outcome) -> list[str]:
    assert outcome.converged
    return [advice.carrier for advice in outcome.context.live(Advice)]


# --- conclusions that are replaced -----------------------------------------------------------------------------------


def test_of_many_offers_one_is_recommended_once():
    """Nothing falls in a job that knows everything from the start."""
    outcome = run([recommend], "recommend", [RAIL, SEA, AIR])
    assert (outcome.context.live(Advice), outcome.context.dead(Advice)) == ((Advice("sea"),), ())


@in_every_exact_schedule
def test_a_better_offer_makes_the_old_recommendation_fall(schedule: str):
    """It is no longer drawn, though what it rested on still holds; what followed from it falls as well."""
    outcome = lived([recommend, write_letter], [RAIL, AIR], [SEA], schedule=schedule)
    assert advised(outcome) == ["sea"]
    assert outcome.context.dead(Advice) == (Advice("rail"),)
    assert outcome.context.live(Letter) == (Letter("we choose sea"),)
    assert set(outcome.context.live(Offer)) == {SEA, RAIL, AIR}


@in_every_exact_schedule
def test_when_the_better_offer_falls_the_old_recommendation_is_back(schedule: str):
    """Drawn again, it holds again, and so does what had followed from it."""
    outcome = lived([recommend, write_letter], [RAIL, AIR], [SEA], [withdrawn(SEA)], schedule=schedule)
    assert advised(outcome) == ["rail"]
    assert outcome.context.dead(Advice) == (Advice("sea"),)
    assert outcome.context.live(Letter) == (Letter("we choose rail"),)


def test_why_follows_what_holds():
    """A recommendation is proved by the offer it is for; one that fell has no proof until it is back."""
    first = lived([recommend], [RAIL], [SEA])
    assert first.why(Advice("sea")).premises() == (SEA,)
    with pytest.raises(FactNotLive, match="is known and not live"):
        first.why(Advice("rail"))
    second = lived([recommend], [RAIL], [SEA], [withdrawn(SEA)])
    assert second.why(Advice("rail")).premises() == (RAIL,)


@in_every_exact_schedule
def test_when_no_offer_is_left_there_is_no_recommendation(schedule: str):
    """An activation that concludes nothing replaces what the one before concluded."""
    assert advised(lived([recommend], [RAIL], [withdrawn(RAIL)], schedule=schedule)) == []


@in_every_exact_schedule
def test_a_recommendation_falls_and_returns_within_one_job(schedule: str):
    """Complaints strike offers while the job runs; the recommendation is what a run without those offers gives."""
    outcome = lived([recommend, strike], [SEA, RAIL, Complaint("sea")], schedule=schedule)
    assert advised(outcome) == ["rail"]
    outcome = lived(
        [recommend, strike], [SEA, RAIL, Complaint("sea")], [withdrawn(Complaint("sea"))], schedule=schedule
    )
    assert advised(outcome) == ["sea"]


@in_every_exact_schedule
def test_a_recommendation_falls_and_returns_over_a_file(schedule: str, tmp_path: Path):
    """Each step in an engine that knows the job from its rows only."""
    steps: list[list[Fact]] = [[RAIL, AIR], [SEA], [withdrawn(SEA)], [withdrawn(withdrawn(SEA))]]
    found = []
    for count in range(1, len(steps) + 1):
        store = SQLiteStore(tmp_path / f"{count}.db")
        found += advised(lived([recommend], *steps[:count], schedule=schedule, store=store))
    assert found == ["rail", "sea", "rail", "sea"]


offers = st.builds(Offer, st.sampled_from(["sea", "rail", "air"]), st.integers(1, 4))


@given(st.lists(offers, min_size=1, max_size=5, unique=True), st.data())
@settings(max_examples=40)
def test_the_recommendation_is_that_of_a_run_from_scratch(facts, data):
    """However late offers came, were withdrawn and came back; in memory and in rows, under either exact schedule."""
    schedule = data.draw(st.sampled_from(EXACT))
    cut = data.draw(st.integers(0, len(facts)))
    markers = [withdrawn(offer) for offer in facts if data.draw(st.booleans())]
    back = [withdrawn(marker) for marker in markers if data.draw(st.booleans())]
    agents = [recommend, write_letter]
    job = play(agents, facts[:cut], schedule=schedule)
    for late in (facts[cut:], markers, back):
        job = go_on(job, late)
    assert job.view.live_digest() == play(agents, [*facts, *markers, *back]).view.live_digest()


# --- asking what fell and what came back -----------------------------------------------------------------------------


class Diary(list[tuple[set[str], set[str]]]):
    """What an agent was told in each of its activations: the carriers whose offers fell, and those that came back."""

    def keeper(self, **options: Any) -> Any:
        @agent(**{"reads": Live(Offer), **options}, name="keeper")
        def keep(view: View) -> None:
            lost, revived = view.lost(Offer), view.revived(Offer)
            self.append(({offer.carrier for offer in lost}, {offer.carrier for offer in revived}))

        return keep


HOW = pytest.mark.parametrize(
    "options", [{"reads": Live(Offer)}, {"reads": Offer, "when": "settled"}], ids=["live", "settled"]
)
NOTHING: tuple[set[str], set[str]] = (set(), set())


@HOW
@in_every_exact_schedule
def test_at_first_nothing_has_fallen_and_nothing_come_back(options: dict[str, Any], schedule: Any):
    """Whoever has not looked yet has missed nothing, dead though an offer may be."""
    diary = Diary()
    lived([diary.keeper(**options)], [SEA, RAIL, withdrawn(RAIL)], schedule=schedule)
    assert diary == [NOTHING]


@HOW
@in_every_exact_schedule
def test_what_fell_since_the_last_time_is_told_once(options: dict[str, Any], schedule: Any):
    """Over resumes: what was told is not told again."""
    diary = Diary()
    lived([diary.keeper(**options)], [SEA, RAIL], [withdrawn(SEA)], [AIR], schedule=schedule)
    assert diary == [NOTHING, ({"sea"}, set()), NOTHING]


@HOW
@in_every_exact_schedule
def test_what_came_back_since_the_last_time_is_told_once(options: dict[str, Any], schedule: Any):
    """A marker that is marked in turn brings back what it struck."""
    diary, marker = Diary(), withdrawn(SEA)
    lived([diary.keeper(**options)], [SEA, RAIL], [marker], [withdrawn(marker)], [AIR], schedule=schedule)
    assert diary == [NOTHING, ({"sea"}, set()), (set(), {"sea"}), NOTHING]


@HOW
def test_both_are_told_of_in_one_activation(options: dict[str, Any]):
    """One offer comes back while another one falls."""
    diary, marker = Diary(), withdrawn(SEA)
    lived([diary.keeper(**options)], [SEA, RAIL], [marker], [withdrawn(marker), withdrawn(RAIL)])
    assert diary[-1] == ({"rail"}, {"sea"})


def test_what_came_and_fell_in_between_was_never_missed():
    """An offer that the agent did not see alive is neither lost nor revived."""
    diary = Diary()
    lived([diary.keeper()], [SEA], [AIR, withdrawn(AIR)])
    assert diary[-1] == NOTHING


def test_what_fell_and_came_back_in_between_is_as_it_was():
    """Only the difference counts, not the way."""
    diary = Diary()
    lived([diary.keeper()], [SEA], [withdrawn(SEA), withdrawn(withdrawn(SEA)), AIR])
    assert diary[-1] == NOTHING


def test_an_agent_that_failed_is_told_when_it_completes():
    """What counts is when it last came to an end; on a resume it is tried on what it failed on, then goes on."""
    diary, fails = Diary(), iter([False, True, False, False])

    @agent(reads=Live(Offer), required=False)
    def careless(view: View) -> None:
        diary.append(({offer.carrier for offer in view.lost(Offer)}, set()))
        if next(fails):
            raise TimeoutError("no answer")

    lived([careless], [SEA, RAIL], [withdrawn(SEA)], [AIR])
    assert diary == [NOTHING, ({"sea"}, set()), ({"sea"}, set()), NOTHING]


@HOW
def test_what_falls_while_the_job_runs_is_told_as_well(options: dict[str, Any]):
    """It need not be a resume that changes things."""
    diary = Diary()
    lived([diary.keeper(**options), strike], [SEA, RAIL], [Complaint("rail")])
    assert set().union(*(lost for lost, _ in diary)) == {"rail"}


@in_every_exact_schedule
def test_a_conclusion_nobody_draws_any_more_is_lost(schedule: Any):
    """Replaced conclusions fall like any fact, and come back like any."""
    told: list[tuple[str, Advice]] = []

    @agent(reads=Live(Advice))
    def keep(view: View) -> None:
        told.extend(("lost", advice) for advice in view.lost(Advice))
        told.extend(("revived", advice) for advice in view.revived(Advice))

    lived([recommend, keep], [RAIL], [SEA], [withdrawn(SEA)], schedule=schedule)
    assert told == [("lost", Advice("rail")), ("lost", Advice("sea")), ("revived", Advice("rail"))]


@given(st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=5), st.sampled_from(EXACT))
@settings(max_examples=40)
def test_what_is_told_is_what_changed_since_the_last_time(toggled, schedule):
    """What was live last time and is not is lost; what is revived was not live last time: nothing is told but that."""
    pool: list[Fact] = [Offer("sea", n) for n in range(6)]
    last: dict[int, Fact] = {}  # the newest fact about each offer: itself, its marker, the marker's marker, and so on
    held: set[Offer] = set()
    wrong: list[View] = []

    @agent(reads=Live(Offer))
    def keep(view: View) -> None:
        live, lost, revived = (set(told) for told in (view.live(Offer), view.lost(Offer), view.revived(Offer)))
        if lost != held - live or not revived <= live - held:
            wrong.append(view)
        held.clear()
        held.update(live)

    job = play([keep], [], schedule=schedule)
    for flipped in toggled:
        facts = [last[n].invalidate("flip") if n in last else pool[n] for n in sorted(flipped)]
        last |= dict(zip(sorted(flipped), facts, strict=True))
        job = go_on(job, facts)
    assert not wrong
    assert held == set(job.view.live(Offer))


# --- what such conclusions rest on -----------------------------------------------------------------------------------


@HOW
def test_a_conclusion_from_what_fell_does_not_rest_on_it(options: dict[str, Any]):
    """It would fall with it at once."""

    @agent(**options, writes=Letter)
    def regret(view: View):
        return [Letter(f"{offer.carrier} is off") for offer in view.lost(Offer)]

    outcome = lived([regret], [SEA, RAIL], [withdrawn(SEA)])
    assert outcome.context.live(Letter) == (Letter("sea is off"),)


@HOW
def test_a_conclusion_from_what_came_back_rests_on_that(options: dict[str, Any]):
    """And on nothing else that the agent had seen."""

    @agent(**options, writes=Letter)
    def welcome(view: View):
        return [Letter(f"{offer.carrier} is on again") for offer in view.revived(Offer)]

    marker = withdrawn(SEA)
    outcome = lived([welcome], [SEA, RAIL, AIR], [marker, withdrawn(AIR)], [withdrawn(marker)])
    assert outcome.why(Letter("sea is on again")).premises() == (SEA,)


def test_what_was_concluded_from_a_loss_falls_when_it_is_no_longer_told():
    """The agent replaces its conclusions: to keep one, it must be drawn each time."""

    @agent(reads=Live(Offer), writes=Letter)
    def regret(view: View):
        return [Letter(f"{offer.carrier} is off") for offer in view.lost(Offer)]

    outcome = lived([regret], [SEA, RAIL], [withdrawn(SEA)], [AIR])
    assert outcome.context.live(Letter) == ()
    assert outcome.context.dead(Letter) == (Letter("sea is off"),)


# --- what must be declared -------------------------------------------------------------------------------------------

ASKS = pytest.mark.parametrize("call", ["lost", "revived"])


@ASKS
def test_asking_is_declared(call: str):
    """What has fallen can change as facts are added; the call, the kind and the remedy are named."""

    @agent(reads=Offer)
    def curious(view: View) -> None:
        getattr(view, call)(Offer)

    outcome = run([curious], "recommend", [SEA])
    assert outcome.stop.reason is StopReason.AGENT_FAILED
    error = outcome.errors["curious"]
    assert isinstance(error, NonMonotoneRead)
    assert str(error) == (
        f"agent curious calls view.{call}(Offer), whose answer can change as facts are added: "
        "declare reads=[Live(Offer)] or when='settled'"
    )


@ASKS
def test_asking_about_a_kind_that_is_not_read_is_an_undeclared_read(call: str):
    """As with every other call."""

    @agent(reads=Live(Offer))
    def curious(view: View) -> None:
        getattr(view, call)(Advice)

    assert isinstance(run([curious], "recommend", [SEA]).errors["curious"], UndeclaredRead)


@ASKS
def test_outside_of_agents_nothing_is_lost_or_revived(call: str):
    """Nobody there has looked before."""
    outcome = run([recommend], "recommend", [SEA, withdrawn(SEA)])
    assert getattr(outcome.context, call)(Offer) == ()


def test_both_schedules_tell_the_same():
    """So what is concluded from it is the same in facts and supports."""

    @agent(reads=[Live(Offer), Complaint], writes=Letter)
    def report(view: View):
        for offer in view.lost(Offer):
            yield Letter(f"{offer.carrier} fell")
        yield Letter(f"{view.count(Offer)} offers stand")

    one, other = (
        play([report, strike, recommend], [SEA, RAIL, AIR, Complaint("sea")], schedule=schedule) for schedule in EXACT
    )
    one, other = (go_on(job, [Complaint("air"), withdrawn(Complaint("sea"))]) for job in (one, other))
    assert digests(one.view) == digests(other.view)
