"""What each option is worth: the values it is taken to have, and the sum over the criteria.

These agents conclude from *all there is* (an overlap, a sum), so they read `Live` and replace: a late
estimate brings a new value, and the old one falls. None of them reads Option. What an entry would cost does
not depend on whether it is allowed, so a regulation wakes none of them.
"""

__all__ = ["Estimator", "expect_losses", "weigh"]

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import TypeVar

from converge import Assertion, Fact, Live, View, agent
from converge_agents.teams.strategy.kinds import Criterion, Estimate, Risk, Value, Worth

FULL_MARKS = 10_000  # of one criterion, before its weight in per cent

F = TypeVar("F", bound=Fact)


class Estimator:
    """Takes one value from the estimates of each option, for the criteria of one group."""

    reads = (Live(Criterion), Live(Estimate))
    writes = Value

    def __init__(self, group: str) -> None:
        self.name = f"estimate_{group}"
        self.group = group

    def run(self, view: View) -> Iterator[Assertion]:
        """State a Value for each option that somebody estimated."""
        for criterion in view.live(Criterion):
            if criterion.group == self.group:
                about = [estimate for estimate in view.live(Estimate) if estimate.criterion == criterion.name]
                for option, estimates in _grouped(about, lambda estimate: estimate.option):
                    amount = prudent(criterion, *narrowed(estimates))
                    yield valued(criterion, option, amount).because(criterion, *estimates)


@agent(reads=[Live(Criterion), Live(Risk)], writes=Value)
def expect_losses(view: View) -> Iterator[Assertion]:
    """Take the expected loss over an option's risks as its value, rounded up."""
    for criterion in view.live(Criterion):
        if criterion.group == "risk":
            for option, risks in _grouped(view.live(Risk), lambda risk: risk.option):
                loss = sum(risk.probability * risk.impact for risk in risks)
                yield valued(criterion, option, -(-loss // 1000)).because(criterion, *risks)


@agent(reads=[Live(Criterion), Live(Value)], writes=Worth)
def weigh(view: View) -> Iterator[Assertion]:
    """Add up an option's points; without one value for every criterion it cannot be compared."""
    criteria = {criterion.name for criterion in view.live(Criterion)}
    for option, values in _grouped(view.live(Value), lambda value: value.option):
        if sorted(value.criterion for value in values) == sorted(criteria):
            yield Worth(option=option, points=sum(value.points for value in values)).because(*values)


def narrowed(estimates: Iterable[Estimate]) -> tuple[int, int]:
    """Return the overlap of all intervals, or their hull where the sources contradict one another."""
    lows = [estimate.low for estimate in estimates]
    highs = [estimate.high for estimate in estimates]
    if max(lows) <= min(highs):
        return max(lows), min(highs)
    return min(lows), max(highs)


def prudent(criterion: Criterion, low: int, high: int) -> int:
    """Return the point that the criterion's optimism asks for, rounded to the unfavourable side."""
    step = (high - low) * criterion.optimism // 100
    return low + step if criterion.best > criterion.worst else high - step


def valued(criterion: Criterion, option: str, amount: int) -> Value:
    """Return the Value with its points: linear between worst and best, none below, no more above."""
    marks = FULL_MARKS * (amount - criterion.worst) // (criterion.best - criterion.worst)
    points = criterion.weight * max(0, min(FULL_MARKS, marks))
    return Value(option=option, criterion=criterion.name, amount=amount, points=points)


def _grouped(facts: Iterable[F], key: Callable[[F], str]) -> Iterator[tuple[str, list[F]]]:
    for name, group in groupby(sorted(facts, key=key), key=key):
        yield name, list(group)
