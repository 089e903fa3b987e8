"""Merging is a union: neither the order of a job's effects nor their repetition can change what is known."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge.context import Context
from converge.effect import Effect, Emission, Given, Source
from converge.fact import Fact, Invalidation, id_of, identified
from converge.intent import RootIntent
from converge.lookup import Reader
from converge.merge import merge, premises
from converge.view import UNRESTRICTED, View
from tests.jobs import KINDS, Play, agents_of, digests, plans, play
from tests.jobs import premises as given_facts

North, East, South, *_ = KINDS
SOURCE = Source("somebody")
Order = random.Random


def emission(fact: Fact, *evidence: Fact, cited: bool = True) -> Emission:
    canonical, fact_id, body = identified(fact)
    return Emission(canonical, fact_id, body, tuple(map(id_of, evidence)) if cited else None)


def effect(*emissions: Emission, round: int = 0, source: Source = SOURCE, given: Given | None = None) -> Effect:
    return Effect(source, round, emissions, given or Given(picks=(0,)))


def begun(*facts: Fact, round: int = 0) -> Context:
    context = Context(RootIntent("a law"))
    premises(context, facts, round)
    return context


def all_digests(context: Context) -> tuple[str, str, str]:
    return digests(View(context, context.highest, UNRESTRICTED))


# --- an effect names facts it was given by their place in one context: here it is merged into another ----------------


def needs(job: Play, one: Effect) -> set[str]:
    """Return the ids that must be known before an effect can be merged; it may cite and mark what it emits itself."""
    cited = {fact_id for item in one.emissions for fact_id in item.evidence or ()}
    targets = {item.fact.target for item in one.emissions if isinstance(item.fact, Invalidation)}
    named = {id_of(job.context.facts[place]) for place in (one.given.picks if one.given else ())}
    return named | (cited | targets) - {item.fact_id for item in one.emissions}


def moved(job: Play, one: Effect, other: Context) -> Effect:
    def place(old: int) -> int:
        return other.position[id_of(job.context.facts[old])]

    if one.given is None:
        return one
    return one._replace(given=one.given._replace(picks=tuple(sorted(map(place, one.given.picks)))))


def merged(job: Play, facts: list[Fact], effects: list[Effect]) -> Context:
    """Merge effects one by one, each into its round, the first one that can be merged first."""
    context, waiting = begun(*facts), list(effects)
    while waiting:
        ready = next(one for one in waiting if needs(job, one) <= context.position.keys())
        waiting.remove(ready)
        merge(context, [(moved(job, ready, context), ready.round + 1)])
    return context


def added(job: Play, upto: int, pieces: list[int], *, at_once: bool) -> Context:
    """Return the first facts of a job, each with its first support, added to a context of their own in pieces."""
    context, whole = Context(job.context.intent), job.context
    numbers = list(map(context.supports.number, whole.supports.sources))
    for first, last in pairwise(sorted({1, upto, *pieces})):
        facts, rounds = whole.facts[first:last], whole.rounds[first:last]
        lowest = [whole.supports[whole.supports.lowest(fact)] for fact in range(first, last)]
        if at_once:
            assert context.extend(facts, rounds)
            places, sources, derived, cited = map(list, zip(*lowest, strict=True))
            context.derive(places, [numbers[source] for source in sources], derived, cited)
            continue
        for fact, round in zip(facts, rounds, strict=True):
            context.add(fact, round)
        for place, source, round, evidence in lowest:
            context.support(place, whole.supports.sources[source], round, evidence)
    return context


@given(plans(), given_facts(), st.data())
@settings(max_examples=50)
def test_facts_added_at_once_are_as_if_added_one_by_one(agents, facts, data):
    """In pieces of any size, markers among them: digests, supports and the labels of every round are the same."""
    job = play(agents_of(agents), facts)
    upto = len(job.context.facts)
    pieces = data.draw(st.lists(st.integers(1, upto)))
    many, singly = (added(job, upto, pieces, at_once=at_once) for at_once in (True, False))
    assert all_digests(many) == all_digests(singly)
    assert list(many.supports) == list(singly.supports)
    assert many.labelling.notes == singly.labelling.notes
    assert many.highest == singly.highest
    for round in range(many.highest + 1):
        known = [place for place in range(upto) if many.rounds[place] <= round]
        assert [many.label(place, round) for place in known] == [singly.label(place, round) for place in known]


def test_facts_added_at_once_are_all_new_or_none_is_added():
    """One that is known already leaves the context as it was."""
    context = begun(North(1))
    new, known = identified(North(2))[0], identified(North(1))[0]
    assert not context.extend([new, known], [1, 1])
    assert not context.extend([new, new], [1, 1])
    assert len(context.facts) == 2


@given(plans(), given_facts(), st.randoms())
@settings(max_examples=50)
def test_the_order_of_effects_within_a_round_changes_no_digest(agents, facts, order: Order):
    """The effects of one round are merged in any order, some of them twice, to the same knowledge."""
    job = play(agents_of(agents), facts)
    effects = job.effects + order.sample(job.effects, len(job.effects) // 2)
    order.shuffle(effects)
    effects.sort(key=lambda one: one.round)
    assert all_digests(merged(job, facts, effects)) == digests(job.view)


@given(plans(), given_facts(), st.randoms())
@settings(max_examples=50)
def test_any_permutation_or_duplication_of_a_jobs_effects_gives_the_same_three_digests(agents, facts, order: Order):
    """Rounds need not come in order: an effect is merged as soon as what it names is known, or again much later."""
    job = play(agents_of(agents), facts)
    effects = job.effects + order.sample(job.effects, len(job.effects) // 2)
    order.shuffle(effects)
    assert all_digests(merged(job, facts, effects)) == digests(job.view)


@given(plans(), given_facts(), st.randoms())
@settings(max_examples=50)
def test_the_order_in_which_agents_end_changes_nothing(agents, facts, order: Order):
    """Facts, their rounds, the trace and every committed row are the same, whoever was faster."""

    def any_order(started):
        return order.sample(list(started), len(started))

    one, other = play(agents_of(agents), facts), play(agents_of(agents), facts, ends=any_order)
    assert [(row, other.bodies[place]) for place, row in enumerate(one.bodies) if row != other.bodies[place]] == []
    assert len(one.bodies) == len(other.bodies)


@given(plans(), given_facts(), st.randoms())
@settings(max_examples=50)
def test_the_order_of_premises_changes_no_digest(agents, facts, order: Order):
    """Facts from outside are a set: given in another order, or twice, they lead to the same knowledge."""
    repeated = facts + order.sample(facts, len(facts) // 2)
    order.shuffle(repeated)
    one, other = play(agents_of(agents), facts), play(agents_of(agents), repeated)
    assert digests(one.view) == digests(other.view)
    assert one.bodies == other.bodies


@given(plans(), given_facts())
@settings(max_examples=50)
def test_merging_everything_once_more_is_empty_growth(agents, facts):
    """A job's effects, merged again into the context they made, add neither a fact nor a support."""
    job = play(agents_of(agents), facts)
    growths = [merge(job.context, [(one, one.round + 1)]) for one in job.effects]
    assert [growth for growth in growths if growth] == []


def test_the_same_fact_from_another_agent_is_a_support_and_no_fact():
    """Stating what is known already for another reason is growth, but wakes nobody."""
    context = begun(North(1), North(2))
    merge(context, [(effect(emission(East(1), North(1))), 1)])
    growth = merge(context, [(effect(emission(East(1), North(2))), 2)])
    assert growth
    assert (growth.facts, growth.supports, growth.grown) == (0, 1, frozenset())


def test_a_support_is_known_by_its_agent_and_evidence_and_not_by_its_round():
    """The same agent drawing the same conclusion from the same evidence in a later round adds nothing."""
    context = begun(North(1))
    merge(context, [(effect(emission(East(1), North(1))), 1)])
    assert not merge(context, [(effect(emission(East(1), North(1)), round=4), 5)])


def test_evidence_is_a_set():
    """Naming the evidence in another order, or twice, is the same support."""
    context = begun(North(1), North(2))
    merge(context, [(effect(emission(East(1), North(1), North(2))), 1)])
    assert not merge(context, [(effect(emission(East(1), North(2), North(1), North(2))), 1)])


def test_a_fact_has_the_smallest_round_of_its_supports():
    """A later round may be merged before an earlier one; the fact then moves to the earlier one."""
    context = begun(North(1))
    merge(context, [(effect(emission(East(1), North(1)), round=4), 5)])
    merge(context, [(effect(emission(East(1), North(1)), round=1, source=Source("another")), 2)])
    assert View(context, 2, UNRESTRICTED).all(East) == (East(1),)


def test_a_fact_that_moves_to_an_earlier_round_is_in_the_views_of_that_round():
    """What a view shows and its digest follow the move together."""
    context, reader = begun(North(1)), Reader(Source("reader"), {"East": False})
    merge(context, [(effect(emission(East(1), North(1)), round=4), 5)])
    before = View(context, 2, reader).digest()
    merge(context, [(effect(emission(East(1), North(1)), round=1, source=Source("another")), 2)])
    assert View(context, 2, reader).facts() == (East(1),)
    assert View(context, 2, reader).digest() != before


def test_supports_are_a_set_to_the_proof_digest():
    """Whether the evidence was named or is all that the view returned, the proof is the same."""
    named, given = begun(North(1)), begun(North(1))
    merge(named, [(effect(emission(East(1), North(1))), 1)])
    merge(given, [(effect(emission(East(1), North(1)), emission(East(1), cited=False), given=Given(picks=(1,))), 1)])
    assert all_digests(named) == all_digests(given)


@pytest.mark.parametrize("round", [1, 7])
def test_no_digest_depends_on_the_round(round: int):
    """When something was derived is provenance."""
    early, late = begun(North(1)), begun(North(1))
    merge(early, [(effect(emission(East(1), North(1))), 1)])
    merge(late, [(effect(emission(East(1), North(1)), round=round - 1), round)])
    assert all_digests(early) == all_digests(late)


def test_facts_of_one_key_are_all_kept():
    """Nothing is overwritten: two contents under one key stand side by side."""
    context = begun(North(1), North(2), East(1))
    assert len(context.facts) == 4  # the root intent is the first


def test_a_replacing_effect_merged_again_does_not_bring_old_conclusions_back():
    """An old activation that arrives twice stays old."""
    replacing = Source("best", replaces=True)
    first = effect(emission(East(1), North(1)), source=replacing)
    second = effect(emission(East(2), North(1)), source=replacing, round=3)
    context = begun(North(1))
    for one in (first, second):
        merge(context, [(one, one.round + 1)])
    before = all_digests(context)
    merge(context, [(first, first.round + 1)])
    assert all_digests(context) == before
    assert View(context, context.highest, UNRESTRICTED).live(East) == (East(2),)


def test_an_effect_of_an_old_version_merged_again_does_not_bring_it_back():
    """A newer version that completed once has replaced the older one for good."""
    old, new = Source("same", "1"), Source("same", "2")
    first = effect(emission(East(1), North(1)), source=old)
    context = begun(North(1))
    merge(context, [(first, 1)])
    merge(context, [(effect(emission(East(2), North(1)), source=new, round=1), 2)])
    merge(context, [(first, 1)])
    assert View(context, context.highest, UNRESTRICTED).live(East) == (East(2),)
