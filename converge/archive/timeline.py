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
    return [_moment(row) for row in await store.rows(job_id) if row.number]


def _moment(row: StoredRow) -> Moment:
    size, what = len(row.body.encode(errors="surrogateescape")), _what(_read(row.body))
    return Moment(row.number, row.cycle, row.at, row.round, row.facts, row.stop, row.epoch, size, what)


def _read(body: str) -> Mapping[str, Any] | None:
    try:
        row = from_json(body)
    except (TypeError, ValueError):  # the former for what is no text at all
        return None
    return row if isinstance(row, dict) else None


def _what(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "unreadable: it is not a JSON object"
    try:
        return _told(row)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return f"a row of another form, {row.get('form')!r}"


def _told(row: Mapping[str, Any]) -> str:
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
