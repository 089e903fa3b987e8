"""Whether the place where jobs are kept can be trusted: the file, and the ground it stands on.

Nothing is made or changed, but for a temporary file whose syncing is timed. Nobody who writes is kept waiting.
Only SQLite opens a file that may be in use: closing it by other means would take this process's locks on it away
(https://sqlite.org/howtocorrupt.html#posix_close_bug).
"""

__all__ = ["examine", "file"]

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from converge_stores.check import Check, State
from converge_stores.sqlite.ground import (
    Level,
    access,
    disk,
    in_bytes,
    known_mounts,
    level_of,
    library,
    seconds_of_fsync,
    space,
    syncing,
)
from converge_stores.sqlite.schema import APPLICATION_ID, VERSION


def examine(path: str | os.PathLike[str], level: Level = "process", *, deep: bool = False) -> list[Check]:
    """Return what there is to say about a store file that may not exist yet; `deep` reads it through, however large.

    What has `failed` is damaged, foreign, not writable or known to be unsafe.
    """
    try:
        found = list(_place(Path(path), level, deep))
    except OSError as error:  # a folder that may not be entered, a name that is too long
        found = [Check("file", "failed", f"{(error.strerror or str(error)).lower()}: choose another path")]
    return [*_library(), *found, level_of(level)]


def _library() -> list[Check]:
    with closing(sqlite3.connect(":memory:")) as connection:
        options = {name for (name,) in connection.execute("PRAGMA compile_options")}
    return library(sqlite3.sqlite_version_info[:3], sqlite3.threadsafety, options)


def _place(path: Path, level: Level, deep: bool) -> Iterator[Check]:
    real = Path(os.path.realpath(path))  # SQLite follows links, and its side files lie where they lead
    exists = real.exists()
    if reason := _no_place(path, real, exists):
        yield Check("file", "failed", reason)
        return
    yield from file(real, deep=deep)
    found = real.stat() if exists else None
    writable = _may(real, os.R_OK | os.W_OK) if exists else True
    yield access(found.st_mode if found else None, writable, _may(real.parent, os.W_OK | os.X_OK))
    yield disk(real.parent, known_mounts())
    yield space(shutil.disk_usage(real.parent).free, found.st_size if found else 0)
    try:
        yield syncing(seconds_of_fsync(real.parent), level)
    except OSError as error:
        yield Check("fsync", "note", f"not measured: {(error.strerror or str(error)).lower()}")


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _no_place(path: Path, real: Path, exists: bool) -> str | None:
    if str(path) == ":memory:":
        return "it is not a file: name one, or use the store memory:"
    if real.is_dir():
        return "it is a directory: name a file"
    if exists and not real.is_file():
        return "it is a device or a pipe: name a file"
    if not real.parent.is_dir():
        return f"the folder {path.parent} does not exist: make it first"
    return None


# --- the file -----------------------------------------------------------------------------------------------------

_MUCH = 1_000_000_000  # bytes; reading them takes seconds
_TROUBLE: dict[str, tuple[State, str]] = {  # what SQLite says -> how that stands, what it means and what to do
    "not a database": ("failed", "it is not an SQLite file: choose another path"),
    "locked": ("warning", "another process keeps it locked: look again when that one is done"),
    "readonly": ("note", "a change was cut off, and is rolled back when the store is opened, as by `converge jobs`"),
    "Permission denied": ("failed", "it cannot be read: chmod u+rw, or run as its owner"),
    "unable to open": ("failed", "it cannot be opened: make it readable, and its folder writable"),
}
_DAMAGED = "keep a copy, then save what can be read with `sqlite3 FILE .recover`, or go back to a backup"


def file(path: Path, *, deep: bool = False) -> list[Check]:
    """Return what a store file is and whether it can be read through; `path` has no links in it.

    A file that nobody has open is read without locks, since SQLite would otherwise leave a -wal and a -shm behind.
    """
    if not path.exists():
        return [_absent(_beside(path, "-wal"))]
    before, in_use = _stamps(path), _in_use(path)
    checks = _read(path, in_use, deep)
    if not in_use and _stamps(path) != before:  # somebody has come meanwhile, and what was read may be torn
        checks = _read(path, True, deep)
    return checks


def _absent(log: Path) -> Check:
    if log.exists() and log.stat().st_size:
        return Check("file", "warning", f"it is gone, and its newest commits are in {log.name}: bring the file back")
    return Check("file", "note", "it does not exist yet: the first job makes it")


def _read(path: Path, in_use: bool, deep: bool) -> list[Check]:
    checks: list[Check] = []
    try:
        journal = None if in_use else _journal(path)  # read before SQLite has the file: see above
        address = f"{path.as_uri()}?mode=ro{'' if in_use else '&immutable=1'}"
        with closing(sqlite3.connect(address, uri=True, timeout=1, isolation_level=None)) as connection:
            identity = _identity(connection, path, journal)
            checks.append(identity)
            if identity.state != "failed":
                checks.append(_content(connection, path.stat().st_size, deep))
    except (sqlite3.DatabaseError, PermissionError) as error:
        checks.append(_trouble("content" if checks else "file", str(error)))
    return checks


def _identity(connection: sqlite3.Connection, path: Path, journal: str | None) -> Check:
    queries = ("application_id", "user_version", "journal_mode")
    application, version, mode = (connection.execute(f"PRAGMA {query}").fetchone()[0] for query in queries)
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    mode, sizes = journal or mode, _sizes(path)
    if application != APPLICATION_ID and (application or version or tables):
        return Check("file", "failed", "it is another program's SQLite file: choose another path")
    if version > VERSION:
        known = f"this version of Converge knows up to {VERSION}"
        return Check("file", "failed", f"it has schema {version} and {known}: upgrade converge-runtime")
    if not tables:
        return Check("file", "ok", "it is empty: the first job makes a store of it")
    if version < VERSION:
        return Check("file", "note", f"schema {version}, brought to {VERSION} when the store is next opened, {sizes}")
    if mode != "wal":
        return Check("file", "note", f"journal mode {mode}, set to WAL when the store is next opened, {sizes}")
    return Check("file", "ok", f"a store of schema {version} in WAL mode, {sizes}")


def _content(connection: sqlite3.Connection, size: int, deep: bool) -> Check:
    jobs = "no jobs"
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        (count,) = connection.execute("SELECT count(*) FROM jobs").fetchone()
        jobs = f"{count:,} job{'' if count == 1 else 's'}"
    if size > _MUCH and not deep:
        return Check("content", "note", f"{jobs}; {in_bytes(size)} are not read through: --deep does it")
    # The deep one compares the indexes with their tables as well.
    pragma = "integrity_check" if deep else "quick_check"
    (said,) = connection.execute(f"PRAGMA {pragma}(1)").fetchone()
    if said != "ok":
        where = " ".join(said.removeprefix("*** in database main ***").split())
        return Check("content", "failed", f"damaged ({where}): {_DAMAGED}")
    return Check("content", "ok", f"{jobs}; {pragma} finds nothing wrong")


def _trouble(name: str, said: str) -> Check:
    for words, (state, text) in _TROUBLE.items():
        if words in said:
            return Check(name, state, text)
    return Check(name, "failed", f"it cannot be read ({said}): {_DAMAGED}")


def _journal(path: Path) -> str:
    """Return the journal mode of a file that is read without locks, of which SQLite says `delete` in any case."""
    with path.open("rb") as stream:
        return "wal" if stream.read(20)[18:] == b"\2\2" else "delete"


def _in_use(path: Path) -> bool:
    return any(_beside(path, end).exists() for end in ("-wal", "-journal"))


def _stamps(path: Path) -> list[tuple[int, int]]:
    found = [_beside(path, end) for end in ("", "-wal", "-journal")]
    return [(each.stat().st_size, each.stat().st_mtime_ns) if each.exists() else (0, 0) for each in found]


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _sizes(path: Path) -> str:
    log = _beside(path, "-wal")
    waiting = log.stat().st_size if log.exists() else 0
    return in_bytes(path.stat().st_size) + (f" and {in_bytes(waiting)} in its -wal" if waiting else "")
