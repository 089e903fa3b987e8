"""What can reach what: groups, hops, strata and circles from declarations alone, and how jobs on circles end.

The oracle says for two agents whether one can hand the other something new, straight from the law; paths, circles and
longest ways are then searched by brute force, agent by agent.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import product
from math import inf
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from converge import (
    Budget,
    Engine,
    Fact,
    Failure,
    Invalidation,
    Live,
    StopReason,
    Verdict,
    View,
    agent,
    human,
    id_of,
    kind_of,
    run,
)
from converge.activation import seal
from converge.agent import Agent
from converge.errors import WiringInvalid
from converge.flow import Flow
from converge.wiring import Wiring
from tests.jobs import KINDS, VALUES, Plan, Play, agents_of, digests, go_on, plans, play, premises

North, East, South, Middle, Top = KINDS
MARKER = kind_of(Invalidation).label
EXACT = ("lockstep", "frontier")


def declared(name: str, **options: Any) -> Agent:
    return agent(name=name, **options)(lambda view: None)


def flow_of(*agents: Agent) -> Flow:
    return Wiring(agents, allow_disputes=True).flow


@st.composite
def declarations(draw: st.DrawFn, most: int = 6) -> tuple[Agent, ...]:
    """Draw agents of which only the declarations count, in name order."""
    return tuple(_declared(draw, name) for name in "abcdef"[: draw(st.integers(1, most))])


def _declared(draw: st.DrawFn, name: str) -> Agent:
    several = st.lists(st.sampled_from(KINDS), max_size=2, unique=True)
    often, seldom = st.sampled_from((True, False)), st.sampled_from((False, False, False, False, True))
    reads = [Live(kind) if draw(seldom) else kind for kind in draw(several)] + [Invalidation] * draw(seldom)
    return declared(
        name,
        reads=reads,
        writes=draw(several),
        invalidates=(draw(several) if draw(often) else []) + [Invalidation] * draw(seldom),
        when="settled" if draw(seldom) else "new",
        replaces=draw(seldom),
    )


# --- the oracle ------------------------------------------------------------------------------------------------------


def reads(one: Agent) -> set[str]:
    return set(one.reader.reads or ())


def states(one: Agent) -> set[str]:
    """The kinds an agent states facts of; who invalidates anything states markers."""
    return set(one.written) | ({MARKER} if one.invalidated else set())


def alters(one: Agent, kinds: set[str]) -> bool:
    """Whether an agent can change a label of some kinds itself: by its supports, its markers, or marking a marker."""
    return bool(states(one) & kinds or (kinds and one.invalidated & (kinds | {MARKER})))


def rested_on(kinds: set[str], agents: Iterable[Agent], *, beside: bool) -> set[str]:
    """What the labels of some kinds can depend on: what whoever alters them reads, or states beside it."""
    read = (reads(one) | (one.written if beside else set()) for one in agents if alters(one, kinds))
    more = kinds.union(*read)
    return kinds if more == kinds else rested_on(more, agents, beside=beside)


def hands(one: Agent, other: Agent, agents: Iterable[Agent], *, beside: bool = True) -> bool:
    """Whether one agent can hand another something new."""
    minded = rested_on(reads(other), agents, beside=beside)
    return bool(states(one) & reads(other)) or (other.replacing and alters(one, minded))


def hops(agents: Sequence[Agent], *, beside: bool = True) -> dict[tuple[int, int], float]:
    """The fewest hops from each agent to each, at least one (Floyd and Warshall).

    `beside`: an effect may cite what it states itself. Circles are refused, and strata made, without that.
    """
    numbers = range(len(agents))
    found = {
        (s, d): 1 if hands(agents[s], agents[d], agents, beside=beside) else inf for s, d in product(numbers, numbers)
    }
    for via, s, d in product(numbers, numbers, numbers):
        found[s, d] = min(found[s, d], found[s, via] + found[via, d])
    return found


# --- who reaches whom ------------------------------------------------------------------------------------------------


@given(declarations())
@settings(max_examples=100)
def test_who_can_hand_something_to_whom_follows_from_what_is_declared(agents):
    """For every two agents, themselves included."""
    flow = flow_of(*agents)
    for s, d in product(range(len(agents)), repeat=2):
        assert (flow.group_of[d] in flow.successors[flow.group_of[s]]) == hands(agents[s], agents[d], agents)


def reaches(one: str, other: str, *agents: Agent) -> bool:
    wiring = Wiring(agents, allow_disputes=True)
    names, flow = [each.name for each in wiring.agents], wiring.flow
    return flow.group_of[names.index(other)] in flow.successors[flow.group_of[names.index(one)]]


def test_an_author_reaches_the_readers_of_its_kinds_and_nobody_else():
    """One hop for each kind."""
    agents = declared("author", writes=North), declared("reader", reads=North), declared("else", reads=East)
    assert reaches("author", "reader", *agents)
    assert not reaches("author", "else", *agents)


@pytest.mark.parametrize("options", [{"reads": Live(North)}, {"reads": North, "when": "settled"}])
def test_a_marker_reaches_who_reads_the_liveness_of_what_it_marks(options):
    """A plain reader is shown the same facts as before."""
    agents = declared("marker", invalidates=North), declared("minder", **options), declared("plain", reads=North)
    assert reaches("marker", "minder", *agents)
    assert not reaches("marker", "plain", *agents)


def test_a_marker_reaches_who_reads_the_liveness_of_what_is_derived_from_what_it_marks():
    """However many steps lie between."""
    chain = declared("one", reads=North, writes=East), declared("other", reads=East, writes=South)
    agents = *chain, declared("marker", invalidates=North), declared("minder", reads=Live(South))
    assert reaches("marker", "minder", *agents)
    assert not reaches("marker", "other", *agents)


def test_who_writes_evidence_reaches_who_reads_the_liveness_of_what_rests_on_it():
    """A fact met again on other evidence may hold again, and what rests on it with it."""
    agents = (
        declared("author", writes=North),
        declared("between", reads=North, writes=East),
        declared("minder", reads=Live(East)),
    )
    assert reaches("author", "minder", *agents)


def test_who_writes_the_evidence_of_a_marker_reaches_who_reads_the_liveness_of_what_is_marked():
    """The marker falls with its evidence."""
    agents = (
        declared("author", writes=South),
        declared("marker", reads=South, invalidates=North),
        declared("minder", reads=Live(North)),
    )
    assert reaches("author", "minder", *agents)


def test_who_marks_markers_reaches_every_reader_of_liveness():
    """What a marker marked may hold again."""
    agents = declared("pardon", invalidates=Invalidation), declared("minder", reads=Live(North))
    assert reaches("pardon", "minder", *agents)


def test_what_one_effect_states_together_may_rest_on_each_other():
    """Emissions of one activation may cite each other."""
    agents = declared("both", writes=[North, East]), declared("minder", reads=Live(East)), declared("a", writes=North)
    assert reaches("a", "minder", *agents)


@pytest.mark.parametrize("reads", [North, Live(North)])
def test_what_two_gates_say_of_their_own_proposals_closes_no_circle(reads):
    """One is downstream of the other: verdicts are of one kind, and neither gate can change the other's."""
    first = declared("first", reads=South, writes=North, gate=human())
    other = declared("other", reads=reads, writes=East, gate=human())
    minder = declared("minder", reads=Live(East), writes=Top)
    flow = flow_of(first, other, minder)
    assert all(group not in reached for group, reached in enumerate(flow.successors))
    assert len(set(flow.circles)) == len(flow.groups)


def test_a_marker_on_a_verdict_reaches_who_reads_the_liveness_of_what_passed():
    """What was let in rests on it."""
    proposer = declared("proposer", reads=South, writes=North, gate=human())
    marker, minder = declared("marker", invalidates=Verdict), declared("minder", reads=Live(North))
    assert reaches("marker", "minder", proposer, marker, minder)


# --- groups ----------------------------------------------------------------------------------------------------------


@given(declarations())
@settings(max_examples=100)
def test_agents_are_of_one_group_where_their_declarations_are_equal(agents):
    """Every agent is in one, and two agents share it if nothing that matters sets them apart."""
    flow = flow_of(*agents)
    assert sorted(number for group in flow.groups for number in group.members) == list(range(len(agents)))
    shapes = [(reads(one), one.written, one.invalidated, one.replacing, one.settled) for one in agents]
    for s, d in product(range(len(agents)), repeat=2):
        assert (flow.group_of[s] == flow.group_of[d]) == (shapes[s] == shapes[d])


def test_neither_order_nor_repetition_sets_agents_apart():
    """Nor does what else they declare."""
    one = declared("one", reads=[North, East], writes=[South, Top, Top])
    other = declared("other", reads=[East, North], writes=[Top, South], required=False, version="2")
    assert len(flow_of(one, other).groups) == 1


def test_fifty_equal_agents_are_one_group():
    """Progress is kept per group, whatever its size."""
    agents = [declared(f"worker {number:02}", reads=[North, East], writes=East) for number in range(50)]
    assert [group.members for group in flow_of(*agents).groups] == [tuple(range(50))]


# --- arrivals --------------------------------------------------------------------------------------------------------


@given(declarations(), st.data())
@settings(max_examples=100)
def test_the_earliest_arrival_is_the_shortest_way_from_what_is_open(agents, data):
    """Over everything that somebody is reading or has yet to read: its round, and a round for each hop."""
    flow, distance = flow_of(*agents), hops(agents)
    places = st.sampled_from(range(len(flow.groups)))
    stamps = data.draw(st.dictionaries(places, st.integers(0, 5)))
    expected = {
        place: min(
            (round + distance[flow.groups[s].members[0], group.members[0]] for s, round in stamps.items()), default=inf
        )
        for place, group in enumerate(flow.groups)
    }
    assert flow.arrivals(stamps) == {place: round for place, round in expected.items() if round < inf}


# --- strata ----------------------------------------------------------------------------------------------------------


@given(declarations())
@settings(max_examples=100)
def test_a_stratum_is_as_many_readers_of_liveness_as_a_way_to_it_can_meet(agents):
    """Counted on the way that meets most, those on a circle with it left out."""
    distance = hops(agents, beside=False)
    strata = flow_of(*agents).strata()

    def level(d: int) -> int:
        circle = {n for n in range(len(agents)) if n == d or distance[n, d] < inf > distance[d, n]}
        into = [(s, n) for n in circle for s in range(len(agents)) if s not in circle and distance[s, n] == 1]
        return max((level(s) + agents[n].replacing for s, n in into), default=0)

    assert strata == [level(number) for number in range(len(agents))]


@given(declarations())
@settings(max_examples=100)
def test_who_reads_liveness_stands_above_all_that_can_change_what_it_reads(agents):
    """But for those it can reach in turn; and nobody stands below what it reads."""
    distance, strata = hops(agents, beside=False), flow_of(*agents).strata()
    for s, d in product(range(len(agents)), repeat=2):
        if distance[s, d] < inf == distance[d, s]:
            assert strata[s] + agents[d].replacing <= strata[d]


def test_strata_of_a_decision():
    """Estimates, what is feasible, what is best, and a mail that says so."""
    agents = [
        declared("1 estimate", reads=North, writes=East),
        declared("2 forbid", reads=North, invalidates=East),
        declared("3 admit", reads=East, writes=South, when="settled"),
        declared("4 choose", reads=Live(South), writes=Middle),
        declared("5 mail", reads=Middle, writes=Top),
    ]
    assert flow_of(*agents).strata() == [0, 0, 1, 2, 2]


# --- circles that are refused ----------------------------------------------------------------------------------------


@given(declarations())
@settings(max_examples=300)
def test_a_circle_is_found_where_an_agent_that_replaces_can_reach_itself(agents):
    """And nowhere else."""
    distance = hops(agents, beside=False)
    on_circle = {number for number, one in enumerate(agents) if one.replacing and distance[number, number] < inf}
    circle = flow_of(*agents).forbidden_circle()
    assert bool(circle) == bool(on_circle)
    if circle:
        assert circle[0] in on_circle
        assert len(circle) == distance[circle[0], circle[0]]
        assert all(hands(agents[s], agents[d], agents) for s, d in zip(circle, [*circle[1:], circle[0]], strict=True))


@given(declarations())
@settings(max_examples=100)
def test_an_engine_is_refused_exactly_where_there_is_such_a_circle(agents):
    """And never where disputes are allowed."""
    engine = Engine(agents, allow_disputes=True)
    if engine.wiring.flow.forbidden_circle():
        with pytest.raises(WiringInvalid, match=r"depends on its own conclusions.*allow_disputes=True"):
            Engine(agents)
    else:
        assert Engine(agents).explain() == engine.explain()


CIRCLES: dict[str, tuple[list[Agent], list[str]]] = {
    "settled": (
        [declared("ranker", reads=North, writes=North, when="settled")],
        ["ranker", 'is declared when="settled"', "writes North"],
    ),
    "Live": (
        [declared("ranker", reads=[Live(North), East], writes=North)],
        ["ranker", "reads liveness", "writes North"],
    ),
    "replaces": (
        [declared("ranker", reads=North, writes=North, replaces=True)],
        ["ranker", "replaces its conclusions", "writes North"],
    ),
    "by another": (
        [declared("ranker", reads=North, writes=East, when="settled"), declared("mirror", reads=East, writes=North)],
        ["ranker", "writes East", "mirror", "writes North"],
    ),
    "by two of the same": (
        [
            declared("here", reads=North, writes=East, when="settled"),
            declared("there", reads=East, writes=North, when="settled"),
        ],
        ["here", "writes East", "there", "writes North"],
    ),
    "by what is derived": (
        [
            declared("former", reads=North, writes=East),
            declared("latter", reads=East, writes=South),
            declared("ranker", reads=Live(South), writes=North),
        ],
        ["ranker", "writes North", "former", "writes East", "latter", "writes South"],
    ),
    "by marking what it reads": (
        [declared("doubter", reads=Live(North), invalidates=North)],
        ["doubter", "invalidates North"],
    ),
    "by marking what its reads rest on": (
        [
            declared("former", reads=North, writes=East),
            declared("latter", reads=East, writes=South),
            declared("doubter", reads=Live(South), invalidates=North),
        ],
        ["doubter", "invalidates North", "former", "writes East", "latter", "writes South"],
    ),
    "by another that marks": (
        [declared("ranker", reads=Live(North), writes=East), declared("doubter", reads=East, invalidates=North)],
        ["ranker", "writes East", "doubter", "invalidates North"],
    ),
    "by the evidence of a marker": (
        [declared("doubter", reads=South, invalidates=North), declared("ranker", reads=Live(North), writes=South)],
        ["ranker", "writes South", "doubter", "invalidates North"],
    ),
    "by the kind of one that replaces": (
        [
            declared("lower", reads=[Live(North), South], writes=East),
            declared("upper", reads=Live(East), invalidates=South),
        ],
        ["upper", "invalidates South", "lower", "writes East"],
    ),
    "by marking markers": (
        [declared("pardon", reads=Live(North), invalidates=Invalidation), declared("doubter", invalidates=North)],
        ["pardon", "invalidates Invalidation"],
    ),
    "by reading markers": (
        [declared("doubter", reads=Live(Invalidation), invalidates=North)],
        ["doubter", "invalidates Invalidation"],
    ),
}


@pytest.mark.parametrize("case", CIRCLES)
def test_a_circle_through_an_agent_that_replaces_is_refused_by_name(case):
    """The sentence names the agents, what each does to which kind, and the two remedies."""
    agents, said = CIRCLES[case]
    with pytest.raises(WiringInvalid) as refused:
        Engine(agents)
    sentence = str(refused.value)
    missing = [words for words in said if not re.search(rf"\b{re.escape(words)}(?!\w)", sentence)]
    assert (missing, sentence if missing else "") == ([], "")
    assert "break the circle" in sentence
    assert "Engine(allow_disputes=True)" in sentence


@pytest.mark.parametrize("case", CIRCLES)
def test_every_circle_is_accepted_where_disputes_are_allowed(case):
    """And the plan shows it."""
    agents, _ = CIRCLES[case]
    (circle,) = Engine(agents, allow_disputes=True).explain().circles
    assert circle.disputed


@pytest.mark.parametrize(
    "agents",
    [
        [declared("walk", reads=North, writes=North)],
        [declared("there", reads=North, writes=East), declared("back", reads=East, writes=North)],
        [declared("doubt", reads=North, invalidates=North)],
        [declared("walk", reads=North, writes=North), declared("count", reads=North, writes=Top, when="settled")],
        [declared("doubt", reads=[North, East], invalidates=North), declared("best", reads=Live(North), writes=Top)],
        [declared("best", reads=Live(North), writes=East, invalidates=East), declared("plain", reads=East, writes=Top)],
        [declared("best", reads=Live(North), invalidates=East), declared("plain", reads=East, writes=South)],
    ],
)
def test_an_ordinary_circle_is_accepted(agents):
    """Facts only grow on it; that somebody above or beside it replaces its conclusions closes nothing."""
    assert not any(circle.disputed for circle in Engine(agents).explain().circles)


@pytest.mark.parametrize("options", [{"reads": Failure, "when": "settled"}, {"reads": Live(Failure)}])
def test_reading_failures_closes_no_circle(options):
    """That an agent may fail is not something it declares, and a failure is stated without evidence."""
    nurse = declared("nurse", writes=North, **options)
    assert Engine([nurse, declared("mail", reads=North, writes=East)]).explain().circles == ()


# --- jobs on circles -------------------------------------------------------------------------------------------------

SHAPES = ("each", "sum", "sum", "count", "none", "none", "strike", "strike", "pair", "seed", "batch")


@st.composite
def circling(draw: st.DrawFn) -> list[Plan]:
    """Draw the agents of a job without regard to layers, so that most of them lie on some circle."""
    place, number = st.integers(0, len(KINDS) - 1), st.integers(0, VALUES - 1)
    read = st.lists(place, min_size=1, max_size=2, unique=True).map(lambda places: tuple(sorted(places)))
    return draw(st.lists(st.builds(Plan, st.sampled_from(SHAPES), read, place, number), min_size=2, max_size=5))


# A settled agent and a reader of liveness that each have unread what the other could still change.
MUTUAL = [Plan("none", (1,), 2, 0), Plan("sum", (2,), 1, 0), Plan("each", (0,), 2, 2)]
# A reader of liveness that has looked further than the settled agents on its circle, and found nothing.
AHEAD = [Plan("count", (4,), 0, 3), Plan("count", (0,), 1, 0), Plan("sum", (1, 3), 4, 3)]


def reason(job: Play) -> StopReason:
    assert job.stop is not None
    return job.stop.reason


@given(circling(), premises(), st.sampled_from(EXACT))
@example(MUTUAL, [North(2)], "frontier")
@settings(max_examples=100)
def test_a_job_on_a_circle_ends_at_a_fixed_point_or_by_its_budget_of_churn(plan, facts, schedule):
    """It is called converged only if nobody has anything left to read, and a loop is named by its facts."""
    job = play(agents_of(plan), facts, schedule=schedule, allow_disputes=True)
    assert job.stop is not None
    if job.stop.reason is StopReason.BUDGET:
        budget, *named = job.stop.detail
        assert budget == "churn"
        assert named
        assert set(named) <= job.rounds.keys()
    else:
        assert (job.stop.reason, job.stop.unread) == (StopReason.FIXED_POINT, ())


@given(circling(), premises())
@example(MUTUAL, [North(2)])
@settings(max_examples=100)
def test_the_exact_schedules_agree_on_circles(plan, facts):
    """In how they end and, at a fixed point, in facts, rounds and activations."""
    one, other = (play(agents_of(plan), facts, schedule=schedule, allow_disputes=True) for schedule in EXACT)
    assert one.stop is not None
    assert other.stop is not None
    assert (one.stop.reason, one.stop.detail) == (other.stop.reason, other.stop.detail)
    if reason(one) is StopReason.FIXED_POINT:
        assert digests(one.view) == digests(other.view)
        assert (one.rounds, one.activations) == (other.rounds, other.activations)


@given(circling(), premises(), st.sampled_from(EXACT))
@example(MUTUAL, [North(2)], "frontier")
@example(AHEAD, [], "lockstep")
@settings(max_examples=100)
def test_at_a_fixed_point_on_a_circle_nobody_would_say_anything_else(plan, facts, schedule):
    """Every agent that replaces has concluded last what it concludes from all there is."""
    job = play(agents_of(plan), facts, schedule=schedule, allow_disputes=True)
    if reason(job) is StopReason.FIXED_POINT:
        for one in job.machine.wiring.agents:
            if one.replacing:
                assert says(job, one) == said_last(job, one)


def says(job: Play, one: Agent) -> set[str]:
    view = View(job.context, job.context.highest, one.reader)
    return {emission.fact_id for emission in seal(one, view, list(one.run(view))).emissions}


def said_last(job: Play, one: Agent) -> set[str]:
    context, supports = job.context, job.context.supports
    number = supports.number(one.source)
    counted = (support for index, support in enumerate(supports) if supports.counts(index, context.highest))
    return {id_of(context.facts[support.fact]) for support in counted if support.source == number}


@given(circling(), premises())
@settings(max_examples=60)
def test_whatever_an_agent_reads_is_changed_only_by_those_who_can_reach_it(plan, facts):
    """Every round in which facts of its kinds appear, or their labels change, was written by one a hop away."""
    job = play(agents_of(plan), facts, allow_disputes=True)
    flow, context = job.machine.wiring.flow, job.context
    number = {one.name: number for number, one in enumerate(job.machine.wiring.agents)}
    wrote = {(effect.round + 1, flow.group_of[number[effect.source.agent]]) for effect in job.effects}
    label = [kind_of(fact).label for fact in context.facts]
    for round in range(1, context.highest + 1):
        grown = {label[place] for place, born in enumerate(context.rounds) if born == round}
        changed = {label[place] for place in context.labelling.changed(round)}
        for place, group in enumerate(flow.groups):
            if group.reads & (grown | changed if group.replaces else grown):
                assert any(one == round and place in flow.successors[other] for one, other in wrote)


# --- churn -----------------------------------------------------------------------------------------------------------


def _doubt(view: View) -> Any:
    """Mark North while it is live, and not otherwise: what it concludes takes its reason away."""
    for fact in view.live(North):
        yield fact.invalidate("it is live").because(*view.live(East))


DOUBTERS = {
    "Live": agent(reads=[Live(North), East], invalidates=North, name="doubt")(_doubt),
    "settled": agent(reads=[North, East], invalidates=North, when="settled", name="doubt")(_doubt),
    "replaces": agent(reads=[North, East], invalidates=North, replaces=True, name="doubt")(_doubt),
}


@pytest.mark.parametrize("schedule", EXACT)
@pytest.mark.parametrize("doubter", DOUBTERS)
def test_an_agent_that_invalidates_what_makes_it_do_so_ends_by_churn(doubter, schedule):
    """In four rounds, with the fact and its marker named: neither answer is given as the answer."""
    job = play([DOUBTERS[doubter]], [North(1), East(1)], schedule=schedule, allow_disputes=True)
    (marker,) = job.view.all(Invalidation)
    assert job.stop is not None
    assert (job.stop.reason, job.stop.detail) == (StopReason.BUDGET, ("churn", id_of(marker), id_of(North(1))))
    assert job.spend.rounds == 4


def test_an_engine_that_churns_says_so():
    """Through the front door: not converged, the loop named, and who had more to read."""
    outcome = run(Engine([DOUBTERS["Live"]], allow_disputes=True), "doubt", [North(1), East(1)])
    assert not outcome.converged
    assert str(outcome.stop).startswith("the budget is spent before a fixed point: churn; Invalidation:")
    assert str(outcome.stop).endswith("(doubt had more to read)")


@pytest.mark.parametrize("schedule", EXACT)
def test_a_circle_over_two_agents_ends_by_churn_with_all_its_facts_named(schedule):
    """One concludes from absence what the other turns into presence."""

    @agent(reads=[East, Middle], writes=South, when="settled")
    def propose(view):
        return [South(1).because(fact) for fact in view.live(East)] if view.absent(Middle) else None

    @agent(reads=Live(South), writes=Middle)
    def object_to(view):
        return [Middle(1).because(fact) for fact in view.live(South)]

    job = play([propose, object_to], [East(1)], schedule=schedule, allow_disputes=True)
    assert job.stop is not None
    assert (job.stop.reason, job.stop.detail) == (StopReason.BUDGET, ("churn", id_of(Middle(1)), id_of(South(1))))
    assert job.spend.rounds <= 10


@pytest.mark.parametrize("schedule", EXACT)
def test_a_marker_that_rests_on_what_it_marks_is_disputed_with_it(schedule):
    """It does not look at liveness, so it goes on saying what undoes its own reason: nothing churns."""

    @agent(reads=North, writes=East)
    def follow(view):
        return [East(fact.n).because(fact) for fact in view.new(North)]

    @agent(reads=[North, East], invalidates=North, replaces=True)
    def refute(view):
        for fact, reason in product(view.all(North), view.all(East)):
            yield fact.invalidate("it follows that it does not").because(reason)

    job = play([follow, refute], [North(1)], schedule=schedule, allow_disputes=True)
    assert reason(job) is StopReason.FIXED_POINT
    assert (job.view.disputed(North), job.view.disputed(East)) == ((North(1),), (East(1),))


@given(st.integers(0, 6), st.sampled_from(EXACT))
def test_churn_is_how_often_a_set_of_live_facts_may_be_entered_again(allowed, schedule):
    """Two rounds for each time round, and one time more than is allowed."""
    job = play(
        [DOUBTERS["Live"]],
        [North(1), East(1)],
        schedule=schedule,
        allow_disputes=True,
        budget=Budget(churn=allowed),
    )
    assert (reason(job), job.spend.rounds) == (StopReason.BUDGET, 2 * (allowed + 1))


@given(circling(), premises(), st.lists(st.integers(0, 3), max_size=3), st.sampled_from(EXACT))
@settings(max_examples=60)
def test_going_on_with_more_churn_equals_one_long_run(plan, facts, allowed, schedule):
    """However often it was stopped before; and with no more than it had, it stands as it did."""
    agents = agents_of(plan)
    whole = play(agents, facts, schedule=schedule, allow_disputes=True, budget=Budget(churn=3))
    job = play(agents, facts, schedule=schedule, allow_disputes=True, budget=Budget(churn=0))
    for churn in sorted([*allowed, 3]):
        job = go_on(job, budget=Budget(churn=churn))
        assert go_on(job).stop == job.stop
    assert (job.stop, digests(job.view), job.rounds) == (whole.stop, digests(whole.view), whole.rounds)
    assert (job.activations, job.spend) == (whole.activations, whole.spend)


def test_a_loop_that_facts_from_outside_end_converges():
    """What was stopped for churn is not lost: the doubter's own reason is withdrawn, and it has nothing to say."""
    job = play([DOUBTERS["Live"]], [North(1), East(1)], allow_disputes=True)
    job = go_on(job, [East(1).invalidate("no reason")])
    assert reason(job) is not StopReason.BUDGET


@given(plans(), premises(), st.sampled_from(EXACT))
@settings(max_examples=60)
def test_a_job_without_such_a_circle_never_churns(plan, facts, schedule):
    """Under the default budget: on the way to its end what holds may be left and entered once more, and no oftener."""
    assert reason(play(agents_of(plan), facts, schedule=schedule)) is StopReason.FIXED_POINT


@given(plans(), premises(), st.lists(premises(), min_size=1, max_size=3), st.data())
@settings(max_examples=40)
def test_facts_given_and_taken_back_over_resumes_never_churn(plan, facts, late, data):
    """Whoever gives facts, marks them and marks the markers may do so as often as they like."""
    job = play(agents_of(plan), facts, schedule="frontier")
    for number, given_late in enumerate(late):
        known = [fact for fact in job.view.facts() if type(fact) in (*KINDS, Invalidation)]
        marked = data.draw(st.lists(st.sampled_from(known), max_size=2)) if known else []
        job = go_on(job, [*given_late, *(fact.invalidate(f"late {number}") for fact in marked)])
        assert reason(job) is StopReason.FIXED_POINT


class Offer(Fact):
    n: int
    worth: int


class Choice(Fact, key=()):
    n: int


@agent(reads=Live(Offer), writes=Choice)
def choose(view: View) -> Any:
    best = view.best(Offer, by=lambda offer: offer.worth)
    return Choice(best.n).because(best) if best else None


@pytest.mark.parametrize("schedule", EXACT)
def test_a_recommendation_may_change_with_every_fact_that_comes(schedule):
    """Thirty times to and fro between two choices: each time something was learnt, so nothing goes round."""

    @agent(reads=Offer, writes=Offer)
    def outbid(view):
        for offer in view.new(Offer):
            if offer.worth < 30:
                yield Offer(1 - offer.n, offer.worth + 1).because(offer)

    job = play([choose, outbid], [Offer(0, 0)], schedule=schedule, budget=Budget(churn=0))
    assert reason(job) is StopReason.FIXED_POINT
    assert len(job.ran("choose")) == 31
    assert (job.view.live(Choice), job.view.dead(Choice)) == ((Choice(0),), (Choice(1),))


@pytest.mark.parametrize("schedule", EXACT)
def test_a_premise_marked_and_pardoned_again_and_again_does_not_churn(schedule):
    """The same two choices are live in turn, as often as somebody outside changes their mind."""
    job = play([choose], [Offer(0, 1), Offer(1, 2)], schedule=schedule, budget=Budget(churn=0))
    mark: Fact = Offer(1, 2)
    for number in range(8):
        mark = mark.invalidate(f"change of mind {number}")
        job = go_on(job, [mark])
        assert (reason(job), job.view.live(Choice)) == (StopReason.FIXED_POINT, (Choice(number % 2),))


@pytest.mark.parametrize("schedule", EXACT)
def test_facts_from_outside_begin_a_new_count(schedule):
    """A loop that was stopped is followed again for as long as it was at first, not cut off at once."""
    job = play([DOUBTERS["Live"]], [North(1), East(1)], schedule=schedule, allow_disputes=True)
    before = job.spend.rounds
    job = go_on(job, [North(2)])
    assert reason(job) is StopReason.BUDGET
    assert job.spend.rounds >= before + 4
