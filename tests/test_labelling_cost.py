"""What a change of labels costs: what it can reach, and not what there is."""

import random

import pytest

import converge.liveness
import converge.part
from converge import Fact, RootIntent, agent
from converge.context import Context
from converge.effect import Source
from converge.fact import id_of
from converge.merge import premises
from converge.support import OUTSIDE
from tests.jobs import go_on, play


class Claim(Fact):
    n: int


class Finding(Fact):
    n: int


@pytest.fixture
def labelled(monkeypatch) -> list[int]:
    """Return how many facts each labelling took in; one more stands for what is disputed around."""
    sizes: list[int] = []
    label = converge.liveness.label

    def counting(count, supports, markers):
        sizes.append(count)
        return label(count, supports, markers)

    monkeypatch.setattr(converge.part, "label", counting)
    return sizes


def in_dispute(facts: int, markers: int) -> tuple[Context, list[Fact]]:
    """Ten thousand claims, each resting on earlier ones, and invalidations of claims and of invalidations."""
    order, context = random.Random(1), Context(RootIntent("cost"))
    claims = [Claim(n) for n in range(facts)]
    premises(context, claims[: facts // 10], 0)
    for n in range(facts // 10, facts):
        round, source = 1 + n * 10 // facts, Source("derive")
        earlier = n * 10 // facts * facts // 10
        evidence = sorted({context.position[id_of(claims[order.randrange(earlier)])] for _ in range(2)})
        context.add(claims[n], round)
        context.support(context.position[id_of(claims[n])], source, round, tuple(evidence))
    targets: list[Fact] = list(claims)
    for n in range(markers):
        marker = order.choice(targets).invalidate(f"reason {n}")
        targets.append(marker)
        state(context, marker, 20)
    return context, targets


def state(context: Context, marker: Fact, round: int) -> None:
    context.add(marker, round)
    context.support(context.position[id_of(marker)], OUTSIDE, round, ())


def test_one_more_invalidation_costs_what_it_reaches(labelled):
    """Of thirty thousand facts, those that rest on what fell, and what that falls on."""
    context, _ = in_dispute(10_000, 20_000)
    assert context.label(0, 20) == 1
    at_once, labelled[:] = sum(labelled), []
    last = Claim(9_999)  # nothing rests on it
    state(context, last.invalidate("late"), 21)
    context.label(0, 21)
    assert at_once > 10_000
    assert sum(labelled) <= 3


def test_nothing_is_labelled_while_everything_is_live(labelled):
    """A job without markers, replaced conclusions and circles pays nothing for liveness."""

    @agent(reads=Claim, writes=Finding)
    def each(view):
        return [Finding(claim.n).because(claim) for claim in view.new(Claim)]

    job = play([each], [Claim(n) for n in range(100)], inputs=[Claim])
    assert len(job.view.live(Finding)) == 100
    assert labelled == []


def test_a_late_marker_in_a_job_costs_its_component(labelled):
    """A hundred claims with a finding each: one claim falls, and one finding with it."""

    @agent(reads=Claim, writes=Finding)
    def each(view):
        return [Finding(claim.n).because(claim) for claim in view.new(Claim)]

    job = play([each], [Claim(n) for n in range(100)], inputs=[Claim])
    job = go_on(job, [Claim(7).invalidate("wrong")])
    assert job.view.dead(Finding) == (Finding(7),)
    assert max(labelled) <= 3
