"""Audits of a real file: whatever is done to a job's rows with plain sqlite3 is found, and the right rows are named."""

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from itertools import combinations
from math import inf
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from converge.archive.audit import Audit, audit
from converge.chain import StoredRow
from converge.errors import JobUnknown
from converge_stores.memory import MemoryStore
from converge_stores.sqlite import SQLiteStore
from tests.archives import kept_jobs

ROWS = 6  # of job "one", the header included
"""What is edited of a row, and to what."""
EDITS = {
    "cycle": 77,
    "at": 1.5,
    "round": 77,
    "facts": 77,
    "stop": "waiting",
    "epoch": 77,
    "digest": "00" * 16,
    "body": '{"objective": "another"}',
}
PAIRS = list(combinations(range(ROWS), 2))
COLUMNS = "number, cycle, at, round, facts, stop, epoch, digest, body"


class Kept:
    """A file with the jobs "one" and "two", edited with plain sqlite3."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def edit(self, statement: str, *values: Any) -> None:
        """Change the file as anybody can who may write it."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(statement, values)

    def row(self, number: int) -> StoredRow:
        """Return a row of job "one"."""
        with closing(sqlite3.connect(self.path)) as connection:
            query = f"SELECT {COLUMNS} FROM log WHERE job_id = 'one' AND number = ?"
            return StoredRow(*connection.execute(query, (number,)).fetchone())

    def audit(self, job_id: str = "one", expected: str | None = None) -> Audit:
        """Audit a job of the file."""

        async def asked() -> Audit:
            store = SQLiteStore(self.path)
            await store.open()
            try:
                return await audit(store, job_id, expected)
            finally:
                await store.close()

        return anyio.run(asked)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the content of a file with two jobs that have been left in order."""
    return kept_jobs(tmp_path_factory.mktemp("kept") / "jobs.db", "one", "two").read_bytes()


@pytest.fixture
def kept(file: bytes, tmp_path: Path) -> Kept:
    """Return a file of its own for one test."""
    (tmp_path / "jobs.db").write_bytes(file)
    return Kept(tmp_path / "jobs.db")


def numbers(found: Audit) -> list[int]:
    """Return the rows at which something is wrong."""
    return [fault.number for fault in found.faults]


def named(found: Audit) -> set[int]:
    """Return every row that is named, by its place or in a text."""
    return {
        *numbers(found),
        *(int(number) for fault in found.faults for number in re.findall(r"row (\d+)", fault.text)),
    }


def missing(found: Audit) -> list[str]:
    """Return the texts about rows that are not there."""
    return [fault.text for fault in found.faults if "missing" in fault.text]


# --- what is in order ---------------------------------------------------------------------------------------------


def test_a_job_that_nobody_touched_is_sound(kept: Kept):
    """Its digest is that of its last row."""
    found = kept.audit()
    assert (found.sound, found.rows) == (True, ROWS)
    assert found.digest == kept.row(ROWS - 1).digest


def test_the_noted_digest_of_the_last_row_is_found(kept: Kept):
    """Noted elsewhere, it shows that nothing was taken from the end."""
    found = kept.audit(expected=kept.row(ROWS - 1).digest)
    assert (found.sound, found.noted) == (True, ROWS - 1)


def test_a_job_that_went_on_since_its_digest_was_noted_is_sound(kept: Kept):
    """The digest is that of an earlier row, and all after it follows from it."""
    found = kept.audit(expected=kept.row(3).digest)
    assert (found.sound, found.noted) == (True, 3)


def test_a_noted_digest_that_no_row_has_is_a_fault(kept: Kept):
    """The whole chain may have been made anew: only a note elsewhere tells."""
    found = kept.audit(expected="ab" * 16)
    assert numbers(found) == [ROWS - 1]
    assert "ab" * 16 in found.faults[0].text


def test_an_unknown_job_is_an_error():
    """A job of which nothing is left, not even its lease, cannot be told from one that never was."""

    async def asked() -> None:
        await audit(MemoryStore(), "one")

    with pytest.raises(JobUnknown):
        anyio.run(asked)


def test_a_job_that_is_removed_while_it_is_audited_is_unknown_and_not_damaged(kept: Kept):
    """Whichever of the questions that an audit asks is answered before, and whichever after."""

    async def asked(turns: int) -> bool:
        store = SQLiteStore(kept.path)
        await store.open()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store.remove, "one", inf)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                with suppress(JobUnknown):
                    return (await audit(store, "one")).sound
            return True
        finally:
            await store.close()

    content = kept.path.read_bytes()
    for turns in range(12):
        kept.path.write_bytes(content)
        assert anyio.run(asked, turns)


# --- what was edited ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(ROWS))
@pytest.mark.parametrize("column", [column for column in EDITS if column != "digest"])
def test_an_edited_column_is_found_at_its_row(kept: Kept, column: str, number: int):
    """Every column of every row; the row is the only one at which something is wrong, and its cycle is told."""
    kept.edit(f"UPDATE log SET {column} = ? WHERE job_id = 'one' AND number = ?", EDITS[column], number)
    found = kept.audit()
    assert numbers(found) == [number]
    assert found.faults[0].cycle == kept.row(number).cycle


@pytest.mark.parametrize("number", range(ROWS))
def test_an_edited_digest_is_found_at_its_row(kept: Kept, number: int):
    """The row after it, which no longer follows, is not the one that was touched."""
    kept.edit("UPDATE log SET digest = ? WHERE job_id = 'one' AND number = ?", EDITS["digest"], number)
    found = kept.audit()
    assert numbers(found) == [number]
    if number < ROWS - 1:
        assert found.faults[0].text == "its digest was edited"


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_exchanged_digests_are_found_at_their_rows(kept: Kept, one: int, two: int):
    """Also those of neighbours."""
    first, second = kept.row(one).digest, kept.row(two).digest
    for number, digest in ((one, second), (two, first)):
        kept.edit("UPDATE log SET digest = ? WHERE job_id = 'one' AND number = ?", digest, number)
    assert {one, two} <= named(kept.audit())


@pytest.mark.parametrize("number", range(ROWS))
def test_a_row_that_was_edited_with_its_digest_is_named(kept: Kept, number: int):
    """The next row no longer follows from it; the last one is not what the job was left with."""
    row = kept.row(number)._replace(body='{"objective": "another", "form": 3}')
    digest = row.digest_after(kept.row(number - 1).digest if number else "one")
    statement = "UPDATE log SET body = ?, digest = ? WHERE job_id = 'one' AND number = ?"
    kept.edit(statement, row.body, digest, number)
    found = kept.audit()
    assert numbers(found) == [min(number + 1, ROWS - 1)]
    assert number in named(found)


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_exchanged_bodies_are_found_at_their_rows(kept: Kept, one: int, two: int):
    """Two rows were edited: both are named, and a third one at most as the one that either may follow."""
    first, second = kept.row(one).body, kept.row(two).body
    for number, body in ((one, second), (two, first)):
        kept.edit("UPDATE log SET body = ? WHERE job_id = 'one' AND number = ?", body, number)
    assert numbers(kept.audit()) == [one, two]


# --- what was taken away ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(ROWS))
def test_a_deleted_row_is_missed(kept: Kept, number: int):
    """Also the header, and the last one."""
    kept.edit("DELETE FROM log WHERE job_id = 'one' AND number = ?", number)
    found = kept.audit()
    assert numbers(found) == [number]
    assert missing(found) == ["the header is missing" if number == 0 else f"row {number} is missing"]


@pytest.mark.parametrize(("first", "last"), PAIRS)
def test_several_deleted_rows_are_missed(kept: Kept, first: int, last: int):
    """From anywhere to anywhere; all of them, too, since the job was left in order once."""
    kept.edit("DELETE FROM log WHERE job_id = 'one' AND number BETWEEN ? AND ?", first, last)
    found = kept.audit()
    assert numbers(found) == [first]
    assert missing(found) == [f"rows {first} to {last} are missing"]


def test_two_holes_are_two_faults(kept: Kept):
    """Each with its rows."""
    kept.edit("DELETE FROM log WHERE job_id = 'one' AND number IN (1, 4)")
    assert missing(kept.audit()) == ["row 1 is missing", "row 4 is missing"]


def test_rows_taken_from_the_end_of_a_job_that_was_not_left_in_order_are_missed_by_the_noted_digest(kept: Kept):
    """Where its lease is gone as well, nothing else tells."""
    digest = kept.row(ROWS - 1).digest
    kept.edit("DELETE FROM leases WHERE job_id = 'one'")
    kept.edit("DELETE FROM log WHERE job_id = 'one' AND number > 3")
    assert kept.audit().sound
    assert numbers(kept.audit(expected=digest)) == [3]


# --- what was moved -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_rows_that_have_changed_places_are_named_with_their_places(kept: Kept, one: int, two: int):
    """Each says which row it was; those after them, which no longer follow, are not accused."""
    for before, after in ((one, -1), (two, one), (-1, two)):
        kept.edit("UPDATE log SET number = ? WHERE job_id = 'one' AND number = ?", after, before)
    found = kept.audit()
    assert [(fault.number, fault.text) for fault in found.faults] == [
        (one, f"it was row {two} once: rows have changed places"),
        (two, f"it was row {one} once: rows have changed places"),
    ]


@pytest.mark.parametrize("number", range(ROWS))
@pytest.mark.parametrize("place", [ROWS, 50, 2**62])
def test_a_row_that_was_moved_to_the_end_is_named_with_its_place(kept: Kept, number: int, place: int):
    """The rows between there and the end were never there, so they are not missing."""
    kept.edit("UPDATE log SET number = ? WHERE job_id = 'one' AND number = ?", place, number)
    found = kept.audit()
    assert numbers(found) == [number, place]
    assert found.faults[1].text.startswith(f"it was row {number} once")
    assert len(missing(found)) == 1


@pytest.mark.parametrize("number", range(1, ROWS))
def test_a_row_that_was_moved_to_another_job_is_named_in_both(kept: Kept, number: int):
    """The one misses it; in the other it follows from nothing."""
    kept.edit("UPDATE log SET job_id = 'two', number = ? WHERE job_id = 'one' AND number = ?", ROWS, number)
    assert missing(kept.audit("one")) == [f"row {number} is missing"]
    assert numbers(kept.audit("two")) == [ROWS]


@pytest.mark.parametrize("number", range(ROWS))
def test_a_row_of_another_job_in_a_row_s_place_is_named(kept: Kept, number: int):
    """Both jobs have such a row: one is put in the other's place."""
    kept.edit("DELETE FROM log WHERE job_id = 'two' AND number = ?", number)
    kept.edit("UPDATE log SET job_id = 'two' WHERE job_id = 'one' AND number = ?", number)
    found = kept.audit("two")
    assert numbers(found)[0] == number
    assert {*numbers(found)} <= {number, number + 1}


def test_a_job_under_another_name_is_found_at_its_header(kept: Kept):
    """The job's id is part of every digest."""
    kept.edit("UPDATE log SET job_id = 'three' WHERE job_id = 'one'")
    assert numbers(kept.audit("three")) == [0]


def test_a_job_that_was_edited_all_over_is_reported_without_looking_into_each_row(kept: Kept):
    """So that an audit of many rows ends."""
    kept.edit("UPDATE log SET round = round + 1 WHERE job_id = 'one'")
    assert numbers(kept.audit()) == [*range(ROWS)]


def sentences(found: Audit) -> Sequence[str]:
    """Return the faults as a person reads them."""
    return [f"row {fault.number}: {fault.text}" for fault in found.faults]


def test_where_two_rows_may_have_been_touched_both_are_named(kept: Kept):
    """Digests alone cannot tell which."""
    kept.edit("UPDATE log SET facts = 9 WHERE job_id = 'one' AND number = 3")
    (said,) = sentences(kept.audit())
    assert said == "row 3: it was edited or comes from elsewhere, or row 2 was edited together with its digest"
