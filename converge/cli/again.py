"""`converge restart` and `converge fork`: a stored job once more from its beginning, or another one from within it."""

__all__ = ["fork", "restart"]

from functools import partial
from typing import Annotated, Literal

import typer

from converge.cli.console import AsJson, JobId
from converge.cli.follow import Budgets, FactFiles, Fresh, Quiet, TargetName, follow
from converge.cli.options import given_facts, given_limits
from converge.cli.place import DEFAULT_STORE, StoreAddress, existing_store
from converge.cli.stored import Cycle
from converge.cli.target import load_target


def restart(
    target: TargetName,
    job: JobId,
    fresh: Fresh = False,
    store: StoreAddress = DEFAULT_STORE,
    budget: Budgets = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Begin a job again from its root intent and all it was ever given, for agents that have changed.

    What it had concluded becomes history: `converge history JOB` lists it, `converge show JOB --cycle` shows it.

    No model is asked again for what it has answered before, unless --fresh is given. Nothing counts as spent.

    Example: converge restart shop.risks:engine job-1f2e3d4c
    """
    limits, place, loaded = given_limits(budget or ()), existing_store(store), load_target(target)
    engine = loaded.engine.with_store(place)
    begin = partial(engine.begin_again, job, captures=_captures(fresh), budget=limits)
    return follow(begin, engine, target, store, as_json=as_json, quiet=quiet)


def fork(
    target: TargetName,
    job: JobId,
    cycle: Cycle = None,
    facts: FactFiles = None,
    new: Annotated[
        str | None, typer.Option("--job", metavar="NAME", help="The id of the new job; made up if left out.")
    ] = None,
    fresh: Fresh = False,
    store: StoreAddress = DEFAULT_STORE,
    budget: Budgets = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Run a new job from where another one stood, with other facts or another budget; that one stays as it is.

    Without --cycle, it goes on from where the other one stands now; `converge history JOB` lists the cycles.

    No model is asked again for what it answered the other job; with --fresh, only what it had answered by then counts.

    Example: converge fork shop.risks:engine job-1f2e3d4c --cycle 3 --facts other.jsonl --job what-if
    """
    limits, place, loaded = given_limits(budget or ()), existing_store(store), load_target(target)
    engine = loaded.engine.with_store(place)
    given = given_facts(facts or (), engine)
    begin = partial(engine.branch, job, cycle, given, captures=_captures(fresh), budget=limits, new_id=new)
    return follow(begin, engine, target, store, as_json=as_json, quiet=quiet)


def _captures(fresh: bool) -> Literal["reuse", "fresh"]:
    return "fresh" if fresh else "reuse"
