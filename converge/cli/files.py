"""`converge export` and `converge import`: one job as one file, to keep it, to send it, to go on with it elsewhere."""

__all__ = ["export", "import_"]

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import Annotated, BinaryIO

import anyio
import typer

from converge.archive.audit import Fault, faults_of
from converge.archive.portable import JobFile, export_job, import_job, read_job
from converge.cli.console import AsJson, JobId, counted, data, news, one_line, write_json, write_line
from converge.cli.exit_codes import ExitCode
from converge.cli.place import DEFAULT_STORE, StoreAddress, reading, store_at
from converge.cli.usage import OptionInvalid
from converge.errors import JobExists, JobFileInvalid
from converge.ports import Store
from converge_stores.sqlite.ground import in_bytes


def export(
    job: JobId,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where to write it; stdout if left out, or for -.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there already.")] = False,
    store: StoreAddress = DEFAULT_STORE,
    as_json: AsJson = False,
) -> int:
    """Write a job to a file: all its rows with their digests, and the letters to it, as lines of JSON.

    The file is for its owner alone: facts and prompts are private. `converge import` adds it to another store.

    Exits with 1 if the job's rows are not as they were written: they are exported, and no store takes them.

    Example: converge export job-1f2e3d4c risks.job
    """
    faults, lines = anyio.run(_exported, store, job)
    text = "".join(lines).encode(errors="surrogateescape")  # bytes that are no text stay what they are
    if file is None or str(file) == "-":
        if as_json:
            raise OptionInvalid("--json", "name a FILE for the job: what is written to stdout is the job itself")
        _write_out(text)
    else:
        _write(file, text, force=force)
        if as_json:
            write_json(_exported_told(job, store, file, lines, faults))
            return ExitCode.DEFECT if faults else ExitCode.FIXED_POINT
        write_line(news(), f"job {one_line(job)}: {counted(len(lines) - 1, 'line')}, {in_bytes(len(text))} in {file}")
    for fault in faults:
        write_line(news(), ("warning: ", "yellow"), f"row {fault.number}: {fault.text}")
    return ExitCode.DEFECT if faults else ExitCode.FIXED_POINT


def _exported_told(
    job: str, store: str, file: Path, lines: Sequence[str], faults: Sequence[Fault]
) -> dict[str, object]:
    """Return JSON data of this shape; `lines` counts rows and letters.

    {"job_id", "store", "file": text, "lines": int, "faults": [{"row": int, "text": text}]}
    """
    found = [{"row": fault.number, "text": fault.text} for fault in faults]
    return {"job_id": job, "store": store, "file": str(file), "lines": len(lines) - 1, "faults": found}


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `converge export` has written; - for stdin.")],
    store: StoreAddress = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Add a job that was exported to a store; its id, its rows and their digests stay what they were.

    A file that was cut or edited, or that a newer version wrote, is refused whole.

    Example: converge import risks.job --store sqlite:///archive.db
    """
    place = store_at(store)
    job = read_job(_read(file), "stdin" if str(file) == "-" else str(file))
    anyio.run(_imported, place, job, store)
    digest = job.rows[-1].digest
    if as_json:
        write_json(_told(job, store))
    else:
        write_line(data(), f"job {one_line(job.job_id)} added: {counted(len(job.rows), 'row')}, digest {digest}")


def _told(job: JobFile, store: str) -> dict[str, object]:
    """Return JSON data of this shape; `digest` is that of the last row.

    {"job_id", "store": text, "rows", "letters": int, "digest": text}
    """
    counts = {"rows": len(job.rows), "letters": len(job.letters)}
    return {"job_id": job.job_id, "store": store, **counts, "digest": job.rows[-1].digest}


# --- out --------------------------------------------------------------------------------------------------------------


async def _exported(address: str, job_id: str) -> tuple[list[Fault], list[str]]:
    async with reading(address) as store:
        return faults_of(job_id, await store.rows(job_id)), await export_job(store, job_id)


def _write_out(text: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(text)  # past the encoding of a terminal: a file is UTF-8 everywhere
    sys.stdout.buffer.flush()


def _write(path: Path, text: bytes, *, force: bool) -> None:
    """Write a file as a whole or not at all, for its owner alone. Raises OptionInvalid."""
    try:
        with _claimed(path, force=force) as place, _beside(place) as stream:
            stream.write(text)
    except OSError as error:
        raise OptionInvalid("FILE", f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error


@contextmanager
def _claimed(path: Path, *, force: bool) -> Iterator[Path]:
    """Make the file if it is not there, so that nobody else does, and take it away again if nothing comes of it."""
    place = path.resolve()  # what a link leads to, not the link
    if place.exists() and not stat.S_ISREG(place.stat().st_mode):
        raise OptionInvalid("FILE", f"{path} is not a file: leave it out to write to stdout")
    try:
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as error:
        if not force:
            raise OptionInvalid("FILE", f"{path} is there already: name another, or give --force") from error
        yield place
        return
    try:
        yield place
    except BaseException:
        place.unlink(missing_ok=True)
        raise


@contextmanager
def _beside(place: Path) -> Iterator[BinaryIO]:
    """Write to a file beside it, which takes its place when everything is on the disk."""
    number, name = mkstemp(dir=place.parent, prefix=f".{place.name}.")  # for its owner alone
    beside = Path(name)
    try:
        with os.fdopen(number, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(number)
        beside.replace(place)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


# --- in ---------------------------------------------------------------------------------------------------------------


def _read(path: Path) -> list[str]:
    """Return the lines of a file, which end with a line feed and nothing else."""
    try:
        text = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise OptionInvalid("FILE", f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    try:
        return text.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise JobFileInvalid(str(path), "it is not UTF-8 text, as a job's file is") from error


async def _imported(store: Store, job: JobFile, address: str) -> None:
    await store.open()
    try:
        await import_job(store, job)
    except JobExists as error:
        raise OptionInvalid("FILE", await _taken(store, job, address)) from error
    finally:
        await store.close()


async def _taken(store: Store, job: JobFile, address: str) -> str:
    digests = [row.digest for row in await store.rows(job.job_id)]
    theirs, ours = counted(len(digests), "row"), counted(len(job.rows), "row")
    if digests[-1] == job.rows[-1].digest:
        what = "with the same rows: nothing is to be added"
    elif job.rows[-1].digest in digests:
        what = f"and has gone on since: {theirs} there, {ours} here"
    else:
        what = f"with other rows, {theirs} there and {ours} here: import it into another store, with --store"
    return f"job {job.job_id!r} is in {address} already, {what}"
