"""Decisions over HTTP: one engine, many jobs at once, none of them lost. A FastAPI app to use, or to copy and change.

    app = service(Engine([...], store=SQLiteStore("jobs.db")), "find the risks", answer=[Risk])

    uvicorn main:app --timeout-graceful-shutdown 2

1. The client names the job: the same id with the same facts is the same job, however often it is sent.
2. A job is in the store before it is accepted; what another process left unfinished is gone on with.
3. Above `limit` jobs at once the answer is 429: nothing is queued that a client could not see.

It needs the extra `service`. Who may ask is the affair of whatever stands in front of it.
"""

__all__ = ["Jobs", "service"]

import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
from fastapi import FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field
from pydantic_core import from_json

from converge import Engine, Fact, Job, RootIntent
from converge.errors import ConvergeError, FactInvalid, FactsMismatch, IntentMismatch, JobUnknown, KindUnknown
from converge.explain import Explained
from converge.fact import identified, kind_of
from converge.inspector import event_stream
from converge.lease import is_gone
from converge.ports import Lease
from converge.trace import JobStopped

_log = logging.getLogger("converge.service")
_LOOK_SECONDS = 0.5  # between two looks at a job that another process runs
_AGAIN_SECONDS = 30.0  # between two looks for jobs that nobody runs any more
_GATHER_SECONDS = 0.05  # after news: what happens at once is read at once, however many follow
_UNFINISHED = (None, "cancelled")  # stops of jobs that were killed, and that were running at a shutdown


class Given(BaseModel, extra="forbid"):
    """A fact as in a facts file."""

    kind: str
    fact: dict[str, Any]


class Wanted(BaseModel, extra="forbid"):
    """A request for a decision, under an id that the client has chosen."""

    id: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")]
    facts: list[Given] = []


class Full(Exception):
    """Raised where as many jobs run as may."""


class _Running:
    """A job that this process runs: `kept` is set when it is in the store, or cannot be; `news` when there is some."""

    def __init__(self) -> None:
        self.kept, self.news = anyio.Event(), anyio.Event()

    def tell(self) -> None:
        """Wake whoever follows."""
        self.news.set()
        self.news = anyio.Event()


class Jobs:
    """The jobs of one engine that this process runs, at most so many of its clients' at once."""

    def __init__(self, engine: Engine, intent: RootIntent | str, limit: int) -> None:
        self._engine, self._intent, self._limit = engine, intent, limit
        self._running: dict[str, _Running] = {}

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._running

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Go on with what is unfinished, and run what comes; at the end, keep what is merged and let go of the rest."""
        async with self._engine, anyio.create_task_group() as self._tasks:
            await self._go_on()
            self._tasks.start_soon(self._go_on_again)
            yield
            self._tasks.cancel_scope.cancel()

    async def submit(self, job_id: str, facts: Sequence[Fact]) -> bool:
        """Return whether this began a job; when it returns the job is kept. Raises Full, and as `engine.knows` does."""
        is_new = job_id not in self and not await self._engine.knows(job_id, self._intent, facts)
        is_new = is_new and job_id not in self  # somebody may have asked for the same meanwhile
        if is_new:
            if len(self._running) >= self._limit:
                raise Full
            self._begin(self._engine.start(self._intent, facts, job_id=job_id))
        if job_id in self:
            await self._running[job_id].kept.wait()
        if not await self._engine.knows(job_id, self._intent, facts):
            raise JobUnknown(job_id, repr(self._engine.store))
        return is_new

    async def news(self, job_id: str) -> None:
        """Return when there may be something new of a job."""
        with anyio.move_on_after(_LOOK_SECONDS):
            if job_id in self:
                await self._running[job_id].news.wait()
            else:
                await anyio.sleep_forever()
        await anyio.sleep(_GATHER_SECONDS)

    async def _go_on_again(self) -> None:
        """Take over, from time to time, what a process that has ended meanwhile left unfinished."""
        while True:
            await anyio.sleep(_AGAIN_SECONDS)
            try:
                await self._go_on()
            except ConvergeError as error:  # a store that is away for a moment must not end the jobs that run
                _log.warning("jobs that nobody runs were not looked for: %s", error)

    async def _go_on(self) -> None:
        for job in await self._engine.store.jobs():
            if job.stop in _UNFINISHED and job.job_id not in self and _is_free(job.lease):
                self._begin(self._engine.reopen(job.job_id))

    def _begin(self, job: Job) -> None:
        self._running[job.job_id] = _Running()
        self._tasks.start_soon(self._run, job, self._running[job.job_id])

    async def _run(self, job: Job, running: _Running) -> None:
        try:
            async with job:
                await job.is_kept()
                running.kept.set()
                async for _ in job.events():
                    running.tell()
                await job.outcome()
        except Exception as error:  # one job's affair, such as that another process runs it
            _log.warning("job %s is not run here: %s", job.job_id, error, exc_info=not isinstance(error, ConvergeError))
        finally:
            del self._running[job.job_id]
            running.kept.set()
            running.tell()


def _is_free(lease: Lease | None) -> bool:
    return lease is None or lease.expires < time.time() or is_gone(lease.holder)


def service(engine: Engine, intent: RootIntent | str, *, answer: Sequence[type[Fact]], limit: int = 100) -> FastAPI:
    """Return an app that decides: POST /jobs begins a job, GET /jobs/ID and /jobs/ID/events tell of it.

    answer: the kinds of facts that a decision is made of. limit: how many jobs may run at once.
    """
    jobs = Jobs(engine, intent, limit)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with jobs.open():
            yield

    app = FastAPI(title="Decisions", lifespan=lifespan)
    app.add_exception_handler(ConvergeError, _sorry)
    app.add_exception_handler(Full, _full)

    @app.post("/jobs", status_code=202)
    async def submit(wanted: Wanted, response: Response) -> dict[str, Any]:
        is_new = await jobs.submit(wanted.id, [_fact(engine, one) for one in wanted.facts])
        response.status_code = 202 if is_new else 200
        response.headers["location"] = f"/jobs/{wanted.id}"
        return {"id": wanted.id, "running": wanted.id in jobs}

    @app.get("/jobs/{job_id}")
    async def look(job_id: str) -> dict[str, Any]:
        return {"id": job_id, "running": job_id in jobs, **_told(await engine.explained(job_id), answer)}

    @app.get("/jobs/{job_id}/events")
    async def events(job_id: str, last_event_id: Annotated[str, Header()] = "") -> StreamingResponse:
        await engine.store.rows(job_id, _NO_ROW)
        stream = event_stream(engine.store, job_id, last_event_id, lambda: jobs.news(job_id))
        return StreamingResponse(stream, media_type="text/event-stream", headers={"cache-control": "no-store"})

    return app


_NO_ROW = 2**31  # a number that no row has: what is asked is whether the job is there


def _fact(engine: Engine, given: Given) -> Fact:
    if given.kind not in engine.kinds:
        raise KindUnknown(given.kind, engine.kinds)
    fact: Fact = engine.kinds[given.kind].load(given.fact)
    return fact


def _told(job: Explained, answer: Sequence[type[Fact]]) -> dict[str, Any]:
    last = job.trace[-1] if job.trace else None
    facts = [fact for kind in answer for fact in job.view.live(kind)]
    return {
        "stop": {"reason": last.reason, "text": last.text} if isinstance(last, JobStopped) else None,
        "answer": [{"kind": kind_of(fact).label, "fact": from_json(identified(fact)[2])} for fact in facts],
    }


def _sorry(_: Request, error: Exception) -> Response:
    statuses = {JobUnknown: 404, IntentMismatch: 409, FactsMismatch: 409, KindUnknown: 422, FactInvalid: 422}
    status = next((status for kind, status in statuses.items() if isinstance(error, kind)), 503)
    return JSONResponse({"detail": str(error)}, status)


def _full(_: Request, error: Exception) -> Response:
    detail = "as many jobs run as may at once: ask again with the same id"
    return JSONResponse({"detail": detail}, 429, {"retry-after": "1"})
