"""The explainer: turns the optimum into a recommendation that says, in a few sentences, why this plan."""

__all__ = ["explain"]

from collections.abc import Iterator
from typing import NamedTuple

from converge import Assertion, Fact, View, agent
from converge_agents.teams.strategy.kinds import (
    Check,
    Criterion,
    Limit,
    Optimum,
    Option,
    Plan,
    Rank,
    Recommendation,
    Risk,
    Score,
    Value,
)
from converge_agents.teams.strategy.words import amount, money, points


class Sentence(NamedTuple):
    """Something to say, and the facts it was read from."""

    text: str
    evidence: tuple[Fact, ...]


@agent(
    reads=[Optimum, Rank, Plan, Score, Check, Limit, Criterion, Value, Option, Risk],
    writes=Recommendation,
    when="settled",
)
def explain(view: View) -> Iterator[Assertion]:
    """Recommend the optimum: how far it leads and why, what would score more, what may go wrong."""
    for optimum in view.live(Optimum):
        plan = view.live(Plan, optimum.plan)[0]
        reasons = [_lead(view, optimum), *_runner_up(view, plan), *_out_of_reach(view, optimum)]
        caution = _largest_risk(view, plan)
        recommendation = Recommendation(
            objective=optimum.objective,
            plan=plan.name,
            entries=plan.entries,
            title=_title(view, plan),
            points=optimum.points,
            reasons=tuple(reason.text for reason in reasons),
            caution=caution.text,
        )
        evidence = (fact for sentence in [*reasons, caution] for fact in sentence.evidence)
        yield recommendation.because(optimum, plan, *evidence)


def _lead(view: View, optimum: Optimum) -> Sentence:
    text = (
        f"it scores {points(optimum.points)} points, the most of the {optimum.feasible} plans that keep all"
        f" {len(view.live(Limit))} limits ({len(view.live(Plan))} were compared)"
    )
    return Sentence(text, (optimum,))


def _runner_up(view: View, plan: Plan) -> Iterator[Sentence]:
    for second in view.live(Rank, 2):
        other = view.live(Plan, second.plan)[0]
        gains = sorted(
            (_points(view, plan, criterion.name) - _points(view, other, criterion.name), criterion.name)
            for criterion in view.live(Criterion)
        )
        (loss, worse), (gain, better) = gains[0], gains[-1]
        text = (
            f"the runner-up is {points(second.behind)} points behind: {_title(view, other)};"
            f" this plan is {points(gain)} better on {better} and {points(-loss)} worse on {worse}"
        )
        yield Sentence(text, (second,))


def _out_of_reach(view: View, optimum: Optimum) -> Iterator[Sentence]:
    more = [score for score in view.live(Score) if score.points > optimum.points]
    if more:
        best = max(more, key=lambda score: (score.points, score.plan))
        plan = view.live(Plan, best.plan)[0]
        broken = [check for check in view.live(Check) if check.plan == best.plan and not check.kept]
        bounds = " and ".join(_bound(view, check) for check in broken)
        text = f"{_title(view, plan)} would score more, but breaks a limit: {bounds}"
        yield Sentence(text, (best, *broken))


def _largest_risk(view: View, plan: Plan) -> Sentence:
    risks = [risk for risk in view.live(Risk) if risk.option in plan.entries]
    if not risks:
        return Sentence("nobody has named a risk", ())
    worst = max(risks, key=lambda risk: (risk.probability * risk.impact, risk.name))
    return Sentence(f"{worst.name} ({amount(worst.probability, '‰')} likely, {money(worst.impact)})", (worst,))


def _title(view: View, plan: Plan) -> str:
    return " and ".join(option.title for entry in plan.entries for option in view.live(Option, entry))


def _points(view: View, plan: Plan, criterion: str) -> int:
    return sum(value.points for entry in plan.entries for value in view.live(Value, (entry, criterion)))


def _bound(view: View, check: Check) -> str:
    limit = view.live(Limit, check.limit)[0]
    units = {criterion.name: criterion.unit for criterion in view.live(Criterion)}
    unit = units.get(limit.measure, "")
    return f"{limit.name} {amount(check.found, unit)} ({limit.sense} {amount(limit.bound, unit)})"
