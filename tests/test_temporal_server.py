"""Jobs as a real Temporal server hands them out, to workers here and to workers in processes of their own.

What is killed is killed for good: a worker in the middle of a call, the server in the middle of everything.
CONVERGE_RECORD=1 keeps what workflows did as tests/histories/*.json, which test_temporal.py repeats.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError

from converge import Engine, View, agent
from converge.stores import SQLiteStore
from converge.temporal import ConvergeWorkflow, DecisionInput, FactLine, JobInput, converge_worker
from converge_agents.teams import strategy
from converge_agents.teams.strategy.carry_out import Company, EnterMarkets
from converge_agents.teams.strategy.kinds import Approval, Recommendation
from tests.temporal_jobs import FACTS, STEEP, TOP, Flag, Rung, calls, engine
from tests.temporal_server import Temporal, temporal
from tests.working import given, reached, started, until_at_work, working

ROOT = Path(__file__).parents[1]
HISTORIES = Path(__file__).parent / "histories"
pytestmark = pytest.mark.slow
QUEUE = "jobs"
KEPT = ("decided", "undone")


@pytest.fixture(scope="module")
def server() -> Iterator[Temporal]:
    with temporal() as running:
        yield running


@pytest_asyncio.fixture
async def client(server: Temporal) -> Client:
    return await reached(server)


async def request_of(handle: "WorkflowHandle[Any, Any]") -> str:
    """Return what a job asks, as soon as it asks something."""
    while True:
        if asked := await handle.query("asked", result_type=list[dict[str, Any]]):
            return str(asked[0]["request"])
        await asyncio.sleep(0.02)  # as a person who looks again


async def attempts(handle: "WorkflowHandle[Any, Any]") -> list[tuple[int, str]]:
    """Return of each activity that was started how often, and as what it had failed before."""
    history = await handle.fetch_history()
    started = [event.activity_task_started_event_attributes for event in history.events]
    return [
        (one.attempt, one.last_failure.application_failure_info.type if one.HasField("last_failure") else "")
        for one in started
        if one.attempt
    ]


async def keep(handle: "WorkflowHandle[Any, Any]", name: str) -> None:
    """Keep what a workflow did, to be repeated without a server."""
    if name in KEPT and os.environ.get("CONVERGE_RECORD") == "1":
        told = _bare(json.loads((await handle.fetch_history()).to_json()))
        (HISTORIES / f"{name}.json").write_text(json.dumps(told, separators=(",", ":")) + "\n", "utf-8")


def _bare(told: Any) -> Any:
    """Return a history without what only tells of the machine that made it: paths and process numbers."""
    if isinstance(told, dict):
        named = {name: _bare(one) for name, one in told.items() if name != "stackTrace"}
        return {**named, "identity": "worker"} if "identity" in named else named
    return [_bare(one) for one in told] if isinstance(told, list) else told


def digests(outcome: Any) -> tuple[str, str, str]:
    return outcome.digest, outcome.live_digest, outcome.proof_digest


async def alone(folder: Path, facts: list[Rung]) -> tuple[str, str, str]:
    """Return what a job comes to without Temporal, on a file of its own."""
    return digests(await engine.with_store(SQLiteStore(folder / "alone.db")).run("climb", facts))


# --- the same job, wherever it runs -----------------------------------------------------------------------------------


QUESTIONS = [f"{ladder} {number}" for ladder in ("flat", "long") for number in range(1, TOP + 1)]
NIGHTLY = os.environ.get("CONVERGE_NIGHTLY") == "1"


@pytest.fixture(params=["file", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that nothing is in yet."""
    if request.param == "file":
        return f"sqlite:///{tmp_path / 'jobs.db'}"
    database = request.getfixturevalue("database")
    return f"{database.url}?schema={database.schema()}"


@pytest.mark.parametrize("moment", QUESTIONS if NIGHTLY else ["long 3"])
@pytest.mark.asyncio
async def test_a_worker_killed_in_the_middle_of_a_call_changes_nothing(
    tmp_path: Path, server: Temporal, client: Client, place: str, moment: str
):
    """Another one comes to the same digests, and asks nothing again but what nobody had heard the answer to."""
    job, queue = JobInput.of("job", "climb", FACTS, heartbeat_seconds=2), f"killed at {moment}, {place[:6]}"
    counted = {"CONVERGE_TEST_CALLS": str(tmp_path / "calls")}
    killed = {"CONVERGE_TEST_AT": moment, "CONVERGE_TEST_SIGNAL": "SIGKILL"}
    with working(place, server, queue, {**counted, **killed}) as first:
        handle = await given(client, job, queue)
        assert await asyncio.to_thread(first.wait) == -signal.SIGKILL
    before = calls(tmp_path / "calls")
    with working(place, server, queue, counted):
        outcome = await handle.result()
    assert digests(outcome) == await alone(tmp_path, FACTS)
    after = calls(tmp_path / "calls")
    assert set(after) == set(QUESTIONS)
    last = {question.split()[0]: question for question in before}  # one call of each ladder is under way at a time
    again = {question for question in after if after[question] > 1}
    assert moment in again
    assert again <= set(last.values())
    assert {after[question] for question in again} == {2}
    assert (await attempts(handle))[0][0] > 1


@pytest.mark.asyncio
async def test_a_worker_that_is_told_to_stop_hands_its_job_over(tmp_path: Path, server: Temporal, client: Client):
    """At once: the next one waits for neither a lease nor a heartbeat."""
    held = Held(tmp_path)
    async with working_here(client, held.engine, "handed") as first:
        handle = await given(client, JobInput.of("job", "hold", [Rung("held", 0)]), "handed")
        await held.reached.wait()
        async with working_here(await reached(server), held.another().engine, "handed"):
            await first.shutdown()
            assert (await handle.result()).converged
    assert await attempts(handle) == [(2, "HandedOver")]


@pytest.mark.asyncio
async def test_converge_worker_ends_at_a_signal_with_its_jobs_handed_over(
    tmp_path: Path, server: Temporal, client: Client
):
    """And with exit code 0, since nothing went wrong."""
    place, heard = f"sqlite:///{tmp_path / 'jobs.db'}", tmp_path / "heard"
    with started(place, server, "signalled", heard=heard) as process:
        until_at_work(process)
        handle = await given(client, JobInput.of("job", "climb", STEEP), "signalled")
        await request_of(handle)
        process.send_signal(signal.SIGTERM)
        out, _ = await asyncio.to_thread(process.communicate)
    assert (process.returncode, out) == (0, "")
    assert heard.read_text().splitlines()[-1] == "the jobs are handed over"
    await handle.terminate()


# --- people, cancellation ---------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_job_that_waits_for_a_person_runs_nowhere_and_goes_on_when_it_is_decided(
    tmp_path: Path, client: Client
):
    """Whoever decides is told at once whether that is an answer; any client can start it, by name and with JSON."""
    mine = engine.with_store(SQLiteStore(tmp_path / "jobs.db"))
    line = {"kind": "Rung", "fact": {"ladder": "steep", "number": 0}}
    job = {"job_id": "job", "intent": "climb", "facts": [line], "chosen": ["Flag"]}
    async with working_here(client, mine, "asks"):
        handle = await client.start_workflow("ConvergeWorkflow", job, id="asks job", task_queue="asks")
        request = await request_of(handle)
        assert not (await handle.describe()).raw_description.pending_activities
        assert await refusal(handle, DecisionInput(request="none", choice="approve", by="ada")) == "RequestUnknown"
        assert await refusal(handle, DecisionInput(request=request, choice="approve", by=" ")) == "DecisionInvalid"
        await handle.execute_update(ConvergeWorkflow.give, [FactLine.of(Rung("flat", TOP - 1))])
        await handle.execute_update(
            ConvergeWorkflow.decide, DecisionInput(request=request, choice="approve", by="ada", reason="it is firm")
        )
        outcome = await client.get_workflow_handle_for(ConvergeWorkflow.run, "asks job").result()
        assert (outcome.stop, outcome.live(Flag)) == ("fixed_point", [Flag("steep")])
    assert {fact.ladder for fact in (await mine.resume("job")).context.live(Rung)} == {"steep", "flat"}
    await keep(handle, "decided")


async def refusal(handle: "WorkflowHandle[Any, Any]", decision: DecisionInput) -> str | None:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update(ConvergeWorkflow.decide, decision)
    assert isinstance(refused.value.cause, ApplicationError)
    return refused.value.cause.type


@pytest.mark.asyncio
async def test_a_cancelled_workflow_cancels_its_job(tmp_path: Path, client: Client):
    """Its agents hear of it, and the store has it as cancelled."""
    held = Held(tmp_path)
    async with working_here(client, held.engine, "cancelled"):
        job = JobInput.of("job", "hold", [Rung("held", 0)], heartbeat_seconds=0.6)
        handle = await given(client, job, "cancelled")
        await held.reached.wait()
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()
    assert isinstance(failure.value.cause, CancelledError)
    async with held.engine as opened:
        assert [(job.job_id, job.stop) for job in await opened.store.jobs()] == [("job", "cancelled")]
    assert held.cancelled


class Held:
    """An engine whose agent is held up in a call until it is cancelled, and another one of which it is not."""

    def __init__(self, folder: Path, *, free: bool = False) -> None:
        self.reached, self.cancelled = asyncio.Event(), False
        self._folder, self._free = folder, free
        self.engine = Engine([agent(reads=Rung, writes=Flag)(self._hold)], store=SQLiteStore(folder / "jobs.db"))

    def another(self) -> "Held":
        return Held(self._folder, free=True)

    async def _hold(self, view: View):
        self.reached.set()
        try:
            if not self._free:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        for rung in view.new(Rung):
            yield Flag(rung.ladder).because(rung)


@asynccontextmanager
async def working_here(client: Client, mine: Engine, queue: str, **more: Any) -> AsyncIterator[Any]:
    async with mine, converge_worker(client, mine, task_queue=queue, **more) as worker:
        yield worker


# --- the server, killed -----------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_server_that_is_killed_and_started_again_loses_no_workflow(tmp_path: Path):
    """Those that waited for a person, those that ran, and those that nobody had begun all end; the worker stays."""
    mine = engine.with_store(SQLiteStore(tmp_path / "jobs.db"))
    with temporal(tmp_path / "temporal.db") as server:
        client = await reached(server)
        async with working_here(client, mine, QUEUE):
            waits = await given(client, JobInput.of("waits", "climb", STEEP), QUEUE)
            request = await request_of(waits)
            several = [JobInput.of(f"job-{n}", "climb", [Rung(f"ladder {n}", 0)]) for n in range(10)]
            handles = [await given(client, job, QUEUE) for job in several]
            server.kill()
            server.start()
            await reached(server)
            await waits.execute_update(
                ConvergeWorkflow.decide, DecisionInput(request=request, choice="reject", by="ada")
            )
            outcomes = await asyncio.gather(waits.result(), *(handle.result() for handle in handles))
    assert {outcome.stop for outcome in outcomes} == {"fixed_point"}
    assert digests(outcomes[1]) == await alone(tmp_path, [Rung("ladder 0", 0)])


# --- what follows from a decision -------------------------------------------------------------------------------------


async def decided(client: Client, company: Company, folder: Path, queue: str) -> Any:
    """Have the board approve what is recommended, and return the workflow that carries it out."""
    mine = strategy.build(SQLiteStore(folder / "jobs.db"))
    job = JobInput.of(f"{queue} job", strategy.intent, strategy.facts(), chosen=[Recommendation, Approval])
    more = {"workflows": [EnterMarkets], "activities": company.activities}
    async with working_here(client, mine, queue, **more):
        handle = await client.start_workflow(EnterMarkets.run, job, id=queue, task_queue=queue)
        board = client.get_workflow_handle(job.job_id)
        decision = DecisionInput(request=await begun(board), choice="approve", by="ada")
        assert company.journal == []
        await board.execute_update(ConvergeWorkflow.decide, decision)
        try:
            await handle.result()
        finally:
            await keep(handle, queue)
    return await handle.result()


async def begun(board: "WorkflowHandle[Any, Any]") -> str:
    """Return what a child workflow asks, as soon as there is one."""
    while True:
        try:
            return await request_of(board)
        except Exception:
            await asyncio.sleep(0.02)  # it is not there yet


@pytest.mark.asyncio
async def test_what_was_approved_is_carried_out(tmp_path: Path, client: Client):
    """Nothing is done before somebody has said so."""
    company = Company()
    assert await decided(client, company, tmp_path, "carried-out") == "brazil-venture + india-licence"
    assert company.journal == [
        "reserve 5300 for brazil-venture + india-licence",
        "enter brazil-venture",
        "enter india-licence",
    ]


@pytest.mark.asyncio
async def test_a_step_that_fails_has_those_before_it_undone_the_last_one_first(tmp_path: Path, client: Client):
    """The failed one as well, which may be half done; and the workflow fails for the reason the step had."""
    company = Company(refuses="india-licence")
    with pytest.raises(WorkflowFailureError) as failure:
        await decided(client, company, tmp_path, "undone")
    assert isinstance(failure.value.cause, ActivityError)
    assert "nobody is free to make the entry india-licence" in str(failure.value.cause.cause)
    assert company.journal == [
        "reserve 5300 for brazil-venture + india-licence",
        "enter brazil-venture",
        "leave india-licence",
        "leave brazil-venture",
        "release 5300 of brazil-venture + india-licence",
    ]


# --- the manual -------------------------------------------------------------------------------------------------------


def test_the_program_in_the_manual_runs_as_it_stands(tmp_path: Path, server: Temporal):
    """docs/how-to/temporal.md, in a process of its own, against this server."""
    manual = (ROOT / "docs" / "how-to" / "temporal.md").read_text("utf-8")
    [program] = re.findall(r"^```python\n(.*?)^```", manual, re.MULTILINE | re.DOTALL)
    (tmp_path / "insure.py").write_text(program.replace("main())", f"main({server.address!r}))"), "utf-8")
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "agents", "stores"))
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "insure.py"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout == "['a is insured']\n", ended.stderr
