"""What the outside must fit: the clock a job lives by, the store that keeps it, and the values they exchange.

A store knows nothing of facts: it appends rows whose body is opaque JSON, in order, all or none, and hands them back.
Only whoever holds a job's lease may append to it: each lease has an epoch, and a store refuses what comes under an
earlier one, so that a process which was taken for dead and wakes up late cannot write.
"""

__all__ = ["Clock", "Holder", "JobSummary", "Lease", "Letter", "Store", "StoredJob"]

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, runtime_checkable

from converge.chain import JobHeader, Row, StoredRow


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


class Holder(NamedTuple):
    """Who runs a job. `token` is of one lease alone; `place` and `started` tell processes of equal numbers apart."""

    token: str
    host: str
    place: str
    process: int
    started: str


class Lease(NamedTuple):
    """The right to append to a job until `expires` (seconds since the epoch), and until another takes it after that."""

    job_id: str
    holder: Holder
    epoch: int
    expires: float


class Letter(NamedTuple):
    """Facts that were given to a job from outside while it ran, or lay still. `number` counts from 1 within the job."""

    number: int
    at: float
    body: str


class StoredJob(NamedTuple):
    """A job as a store hands it back: the bodies of its rows in order."""

    header: JobHeader
    bodies: Sequence[str]


class JobSummary(NamedTuple):
    """One line about a job. `stop` is None while it runs, or where it was interrupted; `lease` is who runs it."""

    job_id: str
    created: float
    updated: float
    objective: str
    cycles: int
    round: int
    facts: int
    stop: str | None
    lease: Lease | None = None


@runtime_checkable
class Store(Protocol):
    """Where jobs are kept. Every method may raise StoreUnavailable.

    A store is opened and closed by its engine, possibly several times, and serves many jobs at once.
    """

    @property
    def durable(self) -> bool:
        """Whether what is appended outlives the process.

        If not, rows are kept without being encoded, and no method ever waits.
        """

    async def open(self) -> None:
        """Make ready. Raises StoreForeign or StoreTooNew for a place that is not, or not yet, understood."""

    async def close(self) -> None:
        """Let go of every resource; a store that is closed can be opened again."""

    # --- leases -------------------------------------------------------------------------------------------------

    async def take(self, job_id: str, holder: Holder, now: float, expires: float, over: str | None = None) -> Lease:
        """Give out the lease of a job, which need not exist yet, with an epoch above every earlier one.

        Raises JobLeased while another holder has it, its expiry is not before `now`, and its token is not `over`.
        """

    def renew(self, leases: Iterable[Lease], expires: float) -> None:
        """Put off when leases expire, but for those that somebody else has taken. It blocks, in any thread."""

    async def release(self, lease: Lease) -> None:
        """Give a lease back, and note how far the job has come; harmless where somebody else has taken it."""

    async def holder(self, job_id: str, now: float) -> Lease | None:
        """Return the lease of a job that somebody runs; None where it has expired or was given back."""

    # --- rows ---------------------------------------------------------------------------------------------------

    async def create(self, lease: Lease, header: JobHeader, rows: Sequence[Row]) -> None:
        """Add a job and its first rows, all or none. Raises JobExists or LeaseLost."""

    async def append(self, lease: Lease, after: int, rows: Sequence[Row]) -> int:
        """Add rows after row number `after`, all or none; return the number of the last letter to the job, 0 for none.

        Raises LeaseLost where the lease is not the job's latest, StoreConflict where the next row is there already.
        """

    async def adopt(self, job_id: str, rows: Sequence[StoredRow]) -> None:
        """Add a whole job as it was kept elsewhere, the header first. Raises JobExists."""

    async def load(self, job_id: str, cycle: int | None = None) -> StoredJob:
        """Return a job, or what it was when `cycle` was complete. Raises JobUnknown or CycleUnknown."""

    async def rows(self, job_id: str, after: int = -1) -> Sequence[StoredRow]:
        """Return the rows of a job with a higher number than `after` as they are kept, in order; the header is row 0.

        Raises JobUnknown.
        """

    async def anchor(self, job_id: str) -> tuple[int, str]:
        """Return number and digest of the last row when a lease of the job was last given back; (0, "") for never."""

    async def jobs(self) -> Sequence[JobSummary]:
        """Return all jobs, the newest first."""

    async def mentioned(self) -> Sequence[str]:
        """Return the ids of all jobs that anything tells of, in order: one whose rows were taken away included."""

    async def remove(self, job_id: str, now: float) -> None:
        """Delete a job with all that belongs to it. Raises JobLeased while somebody runs it."""

    # --- letters ------------------------------------------------------------------------------------------------

    async def give(self, job_id: str, at: float, body: str) -> int:
        """Keep a letter to a job and return its number. Raises JobUnknown."""

    async def letters(self, job_id: str, after: int) -> Sequence[Letter]:
        """Return the letters to a job with a higher number than `after`, in order."""
