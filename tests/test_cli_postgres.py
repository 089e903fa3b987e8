"""The command line over a database: every command that takes a store takes its URL."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from converge.cli.place import store_at
from converge.cli.throughput import WorkersFailed, _together
from converge.stores import PostgresStore
from tests.commands import Cli, command_line
from tests.postgres import Postgres

TARGET = """
from converge import Engine, Fact, View, agent


class Rung(Fact):
    number: int


@agent(reads=Rung, writes=Rung)
def climb(view: View):
    return [Rung(rung.number + 1).because(rung) for rung in view.new(Rung) if rung.number < 3]


engine = Engine([climb])
"""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """The command, in a folder with a target and its facts."""
    files = {"ladder.py": TARGET, "facts.jsonl": '{"kind": "Rung", "fact": {"number": 0}}\n'}
    with command_line(tmp_path, files, monkeypatch, capsys) as run:
        yield run


@pytest.fixture
def address(database: Postgres) -> str:
    """The URL of a store of one's own."""
    return f"{database.url}?schema={database.schema()}"


def test_a_job_is_run_looked_at_and_moved(cli: Cli, address: str):
    """Run, list, show, ask why, audit, export, and import into a file."""
    ran = cli(
        "run", "ladder:engine", "--objective", "climb", "--facts", "facts.jsonl", "--store", address, "--job", "one"
    )
    assert ran.code == 0, ran.err
    assert "one" in cli("jobs", "--store", address).out
    assert "Rung" in cli("show", "one", "--store", address).out
    assert cli("audit", "--store", address).code == 0
    assert cli("export", "one", "one.job", "--store", address).code == 0
    assert cli("import", "one.job", "--store", "sqlite:///copy.db").code == 0
    digests = [cli("audit", "one", "--store", place, "--json").data["jobs"][0]["digest"] for place in _both(address)]
    assert digests[0] == digests[1]
    assert cli("prune", "--older-than", "30d", "--store", address).code == 0


def _both(address: str) -> tuple[str, str]:
    return address, "sqlite:///copy.db"


def test_who_only_reads_makes_no_tables(cli: Cli, address: str):
    """A name that was mistyped is said to be empty."""
    ran = cli("jobs", "--store", address)
    assert ran.code == 10
    assert "no job was ever kept there" in ran.sentence


def test_an_address_that_is_none_is_an_option_that_does_not_fit(cli: Cli):
    """The sentence says what to write."""
    ran = cli("jobs", "--store", "postgresql://host:door/db")
    assert ran.code == 2
    assert "write postgresql://user@host:5432/database" in ran.sentence


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("postgresql:///jobs?schema=mine", "postgresql:///jobs"),
        ("postgresql://ada@db/jobs", "postgresql://ada@db/jobs"),
        (
            "postgresql://db/jobs?level=process&options=-c%20work_mem%3D8MB",
            "postgresql://db/jobs?options=-c%20work_mem%3D8MB",
        ),
        ("postgresql://db/jobs?schema=mine&password=a+b", "postgresql://db/jobs?password=a%2Bb"),
    ],
)
def test_a_driver_is_given_the_url_without_what_is_for_the_store(address: str, url: str):
    """What is left out of a URL stays left out, for libpq to take from the environment."""
    store = store_at(address)
    assert isinstance(store, PostgresStore)
    assert store.address.url == url


def test_a_patience_that_is_no_number_is_refused(cli: Cli):
    """The sentence says what to write."""
    assert "write ?patience=15" in cli("jobs", "--store", "postgresql://host/db?patience=long").sentence


def test_the_doctor_looks_at_the_server(cli: Cli, address: str):
    """One line per check; nothing is made."""
    ran = cli("doctor", "--store", address, "--json")
    assert (ran.code, ran.data["level"]) == (0, "power")
    names = [check["name"] for check in ran.data["checks"]]
    expected = ["python", "driver", "server", "encoding", "disk", "connections", "clock", "latency", "tables", "level"]
    assert names == expected
    assert ran.data["checks"][-2]["text"].endswith("the first job makes them")


def test_the_doctor_says_why_a_server_cannot_be_reached(cli: Cli):
    """And no password is shown."""
    ran = cli("doctor", "--store", "postgresql://me:secret@127.0.0.1:1/jobs")
    assert ran.code == 10
    assert "no server listens there" in ran.out
    assert "secret" not in ran.out + ran.err


@pytest.mark.slow
def test_many_jobs_are_measured_in_a_file_and_in_a_database(cli: Cli, database: Postgres):
    """For one and for two workers, with what a commit takes beside a bare one; nothing stays behind."""
    told = cli("bench", "--jobs", "6", "--workers", "2", "--store", database.url, "--json").data
    assert [(job["store"], job["workers"], job["jobs"]) for job in told["jobs"]] == [
        *(("sqlite", workers, 6) for workers in (1, 2)),
        *(("postgresql", workers, 6) for workers in (1, 2)),
    ]
    assert all(job["jobs_per_second"] > 0 for job in told["jobs"])
    assert [commit["store"] for commit in told["commits"]] == ["sqlite", "postgresql"]
    assert all(commit["seconds"] > 0 and commit["bare"] > 0 for commit in told["commits"])


def test_many_jobs_are_measured_in_a_table(cli: Cli):
    """In a file alone, where no database is named."""
    out = cli("bench", "--jobs", "4").out
    assert re.search(r"^sqlite +1 +4 +[\d.]+ +\d+", out, re.MULTILINE)
    assert re.search(r"^sqlite +[\d,]+ +[\d,]+ +[\d.]+", out, re.MULTILINE)


@pytest.mark.slow
def test_processes_that_fail_are_told_of_and_not_waited_for(tmp_path: Path):
    """As where a server has not enough connections: nobody waits at the door for one that does not come."""
    with pytest.raises(WorkersFailed, match="2 of 2 processes failed: see what they say above"):
        _together(f"sqlite:///{tmp_path}/no-such-folder/jobs.db", 4, 2)


def test_only_a_database_is_measured_by_address(cli: Cli):
    """A file lies in a temporary folder in any case."""
    ran = cli("bench", "--jobs", "4", "--store", "sqlite:///jobs.db")
    assert ran.code == 2
    assert "name a database" in ran.sentence
