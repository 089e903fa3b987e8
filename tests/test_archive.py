"""Stored jobs as such: the file of one job, what may be thrown away, and how a job came to be what it is."""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from converge import Budget, Engine, Fact, Outcome, RootIntent, View, agent
from converge.archive.portable import export_job, import_job, read_job
from converge.archive.pruning import prune
from converge.archive.timeline import timeline
from converge.chain import JobHeader, rechained
from converge.clock import SystemClock
from converge.errors import JobExists, JobFileInvalid, JobUnknown, KindUnknown, StoreUnavailable
from converge.lease import this_process
from converge.ports import JobSummary, Store
from converge_stores.memory import MemoryStore
from converge_stores.sqlite import SQLiteStore
from tests.archives import BEGAN

DAY = 86_400.0


class Number(Fact):
    value: int


class Double(Fact):
    value: int


class Unknown(Fact):
    """No agent reads or writes it."""


answered: list[int] = []


async def answer(value: int) -> int:
    """Stand for somebody outside."""
    answered.append(value)
    return 2 * value


@agent(reads=Number, writes=Double)
async def double(view: View) -> object:
    """Double what is new."""
    return [Double(await view.capture("ä", answer, number.value)).because(number) for number in view.new(Number)]


class Still(SystemClock):
    """A clock whose date stands still."""

    def __init__(self, at: float = BEGAN) -> None:
        self.at = at

    def now(self) -> float:
        """Return the one date there is."""
        return self.at


async def ran(store: Store, job_id: str, at: float = BEGAN, budget: Budget | None = None) -> Outcome:
    """Run a job at some date."""
    engine = Engine([double], store=store, clock=Still(at))
    return await engine.run(RootIntent("double", budget=budget or Budget()), [Number(1), Number(2)], job_id=job_id)


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    """Hold a store open."""
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def exported(store: Store, job_id: str = "one") -> list[str]:
    """Return a job's file as lines."""
    async with opened(store):
        return await export_job(store, job_id)


def digests(outcome: Outcome) -> tuple[str, str, str]:
    """Return what two outcomes must share to be the same."""
    return outcome.digest, outcome.live_digest, outcome.proof_digest


# --- a job as a file ----------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("make", [MemoryStore, None])
async def test_a_job_goes_on_in_another_store_as_it_would_have_in_its_own(
    tmp_path: Path, make: Callable[[], Store] | None
):
    """Its rows have the same digests, its letter is merged, and nobody is asked again."""
    here, there = SQLiteStore(tmp_path / "here.db"), make() if make else SQLiteStore(tmp_path / "there.db")
    await ran(here, "one")
    await Engine([double], store=here).give("one", Number(3))
    lines = await exported(here)
    async with opened(there):
        await import_job(there, read_job(lines, "one.job"))
    assert await exported(there) == lines
    answered.clear()
    moved = await Engine([double], store=there).resume("one")
    assert answered == [3]
    assert digests(moved) == digests(await Engine([double], store=here).resume("one"))


@pytest.mark.asyncio
async def test_a_job_that_is_there_already_is_left_as_it_is(tmp_path: Path):
    """Importing it again adds no row and no letter."""
    store = SQLiteStore(tmp_path / "jobs.db")
    await ran(store, "one")
    lines = await exported(store)
    async with opened(store):
        with pytest.raises(JobExists):
            await import_job(store, read_job(lines, "one.job"))
    assert await exported(store) == lines


@pytest.mark.asyncio
async def test_a_job_whose_letters_cannot_be_added_is_not_added(tmp_path: Path):
    """All of it or nothing."""

    class Full(SQLiteStore):
        async def give(self, job_id: str, at: float, body: str) -> int:
            raise StoreUnavailable(str(self.path), "the disk is full")

    store, full = SQLiteStore(tmp_path / "jobs.db"), Full(tmp_path / "full.db")
    await ran(store, "one")
    await Engine([double], store=store).give("one", Number(3))
    job = read_job(await exported(store), "one.job")
    async with opened(full):
        with pytest.raises(StoreUnavailable):
            await import_job(full, job)
        assert not await full.jobs()


def refusal(lines: list[str]) -> str:
    """Return why a file is not read."""
    with pytest.raises(JobFileInvalid) as refused:
        read_job(lines, "one.job")
    return str(refused.value).removeprefix("one.job cannot be imported: ")


@pytest.mark.asyncio
async def test_a_file_that_was_cut_anywhere_is_refused():
    """At every line, and within one."""
    store = MemoryStore()
    await ran(store, "one")
    lines = await exported(store)
    for count in range(1, len(lines)):
        assert "it was cut or added to" in refusal(lines[:count])
        assert "it was cut or edited" in refusal([*lines[:count], lines[count][:-9], *lines[count + 1 :]])
    assert "does not begin" in refusal([])
    assert "does not begin" in refusal([lines[0][:-9]])
    assert "it was cut or added to" in refusal([*lines, lines[-1]])


@pytest.mark.asyncio
async def test_a_file_of_which_any_value_was_edited_is_refused():
    """Each value of the first line, of a row and of a letter; the row is named where it is one."""
    store = MemoryStore()
    await ran(store, "one")
    await Engine([double], store=store).give("one", Number(3))
    lines = await exported(store)
    for number, line in enumerate(lines):
        record = json.loads(line)
        for name in record if isinstance(record, dict) else range(len(record)):
            other = type(record)(record)
            other[name] = "1" if record[name] is None else 2 * record[name]
            if other[name] != record[name]:
                assert refusal([*lines[:number], json.dumps(other), *lines[number + 1 :]]), (number, name)
    assert refusal([lines[0], lines[2], lines[1], *lines[3:]]).startswith("row 0: ")


def with_form(line: str, form: int) -> str:
    """Return the first line of a file as another version would write it."""
    return json.dumps(json.loads(line) | {"form": form})


@pytest.mark.asyncio
async def test_a_file_of_a_newer_version_is_refused_with_the_remedy():
    """The form of the file, and that of a row."""
    store, newer = MemoryStore(), MemoryStore()
    await ran(store, "one")
    header, *rows = await store.rows("one")
    rows[1] = rows[1]._replace(body=rows[1].body.replace('"form":3', '"form":4'))
    await newer.adopt("one", rechained(JobHeader("one", header.at, header.body), rows))
    said = "row 2: it has form 4 and this version of Converge reads up to form 3: upgrade converge-runtime"
    assert refusal(await exported(newer)) == said
    lines = await exported(store)
    assert refusal([with_form(lines[0], 2), *lines[1:]]).endswith(
        "it has form 2 and this version of Converge reads form 1: upgrade converge-runtime, or export the job again"
    )


@pytest.mark.parametrize(
    "line",
    ["", "{}", "[]", "null", "7", '{"kind": "Risk", "fact": {}}', "SQLite format 3\0", "[" * 100_000],
    ids=["empty", "object", "list", "null", "number", "fact", "sqlite", "deep"],
)
def test_what_is_no_job_s_file_is_refused(line: str):
    """The sentence says how to make one."""
    assert "converge export" in refusal([line])


# --- throwing away ------------------------------------------------------------------------------------------------


def names(jobs: list[JobSummary]) -> list[str]:
    """Return the ids of jobs."""
    return [job.job_id for job in jobs]


@pytest.mark.asyncio
async def test_a_job_is_thrown_away_when_nothing_has_happened_in_it_for_so_long():
    """By the clock that is passed; exactly so long is long enough."""
    store = MemoryStore()
    await ran(store, "old")
    await ran(store, "new", at=BEGAN + DAY)
    assert names(await prune(store, 30 * DAY, BEGAN + 30 * DAY - 1)) == []
    assert names(await prune(store, 30 * DAY, BEGAN + 30 * DAY)) == ["old"]
    assert names(list(await store.jobs())) == ["new"]


@pytest.mark.asyncio
async def test_a_dry_run_throws_nothing_away():
    """It names what would be."""
    store = MemoryStore()
    await ran(store, "old")
    assert names(await prune(store, DAY, BEGAN + DAY, only_name=True)) == ["old"]
    assert names(list(await store.jobs())) == ["old"]


@pytest.mark.asyncio
async def test_a_job_that_has_not_stopped_is_kept_unless_it_is_asked_for(tmp_path: Path):
    """It may be waiting for whoever resumes it."""
    store = SQLiteStore(tmp_path / "jobs.db")
    await ran(store, "one")
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("DELETE FROM log WHERE stop IS NOT NULL")
    async with opened(store):
        assert names(await prune(store, DAY, BEGAN + DAY)) == []
        assert names(await prune(store, DAY, BEGAN + DAY, unfinished=True)) == ["one"]


@pytest.mark.asyncio
async def test_a_job_that_somebody_runs_is_never_thrown_away():
    """However old it is; once its lease has expired it is as any other."""
    store = MemoryStore()
    await ran(store, "one")
    now = BEGAN + 2 * DAY
    await store.take("one", this_process(), now, now + 30)
    assert names(await prune(store, DAY, now, unfinished=True)) == []
    assert names(await prune(store, DAY, now + 31)) == ["one"]


@pytest.mark.asyncio
async def test_a_job_to_which_facts_were_given_lately_is_kept():
    """A letter that nobody has merged yet would be lost with it."""
    store = MemoryStore()
    await ran(store, "one")
    await Engine([double], store=store, clock=Still(BEGAN + DAY)).give("one", Number(3))
    assert names(await prune(store, DAY, BEGAN + DAY + 1)) == []
    assert names(await prune(store, DAY, BEGAN + 2 * DAY)) == ["one"]


# --- taken up again -----------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_job_that_is_taken_up_says_where_it_stands_before_any_agent_is_called():
    """Its intent with the budget that holds from now on, what it has spent, and its cycles."""
    store = MemoryStore()
    before = await ran(store, "one")
    answered.clear()
    async with Engine([double], store=store).reopen("one", Number(3), budget={"rounds": 50}) as job:
        standing = await job.standing()
        assert not answered
        assert (standing.spend, standing.cycles) == (before.spend, before.cycles)
        assert (standing.intent.objective, standing.intent.budget) == ("double", Budget(rounds=50))
        await job.outcome()


@pytest.mark.asyncio
async def test_whoever_waits_for_where_a_job_stands_learns_that_it_is_not_there():
    """The error is the one that its outcome has."""
    async with Engine([double]).begin_again("one") as job:
        with pytest.raises(JobUnknown):
            await job.standing()


@pytest.mark.asyncio
async def test_a_fork_with_facts_that_nobody_knows_leaves_no_copy():
    """They are looked at before anything is copied."""
    store = MemoryStore()
    await ran(store, "one")
    with pytest.raises(KindUnknown):
        await Engine([double], store=store).fork("one", facts=Unknown(), new_id="two")
    assert names(list(await store.jobs())) == ["one"]


# --- moments ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_each_row_is_a_moment_that_says_what_it_is(tmp_path: Path):
    """Cycles, captures, letters, beginnings anew and copies, under the epochs of their leases."""
    store = SQLiteStore(tmp_path / "jobs.db")
    await ran(store, "one")
    engine = Engine([double], store=store, clock=Still())
    await engine.give("one", Number(3))
    await engine.resume("one")
    await engine.restart("one")
    async with opened(store):
        moments = await timeline(store, "one")
    said = [moment.what for moment in moments if moment.what]
    assert said == ["1 capture", "1 capture", "facts from a letter", "1 capture", "begun anew"]
    assert [moment.number for moment in moments] == list(range(1, len(moments) + 1))
    cycles = [moment.cycle for moment in moments if moment.cycle]
    assert cycles == list(range(1, len(cycles) + 1))
    assert [moment.epoch for moment in moments if moment.stop] == [1, 2, 3]
    assert {moment.at for moment in moments} == {BEGAN}


@pytest.mark.asyncio
async def test_a_copy_says_where_it_comes_from():
    """Job and cycle."""
    store = MemoryStore()
    await ran(store, "one")
    await Engine([double], store=store, clock=Still()).fork("one", 2, new_id="two")
    assert "copied from one, cycle 2" in {moment.what.split(", 1 ")[0] for moment in await timeline(store, "two")}


@pytest.mark.asyncio
@pytest.mark.parametrize("body", ["{broken", "[]", '{"origin": 5}', "\udcff"])
async def test_a_row_that_cannot_be_read_is_a_moment_too(tmp_path: Path, body: str):
    """The others are told as ever."""
    store = SQLiteStore(tmp_path / "jobs.db")
    await ran(store, "one")
    with closing(sqlite3.connect(store.path)) as connection, connection:
        statement = "UPDATE log SET body = CAST(? AS TEXT) WHERE number = 2"
        connection.execute(statement, (body.encode(errors="surrogateescape"),))
    async with opened(store):
        moments = await timeline(store, "one")
    assert moments[1].what.startswith(("unreadable", "a row of another form"))
    assert moments[-1].stop == "fixed_point"
