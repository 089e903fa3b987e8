"""The demo, as `make demo` runs it: it ends well, reads well, and what it says to type works."""

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from converge_agents.teams.strategy.__main__ import demo
from converge_stores.sqlite import SQLiteStore

DEMO = ["-m", "converge_agents.teams.strategy"]
CLI = ["-m", "converge.cli"]
COLOUR = re.compile(r"\x1b\[[\d;]*3\d")


def python(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONUTF8": "1", "COLUMNS": "80"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def shown(folder: Path) -> str:
    """What the demo prints to a file, run as a user runs it, in a folder of its own."""
    ended = python(folder, *DEMO)
    assert ended.stderr == ""
    assert ended.returncode == 0
    return ended.stdout


def commands(shown: str) -> list[list[str]]:
    lines = shown.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if re.search(r"\bconverge (resume|show|trace) ", line)]


async def shown_on(console: Console) -> str:
    await demo(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_it_shows_an_answer_and_then_another(shown: str):
    """Two recommendations that differ, each with its reason and its fixed point."""
    found = re.findall(r"Recommendation: (.+?) *\n", shown)
    assert len(found) == len(set(found)) == 2
    assert shown.count("because") == shown.count("fixed point: ") == 2


def test_it_says_what_fell_and_who_ran(shown: str):
    """The late regulation's consequences are named."""
    (ran,) = re.findall(r"Ran again +(.+?) *\n", shown)
    assert ran == "comply, admit, optimise, rank, explain, approve"
    assert re.search(r"Fell +1 option, .*1 recommendation and 1 approval", shown, re.DOTALL)


def test_it_is_plain_and_narrow_in_a_file(shown: str):
    """No control characters, and nothing wider than 80 columns but a path that may not be wrapped."""
    assert "\x1b" not in shown
    wide = [line for line in shown.splitlines() if len(line) > 80]
    assert [line for line in wide if not re.match(r"\s+/", line)] == []


@pytest.mark.asyncio
async def test_each_demo_is_a_job_of_its_own_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A second demo neither continues nor disturbs the first."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        await demo(Console(file=io.StringIO()))
    store = SQLiteStore("demo.db")
    await store.open()
    jobs = await store.jobs()
    await store.close()
    assert len({job.job_id for job in jobs}) == 2
    assert {job.stop for job in jobs} == {"fixed_point"}


@pytest.mark.asyncio
async def test_colour_is_for_terminals_that_want_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Colours on a terminal, none where NO_COLOR is set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert COLOUR.search(await shown_on(Console(file=io.StringIO(), force_terminal=True)))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not COLOUR.search(await shown_on(Console(file=io.StringIO(), force_terminal=True)))


def test_what_it_says_to_type_can_be_typed(shown: str, folder: Path):
    """The commands as printed, given to the real command line in the same folder, succeed."""
    typed = commands(shown)
    assert [command[1] for command in typed] == ["resume", "show", "trace"]
    for command in typed:
        ended = python(folder, *CLI, *command[1:])
        assert ended.returncode == 0, ended.stderr + ended.stdout


def test_a_file_that_cannot_be_used_is_said_in_one_sentence(tmp_path: Path):
    """No traceback, and a code that says it did not work."""
    (tmp_path / "demo.db").mkdir()
    ended = python(tmp_path, *DEMO)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "demo.db" in ended.stderr
