"""What is done beside a running job changes nothing of it: it ends as it would have, with the rows it would have had.

Whoever looks into a job that runs, ceases to, or is refused, is not noticed; what is given to it arrives once. On every
store, and by way of the engine, of another one, of another store object and of another process.
"""

import asyncio
import dataclasses
import os
import re
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from converge import Budget, Engine, Fact, Job, Live, Outcome, View, agent, id_of
from converge.archive.audit import audit
from converge.archive.portable import export_job, import_job, read_job
from converge.archive.pruning import prune
from converge.archive.timeline import timeline
from converge.chain import JobHeader, StoredRow
from converge.errors import (
    ConvergeError,
    CycleUnknown,
    EngineBusy,
    JobExists,
    JobLeased,
    JobUnknown,
    JobUnsettled,
    LeaseLost,
    RequestUnknown,
)
from converge.inspector import event_stream
from converge.ports import Holder, Lease, Store
from converge.restore import given_to, restore
from converge.stores import MemoryStore, PostgresStore, SQLiteStore
from converge.testing import StoredText
from converge.trace import FactsArrived
from tests.inspecting import client
from tests.timing import JOBS

MakeStore = Callable[[], Store]
Act = Callable[[Engine, Job], Coroutine[Any, Any, None]]


class Clause(Fact):
    n: int


class Remark(Fact):
    n: int


class Opinion(Fact):
    n: int


class Count(Fact):
    opinions: int
    remarks: int


async def turns(number: int) -> None:
    """Return after so many turns of the event loop."""
    for _ in range(number):
        await anyio.lowlevel.checkpoint()


async def model(n: int) -> str:
    """Take its time and answer."""
    await turns(3)
    return str(n)


@agent(reads=Clause, writes=Opinion)
async def lawyer(view: View):
    for clause in view.new(Clause):
        yield Opinion(int(await view.capture("ask", model, clause.n))).because(clause)


@agent(reads=Opinion, writes=Clause)
async def drafter(view: View):
    await turns(1)
    for opinion in view.new(Opinion):
        if opinion.n % 10 < 4:
            yield Clause(opinion.n + 1).because(opinion)


@agent(reads=Remark, writes=Remark)
async def talker(view: View):
    await turns(2)
    for remark in view.new(Remark):
        if remark.n % 10 < 4:
            yield Remark(remark.n + 1).because(remark)


@agent(reads=Remark, writes=Opinion)
async def listener(view: View):
    for remark in view.new(Remark):
        yield Opinion(int(await view.capture("ask", model, remark.n)) + 1_009).because(remark)


@agent(reads=[Live(Opinion), Live(Remark)], writes=Count, when="settled")
async def clerk(view: View):
    await turns(1)
    yield Count(view.count(Opinion), view.count(Remark))


AGENTS = (lawyer, drafter, talker, listener, clerk)
BEGUN_WITH: dict[str, list[Fact]] = {
    "line": [Clause(0)],  # one agent at a time is at work, so that there is one way to put it in rows
    "team": [Clause(1), Clause(11), Remark(1), Remark(22)],
    "pair": [Clause(32), Remark(32)],
}


def engine_over(store: Store) -> Engine:
    return Engine(AGENTS, store=store)


@pytest.fixture(params=["memory", "process", "power", "postgres"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStore:
    """What makes a store over one and the same place; in memory it is one store."""
    if request.param == "memory":
        store = MemoryStore(keep=1_000)
        return lambda: store
    if request.param == "postgres":
        database = request.getfixturevalue("database")
        return partial(PostgresStore, database.url, schema=database.schema())
    return partial(SQLiteStore, str(tmp_path / "jobs.db"), request.param)


# --- what is looked at -----------------------------------------------------------------------------------------------


class Account(NamedTuple):
    """What a job came to, but for times."""

    stop: str
    digests: tuple[str, str, str]
    rounds: dict[str, int]
    spend: dict[str, Any]
    rows: list[tuple[Any, ...]] | None


async def account(store: Store, outcome: Outcome) -> Account:
    """Return it; the rows where there is one way to put the job in rows: else what shares one is timing."""
    context = outcome.position.context
    rounds = {id_of(fact): round for fact, round in zip(context.facts, context.rounds, strict=True)}
    spend = outcome.spend._asdict() | {"seconds": 0}
    is_one_way = outcome.job_id.startswith("line") or not store.durable
    rows = [timeless(row, outcome.job_id) for row in await store.rows(outcome.job_id)] if is_one_way else None
    return Account(str(outcome.stop), (outcome.digest, outcome.live_digest, outcome.proof_digest), rounds, spend, rows)


def timeless(row: StoredRow, job_id: str) -> tuple[Any, ...]:
    """Return a row without times, which are all its fractions, its job's id, and what follows from them."""
    body = re.sub(r"\d+\.\d+(e-\d+)?", "t", row.body.replace(job_id, "job"))
    return (row.number, row.cycle, row.round, row.facts, row.stop, body)


@pytest.fixture
def left_alone(made: MakeStore) -> dict[str, Account]:
    """What each job comes to that is left alone, in the place where others will not be."""
    return asyncio.run(alone(made()))


async def alone(store: Store) -> dict[str, Account]:
    async with engine_over(store) as engine:
        outcomes = {name: await engine.run("a law", BEGUN_WITH[name], job_id=f"{name}-alone") for name in BEGUN_WITH}
        return {name: await account(store, outcome) for name, outcome in outcomes.items()}


# --- what is done beside them ----------------------------------------------------------------------------------------


async def explained(engine: Engine, job: Job) -> None:
    (await engine.explained(job.job_id)).view.live_digest()


async def explained_as_it_was(engine: Engine, job: Job) -> None:
    assert len((await engine.explained(job.job_id, 1)).view.facts()) >= len(BEGUN_WITH[job.job_id[:4]])


async def known(engine: Engine, job: Job) -> None:
    if not await engine.knows(job.job_id, "a law", BEGUN_WITH[job.job_id[:4]]):
        raise JobUnknown(job.job_id, "here", [])


async def loaded(engine: Engine, job: Job) -> None:
    await engine.store.load(job.job_id)


async def read_on(engine: Engine, job: Job) -> None:
    rows = await engine.store.rows(job.job_id)
    later = await engine.store.rows(job.job_id, rows[-1].number)
    assert [row.number for row in (*rows, *later)] == [*range(len(rows) + len(later))]


async def listed(engine: Engine, job: Job) -> None:
    await engine.store.jobs()
    await engine.store.mentioned()


async def asked_of_its_lease(engine: Engine, job: Job) -> None:
    await engine.store.holder(job.job_id, engine.clock.now())
    assert (await engine.store.anchor(job.job_id))[0] >= 0
    assert not await engine.store.letters(job.job_id, 0)


async def audited(engine: Engine, job: Job) -> None:
    assert (await audit(engine.store, job.job_id)).sound


async def exported(engine: Engine, job: Job) -> None:
    assert read_job(await export_job(engine.store, job.job_id), "a file").job_id == job.job_id
    await timeline(engine.store, job.job_id)


async def decided_in_vain(engine: Engine, job: Job) -> None:
    with pytest.raises(RequestUnknown):
        await engine.decide(job.job_id, "0123456789", "approve", by="ada")


async def streamed(engine: Engine, job: Job) -> None:
    await several(event_stream(engine.store, job.job_id, "", anyio.lowlevel.checkpoint), 20)


async def followed(engine: Engine, job: Job) -> None:
    await several(job.events(), 6)


async def inspected(engine: Engine, job: Job) -> None:
    async with client(engine.store) as browser:
        for page in ("/", f"/jobs/{job.job_id}", f"/jobs/{job.job_id}/live"):
            answer = await browser.get(page)
            if answer.status_code == 404:
                raise JobUnknown(job.job_id, page, [])
            assert answer.status_code == 200, answer.text


async def several(iterator: Any, most: int) -> None:
    async with aclosing(iterator):
        number = 0
        async for _ in iterator:
            number += 1
            if number == most:
                return


READS: dict[str, Act] = {
    act.__name__: act
    for act in (
        explained,
        explained_as_it_was,
        known,
        loaded,
        read_on,
        listed,
        asked_of_its_lease,
        audited,
        exported,
        decided_in_vain,
        streamed,
        followed,
        inspected,
    )
}


class Deed(NamedTuple):
    """What one of those beside the jobs does next, to which, after how many turns, and when that is broken off."""

    act: str
    job: str
    elsewhere: bool  # by way of another engine and another store object
    after: int
    cut: int | None
    natively: bool  # by asyncio itself, which knows of no shields


deeds = st.builds(
    Deed,
    st.sampled_from([*READS]),
    st.sampled_from([*BEGUN_WITH]),
    st.booleans(),
    st.integers(0, 3),
    st.none() | st.integers(0, 6),
    st.booleans(),
)
crowds = st.lists(st.lists(deeds, min_size=2, max_size=6), min_size=1, max_size=3)


async def cut_off(work: Coroutine[Any, Any, None], deed: Deed) -> None:
    """Have something done, or begun and left."""
    if deed.cut is None:
        await work
    elif deed.natively:
        task = asyncio.ensure_future(work)
        await turns(deed.cut)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    else:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: work)
            await turns(deed.cut)
            tasks.cancel_scope.cancel()


async def keep_doing(script: Sequence[Deed], engines: tuple[Engine, Engine], jobs: dict[str, Job], kept: set[str]):
    """Do one thing after the other, and again, until cancelled."""
    while True:
        for deed in script:
            await turns(deed.after + 1)
            await cut_off(_done(deed, engines[deed.elsewhere], jobs[deed.job], is_kept=deed.job in kept), deed)


async def _done(deed: Deed, engine: Engine, job: Job, *, is_kept: bool) -> None:
    with suppress(*[] if is_kept else [JobUnknown]):
        await READS[deed.act](engine, job)


async def beside(made: MakeStore, crowd: Sequence[Sequence[Deed]], suffix: str) -> dict[str, Account]:
    """Run all jobs at once, each in view of a crowd, and return what they came to."""
    kept: set[str] = set()
    store = made()
    async with engine_over(store) as engine, engine_over(made()) as other, AsyncExitStack() as entered:
        jobs = {name: engine.start("a law", facts, job_id=f"{name}-{suffix}") for name, facts in BEGUN_WITH.items()}
        for job in jobs.values():
            await entered.enter_async_context(job)
        async with anyio.create_task_group() as readers:
            for script in crowd:
                readers.start_soon(keep_doing, script, (engine, other), jobs, kept)
            for name, job in jobs.items():
                await job.is_kept()
                kept.add(name)
            outcomes = {name: await job.outcome() for name, job in jobs.items()}
            readers.cancel_scope.cancel()
        for job in jobs.values():
            assert (await audit(store, job.job_id)).sound
        return {name: await account(store, outcome) for name, outcome in outcomes.items()}


suffixes = count()
in_one_place = settings(
    max_examples=JOBS // 25,
    derandomize=True,
    phases=[Phase.generate],  # what fails is a matter of moments, so that smaller ones would be looked for in vain
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(crowds)
@in_one_place
def test_who_looks_on_changes_nothing(made: MakeStore, left_alone: dict[str, Account], crowd: list[list[Deed]]):
    """Whatever is read, whenever, and wherever the reading is broken off."""
    assert asyncio.run(beside(made, crowd, str(next(suffixes)))) == left_alone


# --- what is refused while a job runs --------------------------------------------------------------------------------


class Held:
    """A job that is at work until it is told to go on."""

    def __init__(self) -> None:
        self.asked, self.told = asyncio.Event(), asyncio.Event()

    async def ask(self, n: int) -> str:
        self.asked.set()
        await self.told.wait()
        return str(n)

    def engine(self, store: Store) -> Engine:
        """Return an engine over a store, of which one agent waits."""

        @agent(reads=Clause, writes=Opinion, name="lawyer")
        async def waiting(view: View):
            for clause in view.new(Clause):
                yield Opinion(int(await view.capture("ask", self.ask, clause.n))).because(clause)

        return Engine((waiting, drafter, talker, listener, clerk), store=store)


Refused = Callable[[Engine, Outcome], Coroutine[Any, Any, object]]
Errors = type[ConvergeError] | tuple[type[ConvergeError], ...]
ONE = "line-one"
TOO_LATE = Holder("nobody", "host", "place", 1, "")


async def append_late(engine: Engine, was: Outcome) -> None:
    """Write under an earlier lease than the one there is, what would be the next row."""
    last = (await engine.store.rows(ONE))[-1].number
    await engine.store.append(Lease(ONE, TOO_LATE, 0, 0.0), last, [StoredText(None)])


async def take(engine: Engine, was: Outcome) -> None:
    now = engine.clock.now()
    await engine.store.take(ONE, TOO_LATE, now, now + 9, over="somebody")


async def create_again(engine: Engine, was: Outcome) -> None:
    await engine.store.create(Lease(ONE, TOO_LATE, 0, 0.0), JobHeader(ONE, 0.0, "{}"), [StoredText(1)])


async def adopt(engine: Engine, was: Outcome) -> None:
    await import_job(engine.store, read_job(await export_job(engine.store, ONE), "a file"))


async def prune_all(engine: Engine, was: Outcome) -> None:
    await prune(engine.store, 0.0, engine.clock.now() + 1, unfinished=True)
    await engine.store.load(ONE)
    raise JobLeased(ONE, TOO_LATE, 0.0)


HERE: dict[str, tuple[Errors, Refused]] = {
    "resume": (EngineBusy, lambda engine, was: engine.resume(ONE)),
    "restart": (EngineBusy, lambda engine, was: engine.restart(ONE)),
    "start": (EngineBusy, lambda engine, was: engine.run("a law", job_id=ONE)),
    "verify": (EngineBusy, lambda engine, was: engine.verify(ONE)),
    "certify": (EngineBusy, lambda engine, was: engine.certify(was)),
    "fork": (EngineBusy, lambda engine, was: engine.fork(ONE, new_id=ONE)),
}
ELSEWHERE: dict[str, tuple[Errors, Refused]] = {
    "resume": (JobLeased, lambda engine, was: engine.resume(ONE, [Clause(7)])),
    "restart": (JobLeased, lambda engine, was: engine.restart(ONE, captures="fresh")),
    "start": (JobExists, lambda engine, was: engine.run("a law", job_id=ONE)),
    "verify": (JobUnsettled, lambda engine, was: engine.verify(ONE)),
    "certify": (CycleUnknown, lambda engine, was: engine.certify(was)),
    "fork": (JobExists, lambda engine, was: engine.fork(ONE, new_id=ONE)),
    "remove": (JobLeased, lambda engine, was: engine.store.remove(ONE, engine.clock.now())),
    "prune": (JobLeased, prune_all),
    "take": (JobLeased, take),
    "create": ((JobExists, LeaseLost), create_again),
    "adopt": (JobExists, adopt),
    "append": (LeaseLost, append_late),
}


@pytest.mark.asyncio
async def test_what_is_refused_while_a_job_runs_is_refused_by_name_and_changes_nothing(made: MakeStore):
    """By the engine that runs it, by another one over the same store, and by way of another store object."""
    held, store = Held(), made()
    async with engine_over(store) as engine:
        quiet = await engine.run("a law", BEGUN_WITH["line"], job_id="line")
        expected = await account(store, quiet)
    async with held.engine(store) as engine, engine_over(store) as other, engine_over(made()) as third:
        async with engine.start("a law", BEGUN_WITH["line"], job_id=ONE) as job:
            await held.asked.wait()
            before = await engine.store.rows(ONE)
            for asked, refusals in ((engine, HERE), (other, ELSEWHERE), (third, ELSEWHERE)):
                for error, act in refusals.values():
                    with pytest.raises(error):
                        await act(asked, dataclasses.replace(quiet, job_id=ONE))
            assert await engine.store.rows(ONE) == before
            held.told.set()
            outcome = await job.outcome()
        assert (await audit(store, ONE)).sound
        assert await account(store, outcome) == expected
        assert {row.epoch for row in await store.rows(ONE)} == {0, 1}


# --- another process -------------------------------------------------------------------------------------------------

LOOK = """
import asyncio, sys
from contextlib import suppress
from converge.archive.audit import audit
from converge.archive.explaining import explained
from converge.archive.portable import export_job, read_job
from converge.errors import JobUnknown
from converge.stores import PostgresStore, SQLiteStore

async def main(store, job_id):
    await store.open()
    while True:
        await store.jobs()
        await store.holder(job_id, 0.0)
        with suppress(JobUnknown):
            read_job(await export_job(store, job_id), "a file")
            assert (await audit(store, job_id)).sound
            (await explained(store, job_id)).view.live_digest()
        print("looked", flush=True)

asyncio.run(main(eval(sys.argv[1]), sys.argv[2]))
"""


@pytest.mark.asyncio
@pytest.mark.parametrize("made", ["process", "power", "postgres"], indirect=True)
async def test_another_process_that_looks_on_changes_nothing(made: partial[Store]):
    """It looks all the time, and each answer of the model waits for a look."""
    told = f"{made.func.__name__}(*{made.args!r}, **{made.keywords!r})"
    expected = (await alone(made()))["line"]
    command, place = [sys.executable, "-c", LOOK, told, ONE], {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    async with await anyio.open_process(command, env=place, stderr=None) as process:
        assert process.stdout is not None
        looks = BufferedByteReceiveStream(process.stdout)

        async def seen(n: int) -> str:
            for _ in range(2):
                assert await looks.receive_until(b"\n", 100) == b"looked"
            return str(n)

        held = Held()
        held.ask = seen  # type: ignore[method-assign]
        async with held.engine(made()) as engine:
            outcome = await engine.run("a law", BEGUN_WITH["line"], job_id=ONE)
            assert process.returncode is None
            process.terminate()
            assert await account(engine.store, outcome) == expected
            assert (await audit(engine.store, ONE)).sound


# --- what is written beside them -------------------------------------------------------------------------------------


class Wish(NamedTuple):
    """What somebody wants of a job next, after how many turns; `n` is a fact's, or a number of rounds."""

    what: Literal["begin", "give", "cancel", "abandon", "resume", "fork"]
    job: str
    n: int
    elsewhere: bool
    after: int


wishes = st.builds(
    Wish,
    st.sampled_from(["begin", "begin", "give", "give", "give", "cancel", "abandon", "resume", "resume", "fork"]),
    st.sampled_from("abc"),
    st.integers(0, 99),
    st.booleans(),
    st.integers(0, 12),
)
REFUSED = (EngineBusy, JobExists, JobLeased, JobUnknown)


class Office:
    """Does what several want of the same jobs at once, and notes what each job was given."""

    def __init__(self, engines: tuple[Engine, Engine], suffix: str, tasks: TaskGroup) -> None:
        self.engines, self.tasks = engines, tasks
        self.suffix = suffix
        self.given: dict[str, set[Fact]] = {}
        self.running: dict[str, tuple[Job, anyio.CancelScope]] = {}

    async def serve(self, wanted: Sequence[Wish]) -> None:
        for wish in wanted:
            await turns(wish.after)
            job_id, engine = f"{wish.job}-{self.suffix}", self.engines[wish.elsewhere]
            if wish.what == "give":
                await self._give(engine, job_id, Clause(wish.n * 10 + 2))
            elif wish.what in ("cancel", "abandon"):
                self._stop(job_id, at_once=wish.what == "abandon")
            else:
                self.tasks.start_soon(self._run, *self._job(wish, engine, job_id))

    async def _give(self, engine: Engine, job_id: str, fact: Fact) -> None:
        with suppress(JobUnknown):
            await engine.give(job_id, fact)
            self.given.setdefault(job_id, set()).add(fact)

    def _stop(self, job_id: str, *, at_once: bool) -> None:
        if job_id in self.running:
            job, scope = self.running[job_id]
            scope.cancel() if at_once else job.cancel()

    def _job(self, wish: Wish, engine: Engine, job_id: str) -> tuple[Job, Fact]:
        fact = Remark(wish.n * 10 + 3)
        if wish.what == "begin":
            return engine.start("a law", [fact], job_id=job_id), fact
        if wish.what == "resume":
            return engine.reopen(job_id, [fact], budget={"rounds": wish.n}), fact
        return engine.branch(job_id, facts=[fact], new_id=f"{job_id}-{wish.n}"), fact

    async def _run(self, job: Job, fact: Fact) -> None:
        with anyio.CancelScope() as scope, suppress(*REFUSED):
            async with job:
                await job.standing()  # from now on it has its lease
                self.running[job.job_id] = job, scope
                await job.outcome()
                self.given.setdefault(job.job_id, set()).add(fact)


async def served(made: MakeStore, wanted: Sequence[Sequence[Wish]], suffix: str) -> None:
    """Do it all, and look at what has become of each job."""
    store = made()
    async with engine_over(store) as engine, engine_over(made()) as other:
        async with anyio.create_task_group() as tasks:
            office = Office((engine, other), suffix, tasks)
            for one in wanted:
                tasks.start_soon(office.serve, one)
        kept = {job.job_id: job for job in await store.jobs() if suffix in job.job_id.split("-")}
        assert not any(job.lease for job in kept.values())
        assert office.given.keys() <= kept.keys()
        for job_id in kept:
            outcome = await engine.resume(job_id, budget=Budget())
            if job_id[2:] == suffix:  # the trace of a copy tells of what came to its origin, too
                letters = [event.letter for event in outcome.trace if isinstance(event, FactsArrived)]
                assert letters == [letter.number for letter in await store.letters(job_id, 0)]
            stored = await store.load(job_id)
            premises = given_to(stored, engine.kinds, restore(stored, None))
            assert office.given.get(job_id, set()) <= {*premises}
            alone = await engine_over(MemoryStore()).run("a law", premises)
            assert (str(outcome.stop), outcome.live_digest) == (str(alone.stop), alone.live_digest)
            assert (await audit(store, job_id)).sound


@given(st.lists(st.lists(wishes, min_size=1, max_size=6), min_size=2, max_size=4))
@in_one_place
def test_whatever_several_want_of_the_same_jobs_at_once_nothing_is_lost(made: MakeStore, wanted: list[list[Wish]]):
    """Jobs are begun, stopped, gone on with, copied and given facts, by two engines."""
    asyncio.run(served(made, wanted, str(next(suffixes))))
