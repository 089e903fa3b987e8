"""Which plans there are, what they score and which limits they keep; and what the law forbids.

These agents conclude from the facts they cite and from nothing else. They read plainly, not `Live`: what
they say of a forbidden option is said all the same, rests on it, and is dead with it, without running them
again. `comply` must not read live options at all: its own invalidation would take away what it was drawn
from.
"""

__all__ = ["LARGEST_PLAN", "check", "combine", "comply", "score"]

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product

from converge import Assertion, View, agent
from converge_agents.teams.strategy.kinds import Check, Limit, Option, Plan, Regulation, Score, Value, Worth

LARGEST_PLAN = 2  # entries


@agent(reads=[Option, Regulation], invalidates=Option)
def comply(view: View) -> Iterator[Assertion]:
    """Invalidate each option whose mode of entry a regulation forbids in its country."""
    for regulation, option in product(view.all(Regulation), view.all(Option)):
        if (regulation.country, regulation.mode) == (option.country, option.mode):
            yield option.invalidate(f"{regulation.name}: {regulation.text}").because(regulation)


@agent(reads=Option, writes=Plan)
def combine(view: View) -> Iterator[Assertion]:
    """Make a plan of each option and of each two."""
    for size in range(1, LARGEST_PLAN + 1):
        for entries in combinations(sorted(view.all(Option), key=lambda option: option.name), size):
            names = tuple(option.name for option in entries)
            regions = tuple(option.region for option in entries)
            if len(set(names)) == size:
                yield Plan(name=" + ".join(names), entries=names, regions=regions).because(*entries)


@agent(reads=[Plan, Worth], writes=Score)
def score(view: View) -> Iterator[Assertion]:
    """Add up what a plan's entries are worth."""
    for plan in view.all(Plan):
        for worths in product(*(view.all(Worth, entry) for entry in plan.entries)):
            points = sum(worth.points for worth in worths)
            yield Score(plan=plan.name, points=points).because(plan, *worths)


@agent(reads=[Plan, Value, Limit], writes=Check)
def check(view: View) -> Iterator[Assertion]:
    """Hold every plan against every limit. Without a value there is no check, so the plan does not pass."""
    for plan, limit in product(view.all(Plan), view.all(Limit)):
        for values in _measured(view, plan, limit):
            found = _found(plan, limit, [value.amount for value in values])
            kept = found <= limit.bound if limit.sense == "at most" else found >= limit.bound
            result = Check(plan=plan.name, limit=limit.name, found=found, kept=kept)
            yield result.because(plan, limit, *values)


def _measured(view: View, plan: Plan, limit: Limit) -> Iterable[Sequence[Value]]:
    if limit.across == "one region":
        return [()]
    return product(*(view.all(Value, (entry, limit.measure)) for entry in plan.entries))


def _found(plan: Plan, limit: Limit, amounts: list[int]) -> int:
    match limit.across, limit.sense:
        case "one region", _:
            return max(plan.regions.count(region) for region in plan.regions)
        case "plan total", _:
            return sum(amounts)
        case _, "at most":
            return max(amounts)
        case _:
            return min(amounts)
