"""Choose how to enter new markets: the best feasible plan, why it is best, and what a new law does to it.

A plan is one entry or two. Models read what is given in words and suggest further options and risks (`suggest`), which
a sceptic and rules let in or refuse. Interval estimates become values, values become points, limits rule plans
out, an exact optimiser takes the best of the rest, a ranker and an explainer finish the recommendation, and the board
is asked to approve it. The facts beside this file (`facts.jsonl`, and `regulation.jsonl` for later) are made up for
this job: the company, its figures, the laws. So are the models' answers (`answers.jsonl`), with which it runs offline.

    converge run converge_agents.teams.strategy:engine --facts facts.jsonl
    converge decide JOB REQUEST --approve --by NAME --reason TEXT
    converge resume converge_agents.teams.strategy:engine JOB --facts regulation.jsonl

"""

__all__ = ["FACTS", "REGULATION", "build", "engine", "facts", "intent", "regulation"]

from pathlib import Path

from converge import Engine, Fact, RootIntent
from converge.jsonl import read_facts
from converge.ports import Store
from converge_agents.conversation import Asks
from converge_agents.teams.strategy.appraise import Estimator, expect_losses, weigh
from converge_agents.teams.strategy.approve import approve, refer, the_plan_is_approved
from converge_agents.teams.strategy.decide import a_plan_is_recommended, admit, limits_are_kept, optimise, rank
from converge_agents.teams.strategy.explain import explain
from converge_agents.teams.strategy.kinds import Regulation
from converge_agents.teams.strategy.plan import check, combine, comply, score
from converge_agents.teams.strategy.script import scripted
from converge_agents.teams.strategy.suggest import suggesters

FACTS = Path(__file__).with_name("facts.jsonl")
REGULATION = Path(__file__).with_name("regulation.jsonl")

intent = RootIntent(
    "choose how to enter new markets",
    constraints=("limits_are_kept",),
    success=("a_plan_is_recommended", "the_plan_is_approved"),
)


def build(store: Store | None = None, model: Asks | None = None) -> Engine:
    """Return the engine of these jobs on `store`, without one in memory; its models are `model`, or the script."""
    agents = [
        *(Estimator("money"), Estimator("market"), Estimator("organisation"), expect_losses, weigh),
        *(comply, combine, score, check),
        *(admit, optimise, rank, explain),
        *(approve, refer),
        *suggesters(model or scripted()),
    ]
    return Engine(agents, store=store, invariants=[limits_are_kept, a_plan_is_recommended, the_plan_is_approved])


engine = build()


def facts() -> list[Fact]:
    """Return the facts the job starts from."""
    return read_facts(FACTS, engine.kinds)


def regulation() -> list[Regulation]:
    """Return the regulation that comes later, and forbids what was recommended."""
    return [fact for fact in read_facts(REGULATION, engine.kinds) if isinstance(fact, Regulation)]
