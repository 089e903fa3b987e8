"""`converge trace`: what happened in a job, one line per event."""

__all__ = ["trace"]

from datetime import datetime
from typing import Any

import anyio

from converge.cli.console import AsJson, JobId, counted, data, one_line, write_json, write_line
from converge.cli.place import DEFAULT_STORE, StoreAddress
from converge.cli.stored import load_job
from converge.snapshot import Snapshot
from converge.trace import (
    Activated,
    ActivationFailed,
    Captured,
    Event,
    FactsArrived,
    JobResumed,
    JobStarted,
    JobStopped,
    RoundMerged,
    RoundStarted,
    TextArrived,
    Warned,
)


def trace(job: JobId, store: StoreAddress = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Show what happened in a job: who ran in which round, what that added, what failed.

    Example: converge trace job-1f2e3d4c
    """
    snapshot = anyio.run(load_job, store, job)
    if as_json:
        write_json(_told(snapshot, store))
        return
    console = data()
    for event in snapshot.trace:
        text, style = _line(event)
        write_line(console, (f"{event.sequence:>6}  {_clock(event):<8}  ", "dim"), (text, style))


def _told(snapshot: Snapshot, store: str) -> dict[str, Any]:
    """Return JSON data of this shape; the fields of an event are those of its type in `converge.trace`.

    {"job_id", "store": text, "events": [{"event": type, "sequence": int, …}]}
    """
    events = [{"event": type(event).__name__, **event._asdict()} for event in snapshot.trace]
    return {"job_id": snapshot.job_id, "store": store, "events": events}


def _clock(event: Event) -> str:
    at = getattr(event, "at", None)
    return "" if at is None else datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def _line(event: Event) -> tuple[str, str]:
    """Return an event as a text and its style."""
    match event:
        case JobStarted():
            return f"started with {counted(event.facts, 'fact')}: {one_line(event.objective)}", "bold"
        case JobResumed():
            return f"resumed at cycle {event.cycle} with {counted(event.facts, 'fact')} given late", "bold"
        case FactsArrived():
            return f"letter {event.letter}: {counted(event.facts, 'new fact')}, stated in round {event.round}", "bold"
        case RoundStarted():
            return f"round {event.round}: read by {counted(event.agents, 'agent')}", ""
        case Captured():
            return f"  {event.agent} captured {one_line(event.name)}{_noted(event)}", "dim"
        case Activated():
            return f"  {event.agent}: {counted(event.facts, 'fact')} in {_duration(event.seconds)}", "dim"
        case ActivationFailed():
            tries = f" after {event.attempts} attempts" if event.attempts > 1 else ""
            return f"  {event.agent} failed{tries}: {event.error}: {one_line(event.text)}", "red"
        case RoundMerged():
            return (
                f"round {event.round}: {counted(event.facts, 'new fact')}, {counted(event.supports, 'new support')}",
                "cyan",
            )
        case Warned():
            return f"warning: {f'agent {event.agent} ' if event.agent else ''}{one_line(event.text)}", "yellow"
        case JobStopped():
            return f"stopped: {one_line(event.text)}", "bold"
        case TextArrived():  # it is in no trace that is kept
            return f"  {event.agent}: {one_line(event.text)}", "dim"


def _noted(event: Captured) -> str:
    """Return what a capture's note says, in one line."""
    noted = ((name, value) for name, value in (event.note or {}).items() if value not in (None, "", []))
    said = ", ".join(f"{name.replace('_', ' ')} {one_line(value)}" for name, value in noted)
    return f" ({said})" if said else ""


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
