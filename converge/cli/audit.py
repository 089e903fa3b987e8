"""`converge audit`: whether the rows of stored jobs are those that were written."""

__all__ = ["audit"]

import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import anyio
import typer
from rich.console import Console

from converge.archive.audit import Audit
from converge.archive.audit import audit as audited
from converge.cli.console import AsJson, Part, counted, data, news, one_line, write_json, write_line, write_rows
from converge.cli.exit_codes import ExitCode
from converge.cli.place import DEFAULT_STORE, StoreAddress, reading
from converge.cli.usage import OptionInvalid
from converge.errors import JobUnknown

JobOrAll = Annotated[
    str | None, typer.Argument(metavar="[JOB]", help="The id of the job; every job of the store if left out.")
]


def audit(
    job: JobOrAll = None,
    expect: Annotated[
        str | None, typer.Option("--expect", metavar="DIGEST", help="The digest of a row, as it was noted elsewhere.")
    ] = None,
    store: StoreAddress = DEFAULT_STORE,
    as_json: AsJson = False,
) -> int:
    """Say whether a job's rows are those that were written: none edited, none missing, none moved.

    Each row's digest is of the digest before it, so what was done to one row shows. Exits with 1 if anything is wrong.

    Who can write the file can make all digests anew: note the last one elsewhere, and --expect it later.

    A job that went on since it was noted has that digest in an earlier row, and all after it follows from that.

    Example: converge audit job-1f2e3d4c --expect 5f0c2b9d7a1e4c3f8b6d0e9a7c5b3d1f
    """
    if expect is not None:
        _refuse_expected(job, expect)
    found = anyio.run(_audits, store, job, expect)
    if as_json:
        write_json(_told(store, found))
    elif job is None:
        _list(store, found)
    else:
        _show(found[0], store, expect)
    return _code(found)


def _refuse_expected(job: str | None, digest: str) -> None:
    if job is None:
        raise OptionInvalid("--expect", "name the JOB that has this digest, as in converge audit JOB --expect DIGEST")
    if not re.fullmatch("[0-9a-f]{32}", digest):
        raise OptionInvalid("--expect", f"{digest!r} is no digest: it has 32 hexadecimal digits, in small letters")


async def _audits(address: str, job_id: str | None, expected: str | None) -> list[Audit]:
    async with reading(address) as store:
        if job_id is not None:
            return [await audited(store, job_id, expected)]
        found = []
        for name in await store.mentioned():
            with suppress(JobUnknown):  # it was removed since it was listed
                found.append(await audited(store, name))
        return found


def _code(found: Sequence[Audit]) -> ExitCode:
    return ExitCode.FIXED_POINT if all(one.sound for one in found) else ExitCode.DEFECT


def _told(store: str, found: Sequence[Audit]) -> dict[str, object]:
    """Return JSON data of this shape; `noted` is the row that has the expected digest, `cycle` that of the row.

    {"store": text, "exit_code": int, "sound": bool, "jobs": [{"job_id": text, "sound": bool, "rows": int,
    "digest": text, "noted": int | null, "faults": [{"row": int, "cycle": int | null, "text": text}]}]}
    """
    code = _code(found)
    return {"store": store, "exit_code": int(code), "sound": not code, "jobs": [_audit_told(one) for one in found]}


def _audit_told(found: Audit) -> dict[str, object]:
    faults = [{"row": fault.number, "cycle": fault.cycle, "text": fault.text} for fault in found.faults]
    said = {"rows": found.rows, "digest": found.digest, "noted": found.noted, "faults": faults}
    return {"job_id": found.job_id, "sound": found.sound, **said}


def _show(found: Audit, store: str, expected: str | None) -> None:
    console = data()
    write_line(console, *_verdict(found))
    _show_faults(console, found)
    if expected is not None and found.noted is not None:
        since = found.rows - 1 - found.noted
        last = "the last one" if not since else f"after which {counted(since, 'row')} came"
        write_line(console, f"the digest that was noted is that of row {found.noted}, {last}")
    elif found.sound:
        place = [] if store == DEFAULT_STORE else ["--store", store]
        command = shlex.join(["converge", "audit", found.job_id, "--expect", found.digest, *place])
        write_line(news(), ("note the digest elsewhere, and nobody can make all rows anew unnoticed:", "dim"))
        write_line(news(), (f"  {command}", "dim"))


def _verdict(found: Audit) -> tuple[Part, ...]:
    verdict = ("sound", "bold green") if found.sound else ("not sound", "bold red")
    faults = "" if found.sound else f", {counted(len(found.faults), 'fault')}"
    digest = f", digest {found.digest}" if found.digest else ""
    return verdict, f": {counted(found.rows, 'row')}{faults}{digest}"


def _show_faults(console: Console, found: Audit) -> None:
    for fault in found.faults:
        cycle = "" if fault.cycle is None else f", cycle {fault.cycle}"
        write_line(console, "  ", (f"row {fault.number}{cycle}", "red"), f": {fault.text}")


def _list(store: str, found: Sequence[Audit]) -> None:
    console = data()
    if not found:
        write_line(console, f"no jobs in {one_line(store)}")
        return
    rows: list[list[Part]] = [[(heading, "dim") for heading in ("audit", "job", "rows", "digest")]]
    for one in found:
        verdict = ("sound", "green") if one.sound else ("not sound", "bold red")
        rows.append([verdict, one_line(one.job_id), f"{one.rows:,}", one.digest])
    write_rows(console, rows)
    for one in found:
        if not one.sound:
            write_line(console, "")
            write_line(console, (one_line(one.job_id), "bold"), f": {counted(len(one.faults), 'fault')}")
            _show_faults(console, one)
