"""The command line: what it prints where, with which exit code, and what a signal leaves behind."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import converge
from converge import StopReason
from converge.cli.exit_codes import code_of_stop
from tests.commands import Cli, command_line

ROOT = Path(__file__).parent.parent
SHOP = """
import anyio
from converge import Engine, Fact, Live, RootIntent, agent, invariant

print("a module may print")

class Signal(Fact):
    source: str
    text: str

class Risk(Fact, key=("name",)):
    name: str
    severity: int

class Top(Fact):
    name: str

class Alarm(Fact):
    source: str

@agent(reads=Signal, writes=Risk)
def assess(view):
    print("an agent may print")
    for signal in view.new(Signal):
        yield Risk(signal.source, len(signal.text)).because(signal)

@agent(reads=Risk, writes=Top, when="settled")
def rank(view):
    top = view.best(Risk, by=lambda risk: risk.severity)
    return Top(top.name).because(top) if top else None

@agent(reads=Signal, writes=Alarm)
def ring(view):
    for signal in view.new(Signal):
        if signal.text.isupper():
            yield Alarm(signal.source).because(signal)

intent = RootIntent("find the risks", success=("something_was_found",))

@invariant
def something_was_found(view):
    return bool(view.live(Top))

@invariant
def never(view):
    return "it never does"

engine = Engine([assess, rank, ring], invariants=[something_was_found, never])

@agent(writes=Risk)
def one(view):
    return Risk("late", 1)

@agent(writes=Risk)
def other(view):
    return Risk("late", 2)

contested = Engine([one, other])

@agent(writes=Risk)
def fails(view):
    raise RuntimeError("no luck")

failing = Engine([fails])

@agent(reads=Risk, writes=Risk)
def count(view):
    for risk in view.new(Risk):
        if risk.severity < 6:
            yield Risk(f"{risk.severity + 1}", risk.severity + 1).because(risk)

counting = Engine([count])

@agent(reads=Risk)
async def wait(view):
    await anyio.sleep_forever()

waiting = Engine([one, wait])

@agent(reads=Risk)
def turn(view):
    print("turning", flush=True)
    while True:
        pass

turning = Engine([one, turn])
only_turning = Engine([turn])
"""
SIGNALS = '{"kind": "Signal", "fact": {"source": "port", "text": "late"}}\n'
STRIKE = '{"kind": "Signal", "fact": {"source": "rail", "text": "a strike"}}\n'
RETRACTED = '{"kind": "Invalidation", "fact": {"target": "%s", "reason": "it was a rumour"}}\n'
PREMISE = '{"kind": "Risk", "fact": {"name": "1", "severity": 1}}\n'


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Run a command in this process, in a folder that holds the module `shop` and facts files."""
    facts = {"signals.jsonl": SIGNALS, "strike.jsonl": STRIKE, "premise.jsonl": PREMISE}
    with command_line(tmp_path, {"shop.py": SHOP, **facts}, monkeypatch, capsys) as run:
        yield run


# --- run ----------------------------------------------------------------------------------------------------------


def test_a_job_runs_to_its_fixed_point_and_says_so(cli: Cli):
    """The first command of a newcomer: a target and a facts file, and nothing else."""
    ran = cli("run", "shop:engine", "--facts", "signals.jsonl")
    assert ran.code == 0
    assert ran.out.startswith("fixed point")
    assert 'Top {"name": "port"}' in ran.out


def test_progress_is_one_line_per_round_where_nobody_watches(cli: Cli):
    """Progress is for people, so it goes to stderr; a log gets plain lines."""
    ran = cli("run", "shop:engine", "--facts", "signals.jsonl")
    assert "round 1: 2 agents, 1 new fact" in ran.err
    assert "\x1b" not in ran.err + ran.out


def test_stdout_holds_nothing_but_the_outcome(cli: Cli):
    """What modules and agents print goes to stderr, so that stdout can be piped."""
    ran = cli("run", "shop:engine", "--facts", "signals.jsonl", "--json")
    assert ran.data["converged"]
    assert "a module may print" in ran.err
    assert "an agent may print" in ran.err


def test_the_json_of_an_outcome_keeps_its_shape(cli: Cli):
    """Scripts rely on these names."""
    told = cli("run", "shop:engine", "--facts", "signals.jsonl", "--json", "--job", "one").data
    assert set(told) == {
        *("job_id", "objective", "store", "exit_code", "converged", "stop", "cycles", "spend", "kinds", "answer"),
        *("asked", "missing", "warnings", "digest", "live_digest", "proof_digest"),
    }
    assert told["job_id"] == "one"
    assert told["stop"] == {"reason": "fixed_point", "text": told["stop"]["text"], "detail": [], "unread": []}
    assert told["kinds"]["Risk"] == {"live": 1, "dead": 0, "disputed": 0}
    assert [(fact["kind"], fact["fact"]) for fact in told["answer"]] == [("Top", {"name": "port"})]


def test_quiet_leaves_stderr_empty(cli: Cli):
    """Only the outcome is printed, and what the user's own code prints."""
    ran = cli("run", "shop:contested", "--objective", "nothing", "--quiet")
    assert ran.err == "a module may print\n"


def test_facts_files_add_up(cli: Cli):
    """--facts may be given several times."""
    told = cli("run", "shop:engine", "--facts", "signals.jsonl", "--facts", "strike.jsonl", "--json").data
    assert told["kinds"]["Risk"]["live"] == 2
    assert told["answer"][0]["fact"] == {"name": "rail"}


def test_the_intent_beside_the_target_is_the_default(cli: Cli):
    """Without --intent and --objective, the module's `intent` is run."""
    told = cli("run", "shop:engine", "--facts", "signals.jsonl", "--json").data
    assert told["objective"] == "find the risks"


def test_an_objective_stands_for_a_root_intent(cli: Cli):
    """--objective makes an intent with no other demands."""
    told = cli("run", "shop:engine", "--objective", "look around", "--json").data
    assert told["objective"] == "look around"
    assert told["converged"]


def test_an_intent_file_brings_demands_and_budget(cli: Cli, tmp_path: Path):
    """A root intent as JSON has all five parts; --budget is put on top of its budget."""
    intent = {"objective": "look", "constraints": ["never"], "budget": {"rounds": 9, "facts": 7}}
    (tmp_path / "intent.json").write_text(json.dumps(intent), "utf-8")
    ran = cli("run", "shop:engine", "--intent", "intent.json", "--budget", "rounds=8", "--job", "one")
    assert ran.code == 5
    assert "never: it never does" in ran.out
    budget = cli("show", "one", "--json").data["budget"]
    assert (budget["rounds"], budget["facts"], budget["activations"]) == (8, 7, 1_000_000)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("shop:engine", "--facts", "signals.jsonl"), 0),
        (("shop:counting", "--facts", "premise.jsonl", "--objective", "x", "--budget", "rounds=2"), 3),
        (("shop:failing", "--objective", "x"), 4),
        (("shop:contested", "--objective", "x"), 7),
        (("shop:engine",), 8),
    ],
)
def test_the_exit_code_tells_the_stop_reason(cli: Cli, arguments: tuple[str, ...], code: int):
    """A script need not parse anything to know how a job ended."""
    assert cli("run", *arguments).code == code


def test_every_stop_reason_has_its_own_exit_code(cli: Cli):
    """Codes 0 and 3 to 9, as `--help` lists them."""
    codes = {reason: int(code_of_stop(reason)) for reason in StopReason}
    assert sorted(codes.values()) == [0, 3, 4, 5, 6, 7, 8, 9]
    assert codes[StopReason.FIXED_POINT] == 0
    listed = re.findall(r"^ *(\d+) {2}\S", cli("run", "--help").out, re.MULTILINE)
    assert [int(code) for code in listed] == list(range(11))


def test_memory_as_a_store_leaves_no_file(cli: Cli, tmp_path: Path):
    """`memory:` is for trying things."""
    assert cli("run", "shop:engine", "--facts", "signals.jsonl", "--store", "memory:").code == 0
    assert not list(tmp_path.glob("*.db"))


def test_a_store_address_is_relative_with_three_slashes_and_absolute_with_four(cli: Cli, tmp_path: Path):
    """As in other tools' database addresses."""
    (tmp_path / "sub").mkdir()
    cli("run", "shop:engine", "--store", "sqlite:///sub/one.db")
    cli("run", "shop:engine", "--store", f"sqlite:///{tmp_path}/two.db")
    assert (tmp_path / "sub" / "one.db").exists()
    assert (tmp_path / "two.db").exists()


# --- resume -------------------------------------------------------------------------------------------------------


def test_late_facts_wake_only_who_reads_them(cli: Cli):
    """Resuming with a signal runs its readers and the settled ranker, and the old answer falls."""
    cli("run", "shop:engine", "--facts", "signals.jsonl", "--job", "one")
    before = len(cli("trace", "one", "--json").data["events"])
    told = cli("resume", "shop:engine", "one", "--facts", "strike.jsonl", "--json").data
    events = cli("trace", "one", "--json").data["events"][before:]
    assert [event["agent"] for event in events if event["event"] == "Activated"] == ["assess", "ring", "rank"]
    assert told["kinds"]["Top"] == {"live": 1, "dead": 1, "disputed": 0}
    assert told["answer"][0]["fact"] == {"name": "rail"}


def test_going_on_with_more_budget_equals_one_long_run(cli: Cli):
    """A budget that ran out costs nothing but a second command."""
    job = ("--facts", "premise.jsonl", "--objective", "count", "--json")
    whole = cli("run", "shop:counting", *job).data
    first = cli("run", "shop:counting", *job, "--job", "cut", "--budget", "rounds=2").data
    assert (first["stop"]["reason"], first["stop"]["detail"]) == ("budget", ["rounds"])
    second = cli("resume", "shop:counting", "cut", "--budget", "rounds=100", "--json").data
    assert second["converged"]
    assert all(second[digest] == whole[digest] for digest in ("digest", "live_digest", "proof_digest"))


def test_the_hint_after_a_spent_budget_is_a_command_that_works(cli: Cli):
    """What stderr advises can be typed as it is."""
    ran = cli("run", "shop:counting", "--facts", "premise.jsonl", "--objective", "x", "--budget", "rounds=4")
    assert ran.code == 3
    hint = ran.err.rpartition("to go on: converge ")[2].split()
    assert cli(*hint).code == 0


def test_resuming_with_nothing_new_says_so(cli: Cli):
    """The job stands as it did, and its store is not written to."""
    cli("run", "shop:engine", "--facts", "signals.jsonl", "--job", "one")
    ran = cli("resume", "shop:engine", "one", "--facts", "signals.jsonl")
    assert ran.code == 0
    assert "nothing is new" in ran.err


# --- jobs, show, trace --------------------------------------------------------------------------------------------


def test_jobs_lists_the_newest_first(cli: Cli):
    """One line per job, with how it stopped."""
    cli("run", "shop:engine", "--facts", "signals.jsonl", "--job", "old")
    cli("run", "shop:contested", "--objective", "quarrel", "--job", "new")
    listed = cli("jobs").out.splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [["new", "contested"], ["old", "fixed_point"]]
    told = cli("jobs", "--json").data
    assert [(job["job_id"], job["stop"]) for job in told["jobs"]] == [("new", "contested"), ("old", "fixed_point")]


def test_show_needs_no_target(cli: Cli, tmp_path: Path):
    """Facts are read as plain JSON: whoever has the file sees everything, without the agents' code."""
    cli("run", "shop:engine", "--facts", "signals.jsonl", "--job", "one")
    (tmp_path / "shop.py").unlink()
    sys.modules.pop("shop")
    ran = cli("show", "one")
    assert ran.code == 0
    assert re.search(r'live +assess, round 1 +\{"name": "port", "severity": 4\}', ran.out)
    assert re.search(r'live +given, round 0 +\{"source": "port", "text": "late"\}', ran.out)


def test_show_marks_what_no_longer_holds(cli: Cli, tmp_path: Path):
    """Invalidating the signal takes the risk and the answer along."""
    cli("run", "shop:engine", "--facts", "signals.jsonl", "--job", "one")
    facts = cli("show", "one", "--json").data["facts"]
    target = next(fact["id"] for fact in facts if fact["kind"] == "Signal")
    (tmp_path / "retracted.jsonl").write_text(RETRACTED % target, "utf-8")
    assert cli("resume", "shop:engine", "one", "--facts", "retracted.jsonl").code == 8
    told = cli("show", "one", "--json").data
    labels = {(fact["kind"], fact["label"]) for fact in told["facts"]}
    assert labels == {("Signal", "dead"), ("Risk", "dead"), ("Top", "dead"), ("Invalidation", "live")}
    assert told["stop"]["reason"] == "unaccepted"
    assert "Risk  1 dead" in cli("show", "one").out


def test_the_json_of_a_shown_job_keeps_its_shape(cli: Cli):
    """Scripts rely on these names, too."""
    cli("run", "shop:engine", "--facts", "signals.jsonl", "--job", "one")
    told = cli("show", "one", "--json", "--kind", "Risk").data
    assert set(told) == {"job_id", "objective", "store", "stop", "cycles", "spend", "budget", "facts"}
    (fact,) = told["facts"]
    assert fact == {
        "id": fact["id"],
        "kind": "Risk",
        "label": "live",
        "round": 1,
        "agents": ["assess"],
        "fact": {"name": "port", "severity": 4},
    }


def test_show_counts_what_it_leaves_out(cli: Cli, tmp_path: Path):
    """Ten facts of a kind, then the number of the others; --kind and --all leave none out."""
    lines = [f'{{"kind": "Signal", "fact": {{"source": "s{number}", "text": "x"}}}}\n' for number in range(15)]
    (tmp_path / "many.jsonl").write_text("".join(lines), "utf-8")
    cli("run", "shop:engine", "--facts", "many.jsonl", "--job", "one")
    assert "and 5 more: --kind Signal" in cli("show", "one").out
    assert len(re.findall('"source"', cli("show", "one", "--kind", "Signal").out)) == 15
    assert " more: " not in cli("show", "one", "--all").out


def test_a_trace_counts_from_one_without_gaps(cli: Cli):
    """Over the whole life of a job, resumes included."""
    cli("run", "shop:engine", "--facts", "signals.jsonl", "--job", "one")
    cli("resume", "shop:engine", "one", "--facts", "strike.jsonl")
    events = cli("trace", "one", "--json").data["events"]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert {events[0]["event"], events[-1]["event"]} == {"JobStarted", "JobStopped"}
    assert len(cli("trace", "one").out.splitlines()) == len(events)


def test_a_text_cannot_steer_the_terminal(cli: Cli):
    """Facts and intents come from outside: escape characters are spelled out."""
    cli("run", "shop:engine", "--objective", "red \x1b[31m bell \x07", "--job", "one")
    shown = cli("jobs").out + cli("show", "one").out + cli("trace", "one").out
    assert "\x1b" not in shown
    assert "\\x1b[31m" in shown


# --- terminals ----------------------------------------------------------------------------------------------------


def test_a_terminal_gets_a_picture_of_the_rounds(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    """FORCE_COLOR makes any stream a terminal: rounds as bars, and the spend beside its budget."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    ran = cli("run", "shop:counting", "--facts", "premise.jsonl", "--objective", "count")
    assert "█" in ran.err
    assert "spent 6 of 1,000 rounds" in ran.err
    assert "\x1b[32m" in ran.out.replace("\x1b[1;32m", "\x1b[32m")


def test_no_color_is_respected(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    """A terminal without colours still gets its picture."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    ran = cli("run", "shop:counting", "--facts", "premise.jsonl", "--objective", "count")
    assert "█" in ran.err
    assert not re.search(r"\x1b\[[\d;]*3\dm", ran.err + ran.out)


# --- bench, version, help -----------------------------------------------------------------------------------------


def test_bench_gives_figures_for_both_stores(cli: Cli):
    """Small sizes here; the default ones take about ten seconds."""
    told = cli("bench", "--agents", "1", "--agents", "5", "--activations", "20", "--json").data
    assert [(job["agents"], job["store"]) for job in told["jobs"]] == [
        *((1, "memory"), (1, "sqlite"), (5, "memory"), (5, "sqlite")),
    ]
    assert all(job["activations_per_second"] > 0 and job["facts_per_second"] > 0 for job in told["jobs"])


def test_bench_prints_a_table(cli: Cli):
    """One line per size and store."""
    out = cli("bench", "--agents", "2", "--activations", "10").out
    assert "activations/s" in out
    assert re.search(r"sqlite +2 ", out)


def test_the_version_is_the_package_s(cli: Cli):
    """`converge --version`."""
    assert cli("--version").out == f"converge {converge.__version__}\n"


def test_no_command_shows_what_there_is(cli: Cli):
    """Someone who types just `converge` sees the commands and the exit codes."""
    ran = cli()
    assert ran.code == 0
    assert all(command in ran.out for command in ("run", "resume", "jobs", "show", "trace", "bench"))


# --- the real process ---------------------------------------------------------------------------------------------


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start `python -m converge.cli` in a folder that holds the module `shop`."""
    (folder / "shop.py").write_text(SHOP, "utf-8")
    (folder / "premise.jsonl").write_text(PREMISE, "utf-8")
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "agents", ROOT / "stores")))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "converge.cli", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def await_line(process: "subprocess.Popen[str]", text: str) -> None:
    """Read stderr until a line holds `text`."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"{text!r} was never said")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_job_and_loses_nothing(tmp_path: Path, cli: Cli, number: signal.Signals):
    """The outcome is printed, the exit code is 9, and what was committed is in the store."""
    process = start(tmp_path, "run", "shop:waiting", "--objective", "x", "--job", "one", "--json")
    await_line(process, "round 1:")
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 9
    assert json.loads(out)["stop"]["reason"] == "cancelled"
    assert "Traceback" not in err
    shown = cli("show", "one", "--json").data
    assert shown["stop"]["reason"] == "cancelled"
    assert [fact["fact"] for fact in shown["facts"]] == [{"name": "late", "severity": 1}]


def test_a_second_signal_leaves_an_agent_that_never_gives_way(tmp_path: Path, cli: Cli):
    """Nothing can stop a plain function that does not return, so the process ends and names it."""
    process = start(tmp_path, "run", "shop:turning", "--objective", "x", "--job", "one")
    await_line(process, "turning")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert (process.returncode, out) == (9, "")
    assert "agent turn does not return" in err
    told = cli("show", "one", "--json").data
    assert told["stop"] is None
    assert [fact["kind"] for fact in told["facts"]] == ["Risk"]


def test_the_budget_of_seconds_ends_an_agent_that_never_gives_way(tmp_path: Path):
    """The event loop cannot keep time while a plain function holds it; the command line can."""
    process = start(
        tmp_path, "run", "shop:only_turning", "--facts", "premise.jsonl", "--objective", "x", "--budget", "seconds=0.1"
    )
    out, err = process.communicate()
    assert (process.returncode, out) == (3, "")
    assert "agent turn does not return" in err
    assert "Traceback" not in err


def test_a_reader_that_has_had_enough_is_no_error(tmp_path: Path):
    """As in `converge trace JOB | head -1`."""
    process = start(tmp_path, "--help")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 0
