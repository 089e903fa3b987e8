"""Who says yes: a plan within a mandate is put to the board, one beyond it is referred to somebody else.

The rules work out what is asked and of whom; the answer is a person's. Neither agent is settled: each answers
to the one recommendation it cites, and is dead with it, and so is what was asked and what was approved.
"""

__all__ = ["approve", "refer", "the_plan_is_approved"]

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from converge import Assertion, Fact, Proposal, Verdict, View, agent, human, invariant
from converge_agents.teams.strategy.kinds import Approval, Mandate, Recommendation, Referral, Value
from converge_agents.teams.strategy.words import money


class Need(NamedTuple):
    """How much capital a recommended plan needs, held against one mandate."""

    recommendation: Recommendation
    mandate: Mandate
    capital: int
    evidence: tuple[Fact, ...]

    @property
    def is_within(self) -> bool:
        """Whether the holder of the mandate may approve it."""
        return self.capital <= self.mandate.capital


@agent(reads=[Recommendation, Mandate, Value], writes=Approval, gate=human("board"))
def approve(view: View) -> Iterator[Assertion]:
    """Ask the board to approve what is within a mandate."""
    for need in filter(lambda need: need.is_within, _needs(view)):
        wanted = need.recommendation
        approval = Approval(
            plan=wanted.plan,
            title=wanted.title,
            points=wanted.points,
            capital=need.capital,
            holder=need.mandate.holder,
        )
        yield approval.because(*need.evidence)


@agent(reads=[Recommendation, Mandate, Value], writes=Referral)
def refer(view: View) -> Iterator[Assertion]:
    """Refer what is beyond a mandate: its holder is not even asked."""
    for need in _needs(view):
        if not need.is_within:
            referral = Referral(plan=need.recommendation.plan, capital=need.capital, holder=need.mandate.holder)
            yield referral.because(*need.evidence)


@invariant
def the_plan_is_approved(view: View) -> str | None:
    """Every recommended plan is approved by somebody who may: a success criterion of the intent."""
    approved = {approval.plan for approval in view.live(Approval)}
    for recommendation in view.live(Recommendation):
        if recommendation.plan not in approved:
            against = [*_refusals(view, recommendation.plan), *_referrals(view, recommendation.plan)]
            return f"{recommendation.plan} is not approved: {'; '.join(against) or 'no mandate covers it'}"
    return None


def _needs(view: View) -> Iterator[Need]:
    """Say nothing of a plan of which an entry's capital is not known."""
    for recommendation, mandate in product(view.all(Recommendation), view.all(Mandate)):
        for values in product(*(view.all(Value, (entry, "capital")) for entry in recommendation.entries)):
            capital = sum(value.amount for value in values)
            yield Need(recommendation, mandate, capital, (recommendation, mandate, *values))


def _refusals(view: View, plan: str) -> Iterator[str]:
    for verdict in view.live(Verdict):
        proposal = view.known(verdict.proposal)
        asked = proposal.fact if isinstance(proposal, Proposal) else None
        if not verdict.passed and isinstance(asked, Approval) and asked.plan == plan:
            yield verdict.reason


def _referrals(view: View, plan: str) -> Iterator[str]:
    for referral in view.live(Referral):
        if referral.plan == plan:
            yield f"its capital of {money(referral.capital)} is beyond the mandate of the {referral.holder}"
