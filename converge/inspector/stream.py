"""What happens in a job, as server-sent events, read from its rows: whoever runs it, and wherever a reader left off.

An event's id is its row's number and its place in that row. Rows are only ever added, so a reader that says which id it
saw last is given exactly what came after that.
"""

__all__ = ["event_stream", "events"]

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import anyio
from pydantic_core import from_json

from converge.chain import StoredRow
from converge.errors import JobUnknown
from converge.inspector.events import as_data
from converge.inspector.reading import Readings
from converge.ports import Store
from converge.trace import decode_event

_QUIET = 30  # looks without news after which a sign of life is sent


def event_stream(
    store: Store, job_id: str, last_id: str = "", pause: Callable[[], Awaitable[object]] | None = None
) -> AsyncIterator[str]:
    """Iterate over a job's events as server-sent events, those to come included, whoever runs it; the last is `end`.

    The store must be open. last_id: the id of the last event that was seen, as a browser says it in `Last-Event-ID`;
    ids stay the same however often the job is resumed. pause: awaited between two looks; default: half a second.
    """
    readings = Readings(store, None, time.time)
    return events(readings, job_id, last_id, pause or partial(anyio.sleep, _EVERY), ends=True)


_EVERY = 0.5  # seconds


async def events(
    readings: Readings, job_id: str, last_id: str, pause: Callable[[], Awaitable[object]], *, ends: bool = False
) -> AsyncIterator[str]:
    """Iterate over the events after `last_id`, those to come included; `pause` is awaited between two looks.

    A `cycle` says that a row was completed, a `state` whether somebody runs the job. ends: it ends with the job,
    whose last message is then `end`.
    """
    row, place = _position(last_id)
    running: bool | None = None
    stopped = False
    quiet = 0
    yield "retry: 1000\n\n"
    while True:
        now = await readings.is_run(job_id)  # before its rows are read: who has let go of it adds none
        try:
            rows = await readings.store.rows(job_id, row - 1)
        except JobUnknown:
            yield _message("gone", {}, None)
            return
        if row and not rows:  # an id of another job: nothing that it was given can be meant
            row, place = 0, 0
            continue
        for one in rows:
            for number, data in enumerate(_told(one), start=1):
                if (one.number, number) > (row, place):
                    yield _message("happened" if "type" in data else "cycle", data, f"{one.number}.{number}")
                    row, place, quiet = one.number, number, 0
            stopped = bool(one.stop) if one.cycle is not None else stopped
        if now is not running:
            running = now
            yield _message("state", {"running": now}, None)
        if ends and stopped and not running:
            yield _message("end", {}, None)
            return
        quiet += 1
        if quiet >= _QUIET:
            quiet = 0
            yield ": still here\n\n"
        await pause()


def _position(last_id: str) -> tuple[int, int]:
    row, _, place = last_id.partition(".")
    is_one = row.isdecimal() and place.isdecimal() and len(last_id) < _LONGEST
    return (int(row), int(place)) if is_one else (0, 0)


_LONGEST = 18  # characters of an id: no number in it is more than a store can take


def _told(row: StoredRow) -> list[dict[str, Any]]:
    """Return the events of a row, and, where it completes a cycle, that it does; of an unreadable one nothing."""
    try:
        found = [as_data(decode_event(event)) for event in from_json(row.body).get("trace", ())] if row.number else []
    except (AttributeError, LookupError, TypeError, ValueError):
        return []
    end = {"cycle": row.cycle, "round": row.round, "facts": row.facts, "stop": row.stop}
    return found if row.cycle is None else [*found, end]


def _message(event: str, data: dict[str, Any], name: str | None) -> str:
    head = f"id: {name}\n" if name else ""
    return f"{head}event: {event}\ndata: {json.dumps(data)}\n\n"
