"""The commands about stored jobs: history, show, audit, export, import and prune, without the agents' code."""

import json
import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Cli, Ran, command_line

SHOP = """
from converge import Engine, Fact, RootIntent, agent

class Signal(Fact):
    source: str
    text: str

class Risk(Fact):
    name: str

class Advice(Fact):
    text: str

@agent(reads=Signal, writes=Risk)
def assess(view):
    for signal in view.new(Signal):
        yield Risk(signal.source).because(signal)

async def ask(name):
    return f"mind the {name}"

@agent(reads=Risk, writes=Advice)
async def advise(view):
    for risk in view.new(Risk):
        yield Advice(await view.capture("ask", ask, risk.name)).because(risk)

engine = Engine([assess, advise])
intent = RootIntent("find the risks")
"""
SIGNALS = '{"kind": "Signal", "fact": {"source": "port", "text": "late"}}\n'
STRIKE = '{"kind": "Signal", "fact": {"source": "rail", "text": "a strike"}}\n'
ROWS = 6  # of job "one", the header included
DAY = 86_400


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Run a command in this process, in a folder whose converge.db holds job "one"."""
    files = {"shop.py": SHOP, "signals.jsonl": SIGNALS, "strike.jsonl": STRIKE}
    with command_line(tmp_path, files, monkeypatch, capsys) as run:
        assert run("run", "shop:engine", "--facts", "signals.jsonl", "--job", "one").code == 0
        yield run


def edit(statement: str, *values: Any, path: str = "converge.db") -> None:
    """Change a file with plain sqlite3."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def aged(days: float, job_id: str = "one") -> None:
    """Let a job have happened so many days ago."""
    edit("UPDATE log SET at = at - ? WHERE job_id = ?", days * DAY, job_id)


def columns(ran: Ran) -> list[list[str]]:
    """Return what a table says, without its headings."""
    return [line.split() for line in ran.out.splitlines()[1:]]


# --- history ------------------------------------------------------------------------------------------------------


def test_history_is_one_line_per_row(cli: Cli):
    """Which row and cycle, and at the end of the line what it is."""
    ran = cli("history", "one")
    assert [line[0] for line in columns(ran)] == ["1", "2", "3", "4", "5"]
    assert [line[-2:] for line in columns(ran)] == [
        ["new", "fact"],
        ["new", "fact"],
        ["1", "capture"],
        ["new", "fact"],
        ["1", "fixed_point"],
    ]


def test_the_json_of_a_history_keeps_its_shape(cli: Cli):
    """Scripts rely on these names."""
    told = cli("history", "one", "--json").data
    assert set(told) == {"job_id", "store", "rows"}
    last = told["rows"][-1]
    assert set(last) == {"number", "cycle", "at", "round", "facts", "stop", "epoch", "bytes", "what"}
    assert (last["number"], last["cycle"], last["facts"], last["stop"], last["epoch"]) == (5, 4, 3, "fixed_point", 1)
    assert [row["cycle"] for row in told["rows"]] == [1, 2, None, 3, 4]


def test_history_counts_anew_after_a_restart(cli: Cli):
    """What was concluded before is history, and the facts are counted from what was given on."""
    cli("restart", "shop:engine", "one")
    assert "begun anew, 1 new fact" in cli("history", "one").out


# --- show, as it stood --------------------------------------------------------------------------------------------


def test_a_job_is_shown_as_it_stood_at_a_cycle(cli: Cli):
    """Nothing that came later."""
    ran = cli("show", "one", "--cycle", "2")
    assert "as it stood at cycle 2" in ran.out
    assert "Risk  1 live" in ran.out
    assert "Advice" not in ran.out
    told = cli("show", "one", "--cycle", "2", "--json").data
    assert (told["cycles"], told["stop"], len(told["facts"])) == (2, None, 2)


def test_an_earlier_end_is_shown_as_one(cli: Cli):
    """The job stopped there, and went on later."""
    cli("resume", "shop:engine", "one", "--facts", "strike.jsonl")
    assert "fixed point" in cli("show", "one", "--cycle", "4").out


def test_a_cycle_that_a_job_does_not_have_is_refused_with_those_it_has(cli: Cli):
    """As facts and as they lie in the file."""
    for more in ((), ("--raw",)):
        ran = cli("show", "one", "--cycle", "9", *more)
        assert (ran.code, ran.sentence) == (2, "job 'one' has no cycle 9: its cycles are 1 to 4")


# --- show, as it lies in the file ---------------------------------------------------------------------------------


def raw(ran: Ran) -> list[Any]:
    """Return the objects that were printed, one a line."""
    return [json.loads(line) for line in ran.out.splitlines()]


def test_raw_facts_are_one_a_line(cli: Cli):
    """The cycle that added it, its id, its content."""
    ran = cli("show", "one", "--raw")
    assert (ran.code, ran.err) == (0, "")
    cycle, fact_id, content = ran.out.splitlines()[1].split(maxsplit=2)
    assert (cycle, fact_id.partition(":")[0], json.loads(content)) == ("2", "Risk", {"name": "port"})


def test_raw_facts_as_json_are_lines_of_one_shape(cli: Cli):
    """So that a script reads a job of any size."""
    first = raw(cli("show", "one", "--raw", "--json"))[0]
    assert first == {
        "row": 1,
        "cycle": 1,
        "id": first["id"],
        "round": 0,
        "fact": {"source": "port", "text": "late"},
    }


def test_raw_facts_may_be_of_one_kind_and_up_to_a_cycle(cli: Cli):
    """As without --raw."""
    assert [fact["fact"] for fact in raw(cli("show", "one", "--raw", "--json", "--kind", "Risk"))] == [{"name": "port"}]
    assert len(raw(cli("show", "one", "--raw", "--json", "--cycle", "2"))) == 2


def test_a_kind_that_no_raw_fact_has_gets_the_nearest_one(cli: Cli):
    """As without --raw."""
    for more in ((), ("--raw",)):
        ran = cli("show", "one", "--kind", "Rsk", *more)
        assert (ran.code, ran.sentence) == (2, "--kind: the job has no fact of kind 'Rsk': did you mean Risk?")


def test_raw_facts_need_neither_kinds_nor_a_known_form(cli: Cli):
    """Nothing is checked: what is there is shown."""
    edit("""UPDATE log SET body = '{"form": 9, "facts": [["Odd", 1, 5], {"new": "form"}]}' WHERE number = 2""")
    ran = cli("show", "one", "--raw", "--json")
    assert ran.code == 0
    assert [fact["fact"] for fact in raw(ran)][1:3] == [5, {"new": "form"}]
    assert [fact["id"] for fact in raw(ran)][1:3] == ["Odd", None]


@pytest.mark.parametrize("body", ["{broken", "[]", '{"facts": 7}', "[" * 100_000])
def test_a_row_that_holds_no_facts_to_show_is_named_and_the_others_are_shown(cli: Cli, body: str):
    """On stderr, with its cycle; the exit code says that something is left out."""
    edit("UPDATE log SET body = ? WHERE number = 2", body)
    ran = cli("show", "one", "--raw", "--json")
    assert ran.code == 1
    assert ran.err.startswith("warning: row 2, cycle 2 is left out: it is ")
    assert [fact["row"] for fact in raw(ran)] == [1, 4]


def test_a_row_that_is_no_text_is_named_too(cli: Cli):
    """Bytes that are no UTF-8."""
    edit("UPDATE log SET body = CAST(x'7bff7d' AS TEXT) WHERE number = 2")
    ran = cli("show", "one", "--raw", "--json")
    assert (ran.code, [fact["row"] for fact in raw(ran)]) == (1, [1, 4])


@pytest.mark.parametrize("command", ["show", "trace"])
@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("body", ["{broken", "[]", "{}", '{"form": 3, "watermarks": []}', '{"objective": 5}'])
def test_a_job_of_which_a_row_is_broken_is_refused_with_the_row_and_the_way_to_look_at_it(
    cli: Cli, command: str, number: int, body: str
):
    """No guess is made of what the job was, and the commands that still work are named."""
    edit("UPDATE log SET body = ? WHERE number = ?", body, number)
    ran = cli(command, "one")
    assert ran.code == 10
    if "form" not in body:
        assert f"row {number}" in ran.sentence or "RootIntent" in ran.sentence


def test_a_broken_job_does_not_hide_the_others(cli: Cli):
    """They are listed, and so is what is left of it."""
    cli("run", "shop:engine", "--facts", "strike.jsonl", "--job", "two")
    edit("UPDATE log SET body = '{broken' WHERE job_id = 'one' AND number = 0")
    assert [line[0] for line in columns(cli("jobs"))] == ["two", "one"]
    assert "did you mean two?" in cli("show", "twi").sentence


# --- audit --------------------------------------------------------------------------------------------------------


def test_a_sound_job_is_called_so_with_its_digest(cli: Cli):
    """On stderr stands the command that will know the digest again, and it works."""
    ran = cli("audit", "one")
    assert ran.code == 0
    assert ran.out.startswith(f"sound: {ROWS} rows, digest ")
    command = ran.err.splitlines()[-1].split()
    assert command[:2] == ["converge", "audit"]
    again = cli(*command[1:])
    assert again.code == 0
    assert "that of row 5, the last one" in again.out


def test_a_job_that_went_on_still_has_the_digest_that_was_noted(cli: Cli):
    """In the row where it was the last one."""
    digest = cli("audit", "one", "--json").data["jobs"][0]["digest"]
    cli("resume", "shop:engine", "one", "--facts", "strike.jsonl")
    ran = cli("audit", "one", "--expect", digest)
    assert ran.code == 0
    assert "that of row 5, after which 5 rows came" in ran.out


def test_what_is_wrong_is_named_with_its_row_and_cycle(cli: Cli):
    """Exit code 1, and one line per fault."""
    edit("UPDATE log SET facts = 99 WHERE number = 4")
    ran = cli("audit", "one")
    assert (ran.code, ran.err) == (1, "")
    verdict, fault = ran.out.splitlines()
    assert verdict.startswith(f"not sound: {ROWS} rows, 1 fault, digest ")
    assert fault.startswith("  row 4, cycle 3: it was edited")


def test_the_json_of_an_audit_keeps_its_shape(cli: Cli):
    """One job or all of them: the same shape."""
    edit("DELETE FROM log WHERE number = 2")
    for told in (cli("audit", "one", "--json").data, cli("audit", "--json").data):
        assert (told["exit_code"], told["sound"]) == (1, False)
        (job,) = told["jobs"]
        assert job == {
            "job_id": "one",
            "sound": False,
            "rows": ROWS - 1,
            "digest": job["digest"],
            "noted": None,
            "faults": [{"row": 2, "cycle": None, "text": "row 2 is missing"}],
        }


def test_all_jobs_are_audited_where_none_is_named(cli: Cli):
    """One line per job, then what is wrong."""
    cli("run", "shop:engine", "--job", "two")
    assert [line[:2] for line in columns(cli("audit"))] == [["sound", "one"], ["sound", "two"]]
    edit("UPDATE log SET round = 9 WHERE job_id = 'two' AND number = 1")
    ran = cli("audit")
    assert ran.code == 1
    assert "two: 1 fault\n  row 1, cycle 1: it was edited" in ran.out


@pytest.mark.parametrize("where", ["", "AND number = 0", "AND number > 0"])
def test_a_job_that_was_taken_out_of_the_store_is_missed(cli: Cli, where: str):
    """Whole, or its header, without which nothing lists it: its lease has stayed behind."""
    edit(f"DELETE FROM log WHERE job_id = 'one' {where}")
    ran = cli("audit")
    assert ran.code == 1
    assert "missing" in ran.out


def test_a_store_without_jobs_is_sound(cli: Cli):
    """Nothing is wrong with nothing; a pruned job leaves nothing behind."""
    cli("prune", "--older-than", "0m")
    assert cli("audit").out == "no jobs in sqlite:///converge.db\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--expect", "ab" * 16), "name the JOB"),
        (("one", "--expect", "soon"), "'soon' is no digest"),
        (("oen",), "did you mean one?"),
    ],
)
def test_an_audit_that_cannot_be_made_is_refused(cli: Cli, arguments: tuple[str, ...], said: str):
    """With the remedy."""
    ran = cli("audit", *arguments)
    assert ran.code == 2
    assert said in ran.sentence


def test_a_digest_that_is_not_there_is_a_fault(cli: Cli):
    """All rows may have been made anew."""
    ran = cli("audit", "one", "--expect", "ab" * 16)
    assert ran.code == 1
    assert f"has the digest that was noted, {'ab' * 16}" in ran.out


# --- export and import --------------------------------------------------------------------------------------------

OTHER = ("--store", "sqlite:///other.db")


def test_an_exported_job_goes_on_elsewhere(cli: Cli):
    """The same rows and digests, and from then on the same job."""
    assert cli("export", "one", "one.job").code == 0
    ran = cli("import", "one.job", *OTHER)
    digest = cli("audit", "one", "--json").data["jobs"][0]["digest"]
    assert (ran.code, ran.out) == (0, f"job one added: {ROWS} rows, digest {digest}\n")
    here, there = (cli("resume", "shop:engine", "one", "--facts", "strike.jsonl", "--json", *to) for to in ((), OTHER))
    assert all(here.data[name] == there.data[name] for name in ("digest", "live_digest", "proof_digest"))


def test_a_job_may_pass_through_a_pipe(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    """As in `converge export one | converge import -`, whatever the terminal's encoding is."""
    text = cli("export", "one", "-").out
    assert text == cli("export", "one").out
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(text.encode()), "ascii"))
    told = cli("import", "-", "--json", *OTHER).data
    digest = cli("audit", "one", "--json").data["jobs"][0]["digest"]
    assert told == {"job_id": "one", "store": OTHER[1], "rows": ROWS, "letters": 0, "digest": digest}


def test_an_exported_file_is_for_its_owner_alone(cli: Cli, tmp_path: Path):
    """Also where it replaces one that everybody could read."""
    (tmp_path / "old.job").write_text("old", "utf-8")
    (tmp_path / "old.job").chmod(0o644)
    cli("export", "one", "new.job")
    cli("export", "one", "old.job", "--force")
    assert [stat.S_IMODE((tmp_path / f"{name}.job").stat().st_mode) for name in ("new", "old")] == [0o600, 0o600]


def test_a_file_that_is_there_is_replaced_by_force_only(cli: Cli, tmp_path: Path):
    """The sentence says how."""
    (tmp_path / "one.job").write_text("mine", "utf-8")
    ran = cli("export", "one", "one.job")
    assert (ran.code, ran.sentence) == (2, "FILE: one.job is there already: name another, or give --force")
    assert (tmp_path / "one.job").read_text("utf-8") == "mine"
    assert cli("export", "one", "one.job", "--force").code == 0
    assert cli("import", "one.job", *OTHER).code == 0


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_an_export_that_fails_leaves_no_half_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: tuple[str, ...]
):
    """Nor takes away the one that is to be replaced."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    if force:
        (tmp_path / "one.job").write_text("mine", "utf-8")
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*") if "job" in path.name}
    monkeypatch.setattr(os, "fsync", full)
    ran = cli("export", "one", "one.job", *force)
    assert (ran.code, ran.sentence) == (2, "FILE: one.job cannot be written: no space left on device")
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*") if "job" in path.name} == before


@pytest.mark.parametrize(("file", "said"), [(".", "is not a file"), ("nowhere/one.job", "cannot be written")])
def test_a_place_that_takes_no_file_is_refused(cli: Cli, file: str, said: str):
    """A folder, or one that is not there, whatever --force says."""
    ran = cli("export", "one", file, "--force")
    assert ran.code == 2
    assert said in ran.sentence


def test_an_edited_job_is_exported_with_a_warning(cli: Cli):
    """Whoever exports it to throw it away must know that no store will take it."""
    edit("UPDATE log SET facts = 99 WHERE number = 4")
    ran = cli("export", "one", "one.job")
    assert ran.code == 1
    assert "warning: row 4: it was edited" in ran.err
    assert "one.job cannot be imported: row 4: it was edited" in cli("import", "one.job", *OTHER).sentence


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (SIGNALS.encode(), "does not begin as a job's file does"),
        (b"", "does not begin as a job's file does"),
        (b"\xff\xfe", "not UTF-8"),
        (None, "no such file"),
    ],
)
def test_a_file_that_holds_no_job_is_refused_and_no_store_is_made(
    cli: Cli, tmp_path: Path, content: bytes | None, said: str
):
    """Nothing is opened before the file has been read."""
    if content is not None:
        (tmp_path / "odd.job").write_bytes(content)
    ran = cli("import", "odd.job", *OTHER)
    assert ran.code == 2
    assert said in ran.sentence
    assert not (tmp_path / "other.db").exists()


def test_a_job_that_is_there_already_is_not_imported(cli: Cli):
    """The sentence says whether it is the same one."""
    cli("export", "one", "one.job")
    assert "with the same rows: nothing is to be added" in cli("import", "one.job").sentence
    cli("resume", "shop:engine", "one", "--facts", "strike.jsonl")
    assert "has gone on since: 11 rows there, 6 rows here" in cli("import", "one.job").sentence
    cli("run", "shop:engine", "--facts", "strike.jsonl", "--job", "one", *OTHER)
    ran = cli("import", "one.job", *OTHER)
    assert "with other rows, 6 rows there and 6 rows here: import it into another store" in ran.sentence
    assert cli("audit", "one", *OTHER).code == 0


# --- prune --------------------------------------------------------------------------------------------------------


def test_old_jobs_are_removed_and_listed(cli: Cli):
    """The list is data; how many there were is news."""
    cli("run", "shop:engine", "--job", "two")
    aged(40)
    ran = cli("prune", "--older-than", "30d")
    assert ran.code == 0
    assert [line[:5] for line in columns(ran)] == [["one", "fixed_point", "40", "days", "ago"]]
    assert ran.err.startswith("1 job removed\n")
    assert [job["job_id"] for job in cli("jobs", "--json").data["jobs"]] == ["two"]


def test_a_dry_run_removes_nothing(cli: Cli):
    """It lists what would be removed."""
    aged(40)
    ran = cli("prune", "--older-than", "30d", "--dry-run")
    assert [line[0] for line in columns(ran)] == ["one"]
    assert ran.err == "1 job would be removed, and none was\n"
    assert len(cli("jobs", "--json").data["jobs"]) == 1


@pytest.mark.parametrize(("age", "days", "goes"), [("2d", 1.9, False), ("47h", 2, True), ("90m", 0.05, False)])
def test_an_age_is_in_days_hours_or_minutes(cli: Cli, age: str, days: float, goes: bool):
    """The job is so many days old."""
    aged(days)
    assert bool(cli("prune", "--older-than", age, "--json").data["jobs"]) is goes


@pytest.mark.parametrize("age", ["30", "d", "-3d", "1w", "3 d", "٣d"])
def test_an_age_that_is_none_is_refused(cli: Cli, age: str):
    """With those that are."""
    ran = cli("prune", f"--older-than={age}")
    assert ran.code == 2
    assert "write 30d, 12h or 45m" in ran.sentence


def test_an_unfinished_job_is_removed_only_if_asked_for(cli: Cli):
    """It may be waiting to be resumed."""
    edit("DELETE FROM log WHERE stop IS NOT NULL")
    aged(40)
    assert cli("prune", "--older-than", "30d").err.startswith("0 jobs removed\n")
    assert columns(cli("prune", "--older-than", "30d", "--unfinished"))[0][:2] == ["one", "unfinished"]


def test_the_json_of_pruning_keeps_its_shape(cli: Cli):
    """Scripts rely on these names."""
    aged(40)
    told = cli("prune", "--older-than", "30d", "--json").data
    assert set(told) == {"store", "removed", "jobs", "bytes", "free"}
    assert set(told["jobs"][0]) == {"job_id", "objective", "updated", "stop"}
    assert told["removed"] is True


def test_free_room_is_given_back_on_demand(cli: Cli, tmp_path: Path):
    """Until then the sentence says how much there is; the file is as good as before."""
    size = (tmp_path / "converge.db").stat().st_size
    aged(40)
    assert "--compact gives them back" in cli("prune", "--older-than", "30d").err
    told = cli("prune", "--older-than", "30d", "--compact", "--json").data
    assert told["free"] == 0
    assert told["bytes"] < size
    assert cli("run", "shop:engine", "--job", "two").code == 0
    assert cli("doctor").code == 0


def test_a_file_that_somebody_else_has_open_is_not_compacted(cli: Cli):
    """They would be kept waiting, or fail."""
    with closing(sqlite3.connect("converge.db")) as other:
        other.execute("SELECT count(*) FROM log").fetchall()
        ran = cli("prune", "--older-than", "30d", "--compact")
    assert ran.code == 10
    assert "somebody else has it open" in ran.sentence
    assert cli("audit").code == 0


@pytest.mark.parametrize("command", [("history", "x"), ("audit",), ("export", "x"), ("prune", "--older-than", "1d")])
def test_a_store_that_is_not_there_is_not_made(cli: Cli, tmp_path: Path, command: tuple[str, ...]):
    """A wrong name must not make a file."""
    ran = cli(*command, *OTHER)
    assert ran.code == 10
    assert not (tmp_path / "other.db").exists()
