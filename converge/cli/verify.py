"""`converge verify`: a job run again in other orders, from what it captured, to see whether it depends on timing."""

__all__ = ["verify"]

import dataclasses
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from functools import partial
from typing import Annotated, Any, NamedTuple

import anyio
import typer

from converge.checking.finding import Finding
from converge.checking.verify import Report
from converge.cli.console import AsJson, JobId, counted, data, one_line, write_json, write_line
from converge.cli.exit_codes import ExitCode
from converge.cli.follow import TargetName
from converge.cli.place import DEFAULT_STORE, StoreAddress, existing_store
from converge.cli.target import load_target
from converge.errors import TargetInvalid

_SEEDS = ("0", "1")


def verify(
    target: TargetName,
    job: JobId,
    store: StoreAddress = DEFAULT_STORE,
    schedules: Annotated[
        int | None, typer.Option("--schedules", metavar="N", min=1, help="Try at most so many schedules.")
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Ask as well whether arrival could matter, as it would in a stream.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Run a job again in other orders and see whether it comes to the same facts.

    Each agent is starved once and preferred once, every effect merged in singles and twice, the process lost after
    commits, Python's hashes seeded anew. No model is asked: what was captured answers. The stored job stays as it is.

    A difference is a defect, and the search ends there. What --stream finds is a warning.

    Example: converge verify shop.risks:engine job-1f2e3d4c --stream
    """
    engine = load_target(target).engine.with_store(existing_store(store))
    with redirect_stdout(sys.stderr):  # stdout is for data, whatever an agent prints
        report = anyio.run(partial(engine.verify, job, schedules, stream=stream))
        report = _with_seeds(report, _Job(target, job, store), schedules)
    if as_json:
        write_json(_told(report, store))
    else:
        _show(report)
    return _code(report)


def _code(report: Report) -> ExitCode:
    return ExitCode.FIXED_POINT if report.sound else ExitCode.DEFECT


def _told(report: Report, store: str) -> dict[str, Any]:
    """Return JSON data of this shape; a finding's fields are those of `converge.checking.finding.Finding`.

    {"job_id", "store": text, "exit_code": int, "sound": bool, "schedules": int, "families": {family: int},
    "digests": {"digest", "live_digest", "proof_digest": text}, "defects": [finding], "warnings": [finding]}
    """
    return {
        "job_id": report.job_id,
        "store": store,
        "exit_code": int(_code(report)),
        "sound": report.sound,
        "schedules": report.schedules,
        "families": dict(report.families),
        "digests": dict(report.digests),
        "defects": [dataclasses.asdict(finding) for finding in report.defects],
        "warnings": [dataclasses.asdict(finding) for finding in report.warnings],
    }


def _show(report: Report) -> None:
    console = data()
    style = "bold red" if report.defects else "bold yellow" if report.warnings else "bold green"
    write_line(console, (one_line(report.verdict), style))
    tried = ", ".join(f"{family} {count}" for family, count in report.families.items())
    write_line(console, (f"{counted(report.schedules, 'schedule')}: {tried}", "dim"))
    for title, findings in (("defect", report.defects), ("warning", report.warnings)):
        for finding in findings:
            first, *more = map(one_line, finding.lines())
            write_line(console, "")
            write_line(console, (title, "bold red" if title == "defect" else "bold yellow"), f", {first}")
            for line in more:
                write_line(console, f"  {line}")


# --- in other processes -----------------------------------------------------------------------------------------------


class _Job(NamedTuple):
    """A job as another process is told of it."""

    target: str
    job_id: str
    store: str


def _with_seeds(report: Report, job: _Job, most: int | None) -> Report:
    """Run the job once more in processes with other seeds of Python's hashes, as far as there is room for them."""
    families, defects = dict(report.families), report.defects
    for seed in _SEEDS:
        if defects or (most is not None and sum(families.values()) >= most):
            break
        families["hash seed"] = families.get("hash seed", 0) + 1
        other = _printed(job, seed)
        if not other["sound"] or other["digests"] != report.digests:
            defects = (_of_seed(other, seed, sum(families.values())),)
    return dataclasses.replace(report, families=families, defects=defects)


def _printed(job: _Job, seed: str) -> dict[str, Any]:
    """Return what this command prints as JSON in a process of its own, which tries one schedule only."""
    command = [sys.executable, "-m", "converge.cli", "verify", job.target, job.job_id, "--store", job.store]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [*command, "--schedules", "1", "--json"], env=environment, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode not in (ExitCode.FIXED_POINT, ExitCode.DEFECT) or not done.stdout:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise TargetInvalid(job.target, f"it does not run in another process: {said[0]}")
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _of_seed(other: dict[str, Any], seed: str, number: int) -> Finding:
    found = Finding(**other["defects"][0]) if other["defects"] else Finding("", number, "proof_digest", "", "")
    where = f" on round {found.round}" if found.agent else ""
    return dataclasses.replace(
        found,
        schedule=f"hash seed {seed}",
        number=number,
        what=f"concludes something else{where} where Python's hashes have another seed",
        remedy="sort what comes out of a set, and let nothing depend on hash() or id()",
    )
