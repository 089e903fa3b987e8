"""Corroboration counts agents that propose the same, by key or because it is said to be the same; never by likeness."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import (
    Engine,
    Fact,
    Outcome,
    Proposal,
    SameAs,
    StopReason,
    View,
    agent,
    corroborated_by,
    human,
    id_of,
    same_as,
)
from converge.agent import Agent
from converge.corroboration import Alike
from converge.gate import Corroboration
from tests.proposing import Risk, Signal, activations, proposer, refusals, risks, verdicts

FIRE, BLAZE = Signal("fire"), Signal("blaze")
TWO, THREE = corroborated_by(2), corroborated_by(3)


def panel(gate: Any, *names: str, **options: Any) -> list[Agent]:
    return [proposer(gate, name, **options) for name in names]


async def ran(*agents: Any, facts: Any = FIRE, **options: Any) -> Outcome:
    return await Engine(agents, **options).run("find the risks", facts)


def only(text: str, name: str, gate: Any, called: str = "") -> Agent:
    """Return an agent that proposes a risk for one signal, under another name if it has one for it."""

    @agent(reads=Signal, writes=Risk, gate=gate, name=name)
    def propose(view: View):
        return [Risk(called or text).propose().because(signal) for signal in view.new(Signal) if signal.text == text]

    return propose


# --- agents are counted ----------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_as_many_agents_propose_as_are_wanted_is_believed():
    outcome = await ran(*panel(TWO, "one", "two"))
    assert (outcome.converged, risks(outcome)) == (True, {"fire"})
    assert verdicts(outcome) == {(True, "", "corroborated_by(2): proposed by one, two")}


@pytest.mark.asyncio
async def test_what_fewer_propose_is_refused_and_the_reason_names_them():
    outcome = await ran(*panel(THREE, "one", "two"))
    assert (risks(outcome), refusals(outcome)) == (set(), {"proposed by one, two"})


@pytest.mark.asyncio
async def test_one_agent_that_says_it_often_is_one_agent():
    @agent(reads=Signal, writes=Risk, gate=TWO)
    def insistent(view: View):
        for signal in view.new(Signal):
            for confidence in (0.5, 0.6, 0.7):
                yield Risk(signal.text).propose(confidence).because(signal)

    outcome = await ran(insistent)
    assert (risks(outcome), len(outcome.context.live(Proposal[Risk]))) == (set(), 3)


@pytest.mark.asyncio
async def test_what_is_proposed_behind_another_gate_counts():
    """Each gate judges what its own agent proposes, and looks at what all propose."""
    outcome = await ran(proposer(TWO, "one"), proposer(lambda risk: "no", "two"))
    assert risks(outcome) == {"fire"}


@pytest.mark.asyncio
async def test_a_gate_judges_by_what_still_holds_as_it_changes():
    """Of three that propose it one may fall; when two have, it falls, and it returns with either."""
    signals = [Signal(name) for name in ("one", "two", "three")]
    agents = [only(name, name, TWO, called="fire") for name in ("one", "two", "three")]
    engine = Engine(agents)
    await engine.run("find the risks", signals, job_id="one")
    markers = [signal.invalidate("a false alarm") for signal in signals]
    believed = []
    for late in (markers[0], markers[1], markers[0].invalidate("it was none")):
        outcome = await engine.resume("one", late)
        believed.append(risks(outcome))
    assert believed == [{"fire"}, set(), {"fire"}]
    assert activations(outcome, "one", "two", "three") == {"one": 1, "two": 1, "three": 1}


@pytest.mark.asyncio
async def test_a_late_agreement_is_agreement():
    """What was refused for want of it passes; the refusal falls."""
    engine = Engine([only("fire", "one", TWO), only("blaze", "two", TWO, called="fire")])
    before = await engine.run("find the risks", FIRE, job_id="one")
    after = await engine.resume("one", BLAZE)
    assert [risks(one) for one in (before, after)] == [set(), {"fire"}]
    assert refusals(after) == set()


# --- by key, or by fields --------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_facts_of_one_key_are_alike_whatever_else_they_say():
    """They contest each other, which is seen."""
    outcome = await ran(proposer(TWO, "one", severity=1), proposer(TWO, "two", severity=2))
    assert outcome.context.live(Risk) == tuple(sorted([Risk("fire", 1), Risk("fire", 2)], key=id_of))
    assert outcome.stop.reason is StopReason.CONTESTED


@pytest.mark.asyncio
async def test_facts_that_agree_in_the_fields_that_are_named_are_alike():
    by_severity = corroborated_by(2, on="severity")
    outcome = await ran(*(only("fire", name, by_severity, called=name) for name in ("one", "two")))
    assert risks(outcome) == {"one", "two"}


@pytest.mark.asyncio
async def test_all_of_several_fields_must_agree():
    both = corroborated_by(2, on=["name", "severity"])
    outcome = await ran(proposer(both, "one", severity=1), proposer(both, "two", severity=2))
    assert risks(outcome) == set()


class Claim(Fact):
    """A kind without a key: what it says is what it is."""

    words: list[str]
    sure: bool = True


def claiming(name: str, words: list[str], gate: Any) -> Agent:
    @agent(reads=Signal, writes=Claim, gate=gate, name=name)
    def claim(view: View):
        return Claim(words).propose()

    return claim


@pytest.mark.asyncio
async def test_without_a_key_only_what_is_equal_is_alike():
    same = await ran(claiming("one", ["a", "b"], TWO), claiming("two", ["a", "b"], TWO))
    near = await ran(claiming("one", ["a", "b"], TWO), claiming("two", ["a", "B"], TWO))
    assert (len(same.context.live(Claim)), len(near.context.live(Claim))) == (1, 0)


@pytest.mark.asyncio
async def test_fields_are_compared_by_content_whatever_they_hold():
    """A list is as good as a text."""
    gate = corroborated_by(2, on="words")
    outcome = await ran(claiming("one", ["a"], gate), claiming("two", ["a"], gate))
    assert outcome.context.live(Claim) == (Claim(["a"]),)


# --- what is said to be the same -------------------------------------------------------------------------------------


async def paraphrased(*pairs: SameAs, names: tuple[str, ...] = ("fire", "blaze"), least: int = 2) -> Outcome:
    """Run a job in which each of some agents calls the risk by a name of its own."""
    agents = [only("fire", f"agent-{name}", corroborated_by(least), called=name) for name in names]
    return await Engine(agents).run("find the risks", [FIRE, *pairs], job_id="one")


@pytest.mark.asyncio
async def test_what_only_sounds_alike_is_not():
    assert risks(await paraphrased(names=("fire", "Fire", "fire!"))) == set()


@pytest.mark.asyncio
async def test_what_is_said_to_be_the_same_corroborates():
    assert risks(await paraphrased(same_as(Risk("fire"), Risk("blaze")))) == {"fire", "blaze"}


@pytest.mark.asyncio
async def test_the_same_as_the_same_is_the_same():
    """Also by way of something that nobody proposes."""
    chain = [same_as(Risk(one), Risk(other)) for one, other in [("fire", "heat"), ("heat", "glow"), ("glow", "blaze")]]
    for order in permutations(chain):
        assert risks(await paraphrased(*order)) == {"fire", "blaze"}
    assert risks(await paraphrased(*chain[1:])) == set()


@pytest.mark.asyncio
async def test_who_says_it_is_in_the_proof_and_is_not_where_it_was_not_needed():
    pair = same_as(Risk("fire"), Risk("blaze"))
    needed = await paraphrased(pair)
    equal = await ran(*panel(TWO, "one", "two"), facts=[FIRE, pair])
    proofs = [{type(step.fact) for step in one.why(Risk("fire")).steps()} for one in (needed, equal)]
    assert [SameAs in proof for proof in proofs] == [True, False]


@pytest.mark.asyncio
async def test_when_that_is_invalidated_the_promotion_falls():
    agents = [only("fire", f"agent-{name}", TWO, called=name) for name in ("fire", "blaze")]
    engine, pair = Engine(agents), same_as(Risk("fire"), Risk("blaze"))
    first = await engine.run("find the risks", [FIRE, pair], job_id="one")
    wrong = pair.invalidate("one is a name")
    fallen = await engine.resume("one", wrong)
    back = await engine.resume("one", wrong.invalidate("it is none"))
    assert [risks(one) for one in (first, fallen, back)] == [{"fire", "blaze"}, set(), {"fire", "blaze"}]


@pytest.mark.asyncio
async def test_an_agent_may_say_so_of_what_is_proposed():
    """When what it compared falls, so does what it said."""

    @agent(reads=Proposal[Risk], writes=SameAs)
    def thesaurus(view: View):
        proposals = view.all(Proposal[Risk])
        names = {proposal.fact.name: proposal for proposal in proposals}
        if {"fire", "blaze"} <= names.keys():
            yield same_as(names["fire"], names["blaze"]).because(names["fire"], names["blaze"])

    engine = Engine([thesaurus, only("fire", "one", TWO), only("blaze", "two", TWO)])
    first = await engine.run("find the risks", [FIRE, BLAZE], job_id="one")
    fallen = await engine.resume("one", BLAZE.invalidate("a false alarm"))
    assert [risks(one) for one in (first, fallen)] == [{"fire", "blaze"}, set()]
    assert fallen.context.live(SameAs) == ()


@pytest.mark.asyncio
async def test_who_is_asked_about_what_is_not_corroborated_any_more_is_not_asked():
    """And is not asked anew when it is again: what was decided stands."""
    agents = [only("fire", f"agent-{name}", [TWO, human()], called=name) for name in ("fire", "blaze")]
    engine, pair = Engine(agents), same_as(Risk("fire"), Risk("blaze"))
    first = await engine.run("find the risks", [FIRE, pair], job_id="one")
    for asked in first.asked:
        await engine.decide("one", asked.id, "approve", by="ann")
    approved = await engine.resume("one")
    wrong = pair.invalidate("one is a name")
    fallen = await engine.resume("one", wrong)
    back = await engine.resume("one", wrong.invalidate("it is none"))
    assert [len(one.asked) for one in (first, approved, fallen, back)] == [2, 0, 0, 0]
    assert [risks(one) for one in (first, approved, fallen, back)] == [set(), {"fire", "blaze"}] * 2


# --- classes ---------------------------------------------------------------------------------------------------------

names = st.sampled_from("abcdefgh")
proposals = st.lists(st.builds(lambda n, by: Proposal[Risk](Risk(n), by, None), names, st.sampled_from("xyz")))
pairs = st.lists(st.builds(lambda one, other: same_as(Risk(one), Risk(other)), names, names), max_size=6)


@given(proposals, pairs, st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_classes_are_those_of_the_closure_whatever_the_order(proposed, same, order):
    """As if one went from each fact to all that are said to be the same, and on from there."""
    shuffled, mixed = list(proposed), list(same)
    order.shuffle(shuffled)
    order.shuffle(mixed)
    alike = Alike(Corroboration(2), shuffled, mixed)
    for proposal in proposed:
        reached = closure(id_of(proposal.fact), same)
        expected = {id_of(other) for other in proposed if id_of(other.fact) in reached}
        found, bonds = alike.to(proposal)
        assert {id_of(other) for other in found} == expected
        assert all({pair.one, pair.other} <= reached for pair in bonds)


def closure(fact: str, same: list[SameAs]) -> set[str]:
    reached, front = {fact}, [fact]
    while front:
        here = front.pop()
        more = {end for pair in same if here in (pair.one, pair.other) for end in (pair.one, pair.other)} - reached
        reached |= more
        front += more
    return reached
