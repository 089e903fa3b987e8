"""The results as a terminal shows them: a table for each case, and one line for each target."""

__all__ = ["print_case", "print_noise", "print_targets"]

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.case import Measured
from benchmarks.harness import Noise
from benchmarks.targets import TARGETS, Reached

_console = Console(highlight=False)
_console.width = max(_console.width, 140)  # into a file or a pipe it would be 80


def print_case(measured: Measured) -> None:
    """Print the medians of a case, each beside its ratio; then who took no part, and why."""
    case = measured.case
    units = list(dict.fromkeys(unit for samples in measured.samples.values() for s in samples if s for unit in s))
    table = Table(title=case.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for unit in units:
        table.add_column(unit, justify="right")
    if case.base:
        table.add_column(f"× {case.base}", justify="right")
        table.add_column("× at best", justify="right", style="dim")
    table.add_column("rounds", justify="right", style="dim")
    for variant in case.variants:
        if variant.name not in measured.failed:
            table.add_row(*_row(measured, variant.name, units))
    _console.print(table, end="")
    for color, reasons in (("yellow", measured.absent), ("red", measured.failed)):
        for name, why in reasons.items():
            _console.print(f"[{color}]{escape(name)}: {escape(why)}[/]")
    _console.print()


def _row(measured: Measured, name: str, units: list[str]) -> list[str]:
    row = [name, *(_number(measured.median(name, unit)) for unit in units)]
    if measured.case.base:
        best, of_base = measured.best(name), measured.best(measured.case.base)
        row.append(_number(measured.ratio(name, measured.case.base)))
        row.append(_number(best / of_base if best and of_base else None))
    return [*row, f"{sum(sample is not None for sample in measured.samples[name])}"]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"


def print_targets(results: Mapping[str, Measured], *, quick: bool) -> None:
    """Print the figure of each target, and whether it was reached."""
    title = "Against the targets" + (", in a quick run: smaller sizes, fewer rounds" if quick else "")
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in ("case", "what", "measured", "must", "stretch", ""):
        table.add_column(column, justify="right" if column in ("measured", "must", "stretch") else "left")
    for target in TARGETS:
        figure = target.figure(results)
        shown = f"{_number(figure)} {target.unit}" if figure is not None else "–"
        stretch = "" if target.stretch is None else f"{_number(target.stretch)} {target.unit}"
        must = f"{target.sign} {_number(target.must)} {target.unit}"
        table.add_row(target.case, target.what, shown, must, stretch, _VERDICTS[target.reached(figure)])
    _console.print(table)


_VERDICTS = {
    Reached.STRETCH: "[green]stretch[/]",
    Reached.YES: "[green]reached[/]",
    Reached.NO: "[red]missed[/]",
    Reached.UNKNOWN: "[yellow]not measured in this run[/]",
}


def print_noise(noise: Noise, load: tuple[float, float, float]) -> None:
    """Print how far the ratios can be trusted."""
    _console.print(
        f"The machine: always the same work took {noise.spread:.2f} × its median in the slowest tenth of "
        f"{len(noise.samples)} samples; load {load[0]:.1f} at the end."
    )
