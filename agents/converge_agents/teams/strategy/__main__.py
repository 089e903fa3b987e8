"""The job from its facts to its answer, and then what a late regulation does to it; `make demo` runs this.

The job is kept in `demo.db` in the current folder, a new one each time.
"""

import asyncio
import shutil
import sys
from io import TextIOWrapper
from pathlib import Path

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from converge import Job, Outcome
from converge.errors import ConvergeError
from converge_agents.teams import strategy
from converge_agents.teams.strategy.report import Rounds, answer, counted, difference, proof
from converge_stores.sqlite import SQLiteStore

STORE = Path("demo.db")
TARGET = "converge_agents.teams.strategy:engine"
WIDTH = 80


async def demo(console: Console) -> Outcome:
    """Run the job, show its answer and what to type next, then resume it with the regulation."""
    async with strategy.engine.with_store(SQLiteStore(STORE)) as engine:
        facts = strategy.facts()
        _heading(console, f"To decide: {strategy.intent.objective}")
        _show(console, f"Given {counted(facts)}. {len(engine.agents)} agents; the job is kept in {STORE}.")
        async with engine.start(strategy.intent, facts=facts) as job:
            first = await _watched(console, job)
        _show(console, answer(first))

        _heading(console, "Why this plan: each line rests on the lines under it")
        _show(console, proof(first))

        _heading(console, "Next: state a regulation that comes late, then look at the job")
        _commands(console, first.job_id)

        law = strategy.regulation()
        _heading(console, "The first of these commands, done here for you")
        _show(console, *(f"{fact.name}, {fact.country}: {fact.text}." for fact in law))
        async with engine.reopen(first.job_id, facts=law) as job:
            second = await _watched(console, job, since=len(first.trace))
        _show(console, answer(second))
        console.print()
        _show(console, difference(first, second))
        return second


async def _watched(console: Console, job: Job, since: int = 0) -> Outcome:
    rounds = Rounds()
    console.print()
    _show(console, rounds.heading)
    async for event in job.events(since=since):
        _show(console, *rounds.lines(event))
    outcome = await job.outcome()
    _show(console, Text(str(outcome.stop), style="dim"))
    console.print()
    return outcome


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold"))


def _show(console: Console, *lines: RenderableType) -> None:
    for line in lines:
        console.print(Padding(line, (0, 0, 0, 2), expand=False))


def _commands(console: Console, job_id: str) -> None:
    """Print commands that can be pasted: a line that is too long is not wrapped."""
    program, store = _program(), f"--store sqlite:///{STORE}"
    for line in (
        f"{program} resume {TARGET} {job_id} \\",
        f"    {store} --facts \\",
        f"    {_from_here(strategy.REGULATION)}",
        f"{program} show {job_id} {store}",
        f"{program} trace {job_id} {store}",
    ):
        console.print(Text(f"  {line}", style="cyan"), soft_wrap=True)


def _program() -> str:
    """Return how `converge` is called from here: by name, or by its path beside this Python."""
    beside = Path(sys.executable).with_name("converge")
    return "converge" if shutil.which("converge") or not beside.exists() else _from_here(beside)


def _from_here(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def main() -> None:
    """Run the demo, or say in one sentence why it cannot run. Ends with 1 where no answer was reached."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without € or █ shows a question mark
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = min(console.width, WIDTH)
    try:
        outcome = asyncio.run(demo(console))
    except ConvergeError as error:
        sys.exit(str(error))
    sys.exit(0 if outcome.converged else 1)


if __name__ == "__main__":
    main()
