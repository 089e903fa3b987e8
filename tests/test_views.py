"""A view is an immutable picture: it never changes, iterates in id order, and answers only what was declared."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Conflict, Fact, Live, RootIntent, View, agent, id_of
from converge.agent import Agent
from converge.command import Activation
from converge.context import Context
from converge.errors import KeyContested, NonMonotoneRead, UndeclaredRead
from converge.merge import premises
from converge.view import UNRESTRICTED
from tests.jobs import KINDS, Number, agents_of, digests, plans, play
from tests.jobs import premises as given_facts

North, East, South, *_ = KINDS


class Claim(Fact, key=("about", "by")):
    about: str
    by: str
    n: int


class Note(Fact, key=("about",), policy="many"):
    about: str
    n: int


def begun(*facts: Fact) -> Context:
    context = Context(RootIntent("a law"))
    premises(context, facts, 0)
    return context


def outside(context: Context) -> View:
    return View(context, context.highest, UNRESTRICTED)


def seen_by(one: Agent, context: Context, after: int = -1) -> View:
    return View(context, context.highest, one.reader, after)


def declared(**options: Any) -> Agent:
    return agent(**options, name="reader")(lambda view: None)


def everything(view: View) -> list[Any]:
    """Ask an unrestricted view all it can be asked."""
    answers: list[Any] = [digests(view), view.intent, view.facts()]
    for kind in KINDS:
        answers += [view.all(kind), view.live(kind), view.dead(kind), view.disputed(kind)]
        answers += [view.count(kind), view.absent(kind), view.best(kind, by=_number), view.conflicts(kind)]
    return answers


def _number(fact: Number) -> int:
    return fact.n


# --- immutable -------------------------------------------------------------------------------------------------------


@given(plans(), given_facts())
@settings(max_examples=50)
def test_a_view_never_changes_after_being_taken(agents, facts):
    """What a view answered while its round was read, it answers at the end of the job, first asked or asked again."""
    taken: list[tuple[View, list[Any]]] = []
    early: list[View] = []

    def remembering(started):
        for activation in started:
            view = View(activation.view._context, activation.view.round, UNRESTRICTED)
            taken.append((view, everything(view)))
            early.append(activation.view)
        return reversed(started)

    job = play(agents_of(agents), facts, ends=remembering)
    for view, answers in taken:
        assert everything(view) == answers
        assert everything(View(job.context, view.round, UNRESTRICTED)) == answers


@given(plans(), given_facts())
@settings(max_examples=50)
def test_what_an_agent_was_given_never_changes(agents, facts):
    """The very view of each activation gives the same facts after the job has grown past it."""
    before: list[tuple[Activation, list[Any]]] = []

    def remembering(started):
        before.extend((activation, read(activation)) for activation in started)
        return started

    def read(activation: Activation) -> list[Any]:
        kinds = [item.kind if isinstance(item, Live) else item for item in activation.agent.reads]
        view = activation.view.fresh()
        return [view.digest(), view.facts(), *((view.all(kind), view.new(kind)) for kind in kinds)]

    play(agents_of(agents), facts, ends=remembering)
    assert [activation.agent.name for activation, given in before if read(activation) != given] == []


def test_a_new_view_sees_what_was_merged_since():
    """A round that is still open may be looked at; what came into it later is in the next view of it."""
    context = begun(North(1))
    assert len(outside(context).all(North)) == 1
    premises(context, [North(2)], 0)
    assert len(outside(context).all(North)) == 2


def test_asking_does_not_change_the_answer():
    """Reading notes evidence and nothing else: a view asked twice answers twice the same."""
    context = begun(North(1), North(2))
    view = outside(context)
    assert everything(view) == everything(view)


def test_a_view_gives_tuples():
    """Nothing that a reader could change comes out of a view."""
    context = begun(Claim("a", "x", 1), Claim("a", "x", 2))
    view = outside(context)
    answers = [view.all(Claim), view.new(Claim), view.live(Claim), view.dead(Claim), view.conflicts(Claim)]
    assert {type(answer) for answer in answers} == {tuple}


# --- order -----------------------------------------------------------------------------------------------------------


@given(plans(), given_facts())
@settings(max_examples=50)
def test_a_view_iterates_in_id_order(agents, facts):
    """Whatever round and order facts came in, each call gives them sorted by id."""
    view = play(agents_of(agents), facts).view
    for kind in KINDS:
        for answer in (view.all(kind), view.live(kind), view.dead(kind), view.new(kind)):
            assert [id_of(fact) for fact in answer] == sorted(map(id_of, answer))


@given(st.lists(st.integers(0, 9), min_size=1, unique=True))
def test_facts_of_one_key_come_in_id_order(numbers):
    """A key's facts are sorted as well, in a conflict too."""
    view = outside(begun(*(Claim("a", "x", n) for n in numbers)))
    ids = sorted(id_of(Claim("a", "x", n)) for n in numbers)
    assert [id_of(fact) for fact in view.all(Claim, ("a", "x"))] == ids
    assert [[id_of(fact) for fact in c.facts] for c in view.conflicts(Claim)] == ([ids] if len(ids) > 1 else [])


@given(st.sets(st.integers(0, 9), min_size=1))
def test_of_equally_good_facts_the_best_is_the_one_with_the_smallest_id(numbers):
    """A tie is broken by content, never by arrival."""
    view = outside(begun(*map(North, numbers)))
    assert view.best(North, by=lambda fact: 0) == min(map(North, numbers), key=id_of)


# --- what the calls mean ---------------------------------------------------------------------------------------------


def test_new_gives_what_no_completed_activation_was_given():
    """Facts up to the last completed round are not new; later ones are."""
    context = begun(North(1))
    premises(context, [North(2)], 3)
    assert seen_by(declared(reads=North), context).new(North) == outside(context).all(North)
    assert seen_by(declared(reads=North), context, after=0).new(North) == (North(2),)
    assert seen_by(declared(reads=North), context, after=3).new(North) == ()


def test_to_a_replacing_agent_everything_live_is_new():
    """It draws all its conclusions again each time, so it is given all of what holds."""
    context = begun(North(1), North(2))
    premises(context, [North(1).invalidate("wrong")], 1)
    assert seen_by(declared(reads=North, when="settled"), context, after=1).new(North) == (North(2),)
    assert seen_by(declared(reads=Live(North)), context, after=1).new(North) == (North(2),)


def test_all_gives_dead_facts_too():
    """A positive read only ever gains facts."""
    context = begun(North(1))
    premises(context, [North(1).invalidate("wrong")], 1)
    assert outside(context).all(North) == (North(1),)
    assert outside(context).live(North) == ()
    assert outside(context).dead(North) == (North(1),)


def test_a_view_sees_nothing_above_its_round():
    """Facts and markers of later rounds do not exist for it."""
    context = begun(North(1))
    premises(context, [North(2), North(1).invalidate("wrong")], 1)
    early = View(context, 0, UNRESTRICTED)
    assert early.all(North) == early.live(North) == (North(1),)
    assert not early.knows(id_of(North(2)))


@pytest.mark.parametrize("key", [("a", "x"), ("a", "y"), ("b", "x")])
def test_a_key_of_several_fields_is_a_tuple(key):
    """The value of the key field, or a tuple of them in their declared order."""
    view = outside(begun(Claim("a", "x", 1), Claim("a", "y", 2), Claim("b", "x", 3)))
    (fact,) = view.all(Claim, key)
    assert (fact.about, fact.by) == key
    assert view.get(Claim, key) == fact


def test_without_a_key_the_whole_content_is_the_key():
    """A kind that declares none is looked up by its value, or by all its values."""
    view = outside(begun(North(1), North(2)))
    assert view.get(North, 2) == North(2)
    assert view.get(North, 3) is None
    assert view.absent(North, 3)


def test_the_one_fact_of_a_contested_key_cannot_be_had():
    """Nobody picks a winner: the author is told where to look."""
    view = outside(begun(Claim("a", "x", 1), Claim("a", "x", 2)))
    with pytest.raises(KeyContested, match=r"view\.conflicts"):
        view.get(Claim, ("a", "x"))


def test_an_invalidation_settles_which_fact_of_a_key_is_got():
    """Where liveness is read, a dead rival no longer stands in the way."""
    context = begun(Claim("a", "x", 1), Claim("a", "x", 2), Claim("a", "x", 2).invalidate("wrong"))
    assert outside(context).get(Claim, ("a", "x")) == Claim("a", "x", 1)


def test_a_conflict_never_goes_away():
    """It is computed over all facts of the view, dead ones included."""
    one, other = Claim("a", "x", 1), Claim("a", "x", 2)
    context = begun(one, other)
    premises(context, [other.invalidate("wrong")], 1)
    assert outside(context).conflicts(Claim) == (Conflict("Claim", ("a", "x"), tuple(sorted([one, other], key=id_of))),)


def test_a_kind_of_many_truths_has_no_conflicts():
    """Under the policy `many` facts of one key stand side by side."""
    assert outside(begun(Note("a", 1), Note("a", 2))).conflicts(Note) == ()


def test_a_kind_that_nobody_stated_is_empty():
    """Asking for it is no error."""
    view = outside(begun())
    assert view.all(North) == view.live(North) == view.dead(North) == view.conflicts(North) == ()
    assert view.absent(North)
    assert view.count(North) == 0
    assert view.best(North, by=_number) is None
    assert view.get(North, 1) is None


# --- what was not declared -------------------------------------------------------------------------------------------

POSITIVE: list[Callable[[View], Any]] = [
    lambda view: view.new(East),
    lambda view: view.all(East),
    lambda view: view.all(East, 1),
    lambda view: view.get(East, 1),
    lambda view: view.conflicts(East),
]
CHANGEABLE: list[Callable[[View], Any]] = [
    lambda view: view.live(East),
    lambda view: view.live(East, 1),
    lambda view: view.dead(East),
    lambda view: view.disputed(East),
    lambda view: view.absent(East),
    lambda view: view.absent(East, 1),
    lambda view: view.count(East),
    lambda view: view.best(East, by=_number),
    lambda view: view.is_live(East(1)),
]
WHOLE: list[Callable[[View], Any]] = [
    lambda view: view.live_digest(),
    lambda view: view.proof_digest(),
    lambda view: view.why(East(1)),
]


@pytest.mark.parametrize("ask", POSITIVE + CHANGEABLE)
@pytest.mark.parametrize("options", [{"reads": North}, {"reads": Live(North)}, {"reads": North, "when": "settled"}, {}])
def test_an_undeclared_read_raises_whatever_is_there(ask, options):
    """The error names the agent, the kind and the remedy, also where the context holds nothing of the kind."""
    for context in (begun(), begun(East(1))):
        with pytest.raises(UndeclaredRead, match=r"agent reader reads East .* add East to its reads="):
            ask(seen_by(declared(**options), context))


@pytest.mark.parametrize("ask", CHANGEABLE)
def test_a_read_whose_answer_can_change_raises_without_its_declaration(ask):
    """The error names the call and both remedies, and comes before the context is looked at."""
    with pytest.raises(NonMonotoneRead, match=r"agent reader calls view\.\w+\(East\).*Live\(East\).*when='settled'"):
        ask(seen_by(declared(reads=East), begun()))


@pytest.mark.parametrize("ask", CHANGEABLE)
@pytest.mark.parametrize(
    "options",
    [
        {"reads": Live(East)},
        {"reads": [East, Live(North)]},
        {"reads": East, "when": "settled"},
        {"reads": East, "replaces": True},
    ],
)
def test_a_declared_read_of_liveness_is_answered(ask, options):
    """Settled and replacing agents, and those with one Live read, read everything with its liveness."""
    assert ask(seen_by(declared(**options), begun(East(1)))) is not NotImplemented


@pytest.mark.parametrize("ask", WHOLE)
def test_only_the_outside_reads_everything(ask):
    """An agent's view has no call that looks past its declaration."""
    with pytest.raises(UndeclaredRead, match="everything"):
        ask(seen_by(declared(reads=East), begun(East(1))))


@given(plans(shapes=("each", "pair", "batch")), given_facts())
@settings(max_examples=30)
def test_a_view_shows_only_declared_kinds(agents, facts):
    """`facts` and `digest` of an agent's view are blind to what it does not read."""
    job = play(agents_of(agents), facts)
    for one in job.machine.wiring.agents:
        shown = seen_by(one, job.context).facts()
        assert {type(fact) for fact in shown} <= {item for item in one.reads if not isinstance(item, Live)}


# --- evidence --------------------------------------------------------------------------------------------------------


def given_to(view: View) -> set[Fact]:
    context, evidence = view._context, view.given()
    members = context.members(evidence)
    return {context.facts[place] for place in members}


@pytest.mark.parametrize(
    ("ask", "evidence"),
    [
        (lambda view: view.all(North), {North(1), North(2), North(3)}),
        (lambda view: view.all(North, 1), {North(1)}),
        (lambda view: view.get(North, 2), {North(2)}),
        (lambda view: view.get(North, 9), {RootIntent("a law")}),
        (lambda view: view.conflicts(Claim), {Claim("a", "x", 1), Claim("a", "x", 2)}),
        (lambda view: (view.all(North, 1), view.all(North, 2)), {North(1), North(2)}),
        (lambda view: None, {RootIntent("a law")}),
    ],
)
def test_the_evidence_of_a_view_is_what_its_calls_returned(ask, evidence):
    """And the root intent where they returned nothing: only facts from outside rest on nothing at all."""
    context = begun(North(1), North(2), North(3), East(1), Claim("a", "x", 1), Claim("a", "x", 2))
    view = seen_by(declared(reads=[North, East, Claim]), context)
    ask(view)
    assert given_to(view) == evidence


def test_what_is_best_is_its_own_evidence():
    """The rivals are not: a conclusion from the best falls by being replaced when another one is better."""
    view = seen_by(declared(reads=North, when="settled"), begun(North(1), North(2)))
    assert view.best(North, by=_number) == North(2)
    assert given_to(view) == {North(2)}


def test_conclusions_never_rest_on_fallen_facts_that_a_liveness_reader_was_shown():
    """`all` shows dead facts to an agent that could have known; its evidence is what holds."""
    context = begun(North(1), North(2), North(1).invalidate("wrong"))
    view = seen_by(declared(reads=North, when="settled"), context)
    assert len(view.all(North)) == 2
    assert given_to(view) == {North(2)}


def test_an_attempt_starts_with_no_evidence():
    """What a failed attempt had read is not a reason for what the next one emits."""
    view = seen_by(declared(reads=North), begun(North(1)))
    view.all(North)
    assert given_to(view.fresh()) == {RootIntent("a law")}
    assert view.fresh().all(North) == (North(1),)
