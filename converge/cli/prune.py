"""`converge prune`: old jobs thrown away, and the room they took given back."""

__all__ = ["prune"]

import re
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

import anyio
import typer

from converge.archive.pruning import prune as pruned
from converge.cli.console import AsJson, Part, counted, data, news, one_line, write_json, write_line, write_rows
from converge.cli.jobs import ago
from converge.cli.place import DEFAULT_STORE, StoreAddress, existing_store, reading
from converge.cli.usage import OptionInvalid
from converge.errors import StoreUnavailable
from converge.ports import JobSummary
from converge_stores.sqlite import SQLiteStore
from converge_stores.sqlite.ground import in_bytes


class _Room(NamedTuple):
    """How many bytes a file has, and how many of them hold nothing."""

    size: int
    free: int


def prune(
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="AGE", help="Nothing has happened in them for so long: 30d, 12h, 45m."),
    ],
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Those as well that have not stopped and that nobody runs.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List them, and remove none.")] = False,
    compact: Annotated[
        bool, typer.Option("--compact", help="Give free room in the file back; nobody else may have it open.")
    ] = False,
    store: StoreAddress = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Remove the jobs in which nothing has happened for a while, and list them. There is no way back.

    A job that somebody runs is never removed. `converge export` keeps one as a file.

    Example: converge prune --older-than 30d --dry-run
    """
    seconds = _seconds(older_than)
    if dry_run and compact:
        raise OptionInvalid("--compact", "give it or --dry-run, not both")
    now = time.time()
    gone = anyio.run(_prune, store, seconds, now, unfinished, dry_run)
    room = _compacted(store) if compact else _room(store)
    if as_json:
        write_json(_told(store, gone, room, removed=not dry_run))
    else:
        _show(gone, now, removed=not dry_run)
        if room is not None and not dry_run:
            write_line(news(), (_advice(room, compacted=compact), "dim"))


async def _prune(address: str, seconds: float, now: float, unfinished: bool, dry_run: bool) -> Sequence[JobSummary]:
    async with reading(address) as store:
        return await pruned(store, seconds, now, unfinished=unfinished, only_name=dry_run)


_UNITS = {"d": 86_400, "h": 3_600, "m": 60}


def _seconds(age: str) -> int:
    found = re.fullmatch(r"([0-9]+)([dhm])", age.strip())
    if found is None:
        raise OptionInvalid("--older-than", f"{age!r} is no age: write 30d, 12h or 45m for days, hours or minutes")
    return int(found[1]) * _UNITS[found[2]]


def _told(store: str, gone: Sequence[JobSummary], room: _Room | None, *, removed: bool) -> dict[str, object]:
    """Return JSON data of this shape, times in UTC; `removed` is false for --dry-run.

    `free` is how many of the file's bytes --compact would give back; null where there is no file.

    {"store": text, "removed": bool, "jobs": [{"job_id", "objective", "updated": text, "stop": text | null}],
    "bytes", "free": int | null}
    """
    times = [datetime.fromtimestamp(job.updated, UTC).isoformat() for job in gone]
    jobs = [
        {"job_id": job.job_id, "objective": job.objective, "updated": updated, "stop": job.stop}
        for job, updated in zip(gone, times, strict=True)
    ]
    size, free = room or (None, None)
    return {"store": store, "removed": removed, "jobs": jobs, "bytes": size, "free": free}


def _show(gone: Sequence[JobSummary], now: float, *, removed: bool) -> None:
    rows: list[list[Part]] = [
        [one_line(job.job_id), job.stop or "unfinished", ago(now - job.updated), one_line(job.objective)]
        for job in gone
    ]
    if rows:
        write_rows(data(), [[(heading, "dim") for heading in ("job", "stop", "changed", "objective")], *rows])
    jobs = counted(len(gone), "job")
    write_line(news(), f"{jobs} removed" if removed else f"{jobs} would be removed, and none was")


def _advice(room: _Room, *, compacted: bool) -> str:
    if compacted or not room.free:
        return f"the file has {in_bytes(room.size)}"
    free = f"{in_bytes(room.free)} of {in_bytes(room.size)}"
    return f"{free} in the file are free: what is written next uses them, and --compact gives them back"


# --- the file ---------------------------------------------------------------------------------------------------------


def _room(address: str) -> _Room | None:
    place = existing_store(address)
    if not isinstance(place, SQLiteStore):
        return None
    with closing(sqlite3.connect(place.path)) as connection:
        size, pages, free = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
        )
    return _Room(size * pages, size * free)


def _compacted(address: str) -> _Room | None:
    place = existing_store(address)
    if isinstance(place, SQLiteStore):
        try:
            with closing(sqlite3.connect(place.path, isolation_level=None, timeout=0)) as connection:
                connection.execute("PRAGMA journal_mode = DELETE")  # refused while anybody else has the file open
                connection.execute("VACUUM")
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            reason = "somebody else has it open, so it is not compacted; try again later"
            raise StoreUnavailable(str(place.path), reason if "locked" in str(error) else str(error)) from error
    return _room(address)
