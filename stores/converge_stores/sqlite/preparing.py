"""Making a store file ready: its tables made or brought up to date, a foreign or newer file refused and left alone."""

__all__ = ["prepare"]

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from converge.errors import StoreForeign, StoreTooNew, StoreUnavailable
from converge_stores.sqlite.schema import APPLICATION_ID, MIGRATIONS, VERSION

_PAGE_BYTES = 8192  # of a new file: rows of one to three kilobytes leave less of a page empty than with 4096
_SWITCH_ATTEMPTS, _SWITCH_SECONDS = 100, 0.02


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a file to the present schema, all of it or nothing, after a backup of one that holds anything.

    Raises StoreForeign, StoreTooNew, or StoreUnavailable where no backup can be made. A commit then survives the end of
    the process at any moment.
    """
    version = _known_version(connection, path)
    if not version:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    if version < VERSION:
        _migrate(connection, path)
    _switch_to_wal(connection)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")  # two that open a file must not both fill it, or back up what the other made
    try:
        version = _known_version(connection, path)
        if 0 < version < VERSION:
            _back_up(path, version)
        for number in range(version, VERSION):
            MIGRATIONS[number](connection)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _known_version(connection: sqlite3.Connection, path: Path) -> int:
    queries = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    application, version, tables = (connection.execute(query).fetchone()[0] for query in queries)
    if application != APPLICATION_ID and (application or version or tables):
        raise StoreForeign(str(path), "another program's SQLite file")
    if version > VERSION:
        raise StoreTooNew(str(path), version, VERSION)
    return int(version)


def _back_up(path: Path, version: int) -> None:
    """Copy the file as it is to `FILE.v1`, whole or not at all, unless that was done before."""
    copy = path.with_name(f"{path.name}.v{version}")
    if copy.is_file():
        return
    part = copy.with_name(f"{copy.name}.part")  # left behind where a process ends in the middle, and begun again
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        # The connection that holds the lock cannot be copied from.
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as target:
            source.backup(target)
        part.replace(copy)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        why = getattr(error, "strerror", None) or str(error)
        raise StoreUnavailable(str(path), f"its backup {copy.name} cannot be made ({why.lower()}): {_ROOM}") from error


_ROOM = "make its folder writable, with room for a second copy, or bring a copy of the file up to date elsewhere"


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; while another one that opens the file is switching, SQLite refuses without waiting."""
    for _ in range(_SWITCH_ATTEMPTS):
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(_SWITCH_SECONDS)
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
