"""What comes back from tables, as the values that a store returns: the same for every store that is asked in SQL."""

__all__ = ["job_of", "lease_of", "summary_of"]

from collections.abc import Sequence
from typing import Any

from converge.chain import JobHeader
from converge.errors import CycleUnknown
from converge.ports import Holder, JobSummary, Lease, StoredJob


def job_of(job_id: str, rows: Sequence[Any], cycle: int | None) -> StoredJob:
    """Return a job, or what it was when `cycle` was complete. Raises CycleUnknown.

    Its rows, in order, are (number, cycle, at, digest, body), the header first.
    """
    (_, _, created, _, intent), *rest = rows
    if cycle is not None:
        upto = next((place for place, row in enumerate(rest, start=1) if row[1] == cycle), None)
        if upto is None:
            raise CycleUnknown(job_id, cycle, max(row[1] or 0 for row in rest))
        rest = rest[:upto]
    return StoredJob(JobHeader(job_id, created, intent), [row[4] for row in rest])


def lease_of(job_id: str, epoch: int, *rest: Any) -> Lease:
    """Return the lease that its columns describe: epoch, those of its holder, and when it expires."""
    *holder, expires = rest
    return Lease(job_id, Holder(*holder), epoch, expires)


def summary_of(job_id: str, *columns: Any) -> JobSummary:
    """Return a line about a job: its columns are those of a summary, and then those of its lease, NULL for none."""
    told, lease = columns[:_TOLD], columns[_TOLD:]
    return JobSummary._make((job_id, *told, None if lease[0] is None else lease_of(job_id, *lease)))


_TOLD = len(JobSummary._fields) - 2  # the job's id stands before them, and its lease after
