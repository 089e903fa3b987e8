"""Jobs in a real PostgreSQL: what only a database can do to them, besides the contract that every store keeps."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import psycopg
import pytest

from converge import Engine, Fact, View, agent
from converge.chain import JobHeader
from converge.errors import LeaseLost, StoreForeign, StoreTooNew, StoreUnavailable
from converge.lease import this_process
from converge.ports import Lease
from converge.stores import PostgresStore
from converge.testing import StoredText
from converge_stores.postgres.schema import VERSION
from tests.network import run_apart
from tests.postgres import Postgres, postgres

ROOT = Path(__file__).parents[1]


class Rung(Fact):
    number: int
    height: int


@agent(reads=Rung, writes=Rung)
def climb(view: View):
    """Climb to the tenth, a cycle each."""
    return [Rung(rung.number + 1, rung.height).because(rung) for rung in view.new(Rung) if rung.number < 10]


def ask(database: Postgres, statement: str, *values: Any) -> list[Any]:
    """Say something to the server past the store."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


async def opened(store: PostgresStore) -> None:
    """Open a store, and close it again."""
    await store.open()
    await store.close()


# --- jobs -------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_job_has_the_digests_it_has_in_memory(database):
    """Where it is kept is no part of what is known."""
    here = await Engine([climb]).run("climb", Rung(0, 1))
    there = await Engine([climb], store=database.store()).run("climb", Rung(0, 1))
    assert (there.digest, there.live_digest, there.proof_digest) == (here.digest, here.live_digest, here.proof_digest)


@pytest.mark.asyncio
async def test_any_machine_can_go_on_with_a_job(database):
    """Another store object over the same schema resumes what the first one kept."""
    schema = database.schema()
    first = await Engine([climb], store=database.store(schema=schema)).run("climb", Rung(0, 1))
    later = await Engine([climb], store=database.store(schema=schema)).resume(first.job_id, facts=[Rung(0, 2)])
    assert {rung.height for rung in later.context.live(Rung)} == {1, 2}


@pytest.mark.asyncio
async def test_the_views_show_rows_to_anyone_with_sql(database):
    """Jobs, facts and supports can be read without this library."""
    schema = database.schema()
    outcome = await Engine([climb], store=database.store(schema=schema)).run("climb", Rung(0, 1))
    facts = ask(database, f"SELECT id, round FROM {schema}.facts WHERE id LIKE 'Rung%%' ORDER BY position")
    assert [round_ for _, round_ in facts] == list(range(11))
    authors = ask(
        database, f"SELECT DISTINCT agent FROM {schema}.supports WHERE jsonb_array_length(evidence::jsonb) > 0"
    )
    assert authors == [("climb",)]
    assert ask(database, f"SELECT job_id, objective, stop FROM {schema}.jobs") == [
        (outcome.job_id, "climb", "fixed_point")
    ]
    assert ask(database, f"SELECT * FROM {schema}.captures") == []


def test_event_loops_in_several_threads_share_a_database(database):
    """Each has an engine and a store of its own, which make the tables at the same moment."""
    schema, digests, door = database.schema(), [], threading.Barrier(3)

    def work(height: int) -> None:
        engine = Engine([climb], store=database.store(schema=schema))
        door.wait()
        digests.append(asyncio.run(engine.run("climb", Rung(0, height), job_id=f"job-{height}")).digest)

    threads = [threading.Thread(target=work, args=(height,)) for height in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(digests)) == 3
    assert len(ask(database, f"SELECT job_id FROM {schema}.jobs")) == 3


def test_a_store_is_used_in_one_event_loop_after_the_other(database):
    """What belongs to a loop ends with it."""
    engine = Engine([climb], store=database.store())
    first = asyncio.run(engine.run("climb", Rung(0, 1)))
    assert asyncio.run(engine.resume(first.job_id)).digest == first.digest


# --- the fence --------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_commit_that_meets_a_take_over_is_refused(database):
    """It waits for who takes the lease, and then looks again: a snapshot from before lets nothing through."""
    store = database.store()
    await store.open()
    lease = await store.take("job", this_process(), 0.0, 10.0)
    await store.create(lease, JobHeader("job", 0.0, "{}"), [StoredText(1)])
    async with await psycopg.AsyncConnection.connect(database.url) as other:
        await other.execute(f"UPDATE {store.schema}.leases SET epoch = epoch + 1")
        async with anyio.create_task_group() as group:
            refused = asyncio.create_task(store.append(lease, 1, [StoredText(2)]))
            group.start_soon(until_somebody_waits, database)
        await other.commit()
        with pytest.raises(LeaseLost):
            await refused
    assert len(await store.rows("job")) == 2
    await store.close()


async def until_somebody_waits(database: Postgres) -> None:
    """Return when a statement waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with await psycopg.AsyncConnection.connect(database.url, autocommit=True) as connection:
        while (await (await connection.execute(waiting)).fetchone()) == (0,):
            await anyio.lowlevel.checkpoint()


@pytest.mark.asyncio
@pytest.mark.parametrize("natively", [False, True], ids=["by a scope", "natively"])
async def test_who_stops_reading_costs_no_connection(database, natively):
    """Wherever they stop: who has a job to commit would wait for another one, or for ever."""
    store = database.store(connections=4, patience=2.0)

    async def stop_after(turns: int) -> None:
        async with anyio.create_task_group() as tasks:
            if natively:
                reading = asyncio.ensure_future(store.load("one"))
            else:
                tasks.start_soon(store.load, "one")
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            if natively:
                reading.cancel()
                await asyncio.wait([reading])
            tasks.cancel_scope.cancel()

    async with Engine([], store=store) as engine:
        await engine.run("anything", job_id="one")
        for number in range(40):
            async with anyio.create_task_group() as readers:
                for reader in range(16):
                    readers.start_soon(stop_after, (number + 7 * reader) % 21)
        assert store._pool.get_stats()["connections_num"] <= 4
        all_there = asyncio.Barrier(4)
        await asyncio.gather(*(store._with_connection(lambda _: all_there.wait()) for _ in range(4)))


@pytest.mark.asyncio
async def test_letters_given_at_the_same_moment_have_numbers_of_their_own(database):
    """None is lost, and there is no gap."""
    store = database.store()
    await store.open()
    lease = await store.take("job", this_process(), 0.0, 10.0)
    await store.create(lease, JobHeader("job", 0.0, "{}"), [StoredText(1)])
    numbers = await asyncio.gather(*(store.give("job", 0.0, f'"{each}"') for each in range(20)))
    assert sorted(numbers) == [*range(1, 21)]
    await store.close()


# --- a server that goes away ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_jobs_outlive_a_restart_of_the_server(how):
    """Fifty are under way: they wait for it and end as they would have, and each cycle is there once."""
    with postgres() as server:
        store = server.store(patience=60.0)
        gate, arrived = asyncio.Event(), asyncio.Event()
        waiting = 0

        @agent(reads=Rung, writes=Rung)
        async def pause(view: View):
            nonlocal waiting
            for rung in view.new(Rung):
                if rung.number == 5:
                    waiting += 1
                    if waiting == 50:
                        arrived.set()
                    await gate.wait()
            return []

        engine = Engine([climb, pause], store=store)
        async with engine:
            jobs = [asyncio.create_task(engine.run("climb", Rung(0, n), job_id=f"job-{n}")) for n in range(50)]
            await arrived.wait()
            await asyncio.to_thread(server.stop, how)
            gate.set()
            await asyncio.to_thread(server.start)
            outcomes = await asyncio.gather(*jobs)
            for number, outcome in enumerate(outcomes):
                assert outcome.converged
                rows = await store.rows(f"job-{number}")
                assert [row.cycle for row in rows if row.cycle] == [*range(1, outcome.cycles + 1)]
                assert all(row.digest_after(last.digest) == row.digest for last, row in pairwise(rows))


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_job_whose_server_stays_away_stops_by_name_and_goes_on_later():
    """Nobody waits for ever; what was committed is where the job goes on."""
    with postgres() as server:
        schema = server.schema()

        @agent(reads=Rung, writes=Rung)
        async def stop(view: View):
            if server.is_up and any(rung.number == 5 for rung in view.new(Rung)):
                await asyncio.to_thread(server.stop)
            return []

        engine = Engine([climb, stop], store=server.store(schema=schema, patience=0.2))
        with pytest.raises(StoreUnavailable, match=r"does not answer|no server listens|closed"):
            await engine.run("climb", Rung(0, 1), job_id="job")
        await asyncio.to_thread(server.start)
        other = Engine([climb], store=server.store(schema=schema))
        outcome = await other.resume("job")
        assert {rung.number for rung in outcome.context.live(Rung)} == set(range(11))


@pytest.mark.asyncio
async def test_a_commit_whose_answer_was_lost_is_not_made_twice(database):
    """It is looked for first, and found."""
    store = database.store()
    await store.open()
    lease = await store.take("job", this_process(), 0.0, 10.0)
    await store.create(lease, JobHeader("job", 0.0, "{}"), [StoredText(1)])
    once = store._once
    lost: list[Any] = []

    async def losing(work: Any) -> Any:
        answer = await once(work)
        if not lost:
            lost.append(answer)
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return answer

    store._once = losing
    await store.append(lease, 1, [StoredText(2, '{"b":1}')])
    await store.append(lease, 2, [StoredText(3)])
    assert [row.number for row in await store.rows("job")] == [0, 1, 2, 3]
    assert len(lost) == 1
    await store.close()


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_tables_of_somebody_else_are_refused_and_left_alone(database):
    """A schema is shared only by those who know of it."""
    schema = database.schema()
    ask(database, f"CREATE SCHEMA {schema}")
    ask(database, f"CREATE TABLE {schema}.log (theirs text)")
    with pytest.raises(StoreForeign, match=f"{schema}.log of somebody else"):
        await opened(database.store(schema=schema))
    assert ask(database, f"SELECT * FROM {schema}.log") == []


@pytest.mark.asyncio
async def test_a_newer_version_is_refused(database):
    """What the future wrote is not guessed at."""
    store = database.store()
    await opened(store)
    ask(database, f"UPDATE {store.schema}.converge_store SET version = {VERSION + 1}")
    with pytest.raises(StoreTooNew, match="upgrade converge-runtime"):
        await opened(store)


@pytest.mark.asyncio
async def test_where_none_is_to_be_made_nothing_is(database):
    """Whoever only reads does not leave tables behind for a name that was mistyped."""
    store = database.store(create=False)
    with pytest.raises(StoreUnavailable, match="no job was ever kept there"):
        await opened(store)
    assert ask(database, "SELECT to_regnamespace(%s)", store.schema) == [(None,)]


@pytest.mark.slow
def test_a_network_that_is_cut_is_waited_for_as_long_as_a_server_is():
    """A connection that is open would wait a quarter of an hour; when the network is back, another one is made."""
    said, found = run_apart("unplugged.py").splitlines()
    assert "the server does not answer any more: see whether " in said
    assert found == "[]"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("part", "other", "said"),
    [
        ("/postgres", "/nowhere", "there is no such database or user"),
        ("postgres@", "nobody@", "there is no such database or user"),
        (":{port}", ":1", "no server listens there"),
    ],
)
async def test_who_cannot_connect_is_told_why(database, part, other, said):
    """At once, and what to do about it."""
    url = database.url.replace(part.format(port=database.port), other)
    with pytest.raises(StoreUnavailable, match=said):
        await PostgresStore(url).open()


@pytest.mark.asyncio
async def test_tables_that_somebody_dropped_are_not_taken_for_a_wrong_name(database):
    """The database and the user are there."""
    store = database.store()
    await store.open()
    ask(database, f"DROP SCHEMA {store.schema} CASCADE")
    with pytest.raises(StoreUnavailable, match="its tables are not there any more"):
        await store.jobs()
    await store.close()


def test_a_store_that_is_closed_just_before_a_lease_is_renewed_opens_no_connection():
    """Nobody would be left to close it; as it is, no server is even asked."""

    class Last:
        """A lock that a thread gets when the store has been closed."""

        def __enter__(self) -> None:
            store._pool = None

        def __exit__(self, *_: object) -> None: ...

    store: Any = PostgresStore("postgresql://127.0.0.1:1/jobs")
    store._pool, store._renewing = "open", Last()
    store.renew([Lease("job", this_process(), 1, 0.0)], 1.0)
    assert store._direct is None


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("mysql://host/db", {}, "does not begin with postgresql://"),
        ("postgres:/db", {}, "does not begin with postgresql://"),
        ("postgresql://host:port/db", {}, "cannot be read"),
        ("postgresql://host/db", {"level": "none"}, 'choose "process" or "power"'),
        ("postgresql://host/db", {"schema": "Bad-Name"}, "no name for a schema"),
    ],
)
def test_what_makes_no_store_is_refused_before_anything_is_tried(url, options, said):
    """The sentence says what to write instead."""
    with pytest.raises(StoreUnavailable, match=said):
        PostgresStore(url, **options)


def test_a_password_is_never_shown():
    """Neither in a representation nor in an error."""
    store = PostgresStore("postgresql://me:secret@db.example:5433/jobs?sslpassword=hidden")
    assert repr(store) == "<PostgreSQL store postgresql://me@db.example:5433/jobs (schema converge)>"


# --- levels -----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(("level", "setting"), [("power", "on"), ("process", "off")])
async def test_a_level_is_what_the_server_waits_for(database, level, setting):
    """Commits wait for the disk, or not."""
    store = database.store(level=level)
    await store.open()
    assert await store._fetch("SHOW synchronous_commit") == [(setting,)]
    await store.close()


@pytest.mark.asyncio
async def test_what_a_url_says_of_a_connection_is_what_it_is_made_with(database):
    """Beside what the store itself asks for, and in place of what it only proposes."""
    store = PostgresStore(f"{database.url}?application_name=mine&options=-c%20lock_timeout%3D7s", "process")
    await store.open()
    asked = ("application_name", "lock_timeout", "synchronous_commit")
    assert [await store._fetch(f"SHOW {name}") for name in asked] == [[("mine",)], [("7s",)], [("off",)]]
    await store.close()


def test_who_lacks_the_extra_is_told_its_name():
    """The class can be named without it, and a store made; opening one says what is missing."""
    program = "import sys; sys.modules['psycopg'] = None; import asyncio; from converge.stores import PostgresStore; "
    program += "asyncio.run(PostgresStore('postgresql://host/db').open())"
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "agents", ROOT / "stores")))
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    said = "PostgresStore needs the extra postgres: pip install 'converge-runtime[postgres]'"
    assert done.stderr.splitlines()[-1] == f"converge.errors.ExtraMissing: {said}"
