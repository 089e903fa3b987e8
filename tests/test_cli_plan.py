"""`converge plan`: what it prints of an engine that has not run, and what a bad target gets."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from converge.cli.exit_codes import ExitCode
from tests.commands import Cli, command_line

SHOP = """
from converge import Engine, Fact, Live, agent
from converge.stores import SQLiteStore

print("a module may print")

class Offer(Fact, key="shop"):
    shop: str

class Ban(Fact):
    shop: str

class Choice(Fact):
    shop: str

@agent(reads=[Offer, Ban], invalidates=Offer, name="comply \\x1b[31m")
def comply(view):
    raise AssertionError("nobody runs")

@agent(reads=Offer, writes=Choice, when="settled")
def choose(view):
    raise AssertionError("nobody runs")

engine = Engine([comply, choose], store=SQLiteStore("jobs.db"))
number = 5
"""
CIRCLE = """
from converge import Engine, Fact, Live, agent

class Offer(Fact):
    shop: str

@agent(reads=Live(Offer), invalidates=Offer)
def doubt(view):
    return None

engine = Engine([doubt])
"""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Run a command in a folder that holds an engine, and one that is refused."""
    with command_line(tmp_path, {"shop.py": SHOP, "circle.py": CIRCLE}, monkeypatch, capsys) as run:
        yield run


def test_a_plan_is_printed_as_text(cli: Cli):
    """Who reads and writes what, by stratum; what a name holds that steers a terminal is spelled out."""
    ran = cli("plan", "shop:engine")
    assert ran.code == 0
    assert ran.out.startswith("2 agents, 3 kinds, 2 strata\n\nstratum 0\n  comply \\x1b[31m")
    assert "  choose           settled  Offer → Choice\n" in ran.out
    assert ran.out.endswith("circles             none\n")


def test_stdout_holds_nothing_but_the_plan(cli: Cli):
    """What the module prints goes where news goes."""
    ran = cli("plan", "shop:engine", "--json")
    assert ran.err == "a module may print\n"
    assert set(ran.data) == {"agents", "kinds", "strata", "inputs", "unread", "circles"}


def test_a_plan_is_printed_as_json(cli: Cli):
    """The whole of it, as data."""
    data = cli("plan", "shop:engine", "--json").data
    assert [agent["name"] for agent in data["agents"]] == ["choose", "comply \x1b[31m"]
    assert data["strata"] == [["comply \x1b[31m"], ["choose"]]
    assert (data["inputs"], data["unread"], data["circles"]) == (["Ban", "Offer"], ["Choice"], [])


def test_a_plan_is_printed_as_a_flowchart(cli: Cli):
    """It can be pasted into a document as it is."""
    lines = cli("plan", "shop:engine", "--mermaid").out.splitlines()
    assert lines[:3] == [
        "flowchart TD",
        '    subgraph s0["stratum 0"]',
        '        a1["comply#32;#27;#91;31m"]',
    ]
    assert "    a1 -. invalidates .-> k1" in lines


def test_a_plan_needs_no_store(cli: Cli, tmp_path: Path):
    """The one that the engine names is not even made."""
    cli("plan", "shop:engine")
    assert not (tmp_path / "jobs.db").exists()


def test_two_formats_at_once_are_refused(cli: Cli):
    """Nobody could say which is meant."""
    ran = cli("plan", "shop:engine", "--mermaid", "--json")
    assert (ran.code, ran.sentence) == (ExitCode.BAD_INPUT, "--mermaid: give it or --json, not both")


@pytest.mark.parametrize(
    "target",
    [
        "shop",
        "shop.py",
        "nowhere:engine",
        "shop:engines",
        "shop:number",
        "shop:comply",
        "circle:engine",
        ":",
        "./shop:engine",
    ],
)
def test_a_bad_target_gets_the_sentence_that_run_gives(cli: Cli, target: str):
    """One way to say what is wrong with it."""
    told = cli("plan", target), cli("run", target, "--objective", "x")
    assert told[0].code == told[1].code == ExitCode.BAD_INPUT
    plan, run = (ran.err.splitlines()[-1] for ran in told)
    assert plan == run
    assert plan.startswith(f"error: target {target!r}: ")


def test_a_circle_that_is_refused_is_told(cli: Cli):
    """Such an engine has no plan, and the sentence says why."""
    assert "agent doubt reads liveness and depends on its own conclusions" in cli("plan", "circle:engine").err


def test_a_team_that_ships_can_be_planned(cli: Cli):
    """And its plan is stable."""
    first, second = (cli("plan", "converge_agents.teams.strategy:engine", "--json").out for _ in range(2))
    assert first == second
    assert json.loads(first)["unread"] == ["Approval", "Referral"]
