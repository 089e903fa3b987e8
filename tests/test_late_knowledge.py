"""What is known does not depend on when or in what portions it came to be known: laws of effects and of late facts."""

import random
from collections.abc import Sequence

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from converge import Fact, Invalidation, id_of
from converge.effect import Effect
from tests.jobs import (
    ITEMWISE,
    KINDS,
    MORE,
    SHAPES,
    Plan,
    Play,
    agents_of,
    cells,
    digests,
    nets,
    plans,
    play,
    wirable,
)
from tests.jobs import premises as given_facts
from tests.test_merge_laws import all_digests, merged
from tests.timing import JOBS, any_durations, timed, timed_on

North, East, South, Middle, Top = KINDS
STEADY = tuple(shape for shape in (*SHAPES, *MORE) if shape not in ("fragile", "nurse"))  # without failures
SETTLED = ("sum", "count", "none", "best", "replace")  # what they conclude holds of what they see, not of what they saw
FIRM = (*ITEMWISE, *SETTLED, "each", "strike")
UNCITED = ("loose", "mixture", "loose", "each", "pair", "seed", "strike", *SETTLED)
orders = st.integers(0, 2**16).map(random.Random)


def held(job: Play) -> dict[str, str]:
    """Return the label of every fact that is not dead; of markers, none."""
    view = job.view
    kinds = [type(fact) for fact in view.facts() if not isinstance(fact, Invalidation)]
    live = {id_of(fact): "live" for kind in kinds for fact in view.live(kind)}
    return live | {id_of(fact): "disputed" for kind in kinds for fact in view.disputed(kind)}


# --- effects ---------------------------------------------------------------------------------------------------------


def split(effect: Effect) -> list[Effect]:
    """Return an effect of several emissions as one effect for each; one of none as it is."""
    return [effect._replace(emissions=(emission,)) for emission in effect.emissions] or [effect]


@given(plans(shapes=STEADY).map(wirable), given_facts(), orders)
@settings(max_examples=JOBS // 2)
def test_effects_shuffled_repeated_and_split_give_the_same_three_digests(plan, facts, order):
    """A union knows neither order nor portions; the effects are those of a job in which some were slow."""
    job = timed(agents_of(plan), facts, any_durations(order), schedule="frontier")
    effects = [part for effect in job.effects for part in split(effect)]
    effects += order.sample(effects, len(effects) // 2)
    order.shuffle(effects)
    assert all_digests(merged(job, facts, effects)) == digests(job.view)


def test_a_part_that_comes_after_the_next_activation_has_fallen_with_the_others():
    """A replacing agent's effect may come in parts, some of them when it has spoken again."""
    plan = wirable([Plan("seed", (0,), 0, 0), Plan("revise", (0,), 0, 0), Plan("replace", (0,), 3, 0)])
    facts: list[Fact] = [East(1), South(1), North(2)]
    job = timed(agents_of(plan), facts, any_durations(random.Random(0)), schedule="frontier")
    effects = [part for effect in job.effects for part in split(effect)]
    late = next(part for part in effects if part.round == 1 and part.source.replaces)
    effects.remove(late)
    assert all_digests(merged(job, facts, [*effects, late])) == digests(job.view)


# --- late facts ------------------------------------------------------------------------------------------------------


@given(plans(shapes=FIRM).map(wirable), given_facts(), given_facts(), st.data())
@settings(max_examples=JOBS // 2)
def test_what_is_stated_late_leads_to_what_a_run_from_scratch_finds_live(plan, facts, late, data):
    """In any portions: settled agents on several levels and strikes against what was replaced since included."""
    agents, order = agents_of(plan), data.draw(orders)
    late += [fact.invalidate("late") for fact in facts + late if data.draw(st.booleans())]
    scratch = play(agents, facts + late)
    job = timed(agents, facts, any_durations(order), schedule="frontier")
    for part in data.draw(portions(late)):
        job = timed_on(job, part, any_durations(order))
    assert job.view.live_digest() == scratch.view.live_digest()


@given(nets((*FIRM, *("each",) * 6)), cells(), cells(), orders)
@settings(max_examples=JOBS // 2)
def test_what_is_stated_late_to_a_net_leads_to_what_a_run_from_scratch_finds_live(plan, facts, late, order):
    """As above, where agents read what they reach."""
    agents, late = agents_of(plan), [*late, *(fact.invalidate("late") for fact in facts[:2])]
    job = timed(agents, facts, any_durations(order), schedule="frontier")
    assert timed_on(job, late, any_durations(order)).view.live_digest() == play(agents, facts + late).view.live_digest()


def portions(late: Sequence[Fact]) -> st.SearchStrategy[list[list[Fact]]]:
    """Cut into up to three portions; a marker stands behind its target."""
    cuts = st.lists(st.integers(0, len(late)), max_size=2).map(sorted)
    return cuts.map(lambda at: [list(late[one:other]) for one, other in zip([0, *at], [*at, len(late)], strict=True)])


# --- premises that no longer hold ------------------------------------------------------------------------------------


@given(plans(shapes=FIRM).map(wirable), given_facts().filter(bool), st.data())
@settings(max_examples=JOBS // 2)
def test_invalidating_a_premise_equals_never_having_stated_it(plan, facts, data):
    """All that holds or is in doubt is the same, but for the marker itself."""
    agents, order = agents_of(plan), data.draw(orders)
    premise = data.draw(st.sampled_from(facts))
    never = play(agents, [fact for fact in facts if fact != premise])
    assume(id_of(premise) not in never.rounds)  # who derives it again is contradicted by the marker
    job = timed(agents, facts, any_durations(order), schedule="frontier")
    assert held(timed_on(job, [premise.invalidate("late")], any_durations(order))) == held(never)


@given(plans(shapes=FIRM).map(wirable), given_facts(), st.data())
@settings(max_examples=JOBS // 2)
def test_invalidating_the_invalidations_restores_what_held(plan, facts, data):
    """Whatever was marked, premises or conclusions, and whatever was concluded meanwhile."""
    agents, order = agents_of(plan), data.draw(orders)
    job = timed(agents, facts, any_durations(order), schedule="frontier")
    stated = [fact for fact in job.context.facts[1:] if type(fact) in KINDS and data.draw(st.booleans())]
    markers = [fact.invalidate("late") for fact in stated[:3]]
    marked = timed_on(job, markers, any_durations(order))
    again = timed_on(marked, [marker.invalidate("not so") for marker in markers], any_durations(order))
    assert held(again) == held(job)


# --- evidence that nobody named --------------------------------------------------------------------------------------


@given(plans(shapes=UNCITED).map(wirable), given_facts().filter(bool), st.data())
@settings(max_examples=JOBS // 2)
def test_a_batch_that_lost_a_member_is_concluded_from_again_without_it(plan, facts, data):
    """Who cites nothing loses work, not truth: what holds is what would hold had the member never been given.

    Where nothing ends as disputed: only what is live is given again (law 10).
    """
    agents, order = agents_of(plan), data.draw(orders)
    lost = data.draw(st.lists(st.sampled_from(facts), min_size=1, max_size=2, unique=True))
    never = play(agents, [fact for fact in facts if fact not in lost])
    assume(not never.rounds.keys() & set(map(id_of, lost)))
    assume("disputed" not in held(never).values())
    job = timed(agents, facts, any_durations(order), schedule="frontier")
    for fact in lost:
        job = timed_on(job, [fact.invalidate("late")], any_durations(order))
    assert held(job) == held(never)


@given(nets((*UNCITED, *("loose",) * 6)), cells(), orders)
@settings(max_examples=JOBS // 2)
def test_a_batch_of_a_net_that_lost_a_member_is_concluded_from_again_without_it(plan, facts, order):
    """As above, where agents read what they reach, and nothing ends as disputed: only what is live is given again."""
    agents, (lost, *kept) = agents_of(plan), facts
    never = play(agents, kept)
    assume(id_of(lost) not in never.rounds)
    assume("disputed" not in held(never).values())
    job = timed(agents, facts, any_durations(order), schedule="frontier")
    assert held(timed_on(job, [lost.invalidate("late")], any_durations(order))) == held(never)
