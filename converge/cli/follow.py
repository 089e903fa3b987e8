"""A job followed to its end: its progress on stderr, its outcome on stdout, signals heard, the next command named."""

__all__ = ["Budgets", "FactFiles", "Fresh", "Quiet", "TargetName", "follow"]

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import typer

from converge.cli.console import data, news, write_json, write_line
from converge.cli.exit_codes import code_of_stop
from converge.cli.interruption import Interruption
from converge.cli.outcome import hint_of, outcome_data, show_outcome
from converge.cli.progress import progress_of
from converge.engine import Engine
from converge.job import Job, Standing
from converge.outcome import Outcome

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
Fresh = Annotated[bool, typer.Option("--fresh", help="Ask models again, whatever they have answered before.")]


def follow(begin: Callable[[], Job], engine: Engine, target: str, store: str, *, as_json: bool, quiet: bool) -> int:
    """Enter the job that `begin` returns, follow it and print its outcome; return the exit code.

    `target` and `store` are what to call the engine and its store in advice.
    """
    before, outcome = anyio.run(partial(_followed, begin, engine, quiet=quiet))
    if not quiet and outcome.cycles == before.cycles:
        write_line(news(), "nothing is new: the job stands as it did")
    if as_json:
        write_json(outcome_data(outcome, engine, store))
    else:
        show_outcome(data(), outcome, engine)
    if engine.store.durable and not as_json and not quiet:
        write_line(news(), (hint_of(outcome, before.intent.budget, target, store), "dim"))
    return code_of_stop(outcome.stop.reason)


async def _followed(begin: Callable[[], Job], engine: Engine, *, quiet: bool) -> tuple[Standing, Outcome]:
    job = begin()
    with redirect_stdout(sys.stderr):  # stdout is for data, whatever an agent prints
        async with job:
            before = await job.standing()
            budget = before.intent.budget
            with (
                Interruption(job, engine, budget.seconds - before.spend.seconds),
                progress_of(job.job_id, before.intent.objective, before.spend, budget, quiet=quiet) as progress,
            ):
                async for event in job.events():
                    progress.see(event)
                return before, await job.outcome()
