"""A store in this process's memory: the library's default, and the reference for the store contract."""

__all__ = ["MemoryStore"]

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from pydantic_core import from_json

from converge.chain import JobHeader, Row, StoredRow, header_row, sealed
from converge.errors import CycleUnknown, JobExists, JobLeased, JobUnknown, LeaseLost, StoreConflict
from converge.ports import Holder, JobSummary, Lease, Letter, StoredJob


class MemoryStore:
    """Keeps jobs until the process ends, and at most `keep` that have stopped: the oldest make room first.

    Rows are kept as they come and encoded when somebody asks for them; from then on only their text is kept, so that
    of a job that is resumed again and again there is one context in memory and not one for each time.
    """

    durable = False

    def __init__(self, keep: int = 100) -> None:
        self.keep = keep
        self._jobs: dict[str, _Job] = {}
        self._leases: dict[str, tuple[Lease, bool]] = {}  # job -> its last lease, and whether it is held

    def __repr__(self) -> str:
        return f"<memory store of {len(self._jobs)} jobs>"

    async def open(self) -> None:
        """Do nothing: memory is always open."""

    async def close(self) -> None:
        """Do nothing: what is kept can still be resumed."""

    # --- leases -------------------------------------------------------------------------------------------------

    async def take(self, job_id: str, holder: Holder, now: float, expires: float, over: str | None = None) -> Lease:
        """Give out the lease of a job."""
        before, is_held = self._leases.get(job_id, (Lease(job_id, holder, 0, 0.0), False))
        if is_held and before.expires >= now and before.holder.token != over:
            raise JobLeased(job_id, before.holder, before.expires)
        lease = Lease(job_id, holder, before.epoch + 1, expires)
        self._leases[job_id] = (lease, True)
        return lease

    def renew(self, leases: Iterable[Lease], expires: float) -> None:
        """Put off when leases expire."""
        for lease in leases:
            if self._holds(lease):
                self._leases[lease.job_id] = (lease._replace(expires=expires), True)

    async def release(self, lease: Lease) -> None:
        """Give a lease back."""
        if self._holds(lease):
            if lease.job_id in self._jobs:
                self._leases[lease.job_id] = (lease, False)
                self._jobs[lease.job_id].is_anchored = True
            else:
                del self._leases[lease.job_id]

    async def holder(self, job_id: str, now: float) -> Lease | None:
        """Return the lease of a job that somebody runs."""
        lease, is_held = self._leases.get(job_id, (None, False))
        return lease if is_held and lease is not None and lease.expires >= now else None

    # --- rows ---------------------------------------------------------------------------------------------------

    async def create(self, lease: Lease, header: JobHeader, rows: Sequence[Row]) -> None:
        """Add a job and its first rows."""
        if header.job_id in self._jobs:
            raise JobExists(header.job_id, "memory")
        if not self._holds(lease):
            raise LeaseLost(header.job_id, lease.epoch)
        self._make_room()
        job = self._jobs[header.job_id] = _Job(header)
        job.add(rows, lease.epoch)

    async def append(self, lease: Lease, after: int, rows: Sequence[Row]) -> int:
        """Add rows, all or none."""
        job = self._kept(lease.job_id)
        if not self._holds(lease):
            raise LeaseLost(lease.job_id, lease.epoch)
        if after != len(job.rows):
            raise StoreConflict(lease.job_id, after + 1)
        job.add(rows, lease.epoch)
        return len(job.letters)

    async def adopt(self, job_id: str, rows: Sequence[StoredRow]) -> None:
        """Add a whole job as it was kept elsewhere."""
        if job_id in self._jobs:
            raise JobExists(job_id, "memory")
        self._make_room()
        job = self._jobs[job_id] = _Job(JobHeader(job_id, rows[0].at, rows[0].body))
        job.rows.extend((_text(row, row.body), row.epoch) for row in rows[1:])

    async def load(self, job_id: str, cycle: int | None = None) -> StoredJob:
        """Return a job, or what it was."""
        job = self._kept(job_id)
        job.encode()
        bodies = [row.body() for row, _ in job.rows]
        if cycle is None:
            return StoredJob(job.header, bodies)
        for place, (row, _) in enumerate(job.rows, start=1):
            if row.cycle == cycle:
                return StoredJob(job.header, bodies[:place])
        raise CycleUnknown(job_id, cycle, job.last.cycle or 0)

    async def rows(self, job_id: str, after: int = -1) -> Sequence[StoredRow]:
        """Return the rows of a job with a higher number than `after`."""
        job = self._kept(job_id)
        job.encode()
        chain = [header_row(job.header)]
        for row, epoch in job.rows:
            chain += sealed([row], len(chain) - 1, chain[-1].digest, epoch)
        return chain[after + 1 :]

    async def anchor(self, job_id: str) -> tuple[int, str]:
        """Return number and digest of the last row; nobody else can have changed it since."""
        last = (await self.rows(job_id))[-1]
        return (last.number, last.digest) if self._kept(job_id).is_anchored else (0, "")

    async def jobs(self) -> Sequence[JobSummary]:
        """Return all jobs, the newest first."""
        return [job.summary(self._leases.get(job_id)) for job_id, job in reversed(self._jobs.items())]

    async def mentioned(self) -> Sequence[str]:
        """Return the ids of all jobs: whoever removes one here removes all of it."""
        return sorted(self._jobs)

    async def remove(self, job_id: str, now: float) -> None:
        """Delete a job with all that belongs to it."""
        self._kept(job_id)
        if lease := await self.holder(job_id, now):
            raise JobLeased(job_id, lease.holder, lease.expires)
        del self._jobs[job_id]
        self._leases.pop(job_id, None)

    # --- letters ------------------------------------------------------------------------------------------------

    async def give(self, job_id: str, at: float, body: str) -> int:
        """Keep a letter to a job and return its number."""
        letters = self._kept(job_id).letters
        letters.append(Letter(len(letters) + 1, at, body))
        return len(letters)

    async def letters(self, job_id: str, after: int) -> Sequence[Letter]:
        """Return the letters to a job with a higher number than `after`."""
        return self._kept(job_id).letters[after:]

    # --- within -------------------------------------------------------------------------------------------------

    def _kept(self, job_id: str) -> "_Job":
        if job_id not in self._jobs:
            raise JobUnknown(job_id, "memory", self._jobs)
        return self._jobs[job_id]

    def _holds(self, lease: Lease) -> bool:
        last, is_held = self._leases.get(lease.job_id, (lease, False))
        return is_held and last.epoch == lease.epoch

    def _is_run(self, job_id: str) -> bool:
        _, is_held = self._leases.get(job_id, (None, False))
        return is_held

    def _make_room(self) -> None:
        surplus = len(self._jobs) + 1 - self.keep
        if surplus > 0:
            stopped = (job_id for job_id, job in self._jobs.items() if job.last.stop and not self._is_run(job_id))
            for job_id in list(islice(stopped, surplus)):
                del self._jobs[job_id]
                self._leases.pop(job_id, None)


@dataclasses.dataclass
class _Job:
    """One job as it is kept: its rows, each with the epoch it was written under."""

    header: JobHeader
    rows: list[tuple[Row, int]] = dataclasses.field(default_factory=list)
    letters: list[Letter] = dataclasses.field(default_factory=list)
    is_anchored: bool = False

    def add(self, rows: Iterable[Row], epoch: int) -> None:
        """Add rows that were written under one lease."""
        for row in rows:
            row.lighten()
            self.rows.append((row, epoch))

    def encode(self) -> None:
        """Keep the text of every row, and not what it was made of."""
        self.rows[:] = [(row if isinstance(row, _Text) else _text(row, row.body()), epoch) for row, epoch in self.rows]

    @property
    def last(self) -> Row:
        """The row of the last cycle."""
        return next(row for row, _ in reversed(self.rows) if row.cycle is not None)

    def summary(self, lease: tuple[Lease, bool] | None) -> JobSummary:
        """Return a line about the job."""
        objective = from_json(self.header.intent)["objective"]
        job_id, created, _ = self.header
        cycle, last = self.last.cycle or 0, self.last
        held = lease[0] if lease is not None and lease[1] else None
        return JobSummary(job_id, created, last.at, objective, cycle, last.round, last.facts, last.stop, held)


class _Text(NamedTuple):
    """A row that has been encoded."""

    cycle: int | None
    at: float
    round: int
    facts: int
    stop: str | None
    text: str

    def body(self) -> str:
        """Return the row as JSON."""
        return self.text

    def lighten(self) -> None:
        """Keep the text: there is nothing else."""


def _text(row: Row | StoredRow, body: str) -> _Text:
    return _Text(row.cycle, row.at, row.round, row.facts, row.stop, body)
