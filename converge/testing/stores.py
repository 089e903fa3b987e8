"""What every store must do, as checks that a store's author calls: `await check_store(make)`, or one check a test.

`make` returns a store over the same place each time it is called, and a new place for each check; for a store that
is not durable it returns the same object.
"""

__all__ = ["STORE_CHECKS", "MakeStore", "Row", "check_store"]

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from converge.errors import ConvergeError, JobExists, JobUnknown, StoreConflict
from converge.ports import JobHeader, Store

MakeStore = Callable[[], Store]
Check = Callable[[MakeStore], Awaitable[None]]


@dataclasses.dataclass
class Row:
    """A cycle row with a given body."""

    number: int
    text: str = "{}"
    at: float = 0.0
    round: int = 0
    facts: int = 0
    stop: str | None = None

    def body(self) -> str:
        """Return the given body."""
        return self.text

    def lighten(self) -> None:
        """Keep the body: it cannot be computed again."""


async def check_store(make_store: Callable[[], MakeStore]) -> None:
    """Run every check, each on a place of its own. Raises AssertionError with a sentence for the first that fails."""
    for check in STORE_CHECKS:
        await check(make_store())


async def a_job_comes_back_as_it_was_written(make: MakeStore) -> None:
    """Header and bodies are returned unchanged, in order."""
    header = _header("one")
    async with _open(make) as store:
        await store.create(header, Row(1, '{"a":1}'))
        await store.append("one", [Row(2, '{"b":"ü\\u2028"}'), Row(3, '{"c":[]}')])
    async with _open(make) as store:
        stored = await store.load("one")
    assert stored.header == header, f"the header came back as {stored.header}"
    assert list(stored.bodies) == ['{"a":1}', '{"b":"ü\\u2028"}', '{"c":[]}'], f"bodies: {list(stored.bodies)}"


async def a_job_id_is_taken_once(make: MakeStore) -> None:
    """A second job of the same id is refused, and the first one is untouched."""
    async with _open(make) as store:
        await store.create(_header("one"), Row(1, '{"first":true}'))
        await _raises(JobExists, store.create(_header("one"), Row(1, '{"second":true}')))
        assert list((await store.load("one")).bodies) == ['{"first":true}'], "the first job was changed"


async def an_unknown_job_is_refused(make: MakeStore) -> None:
    """Loading or appending to a job that is not there says so."""
    async with _open(make) as store:
        await _raises(JobUnknown, store.load("none"))
        await _raises(JobUnknown, store.append("none", [Row(1)]))


async def rows_follow_each_other_without_a_gap(make: MakeStore) -> None:
    """A row that is not the next one is refused, and nothing of its batch is kept."""
    async with _open(make) as store:
        await store.create(_header("one"), Row(1))
        await _raises(StoreConflict, store.append("one", [Row(1, '{"again":1}')]))
        await _raises(StoreConflict, store.append("one", [Row(3, '{"gap":1}')]))
        await store.append("one", [Row(2, '{"next":1}')])
        assert list((await store.load("one")).bodies) == ["{}", '{"next":1}'], "a refused row was kept"


async def a_second_writer_is_refused(make: MakeStore) -> None:
    """Two openings of one place: the one that comes second with the same cycle loses, and nothing is overwritten."""
    async with _open(make) as first, _open(make) as second:
        await first.create(_header("one"), Row(1))
        await second.load("one")
        await first.append("one", [Row(2, '{"by":"first"}')])
        await _raises(StoreConflict, second.append("one", [Row(2, '{"by":"second"}')]))
        assert (await second.load("one")).bodies[1] == '{"by":"first"}', "the second writer overwrote the first"


async def jobs_are_listed_with_their_last_row(make: MakeStore) -> None:
    """The newest job comes first; a job that has not stopped has no stop reason."""
    async with _open(make) as store:
        await store.create(_header("old", created=1.0), Row(1))
        await store.create(_header("new", created=2.0), Row(1))
        await store.append("old", [Row(2, at=3.0, round=4, facts=5, stop="fixed_point")])
        listed = {summary.job_id: summary for summary in await store.jobs()}
        assert list(listed) == ["new", "old"], f"the order is {list(listed)}"
        old = listed["old"]
        assert (old.updated, old.cycles, old.round, old.facts, old.stop) == (3.0, 2, 4, 5, "fixed_point"), old
        assert old.objective == "objective of old", old
        assert listed["new"].stop is None, listed["new"]


async def a_closed_store_opens_again(make: MakeStore) -> None:
    """The same object can be closed and opened, and closing twice is harmless."""
    store = make()
    await store.open()
    await store.create(_header("one"), Row(1))
    await store.close()
    await store.close()
    await store.open()
    try:
        await store.append("one", [Row(2)])
    finally:
        await store.close()


async def jobs_do_not_mix(make: MakeStore) -> None:
    """Rows of one job are never seen in another."""
    async with _open(make) as store:
        for name in ("a", "b"):
            await store.create(_header(name), Row(1, f'{{"of":"{name}"}}'))
        await store.append("b", [Row(2, '{"of":"b"}')])
        assert list((await store.load("a")).bodies) == ['{"of":"a"}']


STORE_CHECKS: tuple[Check, ...] = (
    a_job_comes_back_as_it_was_written,
    a_job_id_is_taken_once,
    an_unknown_job_is_refused,
    rows_follow_each_other_without_a_gap,
    a_second_writer_is_refused,
    jobs_are_listed_with_their_last_row,
    a_closed_store_opens_again,
    jobs_do_not_mix,
)


def _header(job_id: str, created: float = 0.0) -> JobHeader:
    return JobHeader(job_id, created, f'{{"objective":"objective of {job_id}"}}')


@asynccontextmanager
async def _open(make: MakeStore) -> AsyncIterator[Store]:
    store = make()
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def _raises(kind: type[ConvergeError], call: Awaitable[object]) -> None:
    try:
        await call
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was to be raised")
