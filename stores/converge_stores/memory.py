"""A store in this process's memory: the library's default, and the reference for the store contract."""

__all__ = ["MemoryStore"]

from collections.abc import Sequence
from typing import NamedTuple

from pydantic_core import from_json

from converge.errors import JobExists, JobUnknown, StoreConflict
from converge.ports import CycleRow, JobHeader, JobSummary, StoredJob


class MemoryStore:
    """Keeps jobs until the process ends, and at most `keep` that have stopped: the oldest make room first.

    Rows are kept as they come and encoded when somebody asks for them; from then on only their text is kept, so that
    of a job that is resumed again and again there is one context in memory and not one for each time.
    """

    durable = False

    def __init__(self, keep: int = 100) -> None:
        self.keep = keep
        self._jobs: dict[str, tuple[JobHeader, list[CycleRow]]] = {}

    def __repr__(self) -> str:
        return f"<memory store of {len(self._jobs)} jobs>"

    async def open(self) -> None:
        """Do nothing: memory is always open."""

    async def close(self) -> None:
        """Do nothing: what is kept can still be resumed."""

    async def create(self, header: JobHeader, first: CycleRow) -> None:
        """Add a job and its first row."""
        if header.job_id in self._jobs:
            raise JobExists(header.job_id, "memory")
        self._make_room()
        self._jobs[header.job_id] = (header, [])
        await self.append(header.job_id, [first])

    async def append(self, job_id: str, rows: Sequence[CycleRow]) -> None:
        """Add rows, all or none."""
        kept = self._kept(job_id)[1]
        for number, row in enumerate(rows, start=len(kept) + 1):
            if row.number != number:
                raise StoreConflict(job_id, row.number)
        for row in rows:
            row.lighten()
        kept.extend(rows)

    async def load(self, job_id: str) -> StoredJob:
        """Return a job."""
        header, rows = self._kept(job_id)
        rows[:] = [row if isinstance(row, _Text) else _text(row) for row in rows]
        return StoredJob(header, [row.body() for row in rows])

    async def jobs(self) -> Sequence[JobSummary]:
        """Return all jobs, the newest first."""
        return [_summary(header, rows) for header, rows in reversed(self._jobs.values())]

    def _kept(self, job_id: str) -> tuple[JobHeader, list[CycleRow]]:
        if job_id not in self._jobs:
            raise JobUnknown(job_id, "memory", self._jobs)
        return self._jobs[job_id]

    def _make_room(self) -> None:
        surplus = len(self._jobs) + 1 - self.keep
        if surplus > 0:
            stopped = [job_id for job_id, (_, rows) in self._jobs.items() if rows and rows[-1].stop]
            for job_id in stopped[:surplus]:
                del self._jobs[job_id]


class _Text(NamedTuple):
    """A row that has been encoded."""

    number: int
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


def _text(row: CycleRow) -> _Text:
    return _Text(row.number, row.at, row.round, row.facts, row.stop, row.body())


def _summary(header: JobHeader, rows: Sequence[CycleRow]) -> JobSummary:
    objective = from_json(header.intent)["objective"]
    last = rows[-1]
    return JobSummary(header.job_id, header.created, last.at, objective, last.number, last.round, last.facts, last.stop)
