"""The review of the supply agreement, up to what counsel is asked, and what to type next.

The job is kept in `contract.db` in the current folder, a new one each time.
"""

import argparse
import asyncio
import sys
from io import TextIOWrapper
from pathlib import Path

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from converge import Outcome, StopReason
from converge.errors import ConvergeError
from converge_agents.model import Model
from converge_agents.teams import contract
from converge_agents.teams.contract.report import findings, wording
from converge_agents.teams.models import model_of
from converge_stores.sqlite import SQLiteStore

STORE = Path("contract.db")
TARGET = "converge_agents.teams.contract:engine"
WIDTH = 80


async def review(console: Console, model: Model) -> Outcome:
    """Run the job, show what it found, and what counsel can type."""
    async with model, contract.build(model, store=SQLiteStore(STORE)) as engine:
        outcome = await engine.run(contract.intent, contract.facts())
    _show(console, f"{outcome.spend.calls} calls of model {model.name}; the job is kept in {STORE}", findings(outcome))
    for asked in outcome.asked:
        _show(console, f"{asked.role.capitalize()} is asked", wording(outcome, asked.fact))
        _command(console, f"decide {outcome.job_id} {_digits(asked.id)} --approve --by NAME")
    if outcome.asked:
        _show(console, "Then")
        _command(console, f"resume {TARGET} {outcome.job_id}")
    else:
        _show(console, str(outcome.stop))
    return outcome


def _show(console: Console, heading: str, *lines: RenderableType) -> None:
    console.print()
    console.print(Text(heading, style="bold"))
    for line in lines:
        console.print(Padding(line, (0, 0, 0, 2), expand=False))


def _command(console: Console, words: str) -> None:
    """Print a command that can be pasted: a line that is too long is not wrapped."""
    console.print(Text(f"  converge {words} --store sqlite:///{STORE}", style="cyan"), soft_wrap=True)


def _digits(request: str) -> str:
    return request.rpartition(":")[2][:8]


def main() -> None:
    """Run the review, or say in one sentence why it cannot run. Ends with 1 where nobody is asked and none is done."""
    parser = argparse.ArgumentParser(prog="python -m converge_agents.teams.contract", description=__doc__)
    parser.add_argument("--model", metavar="NAME", help="ask this model instead of the answers that ship with the job")
    parser.add_argument("--base-url", metavar="URL", help="where its server is; else that of OpenAI")
    options = parser.parse_args()
    if options.base_url and not options.model:
        parser.error("--base-url needs --model: the answers that ship with the job are on no server")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without “ or – shows a question mark
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = min(console.width, WIDTH)
    try:
        model = model_of(contract.ANSWERS, options.model, options.base_url)
        outcome = asyncio.run(review(console, model))
    except ConvergeError as error:
        sys.exit(str(error))
    sys.exit(0 if outcome.converged or outcome.stop.reason is StopReason.WAITING else 1)


if __name__ == "__main__":
    main()
