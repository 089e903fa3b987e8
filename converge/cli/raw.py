"""The facts of a job as they lie in its rows: nothing is checked, computed or left out, whatever the rows hold."""

__all__ = ["show_raw"]

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import anyio

from converge.chain import StoredRow
from converge.cli.console import Part, as_line, data, news, one_line, write_line
from converge.cli.exit_codes import ExitCode
from converge.cli.place import reading
from converge.cli.stored import unknown_kind
from converge.errors import CycleUnknown


class _RawFact(NamedTuple):
    """A fact of a row. Where the row has another form, `id` and `round` may be null, and `fact` is what there is."""

    row: int
    cycle: int | None
    id: str | None
    round: int | None
    fact: Any


class _Unreadable(NamedTuple):
    """A row that holds no facts one could show, and why."""

    row: StoredRow
    why: str


def show_raw(
    address: str, job_id: str, cycle: int | None, kind: str | None, *, everything: bool, as_json: bool
) -> ExitCode:
    """Print the facts of a job, one a line, and name the rows that cannot be read; return the exit code.

    As JSON, a line is {"row": int, "cycle": int | null, "id": text | null, "round": int | null, "fact": anything}.
    """
    rows = _upto(anyio.run(_rows, address, job_id), job_id, cycle)
    found = [fact for row in rows for fact in _facts(row)]
    facts = [one for one in found if isinstance(one, _RawFact)]
    if kind is not None and not any(_kind(fact) == kind for fact in facts):
        raise unknown_kind(kind, map(_kind, facts))
    console, warnings = data(), news()
    for one in found:
        if isinstance(one, _Unreadable):
            write_line(warnings, ("warning: ", "yellow"), _sentence(one))
        elif kind is None or _kind(one) == kind:
            line = (json.dumps(one._asdict()),) if as_json else _line(one)
            write_line(console, *line, cut=not (everything or as_json))
    return ExitCode.DEFECT if len(facts) < len(found) else ExitCode.FIXED_POINT


def _kind(fact: _RawFact) -> str:
    return (fact.id or "").rpartition(":")[0]


def _line(found: _RawFact) -> tuple[Part, ...]:
    cycle = "" if found.cycle is None else str(found.cycle)
    return (f"{cycle:>5}  ", "dim"), (one_line(found.id or "?"), "bold"), f"  {as_line(found.fact)}"


async def _rows(address: str, job_id: str) -> Sequence[StoredRow]:
    async with reading(address) as store:
        return await store.rows(job_id)


def _upto(rows: Sequence[StoredRow], job_id: str, cycle: int | None) -> Sequence[StoredRow]:
    if cycle is None:
        return rows
    for place, row in enumerate(rows, start=1):
        if row.cycle == cycle:
            return rows[:place]
    raise CycleUnknown(job_id, cycle, max(row.cycle or 0 for row in rows))


def _facts(row: StoredRow) -> Iterator[_RawFact | _Unreadable]:
    try:
        body = json.loads(row.body)
    except (ValueError, RecursionError) as error:
        yield _Unreadable(row, f"it is not JSON: {error}")
        return
    if row.number == 0:
        return  # the root intent
    facts = body.get("facts", []) if isinstance(body, dict) else None
    if not isinstance(facts, list):
        yield _Unreadable(row, "it is of a form without a list of facts")
        return
    for fact in facts:
        yield _fact(row, fact)


def _fact(row: StoredRow, found: Any) -> _RawFact:
    match found:
        case [str(fact_id), int(round), content]:
            return _RawFact(row.number, row.cycle, fact_id, round, content)
        case _:
            return _RawFact(row.number, row.cycle, None, None, found)


def _sentence(found: _Unreadable) -> str:
    cycle = "" if found.row.cycle is None else f", cycle {found.row.cycle}"
    return f"row {found.row.number}{cycle} is left out: {one_line(found.why)} ({len(found.row.body):,} characters)"
