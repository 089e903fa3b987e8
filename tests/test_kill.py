"""A job killed anywhere goes on to the same end, and nothing is asked again whose answer was kept.

`kill -9` at every boundary of a real job on a real file, one process each; `tests/dying.py` says what the boundaries
are. CONVERGE_NIGHTLY=1 sweeps a larger job under every policy and level, and kills who goes on with it as well.
"""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Postgres

ROOT = Path(__file__).parents[1]
NIGHTLY = os.environ.get("CONVERGE_NIGHTLY") == "1"
SCHEDULES = ("frontier", "lockstep")
ANYWHERE = {  # what every sweep must have died at, however the rest is timed
    *(
        f"{word} part {number}#1"
        for word in ("ask", "answered", "before record", "after record")
        for number in range(5)
    ),
    *(f"{moment} {name}#1" for moment in ("before", "after") for name in ("open", "take", "renewal", "create")),
    *(f"{moment} {name}#1" for moment in ("before", "after") for name in ("merge", "append", "release", "close")),
}


def sweep(folder: Path, **plan: Any) -> Any:
    """Have a job die at its boundaries, and return what came of it."""
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "agents", ROOT / "stores")))
    command = [sys.executable, str(ROOT / "tests" / "dying.py"), json.dumps({"folder": str(folder), **plan})]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def holds(report: Any) -> None:
    """Whether the uninterrupted job is sound, and every killed one came to the same."""
    told = report["told"]
    assert all(told.values())
    assert told["stop"].startswith("fixed point")
    assert set(report["asked"].values()) == {1}
    assert report["wrong"] == {}
    assert len(report["missed"]) <= len(report["boundaries"]) // 10  # which captures share a row is timing


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_job_killed_at_any_boundary_comes_to_the_same_end(tmp_path: Path, schedule: str):
    """The digests are those of the job that was let be, and a call is repeated only if no answer to it was kept."""
    report = sweep(tmp_path, schedule=schedule)
    assert set(report["boundaries"]) >= ANYWHERE
    holds(report)


def test_an_effect_that_waits_at_a_barrier_is_a_boundary_of_its_own(tmp_path: Path):
    """Under lockstep who is done first waits for the others, and what it said is kept meanwhile."""
    report = sweep(tmp_path, schedule="lockstep", only="remark")
    assert {"before remark#1", "after remark#1"} <= set(report["boundaries"])
    holds(report)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_who_goes_on_with_a_killed_job_may_be_killed_too(tmp_path: Path, schedule: str):
    """Each kill costs what was in flight at it, and the third process ends what the first began."""
    report = sweep(tmp_path, schedule=schedule, every=7, again=1)
    assert len(report["killed again"]) > len(report["boundaries"]) // 14
    holds(report)


@pytest.mark.slow
def test_a_job_in_a_database_killed_at_any_boundary_comes_to_the_same_end(tmp_path: Path, database: Postgres):
    """As in a file; whoever goes on finds the lease of a holder that is dead, and takes it over."""
    report = sweep(tmp_path, address=database.url, schema=database.schema(), every=1 if NIGHTLY else 3)
    assert {"before append#1", "after append#1", "before create#1"} <= set(report["boundaries"])
    holds(report)


@pytest.mark.parametrize(("broken", "schedule"), [("captures", "frontier"), ("effects", "lockstep")])
def test_the_sweep_finds_what_is_not_kept(tmp_path: Path, broken: str, schedule: str):
    """If keeping is made to do nothing, calls are repeated whose answer was in use: so the sweep would tell."""
    report = sweep(tmp_path, schedule=schedule, broken=broken, every=9)
    wrong = report["wrong"].values()
    assert len(wrong) > 2
    assert all(said.startswith("asked again, though the answer was kept") for said in wrong)


@pytest.mark.slow
@pytest.mark.skipif(not NIGHTLY, reason="set CONVERGE_NIGHTLY=1")
@pytest.mark.parametrize(
    ("schedule", "checkpoints", "level"), [*product(SCHEDULES, (1, 3, "end"), ("process", "power"))]
)
def test_under_every_policy_and_level(tmp_path: Path, schedule: str, checkpoints: Any, level: str):
    """A larger job, and every third of those who go on with it is killed as well."""
    holds(sweep(tmp_path, schedule=schedule, checkpoints=checkpoints, level=level, parts=12, again=3))
