"""`converge new` and shell completion: what a newcomer types first."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from converge.cli import app
from tests.commands import Cli, command_line

ROOT = Path(__file__).parents[1]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with command_line(tmp_path, {}, monkeypatch, capsys) as run:
        yield run


def python(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "agents", "stores"))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONUTF8": "1", "COLUMNS": "80", **variables}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False)


def test_a_new_project_runs_as_it_says_and_its_tests_pass(cli: Cli, tmp_path: Path):
    """Every command that is printed, in a process of its own; about thirty lines that hold no placeholder."""
    ran = cli("new", "triage")
    assert ran.out.split() == [str(Path("triage") / name) for name in ("triage.py", "facts.jsonl", "test_triage.py")]
    change, run, why, test = (line.strip() for line in ran.err.splitlines()[1:])
    assert (change, test) == ("cd triage", "pytest")
    folder = tmp_path / "triage"
    for command in (run, why):
        ended = python(folder, "-m", "converge.cli", *command.split()[1:])
        assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("First [choose, round 2] place='station'\n")
    ended = python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert ended.returncode == 0, ended.stdout
    program = (folder / "triage.py").read_text("utf-8")
    assert len(program.splitlines()) < 40
    assert "NAME" not in program


def test_the_json_of_a_new_project_keeps_its_shape(cli: Cli):
    told = cli("new", "triage", "--json").data
    assert set(told) == {"folder", "target", "files", "commands"}
    assert told["target"] == "triage:engine"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("my-shop", "NAME: 'my-shop' is no name of a Python module: did you mean my_shop?"),
        ("9", "NAME: '9' is no name of a Python module"),
        ("class", "NAME: 'class' is no name of a Python module"),
        ("../up", "NAME: '../up' is no name of a Python module: did you mean up?"),
        ("converge", "NAME: 'converge' is a module that the project needs: choose another name"),
        ("taken", "NAME: taken is there already: choose another name, or remove it"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_and_nothing_is_written(
    cli: Cli, tmp_path: Path, name: str, sentence: str
):
    (tmp_path / "taken").mkdir()
    ran = cli("new", name)
    assert (ran.code, ran.sentence) == (2, sentence)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_shell_is_offered_the_jobs_of_the_store_and_the_commands(cli: Cli, tmp_path: Path):
    """And what sets it up is printed, with nothing beside it."""
    cli("new", "triage")
    folder = tmp_path / "triage"
    assert python(folder, "-m", "converge.cli", "run", "triage:engine", "--job", "first", "-q").returncode == 0

    def offered(words: str, place: int) -> list[str]:
        asked = {"_CONVERGE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
        ended = python(folder, "-m", "converge.cli", **asked)
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout.split()

    assert offered("converge why f", 2) == ["first"]
    assert offered("converge why-", 1) == ["why-not"]
    assert offered("converge why first --me", 3) == ["--mermaid"]
    assert offered("converge why first --store sqlite:///none.db f", 5) == []
    # Else it would be the shell that these tests were started from.
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = python(folder, "-m", "converge.cli", "--show-completion", "bash", **named)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "_CONVERGE_COMPLETE" in shown.stdout


COMMANDS = sorted((one.name or one.callback.__name__) for one in app.registered_commands if one.callback)


@pytest.mark.parametrize("command", [name.rstrip("_") for name in COMMANDS])
def test_the_help_of_each_command_has_an_example_and_offers_json(cli: Cli, command: str):
    """And its first sentence says what it does. What `inspect` shows is pages, and `mcp` speaks a protocol."""
    shown = re.sub(r"\x1b\[[\d;]*m", "", cli(command, "--help").out)
    assert f"Example: converge {command}" in " ".join(shown.split())
    assert "--json" in shown or command in ("inspect", "mcp")
