"""A file of an earlier schema is brought forward whole or not at all, and a copy of it as it was is kept.

WRITTEN is what the release with schema 1 wrote: a job at its end, and one that its budget cut short, with captures in
the rows of their cycles. It is wrapped for reading, so its digests are not those of the text; nobody asks them again.
"""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise, takewhile
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import anyio
import pytest

from converge import Budget, Engine, Fact, Outcome, View, agent
from converge.archive.audit import audit
from converge.chain import JobHeader, header_row
from converge.errors import StoreTooNew, StoreUnavailable
from converge.stores import SQLiteStore
from converge_stores.sqlite.preparing import prepare
from converge_stores.sqlite.schema import APPLICATION_ID, MIGRATIONS, VERSION

WRITTEN = r"""
PRAGMA application_id = 1131376246;
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
CREATE TABLE cycles (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    round INTEGER NOT NULL,
    facts INTEGER NOT NULL,
    stop TEXT,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job_id, number)
) STRICT
;
CREATE VIEW jobs AS
SELECT header.job_id, header.at AS created, last.at AS updated, json_extract(header.body, '$.objective') AS objective,
       last.number AS cycles, last.round, last.facts, last.stop
FROM (SELECT job_id, max(number) AS number FROM cycles GROUP BY job_id) AS head
JOIN cycles AS header ON header.job_id = head.job_id AND header.number = 0
JOIN cycles AS last ON last.job_id = head.job_id AND last.number = head.number;
CREATE VIEW facts AS
SELECT cycles.job_id, cycles.number AS cycle, json_extract(cycles.body, '$.base') + each.key AS position,
       json_extract(each.value, '$[0]') AS id, json_extract(each.value, '$[1]') AS round,
       json_extract(each.value, '$[2]') AS content
FROM cycles, json_each(cycles.body, '$.facts') AS each WHERE cycles.number > 0;
CREATE VIEW supports AS
SELECT cycles.job_id, cycles.number AS cycle, json_extract(each.value, '$[0]') AS position,
       json_extract(cycles.body, '$.sources[' || json_extract(each.value, '$[1]') || '][0]') AS agent,
       json_extract(each.value, '$[2]') AS round,
       CASE json_type(each.value, '$[3]')
           WHEN 'array' THEN json_extract(each.value, '$[3]')
           ELSE json_extract(cycles.body, '$.given[' || json_extract(each.value, '$[3]') || ']')
       END AS evidence
FROM cycles, json_each(cycles.body, '$.supports') AS each WHERE cycles.number > 0;
INSERT INTO cycles VALUES
('whole',0,1795407122.307,0,0,NULL,'54d7175d4f41d75d928e84771da4de2e','{"constraints":[],"objective":"whole",
  "scope":[],"success":[]}'),
('whole',1,1795407122.307,0,2,NULL,'15f89e6b72be1961db980ae1683d8c35','{"form":2,"base":1,
  "facts":[["Clause:4228427459a3aabb2de97ed7c5e1b3ce",0,{"number":2,"text":"it''s “late”"}],
  ["Clause:ba867c680d20bf56e2772ab93f99eccf",0,{"number":1,"text":"delay"}]],"sources":[["","1",false]],"given":[],
  "supports":[[1,0,0,[]],[2,0,0,[]]],"watermarks":[["critic","1",false,-1,-1,false,-1,-1,-1],["judge","1",true,-1,-1,
  false,-1,-1,-1],["lawyer","1",false,-1,-1,false,-1,-1,-1]],"captures":[],"spend":{"rounds":1,"facts":0,
  "activations":1,"seconds":0.001},"budget":{"rounds":1000,"facts":1000000,"activations":1000000,"seconds":600.0,
  "churn":1},"trace":[["JobStarted",1,1795407122.306,"whole","whole",2,"frontier"]]}'),
('whole',2,1795407122.312,1,4,NULL,'1bfe56ce5e863cb05aa363e35a77ed65','{"form":2,"base":3,
  "facts":[["Opinion:733a3fb7a6e65e8e9c450f07b7cad2b9",1,{"clause":2,"text":"asked once: it''s “late”"}],
  ["Opinion:6cbf945fb24a9615286f19ed33de5537",1,{"clause":1,"text":"asked once: delay"}]],"sources":[["lawyer","1",
  false]],"given":[],"supports":[[3,0,1,[1]],[4,0,1,[2]]],"watermarks":[["lawyer","1",false,0,0,false,1,-1,-1]],
  "captures":[[["lawyer","1","ask","f023c50aa30cd8a2d4f4ea7b1df6c769",0],"\"asked once: it''s “late”\""],[["lawyer",
  "1","ask","423f8bf826fca5a003652437b22f0d47",0],"\"asked once: delay\""]],"spend":{"rounds":2,"facts":2,
  "activations":2,"seconds":0.001},"budget":{"rounds":1000,"facts":1000000,"activations":1000000,"seconds":600.0,
  "churn":1},"trace":[["RoundStarted",2,1795407122.307,0,1],["Activated",3,"lawyer",0,2,0.001],["RoundMerged",4,
  1795407122.312,1,2,2]]}'),
('whole',3,1795407122.314,2,5,NULL,'8420558fbc1f126289ebc30e4ccfb9c4','{"form":2,"base":5,
  "facts":[["Invalidation:7ae830f83f7155b882cf2d5423bc8887",2,{"reason":"a later clause speaks",
  "target":"Opinion:6cbf945fb24a9615286f19ed33de5537"}]],"sources":[["critic","1",false]],"given":[],"supports":[[5,0,
  2,[3]]],"watermarks":[["critic","1",false,1,1,false,2,-1,-1]],"captures":[],"spend":{"rounds":3,"facts":3,
  "activations":3,"seconds":0.001},"budget":{"rounds":1000,"facts":1000000,"activations":1000000,"seconds":600.0,
  "churn":1},"trace":[["RoundStarted",5,1795407122.312,1,1],["Activated",6,"critic",1,1,0.001],["RoundMerged",7,
  1795407122.313,2,1,1]]}'),
('whole',4,1795407122.316,3,6,NULL,'7aba686c6473058376fb56fb68232e82','{"form":2,"base":6,
  "facts":[["Verdict:07708c6d6347b335a7988b43ba268431",3,{"opinions":1}]],"sources":[["judge","1",true]],"given":[[[],
  [0]]],"supports":[[6,0,3,0]],"watermarks":[["judge","1",true,2,2,false,3,-1,-1]],"captures":[],"spend":{"rounds":3,
  "facts":4,"activations":3,"seconds":0.001},"budget":{"rounds":1000,"facts":1000000,"activations":1000000,
  "seconds":600.0,"churn":1},"trace":[["RoundStarted",8,1795407122.313,2,1],["Activated",9,"judge",2,1,0.001],
  ["RoundMerged",10,1795407122.315,3,1,1]]}'),
('whole',5,1795407122.316,3,6,'fixed_point','2a1087fc6901e09ab5478117b2b26103','{"form":2,"base":7,"facts":[],
  "sources":[],"given":[],"supports":[],"watermarks":[],"captures":[],"spend":{"rounds":3,"facts":4,"activations":3,
  "seconds":0.001},"budget":{"rounds":1000,"facts":1000000,"activations":1000000,"seconds":600.0,"churn":1},
  "trace":[["JobStopped",11,1795407122.315,"fixed_point","fixed point: no agent would add anything"]]}'),
('cut',0,1795407122.319,0,0,NULL,'a83ef8b2c87b7721a7a9ab42ef10d8e8','{"constraints":[],"objective":"cut","scope":[],
  "success":[]}'),
('cut',1,1795407122.319,0,2,NULL,'65985b9efae63b64a7ba20a15e679a1b','{"form":2,"base":1,
  "facts":[["Clause:4228427459a3aabb2de97ed7c5e1b3ce",0,{"number":2,"text":"it''s “late”"}],
  ["Clause:ba867c680d20bf56e2772ab93f99eccf",0,{"number":1,"text":"delay"}]],"sources":[["","1",false]],"given":[],
  "supports":[[1,0,0,[]],[2,0,0,[]]],"watermarks":[["critic","1",false,-1,-1,false,-1,-1,-1],["judge","1",true,-1,-1,
  false,-1,-1,-1],["lawyer","1",false,-1,-1,false,-1,-1,-1]],"captures":[],"spend":{"rounds":1,"facts":0,
  "activations":1,"seconds":7.952799933264032e-05},"budget":{"rounds":1,"facts":1000000,"activations":1000000,
  "seconds":600.0,"churn":1},"trace":[["JobStarted",1,1795407122.319,"cut","cut",2,"frontier"]]}'),
('cut',2,1795407122.321,1,4,NULL,'d29a65eef4c98edc83b8d85341dae23c','{"form":2,"base":3,
  "facts":[["Opinion:733a3fb7a6e65e8e9c450f07b7cad2b9",1,{"clause":2,"text":"asked once: it''s “late”"}],
  ["Opinion:6cbf945fb24a9615286f19ed33de5537",1,{"clause":1,"text":"asked once: delay"}]],"sources":[["lawyer","1",
  false]],"given":[],"supports":[[3,0,1,[1]],[4,0,1,[2]]],"watermarks":[["lawyer","1",false,0,0,false,1,-1,-1]],
  "captures":[[["lawyer","1","ask","f023c50aa30cd8a2d4f4ea7b1df6c769",0],"\"asked once: it''s “late”\""],[["lawyer",
  "1","ask","423f8bf826fca5a003652437b22f0d47",0],"\"asked once: delay\""]],"spend":{"rounds":1,"facts":2,
  "activations":1,"seconds":0.001},"budget":{"rounds":1,"facts":1000000,"activations":1000000,"seconds":600.0,
  "churn":1},"trace":[["RoundStarted",2,1795407122.319,0,1],["Activated",3,"lawyer",0,2,0.001],["RoundMerged",4,
  1795407122.321,1,2,2]]}'),
('cut',3,1795407122.321,1,4,'budget','e49113096a2c2f2863513b9fd6c87a76','{"form":2,"base":5,"facts":[],"sources":[],
  "given":[],"supports":[],"watermarks":[],"captures":[],"spend":{"rounds":1,"facts":2,"activations":1,
  "seconds":0.001},"budget":{"rounds":1,"facts":1000000,"activations":1000000,"seconds":600.0,"churn":1},
  "trace":[["JobStopped",5,1795407122.321,"budget",
  "the budget is spent before a fixed point: rounds (critic, judge had more to read)"]]}');
"""
WHOLE = ("c6745457ac980f8c6d1a69b6e9ab97e5", "a4e2b3293ba9ad3327a7bfb4112501f2", "ece6c3f56b06634418cafea4e581d3b4")
CUT = ("9639cb34fe765acc292e802dcaa9ab43", "2f01f2847154bf282ae1fa1fe8f39032", "f3bfd7eb833ecfce7d8a0d26c4ce7d16")


class Clause(Fact, key=("number",)):
    number: int
    text: str


class Opinion(Fact):
    clause: int
    text: str


class Verdict(Fact):
    opinions: int


def office(asked: list[str]) -> Engine:
    """Return the agents that wrote the file; `asked` gets what is asked now."""

    def ask(text: str) -> str:
        asked.append(text)
        return f"asked again: {text}"

    @agent(reads=Clause, writes=Opinion)
    async def lawyer(view: View):
        for clause in view.new(Clause):
            said = await view.capture("ask", ask, clause.text)
            yield Opinion(clause=clause.number, text=said).because(clause)

    @agent(reads=Opinion, invalidates=Opinion)
    def critic(view: View):
        for one in view.all(Opinion):
            for other in view.all(Opinion):
                if one.clause < other.clause:
                    yield one.invalidate("a later clause speaks").because(other)

    @agent(reads=Opinion, writes=Verdict, when="settled")
    def judge(view: View):
        yield Verdict(opinions=view.count(Opinion))

    return Engine([lawyer, critic, judge])


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a file of schema 1, in WAL mode, as it was closed."""
    path = tmp_path / "jobs.db"
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(WRITTEN)
    return path


def tables(path: Path) -> dict[str, int]:
    """Return what a file holds: its tables, with how many rows each has, and the version of its schema."""
    with closing(sqlite3.connect(path)) as reader:
        names = [name for (name,) in reader.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]
        found = {name: reader.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}
        return found | {"version": reader.execute("PRAGMA user_version").fetchone()[0]}


def content(path: Path) -> list[str]:
    """Return a file as SQL."""
    with closing(sqlite3.connect(path)) as reader:
        return [*reader.iterdump(), str(reader.execute("PRAGMA user_version").fetchone())]


def digests(outcome: Outcome) -> tuple[str, str, str]:
    """Return the three digests."""
    return outcome.digest, outcome.live_digest, outcome.proof_digest


async def opened(path: Path) -> None:
    """Open a store and close it."""
    store = SQLiteStore(path)
    await store.open()
    await store.close()


AS_IT_WAS = {"cycles": 10, "version": 1}


# --- brought forward -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_job_that_had_ended_is_what_it_was(old: Path):
    """Its digests are equal, nobody runs, nobody is asked and nothing is written."""
    asked: list[str] = []
    outcome = await office(asked).with_store(SQLiteStore(old)).resume("whole")
    assert outcome.converged
    assert (digests(outcome), asked, tables(old)["log"]) == (WHOLE, [], 10)


@pytest.mark.asyncio
async def test_a_job_that_was_cut_short_goes_on_to_the_same_end(old: Path):
    """What was asked before its budget ended it is not asked again: it is the outcome of one run of the old release."""
    asked: list[str] = []
    outcome = await office(asked).with_store(SQLiteStore(old)).resume("cut", budget=Budget())
    assert outcome.converged
    assert (digests(outcome), asked) == (CUT, [])


@pytest.mark.asyncio
async def test_what_was_captured_in_the_row_of_a_cycle_is_found(old: Path):
    """A new lawyer with the old one's name and version has answers to the old questions, and asks only new ones."""
    asked: list[str] = []
    engine = office(asked).with_store(SQLiteStore(old))
    outcome = await engine.restart("whole")
    assert (asked, outcome.digest) == ([], WHOLE[0])
    await engine.resume("whole", Clause(number=3, text="notice"))
    assert asked == ["notice"]


@pytest.mark.asyncio
async def test_the_chain_is_whole_and_goes_on(old: Path):
    """Each row's digest is of the one before it, in rows that came with the file and in those that follow."""
    store = SQLiteStore(old)
    await office([]).with_store(store).resume("cut", budget=Budget())
    await store.open()
    rows = await store.rows("cut")
    await store.close()
    assert len(rows) > 4
    assert rows[0] == header_row(JobHeader("cut", rows[0].at, rows[0].body))
    assert all(row.digest == row.digest_after(before.digest) for before, row in pairwise(rows))


@pytest.mark.asyncio
async def test_rows_keep_their_text_their_numbers_and_their_times(old: Path):
    """A cycle has the number that its row had; what was made without a lease is of epoch 0."""
    with closing(sqlite3.connect(old)) as reader:
        columns = "job_id, number, at, round, facts, stop, body"
        before = reader.execute(f"SELECT {columns} FROM cycles ORDER BY job_id, number").fetchall()
    await opened(old)
    with closing(sqlite3.connect(old)) as reader:
        after = reader.execute(f"SELECT {columns} FROM log ORDER BY job_id, number").fetchall()
        numbered = reader.execute("SELECT count(*) FROM log WHERE cycle = number AND epoch = 0").fetchone()
        captured = reader.execute("SELECT agent, name, answer FROM captures WHERE job_id = 'cut'").fetchall()
    assert after == before
    assert numbered == (8,)  # all but the headers
    assert [(name, asked) for name, asked, _ in captured] == [("lawyer", "ask")] * 2


@pytest.mark.asyncio
async def test_jobs_are_listed_as_they_were(old: Path):
    """With their objective, cycles, rounds, facts and stop."""
    store = SQLiteStore(old)
    await store.open()
    listed = [(job.job_id, job.objective, job.cycles, job.round, job.facts, job.stop) for job in await store.jobs()]
    await store.close()
    assert listed == [("cut", "cut", 3, 1, 4, "budget"), ("whole", "whole", 5, 3, 6, "fixed_point")]


# --- every earlier schema --------------------------------------------------------------------------------------------

LATER = {int(path.stem.rpartition("-")[2]): path for path in (Path(__file__).parent / "written").glob("schema-*.sql")}


def test_of_every_schema_there_is_a_file_that_it_wrote():
    """Whoever adds a schema keeps what the one before it wrote."""
    assert {1, *LATER} == {*range(1, VERSION + 1)}


@pytest.mark.asyncio
@pytest.mark.parametrize("number", LATER)
async def test_what_a_later_schema_wrote_is_opened_too(number: int, tmp_path: Path):
    """A job that had ended, one that was cut short, and a letter that nobody has read yet."""
    path, asked = tmp_path / "jobs.db", list[str]()
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(LATER[number].read_text("utf-8"))
    engine = office(asked).with_store(SQLiteStore(path))
    whole = await engine.resume("whole")
    cut = await engine.resume("cut", budget=Budget())
    assert whole.converged
    assert {clause.number for clause in cut.context.live(Clause)} == {1, 2, 3}
    assert asked == ["notice"]
    assert await audit_of(SQLiteStore(path)) == []


async def audit_of(store: SQLiteStore) -> list[str]:
    """Return what is wrong with the jobs of a store."""
    await store.open()
    faults = [fault.text for job_id in await store.mentioned() for fault in (await audit(store, job_id)).faults]
    await store.close()
    return faults


# --- the backup ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_private_copy_of_the_file_as_it_was_is_made_first(old: Path):
    """It is a store of its own that the old release opens; nothing else is left beside the file."""
    before = content(old)
    await opened(old)
    copy = old.with_name("jobs.db.v1")
    assert content(copy) == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(path.name for path in old.parent.iterdir()) == ["jobs.db", "jobs.db.v1"]


@pytest.mark.asyncio
async def test_the_copy_can_be_opened_in_turn(old: Path):
    """Whoever goes back to it has the same jobs."""
    await opened(old)
    outcome = await office([]).with_store(SQLiteStore(old.with_name("jobs.db.v1"))).resume("whole")
    assert digests(outcome) == WHOLE


def test_the_copy_holds_what_was_still_in_the_log_of_the_file(old: Path):
    """A process that ended without closing leaves its newest commits in the -wal."""
    script = "import sqlite3, sys, os; c = sqlite3.connect(sys.argv[1]); c.execute(\"UPDATE cycles SET stop = 'late' "
    script += "WHERE stop = 'budget'\"); c.commit(); os._exit(0)"
    subprocess.run([sys.executable, "-c", script, str(old)], check=True)
    assert old.with_name("jobs.db-wal").stat().st_size
    anyio.run(opened, old)
    with closing(sqlite3.connect(old.with_name("jobs.db.v1"))) as reader:
        assert reader.execute("SELECT stop FROM cycles WHERE job_id = 'cut' AND number = 3").fetchone() == ("late",)


@pytest.mark.asyncio
async def test_a_copy_that_is_there_already_is_left_alone(old: Path):
    """It is older than what is here now, and somebody may count on it."""
    copy = old.with_name("jobs.db.v1")
    copy.write_text("what somebody kept")
    await opened(old)
    assert copy.read_text() == "what somebody kept"
    assert tables(old)["version"] == VERSION


@pytest.mark.asyncio
async def test_half_a_copy_is_no_copy(old: Path):
    """A process that ended while it was making one leaves a part, which the next one begins again."""
    before = content(old)
    part = old.with_name("jobs.db.v1.part")
    part.write_bytes(b"SQLite format 3\0 and then the power went")
    await opened(old)
    assert content(old.with_name("jobs.db.v1")) == before
    assert not part.exists()


@pytest.mark.asyncio
async def test_without_a_copy_nothing_is_changed(old: Path):
    """The sentence names the copy and says what to do."""
    before = content(old)
    (old.parent / "jobs.db.v1").mkdir()
    with pytest.raises(StoreUnavailable, match=r"jobs\.db.*its backup jobs\.db\.v1 cannot be made.*room"):
        await opened(old)
    assert content(old) == before
    assert [path.name for path in old.parent.iterdir() if path.name.endswith(".part")] == []


_AS_NOBODY = """
import asyncio, os, queue, sys
import aiosqlite, anyio.to_thread, anyio._backends._asyncio
from converge.stores import SQLiteStore
os.setgid(65534), os.setuid(65534)
try:
    asyncio.run(SQLiteStore(sys.argv[1]).open())
except Exception as error:
    print(type(error).__name__, error)
"""


def test_in_a_folder_that_cannot_be_written_nothing_is_changed(old: Path):
    """Root may write everywhere, so another process tries it as nobody; others try it as they are."""
    before, script = content(old), _AS_NOBODY
    if os.geteuid():
        script = script.replace("os.setgid(65534), os.setuid(65534)\n", "")
    else:
        for place in (old, old.parent):
            os.chown(place, 65534, 65534)
        for folder in takewhile(lambda folder: folder != Path(gettempdir()), old.parents):
            folder.chmod(0o711)
    old.parent.chmod(0o500)
    try:
        ran = subprocess.run(
            [sys.executable, "-c", script, str(old)], capture_output=True, text=True, env=_PATHS, check=True
        )
    finally:
        old.parent.chmod(0o700)
    assert ran.stdout.startswith("StoreUnavailable"), ran.stdout + ran.stderr
    assert "writable" in ran.stdout
    assert content(old) == before


_PATHS = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"}


# --- all or nothing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", range(1, 30, 4))
@pytest.mark.asyncio
async def test_a_migration_that_fails_in_the_middle_leaves_the_file_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch, after: int
):
    """After any of its statements; the next one that opens the file brings it forward."""
    before = content(old)
    monkeypatch.setattr("converge_stores.sqlite.preparing.MIGRATIONS", (*MIGRATIONS[:1], _failing(after)))
    with pytest.raises(RuntimeError, match="in the middle"):
        await opened(old)
    assert content(old) == before
    monkeypatch.undo()
    assert digests(await office([]).with_store(SQLiteStore(old)).resume("whole")) == WHOLE


def _failing(after: int) -> Callable[[sqlite3.Connection], None]:
    class Failing:
        """A connection that fails at one of its statements."""

        def __init__(self, connection: sqlite3.Connection) -> None:
            self.connection, self.left = connection, after

        def execute(self, *query):
            self.left -= 1
            if not self.left:
                raise RuntimeError("in the middle")
            return self.connection.execute(*query)

    def migrate(connection: Any) -> None:
        MIGRATIONS[1](Failing(connection))  # type: ignore[arg-type]
        raise RuntimeError("in the middle, or at its end")

    return migrate


_KILLED = """
import asyncio, os, signal, sys
from converge_stores.sqlite import preparing, schema
whole = schema.MIGRATIONS[1]
def cut(connection):
    whole(connection)
    os.kill(os.getpid(), signal.SIGKILL)
preparing.MIGRATIONS = (*schema.MIGRATIONS[:1], cut)
asyncio.run(__import__("converge.stores", fromlist=["x"]).SQLiteStore(sys.argv[1]).open())
"""


def test_a_process_that_is_killed_before_the_commit_has_changed_nothing(old: Path):
    """The copy is there already; the file is of schema 1 with all its rows."""
    before = content(old)
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(old)], env=_PATHS, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert content(old) == before == content(old.with_name("jobs.db.v1"))
    anyio.run(opened, old)
    assert tables(old)["log"] == 10


_AT_ONCE = """
import asyncio, sys
from converge.stores import SQLiteStore
async def main():
    store = SQLiteStore(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    await store.open()
    print([job.job_id for job in await store.jobs()])
    await store.close()
asyncio.run(main())
"""


def test_several_processes_that_open_it_at_once_bring_it_forward_once(old: Path):
    """All of them see all jobs, and the copy is of the file as it was."""
    before = content(old)
    command = [sys.executable, "-c", _AT_ONCE, str(old)]
    options: dict[str, Any] = {"env": _PATHS, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    several: list[Any] = [subprocess.Popen(command, **options) for _ in range(4)]
    for one in several:
        assert one.stdout.readline() == "ready\n"
    for one in several:
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in several:
        assert one.communicate()[0] == "['cut', 'whole']\n"
        assert one.returncode == 0
    assert tables(old) == {"leases": 0, "letters": 0, "log": 10, "version": VERSION}
    assert content(old.with_name("jobs.db.v1")) == before


def test_who_finds_the_file_brought_forward_once_it_has_the_lock_makes_no_copy(old: Path):
    """Else it would keep the new file under the name of the old one: it looks again when its turn has come."""
    is_asking = threading.Event()
    with (
        closing(sqlite3.connect(old, isolation_level=None)) as first,
        closing(sqlite3.connect(old, isolation_level=None, check_same_thread=False)) as second,
    ):
        second.set_trace_callback(lambda said: is_asking.set() if said.startswith("BEGIN") else None)
        first.execute("BEGIN IMMEDIATE")
        other = threading.Thread(target=prepare, args=(second, old))
        other.start()
        is_asking.wait()
        MIGRATIONS[1](first)
        first.execute(f"PRAGMA user_version = {VERSION}")
        first.execute("COMMIT")
        other.join()
    assert not old.with_name("jobs.db.v1").exists()
    assert tables(old)["log"] == 10


# --- files that others have, or that are not to be touched -----------------------------------------------------------


@pytest.mark.asyncio
async def test_a_file_that_another_process_is_writing_is_left_as_it_is(old: Path, monkeypatch: pytest.MonkeyPatch):
    """The sentence says to try again."""
    before = content(old)
    monkeypatch.setattr(SQLiteStore, "_connect", _impatient)
    with closing(sqlite3.connect(old, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match=r"another process keeps it locked.*try again"):
            await opened(old)
        writer.execute("ROLLBACK")
    assert content(old) == before


def _impatient(store: SQLiteStore) -> sqlite3.Connection:
    return sqlite3.connect(store.path, isolation_level=None, check_same_thread=False, timeout=0)


@pytest.mark.asyncio
async def test_who_still_has_the_old_file_open_is_refused_and_harms_nothing(old: Path):
    """Its table is gone, so what it would write is an error there and nothing here."""
    with closing(sqlite3.connect(old, isolation_level=None)) as earlier:
        assert earlier.execute("SELECT count(*) FROM cycles").fetchone() == (10,)
        assert digests(await office([]).with_store(SQLiteStore(old)).resume("whole")) == WHOLE
        with pytest.raises(sqlite3.OperationalError, match="no such table: cycles"):
            earlier.execute("INSERT INTO cycles VALUES ('whole', 6, 0, 0, 0, NULL, '', '{}')")
    assert tables(old)["log"] == 10


def test_a_newer_schema_is_left_alone_to_the_byte(old: Path):
    """No copy is made of it, and nothing beside it."""
    anyio.run(opened, old)
    old.with_name("jobs.db.v1").unlink()
    with closing(sqlite3.connect(old, isolation_level=None)) as newer:
        newer.execute(f"PRAGMA user_version = {VERSION + 1}")
        newer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = old.read_bytes()
    with pytest.raises(StoreTooNew, match="upgrade converge-runtime"):
        anyio.run(opened, old)
    assert old.read_bytes() == before
    assert [path.name for path in old.parent.iterdir()] == ["jobs.db"]


def test_a_new_file_and_one_that_was_brought_forward_have_the_same_tables(tmp_path: Path, old: Path):
    """There is one way to make them."""
    new = tmp_path / "new.db"
    anyio.run(opened, new)
    anyio.run(opened, old)
    made = [_schema(path) for path in (new, old)]
    assert made[0] == made[1] != []
    assert not new.with_name("new.db.v1").exists()


def _schema(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        return reader.execute("SELECT name, sql FROM sqlite_master ORDER BY 1").fetchall()
