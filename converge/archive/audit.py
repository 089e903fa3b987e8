"""An audit: whether a stored job's rows are those that were written, each, all, and in their order.

Each row's digest is of the digest before it, so what was done to one row may show at the next one. A fault stands at
the row that does not fit, and its text names every row that can have been touched, as far as the digests tell.
"""

__all__ = ["Audit", "Fault", "audit", "faults_of"]

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from converge.chain import StoredRow
from converge.errors import JobUnknown
from converge.ports import Store


class Fault(NamedTuple):
    """What is wrong with which row. `cycle` is the one that the row says it completes, if it is there and does."""

    number: int
    text: str
    cycle: int | None = None


class Audit(NamedTuple):
    """The result for one job: how many rows it has, the digest of the last one, and every fault that was found.

    noted: the row whose digest was noted elsewhere, if one was given and it is there.
    """

    job_id: str
    rows: int
    digest: str
    faults: tuple[Fault, ...]
    noted: int | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing was edited, removed or reordered."""
        return not self.faults


async def audit(store: Store, job_id: str, expected: str | None = None) -> Audit:
    """Check a job of an open store; `expected` is the digest that its last row had when that was noted elsewhere.

    Rows that are missing at the end are noticed if the job was left in order after they were written, or by
    `expected`; in a job that went on since, an earlier row has that digest. Raises JobUnknown.
    """
    anchor = await store.anchor(job_id)  # first: whoever runs the job may add rows between the two questions
    try:
        rows = await store.rows(job_id)
    except JobUnknown:
        last, _ = await store.anchor(job_id)  # once more: whoever removes the job does so with all that tells of it
        if not last:
            raise
        return Audit(job_id, 0, "", (Fault(0, _missing(0, last)),))
    faults = faults_of(job_id, rows)
    faults += _end_faults(rows, {fault.number for fault in faults}, *anchor)
    noted = next((row.number for row in rows if row.digest == expected), None)
    if expected is not None and noted is None:
        text = f"no row up to this last one has the digest that was noted, {expected}"
        faults.append(Fault(rows[-1].number, text, rows[-1].cycle))
    return Audit(job_id, len(rows), rows[-1].digest, tuple(faults), noted)


def faults_of(job_id: str, rows: Sequence[StoredRow]) -> list[Fault]:
    """Return what is wrong with the rows of a job as such, in their order."""
    chain = _Chain(job_id, rows)
    return sorted([*chain.gaps(), *chain.breaks()], key=lambda fault: fault.number)


class _Chain:
    """A job's rows by number, and those that do not follow from the row before.

    Where many do not, no single thing was done to the job, and what became of each is not looked into.
    """

    def __init__(self, job_id: str, rows: Sequence[StoredRow]) -> None:
        self._job_id, self._rows = job_id, {row.number: row for row in rows}
        unlinked = {number for number in self._rows if number > 0 and number - 1 not in self._rows}
        self._broken = {number for number in self._rows if number not in unlinked and not self._follows(number)}
        self._redigested, self._intact = self._attested()
        suspects = sorted(self._broken - self._redigested - self._intact | unlinked)
        self._moved = dict(self._moves(suspects)) if len(suspects) <= _MOST_EXPLAINED else {}

    def gaps(self) -> Iterator[Fault]:
        """Say which rows are missing between those that are there, but for places that a row was moved to."""
        origins = self._moved.values()
        last = max({*self._rows} - {*self._moved} | {*origins}, default=0)
        places = (-1, *(number for number in sorted(self._rows) if 0 <= number <= last), last + 1)
        for before, after in pairwise(places):
            if after > before + 1:
                yield Fault(before + 1, _missing(before + 1, after - 1))

    def breaks(self) -> Iterator[Fault]:
        """Say of each row that does not fit what can have become of it."""
        for number in sorted(self._broken | {*self._moved}):
            if text := self._text(number):
                yield Fault(number, text, self._rows[number].cycle)

    def _text(self, number: int) -> str:
        if number in self._redigested:
            return "its digest was edited"
        if number in self._moved:
            return f"it was row {self._moved[number]} once: rows have changed places"
        if number in self._intact or self._came_after_moved(number):
            return ""
        if number <= 0:
            return "it was edited, or it is the header of another job" if not number else "no row has such a number"
        if number - 1 in self._broken:
            return f"it was edited, or written after another row {number - 1} than the one that is there"
        return f"it was edited or comes from elsewhere, or row {number - 1} was edited together with its digest"

    def _follows(self, number: int) -> bool:
        row, before = self._rows[number], self._before(number)
        return before is not None and row.digest_after(before) == row.digest

    def _before(self, number: int) -> str | None:
        if number == 0:
            return self._job_id
        return self._rows[number - 1].digest if number - 1 in self._rows else None

    def _attested(self) -> tuple[set[int], set[int]]:
        """Return the rows of which only the digest was edited, and those that merely come after such rows.

        What a row's digest should be is known as long as rows are as they were; a later row that fits it says so.
        """
        redigested, intact, should = set[int](), set[int](), ""
        run: list[tuple[int, bool]] = []
        for number in sorted(self._broken):
            if not run or run[-1][0] != number - 1:
                run, should = [], self._before(number) or ""
            row = self._rows[number]
            should = row.digest_after(should)
            run.append((number, should == row.digest))
            if should == row.digest:
                intact |= {place for place, fits in run if fits}
                redigested |= {place for place, fits in run if not fits}
        return redigested, intact

    def _moves(self, suspects: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Find the rows that follow from another one if they had another number."""
        digests = [self._rows[number].digest for number in suspects]
        for number in suspects:
            for origin in self._places(suspects):
                before = self._before(origin)
                if origin != number and _was(self._rows[number], origin, (*digests, *([before] if before else []))):
                    yield number, origin
                    break

    def _places(self, suspects: Sequence[int]) -> list[int]:
        """Return the numbers that a suspect may have had: those of the others, and the first missing ones."""
        numbers = sorted(number for number in self._rows if number >= 0)
        holes = [number + 1 for number in numbers if number + 1 not in self._rows]
        return [*suspects, *([] if 0 in self._rows else [0]), *holes[:_MOST_EXPLAINED]]

    def _came_after_moved(self, number: int) -> bool:
        return _was(self._rows[number], number, [self._rows[moved].digest for moved in self._moved])


_MOST_EXPLAINED = 20  # rows; looking into each takes the square of their number


def _was(row: StoredRow, number: int, before: Iterable[str]) -> bool:
    """Whether a row is as it was written if it had this number and came after one of these digests."""
    return any(row._replace(number=number).digest_after(digest) == row.digest for digest in before)


def _end_faults(rows: Sequence[StoredRow], known: set[int], number: int, digest: str) -> Iterator[Fault]:
    last = rows[-1].number
    if number > last:
        yield Fault(last + 1, _missing(last + 1, number))
    for row in rows:
        if row.number == number and digest and row.digest != digest and number not in known:
            yield Fault(number, "it is not the row that was the last one when the job was left", row.cycle)


def _missing(first: int, last: int) -> str:
    what = "the header" if last == 0 else f"row {first}" if first == last else f"rows {first} to {last}"
    return f"{what} {'is' if first == last else 'are'} missing"
