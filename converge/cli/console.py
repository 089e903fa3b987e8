"""Where the command line writes: data to stdout, everything else to stderr, and nothing that steers a terminal.

Colour appears on terminals only, and not where NO_COLOR is set; rich sees to both.
"""

__all__ = [
    "AsJson",
    "JobId",
    "Part",
    "as_line",
    "counted",
    "data",
    "news",
    "one_line",
    "printable",
    "write_json",
    "write_line",
    "write_rows",
]

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Literal

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from converge.cli.completion import job_ids

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
JobId = Annotated[
    str,
    typer.Argument(metavar="JOB", help="The id of the job; `converge jobs` lists them.", autocompletion=job_ids),
]

Part = str | tuple[str, str]  # a text, or a text and its style
_UNLIMITED = 1_000_000  # columns, where nobody looks: a line that is piped is never cut


def data() -> Console:
    """Return the console on stdout."""
    return _console(stderr=False)


def news() -> Console:
    """Return the console on stderr."""
    return _console(stderr=True)


def write_line(console: Console, *parts: Part, cut: bool = False) -> None:
    """Print one line made of its parts; `cut` it at the edge of a terminal instead of wrapping it there."""
    if console.is_terminal:
        overflow: Literal["ellipsis", "ignore"] = "ellipsis" if cut else "ignore"
        console.print(Text.assemble(*parts), no_wrap=True, overflow=overflow, crop=cut)
    else:  # past rich, which takes a hundred times as long
        console.file.write("".join(map(_plain, parts)) + "\n")


def write_rows(console: Console, rows: Sequence[Sequence[Part]], *, cut: bool = True) -> None:
    """Print rows as columns, each as wide as it needs; `cut` what does not fit a terminal off the last one."""
    widths = [max(cell_len(_plain(cell)) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = [_padded(cell, width + 2) for cell, width in zip(row[:-1], widths, strict=False)]
        write_line(console, *padded, row[-1], cut=cut)


def write_json(value: object) -> None:
    """Print a value to stdout as one indented JSON document."""
    takes_all = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=not takes_all) + "\n")


def printable(text: str) -> str:
    """Return `text` with every character that could steer a terminal spelled out; line ends are kept."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def one_line(text: object) -> str:
    """Return a text as one printable line."""
    return printable(" ".join(str(text).split()))


def as_line(content: object) -> str:
    """Return JSON data as one printable line."""
    return printable(json.dumps(content, ensure_ascii=False))


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: 1 fact, 2 facts."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _UNLIMITED
    return console


def _plain(part: Part) -> str:
    return part if isinstance(part, str) else part[0]


def _padded(part: Part, width: int) -> Part:
    spaces = " " * (width - cell_len(_plain(part)))
    return part + spaces if isinstance(part, str) else (part[0] + spaces, part[1])
