"""One job as one file: a line of JSON for the job, and one for each row and each letter; the digests included."""

__all__ = ["export_job", "import_job"]

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from converge.archive.audit import faults_of
from converge.chain import StoredRow
from converge.errors import JobFileInvalid
from converge.ports import Letter, Store

_FORM = 1  # of the file


async def export_job(store: Store, job_id: str) -> AsyncIterator[str]:
    """Iterate over the lines of a job's file. Raises JobUnknown."""
    rows, letters = await store.rows(job_id), await store.letters(job_id, 0)
    yield _line({"converge": "job", "form": _FORM, "job_id": job_id, "rows": len(rows), "letters": len(letters)})
    for row in rows:
        yield _line(row)
    for letter in letters:
        yield _line(letter)


async def import_job(store: Store, lines: Iterable[str], path: str) -> str:
    """Add the job that the lines of a file hold and return its id. `path` is what to call the file.

    Raises JobFileInvalid for what is not whole and as it was exported, and JobExists.
    """
    job_id, rows, letters = _read(lines, path)
    if faults := faults_of(job_id, rows):
        raise JobFileInvalid(path, f"row {faults[0].number}: {faults[0].text}")
    await store.adopt(job_id, rows)
    for letter in letters:  # in order, so that they get the numbers they had
        await store.give(job_id, letter.at, letter.body)
    return job_id


def _read(lines: Iterable[str], path: str) -> tuple[str, list[StoredRow], list[Letter]]:
    numbered = enumerate(lines, start=1)
    head = _parsed(*next(numbered, (1, "")), path)
    if not isinstance(head, dict) or head.get("converge") != "job":
        raise JobFileInvalid(path, "it does not begin as a job's file does: export one with `converge export`")
    if head.get("form") != _FORM:
        raise JobFileInvalid(path, f"form {head.get('form')} of files is not form {_FORM}: upgrade converge-runtime")
    found = [_parsed(number, line, path) for number, line in numbered]
    if len(found) != head["rows"] + head["letters"]:
        raise JobFileInvalid(path, f"{len(found) + 1} lines are not the {head['rows'] + head['letters'] + 1} it had")
    try:
        rows = [StoredRow(*row) for row in found[: head["rows"]]]
        return head["job_id"], rows, [Letter(*letter) for letter in found[head["rows"] :]]
    except TypeError as error:
        raise JobFileInvalid(path, f"a line holds no row: {error}") from error


def _parsed(number: int, line: str, path: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise JobFileInvalid(path, f"line {number} is not JSON: {error}") from error


def _line(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"
