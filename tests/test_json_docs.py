"""docs/JSON.md says what every command prints with --json: shapes as their functions state them, and as they are."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import Cli, command_line
from tests.test_cli_stored import SHOP, SIGNALS, STRIKE

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "JSON.md").read_text("utf-8")
SHAPES = dict(re.findall(r"^## (.+?)\n.*?^```text\n(.+?)\n```", TEXT, re.MULTILINE | re.DOTALL))
TOP = re.compile(r'"(\w+)"')
COMMANDS = {
    "`converge new`": ("new", "triage"),
    "`converge run`, `converge resume`, `converge restart`, `converge fork`": ("run", "shop:engine"),
    "`converge jobs`": ("jobs",),
    "`converge show`": ("show", "one"),
    "`converge trace`": ("trace", "one"),
    "`converge history JOB`": ("history", "one"),
    "`converge decide JOB`": ("decide", "one"),
    "`converge give`": ("give", "shop:engine", "one", "--facts", "strike.jsonl"),
    "`converge verify`": ("verify", "shop:engine", "one", "--schedules", "1"),
    "`converge audit`": ("audit",),
    "`converge export JOB FILE`": ("export", "one", "one.job"),
    "`converge prune`": ("prune", "--older-than", "1d", "--dry-run"),
    "`converge doctor`": ("doctor",),
}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    files = {"shop.py": SHOP, "signals.jsonl": SIGNALS, "strike.jsonl": STRIKE}
    with command_line(tmp_path, files, monkeypatch, capsys) as run:
        assert run("run", "shop:engine", "--facts", "signals.jsonl", "--job", "one").code == 0
        yield run


TELLING = ("_told", "_listed", "_exported_told", "outcome_data")


def stated() -> Iterator[str]:
    """Yield the shapes in the docstrings of the command line."""
    for path in sorted((ROOT / "converge" / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name in (
                "_told",
                "_listed",
                "_exported_told",
                "outcome_data",
            ):
                yield from re.findall(r"^\{.*\}$", ast.get_docstring(node) or "", re.MULTILINE | re.DOTALL)


def test_each_shape_that_the_code_states_is_documented_and_no_other():
    assert set(SHAPES.values()) == set(stated())


def names(shape: str) -> set[str]:
    """Return the names of the outermost object: nested ones are taken out."""
    inner = shape.strip()[1:-1]
    while re.search(r"[\[{][^\[\]{}]*[\]}]", inner):
        inner = re.sub(r"[\[{][^\[\]{}]*[\]}]", "", inner)
    return set(TOP.findall(inner))


@pytest.mark.parametrize("title", COMMANDS)
def test_a_command_prints_the_names_that_are_documented(cli: Cli, title: str):
    assert set(cli(*COMMANDS[title], "--json").data) == names(SHAPES[title])
