"""Whether a job is the one that is asked for: for whoever may ask twice, and must not be answered with another's."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from converge import Budget, Engine, Fact, RootIntent, View, agent
from converge.errors import FactsMismatch, IntentMismatch, KindUnknown
from converge.inspector import event_stream
from converge.ports import Store
from converge.stores import MemoryStore, SQLiteStore

pytestmark = pytest.mark.asyncio


class Signal(Fact):
    text: str


class Risk(Fact):
    name: str


@agent(reads=Signal, writes=Risk)
def assess(view: View):
    for signal in view.new(Signal):
        yield Risk(signal.text).because(signal)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "jobs.db")


LATE, LOST = Signal("late"), Signal("lost")


async def test_a_job_is_known_by_what_it_was_begun_with(store: Store):
    """Whatever the order of its facts, its budget, and what it concluded or was given later."""
    async with Engine([assess], store=store) as engine:
        assert not await engine.knows("one", "find risks", [LATE, LOST])
        await engine.run("find risks", [LATE, LOST], job_id="one")
        await engine.resume("one", Signal("later"))
        assert await engine.knows("one", RootIntent("find risks", budget=Budget(rounds=7)), [LOST, LATE, LOST])
        await engine.restart("one")
        assert await engine.knows("one", "find risks", [LATE, LOST])


async def test_a_job_that_was_begun_otherwise_is_not_that_job(store: Store):
    """The first fact that differs is named, and what to do."""
    async with Engine([assess], store=store) as engine:
        await engine.run("find risks", LATE, job_id="one")
        with pytest.raises(FactsMismatch, match=r"was begun without Signal\(text='lost'\): choose another id"):
            await engine.knows("one", "find risks", [LATE, LOST])
        with pytest.raises(FactsMismatch, match=r"was begun with Signal\(text='late'\)"):
            await engine.knows("one", "find risks")
        with pytest.raises(IntentMismatch, match="was started with the intent 'find risks', not 'find chances'"):
            await engine.knows("one", "find chances", LATE)
        with pytest.raises(KindUnknown):
            await engine.knows("one", "find risks", Other())


class Other(Fact):
    n: int = 1


async def test_a_job_that_has_just_begun_is_known(store: Store):
    """It is waited for until it is in the store."""
    async with Engine([assess], store=store) as engine, engine.start("find risks", LATE, job_id="one") as job:
        await job.standing()
        assert await engine.knows("one", "find risks", LATE)
        await job.outcome()


async def test_a_stream_of_events_ends_with_its_job(store: Store):
    """From a place in it on, and once more after the job went on."""
    async with Engine([assess], store=store) as engine:
        await engine.run("find risks", LATE, job_id="one")

        async def heard(last_id: str = "") -> list[str]:
            stream = event_stream(store, "one", last_id, anyio.lowlevel.checkpoint)
            return [line for message in [m async for m in stream] for line in message.splitlines() if line]

        whole = await heard()
        assert whole[-2:] == ["event: end", "data: {}"]
        ids = [line.removeprefix("id: ") for line in whole if line.startswith("id: ")]
        assert not [line for line in await heard(ids[-1]) if line.startswith("id: ")]
        await engine.resume("one", LOST)
        later = [line.removeprefix("id: ") for line in await heard(ids[-1]) if line.startswith("id: ")]
        assert later
        assert not set(later) & set(ids)
