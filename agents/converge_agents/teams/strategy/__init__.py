"""Choose how to enter new markets: the best feasible plan, why it is best, and what a new law does to it.

A plan is one entry or two. Interval estimates become values, values become points, limits rule plans out,
an exact optimiser takes the best of the rest, and a ranker, an explainer and a rule that approves finish
the decision. The facts beside this file (`facts.jsonl`, and `regulation.jsonl` for later) are made up for
this job: the company, its figures, the laws.

    converge run converge_agents.teams.strategy:engine --facts facts.jsonl
    converge resume converge_agents.teams.strategy:engine JOB --facts regulation.jsonl
"""

__all__ = ["FACTS", "REGULATION", "engine", "facts", "intent", "regulation"]

from pathlib import Path

from converge import Engine, Fact, RootIntent
from converge.jsonl import read_facts
from converge_agents.teams.strategy.appraise import Estimator, analyse_risks, weigh
from converge_agents.teams.strategy.decide import (
    a_plan_is_recommended,
    admit,
    approve,
    limits_are_kept,
    optimise,
    rank,
)
from converge_agents.teams.strategy.explain import explain
from converge_agents.teams.strategy.kinds import Regulation
from converge_agents.teams.strategy.plan import check, combine, comply, score

FACTS = Path(__file__).with_name("facts.jsonl")
REGULATION = Path(__file__).with_name("regulation.jsonl")

intent = RootIntent(
    "choose how to enter new markets",
    constraints=("limits_are_kept",),
    success=("a_plan_is_recommended",),
)

engine = Engine(
    [
        *(Estimator("money"), Estimator("market"), Estimator("organisation"), analyse_risks, weigh),
        *(comply, combine, score, check),
        *(admit, optimise, rank, explain, approve),
    ],
    invariants=[limits_are_kept, a_plan_is_recommended],
)


def facts() -> list[Fact]:
    """Return the facts the job starts from."""
    return read_facts(FACTS, engine.kinds)


def regulation() -> list[Regulation]:
    """Return the regulation that comes later, and forbids what was recommended."""
    return [fact for fact in read_facts(REGULATION, engine.kinds) if isinstance(fact, Regulation)]
