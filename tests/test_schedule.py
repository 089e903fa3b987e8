"""The machine that decides, without an event loop: rounds, eligibility, failure, budgets and the fixed point."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Budget, Engine, Fact, Failure, Live, View, agent, id_of
from converge.activation import seal
from converge.agent import Agent
from converge.command import Activation
from converge.errors import ForeignPremise, KindUnknown, WiringInvalid
from converge.liveness import DEAD
from converge.merge import fresh
from converge.stop import StopReason, Unread
from converge.trace import Activated, ActivationFailed, RoundMerged, RoundStarted, Warned
from converge.wiring import Wiring
from tests.jobs import KINDS, PURE, Play, agents_of, digests, facts_of, go_on, perform, plans, play
from tests.jobs import premises as given_facts

North, East, South, Middle, Top = KINDS


@agent(reads=North, writes=East)
def step(view: View):
    return [East(fact.n).because(fact) for fact in view.new(North)]


@agent(reads=East, writes=South)
def further(view: View):
    return [South(fact.n).because(fact) for fact in view.new(East)]


def reason(job: Play) -> StopReason:
    assert job.stop is not None
    return job.stop.reason


def of_type(job: Play, kind: type):
    return [event for event in job.machine.trace if isinstance(event, kind)]


# --- the fixed point -------------------------------------------------------------------------------------------------


@given(plans(), given_facts())
@settings(max_examples=50)
def test_a_job_ends_with_nothing_open_and_nothing_unread(plan, facts):
    """These finite agents always reach their fixed point, and the stop lists nobody with more to read."""
    job = play(agents_of(plan), facts)
    assert reason(job) is StopReason.FIXED_POINT
    assert job.stop is not None
    assert job.stop.unread == ()


@given(plans(shapes=[shape for shape in PURE if shape != "strike"]), given_facts())
@settings(max_examples=50)
def test_running_on_a_converged_context_adds_nothing(plan, facts):
    """Every agent, run on the final view as if it had read nothing, concludes only what is known."""
    job = play(agents_of(plan), facts)
    for one in job.machine.wiring.agents:
        view = View(job.context, job.context.highest, one.reader)
        if one.replacing or one.reads or job.ran(one.name):
            done = perform(Activation(0, one, view))
            assert done.effect is not None
            assert fresh(job.context, [done.effect]) == set()


@given(plans(), given_facts())
@settings(max_examples=50)
def test_a_replacing_agent_concludes_on_the_final_view_what_holds_of_it(plan, facts):
    """Its last conclusions are those it would draw now: nobody's answer is out of date at a fixed point."""
    job = play(agents_of(plan), facts)
    for one in job.machine.wiring.agents:
        if one.replacing:
            view = View(job.context, job.context.highest, one.reader)
            drawn = {emission.fact_id for emission in seal(one, view, one.run(view)).emissions}
            assert drawn == last_drawn(job, one)


def last_drawn(job: Play, one: Agent) -> set[str]:
    context, supports = job.context, job.context.supports
    number = supports.number(one.source)
    counted = (s for index, s in enumerate(supports) if supports.counts(index, context.highest))
    return {id_of(context.facts[support.fact]) for support in counted if support.source == number}


def fell(job: Play) -> bool:
    """Whether some fact was dead in some round, though it may have come back since."""
    context = job.machine.context
    known = range(len(context.facts))
    return any(
        context.label(fact, round) == DEAD
        for round in range(context.highest + 1)
        for fact in known
        if context.rounds[fact] <= round
    )


@given(plans(), given_facts())
@settings(max_examples=50)
def test_an_agent_that_has_nothing_new_to_read_is_not_activated(plan, facts):
    """Every activation reads a round in which something it reads grew or changed its label, or its first one."""
    agents = agents_of(plan)
    job = play(agents, facts)
    for one in agents:
        rounds = job.ran(one.name)
        assert len(set(rounds)) == len(rounds)
        if not one.replacing and one.accepts is None:
            read = {kind for kind in one.reads if not isinstance(kind, Live)}
            grown = {job.rounds[id_of(fact)] for fact in job.view.facts() if type(fact) in read}
            assert set(rounds) >= (grown if one.reads else {0})
            # What was cited by nobody and lost a part is given again, when nothing else is new.
            assert rounds == (sorted(grown) if one.reads else [0]) or (one.name.endswith("batch") and fell(job))


@given(plans(), given_facts())
@settings(max_examples=50)
def test_a_fact_is_derived_one_round_after_the_round_its_agent_was_reading(plan, facts):
    """Premises have round 0, and a derived fact one more than the first view it was concluded from."""
    job = play(agents_of(plan), facts)
    reading = {id_of(fact): 0 for fact in facts}
    for effect in sorted(job.effects, key=lambda one: one.round):
        for emission in effect.emissions:
            reading.setdefault(emission.fact_id, effect.round + 1)
    assert {fact_id: round for fact_id, round in job.rounds.items() if fact_id in reading} == reading


@given(plans(), given_facts())
@settings(max_examples=50)
def test_a_round_is_a_barrier(plan, facts):
    """Everyone with something unread in a round reads exactly that round, and it is merged before the next is read."""
    job = play(agents_of(plan), facts)
    rounds = [event.round for event in of_type(job, RoundStarted)]
    merged = [event.round for event in of_type(job, RoundMerged)]
    assert merged == [round + 1 for round in rounds]
    assert len(set(rounds)) == job.spend.rounds
    assert sum(event.agents for event in of_type(job, RoundStarted)) == job.spend.activations


@given(plans(), given_facts())
@settings(max_examples=50)
def test_the_trace_is_written_in_name_order(plan, facts):
    """Whoever ended first, within a round agents are recorded by name."""
    job = play(agents_of(plan), facts)
    rounds: list[list[str]] = []
    for event in job.machine.trace:
        if isinstance(event, RoundStarted):
            rounds.append([])
        elif isinstance(event, Activated):
            rounds[-1].append(event.agent)
    assert rounds == [sorted(names) for names in rounds]


# --- who runs --------------------------------------------------------------------------------------------------------


def test_an_agent_that_reads_nothing_runs_once():
    """The root intent is what it has unread."""

    @agent(writes=North)
    def seed(view):
        return North(1).because(view.intent)

    job = play([seed, step])
    assert (job.ran("seed"), job.ran("step")) == ([0], [1])
    assert job.view.live(East) == (East(1),)


def test_an_agent_whose_reads_nobody_wrote_never_runs():
    """There is nothing to wake it."""
    job = play([step, further], [South(1)])
    assert job.activations == {}
    assert reason(job) is StopReason.FIXED_POINT


@pytest.mark.parametrize("options", [{"when": "settled", "reads": North}, {"reads": Live(North)}, {"replaces": True}])
def test_a_replacing_agent_runs_at_least_once(options):
    """Whether there is nothing is a question too."""

    @agent(writes=Top, name="one", **options)
    def one(view):
        return Top(0)

    assert play([one]).ran("one") == [0]


def test_a_settled_agent_waits_until_all_else_is_quiet():
    """It reads the highest round, after everybody who has something unread."""

    @agent(reads=South, writes=Top, when="settled")
    def count(view):
        return Top(view.count(South))

    job = play([count, step, further], [North(1), North(2)])
    assert job.ran("count") == [2]
    assert job.view.all(Top) == (Top(2),)


def test_settled_agents_run_by_level():
    """One that reads what another concludes waits for it, however many steps lie between."""

    @agent(reads=East, writes=Middle, when="settled", name="z-first")
    def first(view):
        return Middle(view.count(East))

    @agent(reads=Middle, writes=South, name="y-between")
    def between(view):
        return [South(fact.n).because(fact) for fact in view.new(Middle)]

    @agent(reads=South, writes=Top, when="settled", name="a-last")
    def last(view):
        return Top(view.count(South))

    job = play([last, between, first, step], [North(1)])
    assert (job.ran("z-first"), job.ran("y-between"), job.ran("a-last")) == ([1], [2], [3])
    assert job.view.all(Top) == (Top(1),)


def test_a_settled_agent_that_concludes_nothing_does_not_hold_the_next_level_up():
    """Silence is an answer."""

    @agent(reads=East, writes=Middle, when="settled", name="silent")
    def silent(view):
        return None

    @agent(reads=Middle, writes=Top, when="settled", name="none-found")
    def none_found(view):
        return Top(0) if view.absent(Middle) else None

    job = play([none_found, silent, step], [North(1)])
    assert job.view.live(Top) == (Top(0),)


def test_two_settled_agents_that_read_each_other_both_run():
    """Neither waits for the other: a level for both would have no beginning."""

    @agent(reads=North, writes=East, when="settled", name="one")
    def one(view):
        return East(1)

    @agent(reads=East, writes=North, when="settled", name="other")
    def other(view):
        return North(1)

    job = play([one, other], allow_disputes=True)
    assert reason(job) is StopReason.FIXED_POINT
    assert {"one", "other"} == {name for name, _ in job.activations}


def test_only_the_conclusions_of_the_latest_activation_count():
    """A replacing agent's older conclusions fall when they are not drawn again, even where nothing is drawn at all."""

    @agent(reads=North, writes=Top, when="settled")
    def few(view):
        return Top(view.count(North)) if view.count(North) < 3 else None

    job = play([few], [North(1)])
    assert job.view.live(Top) == (Top(1),)
    job = go_on(job, [North(2)])
    assert (job.view.live(Top), job.view.dead(Top)) == ((Top(2),), (Top(1),))
    job = go_on(job, [North(3)])
    assert (job.view.live(Top), len(job.view.dead(Top))) == ((), 2)


def test_what_rested_on_a_replaced_conclusion_falls_with_it():
    """Also when the replacing activation emitted nothing."""

    @agent(reads=North, writes=Middle, when="settled")
    def clear(view):
        return Middle(0) if view.absent(North) else None

    @agent(reads=Middle, writes=Top)
    def announce(view):
        return [Top(fact.n).because(fact) for fact in view.new(Middle)]

    job = play([clear, announce])
    assert job.view.live(Top) == (Top(0),)
    assert go_on(job, [North(1)]).view.live(Top) == ()


def test_a_change_of_labels_wakes_the_readers_of_liveness_and_nobody_else():
    """Others read all facts, whatever their label, so nothing is new to them."""

    @agent(reads=Live(East), writes=Top)
    def counter(view):
        return Top(view.count(East))

    late = go_on(play([step, counter, further], [North(1)]), [North(1).invalidate("late")])
    assert (late.ran("step"), late.ran("further"), late.ran("counter")) == ([0], [1], [0, 1, 3])
    assert late.view.live(Top) == (Top(0),)


def test_a_fact_that_fell_and_is_supported_again_wakes_the_readers_of_liveness():
    """Nothing is added but a reason, and by it the fact holds again."""

    @agent(reads=North, writes=East, name="same")
    def same(view):
        return [East(1).because(fact) for fact in view.new(North)]

    @agent(reads=Live(East), writes=Top)
    def counter(view):
        return Top(view.count(East))

    fallen = go_on(play([same, counter], [North(1)]), [North(1).invalidate("late")])
    assert fallen.view.live(Top) == (Top(0),)
    assert go_on(fallen, [North(2)]).view.live(Top) == (Top(1),)


def test_a_fact_supported_again_wakes_nobody():
    """A second reason for what holds already changes no label."""

    @agent(reads=North, writes=East, name="again")
    def again(view):
        return [East(1).because(fact) for fact in view.new(North)]

    @agent(reads=East, writes=Top, when="settled")
    def tally(view):
        return Top(view.count(East))

    job = play([again, tally, further], [North(1)])
    late = go_on(job, [North(2)])
    assert (late.ran("further"), len(late.ran("tally"))) == ([1], 1)


# --- accepts ---------------------------------------------------------------------------------------------------------


def waits_for(count: int) -> Agent:
    def enough(view: View) -> bool:
        return len(view.new(East)) >= count

    @agent(reads=East, writes=Top, accepts=enough, name="waits")
    def waits(view):
        return Top(len(view.new(East)))

    return waits


@given(st.integers(1, 4), st.integers(1, 4))
def test_a_refused_view_counts_as_read_and_new_goes_on_accumulating(needed, stated):
    """The job may end without the agent; the facts it refused are still new to it when it accepts at last."""
    job = play([step, waits_for(needed)], [North(0)])
    for n in range(1, stated):
        job = go_on(job, [North(n)])
    assert reason(job) is StopReason.FIXED_POINT
    assert job.view.all(Top) == ((Top(needed),) if stated >= needed else ())


def test_what_was_refused_is_given_with_what_made_it_acceptable():
    """Two facts of different rounds come together in one activation."""
    job = go_on(play([step, waits_for(2)], [North(0)]), [North(1)])
    assert job.view.all(Top) == (Top(2),)
    assert len(job.ran("waits")) == 1


def test_a_refusal_is_no_activation():
    """It costs neither a round nor an activation."""
    job = play([waits_for(2)], [East(1)])
    assert (job.spend.rounds, job.spend.activations) == (0, 0)
    assert job.activations == {}


def test_an_acceptance_test_that_raises_is_a_failed_activation():
    """What cannot be decided is not silently a no."""

    def broken(view: View) -> bool:
        raise KeyError("no such thing")

    @agent(reads=North, accepts=broken)
    def never(view):
        raise AssertionError("it was not accepted")

    job = play([never], [North(1)])
    (event,) = of_type(job, ActivationFailed)
    assert (event.agent, event.error, reason(job)) == ("never", "KeyError", StopReason.AGENT_FAILED)


def test_what_a_settled_agent_refuses_is_read():
    """A job does not wait for an agent that does not want to run."""

    @agent(reads=North, when="settled", accepts=lambda view: False, writes=Top)
    def unwilling(view):
        return Top(1)

    job = play([unwilling], [North(1)])
    assert (reason(job), job.activations) == (StopReason.FIXED_POINT, {})


# --- failure ---------------------------------------------------------------------------------------------------------


def failing_until(good: int, *, required: bool = True) -> Agent:
    @agent(reads=North, writes=East, name="failing", required=required)
    def failing(view):
        if len(view.new(North)) < good:
            raise ValueError(f"only {len(view.new(North))}")
        return [East(fact.n).because(fact) for fact in view.new(North)]

    return failing


def test_a_failed_activation_leaves_its_watermark_and_is_tried_again_on_growth():
    """The facts it failed on are new to it again."""
    job = go_on(play([failing_until(2, required=False)], [North(1)]), [North(2)])
    assert set(job.view.live(East)) == {East(1), East(2)}
    assert job.machine.missing() == ()


def test_a_failed_activation_is_not_tried_again_without_growth():
    """Within a run, once on each view."""
    job = play([failing_until(9)], [North(1)])
    assert [(event.agent, event.round, event.error) for event in of_type(job, ActivationFailed)] == [
        ("failing", 0, "ValueError")
    ]


def test_a_required_agent_that_still_fails_ends_the_job_as_failed():
    """The stop names the agent and what it raised."""
    job = play([failing_until(9), further], [North(1)])
    assert job.stop is not None
    (detail,) = job.stop.detail
    assert detail.startswith("failing (ValueError: only 1 (test_schedule.py, line ")
    assert reason(job) is StopReason.AGENT_FAILED


def test_an_optional_agent_that_fails_is_listed_as_missing():
    """The job converges without it, and says so."""
    job = play([failing_until(9, required=False), further], [North(1)])
    assert reason(job) is StopReason.FIXED_POINT
    assert job.machine.missing() == ("failing",)


def test_siblings_of_a_failed_agent_go_on():
    """A failure takes nothing from anybody else."""
    assert play([failing_until(9), step], [North(1)]).view.live(East) == (East(1),)


def test_a_failure_is_stated_and_can_be_read():
    """Reading failures is declared like any read, and wakes like any fact."""

    @agent(reads=Failure, writes=Top)
    def nurse(view):
        return [Top(1).because(fact) for fact in view.new(Failure) if fact.error == "ValueError"]

    job = play([failing_until(9, required=False), nurse], [North(1)])
    assert job.view.live(Top) == (Top(1),)
    assert [fact.agent for fact in job.view.all(Failure)] == ["failing"]


@given(plans(), given_facts())
@settings(max_examples=50)
def test_failures_are_in_no_digest(plan, facts):
    """What went wrong on the way is not knowledge about the world."""

    @agent(reads=list(KINDS), required=False, name="always fails")
    def fails(view):
        raise RuntimeError("always")

    assert digests(play([*agents_of(plan), fails], facts).view) == digests(play(agents_of(plan), facts).view)


def test_nothing_of_a_failed_activation_is_merged():
    """Not even what it had yielded before it raised."""

    @agent(reads=North, writes=East)
    def halfway(view):
        yield East(1)
        raise ValueError("half way")

    assert play([halfway], [North(1)]).view.all(East) == ()


# --- budgets ---------------------------------------------------------------------------------------------------------

budgets = st.builds(Budget, rounds=st.integers(0, 6), facts=st.integers(0, 8), activations=st.integers(0, 12))


@given(plans(), given_facts(), budgets)
@settings(max_examples=50)
def test_no_budget_is_exceeded(plan, facts, budget):
    """Rounds, derived facts and activations stay within what was allowed, whatever the agents do."""
    job = play(agents_of(plan), facts, budget=budget)
    derived = len(job.context.facts) - 1 - len(facts)
    assert derived == job.spend.facts <= budget.facts
    assert sum(job.activations.values()) <= job.spend.activations <= budget.activations
    assert len({event.round for event in of_type(job, RoundStarted)}) == job.spend.rounds <= budget.rounds


@given(plans(), given_facts(), st.lists(budgets, min_size=1, max_size=4))
@settings(max_examples=50)
def test_no_budget_is_exceeded_by_resuming(plan, facts, allowed):
    """A budget counts over the whole life of a job, and one below what is spent allows nothing more."""
    job = play(agents_of(plan), facts, budget=allowed[0])
    for budget in allowed[1:]:
        before, job = job.spend, go_on(job, budget=budget)
        assert job.spend.rounds <= max(before.rounds, budget.rounds)
        assert job.spend.facts <= max(before.facts, budget.facts)
        assert job.spend.activations <= max(before.activations, budget.activations)


@given(plans(), given_facts(), budgets)
@settings(max_examples=50)
def test_a_job_that_ends_by_budget_says_which_and_who_had_more_to_read(plan, facts, budget):
    """It is never called converged, and what it holds is part of what a longer job finds."""
    job, whole = play(agents_of(plan), facts, budget=budget), play(agents_of(plan), facts)
    assert job.stop is not None
    if reason(job) is StopReason.BUDGET:
        assert job.stop.detail[0] in ("rounds", "facts", "activations")
        assert job.stop.unread
    else:
        assert digests(job.view) == digests(whole.view)
    assert facts_of(job.view) <= facts_of(whole.view)


@given(plans(), given_facts(), st.lists(budgets, max_size=4))
@settings(max_examples=40)
def test_going_on_with_more_budget_equals_one_long_run(plan, facts, allowed):
    """However often it was stopped and by which budget."""
    agents = agents_of(plan)
    whole, job = play(agents, facts), play(agents, facts, budget=Budget(rounds=0))
    for budget in allowed:
        job = go_on(job, budget=budget)
    job = go_on(job, budget=Budget())
    assert (digests(job.view), job.rounds, job.activations) == (digests(whole.view), whole.rounds, whole.activations)


@pytest.mark.parametrize("name", ["rounds", "activations"])
def test_a_budget_of_nothing_stops_before_the_first_round(name: str):
    """0 is allowed; the premises are kept."""
    job = play([step], [North(1)], budget=Budget(**{name: 0}))
    assert job.stop is not None
    assert (reason(job), job.stop.detail, job.stop.unread) == (StopReason.BUDGET, (name,), (Unread("step", 0),))
    assert job.view.all(North) == (North(1),)


def test_a_budget_of_no_facts_lets_agents_run_that_conclude_nothing():
    """What is not spent need not be allowed."""

    @agent(reads=North)
    def silent(view):
        return None

    assert reason(play([silent], [North(1)], budget=Budget(facts=0))) is StopReason.FIXED_POINT


def test_an_effect_is_never_cut_in_two_by_a_budget():
    """Three facts where two are allowed means none, and the agent has its view unread."""
    job = play([step], [North(1), North(2), North(3)], budget=Budget(facts=2))
    assert job.view.all(East) == ()
    assert job.stop is not None
    assert job.stop.unread == (Unread("step", 0),)


def test_a_conclusion_known_already_costs_no_fact():
    """The budget is for what is new."""
    job = play([step, further], [North(1), East(1), South(1)], budget=Budget(facts=0))
    assert reason(job) is StopReason.FIXED_POINT
    assert len(job.context.supports) == 4 + 2


def test_a_budget_that_is_exactly_enough_is_enough():
    """Nothing is asked for that is not needed."""
    whole = play([step, further], [North(1), North(2)])
    budget = Budget(rounds=whole.spend.rounds, facts=whole.spend.facts, activations=whole.spend.activations)
    assert reason(play([step, further], [North(1), North(2)], budget=budget)) is StopReason.FIXED_POINT


def test_agents_left_over_are_the_last_in_name_order():
    """Who gets the last unit of a counted budget is never timing."""
    names = [f"agent-{n}" for n in range(6)]
    agents = [agent(reads=North, writes=East, name=name)(step.run) for name in names]
    job = play(agents, [North(1)], budget=Budget(activations=4))
    assert job.stop is not None
    assert [item.agent for item in job.stop.unread] == names[4:]


# --- what the machine refuses ----------------------------------------------------------------------------------------


def test_two_agents_of_one_name_are_refused():
    """A name says whose conclusions these are, so it cannot stand for two."""
    with pytest.raises(WiringInvalid, match=r"two agents are named 'step'.*another name"):
        Engine([step, agent(reads=East, name="step")(step.run)])


def test_two_classes_of_one_kind_are_refused():
    """A stored fact could not say which of them it is."""

    class Other(Fact, name="North"):
        n: int

    with pytest.raises(WiringInvalid, match="two classes are the kind North"):
        Wiring([step, agent(reads=Other, name="other")(step.run)])


def test_an_input_that_the_list_of_inputs_omits_is_refused():
    """With `inputs` given, a kind nobody writes is a mistake in the wiring."""
    with pytest.raises(WiringInvalid, match=r"kind North is read and no agent writes it.*inputs="):
        Wiring([step, further], inputs=[South])


def test_a_fact_of_a_kind_nobody_declares_is_refused():
    """It would be kept and never read; the nearest name is offered."""
    with pytest.raises(KindUnknown, match=r"Top.*inputs="):
        play([step], [Top(1)], inputs=())


@pytest.mark.parametrize("value", ["North", None, {"n": 1}, North])
def test_what_is_given_as_a_fact_and_is_none_is_refused(value):
    """By what it is."""
    with pytest.raises(ForeignPremise, match="takes facts"):
        play([step], [value])


def test_an_uncited_batch_is_warned_about_once():
    """What rests on everything falls with anything, which is rarely meant."""

    @agent(reads=North, writes=East)
    def vague(view):
        return East(len(view.new(North)))

    job = go_on(play([vague], [North(1), North(2)]), [North(3), South(1)])
    assert [(event.agent, "cited none" in event.text) for event in of_type(job, Warned)] == [("vague", True)]


@pytest.mark.parametrize("facts", [[North(1)], [North(1), North(2)]])
def test_naming_the_evidence_is_never_warned_about(facts: Sequence[Fact]):
    """Nor is an agent that was given one fact only, whatever it cites."""

    @agent(reads=North, writes=East)
    def single(view):
        return East(1) if len(view.new(North)) == 1 else None

    assert of_type(play([step, single], facts), Warned) == []
