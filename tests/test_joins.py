"""Joins: of a kind with policy "join" a view gives per key the least upper bound of the facts.

The jobs here are about a lot under the hammer (the highest bid counts), a delivery (the hours that suit everybody) and
a lease (every clause that anybody found in it).
"""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Fact, Live, StopReason, View, agent, run
from converge.errors import JoinInvalid, KindInvalid
from converge.testing import check_join
from tests.jobs import Play, digests, go_on, play

EXACT = ["lockstep", "frontier"]
SCHEDULES = [*EXACT, "stream"]


class Bid(Fact, key="lot", policy="join"):
    lot: str
    amount: int

    def join(self, other: "Bid") -> "Bid":
        return self if self.amount >= other.amount else other


class Window(Fact, key="delivery", policy="join"):
    delivery: str
    earliest: int
    latest: int

    def join(self, other: "Window") -> "Window":
        return Window(self.delivery, max(self.earliest, other.earliest), min(self.latest, other.latest))


class Clauses(Fact, key="contract", policy="join"):
    contract: str
    found: frozenset[str]

    def join(self, other: "Clauses") -> "Clauses":
        return Clauses(self.contract, self.found | other.found)


class Sale(Fact):
    lot: str
    amount: int


class Remark(Fact):
    text: str


@agent(reads=Bid, writes=Sale)
def sell(view: View):
    return [Sale(bid.lot, bid.amount).because(bid) for bid in view.new(Bid)]


@agent(reads=Bid, writes=Sale, name="sell")
def sell_without_a_reason(view: View):
    return [Sale(bid.lot, bid.amount) for bid in view.new(Bid)]


@agent(reads=Clauses, writes=Remark)
def review(view: View):
    return [Remark(" ".join(sorted(clauses.found))).because(clauses) for clauses in view.new(Clauses)]


@agent(reads=Clauses, writes=Remark, name="review")
def review_without_a_reason(view: View):
    return [Remark(" ".join(sorted(clauses.found))) for clauses in view.new(Clauses)]


LIABILITY, NOTICE = Clauses("lease", frozenset({"liability"})), Clauses("lease", frozenset({"notice"}))
BOTH = LIABILITY.join(NOTICE)


def found(job: Play, kind: type[Fact]) -> set[Fact]:
    return set(job.view.live(kind))


def given_to(ask: Callable[[View], Any], *later: Iterable[Fact], reads: Any = Bid) -> list[Any]:
    """Return what an agent was answered in each of its activations, a job having been resumed with more facts."""
    answers: list[Any] = []

    @agent(reads=reads)
    def listen(view: View) -> None:
        answers.append(ask(view))

    job = play([listen], later[0], inputs=[Bid, Window, Clauses])
    for facts in later[1:]:
        job = go_on(job, facts)
    return answers


# --- what views give -------------------------------------------------------------------------------------------------

SEVERAL: list[tuple[list[Fact], Fact]] = [
    ([Bid("vase", 5), Bid("vase", 7), Bid("vase", 3)], Bid("vase", 7)),
    ([Window("sofa", 8, 14), Window("sofa", 10, 18), Window("sofa", 9, 17)], Window("sofa", 10, 14)),
    ([LIABILITY, NOTICE], BOTH),
]
a_max_an_interval_and_a_set = pytest.mark.parametrize(("facts", "bound"), SEVERAL, ids=["max", "interval", "set"])


@a_max_an_interval_and_a_set
def test_a_view_gives_one_fact_per_key_the_least_upper_bound(facts: list[Fact], bound: Fact):
    """Whichever way it is asked, and outside of agents as well."""
    kind, key = type(bound), "vase" if isinstance(bound, Bid) else "sofa" if isinstance(bound, Window) else "lease"
    view = play([], facts, inputs=[kind]).view
    assert (
        view.new(kind) == view.all(kind) == view.all(kind, key) == view.live(kind) == view.live(kind, key) == (bound,)
    )
    assert view.get(kind, key) == bound


@a_max_an_interval_and_a_set
def test_nothing_is_minted(facts: list[Fact], bound: Fact):
    """A join is how facts are read: the context holds what was stated and no more."""
    outcome = run([agent(reads=type(bound), name="reader")(lambda view: None)], "read", facts)
    assert set(outcome.context.facts()) - {outcome.context.intent} == set(facts)
    assert outcome.converged


def test_each_key_has_a_join_of_its_own():
    """Bids for the vase say nothing about the lamp."""
    view = play([], [Bid("vase", 5), Bid("lamp", 2), Bid("vase", 4)], inputs=[Bid]).view
    assert set(view.all(Bid)) == {Bid("vase", 5), Bid("lamp", 2)}


def test_a_key_without_facts_has_no_join():
    """There is no bound of nothing."""
    view = play([], [Bid("vase", 5)], inputs=[Bid]).view
    assert (view.get(Bid, "lamp"), view.all(Bid, "lamp"), view.all(Window)) == (None, (), ())


def test_facts_that_are_joined_do_not_contest_each_other():
    """Two bids for one lot are no contradiction."""
    outcome = run([sell], "sell", [Bid("vase", 5), Bid("vase", 7)])
    assert outcome.converged
    assert outcome.context.conflicts(Bid) == ()


# --- what is new -----------------------------------------------------------------------------------------------------


def test_a_join_is_new_once_for_each_change():
    """A fact that adds nothing to the bound is not news, nor is one that was known."""
    given = given_to(lambda view: view.new(Bid), [Bid("vase", 5)], [Bid("vase", 3)], [Bid("vase", 7)], [Bid("vase", 6)])
    assert [bids for bids in given if bids] == [(Bid("vase", 5),), (Bid("vase", 7),)]


def test_only_the_keys_whose_join_changed_are_new():
    """The lamp's bid is not repeated because somebody bids for the vase."""
    given = given_to(lambda view: view.new(Bid), [Bid("vase", 5), Bid("lamp", 2)], [Bid("vase", 7), Bid("lamp", 1)])
    assert set(given[0]) == {Bid("vase", 5), Bid("lamp", 2)}
    assert given[1] == (Bid("vase", 7),)


def test_a_join_that_no_fact_states_is_new_all_the_same():
    """Two lists of clauses are read as one."""
    assert given_to(lambda view: view.new(Clauses), [LIABILITY], [NOTICE], reads=Clauses) == [(LIABILITY,), (BOTH,)]


def test_to_a_replacing_agent_every_live_join_is_new():
    """It draws all its conclusions again, so it is given all there is."""
    given = given_to(lambda view: view.new(Bid), [Bid("vase", 5), Bid("lamp", 2)], [Bid("vase", 7)], reads=Live(Bid))
    assert set(given[1]) == {Bid("vase", 7), Bid("lamp", 2)}


# --- what conclusions rest on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seller", [sell, sell_without_a_reason], ids=["cited", "uncited"])
def test_a_conclusion_from_a_join_that_is_a_fact_rests_on_that_fact_alone(seller: Any):
    """The weaker bids have no part in it."""
    outcome = run([seller], "sell", [Bid("vase", 5), Bid("vase", 7)])
    assert outcome.why(Sale("vase", 7)).premises() == (Bid("vase", 7),)


@pytest.mark.parametrize("reviewer", [review, review_without_a_reason], ids=["cited", "uncited"])
def test_a_conclusion_from_a_join_that_is_no_fact_rests_on_its_members(reviewer: Any):
    """A proof ends in what somebody stated."""
    outcome = run([reviewer], "review", [LIABILITY, NOTICE])
    proof = outcome.why(Remark("liability notice"))
    assert set(proof.premises()) == {LIABILITY, NOTICE}
    assert {step.fact for step in proof.because} == {LIABILITY, NOTICE}


def test_what_is_given_as_live_can_be_proved():
    """A join that nobody stated is proved by its members."""
    outcome = run([review], "review", [LIABILITY, NOTICE])
    (clauses,) = outcome.context.live(Clauses)
    assert set(outcome.why(clauses).premises()) == {LIABILITY, NOTICE}
    assert outcome.context.is_live(clauses)


def test_an_agent_may_state_what_it_was_given_as_a_join():
    """Then it is a fact like others, with its members as the reason."""

    @agent(reads=Clauses, writes=Clauses)
    def consolidate(view: View):
        return [clauses.because(clauses) for clauses in view.new(Clauses) if clauses == BOTH]

    outcome = run([consolidate], "review", [LIABILITY, NOTICE])
    assert outcome.converged
    assert set(outcome.why(BOTH).premises()) == {LIABILITY, NOTICE}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_an_agent_that_only_ever_narrows_comes_to_rest(schedule: str):
    """What it says comes back to it as the join; saying that once more adds nothing, and is no mistake."""

    @agent(reads=Window, writes=Window)
    def opening_hours(view: View):
        for window in view.new(Window):
            yield Window(window.delivery, max(window.earliest, 9), min(window.latest, 18)).because(window)

    @agent(reads=Window, writes=Window)
    def no_rush_hour(view: View):
        for window in view.new(Window):
            yield Window(window.delivery, max(window.earliest, 10), window.latest).because(window)

    job = play([opening_hours, no_rush_hour], [Window("sofa", 8, 14)], schedule=schedule)
    assert job.stop is not None
    assert job.stop.reason is StopReason.FIXED_POINT
    assert found(job, Window) == {Window("sofa", 10, 14)}


def test_one_join_is_one_thing_to_cite():
    """Whoever was given one and cites nothing has left nothing open, however many facts went into it."""
    outcome = run([review_without_a_reason], "review", [LIABILITY, NOTICE])
    assert outcome.warnings == ()


# --- what holds ------------------------------------------------------------------------------------------------------


def withdrawn(fact: Fact) -> Fact:
    return fact.invalidate("withdrawn")


BIDS = [Bid("vase", 5), Bid("vase", 7), Bid("lamp", 2)]
WITHDRAWN = withdrawn(Bid("vase", 7))


def answer(ask: Callable[[View], Any], facts: Iterable[Fact]) -> Any:
    """Return what a settled agent is answered."""
    (only,) = given_to(ask, facts, reads=[Live(Bid), Live(Clauses)])
    return only


def test_where_liveness_is_read_the_live_facts_are_joined():
    """Once a bid is withdrawn, the next one is the highest."""
    assert answer(lambda view: view.live(Bid, "vase"), [*BIDS, WITHDRAWN]) == (Bid("vase", 5),)
    assert answer(lambda view: view.get(Bid, "vase"), [*BIDS, WITHDRAWN]) == Bid("vase", 5)


def test_where_it_is_not_every_fact_is_joined():
    """To an agent that only reads what is stated, a bid was made, whatever became of it."""
    assert answer(lambda view: view.all(Bid, "vase"), [*BIDS, WITHDRAWN]) == (Bid("vase", 7),)


def test_a_set_loses_what_only_the_fallen_member_held():
    """The rest of the clauses stand."""
    assert answer(lambda view: view.live(Clauses), [LIABILITY, NOTICE, withdrawn(NOTICE)]) == (LIABILITY,)


def test_a_count_of_joins_is_a_count_of_keys():
    """Two lots are under the hammer, however many bids there are; a lot without a live bid is not."""
    assert answer(lambda view: view.count(Bid), BIDS) == 2
    assert answer(lambda view: view.count(Bid), [*BIDS, withdrawn(Bid("lamp", 2))]) == 1


def test_the_best_of_joins_is_the_best_bound_of_any_key():
    """Of live facts, like every answer about what is best."""
    assert answer(lambda view: view.best(Bid, by=lambda bid: bid.amount), BIDS) == Bid("vase", 7)
    assert answer(lambda view: view.best(Bid, by=lambda bid: -bid.amount), BIDS) == Bid("lamp", 2)
    assert answer(lambda view: view.best(Bid, by=lambda bid: bid.amount), [*BIDS, WITHDRAWN]) == Bid("vase", 5)
    assert answer(lambda view: view.best(Bid, by=lambda bid: bid.amount), []) is None


def test_the_best_join_is_its_own_evidence():
    """What the other keys hold has no part in it."""

    @agent(reads=Clauses, writes=Remark, when="settled")
    def longest(view: View):
        best = view.best(Clauses, by=lambda clauses: len(clauses.found))
        return Remark(best.contract) if best else None

    outcome = run([longest], "review", [LIABILITY, NOTICE, Clauses("loan", frozenset({"rate"}))])
    assert set(outcome.why(Remark("lease")).premises()) == {LIABILITY, NOTICE}


def test_a_key_is_absent_when_no_live_fact_is_about_it():
    """Absent is what has no live member."""
    assert not answer(lambda view: view.absent(Bid, "vase"), [*BIDS, WITHDRAWN])
    assert answer(lambda view: view.absent(Bid, "vase"), [*BIDS, WITHDRAWN, withdrawn(Bid("vase", 5))])
    assert answer(lambda view: view.absent(Bid), [])


def test_a_member_that_is_revised_changes_the_join():
    """The revision is a fact, and what it takes the place of has fallen."""

    @agent(reads=[Bid, Remark], writes=Bid, invalidates=Bid)
    def correct(view: View):
        for remark in view.new(Remark):
            for bid in view.all(Bid, "vase"):
                yield bid.revise(amount=6).because(remark)

    outcome = run([correct], "sell", [Bid("vase", 5), Bid("vase", 70), Remark("a typing error")])
    assert outcome.context.live(Bid) == (Bid("vase", 6),)


# --- what is concluded again -----------------------------------------------------------------------------------------

AGAIN = pytest.mark.parametrize(
    ("one", "facts", "fallen", "rest"),
    [
        (sell, [Bid("vase", 5), Bid("vase", 7)], Bid("vase", 7), Sale("vase", 5)),
        (sell_without_a_reason, [Bid("vase", 5), Bid("vase", 7)], Bid("vase", 7), Sale("vase", 5)),
        (review, [LIABILITY, NOTICE], NOTICE, Remark("liability")),
        (review_without_a_reason, [LIABILITY, NOTICE], NOTICE, Remark("liability")),
    ],
    ids=["max-cited", "max-uncited", "set-cited", "set-uncited"],
)


@AGAIN
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_when_a_member_falls_the_join_of_the_rest_is_given_instead(
    schedule: str, one: Any, facts: list[Fact], fallen: Fact, rest: Fact
):
    """What was concluded from the join falls, and what follows from the others is concluded, as if from the start."""
    job = go_on(play([one], facts, schedule=schedule), [withdrawn(fallen)])
    assert found(job, type(rest)) == {rest}
    scratch = play([one], [fact for fact in facts if fact != fallen])
    assert found(job, type(rest)) == found(scratch, type(rest))


@AGAIN
def test_when_the_member_returns_so_does_what_was_concluded_from_it(
    one: Any, facts: list[Fact], fallen: Fact, rest: Fact
):
    """Nobody is asked again for that."""
    before = play([one], facts)
    job = go_on(go_on(before, [withdrawn(fallen)]), [withdrawn(withdrawn(fallen))])
    assert found(before, type(rest)) <= found(job, type(rest))


def test_a_fallen_member_does_not_hide_what_comes_later():
    """After the highest bid is withdrawn, a bid below it can be the highest."""
    job = go_on(play([sell], [Bid("vase", 5), Bid("vase", 7)]), [WITHDRAWN])
    job = go_on(job, [Bid("vase", 6)])
    assert Sale("vase", 6) in found(job, Sale)


def test_a_fallen_member_does_not_hide_what_comes_back():
    """Nor a bid that was withdrawn in error."""
    second = withdrawn(Bid("vase", 6))
    job = go_on(play([sell], [Bid("vase", 5), Bid("vase", 6), Bid("vase", 7)]), [WITHDRAWN, second])
    assert found(job, Sale) == {Sale("vase", 5)}
    job = go_on(job, [withdrawn(second)])
    assert Sale("vase", 6) in found(job, Sale)


@pytest.mark.parametrize("ask", ["all", "all of a key", "get"])
def test_what_is_concluded_again_is_concluded_from_the_live_members(ask: str):
    """However it asks, an agent that is given something again is shown no fallen fact: nothing could rest on it."""
    asks: dict[str, Callable[[View], Any]] = {
        "all": lambda view: view.all(Bid)[0],
        "all of a key": lambda view: view.all(Bid, "vase")[0],
        "get": lambda view: view.get(Bid, "vase"),
    }

    @agent(reads=[Bid, Remark], writes=Sale)
    def auction(view: View):
        if view.new(Remark):
            yield Sale("vase", asks[ask](view).amount)

    job = play([auction], [Remark("going, going, gone"), Bid("vase", 5), Bid("vase", 7)])
    assert found(job, Sale) == {Sale("vase", 7)}
    assert found(go_on(job, [WITHDRAWN]), Sale) == {Sale("vase", 5)}


# --- order, duplication, schedules -----------------------------------------------------------------------------------


@agent(reads=Window, writes=Bid)
def price(view: View):
    """The later a delivery may come, the less it costs: a narrower window only ever adds to the price."""
    return [Bid(w.delivery, 24 - (w.latest - w.earliest)).because(w) for w in view.new(Window)]


@agent(reads=Bid, writes=Clauses)
def insure(view: View):
    for bid in view.new(Bid):
        marks = {10: "insured", 15: "two drivers", 20: "signed for"}
        yield Clauses(bid.lot, frozenset(text for amount, text in marks.items() if bid.amount >= amount)).because(bid)


@agent(reads=Clauses, writes=Window)
def rest(view: View):
    for clauses in view.new(Clauses):
        if "two drivers" in clauses.found:
            yield Window(clauses.contract, 6, 20).because(clauses)


@agent(reads=[Live(Bid), Live(Clauses)], writes=Remark)
def summarise(view: View):
    for clauses in view.live(Clauses):
        bid = view.get(Bid, clauses.contract)
        yield Remark(f"{clauses.contract}: {sorted(clauses.found)} for {bid.amount if bid else '?'}")


DELIVERY = [price, insure, rest, summarise]
JOINED = [Bid, Window, Clauses]


def windows() -> st.SearchStrategy[Window]:
    return st.builds(Window, st.sampled_from(["sofa", "lamp"]), st.integers(0, 12), st.integers(13, 24))


def bids() -> st.SearchStrategy[Bid]:
    return st.builds(Bid, st.sampled_from(["sofa", "lamp"]), st.integers(0, 24))


def clauses() -> st.SearchStrategy[Clauses]:
    words = st.sampled_from(["insured", "two drivers", "signed for", "no Sundays"])
    return st.builds(Clauses, st.sampled_from(["sofa", "lamp"]), st.frozensets(words, max_size=3))


stated = st.lists(st.one_of(windows(), bids(), clauses()), max_size=8)


def what_is_joined(job: Play) -> list[Any]:
    return [job.view.live(kind) for kind in JOINED]


@given(stated, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_neither_order_nor_duplication_of_facts_matters(facts, random):
    """Said in another order, or twice: the same joins, the same conclusions, the same digests."""
    again = [*facts, *(fact for fact in facts if random.random() < 0.5)]
    random.shuffle(again)
    one, other = play(DELIVERY, facts), play(DELIVERY, again)
    assert (digests(one.view), what_is_joined(one)) == (digests(other.view), what_is_joined(other))


@given(stated)
@settings(max_examples=40)
def test_all_schedules_agree_on_the_joins(facts):
    """The exact ones in every digest and round; the stream, which may take other steps, in where they lead."""
    lockstep, frontier, stream = (play(DELIVERY, facts, schedule=schedule) for schedule in SCHEDULES)
    assert (digests(lockstep.view), lockstep.rounds) == (digests(frontier.view), frontier.rounds)
    assert what_is_joined(lockstep) == what_is_joined(frontier) == what_is_joined(stream)
    assert found(lockstep, Remark) == found(frontier, Remark) == found(stream, Remark)


@given(stated, stated)
@settings(max_examples=40)
def test_facts_that_come_late_lead_to_the_same_joins(facts, late):
    """Knowing it all from the start is no advantage."""
    job, scratch = go_on(play(DELIVERY, facts), late), play(DELIVERY, facts + late)
    assert (what_is_joined(job), found(job, Remark)) == (what_is_joined(scratch), found(scratch, Remark))


@given(st.lists(windows(), min_size=1, max_size=6), stated, st.data(), st.sampled_from(EXACT))
@settings(max_examples=50)
def test_premises_that_fall_leave_the_joins_that_would_be_had_they_never_been_stated(facts, late, data, schedule):
    """In whatever order something is withdrawn, stated and taken back."""
    gone = data.draw(st.lists(st.sampled_from(facts), unique=True, max_size=2))
    markers = [withdrawn(fact) for fact in gone]
    back = [withdrawn(marker) for marker in markers if data.draw(st.booleans())]
    job = go_on(play([price, insure], facts, schedule=schedule, inputs=JOINED), markers)
    job = go_on(go_on(job, late), back)
    scratch = play([price, insure], [*facts, *markers, *late, *back], schedule=schedule, inputs=JOINED)
    assert what_is_joined(job) == what_is_joined(scratch)


# --- what a join may not do ------------------------------------------------------------------------------------------


def test_a_joined_kind_needs_a_key():
    """Without one, no two facts are about the same thing."""
    with pytest.raises(KindInvalid, match=r'policy "join" needs a key'):

        class Keyless(Fact, policy="join"):
            amount: int

            def join(self, other: "Keyless") -> "Keyless":
                return self


def test_a_joined_kind_needs_the_method():
    """The runtime does not guess what the greater of two facts is."""
    with pytest.raises(KindInvalid, match=r'policy "join" needs a method: def join\(self, other\)'):

        class Methodless(Fact, key="lot", policy="join"):
            lot: str


class Gone(Fact, key="lot", policy="join"):
    """Joins to whatever `n` says."""

    lot: str
    n: int

    def join(self, other: "Gone") -> Any:
        made: list[Any] = [None, "text", Bid(self.lot, 1), Gone("elsewhere", self.n)]
        return made[max(self.n, other.n)]


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (0, "it returned None, which is no Gone"),
        (1, "it returned 'text', which is no Gone"),
        (2, "it returned Bid"),
        (3, "it made a fact of key 'elsewhere' of facts of another key"),
    ],
)
def test_a_join_that_leaves_its_kind_or_key_fails_the_agent_that_reads_it(n: int, said: str):
    """The sentence names the kind and what came out; siblings go on."""

    @agent(reads=Gone)
    def read(view: View):
        view.all(Gone)

    outcome = run([read, sell], "read", [Gone("vase", n), Gone("vase", -1), Bid("lamp", 1)])
    assert outcome.stop.reason is StopReason.AGENT_FAILED
    assert isinstance(outcome.errors["read"], JoinInvalid)
    assert str(outcome.errors["read"]).startswith(f"Gone.join: {said}")
    assert outcome.context.live(Sale) == (Sale("lamp", 1),)


# --- checking a join -------------------------------------------------------------------------------------------------


@given(st.lists(windows(), max_size=6), st.lists(bids(), max_size=6), st.lists(clauses(), max_size=6))
@settings(max_examples=30)
def test_a_join_that_keeps_the_laws_passes(some_windows, some_bids, some_clauses):
    """The bound of facts does not depend on who joined them first."""
    check_join(Window, some_windows)
    check_join(Bid, some_bids)
    check_join(Clauses, some_clauses)


class First(Fact, key="lot", policy="join"):
    lot: str
    n: int

    def join(self, other: "First") -> "First":
        return self


class Mean(Fact, key="lot", policy="join"):
    lot: str
    n: float

    def join(self, other: "Mean") -> "Mean":
        return Mean(self.lot, (self.n + other.n) / 2)


class Total(Fact, key="lot", policy="join"):
    lot: str
    n: int

    def join(self, other: "Total") -> "Total":
        return Total(self.lot, self.n + other.n)


@pytest.mark.parametrize(("kind", "law"), [(First, "commutative"), (Mean, "associative"), (Total, "idempotent")])
def test_a_join_that_breaks_a_law_is_named_with_the_law_and_the_facts(kind: Any, law: str):
    """First come first served, averages and sums are no joins: what they give depends on order or on repetition."""
    facts = [kind("vase", n) for n in (1, 2, 4)]
    with pytest.raises(JoinInvalid, match=rf"^{kind.__name__}\.join: it is not {law}: {kind.__name__}\(lot='vase'"):
        check_join(kind, facts)


@pytest.mark.parametrize("n", range(4))
def test_a_join_that_leaves_kind_or_key_is_named_with_the_facts(n: int):
    """As an agent would find it, but before one does."""
    said = r"^Gone\.join: of Gone\(lot='vase', n=\d\) and Gone\(lot='vase', n=\d\): it (returned|made)"
    with pytest.raises(JoinInvalid, match=said):
        check_join(Gone, [Gone("vase", n)])


def test_facts_of_different_keys_are_never_joined():
    """A law is about facts that a view would join."""
    check_join(First, [First("vase", 1), First("lamp", 2)])


def test_a_single_fact_is_joined_with_itself():
    """That much can be said about any fact."""
    with pytest.raises(JoinInvalid, match="idempotent"):
        check_join(Total, [Total("vase", 1)])


def test_only_joins_are_checked():
    """A kind that is not joined has no such laws, nor have the facts of another kind."""
    with pytest.raises(JoinInvalid, match=r'Sale.*the policy of the kind is not "join"'):
        check_join(Sale, [])
    with pytest.raises(JoinInvalid, match=r"Bid.*Sale\(lot='vase', amount=1\) is no Bid"):
        check_join(Bid, [Sale("vase", 1)])


def test_of_very_many_facts_some_are_checked():
    """It ends soon, however much it is given."""
    joined = []

    class Counted(Fact, key="lot", policy="join"):
        lot: str
        n: int

        def join(self, other: "Counted") -> "Counted":
            joined.append((self, other))
            return self if self.n >= other.n else other

    check_join(Counted, [Counted("vase", n) for n in range(500)])
    assert len(joined) < 10_000


def test_what_the_join_raises_comes_through():
    """It is the author's own error, as it was raised."""

    class Broken(Fact, key="lot", policy="join"):
        lot: str

        def join(self, other: "Broken") -> "Broken":
            raise ZeroDivisionError("half a vase")

    with pytest.raises(ZeroDivisionError, match="half a vase"):
        check_join(Broken, [Broken("vase")])
