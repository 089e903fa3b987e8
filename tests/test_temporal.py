"""A job as an activity, without a server: begun, found again, refused, cancelled, handed over; workflows repeated."""

import asyncio
import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Replayer

from converge import Engine, Fact, RootIntent, View, agent
from converge.errors import ConvergeError, JobExists, LeaseLost, StoreConflict, StoreForeign, StoreUnavailable
from converge.lease import this_process
from converge.stores import MemoryStore, SQLiteStore
from converge.temporal import (
    ConvergeWorkflow,
    DecisionInput,
    FactLine,
    JobInput,
    JobOutcome,
    converge_activity,
    converge_decision,
    converge_giving,
    converge_sandbox,
)
from converge.temporal.failure import failure_of
from converge_agents.teams.strategy.carry_out import EnterMarkets
from tests.temporal_jobs import FACTS, STEEP, TOP, Flag, Rung, engine

ROOT = Path(__file__).parents[1]
HISTORIES = Path(__file__).parent / "histories"


@pytest.fixture
def mine(tmp_path: Path) -> Engine:
    return engine.with_store(SQLiteStore(tmp_path / "jobs.db"))


async def done(mine: Engine, given: Any, environment: ActivityEnvironment | None = None) -> JobOutcome:
    return await (environment or ActivityEnvironment()).run(converge_activity(mine), given)


async def refused(mine: Engine, given: Any) -> ApplicationError:
    with pytest.raises(ApplicationError) as refusal:
        await done(mine, given)
    return refusal.value


def digests(outcome: Any) -> tuple[str, str, str]:
    return outcome.digest, outcome.live_digest, outcome.proof_digest


# --- begun, and found again -------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_job_comes_to_what_it_comes_to_without_temporal(mine: Engine):
    """And what comes back is small: the chosen facts, and no others."""
    outcome = await done(mine, JobInput.of("job", "climb", FACTS, chosen=[Rung]))
    alone = await engine.with_store(MemoryStore()).run("climb", FACTS)
    assert digests(outcome) == digests(alone)
    assert (outcome.stop, outcome.converged) == ("fixed_point", True)
    assert outcome.live(Rung) == list(alone.context.live(Rung))
    assert (await done(mine, JobInput.of("job", "climb", FACTS))).facts == ()


@pytest.mark.asyncio
async def test_any_client_can_write_the_input(mine: Engine):
    """It is JSON: facts as in a file of facts, the intent as a text or an object."""
    facts = [{"kind": "Rung", "fact": {"ladder": "flat", "number": 0}}]
    outcome = await done(mine, {"job_id": "job", "intent": {"objective": "climb"}, "facts": facts, "chosen": ["Rung"]})
    assert outcome.converged
    assert [line.fact["number"] for line in outcome.facts].count(TOP) == 1


@pytest.mark.asyncio
async def test_a_job_that_is_there_goes_on_from_where_it_stands(mine: Engine, monkeypatch: pytest.MonkeyPatch):
    """Nothing is asked again: a second attempt at what has ended adds nothing."""
    first = await done(mine, JobInput.of("job", "climb", FACTS))
    monkeypatch.setattr("tests.temporal_jobs.ask", None)
    again = await done(mine, JobInput.of("job", "climb", FACTS))
    assert (digests(again), again.cycles) == (digests(first), first.cycles)


@pytest.mark.asyncio
async def test_more_budget_takes_a_job_further(mine: Engine):
    """The budget is no part of what a job is found by."""
    given = JobInput.of("job", "climb", FACTS)
    short = await done(mine, given.model_copy(update={"budget": {"rounds": 2}}))
    assert (short.stop, short.spend["rounds"]) == ("budget", 2)
    longer = await done(mine, given.model_copy(update={"budget": {"rounds": 50}}))
    assert digests(longer) == digests(await engine.with_store(MemoryStore()).run("climb", FACTS))


@pytest.mark.asyncio
async def test_an_engine_is_made_once_by_whoever_needs_it(tmp_path: Path):
    """As in a worker that is started before its store can be reached."""
    made = []

    def make() -> Engine:
        made.append(engine.with_store(SQLiteStore(tmp_path / "jobs.db")))
        return made[-1]

    job = converge_activity(make, chosen=[Rung], intent="climb")
    assert made == []
    outcomes = [await ActivityEnvironment().run(job, JobInput.of(name, None, FACTS)) for name in ("one", "two")]
    assert len(made) == 1
    assert {len(outcome.facts) for outcome in outcomes} == {2 * (TOP + 1)}


class Step1(Fact, name="Step"):
    number: int


class Step2(Fact, name="Step", version=2):
    place: int

    @classmethod
    def upgrade(cls, content: Any, version: int) -> Any:
        return {"place": content["number"]}


@pytest.mark.asyncio
async def test_a_workflow_that_outlives_its_worker_goes_on_with_newer_kinds(tmp_path: Path):
    """Facts it was started with are brought forward, as those in the store are, and so it finds its job again."""

    @agent(reads=Step1, writes=[])
    def before(view: View) -> None: ...

    @agent(reads=Step2, writes=[])
    def after(view: View) -> None: ...

    given = JobInput.of("job", "climb", [Step1(3)], chosen=[Step1])
    outcomes = [
        await done(Engine([one], store=SQLiteStore(tmp_path / "jobs.db")), given) for one in (before, after, after)
    ]
    assert [outcome.live(kind) for outcome, kind in zip(outcomes, (Step1, Step2, Step2), strict=True)] == [
        [Step1(3)],
        [Step2(3)],
        [Step2(3)],
    ]


# --- refused ----------------------------------------------------------------------------------------------------------

LATER = Rung("later", 0)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (JobInput.of("job", "climb", FACTS[1:]), "FactsMismatch"),
        (JobInput.of("job", "climb", [*FACTS, LATER]), "FactsMismatch"),
        (JobInput.of("job", "descend", FACTS), "IntentMismatch"),
        (JobInput.of("job", None, FACTS), "IntentInvalid"),
        (JobInput.of("job", RootIntent("climb", success=("nothing",)), FACTS), "IntentMismatch"),
        (JobInput.of("new", RootIntent("climb", success=("nothing",)), FACTS), "InvariantUnknown"),
        ({"job_id": "new", "facts": [{"kind": "Rang", "fact": {}}], "intent": "climb"}, "KindUnknown"),
        ({"job_id": "new", "facts": [{"kind": "Rung", "fact": {"number": 0}}], "intent": "climb"}, "FactInvalid"),
        ({"job_id": "new", "intent": "climb", "chosen": ["Rang"]}, "KindUnknown"),
        ({"job_id": "new", "intent": "climb", "budget": {"laps": 3}}, "BudgetInvalid"),
        ({"job_id": "", "intent": "climb"}, "JobInputInvalid"),
        ({"job": "new", "intent": "climb"}, "JobInputInvalid"),
        ("new", "JobInputInvalid"),
    ],
)
@pytest.mark.asyncio
async def test_input_that_cannot_be_used_fails_at_once(mine: Engine, given: Any, kind: str):
    """By the type of its error and in one sentence; a job is never found by what it was not started with."""
    await done(mine, JobInput.of("job", "climb", FACTS))
    refusal = await refused(mine, given)
    assert (refusal.type, refusal.non_retryable) == (kind, True)
    assert "\n" not in str(refusal)


@pytest.mark.asyncio
async def test_late_facts_do_not_make_a_job_another_one(mine: Engine):
    """It is found by what it was started with, whatever it was given since."""
    await done(mine, JobInput.of("job", "climb", FACTS))
    await mine.resume("job", [LATER])
    outcome = await done(mine, JobInput.of("job", "climb", FACTS, chosen=[Rung]))
    assert Rung("later", TOP, f"later {TOP}, says the world") in outcome.live(Rung)


@pytest.mark.asyncio
async def test_an_outcome_that_no_payload_holds_is_refused_with_the_remedy(mine: Engine):
    """Temporal would retry it for ever. Its limit is one of bytes, of which a sign may take several."""
    many = [Rung("\N{HIRAGANA LETTER A}" * 17_000 + str(number), TOP) for number in range(20)]
    refusal = await refused(mine, JobInput.of("job", "climb", many, chosen=[Rung]))
    assert (refusal.type, refusal.non_retryable) == ("OutcomeTooLarge", True)
    assert "choose fewer kinds, and read the rest from the store" in str(refusal)
    assert (await done(mine, JobInput.of("job", "climb", many))).converged


# --- retried ----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_job_that_another_worker_holds_is_tried_again_when_its_lease_ends(mine: Engine):
    """Not before: nobody can say sooner whether its holder is gone."""
    await done(mine, JobInput.of("job", "climb", FACTS))
    async with mine:
        await mine.store.take("job", this_process()._replace(host="elsewhere"), time.time(), time.time() + 40)
        refusal = await refused(mine, JobInput.of("job", "climb", FACTS))
    assert (refusal.type, refusal.non_retryable) == ("JobLeased", False)
    assert refusal.next_retry_delay is not None
    assert 0 < refusal.next_retry_delay.total_seconds() < 40.1


@pytest.mark.parametrize(
    ("error", "retried"),
    [
        (StoreUnavailable("jobs.db", "the disk is full"), True),
        (StoreConflict("job", 3), True),
        (LeaseLost("job", 1), True),
        (JobExists("job", "jobs.db"), True),
        (StoreForeign("jobs.db", "it is a picture"), False),
    ],
)
def test_what_passes_is_retried_and_what_stays_is_not(error: ConvergeError, retried: bool):
    """Whoever comes later may find the store, or the job, free again; a foreign file remains one."""
    failure = failure_of(error, 0.0)
    assert (failure.type, failure.message, failure.non_retryable) == (type(error).__name__, str(error), not retried)


@pytest.mark.asyncio
async def test_an_attempt_waits_for_an_earlier_one_in_the_same_worker(tmp_path: Path):
    """Temporal may give up an attempt that is still at work, and choose the same worker for the next."""
    held = Held(tmp_path)
    first = asyncio.create_task(done(held.engine, GIVEN))
    await held.reached.wait()
    refusal = await refused(held.engine, GIVEN)
    assert (refusal.type, refusal.non_retryable) == ("EngineBusy", False)
    held.free.set()
    assert (await first).converged


# --- beats, cancellation, hand-over -----------------------------------------------------------------------------------

GIVEN = JobInput.of("job", "hold", [Rung("held", 0)])


class Held:
    """An engine whose agent is held up in its first call, and notes how that ended."""

    def __init__(self, folder: Path) -> None:
        self.reached, self.free = asyncio.Event(), asyncio.Event()
        self.ended: list[str] = []
        self.engine = Engine([agent(reads=Rung, writes=Flag)(self._hold)], store=SQLiteStore(folder / "jobs.db"))

    async def _hold(self, view: View):
        self.reached.set()
        try:
            await self.free.wait()
            self.ended.append("freed")
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        for rung in view.new(Rung):
            yield Flag(rung.ladder).because(rung)


async def begun(held: Held, environment: ActivityEnvironment) -> "asyncio.Task[JobOutcome]":
    """Begin an attempt, and return when its agent is at work."""
    attempt = asyncio.create_task(done(held.engine, GIVEN, environment))
    await held.reached.wait()
    return attempt


async def is_free(held: Held) -> bool:
    """Whether the lease of the job was given back."""
    async with held.engine as opened:
        return await opened.store.holder("job", time.time()) is None


@pytest.mark.asyncio
async def test_a_job_beats_each_third_of_its_timeout_however_long_a_call_takes(tmp_path: Path):
    """With how far it has come, as a hint to whoever looks."""
    held, environment, beats = Held(tmp_path), ActivityEnvironment(), []
    environment.info = dataclasses.replace(environment.info, heartbeat_timeout=timedelta(seconds=0.03))

    def beat(detail: Any) -> None:
        beats.append(json.loads(json.dumps(detail)))
        if len(beats) > 5:
            held.free.set()

    environment.on_heartbeat = beat
    assert (await done(held.engine, GIVEN, environment)).converged
    assert beats[0] == {"job": "job"}
    assert (beats[5]["job"], beats[5]["cycle"], beats[5]["facts"], beats[5]["live"]) == ("job", 1, 2, 2)
    assert beats[5]["spend"]["activations"] == 1


@pytest.mark.asyncio
async def test_a_cancelled_job_ends_as_cancelled_and_its_agents_hear_of_it(tmp_path: Path):
    """That is an outcome, and what was concluded is kept."""
    held, environment = Held(tmp_path), ActivityEnvironment()
    attempt = await begun(held, environment)
    environment.cancel()
    outcome = await attempt
    assert (outcome.stop, held.ended) == ("cancelled", ["cancelled"])
    assert await is_free(held)
    held.free.set()
    assert (await done(held.engine, GIVEN)).converged


@pytest.mark.parametrize("shuts_down", ["gracefully", "when its patience is at an end"])
@pytest.mark.asyncio
async def test_a_worker_that_shuts_down_hands_its_jobs_over(tmp_path: Path, shuts_down: str):
    """The attempt fails so that it is repeated, at once, and whoever repeats it waits for no lease."""
    held, environment = Held(tmp_path), ActivityEnvironment()
    attempt = await begun(held, environment)
    if shuts_down == "gracefully":
        environment.worker_shutdown()
    else:
        environment.cancel(ActivityCancellationDetails(worker_shutdown=True))
    with pytest.raises(ApplicationError, match="another one goes on with it") as refusal:
        await attempt
    assert (refusal.value.type, refusal.value.non_retryable) == ("HandedOver", False)
    assert refusal.value.next_retry_delay == timedelta(milliseconds=1)
    assert (held.ended, await is_free(held)) == (["cancelled"], True)
    held.free.set()
    outcome = await done(held.engine, GIVEN)
    assert digests(outcome) == digests(await held.engine.with_store(MemoryStore()).run("hold", [Rung("held", 0)]))


@pytest.mark.asyncio
async def test_an_attempt_that_temporal_has_given_up_lets_go_of_the_job(tmp_path: Path):
    """Nobody hears what it returns, and another attempt may be waiting for the lease."""
    held, environment = Held(tmp_path), ActivityEnvironment()
    attempt = await begun(held, environment)
    environment.cancel(ActivityCancellationDetails(timed_out=True))
    with pytest.raises(ApplicationError, match="HandedOver"):
        await attempt
    assert (held.ended, await is_free(held)) == (["cancelled"], True)


# --- people -----------------------------------------------------------------------------------------------------------


async def asked(mine: Engine) -> str:
    """Begin a job that asks whether a flag may be planted, and return its request."""
    outcome = await done(mine, JobInput.of("job", "climb", STEEP))
    assert (outcome.stop, outcome.asked[0].role, outcome.asked[0].by) == ("waiting", "warden", "plant")
    assert (outcome.asked[0].kind, outcome.asked[0].fact) == ("Flag", {"ladder": "steep"})
    return outcome.asked[0].request


@pytest.mark.asyncio
async def test_a_decision_is_stated_once_however_often_it_is_delivered(mine: Engine):
    """An attempt may have stated it and not been heard; the same words are the same decision, before and after."""
    decision = DecisionInput(request=await asked(mine), choice="approve", by="ada")
    decide = converge_decision(mine)
    for _ in range(2):
        await ActivityEnvironment().run(decide, "job", decision)
    assert (await done(mine, JobInput.of("job", "climb", STEEP, chosen=[Flag]))).live(Flag) == [Flag("steep")]
    await ActivityEnvironment().run(decide, "job", decision)
    with pytest.raises(ApplicationError) as refusal:
        await ActivityEnvironment().run(decide, "job", decision.model_copy(update={"choice": "reject"}))
    assert (refusal.value.type, refusal.value.non_retryable) == ("RequestStale", True)


@pytest.mark.asyncio
async def test_late_facts_are_given_to_a_job_whoever_runs_it(mine: Engine):
    """It goes on from them when it is next begun; facts that do not fit are refused at once."""
    await done(mine, JobInput.of("job", "climb", FACTS))
    give = converge_giving(mine)
    await ActivityEnvironment().run(give, "job", [FactLine.of(LATER)])
    outcome = await done(mine, JobInput.of("job", "climb", FACTS, chosen=[Rung]))
    assert len(outcome.live(Rung)) == 3 * (TOP + 1)
    refusals: list[tuple[Any, str]] = [([FactLine(kind="Rang", fact={})], "KindUnknown"), (None, "FactLineInvalid")]
    for given, kind in refusals:
        with pytest.raises(ApplicationError) as refusal:
            await ActivityEnvironment().run(give, "job", given)
        assert (refusal.value.type, refusal.value.non_retryable) == (kind, True)


# --- workflows that have run are repeated as they were ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["decided", "undone"])
@pytest.mark.asyncio
async def test_a_workflow_takes_every_step_as_it_was_recorded(name: str):
    """In the sandbox. tests/test_temporal_server.py records histories anew, where CONVERGE_RECORD=1."""
    history = WorkflowHistory.from_json(name, (HISTORIES / f"{name}.json").read_text("utf-8"))
    runner, converter = converge_sandbox(), pydantic_data_converter
    replayer = Replayer(workflows=[ConvergeWorkflow, EnterMarkets], workflow_runner=runner, data_converter=converter)
    await replayer.replay_workflow(history)


def test_a_history_tells_nothing_of_the_machine_that_made_it():
    """No path, and no process of it."""
    for path in HISTORIES.glob("*.json"):
        text = path.read_text("utf-8")
        assert "stackTrace" not in text
        assert set(re.findall(r'"identity":"([^"]*)"', text)) == {"worker"}


# --- without the extra ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        "import converge.temporal",
        "from converge.cli import main; sys.argv[1:] = ['worker', 'tests.temporal_jobs:engine']; sys.exit(main())",
    ],
)
def test_who_lacks_the_extra_is_told_its_name(program: str):
    """By the library and by the command line."""
    blocked = f"import sys; sys.modules['temporalio'] = None; {program}"
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "agents", "stores"))
    environment = {**os.environ, "PYTHONPATH": paths}
    ended = subprocess.run(
        [sys.executable, "-c", blocked], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode in (1, 10)
    told = "converge.temporal needs the extra temporal: pip install 'converge-runtime[temporal]'"
    assert told in ended.stderr.splitlines()[-1]
