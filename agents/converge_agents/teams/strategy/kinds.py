"""The kinds of the strategy job: what is given from outside, and what the agents make of it.

Every number is an integer, so that a sum is the same in any order: money in thousands of euros (k€), shares
in per mille (‰), points in ten-thousandths (a perfect option has 1,000,000).
"""

__all__ = [
    "Approval",
    "Check",
    "Criterion",
    "Estimate",
    "Feasible",
    "Lead",
    "Limit",
    "Mandate",
    "Observation",
    "Optimum",
    "Option",
    "Plan",
    "Rank",
    "Recommendation",
    "Referral",
    "Regulation",
    "Risk",
    "Score",
    "Value",
    "Worth",
]

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from converge import Fact

Percent = Annotated[int, Field(ge=0, le=100)]
PerMille = Annotated[int, Field(ge=0, le=1000)]
Amount = Annotated[int, Field(ge=0)]


# Given from outside.


class Option(Fact, key="name"):
    """One way to enter one market. Most are given; a model may suggest more."""

    name: str
    country: str
    region: str
    mode: str
    title: str


class Criterion(Fact, key="name"):
    """What an option is judged by: no points at `worst`, all its points at `best`; weights add up to 100.

    `optimism` says where in an interval a value is taken: 0 at its unfavourable end, 100 at its favourable.
    """

    name: str
    group: Literal["money", "market", "organisation", "risk"]
    unit: str
    weight: Percent
    worst: int
    best: int
    optimism: Percent

    @model_validator(mode="after")
    def _has_a_direction(self) -> Self:
        if self.worst == self.best:
            raise ValueError("worst and best must differ")
        return self


class Estimate(Fact, key="option", policy="many"):
    """One source's interval for one option and criterion. Several sources may speak about the same."""

    option: str
    criterion: str
    low: int
    high: int
    source: str

    @model_validator(mode="after")
    def _is_an_interval(self) -> Self:
        if self.low > self.high:
            raise ValueError("low must not be above high")
        return self


class Risk(Fact, key=("option", "name")):
    """What may go wrong with an option: how probable (‰), and what it would cost (k€). A model may suggest more."""

    option: str
    name: str
    probability: PerMille
    impact: Amount


class Limit(Fact, key="name"):
    """What a plan must keep: a bound on its total, on each entry, or on its entries in one region."""

    name: str
    measure: str
    across: Literal["plan total", "each entry", "one region"]
    sense: Literal["at most", "at least"]
    bound: int


class Regulation(Fact, key="name"):
    """A law that forbids one mode of entry in one country."""

    name: str
    country: str
    mode: str
    text: str


class Mandate(Fact, key="holder"):
    """Up to how much capital (k€) its holder may approve a plan."""

    holder: str
    capital: int


# Given from outside, in words: for models to read.


class Lead(Fact, key="name"):
    """A way to enter a market that somebody looked into and nobody has put on the table.

    If there are figures for it, they are estimates of an option of this name.
    """

    name: str
    country: str
    region: str
    mode: str
    text: str
    source: str


class Observation(Fact, key="option", policy="many"):
    """What a source reports about an option, or about what may become one."""

    option: str
    text: str
    source: str


# Made by agents.


class Value(Fact, key=("option", "criterion")):
    """What an option is taken to be by one criterion, and the points this earns."""

    option: str
    criterion: str
    amount: int
    points: int


class Worth(Fact, key="option"):
    """An option's points over all criteria."""

    option: str
    points: int


class Plan(Fact, key="name"):
    """One option, or two entered together."""

    name: str
    entries: tuple[str, ...]
    regions: tuple[str, ...]


class Score(Fact, key="plan"):
    """A plan's points: the sum over its entries."""

    plan: str
    points: int


class Check(Fact, key=("plan", "limit")):
    """What was found where a plan was held against a limit, and whether it keeps it."""

    plan: str
    limit: str
    found: int
    kept: bool


class Feasible(Fact):
    """A plan that keeps every limit."""

    plan: str


class Optimum(Fact, key="objective"):
    """The feasible plan with the most points, and among how many."""

    objective: str
    plan: str
    points: int
    feasible: int


class Rank(Fact, key="place"):
    """A feasible plan's place, and how many points it is behind the first."""

    place: int
    plan: str
    points: int
    behind: int


class Recommendation(Fact, key="objective"):
    """What to do, why, and what to beware of, in words."""

    objective: str
    plan: str
    entries: tuple[str, ...]
    title: str
    points: int
    reasons: tuple[str, ...]
    caution: str


class Approval(Fact, key=("plan", "holder")):
    """The holder of a mandate approves a plan at what it scores, and needs (k€): a person has said so."""

    plan: str
    title: str
    points: int
    capital: int
    holder: str


class Referral(Fact, key=("plan", "holder")):
    """A plan that needs more capital (k€) than the holder of a mandate may approve: somebody else has to."""

    plan: str
    capital: int
    holder: str
