"""The command line within a test: commands run in this process, in a folder with the files of the test."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from converge.cli import execute


class Ran(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one line that says what is wrong."""
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line.removeprefix("error: ")


Cli = Callable[..., Ran]


@contextmanager
def command_line(
    folder: Path, files: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Cli]:
    """Run commands in a folder that holds these files; the modules among them are forgotten at the end."""
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run(*arguments: str) -> Ran:
        code = execute(arguments)
        return Ran(code, *capsys.readouterr())

    yield run
    for name in files:
        sys.modules.pop(Path(name).stem, None)
