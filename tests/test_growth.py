"""A checkpoint costs what changed: the bytes, statements and work of a cycle do not grow with the job.

Nothing is timed here, it is counted; `benchmarks/cases/growth.py` times such jobs, and larger ones.
"""

import cProfile
import gc
import pstats
import sqlite3
import tracemalloc
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from converge import Budget, Engine, Fact, Outcome, RootIntent, View, agent
from converge.fact import identified, remember
from converge.ports import StoredJob
from converge.restore import restore
from converge.stores import SQLiteStore

UNBOUNDED = Budget(rounds=10**9, facts=10**9, activations=10**9, seconds=3_600)


class Step(Fact, policy="many"):
    n: int
    text: str


class Seen(Fact, policy="many"):
    n: int


def walker(upto: int):
    @agent(reads=Step, writes=Step, name="walk")
    def walk(view: View):
        return [Step(s.n + 1, f"{s.n + 1:01000}").because(s) for s in view.new(Step) if s.n < upto]

    return walk


@agent(reads=Step, writes=Seen)
def see(view: View):
    return [Seen(step.n).because(step) for step in view.new(Step)]


async def walked(path: Path, cycles: int) -> Outcome:
    """Run a job that adds a fact of a kilobyte in each of so many cycles."""
    return await Engine([walker(cycles)], store=SQLiteStore(path)).run(RootIntent("go", budget=UNBOUNDED), Step(0, ""))


@pytest.mark.asyncio
async def test_a_cycle_takes_the_same_room_in_a_file_however_many_there_were(tmp_path):
    """And the file is less than twice its facts."""
    sizes = []
    for cycles in (250, 1_000, 2_000):
        path = tmp_path / f"{cycles}.db"
        outcome = await walked(path, cycles)
        raw = sum(len(identified(fact)[2]) for fact in outcome.context.all(Step))
        assert path.stat().st_size < 2 * raw
        sizes.append(path.stat().st_size / cycles)
    assert max(sizes) < 1.2 * min(sizes)


def test_a_cycle_is_the_same_work_however_many_there_were(tmp_path):
    """Calls of functions, counted."""

    def calls(cycles: int) -> float:
        with cProfile.Profile() as profile:
            anyio.run(walked, tmp_path / f"{cycles}.db", cycles)
        return pstats.Stats(profile).total_calls / cycles  # type: ignore[attr-defined, no-any-return]

    calls(50)  # what is done once
    assert calls(1_200) < 1.1 * calls(300)


@pytest.mark.asyncio
async def test_a_cycle_is_one_statement(tmp_path, monkeypatch):
    """Besides those of opening, leasing and looking for letters."""
    said: list[str] = []

    def connect(store: SQLiteStore) -> sqlite3.Connection:
        connection = plain(store)
        connection.set_trace_callback(said.append)
        return connection

    plain = SQLiteStore._connect
    monkeypatch.setattr(SQLiteStore, "_connect", connect)
    outcome = await walked(tmp_path / "jobs.db", 100)
    appended = [statement for statement in said if statement.strip().startswith("INSERT INTO log (")]
    assert len(appended) == outcome.cycles - 1  # the end comes with the last one
    others = [s for s in said if not s.strip().startswith(("INSERT INTO log (", "PRAGMA", "CREATE", "SELECT"))]
    assert len(others) < 12


def test_a_job_in_memory_is_less_than_three_times_its_facts(tmp_path):
    """With all indexes, supports and rounds; measured against the same facts alone, with their ids."""
    facts = [Step(n, f"word {n}") for n in range(20_000)]
    engine = Engine([see], store=SQLiteStore(tmp_path / "jobs.db"))
    anyio.run(engine.run, RootIntent("see", budget=UNBOUNDED), facts)
    stored = anyio.run(the_only_job, SQLiteStore(tmp_path / "jobs.db"))
    whole, snapshot = measured(lambda: restore(stored, engine.kinds))
    bodies = [(fact.__class__.__name__, *identified(fact)[1:]) for fact in snapshot.context.facts[1:]]
    alone, _ = measured(lambda: [bare(engine, *one) for one in bodies])
    assert len(bodies) == 40_000
    assert whole < 3 * alone


async def the_only_job(store: SQLiteStore) -> StoredJob:
    await store.open()
    try:
        return await store.load((await store.jobs())[0].job_id)
    finally:
        await store.close()


def measured(make):
    """Return how much memory what is made keeps, and it."""
    gc.collect()
    tracemalloc.start()
    try:
        made = make()
        gc.collect()
        return tracemalloc.get_traced_memory()[0], made
    finally:
        tracemalloc.stop()


def bare(engine: Engine, kind: str, fact_id: str, body: bytes) -> Fact:
    from pydantic_core import from_json

    fact = engine.kinds[kind].load(from_json(body))
    remember(fact, f"{fact_id} "[:-1])
    return fact  # type: ignore[no-any-return]


@pytest.mark.asyncio
async def test_a_fact_may_hold_a_megabyte(tmp_path):
    """It comes back as it was."""
    engine = Engine([see], store=SQLiteStore(tmp_path / "jobs.db"))
    first = await engine.run("see", Step(1, "ü" * 500_000))
    again = await engine.resume(first.job_id)
    assert again.context.all(Step)[0].text == "ü" * 500_000


@pytest.mark.asyncio
async def test_a_reader_with_plain_sqlite3_sees_a_running_job_and_holds_nobody_up(tmp_path):
    """A read-only transaction stays open while the job commits; its views show facts, supports, captures and jobs."""
    path, counts = tmp_path / "jobs.db", list[int]()

    @agent(reads=Step, writes=Seen)
    async def look(view: View):
        for step in view.new(Step):
            told = await view.capture("ask", str.upper, step.text)
            if not counts:
                counts.extend(count(reader, table) for table in ("jobs", "facts", "supports", "captures"))
            yield Seen(len(told)).because(step)

    async with Engine([walker(20), look], store=SQLiteStore(path)) as engine:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            outcome = await engine.run("look", Step(0, ""), job_id="seen")
            assert outcome.converged
            jobs, facts, supports, captures = counts  # the first cycle may be kept together with the first answer
            assert (jobs, captures) == (1, 1)
            assert facts == supports < len(outcome.context.facts()) - 1
            assert count(reader, "facts") == facts, "a transaction sees what it saw"
            reader.execute("COMMIT")
            assert count(reader, "facts") == len(outcome.context.facts()) - 1
            told = "SELECT agent, name, answer FROM captures ORDER BY number LIMIT 1"
            assert reader.execute(told).fetchone() == ("look", "ask", '""')


def count(reader: sqlite3.Connection, table: str) -> int:
    return int(reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
