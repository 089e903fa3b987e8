"""The power goes in the middle of every single operation on the disk, and what is left of the job is sound.

At level `power` every row that was said to be kept is there; at level `process` the newest ones may be missing. Nothing
is ever damaged, nothing is missing in between, and the job goes on to where it would have come.
"""

import asyncio
import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

import pytest

from converge_stores.sqlite import Level
from tests.disk import Disk
from tests.disk_store import DiskStore, Expert, go_on, rows_on

NIGHTLY = os.environ.get("CONVERGE_NIGHTLY") == "1"
LOOKED_AT = 100 if NIGHTLY else 6  # of the disks that each loss of power may leave, so many are looked at
RESUMED, EVERY = (5, 1) if NIGHTLY else (1, 3)  # and so many are gone on with, of each or each third loss
at_both_levels = pytest.mark.parametrize("level", ["process", "power"])


class Loss(NamedTuple):
    """When the power went: the disk, the rows that the store had been handed, how many of them it had said to be kept.

    told: the questions whose answers some agent had been given.
    """

    disk: Disk
    handed: list[str]
    kept: int
    told: list[str]


@cache
def losses(level: Level, **pragmas: str) -> Sequence[Loss]:
    """Run the job, and let the power go in the middle of each operation on the disk."""
    return asyncio.run(losses_from(Disk(), level, **pragmas))


async def losses_from(disk: Disk, level: Level, **pragmas: str) -> list[Loss]:
    store, expert, found = DiskStore(disk, level, rows_on(disk.after_kill()), **pragmas), Expert(), []
    disk.watch = lambda: found.append(Loss(disk.copy(), [*store.handed], store.kept, [*expert.told]))
    await go_on(store, expert)
    return found


@cache
def uninterrupted() -> str:
    return asyncio.run(go_on(DiskStore(Disk()), Expert())).proof_digest


def captured(rows: Iterable[str]) -> set[str]:
    """Return the questions whose answers are in these rows."""
    answers = [json.loads(answer) for row in rows for _, answer, *_ in json.loads(row).get("captures", ())]
    return {answer.removeprefix("answer to ") for answer in answers if isinstance(answer, str)}


# --- what is left ----------------------------------------------------------------------------------------------------


@at_both_levels
def test_what_the_power_leaves_is_never_damaged_and_has_no_gap(level: Level):
    """It is the beginning of what the store was handed, with nothing between that nobody wrote."""
    for loss in losses(level):
        for seed in range(LOOKED_AT):
            rows = rows_on(loss.disk.after_crash(seed))
            assert rows == loss.handed[: len(rows)]


def test_at_level_power_nothing_is_missing_that_was_said_to_be_kept():
    """Whoever was told that a cycle is committed finds it."""
    for loss in losses("power"):
        for seed in range(LOOKED_AT):
            assert len(rows_on(loss.disk.after_crash(seed))) >= loss.kept


def test_at_level_process_the_end_of_the_process_takes_nothing_that_was_said_to_be_kept():
    """What the machine still holds in memory is written when the process is long gone."""
    for loss in losses("process"):
        assert len(rows_on(loss.disk.after_kill())) >= loss.kept


def test_at_level_process_a_loss_of_power_may_take_the_newest_rows():
    """That is what the other level is for."""
    assert any(len(rows_on(loss.disk.after_crash(seed))) < loss.kept for loss in losses("process") for seed in range(9))


# --- going on --------------------------------------------------------------------------------------------------------


class Resumed(NamedTuple):
    """A job that went on after a loss of power: what was left of it, and what the expert was asked after that."""

    loss: Loss
    rows: list[str]
    asked: list[str]
    digest: str


@cache
def resumed(level: Level) -> Sequence[Resumed]:
    return asyncio.run(resumed_from(losses(level)[::EVERY], level))


async def resumed_from(losses: Sequence[Loss], level: Level) -> list[Resumed]:
    jobs = []
    for place, loss in enumerate(losses):
        for seed in range(place, place + RESUMED):
            expert = Expert()
            outcome = await go_on(DiskStore(loss.disk.after_crash(seed), level), expert)
            jobs.append(Resumed(loss, rows_on(loss.disk.after_crash(seed)), expert.asked, outcome.proof_digest))
    return jobs


@at_both_levels
def test_the_job_goes_on_to_where_it_would_have_come(level: Level):
    """From whatever is left, and were it nothing."""
    assert {job.digest for job in resumed(level)} == {uninterrupted()}


@at_both_levels
def test_an_answer_that_is_left_is_not_asked_for_again(level: Level):
    """What the machine forgot may be; what it kept never is."""
    assert not any(captured(job.rows).intersection(job.asked) for job in resumed(level))


def test_at_level_power_no_answer_that_somebody_was_given_is_asked_for_again():
    """It is on the disk before it is used."""
    assert any(job.loss.told for job in resumed("power"))
    assert not any(set(job.loss.told).intersection(job.asked) for job in resumed("power"))


@at_both_levels
def test_what_outlived_one_loss_of_power_outlives_the_next(level: Level):
    """The power goes again, in the middle of each operation of the job that goes on."""
    for first in losses(level)[:: len(losses(level)) // (50 if NIGHTLY else 5)]:
        disk = first.disk.after_crash(0)
        left = len(rows_on(disk.after_kill()))
        for seed, loss in enumerate(asyncio.run(losses_from(disk, level))):
            rows = rows_on(loss.disk.after_crash(seed))
            assert rows == loss.handed[: len(rows)]
            assert len(rows) >= (loss.kept if level == "power" else left)


# --- would it be seen? -----------------------------------------------------------------------------------------------


def test_a_store_that_waits_for_no_disk_is_found_out():
    """The same job without a single sync: rows that were said to be kept are missing, and files are damaged."""
    missing = damaged = 0
    for loss in losses("power", synchronous="OFF"):
        try:
            missing += len(rows_on(loss.disk.after_crash(0))) < loss.kept
        except (sqlite3.DatabaseError, AssertionError):
            damaged += 1
    assert missing
    assert damaged
