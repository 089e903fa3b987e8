"""Which jobs one engine is running, over one store: each once, each under its lease, the store open meanwhile."""

__all__ = ["Running"]

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from converge.errors import EngineBusy
from converge.lease import Leases
from converge.opening import opening_of
from converge.ports import Clock, Lease, Store

if TYPE_CHECKING:
    from converge.job import Job


class Running:
    """The jobs of one engine that are at work, or looked at."""

    def __init__(self, store: Store, clock: Clock, lease_seconds: float) -> None:
        self.store = store
        self.opening = opening_of(store)
        self._leases = Leases(store, clock, lease_seconds)
        self._jobs: dict[str, Job | None] = {}

    @asynccontextmanager
    async def alone(self, job_id: str, job: "Job | None" = None) -> AsyncIterator[None]:
        """Hold the store open and the job id taken. Raises EngineBusy."""
        if job_id in self._jobs:
            raise EngineBusy(job_id)
        self._jobs[job_id] = job
        try:
            async with self.opening:
                yield
        finally:
            del self._jobs[job_id]

    @asynccontextmanager
    async def leased(self, job: "Job", *, is_new: bool) -> AsyncIterator[Lease]:
        """As above, and hold the job's lease. Raises JobLeased, or JobExists for one that is to be new."""
        async with self.alone(job.job_id, job), self._leases.of(job.job_id, is_new=is_new) as lease:
            yield lease

    async def is_kept(self, job_id: str) -> None:
        """Return when a job that has just begun here is in the store."""
        job = self._jobs.get(job_id)
        if job is not None:
            await job.is_kept()

    def look(self, job_id: str) -> None:
        """Have a job, if it runs here, look for letters."""
        job = self._jobs.get(job_id)
        if job is not None:
            job.look()
