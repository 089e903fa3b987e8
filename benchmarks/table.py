"""The results as a terminal shows them, from 80 columns on: a table for each case, and one line for each target."""

__all__ = ["measuring", "print_case", "print_noise", "print_targets"]

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.case import Measured
from benchmarks.harness import Noise
from benchmarks.targets import TARGETS, Reached, Target

_console = Console(highlight=False)
if not _console.is_terminal and "COLUMNS" not in os.environ:
    _console.width = 100  # a file or a pipe; rich would take 80


def measuring(key: str) -> AbstractContextManager[object]:
    """Show which case is under way, on a terminal."""
    return _console.status(f"{key} …")


def print_case(measured: Measured) -> None:
    """Print the medians of a case, each beside its ratio; then who took no part, and why."""
    units = list(dict.fromkeys(unit for samples in measured.samples.values() for s in samples if s for unit in s))
    table = _titled(measured.title)
    table.add_column("", no_wrap=True)
    for unit in units:
        table.add_column(unit, justify="right")
    if measured.base:
        table.add_column(f"× {measured.base}", justify="right")
        table.add_column("at best", justify="right", style="dim")
    table.add_column("rounds", justify="right", style="dim")
    for name in measured.samples:
        if name not in measured.failed:
            table.add_row(*_row(measured, name, units))
    _console.print(table, end="")
    for color, reasons in (("yellow", measured.absent), ("red", measured.failed)):
        for name, why in reasons.items():
            _console.print(f"[{color}]{escape(name)}: {escape(why)}[/]")
    _console.print()


def _titled(title: str) -> Table:
    shape = {"box": box.SIMPLE_HEAD, "pad_edge": False, "collapse_padding": True}
    return Table(title=title, title_justify="left", title_style="bold", **shape)


def _row(measured: Measured, name: str, units: list[str]) -> list[str]:
    row = [name, *(_number(measured.median(name, unit)) for unit in units)]
    if measured.base:
        best, of_base = measured.best(name), measured.best(measured.base)
        row.append(_number(measured.ratio(name, measured.base)))
        row.append(_number(best / of_base if best and of_base else None))
    return [*row, f"{sum(sample is not None for sample in measured.samples[name])}"]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"


def print_targets(results: Mapping[str, Measured], *, quick: bool) -> None:
    """Print the figure of each target, and whether it was reached; then how many this run did not measure."""
    table = _titled("Against the targets" + (", in a quick run: smaller sizes, fewer rounds" if quick else ""))
    for column in ("", "what", "measured", "must", "stretch", ""):
        table.add_column(column, justify="right" if column in ("measured", "must", "stretch") else "left")
    figures = {target: target.figure(results) for target in TARGETS}
    for target, figure in figures.items():
        if figure is not None:
            table.add_row(*_line(target, figure))
    if table.rows:
        _console.print(table, end="")
    if missing := sum(figure is None for figure in figures.values()):
        _console.print(f"{missing} more targets are of sizes or cases that this run did not measure.")
    _console.print()


def _line(target: Target, figure: float) -> list[str]:
    signed = ("" if bound is None else f"{target.sign} {_number(bound)}" for bound in (target.must, target.stretch))
    shown = f"{_number(figure)} {target.unit}".strip()
    bounds = [text.replace(" ", "\N{NO-BREAK SPACE}") for text in (shown, *signed)]
    return [target.case, target.what, *bounds, _VERDICTS[target.reached(figure)]]


_VERDICTS = {
    Reached.STRETCH: "[green]stretch[/]",
    Reached.YES: "[green]reached[/]",
    Reached.NO: "[red]missed[/]",
    Reached.TOLD: "",
}


def print_noise(noise: Noise, load: tuple[float, float, float]) -> None:
    """Print how far the ratios can be trusted."""
    _console.print(
        f"The machine: always the same work took {noise.spread:.2f} × its median in the slowest tenth of "
        f"{len(noise.samples)} samples; load {load[0]:.1f} at the end."
    )
