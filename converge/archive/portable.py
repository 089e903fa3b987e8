"""One job as one file: a line of JSON for the job, and one for each row and each letter.

The rows bring their digests along, so that a job is the same in every store; the first line has a digest of all lines
after it. It is no signature: who can write the file can make it anew.
"""

__all__ = ["JobFile", "export_job", "import_job", "read_job"]

import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import pairwise
from math import inf
from typing import Any, NamedTuple

from converge.archive.audit import Fault, faults_of
from converge.chain import StoredRow
from converge.errors import JobFileInvalid
from converge.ports import Letter, Store
from converge.snapshot import FORM as ROW_FORM

_FORM = 1  # of the file


class JobFile(NamedTuple):
    """What a file holds: a job's rows, the header first, and the letters to it."""

    job_id: str
    rows: Sequence[StoredRow]
    letters: Sequence[Letter]


async def export_job(store: Store, job_id: str) -> list[str]:
    """Return the lines of a job's file. Raises JobUnknown."""
    rows, letters = await store.rows(job_id), await store.letters(job_id, 0)
    lines = [_line(record) for record in (*rows, *letters)]
    counts = {"rows": len(rows), "letters": len(letters), "digest": _digest(lines)}
    return [_line({"converge": "job", "form": _FORM, "job_id": job_id, **counts}), *lines]


def read_job(lines: Iterable[str], path: str) -> JobFile:
    """Return the job that the lines of a file hold; `path` is what to call the file.

    Raises JobFileInvalid for what is not whole and as it was exported, and for what a newer version wrote.
    """
    first, *others = lines or [""]
    head = _head(first, path)
    if len(others) != head["rows"] + head["letters"]:
        reason = f"it was cut or added to: after the first line there are {len(others):,} lines and not the "
        raise JobFileInvalid(path, f"{reason}{head['rows'] + head['letters']:,} that it had")
    found = [_parsed(number, line, path) for number, line in enumerate(others, start=2)]
    rows = [_record(StoredRow, _ROW, number, record, path) for number, record in found[: head["rows"]]]
    letters = [_record(Letter, _LETTER, number, record, path) for number, record in found[head["rows"] :]]
    for fault in (*_misplaced(rows), *faults_of(head["job_id"], rows), *_unreadable(rows)):
        raise JobFileInvalid(path, f"row {fault.number}: {fault.text}")
    if _digest(others) != head["digest"] or [letter.number for letter in letters] != [*range(1, len(letters) + 1)]:
        raise JobFileInvalid(path, "its lines are not those that were exported: it was edited")
    return JobFile(head["job_id"], rows, letters)


async def import_job(store: Store, job: JobFile) -> None:
    """Add a job that was exported, all of it or nothing. Raises JobExists."""
    await store.adopt(job.job_id, job.rows)
    try:
        for letter in job.letters:  # in order, so that they get the numbers they had
            await store.give(job.job_id, letter.at, letter.body)
    except BaseException:
        await store.remove(job.job_id, inf)  # nobody can have begun to run it: whatever lease there is has ended
        raise


_HEAD = {"job_id": str, "rows": int, "letters": int, "digest": str}
_ROW = (int, int | None, float | int, int, int, str | None, int, str, str)
_LETTER = (int, float | int, str)


def _head(line: str, path: str) -> dict[str, Any]:
    try:
        head = json.loads(line)
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict) or head.get("converge") != "job":
        raise JobFileInvalid(path, "it does not begin as a job's file does: make one with `converge export`")
    if head.get("form") != _FORM:
        reason = f"it has form {head.get('form')!r} and this version of Converge reads form {_FORM}"
        raise JobFileInvalid(path, f"{reason}: upgrade converge-runtime, or export the job again")
    if any(type(head.get(name)) is not sort for name, sort in _HEAD.items()) or head["rows"] < 1:
        raise JobFileInvalid(path, "its first line was edited: export the job again")
    return head


def _parsed(number: int, line: str, path: str) -> tuple[int, Any]:
    try:
        return number, json.loads(line)
    except (ValueError, RecursionError) as error:
        raise JobFileInvalid(path, f"line {number} is not JSON: it was cut or edited") from error


def _record(cls: type[Any], sorts: Sequence[Any], number: int, record: Any, path: str) -> Any:
    fits = isinstance(record, list) and len(record) == len(sorts)
    if not fits or not all(isinstance(value, sort) for value, sort in zip(record, sorts, strict=True)):
        raise JobFileInvalid(path, f"line {number} holds no {'row' if cls is StoredRow else 'letter'}: it was edited")
    return cls(*record)


def _misplaced(rows: Sequence[StoredRow]) -> Iterator[Fault]:
    for before, row in pairwise(rows):
        if row.number <= before.number:
            yield Fault(row.number, f"it comes after row {before.number}")


def _unreadable(rows: Sequence[StoredRow]) -> Iterator[Fault]:
    """Say what this version could not read, though it is as it was written."""
    for row in rows:
        try:
            body = json.loads(row.body)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            yield Fault(row.number, "it is not a JSON object")
        elif row.number and not (isinstance(body.get("form"), int) and body["form"] <= ROW_FORM):
            reason = f"it has form {body.get('form')!r} and this version of Converge reads up to form {ROW_FORM}"
            yield Fault(row.number, f"{reason}: upgrade converge-runtime")


def _digest(lines: Iterable[str]) -> str:
    text = "".join(line.rstrip("\r\n") + "\n" for line in lines)
    return blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()


def _line(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"
