"""Throwing old jobs away."""

__all__ = ["prune"]

from contextlib import suppress

from converge.errors import JobLeased
from converge.ports import JobSummary, Store


async def prune(
    store: Store, seconds: float, now: float, *, unfinished: bool = False, only_name: bool = False
) -> list[JobSummary]:
    """Delete the jobs of a store in which nothing has happened for so many seconds; return them, in its order.

    A letter to a job is something that happened. Those that have not stopped are kept unless `unfinished`, and one
    that somebody runs is never touched. `only_name` deletes nothing.
    """
    gone = []
    for job in await store.jobs():
        if now - job.updated < seconds or (job.stop is None and not unfinished):
            continue
        if job.lease is not None and job.lease.expires >= now:
            continue
        if any(now - letter.at < seconds for letter in await store.letters(job.job_id, 0)):
            continue
        with suppress(JobLeased):  # taken in this very moment
            if not only_name:
                await store.remove(job.job_id, now)
            gone.append(job)
    return gone
