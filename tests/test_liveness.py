"""Which facts hold: law 6, as laws of one small labelling and against an independent reference."""

from collections.abc import Iterable
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Fact, Invalidation, agent, id_of
from converge.context import Context
from converge.errors import FactNotLive
from converge.liveness import DEAD, DISPUTED, LIVE, label
from converge.proof import prove
from tests.jobs import KINDS, agents_of, go_on, plans, play
from tests.jobs import premises as given_facts
from tests.oracles import reference

North, East, *_ = KINDS
Supports = list[tuple[int, tuple[int, ...]]]
Markers = list[tuple[int, int]]

NAMES = {LIVE: "live", DEAD: "dead", DISPUTED: "disputed"}


def labelled(count: int, supports: Iterable[tuple[int, tuple[int, ...]]], markers: Iterable[tuple[int, int]]):
    return [NAMES[found] for found in label(count, list(supports), list(markers)).of]


# --- law 6, sentence by sentence -------------------------------------------------------------------------------------


def test_a_premise_without_a_marker_is_live():
    """Nothing speaks against it."""
    assert labelled(1, [(0, ())], []) == ["live"]


def test_a_fact_without_support_is_dead():
    """Nothing speaks for it."""
    assert labelled(1, [], []) == ["dead"]


def test_circular_support_is_dead():
    """Two facts that rest only on each other rest on nothing."""
    assert labelled(2, [(0, (1,)), (1, (0,))], []) == ["dead", "dead"]


def test_a_fact_that_rests_on_itself_is_dead():
    """However directly."""
    assert labelled(1, [(0, (0,))], []) == ["dead"]


def test_a_circle_with_one_support_from_outside_is_live():
    """One acyclic support is enough."""
    assert labelled(3, [(2, ()), (0, (1,)), (1, (0,)), (1, (2,))], []) == ["live", "live", "live"]


def test_a_fact_with_one_support_left_is_live():
    """Evidence is joint within one support and a choice between several."""
    supports = [(0, ()), (1, ()), (2, ()), (3, (0, 1)), (3, (2,))]
    assert labelled(5, [*supports, (4, ())], [(4, 0)]) == ["dead", "live", "live", "live", "live"]


def test_what_rested_only_on_a_dead_fact_is_dead():
    """An invalidated premise takes its conclusions along, and theirs."""
    assert labelled(4, [(0, ()), (1, (0,)), (2, (1,)), (3, ())], [(3, 0)]) == ["dead", "dead", "dead", "live"]


def test_two_facts_that_invalidate_each_other_are_disputed():
    """Nobody decides between them."""
    assert labelled(2, [(0, ()), (1, ())], [(0, 1), (1, 0)]) == ["disputed", "disputed"]


def test_what_rests_on_a_disputed_fact_is_disputed():
    """Doubt is passed on."""
    assert labelled(3, [(0, ()), (1, ()), (2, (0,))], [(0, 1), (1, 0)]) == ["disputed"] * 3


def test_an_invalidation_may_itself_be_invalidated():
    """Its target then holds again, without anything being undone."""
    assert labelled(3, [(0, ()), (1, ()), (2, ())], [(1, 0), (2, 1)]) == ["live", "dead", "live"]


def test_a_marker_that_rests_on_its_target_is_disputed_with_it():
    """If the target holds, so does the marker, and then the target does not."""
    assert labelled(2, [(0, ()), (1, (0,))], [(1, 0)]) == ["disputed", "disputed"]


def test_a_dead_marker_marks_nothing():
    """What no longer holds cannot take anything along."""
    supports = [(0, ()), (1, ()), (2, (1,)), (3, ())]
    assert labelled(4, supports, [(2, 0), (3, 1)]) == ["live", "dead", "dead", "live"]


def test_an_odd_circle_of_invalidations_is_disputed():
    """A against B against C against A has no answer."""
    assert labelled(3, [(0, ()), (1, ()), (2, ())], [(0, 1), (1, 2), (2, 0)]) == ["disputed"] * 3


def test_a_chain_of_invalidations_alternates():
    """The last one stands, the one before it falls, and so on down the chain."""
    count = 7
    chain = [(place + 1, place) for place in range(count - 1)]
    expected = ["live" if (count - 1 - place) % 2 == 0 else "dead" for place in range(count)]
    assert labelled(count, [(place, ()) for place in range(count)], chain) == expected


# --- any graph -------------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, Supports, Markers]:
    count = draw(st.integers(1, 12))
    fact = st.integers(0, count - 1)
    evidence = st.lists(fact, max_size=3, unique=True).map(tuple)
    supports = draw(st.lists(st.tuples(fact, evidence), max_size=3 * count))
    markers = draw(st.lists(st.tuples(fact, fact), max_size=count))
    return count, supports, markers


@pytest.fixture(scope="module")
def oracle() -> ModuleType:
    return reference("labelling")


@given(graphs())
def test_the_labels_of_any_graph_are_the_references(oracle, graph):
    """On random supports and markers, circles included, both implementations agree about every fact."""
    count, supports, markers = graph
    live, dead, disputed = oracle.label(range(count), supports, markers)
    expected = ["live" if n in live else "dead" if n in dead else "disputed" for n in range(count)]
    assert {*live, *dead, *disputed} == set(range(count))
    assert labelled(count, supports, markers) == expected


@given(graphs(), st.randoms())
def test_labels_do_not_depend_on_the_order_of_supports_and_markers(graph, order):
    """Liveness is a function of what is known, not of how it became known."""
    count, supports, markers = graph
    shuffled = order.sample(supports, len(supports)), order.sample(markers, len(markers))
    assert labelled(count, *shuffled) == labelled(count, supports, markers)


@given(graphs())
def test_following_the_reasons_of_a_live_fact_ends_in_premises(graph):
    """Each live fact has a reason that was derived before it, so that no proof runs in a circle."""
    count, supports, markers = graph
    labels = label(count, supports, markers)
    depth: dict[int, int] = {}

    def measure(fact: int, path: frozenset[int]) -> int:
        assert fact not in path
        head, evidence = supports[labels.reason[fact]]
        assert head == fact
        assert all(labels.of[cited] == LIVE for cited in evidence)
        if fact not in depth:
            depth[fact] = 1 + max((measure(cited, path | {fact}) for cited in evidence), default=0)
        return depth[fact]

    assert all(measure(fact, frozenset()) > 0 for fact in range(count) if labels.of[fact] == LIVE)


@given(graphs(), st.integers(0, 11))
def test_a_premise_that_is_invalidated_leaves_live_what_would_be_live_had_it_never_been_stated(graph, which):
    """Everything but the premise and its marker is labelled as if the premise had no supports at all."""
    count, supports, markers = graph
    fact = which % count
    marker = count
    with_marker = labelled(count + 1, [*supports, (marker, ())], [*markers, (marker, fact)])
    without = labelled(count, [(head, evidence) for head, evidence in supports if head != fact], markers)
    assert with_marker[:count] == without


@given(graphs(), st.integers(0, 11))
def test_invalidating_the_invalidation_leaves_everything_as_before(graph, which):
    """A premise is back, and all that rested on it, once its marker is dead."""
    count, supports, markers = graph
    marker, counter = count, count + 1
    again = labelled(
        count + 2, [*supports, (marker, ()), (counter, ())], [*markers, (marker, which % count), (counter, marker)]
    )
    assert again[:count] == labelled(count, supports, markers)


# --- the labels of a job ---------------------------------------------------------------------------------------------


def spelled_out(context: Context) -> tuple[list[str], list[tuple[str, tuple[str, ...]]], list[tuple[str, str]]]:
    """Return what counts in a context as the reference takes it: ids, supports by id, markers by id."""
    ids = [id_of(fact) for fact in context.facts]
    supported = context.supports
    counted = [one for index, one in enumerate(supported) if supported.counts(index, context.highest)]
    supports = [(ids[s.fact], tuple(ids[place] for place in context.evidence_of(s))) for s in counted]
    markers = [(id_of(fact), fact.target) for fact in context.facts if isinstance(fact, Invalidation)]
    return ids, supports, markers


@given(plans(), given_facts(), st.data())
@settings(max_examples=50)
def test_the_labels_of_a_job_are_the_references(oracle, agents, facts, data):
    """Evidence nodes, replacement and late invalidations included, a job's views show what the reference labels."""
    job = play(agents_of(agents), facts)
    stated = [fact for fact in job.context.facts[1:] if data.draw(st.booleans())]
    late = go_on(job, [fact.invalidate("late") for fact in stated[:2]])
    live, dead, disputed = oracle.label(*spelled_out(late.context))
    view = late.view
    for fact in view.facts():
        found = fact in view.live(type(fact)), fact in view.dead(type(fact)), fact in view.disputed(type(fact))
        assert found == (id_of(fact) in live, id_of(fact) in dead, id_of(fact) in disputed)


@given(plans(), given_facts(), st.data())
@settings(max_examples=50)
def test_every_live_fact_has_a_finite_proof_that_ends_in_live_premises(agents, facts, data):
    """`why` leads from each fact that holds to facts from outside that hold, and from no other."""
    job = play(agents_of(agents), facts)
    stated = [fact for fact in job.context.facts[1:] if data.draw(st.booleans())]
    view = go_on(job, [fact.invalidate("late") for fact in stated[:2]]).view
    for fact in view.facts():
        if fact in view.live(type(fact)):
            steps = list(view.why(fact).steps())
            assert steps[0].fact == fact
            assert all(step.because for step in steps if step.agent is not None)
            assert all(step.fact in view.live(type(step.fact)) for step in steps)
        else:
            with pytest.raises(FactNotLive, match="known and not live"):
                view.why(fact)


def test_emissions_that_rest_only_on_each_other_are_dead():
    """A circle within one effect has no acyclic support, though no marker and no replacement is in sight."""

    @agent(reads=North, writes=East)
    def circular(view):
        return [East(1).because(East(2)), East(2).because(East(1))]

    view = play([circular], [North(1)]).view
    assert (view.live(East), len(view.dead(East))) == ((), 2)
    with pytest.raises(FactNotLive):
        prove(view._context, East(1), view.round)


def test_emissions_that_rest_on_each_other_and_on_a_premise_are_live():
    """The circle is harmless where one of its members rests on something else as well."""

    @agent(reads=North, writes=East)
    def grounded(view):
        one, other = East(1), East(2)
        return [one.because(other), other.because(one), other.because(*view.new(North))]

    view = play([grounded], [North(1)]).view
    assert set(view.live(East)) == {East(1), East(2)}
    assert view.why(East(1)).premises() == (North(1),)


def test_a_fact_known_in_no_context_has_no_proof():
    """The error says that it is unknown rather than dead."""
    view = play([], []).view
    with pytest.raises(FactNotLive, match="not in the context"):
        view.why(North(1))


def test_a_proof_of_a_long_chain_does_not_recurse():
    """A chain of thousands of facts is proved and printed."""

    class Step(Fact):
        n: int

    @agent(reads=Step, writes=Step)
    def chain(view):
        return [Step(n + 1).because(Step(n)) for n in range(3_000)] if view.all(Step) == (Step(0),) else None

    view = play([chain], [Step(0)]).view
    proof = view.why(Step(3_000))
    assert proof.premises() == (Step(0),)
    assert str(proof).count("\n") == 3_000
