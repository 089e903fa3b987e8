"""`converge bench`: what this machine does, in activations and facts per second, in memory and on SQLite."""

__all__ = ["bench"]

import platform
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple

import anyio
import typer
from rich.table import Table

from converge import __version__
from converge.agent import Agent
from converge.cli.console import AsJson, data, news, write_json
from converge.cli.throughput import Commit, Throughput, commits, throughputs
from converge.cli.usage import OptionInvalid
from converge.engine import Engine
from converge.fact import Assertion, Fact
from converge.intent import Budget, RootIntent
from converge.ports import Store
from converge.view import View
from converge_stores.memory import MemoryStore
from converge_stores.sqlite import SQLiteStore

_SIZES = (1, 10, 100, 1_000)
_FACTS_EACH = 3  # of one activation
_REPEATS = 3  # the best counts: anything slower is the machine doing something else


class Figures(NamedTuple):
    """One measured job."""

    store: str
    agents: int
    rounds: int
    activations: int
    facts: int
    seconds: float


class Step(Fact, policy="many"):
    """What each agent of a measured job states in each round."""

    agent: int
    round: int
    part: int


def bench(
    agents: Annotated[
        list[int] | None,
        typer.Option("--agents", metavar="N", min=1, help="How many agents; default 1, 10, 100, 1000. Repeatable."),
    ] = None,
    activations: Annotated[
        int, typer.Option("--activations", metavar="N", min=1, help="About how many per job.")
    ] = 2_000,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", min=1, help="Measure so many jobs at once instead.")
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=1, help="With --jobs: by 1, 2, ... N processes.")
    ] = 1,
    store: Annotated[
        str | None, typer.Option("--store", metavar="URL", help="With --jobs: postgresql://user@host/database as well.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure this machine: activations and facts per second, or jobs per second with --jobs.

    Every agent reads what all stated in the round before and states three facts; each round is committed.

    With --jobs each job has one agent and ten cycles; a commit is timed beside the same statement by itself.

    A file lies in a temporary folder, and a database is left as it was. The best of three runs counts.

    Example: converge bench --jobs 200 --workers 3 --store postgresql://postgres@127.0.0.1/postgres
    """
    if jobs is not None:
        _bench_jobs(jobs, workers, store, as_json=as_json)
        return
    found: list[Figures] = []
    with TemporaryDirectory(prefix="converge-bench-") as folder, news().status("measuring") as status:
        for size in agents or _SIZES:
            rounds = max(3, activations // size)
            for name in ("memory", "sqlite"):
                status.update(f"measuring {size:,} agents, {name}")
                found.append(_best(name, size, rounds, Path(folder)))
    if as_json:
        write_json(_told(found))
    else:
        data().print(_table(found))


def _best(name: str, agents: int, rounds: int, folder: Path) -> Figures:
    runs = []
    for number in range(_REPEATS):
        store: Store = MemoryStore() if name == "memory" else SQLiteStore(folder / f"{agents}-{number}.db")
        runs.append(anyio.run(_measure, name, agents, rounds, store))
    return min(runs, key=lambda figures: figures.seconds)


async def _measure(name: str, agents: int, rounds: int, store: Store) -> Figures:
    intent = RootIntent("measure", budget=Budget(rounds=rounds + 1, facts=10**9, activations=10**9, seconds=3_600))
    engine = Engine([_agent(number, rounds) for number in range(agents)], store=store)
    async with engine:
        began = time.perf_counter()
        outcome = await engine.run(intent, [Step(-1, 0, 0)])
        seconds = time.perf_counter() - began
    spend = outcome.spend
    return Figures(name, agents, spend.rounds, spend.activations, spend.facts, seconds)


def _agent(number: int, rounds: int) -> Agent:
    return Agent(f"agent-{number}", partial(_step, number, rounds), reads=(Step,), writes=(Step,))


def _step(number: int, rounds: int, view: View) -> Iterator[Assertion]:
    given = view.new(Step)
    if view.round < rounds:
        for part in range(_FACTS_EACH):
            yield Step(number, view.round + 1, part).because(given[0])


def _told(found: Iterable[Figures]) -> dict[str, Any]:
    """Return JSON data of this shape.

    {"converge", "python", "machine": text, "jobs": [{"store": "memory" | "sqlite", "agents", "rounds", "activations",
    "facts": int, "seconds", "activations_per_second", "facts_per_second": float}]}
    """
    rates = [
        {"activations_per_second": job.activations / job.seconds, "facts_per_second": job.facts / job.seconds}
        for job in found
    ]
    return {
        **_about(),
        "jobs": [job._asdict() | rate for job, rate in zip(found, rates, strict=True)],
    }


def _bench_jobs(jobs: int, workers: int, address: str | None, *, as_json: bool) -> None:
    if address is not None and not address.startswith(("postgresql:", "postgres:")):
        raise OptionInvalid("--store", "name a database here, as postgresql://...: a file is measured in any case")
    through: list[Throughput] = []
    single: list[Commit] = []
    with news().status("measuring commits") as status:
        for place in (None, address) if address else (None,):
            single.append(commits(place))
            for found in throughputs(place, jobs, workers):
                through.append(found)
                status.update(f"measured {found.workers:,} of {workers:,} workers, {found.store}")
    if as_json:
        write_json(_jobs_told(through, single))
        return
    table = _columns(("store", "workers", "jobs", "seconds", "jobs/s"), _machine())
    for each in through:
        figures = f"{each.workers:,}", f"{each.jobs:,}", f"{each.seconds:.2f}", f"{each.jobs / each.seconds:,.0f}"
        table.add_row(each.store, *figures)
    data().print(table)
    table = _columns(("store", "commit, µs", "bare, µs", "ratio"))
    for commit in single:
        ratio = f"{commit.seconds / commit.bare:.1f}"
        table.add_row(commit.store, f"{commit.seconds * 1e6:,.0f}", f"{commit.bare * 1e6:,.0f}", ratio)
    data().print(table)


def _jobs_told(through: Iterable[Throughput], single: Iterable[Commit]) -> dict[str, Any]:
    """Return JSON data of this shape; `bare` is the same statement by itself, on the driver.

    {"converge", "python", "machine": text, "jobs": [{"store": "sqlite" | "postgresql", "workers", "jobs": int,
    "seconds", "jobs_per_second": float}], "commits": [{"store": text, "seconds", "bare": float}]}
    """
    return {
        **_about(),
        "jobs": [found._asdict() | {"jobs_per_second": found.jobs / found.seconds} for found in through],
        "commits": [commit._asdict() for commit in single],
    }


def _about() -> dict[str, Any]:
    return {
        "converge": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _columns(headings: Iterable[str], title: str | None = None) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "store" else "right")
    return table


def _table(found: Iterable[Figures]) -> Table:
    table = _columns(("store", "agents", "rounds", "seconds", "activations/s", "facts/s"), _machine())
    for job in found:
        rates = job.activations / job.seconds, job.facts / job.seconds
        figures = f"{job.agents:,}", f"{job.rounds:,}", f"{job.seconds:.2f}", *(f"{rate:,.0f}" for rate in rates)
        table.add_row(job.store, *figures)
    return table


def _machine() -> str:
    version = f"Python {platform.python_version()}"
    return f"Converge {__version__}, {version}, {platform.system()} {platform.machine()}"
