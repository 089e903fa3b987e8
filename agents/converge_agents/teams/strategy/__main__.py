"""The job from its facts to a recommendation that waits for the board, and what a late regulation does to a copy of it.

`make demo` runs this. The job is kept in `demo.db` in the current folder, a new one each time. Models answer from the
script that ships with the team; `--model NAME` asks a real one, with the key in OPENAI_API_KEY.
"""

import argparse
import asyncio
import shlex
import shutil
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from converge import Job, Outcome, StopReason
from converge.errors import ConvergeError
from converge_agents.model import Model
from converge_agents.teams import strategy
from converge_agents.teams.models import model_of
from converge_agents.teams.strategy.report import (
    Rounds,
    answer,
    counted,
    difference,
    ending,
    proof,
    suggested,
    suggestions,
)
from converge_agents.teams.strategy.script import ANSWERS, NOTHING
from converge_stores.sqlite import SQLiteStore

STORE = Path("demo.db")
TARGET = "converge_agents.teams.strategy:engine"
WIDTH = 80


async def demo(console: Console, model: Model) -> Outcome:
    """Run the job until it waits, show what a late law does to a fork of it, and what to type next."""
    async with model, strategy.build(SQLiteStore(STORE), model) as engine:
        facts = strategy.facts()
        _heading(console, f"To decide: {strategy.intent.objective}")
        _show(console, f"Given {counted(facts)}.")
        _show(console, f"{len(engine.agents)} agents, some of which ask the model {model.name!r}. Kept in {STORE}.")
        async with engine.start(strategy.intent, facts=facts) as job:
            first = await _watched(console, job)
        if first.stop.reason is not StopReason.WAITING:
            return first  # to resume it by command would have the script answer what the model did not
        _show(console, answer(first))

        _heading(console, "What the model suggested, and what became of it")
        _show(console, suggestions(first))

        _heading(console, "Why this plan: each line rests on the lines under it")
        _show(console, proof(first))

        law = strategy.regulation()
        _heading(console, "What if a regulation comes late? A fork of the job is told of it")
        _show(console, *(f"{fact.name}, {fact.country}: {fact.text}." for fact in law))
        async with engine.branch(first.job_id, facts=law) as job:
            second = await _watched(console, job, since=len(first.trace))
        _show(console, answer(second), suggested(second))
        console.print()
        _show(console, difference(first, second))

        _heading(console, "Next: decide for the board, then let the regulation come to this job too")
        _commands(console, first)
        return first


async def _watched(console: Console, job: Job, since: int = 0) -> Outcome:
    rounds = Rounds()
    with console.status("the agents are at work"):
        async for event in job.events(since=since):
            rounds.see(event)
        outcome = await job.outcome()
    console.print()
    _show(console, *rounds.lines, Text(ending(outcome), style="dim"))
    console.print()
    return outcome


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold"))


def _show(console: Console, *lines: RenderableType) -> None:
    for line in lines:
        console.print(Padding(line, (0, 0, 0, 2), expand=False))


def _commands(console: Console, outcome: Outcome) -> None:
    """Print commands that can be pasted: a line that is too long is not wrapped."""
    program, job_id, store = _program(), outcome.job_id, f"--store sqlite:///{STORE}"
    for asked in outcome.asked:
        request = asked.id.rpartition(":")[2][:8]
        _command(
            console,
            f"{program} decide {job_id} {request} --approve --by you \\",
            f'    --reason "as recommended" {store}',
        )
    _command(
        console,
        f"{program} resume {TARGET} {job_id} \\",
        f"    {store} --facts \\",
        f"    {shlex.quote(_from_here(strategy.REGULATION))}",
    )
    _show(console, Text("and to look at it:", style="dim"))
    _command(console, f"{program} show {job_id} {store}")
    _command(console, f"{program} trace {job_id} {store}")


def _command(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(Text(f"  {line}", style="cyan"), soft_wrap=True)


def _program() -> str:
    """Return how `converge` is called from here: by name, or by its path beside this Python."""
    beside = Path(sys.executable).with_name("converge")
    return "converge" if shutil.which("converge") or not beside.exists() else shlex.quote(_from_here(beside))


def _from_here(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _model(arguments: Sequence[str]) -> Model:
    program = "python -m converge_agents.teams.strategy"
    parser = argparse.ArgumentParser(program, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", metavar="NAME", help="a model as its server knows it, instead of the script")
    parser.add_argument("--base-url", metavar="URL", help="a server that speaks the chat completions of OpenAI")
    given = parser.parse_args(arguments)
    if given.base_url and not given.model:
        parser.error("--base-url needs --model NAME, a model of that server")
    return model_of(ANSWERS, given.model, given.base_url, NOTHING)


def main(arguments: Sequence[str]) -> int:
    """Run the demo, or say in one sentence why it cannot run. Ends with 0 where there is something to approve."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without € or █ shows a question mark
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = min(console.width, WIDTH)
    try:
        outcome = asyncio.run(demo(console, _model(arguments)))
    except ConvergeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if outcome.stop.reason is StopReason.WAITING else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
