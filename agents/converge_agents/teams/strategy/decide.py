"""The decision: which plans are feasible, which is best, and in which order the others follow.

"No limit is broken", "the best" and "the second" can only be said when nothing more will be said, so these
agents are settled: they run when everything else is quiet, and each run replaces the last. No model is asked
here: whatever models have suggested, which plan is best is computed.
"""

__all__ = ["a_plan_is_recommended", "admit", "limits_are_kept", "optimise", "rank"]

from collections.abc import Iterator

from converge import Assertion, View, agent, invariant
from converge_agents.teams.strategy.kinds import (
    Check,
    Feasible,
    Limit,
    Optimum,
    Plan,
    Rank,
    Recommendation,
    Score,
)


@agent(reads=[Plan, Limit, Check], writes=Feasible, when="settled")
def admit(view: View) -> Iterator[Assertion]:
    """Admit each plan that was held against every limit and kept them all."""
    limits = len(view.live(Limit))
    for plan in view.live(Plan):
        kept = _kept_checks(view, plan.name)
        if len(kept) == limits:
            yield Feasible(plan=plan.name).because(plan, *kept)


@agent(reads=[Feasible, Score], writes=Optimum, when="settled")
def optimise(view: View) -> Iterator[Assertion]:
    """Choose the feasible plan with the most points, of equals the first by name. Exact: all are compared.

    It cites the winner alone: the others are in it only by not being better, which being settled watches.
    """
    objective, scores = view.intent.objective, _feasible_scores(view)
    for best in scores[:1]:
        optimum = Optimum(objective=objective, plan=best.plan, points=best.points, feasible=len(scores))
        yield optimum.because(best, *view.live(Feasible, best.plan))


@agent(reads=[Optimum, Feasible, Score], writes=Rank, when="settled")
def rank(view: View) -> Iterator[Assertion]:
    """Give every feasible plan its place and its distance from the optimum."""
    for optimum in view.live(Optimum):
        for place, score in enumerate(_feasible_scores(view), start=1):
            behind = optimum.points - score.points
            ranked = Rank(place=place, plan=score.plan, points=score.points, behind=behind)
            yield ranked.because(optimum, score)


@invariant
def limits_are_kept(view: View) -> str | None:
    """Every recommended plan keeps every limit: a constraint of the intent."""
    for recommendation in view.live(Recommendation):
        if len(_kept_checks(view, recommendation.plan)) != len(view.live(Limit)):
            return f"{recommendation.plan} is recommended and does not keep every limit"
    return None


@invariant
def a_plan_is_recommended(view: View) -> str | None:
    """Some plan is recommended: a success criterion of the intent."""
    return None if view.live(Recommendation) else "no plan keeps every limit"


def _kept_checks(view: View, plan: str) -> list[Check]:
    """Return the plan's checks by limits that are kept, one per limit."""
    checks = (view.live(Check, (plan, limit.name)) for limit in view.live(Limit))
    return [found[0] for found in checks if found and all(check.kept for check in found)]


def _feasible_scores(view: View) -> list[Score]:
    scores = [score for feasible in view.live(Feasible) for score in view.live(Score, feasible.plan)]
    return sorted(scores, key=lambda score: (-score.points, score.plan))
