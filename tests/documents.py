"""What is written for readers: the pages, the programs in them, and where their links lead.

In the README each block of Python is a program of its own. In a page of docs/ a block goes on from those above it.
"""

__all__ = ["DOCS", "PAGES", "ROOT", "Block", "anchors", "blocks", "commands", "links", "prints", "ran"]

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PRINTED = re.compile(r"\n\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_END = "\x00end of block\x00\n"


class Block(NamedTuple):
    """One block of Python, and what stands under it as its output."""

    code: str
    printed: str | None


def blocks(page: Path) -> list[Block]:
    """Return the blocks of Python of a page; a block of text right under one is what it prints."""
    text = page.read_text("utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        if fence[1] == "python":
            printed = _PRINTED.match(text, fence.end())
            found.append(Block(fence[2], printed[1] if printed else None))
    return found


def commands(page: Path) -> list[list[str]]:
    """Return what stands after `converge` in the commands of a page, as a shell passes it on."""
    fences = [fence[2] for fence in _FENCE.finditer(page.read_text("utf-8")) if fence[1] == "console"]
    lines = "".join(fences).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[2:] for line in lines if line.startswith("$ converge ")]


def prints(shown: str | None, output: str) -> bool:
    """Return whether a program prints what is shown, letter for letter; … stands for what differs from run to run."""
    return shown is None or re.fullmatch(re.escape(shown).replace("…", ".*"), output) is not None


def links(page: Path) -> list[str]:
    """Return where the links and pictures of a page lead that lead to a file or an anchor of ours."""
    targets = _LINK.findall(_FENCE.sub("", page.read_text("utf-8")))
    return [target for target in targets if "://" not in target and not target.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    """Return the names of the headings of a page, as GitHub and the site make them."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def ran(programs: Sequence[str], folder: Path, more: Mapping[str, str] | None = None) -> list[str]:
    """Run blocks one after the other in one interpreter, as one program, and return what each of them printed."""
    script = folder / "pasted.py"
    script.write_text("".join(f"{code}\nprint({_END.strip()!r})\n" for code in programs), encoding="utf-8")
    path = os.pathsep.join(str(ROOT / part) for part in (".", "agents", "stores"))
    environment = {**os.environ, **(more or {}), "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    environment["CI"] = "true"  # has Hypothesis forgive a busy machine, and keep nothing
    done = subprocess.run(
        [sys.executable, script.name], cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(_END)[:-1]
