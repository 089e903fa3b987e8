"""Making a store file ready: its tables made or brought up to date, a foreign or newer file refused and left alone."""

__all__ = ["prepare"]

import sqlite3
import time
from pathlib import Path

from converge.errors import StoreForeign, StoreTooNew
from converge_stores.schema import APPLICATION_ID, MIGRATIONS, VERSION

_PAGE_BYTES = 8192  # of a new file: rows of one to three kilobytes leave less of a page empty than with 4096
_SWITCH_ATTEMPTS, _SWITCH_SECONDS = 100, 0.02


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a file to the present schema, all of it or nothing, after a backup of one that holds anything.

    Raises StoreForeign or StoreTooNew. A commit then survives the end of the process at any moment.
    """
    version = _known_version(connection, path)
    if not version:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    if 0 < version < VERSION:
        _back_up(connection, path, version)
    if version < VERSION:
        _migrate(connection, path)
    _switch_to_wal(connection)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")  # two that open a new file must not both fill it
    try:
        for number in range(_known_version(connection, path), VERSION):
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


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Copy the file as it is to `FILE.v1`, unless that was done before."""
    copy = path.with_name(f"{path.name}.v{version}")
    if copy.exists():
        return
    copy.touch(0o600)
    target = sqlite3.connect(copy)
    try:
        connection.backup(target)
    finally:
        target.close()


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
