"""A job's rows up to some cycle as another job of its own."""

__all__ = ["copy_job"]

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_core import from_json

from converge.chain import JobHeader, StoredRow, rechained
from converge.errors import CycleUnknown
from converge.ports import Store
from converge.snapshot import FORM


async def copy_job(
    store: Store, job_id: str, new_id: str, cycle: int | None, now: float, *, all_captures: bool
) -> None:
    """Add a job that is what another was when `cycle` was complete; default: what it is.

    It says where it comes from. `all_captures` takes along what was captured later. Raises JobUnknown, CycleUnknown or
    JobExists.
    """
    header, *rows = await store.rows(job_id)
    upto = _place_of(rows, job_id, cycle)
    captures = list(_captures(rows[upto:])) if all_captures else []
    last = next(row for row in reversed(rows[:upto]) if row.cycle is not None)
    # A letter belongs to the job that it was written to: those to the copy are numbered from 1 again.
    body = _dump({"form": FORM, "origin": [job_id, last.cycle], "letter": 0, "captures": captures})
    origin = StoredRow(0, None, now, last.round, last.facts, None, 0, "", body)
    await store.adopt(new_id, rechained(JobHeader(new_id, now, header.body), [*rows[:upto], origin]))


def _place_of(rows: Sequence[StoredRow], job_id: str, cycle: int | None) -> int:
    """Return how many rows a job had when a cycle was complete."""
    if cycle is None:
        return len(rows)
    for place, row in enumerate(rows, start=1):
        if row.cycle == cycle:
            return place
    raise CycleUnknown(job_id, cycle, max(row.cycle or 0 for row in rows))


def _captures(rows: Sequence[StoredRow]) -> Iterator[Any]:
    for row in rows:
        yield from from_json(row.body).get("captures", ())


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
