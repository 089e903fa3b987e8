"""What the outside must fit: the clock a job lives by, the store that keeps it, and the values they exchange.

A store knows nothing of facts: it appends rows whose body is opaque JSON, in order, all or none, and hands them back.
"""

__all__ = ["Clock", "CycleRow", "JobHeader", "JobSummary", "Store", "StoredJob"]

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, runtime_checkable


class Clock(Protocol):
    """Time as the runtime sees it; the core sees none."""

    def now(self) -> float:
        """Return seconds since the epoch, for records."""

    def elapsed(self) -> float:
        """Return seconds from some fixed moment, for durations."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def move_on_after(self, seconds: float) -> AbstractContextManager[Any]:
        """Return a cancel scope that ends after `seconds`; its `cancelled_caught` says whether it did."""


class JobHeader(NamedTuple):
    """What never changes of a job. `intent` is the root intent's canonical JSON."""

    job_id: str
    created: float
    intent: str


class CycleRow(Protocol):
    """What one cycle added. `number` counts from 1 without gaps; `stop` is the stop reason of a last row, else None."""

    @property
    def number(self) -> int:
        """Its place among the job's rows, from 1."""

    @property
    def at(self) -> float:
        """When it was made, in seconds since the epoch."""

    @property
    def round(self) -> int:
        """The round it merged into."""

    @property
    def facts(self) -> int:
        """How many facts the job has with it."""

    @property
    def stop(self) -> str | None:
        """The stop reason, of a last row."""

    def body(self) -> str:
        """Return the row as JSON; computed when it is asked for."""

    def lighten(self) -> None:
        """Drop what can be computed again; for stores that keep the row itself."""


class StoredJob(NamedTuple):
    """A job as a store hands it back: the bodies of its rows in order."""

    header: JobHeader
    bodies: Sequence[str]


class JobSummary(NamedTuple):
    """One line about a job. `stop` is None while it runs, or where it was interrupted."""

    job_id: str
    created: float
    updated: float
    objective: str
    cycles: int
    round: int
    facts: int
    stop: str | None


@runtime_checkable
class Store(Protocol):
    """Where jobs are kept. Every method may raise StoreUnavailable.

    A store is opened and closed by its engine, possibly several times, and serves many jobs at once.
    """

    @property
    def durable(self) -> bool:
        """Whether what is appended outlives the process.

        If not, rows are kept without being encoded, and `create` and `append` never wait.
        """

    async def open(self) -> None:
        """Make ready. Raises StoreForeign or StoreTooNew for a place that is not, or not yet, understood."""

    async def close(self) -> None:
        """Let go of every resource; a store that is closed can be opened again."""

    async def create(self, header: JobHeader, first: CycleRow) -> None:
        """Add a job and its first row, both or neither. Raises JobExists."""

    async def append(self, job_id: str, rows: Sequence[CycleRow]) -> None:
        """Add rows, all or none. Raises StoreConflict if the first is not the next after the last one kept."""

    async def load(self, job_id: str) -> StoredJob:
        """Return a job. Raises JobUnknown."""

    async def jobs(self) -> Sequence[JobSummary]:
        """Return all jobs, the newest first."""
