"""`converge jobs`: what a store holds, one line per job."""

__all__ = ["ago", "jobs"]

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import anyio

from converge.cli.console import AsJson, Part, data, one_line, write_json, write_line, write_rows
from converge.cli.place import DEFAULT_STORE, StoreAddress, reading
from converge.lease import is_gone
from converge.ports import JobSummary, Lease


def jobs(store: StoreAddress = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """List the jobs of a store, the newest first.

    A job that is `interrupted` has not stopped and nobody runs it: it can be resumed.

    Example: converge jobs --store sqlite:///archive.db
    """
    found = anyio.run(_summaries, store)
    if as_json:
        write_json(_listed(store, found))
    elif found:
        write_rows(data(), _rows(found))
    else:
        write_line(data(), f"no jobs in {store}")


async def _summaries(address: str) -> Sequence[JobSummary]:
    async with reading(address) as store:
        return await store.jobs()


def _listed(store: str, found: Sequence[JobSummary]) -> dict[str, object]:
    """Return JSON data of this shape; times are ISO 8601 in UTC.

    `stop` is null for an unfinished job; `lease` is who runs it, or was running it when that process ended.

    {"store": text, "jobs": [{"job_id", "objective", "created", "updated": text, "cycles", "round", "facts": int,
    "stop": text | null, "lease": {"host": text, "process": int, "expires": text} | null}]}
    """
    times = [
        {field: datetime.fromtimestamp(getattr(job, field), UTC).isoformat() for field in ("created", "updated")}
        for job in found
    ]
    listed = [job._asdict() | time for job, time in zip(found, times, strict=True)]
    return {"store": store, "jobs": [job | {"lease": _lease(job["lease"])} for job in listed]}


def _lease(lease: Lease | None) -> dict[str, object] | None:
    if lease is None:
        return None
    expires = datetime.fromtimestamp(lease.expires, UTC).isoformat()
    return {"host": lease.holder.host, "process": lease.holder.process, "expires": expires}


def _rows(found: Sequence[JobSummary]) -> list[list[Part]]:
    headings = ("job", "stop", "round", "facts", "changed", "objective")
    rows: list[list[Part]] = [[(heading, "dim") for heading in headings]]
    for job in found:
        state = _state(job)
        stop = (state, _STYLES.get(state, "yellow"))
        numbers = f"{job.round:,}", f"{job.facts:,}", ago(time.time() - job.updated)
        rows.append([one_line(job.job_id), stop, *numbers, one_line(job.objective)])
    return rows


def _state(job: JobSummary) -> str:
    """Say how a job stands: why it stopped, whether it runs, or that it was interrupted."""
    is_run = job.lease is not None and job.lease.expires >= time.time() and not is_gone(job.lease.holder)
    return "running" if is_run else job.stop or "interrupted"


_STYLES = {"fixed_point": "green", "running": "cyan", "interrupted": "dim"}
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def ago(seconds: float) -> str:
    """Return how long ago something was, in the largest unit that fits."""
    for unit, length in _UNITS:
        if (count := int(seconds // length)) > 0:
            return f"{count:,} {unit}{'' if count == 1 else 's'} ago"
    return "just now"
