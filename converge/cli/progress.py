"""A job's progress on stderr: a live picture on a terminal, one plain line per round elsewhere, nothing if quiet."""

__all__ = ["Progress", "progress_of"]

import time
from collections import deque
from typing import NamedTuple, Protocol, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from converge.cli.console import counted, news, one_line, write_line
from converge.intent import Budget, Spend
from converge.trace import (
    ActivationFailed,
    Event,
    JobResumed,
    JobStarted,
    RoundMerged,
    RoundStarted,
    Warned,
)


class Progress(Protocol):
    """Shows events as they come; a context, so that a terminal is left as it was found."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def see(self, event: Event) -> None:
        """Take notice of one event."""


def progress_of(job_id: str, objective: str, spent: Spend, budget: Budget, *, quiet: bool) -> Progress:
    """Return the progress that fits where stderr leads. `spent` is what earlier runs of the job have spent."""
    if quiet:
        return _Quiet()
    console = news()
    if console.is_terminal and not console.is_dumb_terminal:
        return _Picture(console, job_id, objective, spent, budget)
    return _Lines(console)


class _Quiet:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def see(self, event: Event) -> None:
        pass


class _Lines(_Quiet):
    """One line per round, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._agents = 0

    def see(self, event: Event) -> None:
        match event:
            case JobStarted(job_id=job_id, objective=objective, facts=facts):
                write_line(self._console, f"job {job_id}: {one_line(objective)} ({counted(facts, 'fact')} given)")
            case JobResumed(job_id=job_id, cycle=cycle, facts=facts):
                write_line(
                    self._console, f"job {job_id}: resumed at cycle {cycle} ({counted(facts, 'fact')} given late)"
                )
            case RoundStarted(agents=agents):
                self._agents = agents
            case RoundMerged(round=round, facts=facts):
                write_line(
                    self._console, f"round {round}: {counted(self._agents, 'agent')}, {counted(facts, 'new fact')}"
                )
            case _:
                for line in _incident(event):
                    write_line(self._console, line)


class _Round(NamedTuple):
    number: int
    agents: int
    facts: int


class _Picture(_Quiet):
    """The last rounds as bars, with what has been spent; drawn some times a second, whatever comes in."""

    def __init__(self, console: Console, job_id: str, objective: str, spent: Spend, budget: Budget) -> None:
        self._console, self._spent, self._budget = console, spent, budget
        self._title = one_line(objective), job_id
        self._last: deque[_Round] = deque(maxlen=_SHOWN)
        self._rounds = self._facts = self._activations = self._most = 0
        self._running: tuple[int, int] | None = None  # the round that is being written, and how many agents run
        self._began = time.monotonic()
        self._ended: float | None = None
        self._live = Live(self, console=console, refresh_per_second=8, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended, self._running = time.monotonic(), None
        self._live.stop()

    def see(self, event: Event) -> None:
        match event:
            case RoundStarted(round=round, agents=agents):
                self._running = (round + 1, agents)
                self._activations += agents
            case RoundMerged(round=round, facts=facts):
                agents = self._running[1] if self._running else 0
                self._running = None
                self._rounds += 1
                self._facts += facts
                self._most = max(self._most, facts)
                self._last.append(_Round(round, agents, facts))
            case _:
                for line in _incident(event):
                    write_line(self._console, (line, "yellow"))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        objective, job_id = self._title
        yield Text.assemble((objective, "bold"), (f"  {job_id}", "dim"), no_wrap=True, overflow="ellipsis")
        shown = list(self._last)[-max(1, console.height - _AROUND) :]
        width = max(10, min(_WIDEST, options.max_width - 32))
        yield self._table(shown, width, ascii_only=options.ascii_only)
        yield Text(self._spend(), style="dim", no_wrap=True, overflow="ellipsis")

    def _table(self, shown: list[_Round], width: int, *, ascii_only: bool) -> Table:
        table = Table(box=None, padding=(0, 1), header_style="dim")
        for heading in ("round", "agents", "new facts"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        if earlier := self._rounds - len(shown):
            facts = self._facts - sum(done.facts for done in shown)
            table.add_row("…", "", f"{facts:,}", f"in {earlier:,} rounds before", style="dim")
        for done in shown:
            bar = _bar(done.facts / max(1, self._most) * width, ascii_only=ascii_only)
            table.add_row(str(done.number), str(done.agents), f"{done.facts:,}", Text(bar, style="cyan"))
        if self._running:
            number, agents = self._running
            table.add_row(str(number), str(agents), "", Text("running", style="green"))
        return table

    def _spend(self) -> str:
        seconds = (self._ended or time.monotonic()) - self._began + self._spent.seconds
        parts = [
            (self._rounds + self._spent.rounds, self._budget.rounds, "rounds"),
            (self._facts + self._spent.facts, self._budget.facts, "facts"),
            (self._activations + self._spent.activations, self._budget.activations, "activations"),
            (int(seconds), int(self._budget.seconds), "s"),
        ]
        return "spent " + ", ".join(f"{value:,} of {limit:,} {unit}" for value, limit, unit in parts)


_SHOWN = 10  # rounds
_AROUND = 6  # lines of the picture that are no rounds
_WIDEST = 40  # columns of a bar
_EIGHTHS = " ▏▎▍▌▋▊▉"


def _bar(length: float, *, ascii_only: bool) -> str:
    """Return a bar of `length` columns; what is more than nothing is seen."""
    if ascii_only:
        return "#" * max(int(length), length > 0)
    eighths = max(round(length * 8), length > 0)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _incident(event: Event) -> tuple[str, ...]:
    """Return what is worth a line of its own wherever it is shown."""
    match event:
        case ActivationFailed(agent=agent, round=round, error=error, text=text, attempts=attempts):
            tries = f" after {attempts} attempts" if attempts > 1 else ""
            return (f"agent {agent} failed in round {round}{tries}: {error}: {one_line(text)}",)
        case Warned(agent=agent, text=text):
            return (f"warning: {f'agent {agent} ' if agent else ''}{one_line(text)}",)
        case _:
            return ()
