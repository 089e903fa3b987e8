"""The hash chain over a job's rows: each row's digest is of the digest before it, its own columns and its body.

Whoever edits, removes or reorders a row breaks the chain at that row. It is no signature: who can write the file can
make the whole chain anew, so note the last digest elsewhere where that matters.
"""

__all__ = ["JobHeader", "Row", "StoredRow", "header_row", "rechained", "sealed"]

import json
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import NamedTuple, Protocol


class JobHeader(NamedTuple):
    """What never changes of a job. `intent` is the root intent's canonical JSON."""

    job_id: str
    created: float
    intent: str


class Row(Protocol):
    """What is appended to a job: what a cycle added, or records that could not wait for one.

    `cycle` counts from 1 and is None for records; `stop` is the stop reason of a job's last cycle, else None.
    """

    @property
    def cycle(self) -> int | None:
        """Which cycle it completes, if one."""

    @property
    def at(self) -> float:
        """When it was made, in seconds since the epoch."""

    @property
    def round(self) -> int:
        """The highest round of the job with it."""

    @property
    def facts(self) -> int:
        """How many facts the job has with it."""

    @property
    def stop(self) -> str | None:
        """The stop reason, of a last cycle."""

    def body(self) -> str:
        """Return the row as JSON; computed when it is asked for."""

    def lighten(self) -> None:
        """Drop what can be computed again; for stores that keep the row itself."""


class StoredRow(NamedTuple):
    """A row as it is kept. Row 0 is the job's header; `epoch` is the lease under which it was written."""

    number: int
    cycle: int | None
    at: float
    round: int
    facts: int
    stop: str | None
    epoch: int
    digest: str
    body: str

    def digest_after(self, previous: str) -> str:
        """Return what its digest must be if `previous` is that of the row before it."""
        return _digest(previous, self[:7], self.body)


def header_row(header: JobHeader) -> StoredRow:
    """Return row 0 of a job. The job's id is part of its digest, and through it of every other."""
    columns = (0, None, header.created, 0, 0, None, 0)
    return StoredRow(*columns, _digest(header.job_id, columns, header.intent), header.intent)


def sealed(rows: Iterable[Row], after: int, previous: str, epoch: int) -> Iterator[StoredRow]:
    """Iterate over rows as they are to be kept, from number `after` + 1 on."""
    for number, row in enumerate(rows, start=after + 1):
        columns = (number, row.cycle, row.at, row.round, row.facts, row.stop, epoch)
        body = row.body()
        previous = _digest(previous, columns, body)
        yield StoredRow(*columns, previous, body)


def rechained(header: JobHeader, rows: Iterable[StoredRow]) -> list[StoredRow]:
    """Return a job of this header that has the given rows, in order, as its own."""
    chain = [header_row(header)]
    for number, row in enumerate(rows, start=1):
        bare = row._replace(number=number)
        chain.append(bare._replace(digest=bare.digest_after(chain[-1].digest)))
    return chain


def _digest(previous: str, columns: tuple[object, ...], body: str) -> str:
    text = json.dumps([previous, *columns]) + body
    # What is no UTF-8 in an edited file is still to have a digest: that of the bytes that are there.
    return blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()
