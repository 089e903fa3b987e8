"""Decisions over HTTP, asked of a real server on loopback: nothing is lost, nothing is decided twice, nothing leaks."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel
import httpx2
import pytest

from converge import Engine, View, agent
from converge.errors import StoreUnavailable
from converge.ports import JobSummary
from converge.stores import MemoryStore, SQLiteStore
from converge_agents.service import Jobs
from tests.serving import Rung, Top

ROOT = Path(__file__).parents[1]
PATHS = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "agents", ROOT / "stores")))}
pytestmark = [pytest.mark.asyncio, pytest.mark.slow]


class Event(NamedTuple):
    """A server-sent event."""

    id: str
    name: str
    data: Any


class Served:
    """A server process, and a client of it."""

    def __init__(self, process: "subprocess.Popen[str]", client: httpx2.AsyncClient) -> None:
        self.process, self.client = process, client

    async def submit(self, job: str, number: int = 1) -> httpx2.Response:
        facts = [{"kind": "Rung", "fact": {"job": job, "number": number}}]
        return await self.client.post("/jobs", json={"id": job, "facts": facts})

    async def look(self, job: str) -> Any:
        return (await self.client.get(f"/jobs/{job}")).json()

    async def open_gate(self) -> None:
        await self.client.post("/test/gate")

    async def state(self) -> Any:
        return (await self.client.get("/test/state")).json()

    async def follow(self, job: str, last_id: str = "") -> AsyncIterator[Event]:
        headers = {"last-event-id": last_id} if last_id else {}
        async with self.client.stream("GET", f"/jobs/{job}/events", headers=headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            fields: dict[str, str] = {}
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = value
                elif "event" in fields:
                    yield Event(fields.pop("id", ""), fields.pop("event"), json.loads(fields.pop("data")))

    async def followed(self, job: str, last_id: str = "") -> list[Event]:
        return [event async for event in self.follow(job, last_id)]

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=60)


def begun(folder: Path, **options: Any) -> "subprocess.Popen[str]":
    options = {"store": str(folder / "jobs.db"), "diary": str(folder / "asked.txt"), **options}
    command = [sys.executable, str(ROOT / "tests" / "serving.py"), json.dumps(options)]
    return subprocess.Popen(command, env={**os.environ, **PATHS}, stdout=subprocess.PIPE, text=True)


@asynccontextmanager
async def served(folder: Path, **options: Any) -> AsyncIterator[Served]:
    process = begun(folder, **options)
    assert process.stdout is not None
    try:
        port = await asyncio.to_thread(process.stdout.readline)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port.strip()}", limits=limits, timeout=60) as client:
            yield Served(process, client)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def named(events: list[Event]) -> list[str]:
    return [event.id for event in events if event.id]


def stop_in(events: list[Event]) -> str | None:
    """Return why the job stopped, by the last cycle that was told of."""
    stops: list[str | None] = [event.data["stop"] for event in events if event.name == "cycle"]
    return stops[-1]


# --- one job ----------------------------------------------------------------------------------------------------------


async def test_a_decision_is_asked_for_followed_and_read(tmp_path: Path):
    """Accepted, told of as it happens, and answered with why it stopped."""
    async with served(tmp_path) as server:
        accepted = await server.submit("one")
        assert (accepted.status_code, accepted.headers["location"]) == (202, "/jobs/one")
        assert accepted.json() == {"id": "one", "running": True}
        assert (await server.look("one"))["stop"] is None
        await server.open_gate()
        events = await server.followed("one")
        assert events[-1].name == "end"
        assert stop_in(events) == "fixed_point"
        told = await server.look("one")
        assert told["running"] is False
        assert told["stop"] == {"reason": "fixed_point", "text": "fixed point: no agent would add anything"}
        assert told["answer"] == [{"kind": "Top", "fact": {"job": "one", "said": "rung 4"}}]


async def test_the_same_id_is_the_same_job(tmp_path: Path):
    """While it runs and afterwards, however many ask at once; with other facts it is refused."""
    async with served(tmp_path) as server:
        answers = await asyncio.gather(*(server.submit("one") for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 202]
        refused = await server.submit("one", number=2)
        assert refused.status_code == 409
        assert "job 'one' was begun without Rung(job='one', number=2): choose another id" in refused.json()["detail"]
        await server.open_gate()
        await server.followed("one")
        again = await server.submit("one")
        assert (again.status_code, again.json()) == (200, {"id": "one", "running": False})
        assert (await server.submit("one", number=2)).status_code == 409
    assert Counter((tmp_path / "asked.txt").read_text().split("\n"))["one 1"] == 1


async def test_what_cannot_be_used_is_refused_in_a_sentence(tmp_path: Path):
    """And leaves no job behind."""
    async with served(tmp_path) as server:
        for facts, said in (
            ([{"kind": "Rong", "fact": {}}], "kind Rong is read or written by no agent"),
            ([{"kind": "Rung", "fact": {"job": "one"}}], "a fact of kind Rung is not valid: number: is missing"),
        ):
            refused = await server.client.post("/jobs", json={"id": "one", "facts": facts})
            assert (refused.status_code, said in refused.text) == (422, True), refused.text
        assert (await server.client.post("/jobs", json={"id": "../one"})).status_code == 422
        for path in ("/jobs/one", "/jobs/one/events"):
            missing = await server.client.get(path)
            assert (missing.status_code, "there is no job 'one'" in missing.text) == (404, True)


async def test_a_reader_that_comes_back_reads_what_it_missed(tmp_path: Path):
    """From any event on, and nothing twice."""
    async with served(tmp_path) as server:
        await server.open_gate()
        await server.submit("one")
        whole = await server.followed("one")
        for place, event in enumerate(whole):
            if event.id:
                rest = [later for later in whole[place + 1 :] if later.id]
                assert [later for later in await server.followed("one", event.id) if later.id] == rest


async def test_above_the_limit_it_is_said_when_to_ask_again(tmp_path: Path):
    """A job that is known is no new one; there is room again when one has ended."""
    async with served(tmp_path, limit=2) as server:
        for job in ("one", "two"):
            assert (await server.submit(job)).status_code == 202
        full = await server.submit("three")
        assert (full.status_code, full.headers["retry-after"]) == (429, "1")
        assert "ask again with the same id" in full.json()["detail"]
        assert (await server.submit("two")).status_code == 200
        await server.open_gate()
        await asyncio.gather(server.followed("one"), server.followed("two"))
        assert (await server.submit("three")).status_code == 202


# --- restarts ---------------------------------------------------------------------------------------------------------


async def stop_of(job: str, folder: Path) -> str | None:
    """Return what the store says of a job that nobody runs."""
    store = SQLiteStore(folder / "jobs.db")
    await store.open()
    try:
        return {summary.job_id: summary.stop for summary in await store.jobs()}[job]
    finally:
        await store.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_job_goes_on_where_its_process_ended(tmp_path: Path, how: signal.Signals):
    """Killed or told to end, with somebody following: the next process goes on, and asks nothing again."""
    seen: list[Event] = []
    async with served(tmp_path) as server:
        await server.submit("one")
        async for event in server.follow("one"):
            seen.append(event)
            if event.name == "cycle" and event.data["round"] == 2:
                break  # the third rung is being asked about
        follower = asyncio.create_task(server.followed("one"))
        await asyncio.sleep(0)
        assert await asyncio.to_thread(server.end, how) == -how  # uvicorn ends by the signal that it was sent
        await asyncio.gather(follower, return_exceptions=True)
    assert await stop_of("one", tmp_path) == (None if how is signal.SIGKILL else "cancelled")
    async with served(tmp_path) as server:
        assert (await server.submit("one")).status_code == 200
        await server.open_gate()
        later = await server.followed("one", named(seen)[-1])
        assert later[-1].name == "end"
        assert named(seen) + named(later) == named(await server.followed("one"))
        assert (await server.look("one"))["answer"] == [{"kind": "Top", "fact": {"job": "one", "said": "rung 4"}}]
    assert (tmp_path / "asked.txt").read_text().split("\n") == ["one 1", "one 2", "one 3", "one 4", ""]


async def test_a_process_that_is_there_takes_over_from_one_that_ends(tmp_path: Path):
    """As when a new version of a service starts before the old one ends."""
    async with served(tmp_path) as old, served(tmp_path, again=0.05) as new:
        await old.submit("one")
        known = await new.submit("one")
        assert (known.status_code, known.json()) == (200, {"id": "one", "running": False})
        await new.open_gate()
        await asyncio.to_thread(old.end, signal.SIGTERM)
        while stop_in(await new.followed("one")) == "cancelled":
            pass  # a stream that ends with the old process is asked for once more, as a browser does
        assert (await new.look("one"))["answer"] == [{"kind": "Top", "fact": {"job": "one", "said": "rung 4"}}]


class Away(MemoryStore):
    """A store that fails whoever looks for jobs, from when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away, self.was_asked = False, anyio.Event()

    async def jobs(self) -> Sequence[JobSummary]:
        if self.is_away:
            self.was_asked.set()
            raise StoreUnavailable(repr(self), "the server does not answer")
        return await super().jobs()


async def test_a_store_that_is_away_when_jobs_are_looked_for_ends_none_of_those_that_run(
    monkeypatch: pytest.MonkeyPatch,
):
    """They may not need it at that moment, and there is another look."""
    monkeypatch.setattr("converge_agents.service._AGAIN_SECONDS", 0.001)
    store, gate = Away(), anyio.Event()

    @agent(reads=Rung, writes=Top)
    async def climb(view: View):
        await gate.wait()
        return [Top(rung.job, "there").because(rung) for rung in view.new(Rung)]

    jobs = Jobs(Engine([climb], store=store), "climb", limit=10)
    async with jobs.open():
        await jobs.submit("one", [Rung("one", 1)])
        store.is_away = True
        await store.was_asked.wait()
        await anyio.lowlevel.checkpoint()
        gate.set()
        while "one" in jobs:
            await jobs.news("one")
    store.is_away = False
    assert [job.stop for job in await store.jobs()] == ["fixed_point"]


# --- many jobs --------------------------------------------------------------------------------------------------------


async def many(server: Served, name: str, count: int) -> None:
    """Have so many jobs run at once, each followed, and read what they came to."""
    jobs = [f"{name}-{number}" for number in range(count)]
    await server.client.delete("/test/gate")  # none ends before all have begun
    answers = await asyncio.gather(*map(server.submit, jobs))
    assert {answer.status_code for answer in answers} == {202}
    following = [asyncio.create_task(server.followed(job)) for job in jobs]
    await server.open_gate()
    for events in await asyncio.gather(*following):
        assert [event.name for event in events][-2:] == ["state", "end"]
        assert stop_in(events) == "fixed_point"
        assert [event.data["cycle"] for event in events if event.name == "cycle"] == [1, 2, 3, 4, 5, 6]
    told = await asyncio.gather(*map(server.look, jobs))
    assert [one["answer"] for one in told] == [
        [{"kind": "Top", "fact": {"job": job, "said": "rung 4"}}] for job in jobs
    ]


async def test_five_hundred_jobs_at_once_leave_nothing_behind(tmp_path: Path):
    """All are answered, each stream ends, and neither memory nor a task nor a thread remains.

    Five hundred before them, since an allocator keeps for later what so many need at their height.
    """
    async with served(tmp_path, limit=500) as server:
        await many(server, "warm", 500)
        before = await server.state()
        await many(server, "job", 500)
        after = await server.state()
        assert after["resident"] < 1.2 * before["resident"], (before, after)
        assert (after["tasks"], after["threads"]) == (before["tasks"], before["threads"]), (before, after)
