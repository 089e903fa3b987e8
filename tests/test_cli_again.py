"""The commands that take a stored job up: resume, restart, fork and give, also where another process runs it."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from converge_stores.sqlite import SQLiteStore
from tests.commands import Cli, command_line

ROOT = Path(__file__).parent.parent
SHOP = """
import anyio
from converge import Engine, Fact, Live, RootIntent, agent

class Signal(Fact):
    source: str

class Risk(Fact):
    name: str

class Advice(Fact):
    text: str

@agent(reads=Signal, writes=Risk)
def assess(view):
    for signal in view.new(Signal):
        yield Risk(signal.source).because(signal)

async def ask(name):
    print("asked about", name)
    return f"mind the {name}"

@agent(reads=Risk, writes=Advice)
async def advise(view):
    for risk in view.new(Risk):
        yield Advice(await view.capture("ask", ask, risk.name)).because(risk)

@agent(reads=Signal)
async def wait(view):
    print("waiting", flush=True)
    await anyio.sleep_forever()

engine = Engine([assess, advise])
waiting = Engine([assess, advise, wait])
other = Engine([assess])
intent = RootIntent("find the risks")
"""
SIGNAL = '{"kind": "Signal", "fact": {"source": "%s"}}\n'
SIGNALS = {f"{source}.jsonl": SIGNAL % source for source in ("port", "rail", "road")}
ODD = '{"kind": "Odd", "fact": {}}'
ADVICE = '{"kind": "Advice", "fact": {"text": "sleep on it"}}'
ELSEWHERE = "token = 'theirs', host = 'elsewhere', place = 'there', process = 4242, started = '1', expires = ?"
DIGESTS = ("digest", "live_digest", "proof_digest")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Run a command in this process, in a folder whose converge.db holds job "one", which knows of the port."""
    files = {"shop.py": SHOP, "none.jsonl": "", "odd.jsonl": ODD, "advice.jsonl": ADVICE, **SIGNALS}
    with command_line(tmp_path, files, monkeypatch, capsys) as run:
        assert run("run", "shop:engine", "--facts", "port.jsonl", "--job", "one").code == 0
        yield run


def shown(cli: Cli, job: str, kind: str, *more: str) -> list[Any]:
    """Return what a job's facts of a kind say."""
    facts = cli("show", job, "--json", *more).data["facts"]
    return sorted(value for fact in facts if fact["kind"] == kind for value in fact["fact"].values())


def leased_elsewhere(until: float) -> None:
    """Have another machine run job "one"."""
    with closing(sqlite3.connect("converge.db")) as connection, connection:
        connection.execute(f"UPDATE leases SET {ELSEWHERE} WHERE job_id = 'one'", (until,))


# --- resume -------------------------------------------------------------------------------------------------------


def test_resuming_reads_the_job_once(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    """However large it is, nothing is read for the sake of its budget or its picture alone."""
    read = []
    load = SQLiteStore.load

    async def counted(self: SQLiteStore, job_id: str, cycle: int | None = None) -> Any:
        read.append(job_id)
        return await load(self, job_id, cycle)

    monkeypatch.setattr(SQLiteStore, "load", counted)
    ran = cli("resume", "shop:engine", "one", "--facts", "rail.jsonl", "--budget", "rounds=50")
    assert ran.code == 0
    assert read == ["one"]


def test_a_resume_that_adds_nothing_says_so_and_one_that_adds_a_fact_does_not(cli: Cli):
    """Also where the fact wakes nobody."""
    assert "nothing is new" in cli("resume", "shop:engine", "one", "--facts", "port.jsonl").err
    assert "nothing is new" not in cli("resume", "shop:engine", "one", "--facts", "advice.jsonl").err


def test_a_limit_that_is_not_named_stays_as_it_was(cli: Cli):
    """Each resume changes what it names."""
    cli("resume", "shop:engine", "one", "--facts", "rail.jsonl", "--budget", "rounds=50")
    cli("resume", "shop:engine", "one", "--facts", "road.jsonl", "--budget", "facts=70")
    budget = cli("show", "one", "--json").data["budget"]
    assert (budget["rounds"], budget["facts"]) == (50, 70)


@pytest.mark.parametrize("command", [("resume",), ("restart",)])
def test_a_job_that_another_machine_runs_is_refused_with_who_and_until_when(cli: Cli, command: tuple[str, ...]):
    """The store's own exit code, and what can be done meanwhile."""
    leased_elsewhere(time.time() + 1_000)
    ran = cli(*command, "shop:engine", "one")
    assert ran.code == 10
    assert "run by process 4242 on elsewhere" in ran.sentence
    assert re.search(r"until 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", ran.sentence)
    assert "`converge give`" in ran.sentence


def test_jobs_says_who_runs_and_who_was_interrupted(cli: Cli):
    """A lease that has expired is nobody's; the job has stopped before, so it is as it was."""
    leased_elsewhere(time.time() + 1_000)
    assert "running" in cli("jobs").out
    leased_elsewhere(time.time() - 1)
    assert "fixed_point" in cli("jobs").out
    with closing(sqlite3.connect("converge.db")) as connection, connection:
        connection.execute("DELETE FROM log WHERE stop IS NOT NULL")
    assert "interrupted" in cli("jobs").out
    assert cli("resume", "shop:engine", "one").code == 0


# --- restart ------------------------------------------------------------------------------------------------------


def test_a_restart_comes_to_the_same_facts_and_asks_nobody(cli: Cli):
    """From all that was ever given; what it concluded before is history."""
    before = cli("resume", "shop:engine", "one", "--facts", "rail.jsonl", "--json")
    ran = cli("restart", "shop:engine", "one", "--json")
    assert ran.code == 0
    assert "asked" not in ran.err
    assert ran.data["live_digest"] == before.data["live_digest"]
    assert shown(cli, "one", "Advice", "--cycle", "4") == ["mind the port"]


def test_a_fresh_restart_asks_again(cli: Cli):
    """Models may answer otherwise today."""
    assert "asked about port" in cli("restart", "shop:engine", "one", "--fresh").err


def test_a_restart_with_other_agents_forgets_what_those_before_concluded(cli: Cli):
    """That is what it is for."""
    assert cli("restart", "shop:other", "one").code == 0
    assert shown(cli, "one", "Risk") == ["port"]
    assert shown(cli, "one", "Advice") == []


def test_a_restart_may_change_the_budget(cli: Cli):
    """Nothing counts as spent; the advice is a command that works."""
    ran = cli("restart", "shop:engine", "one", "--budget", "rounds=1")
    assert ran.code == 3
    hint = ran.err.rpartition("to go on: converge ")[2].split()
    assert cli(*hint).code == 0


# --- fork ---------------------------------------------------------------------------------------------------------


def test_a_fork_goes_on_from_a_cycle_and_leaves_the_other_job_as_it_is(cli: Cli):
    """With facts of its own; what the other job was answered later is not asked again."""
    before = cli("audit", "one", "--json").data
    ran = cli("fork", "shop:engine", "one", "--cycle", "2", "--facts", "rail.jsonl", "--job", "two", "--json")
    assert ran.code == 0
    assert ran.data["job_id"] == "two"
    assert "asked about port" not in ran.err
    assert shown(cli, "two", "Advice") == ["mind the port", "mind the rail"]
    assert cli("audit", "one", "--json").data == before
    assert "copied from one, cycle 2" in cli("history", "two").out
    assert cli("audit", "two").code == 0


def test_a_fresh_fork_asks_what_was_answered_later(cli: Cli):
    """Only what had been answered by then counts."""
    assert "asked about port" in cli("fork", "shop:engine", "one", "--cycle", "2", "--fresh").err


def test_a_fork_from_the_end_stands_where_the_other_job_stands(cli: Cli):
    """Its id is made up where none is given."""
    told = cli("fork", "shop:engine", "one", "--json").data
    assert re.fullmatch("job-[0-9a-f]{8}", told["job_id"])
    here = cli("resume", "shop:engine", "one", "--json").data
    assert all(told[name] == here[name] for name in DIGESTS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("one", "--cycle", "9"), "its cycles are 1 to 4"),
        (("oen",), "did you mean one?"),
        (("one", "--job", "one"), "choose another id"),
        (("one", "--facts", "odd.jsonl"), "unknown kind 'Odd'"),
        (("one", "--budget", "round=3"), "did you mean rounds?"),
    ],
)
def test_a_fork_that_cannot_be_made_leaves_nothing_behind(cli: Cli, arguments: tuple[str, ...], said: str):
    """One sentence, and no job of the new name."""
    ran = cli("fork", "shop:engine", *arguments, *(() if "--job" in arguments else ("--job", "two")))
    assert ran.code == 2
    assert said in ran.err.splitlines()[-1]
    assert [job["job_id"] for job in cli("jobs", "--json").data["jobs"]] == ["one"]
    assert cli("audit").code == 0


def test_a_job_that_is_removed_while_all_are_audited_is_left_out(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    """Another process may prune meanwhile."""

    async def mentioned(_: SQLiteStore) -> list[str]:
        return ["gone", "one"]

    monkeypatch.setattr(SQLiteStore, "mentioned", mentioned)
    ran = cli("audit", "--json")
    assert (ran.code, [job["job_id"] for job in ran.data["jobs"]]) == (0, ["one"])
    assert cli("audit", "gone").code == 2


# --- give ---------------------------------------------------------------------------------------------------------


def test_facts_given_to_a_job_that_lies_still_wait_for_its_resume(cli: Cli):
    """That is said, with the command that does it."""
    ran = cli("give", "shop:engine", "one", "--facts", "rail.jsonl", "--facts", "road.jsonl")
    assert (ran.code, ran.out) == (0, "2 facts given to job one, which nobody runs: merged when it is resumed\n")
    hint = ran.err.rpartition("to go on: converge ")[2].split()
    assert cli(*hint).code == 0
    assert shown(cli, "one", "Risk") == ["port", "rail", "road"]


def test_the_json_of_giving_keeps_its_shape(cli: Cli):
    """Scripts rely on these names."""
    told = cli("give", "shop:engine", "one", "--facts", "rail.jsonl", "--json").data
    assert told == {"job_id": "one", "store": "sqlite:///converge.db", "facts": 1, "running": False}
    leased_elsewhere(time.time() + 1_000)
    assert cli("give", "shop:engine", "one", "--facts", "road.jsonl", "--json").data["running"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("one",), "--facts"),
        (("one", "--facts", "none.jsonl"), "there is no fact in none.jsonl"),
        (("one", "--facts", "odd.jsonl"), "unknown kind 'Odd'"),
        (("oen", "--facts", "rail.jsonl"), "did you mean one?"),
    ],
)
def test_what_cannot_be_given_is_refused(cli: Cli, arguments: tuple[str, ...], said: str):
    """Nothing is kept of it."""
    ran = cli("give", "shop:engine", *arguments)
    assert ran.code == 2
    assert said in ran.err.splitlines()[-1]


# --- another process ----------------------------------------------------------------------------------------------


@pytest.fixture
def running(cli: Cli, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run job "long" in another process, until a signal ends it."""
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "agents", ROOT / "stores")))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "converge.cli", "run", "shop:waiting", "--facts", "port.jsonl"]
    pipe = subprocess.PIPE
    more = ["--job", "long", "--json"]
    process = subprocess.Popen([*command, *more], cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True)
    assert process.stderr is not None
    assert any("waiting" in line for line in process.stderr)
    yield process
    process.kill()
    process.communicate()


def test_facts_given_to_a_job_that_runs_are_merged_by_whoever_runs_it(cli: Cli, running: "subprocess.Popen[str]"):
    """They need not be resumed, nor the process be ended for them."""
    ran = cli("give", "shop:waiting", "long", "--facts", "rail.jsonl")
    assert (ran.out, ran.err.count("to go on")) == (
        "1 fact given to job long, which is running: merged in its next round\n",
        0,
    )
    assert running.stderr is not None
    assert any("asked about rail" in line for line in running.stderr)
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate()
    assert json.loads(out)["kinds"]["Signal"]["live"] == 2


def test_a_job_that_runs_is_refused_until_its_process_has_ended(cli: Cli, running: "subprocess.Popen[str]"):
    """Then it is known to be gone, and nobody waits for its lease to expire."""
    ran = cli("resume", "shop:waiting", "long")
    assert ran.code == 10
    assert f"run by process {running.pid} on " in ran.sentence
    assert cli("audit", "long").code == 0
    running.kill()
    running.wait()
    assert cli("jobs").out.splitlines()[1].split()[:2] == ["long", "interrupted"]
    given = cli("give", "shop:engine", "long", "--facts", "rail.jsonl", "--json").data
    assert given["running"] is False
    assert cli("resume", "shop:engine", "long").code == 0
