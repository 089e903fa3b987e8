"""`converge run` and `converge resume`: a job from its facts to its outcome, or on from where it stopped."""

__all__ = ["resume", "run"]

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from converge.cli.console import AsJson, JobId
from converge.cli.follow import Budgets, FactFiles, Quiet, TargetName, follow
from converge.cli.options import given_facts, given_intent, given_limits
from converge.cli.place import DEFAULT_STORE, StoreAddress, existing_store, store_at
from converge.cli.target import load_target


def run(
    target: TargetName,
    facts: FactFiles = None,
    intent: Annotated[
        Path | None,
        typer.Option("--intent", metavar="FILE", help="The root intent, a JSON object with an objective."),
    ] = None,
    objective: Annotated[
        str | None, typer.Option("--objective", metavar="TEXT", help="Short for a root intent of this objective.")
    ] = None,
    store: StoreAddress = DEFAULT_STORE,
    job: Annotated[
        str | None, typer.Option("--job", metavar="NAME", help="The id of the job; made up if left out.")
    ] = None,
    budget: Budgets = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Run a job of TARGET from its facts to its outcome.

    TARGET is looked for in the current folder and among installed packages.

    Without --intent and --objective, the root intent is what its module calls `intent`.

    Example: converge run shop.risks:engine --facts signals.jsonl --budget rounds=50
    """
    limits, place, loaded = given_limits(budget or ()), store_at(store), load_target(target)
    root = given_intent(objective, intent, loaded.intent, limits)
    engine = loaded.engine.with_store(place)
    begin = partial(engine.start, root, given_facts(facts or (), engine), job_id=job)
    return follow(begin, engine, target, store, as_json=as_json, quiet=quiet)


def resume(
    target: TargetName,
    job: JobId,
    facts: FactFiles = None,
    store: StoreAddress = DEFAULT_STORE,
    budget: Budgets = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Go on with a job from where it stopped, with late facts or another budget.

    Only the agents that read what is new run again, and those that had not finished.

    A budget counts from the job's beginning; what --budget does not name stays as it was.

    Example: converge resume shop.risks:engine job-1f2e3d4c --facts late.jsonl
    """
    limits, place, loaded = given_limits(budget or ()), existing_store(store), load_target(target)
    engine = loaded.engine.with_store(place)
    again = partial(engine.reopen, job, given_facts(facts or (), engine), budget=limits)
    return follow(again, engine, target, store, as_json=as_json, quiet=quiet)
