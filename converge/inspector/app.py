"""The inspector as an ASGI application: its addresses, and what answers under each."""

__all__ = ["inspector"]

import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from urllib.parse import parse_qsl

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from converge.archive.deciding import decision_on, post
from converge.deciding import Asked, asked
from converge.engine import Engine
from converge.errors import (
    CallerError,
    ConvergeError,
    CycleUnknown,
    DecisionInvalid,
    FactHolds,
    FactUnknown,
    JobUnknown,
)
from converge.explain.reference import Wanted
from converge.inspector.asking import decision_of
from converge.inspector.comparing import choosing_page, comparison_page
from converge.inspector.export import export
from converge.inspector.fact_page import absence_page, fact_page
from converge.inspector.frame import page
from converge.inspector.graph import graph
from converge.inspector.guard import Guard
from converge.inspector.job_page import job_page, live_part
from converge.inspector.knowledge import Filter, facts_page, knowledge
from converge.inspector.links import Links
from converge.inspector.listing import Listing, Search, listing_page
from converge.inspector.markup import render, tag
from converge.inspector.reading import Reading, Readings
from converge.inspector.stream import events
from converge.intent import Spend
from converge.opening import opening_of
from converge.ports import Store
from converge.view import UNRESTRICTED, View

_LARGEST_FORM = 1_000_000  # bytes
_ASSETS = {"app.js": "text/javascript", "dagre.js": "text/javascript", "style.css": "text/css"}


def inspector(
    store: Store,
    engine: Engine | None = None,
    token: str | None = None,
    hosts: Collection[str] = (),
    every: float = 0.5,
) -> Starlette:
    """Return an ASGI app that shows the jobs of a store, and takes the decisions that they ask for.

    Serve it by itself, or mount it: `app.mount("/converge", inspector(store))`. Without `token` only this machine is
    answered; with one, whoever has it, who comes to `/?token=…` once. hosts: names under which it is answered without
    one, for a service that says by its own means who may look. engine: whose agents and kinds are known; answers to
    "why not?" are better then. every: seconds between two looks at a job that is followed.
    """
    pages = _Pages(store, engine, every)
    routes = [
        Route("/", pages.jobs),
        Route("/compare", pages.compare),
        Route("/assets/{name}", pages.asset),
        Route("/jobs/{job_id:path}/facts/{fact_id}/graph", pages.graph),
        Route("/jobs/{job_id:path}/facts/{fact_id}", pages.fact),
        Route("/jobs/{job_id:path}/facts", pages.facts),
        Route("/jobs/{job_id:path}/why-not", pages.why_not),
        Route("/jobs/{job_id:path}/events", pages.events),
        Route("/jobs/{job_id:path}/live", pages.live),
        Route("/jobs/{job_id:path}/at", pages.at),
        Route("/jobs/{job_id:path}/export", pages.export),
        Route("/jobs/{job_id:path}/decide", pages.decide, methods=["POST"]),
        Route("/jobs/{job_id:path}", pages.job),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, token=token, hosts=hosts)],
        exception_handlers={ConvergeError: _sorry, 404: _sorry},
        lifespan=pages.lifespan,
    )


class _Pages:
    """What answers. The store is open while a request is answered, or all the time where the app has a lifespan."""

    def __init__(self, store: Store, engine: Engine | None, every: float) -> None:
        self._opening = opening_of(store)
        self._readings = Readings(store, engine.wiring if engine else None, time.time)
        self._spends: dict[tuple[str, float], Spend | None] = {}
        self._every = every

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Keep the store open."""
        async with self._opening:
            yield

    async def asset(self, request: Request) -> Response:
        """Answer with a file of the pages."""
        name = request.path_params["name"]
        if name not in _ASSETS:
            return _page_missing(_links(request))
        content = files("converge.inspector").joinpath("assets", name).read_bytes()
        return Response(content, media_type=_ASSETS[name], headers={"cache-control": "max-age=3600"})

    async def jobs(self, request: Request) -> Response:
        """Answer with the list of jobs."""
        async with self._opening:
            listing = await Listing.read(self._readings, Search.of(request.query_params), self._spends)
        return HTMLResponse(listing_page(_links(request), listing, time.time()))

    async def job(self, request: Request) -> Response:
        """Answer with a job, its facts as of a cycle."""
        links, cycle = _links(request), _cycle(request)
        async with self._opening:
            reading, then = await self._both(request, cycle)
            posted = await self._posted(reading)
            notice = _DECIDED[reading.running] if "decided" in request.query_params else ""
            make = partial(job_page, links, reading, then, cycle, posted, request.scope["csrf"], time.time(), notice)
            return HTMLResponse(await self._readings.made(make))

    async def live(self, request: Request) -> Response:
        """Answer with the part of a job's page that changes while it runs."""
        async with self._opening:
            reading = await self._readings.of(_job_id(request))
            posted = await self._posted(reading)
            make = partial(live_part, _links(request), reading, posted, request.scope["csrf"], time.time())
            return HTMLResponse(await self._readings.made(lambda: render(make())))

    async def at(self, request: Request) -> Response:
        """Answer with the part of a job's page that goes back in time."""
        cycle = _cycle(request)
        async with self._opening:
            reading, then = await self._both(request, cycle)
            make = partial(knowledge, _links(request), reading, then, cycle)
            return HTMLResponse(await self._readings.made(lambda: render(make())))

    async def facts(self, request: Request) -> Response:
        """Answer with the facts that are looked for."""
        cycle = _cycle(request)
        async with self._opening:
            _, then = await self._both(request, cycle)
            make = partial(facts_page, _links(request), then, Filter.of(request.query_params), cycle)
            return HTMLResponse(await self._readings.made(make))

    async def fact(self, request: Request) -> Response:
        """Answer with why a fact holds, or does not."""
        async with self._opening:
            reading = await self._readings.of(_job_id(request))
            fact_id = request.path_params["fact_id"]
            return HTMLResponse(
                await self._readings.made(lambda: fact_page(_links(request), reading, reading.explained.fact(fact_id)))
            )

    async def graph(self, request: Request) -> Response:
        """Answer with a fact's provenance as data."""
        async with self._opening:
            reading = await self._readings.of(_job_id(request))
            fact_id = request.path_params["fact_id"]
            return JSONResponse(
                await self._readings.made(lambda: graph(_links(request), reading, reading.explained.why(fact_id)))
            )

    async def why_not(self, request: Request) -> Response:
        """Answer with what stood in the way of a fact; one that holds is shown instead."""
        async with self._opening:
            reading = await self._readings.of(_job_id(request))
            return await self._readings.made(lambda: _why_not(_links(request), reading, request))

    async def compare(self, request: Request) -> Response:
        """Answer with two jobs side by side."""
        links, query = _links(request), request.query_params
        wanted = [one for one in (*query.getlist("job"), query.get("a", ""), query.get("b", "")) if one]
        async with self._opening:
            if len(wanted) < 2:
                return HTMLResponse(choosing_page(links, "".join(wanted), await self._readings.store.jobs()))
            one, other = await self._readings.of(wanted[0]), await self._readings.of(wanted[1])
            return HTMLResponse(await self._readings.made(lambda: comparison_page(links, one, other)))

    async def export(self, request: Request) -> Response:
        """Answer with a job as one file."""
        async with self._opening:
            reading = await self._readings.of(_job_id(request))
            text = await self._readings.made(lambda: export(reading))
        name = "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in reading.job_id)
        headers = {"content-disposition": f'attachment; filename="{name.encode("ascii", "replace").decode()}.html"'}
        return HTMLResponse(text, headers=headers)

    async def events(self, request: Request) -> Response:
        """Answer with what happens in a job, from where the reader left off."""
        last_id = request.headers.get("last-event-id") or request.query_params.get("after", "")
        async with self._opening:
            await self._readings.store.rows(_job_id(request), 0)  # one that is not there is said to be unknown
        stream = self._followed(_job_id(request), last_id)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    async def decide(self, request: Request) -> Response:
        """Take a decision, and go back to the job."""
        form = await _form(request)
        if not hmac.compare_digest(form.get("csrf", "").encode(), request.scope["csrf"].encode()):
            return _refused(
                _links(request), "This form is not one of ours, or too old: go back and load the page anew.", 403
            )
        async with self._opening:
            reading = await self._readings.of(_job_id(request))
            name, content = decision_of(form, await self._readings.made(lambda: _asked(reading)))
            decision = await decision_on(self._readings.store, reading.job_id, name, None, content)
            await post(self._readings.store, reading.job_id, time.time(), [decision])
        return RedirectResponse(_links(request).job(reading.job_id, decided="yes"), 303)

    # --- within ---------------------------------------------------------------------------------------------------

    async def _both(self, request: Request, cycle: int | None) -> tuple[Reading, Reading]:
        reading = await self._readings.of(_job_id(request))
        if cycle is None or cycle == reading.job.cycles:
            return reading, reading
        return reading, await self._readings.of(reading.job_id, cycle)

    async def _posted(self, reading: Reading) -> frozenset[str]:
        """Return the requests on which a decision waits to be merged."""
        letters = await self._readings.store.letters(reading.job_id, reading.job.letter)
        bodies = "".join(letter.body for letter in letters)
        if not bodies:
            return frozenset()
        asked_now = await self._readings.made(lambda: _asked(reading))
        return frozenset(one.id for one in asked_now if one.id in bodies)

    async def _followed(self, job_id: str, last_id: str) -> AsyncIterator[str]:
        pause: Callable[[], Awaitable[object]] = partial(anyio.sleep, self._every)
        async with self._opening:
            async for message in events(self._readings, job_id, last_id, pause):
                yield message


_DECIDED = {
    True: "The decision is given to the job, which goes on from it.",
    False: "The decision is kept; it is merged when the job is resumed.",
}


def _asked(reading: Reading) -> tuple[Asked, ...]:
    context = reading.job.context
    return asked(View(context, context.highest, UNRESTRICTED))


def _why_not(links: Links, reading: Reading, request: Request) -> Response:
    kind, where = request.query_params.get("kind", ""), request.query_params.get("where", "").strip()
    name, equals, value = where.partition("=")
    wanted = (
        Wanted(kind, fields={name.strip(): value.strip()}) if equals else Wanted.of([kind, *([where] if where else [])])
    )
    try:
        return HTMLResponse(absence_page(links, reading, str(wanted), reading.explained.lacks(wanted)))
    except FactHolds as error:
        return RedirectResponse(links.fact(reading.job_id, error.fact_id), 303)
    except CallerError as error:
        return HTMLResponse(absence_page(links, reading, str(wanted), str(error)), 404)


# --- what a request says ----------------------------------------------------------------------------------------------


def _links(request: Request) -> Links:
    return Links(request.scope.get("root_path", "").rstrip("/"))


def _job_id(request: Request) -> str:
    return str(request.path_params["job_id"])


def _cycle(request: Request) -> int | None:
    text = request.query_params.get("cycle", "")
    return int(text) if text.isdecimal() and len(text) < 10 else None


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_FORM:
            raise DecisionInvalid(f"the form has more than {_LARGEST_FORM:,} bytes")
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def _sorry(request: Request, error: Exception) -> Response:
    if not isinstance(error, ConvergeError):
        return _page_missing(_links(request))
    is_missing = isinstance(error, JobUnknown | CycleUnknown | FactUnknown)
    status = 404 if is_missing else 409 if isinstance(error, CallerError) else 503
    return _refused(_links(request), f"{error}"[:2_000], status)


def _page_missing(links: Links) -> Response:
    return _refused(links, "There is no such page.", 404)


def _refused(links: Links, why: str, status: int) -> Response:
    return HTMLResponse(page(links, "Sorry", tag("h1", "This cannot be shown"), tag("p", why, class_="notice")), status)
