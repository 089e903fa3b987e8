"""A job's rows as a list of moments: what each added, under which lease, and how large it is."""

__all__ = ["Moment", "timeline"]

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json

from converge.chain import StoredRow
from converge.ports import Store


class Moment(NamedTuple):
    """One row after the header. `facts` is how many the job has with it, `stop` why it stopped there, if it did.

    what: in a few words, what the row is beyond a cycle: captures, a beginning anew, where a copy comes from.
    """

    number: int
    cycle: int | None
    at: float
    round: int
    facts: int
    stop: str | None
    epoch: int
    bytes: int
    what: str


async def timeline(store: Store, job_id: str) -> list[Moment]:
    """Return the moments of a job of an open store. Raises JobUnknown."""
    _, *rows = await store.rows(job_id)
    return [_moment(row) for row in rows]


def _moment(row: StoredRow) -> Moment:
    size, what = len(row.body.encode()), _what(from_json(row.body))
    return Moment(row.number, row.cycle, row.at, row.round, row.facts, row.stop, row.epoch, size, what)


def _what(row: Mapping[str, Any]) -> str:
    said = []
    if "origin" in row:
        job_id, cycle = row["origin"]
        said.append(f"copied from {job_id}, cycle {cycle}")
    if "anew" in row:
        said.append("begun anew")
    if captures := len(row.get("captures", ())):
        said.append("1 capture" if captures == 1 else f"{captures} captures")
    if any(event[0] == "FactsArrived" for event in row.get("trace", ())):
        said.append("facts from a letter")
    return ", ".join(said)
