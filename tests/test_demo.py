"""The demo, as `make demo` runs it: it ends well, reads well, and what it says to type works."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from converge import StopReason
from converge.cli.exit_codes import ExitCode
from converge_agents.scripted import ScriptedModel
from converge_agents.teams.strategy.__main__ import demo
from converge_agents.teams.strategy.script import ANSWERS, scripted
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
    return [shlex.split(line) for line in lines if re.search(r"\bconverge (decide|resume|show|trace) ", line)]


async def shown_on(console: Console) -> str:
    await demo(console, scripted())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_it_shows_an_answer_and_then_another(shown: str):
    """Two recommendations that differ, each with its reasons, that wait for the board."""
    found = re.findall(r"Recommendation: (.+?) *\n", shown)
    assert len(found) == len(set(found)) == 2
    assert shown.count("because") == shown.count("waiting for the board: ") == 2


def test_it_says_what_fell_and_who_ran(shown: str):
    """The late regulation's consequences are named."""
    (ran,) = re.findall(r"Ran again +(.+?)\n *Did not run", shown, re.DOTALL)
    assert " ".join(ran.split()) == "comply, admit, optimise, rank, explain, approve, refer, approve.gate"
    assert re.search(r"Fell +1 option, .*1\s+recommendation, 1 proposal to the board,", shown, re.DOTALL)


def test_it_says_what_was_suggested_and_what_became_of_it(shown: str):
    """What was let in, and what was refused at which step; the reasons of the first end in an opinion."""
    (told,) = re.findall(r"What the model suggested.*?\n\n", shown, re.DOTALL)
    assert len(re.findall(r"^  let in ", told, re.MULTILINE)) == 4
    steps = ["[is_estimated]", "[judged_by('sceptic')]", "[is_uncertain]", "[min_confidence(0.5)]"]
    assert re.findall(r"\[\w+(?:\(.+?\))?\]", told) == steps
    assert re.search(r"option: mexico-distributor .*\[sceptic\]", shown, re.DOTALL)
    assert not re.search(r"── ,", shown)
    assert re.search(r"── 1 lead  \[given\]", shown)


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
        await demo(Console(file=io.StringIO()), scripted())
    store = SQLiteStore("demo.db")
    await store.open()
    jobs = await store.jobs()
    await store.close()
    assert len({job.job_id for job in jobs}) == 4  # two, and a fork of each
    assert {job.stop for job in jobs} == {"waiting"}


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
    """As printed, in the same folder: the board's word is kept, and the regulation asks it about another plan."""
    typed = commands(shown)
    assert [command[1] for command in typed] == ["decide", "resume", "show", "trace"]
    ended = [python(folder, *CLI, *command[1:]) for command in typed]
    assert [one.returncode for one in ended] == [0, ExitCode.WAITING, 0, 0], ended
    first, second = re.findall(r"Recommendation: (.+?) *\n", shown)
    assert first not in ended[1].stdout
    assert second in ended[1].stdout


def test_the_board_may_speak_before_the_regulation_comes(tmp_path: Path):
    """What decide is told, and what each command then says to type, ends in an approval, before the law and after."""
    decide, resume, *_ = commands(python(tmp_path, *DEMO).stdout)
    job = resume[resume.index("resume") : resume.index("--facts")]
    assert python(tmp_path, *CLI, *decide[1:]).returncode == 0
    assert python(tmp_path, *CLI, *job).returncode == 0
    waiting = python(tmp_path, *CLI, *resume[1:])
    assert waiting.returncode == ExitCode.WAITING
    for command in re.findall(r"converge (decide .+?); then: converge (resume .+)", waiting.stderr + waiting.stdout)[0]:
        ended = python(tmp_path, *CLI, *shlex.split(command))
        assert ended.returncode == 0, ended.stderr + ended.stdout


@pytest.mark.asyncio
async def test_a_model_that_cannot_be_asked_ends_the_demo_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It recommends nothing, and gives no command that would have a script answer in the model's place."""
    monkeypatch.chdir(tmp_path)
    console = Console(file=io.StringIO(), width=80)
    outcome = await demo(console, ScriptedModel([], name="mute"))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert outcome.stop.reason is StopReason.AGENT_FAILED
    assert "proposer (ScriptSilent" in shown
    assert "Recommendation" not in shown
    assert commands(shown) == []


@pytest.mark.asyncio
async def test_what_nobody_has_judged_is_shown_as_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A sceptic that has nothing to say lets nothing in, and does not hide what was proposed."""
    monkeypatch.chdir(tmp_path)
    asked = json.loads(ANSWERS.read_text(encoding="utf-8").splitlines()[0])
    console = Console(file=io.StringIO(), width=80)
    await demo(console, ScriptedModel([(asked["asked"], asked["said"]), ("", {"items": []})]))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"^  open +option +Mexico through a distributor: nobody has judged it", shown, re.MULTILINE)
    assert "let in" not in shown


def test_a_file_that_cannot_be_used_is_said_in_one_sentence(tmp_path: Path):
    """No traceback, and a code that says it did not work."""
    (tmp_path / "demo.db").mkdir()
    ended = python(tmp_path, *DEMO)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "demo.db" in ended.stderr
