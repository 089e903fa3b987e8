"""Explanations keep their promises in random jobs: proofs are founded and smallest, absences and partings are true."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Fact, RootIntent, id_of
from converge.context import Context
from converge.effect import Given, Range, Source
from converge.errors import FactHolds
from converge.explain.explained import Explained
from converge.explain.explanation import Explanation
from converge.fact import kind_of
from converge.merge import premises
from converge.proof import prove
from converge.smallest import Smallest
from converge.support import OUTSIDE
from tests.jobs import ITEMWISE, MORE, SHAPES, Play, agents_of, go_on, nets, plans, play, wirable
from tests.jobs import premises as given_facts

EVERY_SHAPE = (*SHAPES, *MORE)


def explained(job: Play) -> Explained:
    wiring = job.machine.wiring
    return Explained(job.machine.job, wiring.agents, wiring.kinds)


def shaken(agents: Any, facts: list[Fact], data: st.DataObject) -> Play:
    """Return a job in which some of what was stated is invalidated late."""
    job = play(agents, facts)
    stated = [fact for fact in job.context.facts[1:] if data.draw(st.booleans())]
    return go_on(job, [fact.invalidate("late") for fact in stated[:2]])


def live(context: Context) -> list[Fact]:
    return [fact for place, fact in enumerate(context.facts) if context.is_live(place, context.highest)]


def options(context: Context, place: int) -> Iterator[tuple[str | None, tuple[int, ...]]]:
    """Yield the derivations of a live fact that count and whose evidence holds: by whom, and from what."""
    supports = context.supports
    for index in supports.of(place):
        evidence = context.evidence_of(supports[index])
        if supports.counts(index, context.highest) and all(context.is_live(one, context.highest) for one in evidence):
            source = supports.sources[supports[index].source]
            yield None if source == OUTSIDE else source.agent, evidence


def least_costs(context: Context) -> dict[int, float]:
    """Return what each live fact costs at least, found by going over all of them until nothing changes."""
    places = [context.position[id_of(fact)] for fact in live(context)]
    costs = dict.fromkeys(places, float("inf"))
    moved = True
    while moved:
        moved = False
        for place in places:
            found = min((1 + sum(costs[cited] for cited in evidence) for _, evidence in options(context, place)))
            moved, costs[place] = moved or found < costs[place], min(found, costs[place])
    return costs


def tree_cost(proof: Explanation, known: dict[str, int]) -> int:
    """Return how many steps a proof takes, what is used twice counting twice."""
    for step in reversed(topological(proof)):
        known[id_of(step.fact)] = 1 + sum(known[id_of(reason.fact)] for reason in step.because)
    return known[id_of(proof.fact)]


def topological(proof: Explanation) -> list[Explanation]:
    """Return the steps of a proof, each before all that it rests on; one that goes in a circle has no such order."""
    order: list[Explanation] = []
    done: set[str] = set()
    waiting: list[tuple[Explanation, frozenset[str] | None]] = [(proof, frozenset())]
    while waiting:
        step, path = waiting.pop()
        name = id_of(step.fact)
        if path is None:
            order.append(step)
            continue
        assert name not in path, "it rests on itself"
        if name not in done:
            done.add(name)
            waiting.append((step, None))
            waiting += [(reason, path | {name}) for reason in step.because]
    return order[::-1]


@given(plans(shapes=EVERY_SHAPE).map(wirable), given_facts(), st.data())
@settings(max_examples=100, deadline=None)
def test_each_step_of_a_proof_is_a_derivation_that_counts_and_no_way_leads_back(agents, facts, data):
    job = shaken(agents_of(agents), facts, data)
    asked, context = explained(job), job.context
    for fact in live(context):
        for step in topological(asked.why(fact)):
            place = context.position[id_of(step.fact)]
            because = {context.position[id_of(reason.fact)] for reason in step.because}
            assert (step.agent, because) in [(agent, set(cited)) for agent, cited in options(context, place)]
            assert (step.agent is None) is not bool(step.because)


@given(plans(shapes=EVERY_SHAPE).map(wirable), given_facts(), st.data())
@settings(max_examples=60, deadline=None)
def test_no_proof_takes_fewer_steps(agents, facts, data):
    job = shaken(agents_of(agents), facts, data)
    asked, least = explained(job), least_costs(job.context)
    for fact in live(job.context):
        assert tree_cost(asked.why(fact), {}) == least[job.context.position[id_of(fact)]]


@given(plans(shapes=EVERY_SHAPE).map(wirable), given_facts(), st.data(), st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_where_too_much_stands_behind_a_fact_its_proof_is_founded_all_the_same(agents, facts, data, most):
    """Facts of both sorts are met in one proof; that it is the smallest is said of those of which it is true."""
    job = shaken(agents_of(agents), facts, data)
    asked, context, least = explained(job), job.context, least_costs(job.context)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("converge.smallest.MOST_BEHIND", most)
        for fact in live(context):
            proof = asked.why(fact)
            for step in topological(proof):
                place = context.position[id_of(step.fact)]
                because = {context.position[id_of(reason.fact)] for reason in step.because}
                assert (step.agent, because) in [(agent, set(cited)) for agent, cited in options(context, place)]
            if proof.smallest:
                assert tree_cost(proof, {}) == least[context.position[id_of(fact)]]


@given(nets((*SHAPES, "each", "each", "pair", "pair")), given_facts(), st.data())
@settings(max_examples=60, deadline=None)
def test_no_proof_takes_fewer_steps_where_conclusions_come_back_to_their_authors(agents, facts, data):
    job = shaken(agents_of(agents), facts, data)
    asked, least = explained(job), least_costs(job.context)
    for fact in live(job.context):
        assert tree_cost(asked.why(fact), {}) == least[job.context.position[id_of(fact)]]


@given(plans(shapes=EVERY_SHAPE).map(wirable), given_facts(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_fact_is_proved_alike_whoever_asked_before(agents, facts, data):
    """What was looked for before must not decide between proofs of one size."""
    context = (job := shaken(agents_of(agents), facts, data)).context
    order = data.draw(st.permutations(live(context)))
    asked = explained(job)
    for fact in order:
        assert asked.why(fact).to_dict() == explained(job).why(fact).to_dict()


@given(plans(shapes=EVERY_SHAPE).map(wirable), given_facts())
@settings(max_examples=60, deadline=None)
def test_a_fact_is_proved_alike_under_every_exact_schedule(agents, facts):
    one, other = (explained(play(agents_of(agents), facts, schedule=name)) for name in ("lockstep", "frontier"))
    for fact in live(one.context):
        assert one.why(fact).to_dict() == other.why(fact).to_dict()


@given(plans(shapes=ITEMWISE), given_facts(), st.data())
@settings(max_examples=60, deadline=None)
def test_the_premises_of_a_proof_suffice_to_derive_it_again(agents, facts, data):
    """A job that is given nothing else comes to the fact, where nobody invalidates."""
    without = [plan for plan in agents if plan.shape != "strike"]
    asked = explained(play(agents_of(without), facts))
    fact = data.draw(st.sampled_from(live(asked.context)))
    premises = [one for one in asked.why(fact).premises() if one in facts]
    assert fact in live(play(agents_of(without), premises).context)


@given(plans(shapes=EVERY_SHAPE).map(wirable), given_facts(), st.data())
@settings(max_examples=60, deadline=None)
def test_why_answers_what_holds_and_why_not_what_does_not(agents, facts, data):
    """For each fact one of the two, and what it says of one that fell is how it stands."""
    asked = explained(shaken(agents_of(agents), facts, data))
    for place, fact in enumerate(asked.context.facts):
        if asked.context.is_live(place, asked.context.highest):
            with pytest.raises(FactHolds):
                asked.why_not(fact)
        else:
            absence = asked.why_not(fact)
            [known] = absence.known
            assert (known.fact, known.label) == (fact, asked.label(fact))
            assert absence.hindrances[0].sort == ("disputed" if known.label == "disputed" else "fell")
            assert known.reasons


@given(plans(shapes=EVERY_SHAPE).map(wirable), given_facts(), st.data())
@settings(max_examples=60, deadline=None)
def test_why_not_says_something_of_each_agent_that_could_have_stated_a_fact(agents, facts, data):
    asked = explained(shaken(agents_of(agents), facts, data))
    for kind in {kind for agent in agents_of(agents) for kind in agent.writes}:
        absence = asked.why_not(kind, n=99)
        writers = {agent.name for agent in agents_of(agents) if kind in agent.writes}
        assert writers <= set(absence.agents)


@given(plans(shapes=EVERY_SHAPE).map(wirable), given_facts(), st.data())
@settings(max_examples=60, deadline=None)
def test_the_course_of_a_fact_ends_as_it_stands(agents, facts, data):
    """It begins with who stated it, and its changes lead from live to what it is now."""
    asked = explained(shaken(agents_of(agents), facts, data))
    for fact in asked.context.facts:
        course = asked.history(fact)
        assert course.turns[0].what in ("given", "stated")
        assert list(course.turns) == sorted(course.turns, key=lambda turn: turn.round)
        labels = {"fell": "dead", "disputed": "disputed", "returned": "live"}
        changes = ["live", *(labels[turn.what] for turn in course.turns if turn.what in labels)]
        assert all(one != other for one, other in pairwise(changes))
        assert changes[-1] == course.label == asked.label(fact)


@given(plans(shapes=EVERY_SHAPE).map(wirable), given_facts(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_job_does_not_part_from_itself(agents, facts, data):
    """Nor from the same job under another schedule."""
    job = shaken(agents_of(agents), facts, data)
    assert not explained(job).diff(explained(job))
    one, other = (explained(play(agents_of(agents), facts, schedule=name)) for name in ("lockstep", "frontier"))
    parting = one.diff(other)
    assert not parting, str(parting)


def statements(context: Context) -> Mapping[tuple[str, str, frozenset[str]], tuple[int, bool, str]]:
    """Return all that is stated: by whom, what and because of what, with the first round of each."""
    found: dict[tuple[str, str, frozenset[str]], tuple[int, bool, str]] = {}
    for support in context.supports:
        source, fact = context.supports.sources[support.source], context.facts[support.fact]
        if kind_of(fact).digested:
            because = frozenset(id_of(context.facts[cited]) for cited in context.evidence_of(support))
            where = support.round, source != OUTSIDE, source.agent
            key = f"{source.agent}@{source.version}", id_of(fact), because
            found[key] = min(where, found.get(key, where))
    return found


@given(plans(shapes=EVERY_SHAPE).map(wirable), given_facts(), given_facts(), st.data())
@settings(max_examples=100, deadline=None)
def test_jobs_part_at_the_first_statement_that_one_of_them_lacks(agents, some, others, data):
    """Found by comparing everything they state; nothing that both state is said to be on one side."""
    jobs = play(agents_of(agents), some), play(agents_of(agents), others)
    one, other = (statements(job.context) for job in jobs)
    differing = [one[key] for key in one.keys() - other.keys()] + [other[key] for key in other.keys() - one.keys()]
    parting = explained(jobs[0]).diff(explained(jobs[1]))
    assert bool(parting) is bool(differing)
    if differing:
        round, derived, agent = min(differing)
        assert (parting.round, parting.agent) == (round, agent if derived else None)
    for side, job, known in zip(parting.sides, jobs, jobs[::-1], strict=True):
        new = [*side.stated, *side.follows, *side.others]
        assert len(set(new)) == len(new)
        assert {id_of(fact) for fact in new} >= job.context.position.keys() - known.context.position.keys() - failures(
            job
        )


def failures(job: Play) -> set[str]:
    return {id_of(fact) for fact in job.context.facts if not kind_of(fact).digested}


# --- at scale ---------------------------------------------------------------------------------------------------------


class Claim(Fact, policy="many"):
    n: int


def crowded(facts: int) -> Context:
    """Return a context in which each fact rests on two earlier ones in two ways, but for the first thousand."""
    context = Context(RootIntent("scale"))
    premises(context, [Claim(n) for n in range(1_000)], 0)
    for n in range(1_000, facts):
        context.add(Claim(n), round := n.bit_length())
        place = context.position[id_of(Claim(n))]
        for by in ("one", "other"):
            shift = len(by)
            context.support(place, Source(by), round, (1 + n // 2 - shift, 1 + n // 2))
    return context


def test_a_proof_looks_at_what_lies_behind_its_fact_alone(monkeypatch):
    """Of thirty thousand facts, each with two derivations, it meets the ancestors, each once."""
    context, met = crowded(30_000), list[int]()
    looked = Smallest.options

    def counted(self: Smallest, place: int) -> Any:
        met.append(place)
        return looked(self, place)

    monkeypatch.setattr(Smallest, "options", counted)
    proof = prove(context, Claim(29_999), context.highest)
    assert len(set(met)) < 100
    assert all(place < 1_001 for place in (context.position[id_of(fact)] for fact in proof.premises()))


def test_a_proof_of_many_facts_is_unfolded_where_it_is_looked_at(monkeypatch):
    """To ask why of a fact that rests on all others costs nothing by their number, until somebody looks."""
    context = crowded(3_000)
    upto = context.highest
    context.add(Claim(-1), upto + 1)
    place = context.position[id_of(Claim(-1))]
    context.support(place, Source("whole"), upto + 1, context.node(Given((Range("Claim", -1, upto),))))
    found = list[int]()

    def counted(self: Smallest, place: int) -> list[int]:
        found.append(place)
        return [context.supports.lowest(place)]

    monkeypatch.setattr(Smallest, "options", counted)
    proof = prove(context, Claim(-1), context.highest)
    assert found == [place]
    assert len(proof.because) == 3_000
