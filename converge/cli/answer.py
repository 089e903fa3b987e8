"""An answer about a job on stdout: as a tree of text, JSON data, a Mermaid flowchart or a page of HTML."""

__all__ = [
    "AsHtml",
    "AsMermaid",
    "Everything",
    "FactWords",
    "Form",
    "OfTarget",
    "WithCalls",
    "asked",
    "form_of",
    "show_answer",
]

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import anyio
import typer

from converge.archive.explaining import explained
from converge.cli.console import Part, data, news, write_json, write_line
from converge.cli.place import reading
from converge.cli.target import load_target
from converge.cli.usage import OptionInvalid
from converge.explain.explained import Explained
from converge.explain.outline import Outline, Shown
from converge.explain.text import spans
from converge.wiring import Wiring

FactWords = Annotated[
    list[str] | None,
    typer.Argument(metavar="FACT", help="Its id or the first digits of it, or a kind and values: Risk name=fire."),
]
AsMermaid = Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flowchart instead of text.")]
AsHtml = Annotated[bool, typer.Option("--html", help="Print a page of HTML instead of text.")]
Everything = Annotated[bool, typer.Option("--all", help="Leave nothing out, however long it gets.")]
WithCalls = Annotated[bool, typer.Option("--calls", help="Show what models were asked and answered, whole.")]
OfTarget = Annotated[
    str | None,
    typer.Option("--target", metavar="TARGET", help="The engine, as package.module:engine: what its agents could do."),
]
Form = Literal["text", "json", "mermaid", "html"]

_LINES, _BOXES = 40, 60


def form_of(*, as_json: bool, mermaid: bool, html: bool) -> Form:
    """Return in which form an answer is wanted. Raises OptionInvalid for more than one."""
    forms: dict[Form, bool] = {"json": as_json, "mermaid": mermaid, "html": html}
    chosen = [form for form, wanted in forms.items() if wanted]
    if len(chosen) > 1:
        raise OptionInvalid(f"--{chosen[0]}", f"give it or --{chosen[1]}, not both")
    return chosen[0] if chosen else "text"


def asked(address: str, job_id: str, cycle: int | None = None, target: str | None = None) -> Explained:
    """Return a stored job that can be asked; with the declarations of its agents, where a target names them."""
    wiring = None if target is None else load_target(target).engine.wiring
    return anyio.run(_asked, address, job_id, cycle, wiring)


async def _asked(address: str, job_id: str, cycle: int | None, wiring: Wiring | None) -> Explained:
    async with reading(address) as store:
        return await explained(store, job_id, cycle, wiring)


def show_answer(
    answer: Shown, form: Form, told: Mapping[str, Any], *, everything: bool = False, calls: bool = False
) -> None:
    """Print an answer. told: what JSON data says besides, such as the job's id."""
    match form:
        case "json":
            write_json({**told, **answer.to_dict()})
        case "mermaid":
            write_line(data(), answer.mermaid(_MOST if everything else _BOXES))
        case "html":
            write_line(data(), answer.html(_MOST))
        case "text":
            show_outline(answer.outline(), everything=everything, calls=calls)


_MOST = 10_000


def show_outline(outline: Outline, *, everything: bool = False, calls: bool = False) -> None:
    """Print a tree, as wide as the terminal is."""
    console = data()
    width = console.width if console.is_terminal else None
    most = None if everything else _LINES
    is_cut = False
    for line in spans(outline, most=most, width=width, blocks=calls, whole=everything):
        parts: Sequence[Part] = [(span.text, _STYLES[span.role]) for span in line]
        is_cut = is_cut or any(span.role == "dim" and span.text.endswith(_CUT) for span in line)
        write_line(console, *parts)
    if is_cut:
        write_line(news(), ("--all shows what is left out here", "dim"))


_CUT = (" more", " more below", " …")  # how a line ends that stands for others
_STYLES = {
    "": "",
    "kind": "bold",
    "strong": "bold",
    "agent": "cyan",
    "live": "green",
    "dead": "red",
    "disputed": "yellow",
    "warn": "yellow",
    "money": "magenta",
    "dim": "dim",
}
