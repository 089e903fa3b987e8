"""Review a contract: what it says on each position of a playbook, where we cannot sign it, and which words mend it.

Two judges answer each question about each document, by one vote each. A vote counts if the spans it cites are in the
text; judges who differ leave the judgement contested. What the playbook does not accept is a deviation, for each of
which a writer proposes words, and counsel approves, rejects or refines them. The facts beside this file (`facts.jsonl`)
are a supply agreement and the playbook of its customer, both made up for this job, and `answers.jsonl` is what a model
says to it, so that the job runs without one.

    python -m converge_agents.teams.contract [--model NAME [--base-url URL]]
    converge run converge_agents.teams.contract:engine --facts facts.jsonl --store sqlite:///contract.db

Other contracts and other playbooks are other facts: `build(model)` is the same team with a model of yours.
"""

__all__ = ["ANSWERS", "FACTS", "build", "engine", "facts", "intent"]

from pathlib import Path

from converge import Engine, Fact, RootIntent
from converge.errors import EngineInvalid
from converge.jsonl import read_facts
from converge.ports import Store
from converge_agents.conversation import Asks
from converge_agents.teams.contract.judge import JUDGES, ask, conclude, every_question_is_judged, judge
from converge_agents.teams.contract.redline import compare, every_deviation_is_mended, redliner
from converge_agents.teams.models import scripted

FACTS = Path(__file__).with_name("facts.jsonl")
ANSWERS = Path(__file__).with_name("answers.jsonl")

intent = RootIntent(
    "review the contract against the playbook, and propose words where it departs from it",
    success=("every_question_is_judged", "every_deviation_is_mended"),
)


def build(model: Asks | None = None, judges: int = 2, store: Store | None = None) -> Engine:
    """Return the engine of these jobs on `store`, without one in memory; without a model it asks the scripted one.

    Raises EngineInvalid for another number of judges than 1 or 2.
    """
    if judges not in range(1, len(JUDGES) + 1):
        raise EngineInvalid("build(judges=...)", f"a number from 1 to {len(JUDGES)}", judges)
    asked = scripted(ANSWERS) if model is None else model
    panel = [judge(name, asked) for name in list(JUDGES)[:judges]]
    agents = [ask, *panel, conclude, compare, redliner(asked)]
    return Engine(agents, store=store, invariants=[every_question_is_judged, every_deviation_is_mended])


engine = build()


def facts() -> list[Fact]:
    """Return the facts the job starts from: a contract and a playbook."""
    return read_facts(FACTS, engine.kinds)
