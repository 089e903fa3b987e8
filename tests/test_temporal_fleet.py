"""Many jobs on several workers over PostgreSQL, of which one is killed, one frozen, and one cut off from the store."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from converge import Fact, RootIntent, run
from converge.stores import MemoryStore, PostgresStore
from converge.temporal import JobInput
from converge_agents.teams import strategy
from converge_agents.teams.strategy.kinds import Lead, Mandate, Option, Recommendation, Risk
from tests.network import run_apart
from tests.postgres import Postgres
from tests.temporal_jobs import FACTS, engine
from tests.temporal_server import Temporal, temporal
from tests.working import given, reached, started, until_at_work

pytestmark = pytest.mark.slow
STRATEGY = "converge_agents.teams.strategy:engine"
# Nobody is asked to approve what these recommend.
INTENT = RootIntent(strategy.intent.objective, constraints=("limits_are_kept",), success=("a_plan_is_recommended",))
NIGHTLY = os.environ.get("CONVERGE_NIGHTLY") == "1"
JOBS = 200
VARIANTS = 8


@pytest.fixture(scope="module")
def server() -> Iterator[Temporal]:
    with temporal() as running:
        yield running


def facts(variant: int) -> list[Fact]:
    """Return what a job is about: what the team ships with, but for a risk, and for who would have to approve.

    Of the options five are left, which is a quarter of the work; CONVERGE_NIGHTLY=1 has them all.
    """
    found = [fact for fact in strategy.facts() if not isinstance(fact, Mandate)]
    if not NIGHTLY:
        left = {fact.name for fact in [fact for fact in found if isinstance(fact, Option)][-5:]}
        found = [fact for fact in found if not isinstance(fact, Lead) and about(fact) in {None, *left}]
    found.remove([fact for fact in found if isinstance(fact, Risk)][variant])
    return found


def about(fact: Fact) -> str | None:
    """Return the option that a fact is about, if it is about one."""
    return fact.name if isinstance(fact, Option) else getattr(fact, "option", None)


def digests(outcome: Any) -> tuple[str, str, str]:
    return outcome.digest, outcome.live_digest, outcome.proof_digest


async def alone() -> list[tuple[str, str, str]]:
    """Return what each variant comes to on one machine, in memory."""
    return [digests(await strategy.build().run(INTENT, facts(variant))) for variant in range(VARIANTS)]


class Crowd:
    """Workflows under way, and how many of them have ended."""

    def __init__(self) -> None:
        self.ended = 0
        self._news = asyncio.Event()

    async def outcome(self, handle: Any) -> Any:
        outcome = await handle.result()
        self.ended += 1
        self._news.set()
        return outcome

    async def until(self, count: int) -> None:
        """Return when so many have ended."""
        while self.ended < count:
            self._news.clear()
            await self._news.wait()


async def rows_of(store: PostgresStore, job_ids: list[str]) -> list[Any]:
    await store.open()
    try:
        return [await store.rows(job_id) for job_id in job_ids]
    finally:
        await store.close()


def assert_whole(rows: Any) -> None:
    """Each cycle is there once, in a chain, written by whoever held the job at the time."""
    cycles = [row.cycle for row in rows if row.cycle]
    assert cycles == [*range(1, len(cycles) + 1)]
    assert all(row.digest_after(last.digest) == row.digest for last, row in pairwise(rows))
    epochs = [row.epoch for row in rows[1:]]
    assert epochs == sorted(epochs)


@pytest.mark.asyncio
async def test_workers_that_are_killed_and_frozen_change_nothing(server: Temporal, database: Postgres):
    """200 jobs on three workers: as many outcomes, each as it would be alone, each cycle committed once."""
    schema = database.schema()
    place = f"{database.url}?schema={schema}"
    client, crowd = await reached(server), Crowd()
    with ExitStack() as stack:
        start = partial(started, place, server, "fleet", "--jobs", "6", "--lease", "2", target=STRATEGY)
        workers = [stack.enter_context(start()) for _ in range(3)]
        for worker in workers:
            until_at_work(worker)
        killed, frozen, _ = workers
        several = [
            JobInput.of(f"job-{n}", INTENT, facts(n % VARIANTS), chosen=[Recommendation], heartbeat_seconds=5)
            for n in range(JOBS)
        ]
        handles = await asyncio.gather(*(given(client, job, "fleet") for job in several))
        ending = asyncio.gather(*map(crowd.outcome, handles))
        await crowd.until(JOBS // 5)
        killed.kill()
        await crowd.until(2 * JOBS // 5)
        frozen.send_signal(signal.SIGSTOP)
        await crowd.until(4 * JOBS // 5)
        frozen.send_signal(signal.SIGCONT)
        outcomes = await ending
    expected = await alone()
    assert digests(await strategy.build(database.store()).run(INTENT, facts(0))) == expected[0]
    assert {outcome.stop for outcome in outcomes} == {"fixed_point"}
    assert [digests(outcome) for outcome in outcomes] == [expected[n % VARIANTS] for n in range(JOBS)]
    rows = await rows_of(database.store(schema=schema), [job.job_id for job in several])
    for of_one in rows:
        assert_whole(of_one)
    assert any(len({row.epoch for row in of_one[1:]}) > 1 for of_one in rows)  # some were taken over


def test_a_worker_that_is_cut_off_loses_its_job_and_cannot_write(tmp_path: Path, server: Temporal, database: Postgres):
    """The other one takes over when the lease has ended; what the first one brings when it is back is refused."""
    told = json.loads(run_apart("cut_off.py", str(tmp_path), "30" if NIGHTLY else "4"))
    assert tuple(told["digests"]) == digests(run(engine.with_store(MemoryStore()), "climb", FACTS))
    assert told["cycles"] == [*range(1, len(told["cycles"]) + 1)]
    assert told["epochs"] == sorted(told["epochs"])
    assert set(told["epochs"]) == {1, 2}
    again = {question for question, count in told["calls"].items() if count > 1}
    assert again in ({"long 3"}, {"long 3", "flat 3"})  # what was under way, and nothing else
