"""`converge run` and `converge resume`: a job from its facts to its outcome, watched, and cancelled by signals."""

__all__ = ["resume", "run"]

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import anyio
import typer

from converge.cli.console import AsJson, JobId, data, news, write_json, write_line
from converge.cli.exit_codes import ExitCode, code_of_stop
from converge.cli.interruption import Interruption
from converge.cli.options import given_facts, given_intent, given_limits
from converge.cli.outcome import hint_of, outcome_data, show_outcome
from converge.cli.place import DEFAULT_STORE, StoreAddress, existing_store, store_at
from converge.cli.progress import progress_of
from converge.cli.target import load_target
from converge.engine import Engine
from converge.fact import Fact
from converge.intent import Budget, RootIntent, Spend
from converge.job import Job
from converge.outcome import Outcome
from converge.restore import restore

TargetName = Annotated[str, typer.Argument(metavar="TARGET", help="The engine, as package.module:engine.")]
FactFiles = Annotated[
    list[Path] | None,
    typer.Option("--facts", metavar="FILE", help='Lines as {"kind": "Risk", "fact": {…}}. Repeatable.'),
]
Budgets = Annotated[
    list[str] | None,
    typer.Option("--budget", metavar="NAME=VALUE", help="rounds, facts, activations, seconds or churn. Repeatable."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the outcome and nothing else.")]


class _Manner(NamedTuple):
    """How a job is shown, and what to call it by in advice."""

    target: str
    store: str
    as_json: bool
    quiet: bool


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
    begin = partial(_begin, engine, root, given_facts(facts or (), engine), job, quiet=quiet)
    return _shown(anyio.run(begin), root.budget, engine, _Manner(target, store, as_json, quiet))


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
    again = partial(_go_on, engine, job, facts or (), limits, quiet=quiet)
    return _shown(*anyio.run(again), engine, _Manner(target, store, as_json, quiet))


async def _begin(
    engine: Engine, intent: RootIntent, facts: Sequence[Fact], job_id: str | None, *, quiet: bool
) -> Outcome:
    job = engine.start(intent, facts, job_id=job_id)
    return await _follow(engine, job, intent.objective, Spend(), intent.budget, quiet=quiet)


async def _go_on(
    engine: Engine, job_id: str, files: Sequence[Path], limits: dict[str, object], *, quiet: bool
) -> tuple[Outcome, Budget]:
    async with engine:
        before = restore(await engine.store.load(job_id), None)
        budget = before.budget.with_limits(limits)
        job = engine.reopen(job_id, given_facts(files, engine), budget=budget)
        outcome = await _follow(engine, job, before.context.intent.objective, before.spend, budget, quiet=quiet)
    if outcome.cycles == before.cycles and not quiet:
        write_line(news(), "nothing is new: the job stands as it did")
    return outcome, budget


async def _follow(engine: Engine, job: Job, objective: str, spent: Spend, budget: Budget, *, quiet: bool) -> Outcome:
    with (
        Interruption(job, engine, budget.seconds - spent.seconds),
        progress_of(job.job_id, objective, spent, budget, quiet=quiet) as progress,
        redirect_stdout(sys.stderr),  # stdout is for data, whatever an agent prints
    ):
        async with job:
            async for event in job.events():
                progress.see(event)
            return await job.outcome()


def _shown(outcome: Outcome, budget: Budget, engine: Engine, manner: _Manner) -> ExitCode:
    if manner.as_json:
        write_json(outcome_data(outcome, engine, manner.store))
    else:
        show_outcome(data(), outcome, engine)
    if engine.store.durable and not manner.as_json and not manner.quiet:
        write_line(news(), (hint_of(outcome, budget, manner.target, manner.store), "dim"))
    return code_of_stop(outcome.stop.reason)
