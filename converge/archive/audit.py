"""An audit: whether a stored job's rows are those that were written, each, all, and in their order."""

__all__ = ["Audit", "Fault", "audit", "faults_of"]

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from converge.chain import StoredRow
from converge.ports import Store


class Fault(NamedTuple):
    """What is wrong, and with which row."""

    number: int
    text: str


class Audit(NamedTuple):
    """The result for one job: how many rows it has, the digest of the last one, and every fault that was found."""

    job_id: str
    rows: int
    digest: str
    faults: tuple[Fault, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing was edited, removed or reordered."""
        return not self.faults


async def audit(store: Store, job_id: str, expected: str | None = None) -> Audit:
    """Check a job of an open store; `expected` is the digest of its last row, as it was noted elsewhere.

    Rows that are missing at the end are noticed if the job was left in order after they were written, or by
    `expected`. Raises JobUnknown.
    """
    rows = await store.rows(job_id)
    faults = [*faults_of(job_id, rows), *_end_faults(rows, *await store.anchor(job_id))]
    if expected is not None and rows[-1].digest != expected:
        faults.append(Fault(rows[-1].number, f"it is not the last row that was noted, whose digest is {expected}"))
    return Audit(job_id, len(rows), rows[-1].digest, tuple(faults))


def faults_of(job_id: str, rows: Sequence[StoredRow]) -> list[Fault]:
    """Return what is wrong with the rows of a job as such, the header first."""
    first = rows[0]
    faults = [] if first.number == 0 else [Fault(0, "the header is missing")]
    broken = [first] if first.number == 0 and first.digest_after(job_id) != first.digest else []
    for before, row in pairwise(rows):
        if row.number > before.number + 1:
            faults.append(Fault(before.number + 1, _missing(before.number + 1, row.number - 1)))
        elif row.digest_after(before.digest) != row.digest:
            broken.append(row)
    return sorted([*faults, *_explained(broken, rows)])


def _explained(broken: Sequence[StoredRow], rows: Sequence[StoredRow]) -> Iterator[Fault]:
    """Say of each row that does not follow from the one before what has become of it."""
    before = ["", *(row.digest for row in rows)]
    for row in broken:
        places = (other.number for other in broken if other.number != row.number)
        moved = next((n for n in places if any(_was(row, n, digest) for digest in before)), None)
        if moved is not None:
            yield Fault(row.number, f"it was row {moved} once: rows have changed places")
        elif any(_was(row, row.number, digest) for digest in before):
            yield Fault(row.number, "the row before it is not the one that it was written after")
        else:
            yield Fault(row.number, "it is not as it was written, or the one before it was edited with its digest")


def _was(row: StoredRow, number: int, previous: str) -> bool:
    return row._replace(number=number).digest_after(previous) == row.digest


def _end_faults(rows: Sequence[StoredRow], number: int, digest: str) -> Iterator[Fault]:
    last = rows[-1].number
    if number > last:
        yield Fault(last + 1, _missing(last + 1, number))
    for row in rows:
        if row.number == number and digest and row.digest != digest:
            yield Fault(number, "it is not the row that was the last one when the job was left")


def _missing(first: int, last: int) -> str:
    return f"row {first} is missing" if first == last else f"rows {first} to {last} are missing"
