"""`converge doctor`: whether the place where jobs are kept can be trusted, one line per check."""

__all__ = ["doctor"]

import platform
import textwrap
from collections.abc import Sequence
from typing import Annotated

import anyio
import typer

from converge import __version__
from converge.cli.console import AsJson, counted, data, one_line, write_json, write_line
from converge.cli.exit_codes import ExitCode
from converge.cli.place import DEFAULT_STORE, StoreAddress, store_at
from converge.ports import Store
from converge_stores.check import Check
from converge_stores.postgres import PostgresStore
from converge_stores.postgres.examination import examine as examine_database
from converge_stores.sqlite import Level, SQLiteStore
from converge_stores.sqlite.examination import examine


def doctor(
    store: StoreAddress = DEFAULT_STORE,
    level: Annotated[
        Level | None,
        typer.Option("--level", help="What shall survive: the end of the process, or a power cut as well."),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read the file through, however large, and its indexes.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Say whether the place where jobs are kept can be trusted: the file and its disk, or the server.

    Nothing is made or changed, and a job that runs goes on. Exits with 10 if a check failed; warnings exit with 0.

    Without --level it is the one of the address, or the store's own default.

    Example: converge doctor --store sqlite:///jobs.db --level power
    """
    place = store_at(store)
    wanted: Level = level or getattr(place, "level", None) or "process"
    checks = _checks(place, wanted, deep)
    if as_json:
        write_json(_told(store, wanted, checks))
    else:
        _show(store, checks)
    return _code(checks)


def _checks(place: Store, level: Level, deep: bool) -> list[Check]:
    python = Check("python", "ok", f"{platform.python_version()}, converge-runtime {__version__}")
    if isinstance(place, PostgresStore):
        return [python, *anyio.run(examine_database, place, level)]
    if isinstance(place, SQLiteStore):
        return [python, *examine(place.path, level, deep=deep)]
    return [python, Check("file", "note", "there is none: jobs in memory end with the process")]


def _code(checks: Sequence[Check]) -> ExitCode:
    return ExitCode.STORE if _count(checks, "failed") else ExitCode.FIXED_POINT


def _told(store: str, level: Level, checks: Sequence[Check]) -> dict[str, object]:
    """Return JSON data of this shape; `state` is ok, note, warning or failed, and a name may come more than once.

    {"store", "level": text, "exit_code": int, "trusted": bool, "checks": [{"name", "state", "text": text}]}
    """
    code = _code(checks)
    told = [check._asdict() for check in checks]
    return {"store": store, "level": level, "exit_code": int(code), "trusted": not code, "checks": told}


def _show(store: str, checks: Sequence[Check]) -> None:
    console, names = data(), max(len(check.name) for check in checks)
    write_line(console, _verdict(store, checks))
    for check in checks:
        mark = (f"{check.state:<9}", _STYLES[check.state])
        margin = 9 + names + 2
        width = max(console.width - margin, 40)  # beyond a terminal it is unlimited: one line per check
        first, *others = textwrap.wrap(one_line(check.text), width, break_on_hyphens=False)
        write_line(console, mark, f"{check.name:<{names + 2}}", first)
        for line in others:
            write_line(console, " " * margin, line)


_STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "failed": "bold red"}


def _verdict(store: str, checks: Sequence[Check]) -> tuple[str, str]:
    failed, warnings = _count(checks, "failed"), _count(checks, "warning")
    if failed:
        return f"{one_line(store)} cannot be trusted: {counted(failed, 'check')} failed", "bold red"
    if warnings:
        return f"{one_line(store)} can be trusted, with {counted(warnings, 'warning')}", "bold yellow"
    return f"{one_line(store)} can be trusted", "bold green"


def _count(checks: Sequence[Check], state: str) -> int:
    return sum(check.state == state for check in checks)
