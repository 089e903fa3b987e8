"""Stored jobs as the inspector reads them: each once, beside the event loop, and again only when rows were added."""

__all__ = ["Reading", "Readings"]

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import anyio
import anyio.to_thread

from converge.errors import StoredFactInvalid
from converge.explain.explained import Explained
from converge.lease import is_gone
from converge.ports import Lease, Store, StoredJob
from converge.reading import read
from converge.restore import restore
from converge.snapshot import Snapshot
from converge.wiring import Wiring

T = TypeVar("T")


class Reading(NamedTuple):
    """A job as it stood with a row. running: whether somebody runs it now. wiring: of its agents, where it is known."""

    job: Snapshot
    explained: Explained
    created: float
    last: int
    updated: float
    running: bool
    wiring: Wiring | None

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.job.job_id


class Readings:
    """The jobs of an open store that were looked at last."""

    def __init__(self, store: Store, wiring: Wiring | None, now: Callable[[], float]) -> None:
        self.store, self._wiring, self._now = store, wiring, now
        self._kept: OrderedDict[tuple[str, int | None], Reading] = OrderedDict()
        self._turn = anyio.Lock()  # one page is made at a time: what a job's labels are is kept with it when asked

    async def of(self, job_id: str, cycle: int | None = None) -> Reading:
        """Return a job as it stands, or as it stood when `cycle` was complete. Raises JobUnknown or CycleUnknown."""
        async with self._turn:
            kept = self._kept.get((job_id, cycle))
            if kept is None or (cycle is None and await self.store.rows(job_id, kept.last)):
                kept = await self._read(job_id, cycle)
                self._keep(kept, cycle)
            self._kept.move_to_end((job_id, cycle))
        return kept._replace(running=await self.is_run(job_id))

    async def made(self, make: Callable[[], T]) -> T:
        """Return what a function makes of a reading, off the event loop."""
        async with self._turn:
            return await anyio.to_thread.run_sync(make)

    async def is_run(self, job_id: str) -> bool:
        """Whether somebody runs a job."""
        return self.is_held(await self.store.holder(job_id, self._now()))

    def is_held(self, lease: Lease | None) -> bool:
        """Whether a lease is one under which a job is run."""
        return lease is not None and lease.expires >= self._now() and not is_gone(lease.holder)

    async def _read(self, job_id: str, cycle: int | None) -> Reading:
        stored = await self.store.load(job_id, cycle)
        later = await self.store.rows(job_id, len(stored.bodies) - 1)
        here = next((row for row in later if row.number == len(stored.bodies)), None)
        updated = here.at if here is not None else stored.header.created
        job, wiring = await read(stored, self._restored)
        known = Explained(job) if wiring is None else Explained(job, wiring.agents, wiring.kinds)
        return Reading(job, known, stored.header.created, len(stored.bodies), updated, False, wiring)

    def _restored(self, stored: StoredJob) -> tuple[Snapshot, Wiring | None]:
        """Read a job with the kinds of the engine that is known, or, where it is another engine's, as plain JSON."""
        if self._wiring is not None:
            try:
                return restore(stored, self._wiring.kinds), self._wiring
            except StoredFactInvalid:
                pass
        return restore(stored, None), None

    def _keep(self, reading: Reading, cycle: int | None) -> None:
        self._kept[reading.job_id, cycle] = reading
        while len(self._kept) > 1 and (len(self._kept) > _MOST_JOBS or self._size() > _MOST_FACTS):
            self._kept.popitem(last=False)

    def _size(self) -> int:
        return sum(len(one.job.context.facts) for one in self._kept.values())


_MOST_JOBS, _MOST_FACTS = 32, 1_000_000  # kept in memory; a fact with all that belongs to it takes about a kilobyte
