"""What every store must do, as checks that a store's author calls: `await check_store(make)`, or one check a test.

`make` returns a store over the same place each time it is called, and a new place for each check; for a store that
is not durable it returns the same object.
"""

__all__ = ["STORE_CHECKS", "MakeStore", "StoredText", "check_store"]

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel

from converge.chain import JobHeader, StoredRow
from converge.errors import (
    ConvergeError,
    CycleUnknown,
    JobExists,
    JobLeased,
    JobUnknown,
    LeaseLost,
    StoreConflict,
)
from converge.ports import Holder, Lease, Store

MakeStore = Callable[[], Store]
Check = Callable[[MakeStore], Awaitable[None]]


@dataclasses.dataclass
class StoredText:
    """A row with a given body; `cycle` is None for records."""

    cycle: int | None
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


# --- rows -------------------------------------------------------------------------------------------------------------


async def a_job_comes_back_as_it_was_written(make: MakeStore) -> None:
    """Header and bodies are returned unchanged, in order."""
    async with _open(make) as store:
        lease = await _begun(store, "one", '{"a":1}')
        await store.append(lease, 1, [StoredText(2, '{"b":"ü\\u2028"}'), StoredText(None, '{"c":[]}')])
    async with _open(make) as store:
        stored = await store.load("one")
    assert stored.header == _header("one"), f"the header came back as {stored.header}"
    assert list(stored.bodies) == ['{"a":1}', '{"b":"ü\\u2028"}', '{"c":[]}'], f"bodies: {list(stored.bodies)}"


async def a_job_id_is_taken_once(make: MakeStore) -> None:
    """A second job of the same id is refused, and the first one is untouched."""
    async with _open(make) as store:
        lease = await _begun(store, "one", '{"first":true}')
        await _raises(JobExists, store.create(lease, _header("one"), [StoredText(1, '{"second":true}')]))
        assert list((await store.load("one")).bodies) == ['{"first":true}'], "the first job was changed"


async def an_unknown_job_is_refused(make: MakeStore) -> None:
    """Whatever is asked of a job that is not there, it is said so."""
    async with _open(make) as store:
        await _begun(store, "one")
        for asked in (store.load("none"), store.rows("none"), store.give("none", 0.0, "{}")):
            await _raises(JobUnknown, asked)
        lease = await store.take("none", _holder("a"), 0.0, 10.0)
        await _raises(JobUnknown, store.append(lease, 0, [StoredText(1)]))


async def rows_follow_each_other_without_a_gap(make: MakeStore) -> None:
    """A row that is not the next one is refused, and nothing of its batch is kept."""
    async with _open(make) as store:
        lease = await _begun(store, "one")
        await store.append(lease, 1, [StoredText(2, '{"next":1}')])
    async with _open(make) as store:
        await _raises(StoreConflict, store.append(lease, 1, [StoredText(2, '{"again":1}'), StoredText(3)]))
        await _raises(StoreConflict, store.append(lease, 3, [StoredText(5, '{"gap":1}')]))
        assert list((await store.load("one")).bodies) == ["{}", '{"next":1}'], "a refused row was kept"


async def later_rows_are_read_by_themselves(make: MakeStore) -> None:
    """Whoever has read a job up to a row is given what came after it, and nothing where nothing did."""
    async with _open(make) as store:
        lease = await _begun(store, "one")
        await store.append(lease, 1, [StoredText(2, '{"next":1}')])
        every = list(await store.rows("one"))
        for after in (-1, 0, 1, 2):
            assert list(await store.rows("one", after)) == every[after + 1 :], f"rows after {after}"
        await _raises(JobUnknown, store.rows("none", 1))


async def who_reads_is_in_nobodys_way(make: MakeStore) -> None:
    """A job can be read, by as many as like to, while it is written to: that is not for those who read to notice."""
    async with _open(make) as store:
        lease = await _begun(store, "one")
        over = anyio.Event()

        async def read() -> None:
            while not over.is_set():
                await anyio.lowlevel.checkpoint()
                await store.load("one")

        async with anyio.create_task_group() as readers:
            for _ in range(5):
                readers.start_soon(read)
            for number in range(1, 100):
                await anyio.lowlevel.checkpoint()
                await store.append(lease, number, [StoredText(number + 1)])
            over.set()
        assert len((await store.load("one")).bodies) == 100


async def a_job_that_begins_is_read_whole_or_not_at_all(make: MakeStore) -> None:
    """Whoever looks for it while it is added is told that it is not there, or given what it began with."""
    async with _open(make) as store:

        async def look(job_id: str) -> None:
            while True:
                await anyio.lowlevel.checkpoint()
                try:
                    rows = await store.rows(job_id)
                except JobUnknown:
                    continue
                assert len(rows) == 2, f"{len(rows)} rows of 2"
                return

        for job_id in map(str, range(50)):
            async with anyio.create_task_group() as readers:
                for _ in range(3):
                    readers.start_soon(look, job_id)
                    await anyio.lowlevel.checkpoint()
                await _begun(store, job_id)


async def many_rows_are_kept_as_one(make: MakeStore) -> None:
    """A batch may be larger than what one statement takes."""
    rows = [StoredText(number, f'{{"n":{number}}}') for number in range(2, 2_002)]
    async with _open(make) as store:
        lease = await _begun(store, "one")
        await store.append(lease, 1, rows)
        await _raises(StoreConflict, store.append(lease, 1, rows))
        assert len((await store.load("one")).bodies) == 2_001


async def jobs_do_not_mix(make: MakeStore) -> None:
    """Rows and letters of one job are never seen in another."""
    async with _open(make) as store:
        leases = {name: await _begun(store, name, f'{{"of":"{name}"}}') for name in ("a", "b")}
        await store.give("b", 0.0, '{"of":"b"}')
        await store.append(leases["b"], 1, [StoredText(2, '{"of":"b"}')])
        assert list((await store.load("a")).bodies) == ['{"of":"a"}']
        assert not await store.letters("a", 0)


async def jobs_are_listed_with_their_last_cycle(make: MakeStore) -> None:
    """The newest job comes first; a job that has not stopped has no stop reason; records are no cycle."""
    async with _open(make) as store:
        lease = await _begun(store, "old", created=1.0)
        await _begun(store, "new", created=2.0)
        last = StoredText(2, at=3.0, round=4, facts=5, stop="fixed_point")
        await store.append(lease, 1, [last, StoredText(None, at=9.0)])
        listed = {summary.job_id: summary for summary in await store.jobs()}
        assert list(listed) == ["new", "old"], f"the order is {list(listed)}"
        old = listed["old"]
        assert (old.updated, old.cycles, old.round, old.facts, old.stop) == (3.0, 2, 4, 5, "fixed_point"), old
        assert old.objective == "objective of old", old
        assert listed["new"].stop is None, listed["new"]


async def a_job_that_ends_is_never_listed_as_broken_off(make: MakeStore) -> None:
    """Until it has stopped, the list says who runs it: somebody who looks for jobs to go on with would take it up."""
    async with _open(make) as store:
        over = anyio.Event()

        async def look() -> None:
            while not over.is_set():
                await anyio.lowlevel.checkpoint()
                for job in await store.jobs():
                    assert job.stop or job.lease, f"job {job.job_id} has no end, and nobody runs it"

        async with anyio.create_task_group() as readers:
            for _ in range(3):
                readers.start_soon(look)
            for job_id in map(str, range(50)):
                lease = await _begun(store, job_id)
                await anyio.lowlevel.checkpoint()
                await store.append(lease, 1, [StoredText(2, stop="fixed_point")])
                await store.release(lease)
            over.set()


async def a_job_can_be_read_as_it_was(make: MakeStore) -> None:
    """Up to and with the row of a cycle, records before it included; an unknown cycle is refused."""
    async with _open(make) as store:
        lease = await _begun(store, "one", '{"a":1}')
        await store.append(lease, 1, [StoredText(None, '{"r":1}'), StoredText(2, '{"b":1}'), StoredText(3)])
        assert list((await store.load("one", 2)).bodies) == ['{"a":1}', '{"r":1}', '{"b":1}']
        await _raises(CycleUnknown, store.load("one", 4))


async def a_closed_store_opens_again(make: MakeStore) -> None:
    """The same object can be closed and opened, and closing twice is harmless."""
    store = make()
    await store.open()
    lease = await _begun(store, "one")
    await store.close()
    await store.close()
    await store.open()
    try:
        await store.append(lease, 1, [StoredText(2)])
    finally:
        await store.close()


# --- the chain --------------------------------------------------------------------------------------------------------


async def each_row_is_chained_to_the_one_before(make: MakeStore) -> None:
    """The digest of a row covers its columns, its body and the digest before it; leases number their rows."""
    async with _open(make) as store:
        lease = await _begun(store, "one", '{"a":1}')
        await store.release(lease)
        again = await store.take("one", _holder("b"), 0.0, 10.0)
        await store.append(again, 1, [StoredText(2, '{"b":1}')])
        rows = await store.rows("one")
    assert [row.number for row in rows] == [0, 1, 2]
    assert [row.epoch for row in rows] == [0, lease.epoch, again.epoch], rows
    digests = ["one", *(row.digest for row in rows)]
    assert [row.digest_after(before) for row, before in zip(rows, digests, strict=False)] == digests[1:]


async def the_last_row_is_noted_when_a_lease_is_given_back(make: MakeStore) -> None:
    """So that rows taken off the end are missed."""
    async with _open(make) as store:
        lease = await _begun(store, "one")
        assert await store.anchor("one") == (0, "")
        await store.append(lease, 1, [StoredText(2)])
        await store.release(lease)
        last = (await store.rows("one"))[-1]
        assert await store.anchor("one") == (2, last.digest)


async def a_job_can_be_adopted_whole(make: MakeStore) -> None:
    """Its rows are those of the place it comes from; its id must be free."""
    async with _open(make) as store:
        lease = await _begun(store, "one", '{"a":1}')
        await store.append(lease, 1, [StoredText(None, '{"r":1}')])
        await store.release(lease)
        rows = list(await store.rows("one"))
        await _raises(JobExists, store.adopt("one", rows))
        await store.remove("one", 0.0)
        await _raises(JobUnknown, store.load("one"))
        await store.adopt("one", rows)
        assert list(await store.rows("one")) == [StoredRow(*row) for row in rows]


# --- leases -----------------------------------------------------------------------------------------------------------


async def a_job_is_run_by_one(make: MakeStore) -> None:
    """The second who comes is told who has it and until when; what was given back can be taken."""
    async with _open(make) as first, _open(make) as second:
        lease = await _begun(first, "one")
        refusal = await _raises(JobLeased, second.take("one", _holder("b"), 5.0, 15.0))
        assert isinstance(refusal, JobLeased)
        assert (refusal.holder, refusal.expires) == (lease.holder, lease.expires), refusal
        assert await second.holder("one", 5.0) == lease
        await first.release(lease)
        assert await second.holder("one", 5.0) is None
        assert (await second.take("one", _holder("b"), 5.0, 15.0)).epoch > lease.epoch


async def who_wakes_up_late_writes_nothing(make: MakeStore) -> None:
    """An expired lease can be taken; what comes under the earlier one is refused, even if its row would be the next."""
    async with _open(make) as first, _open(make) as second:
        late = await _begun(first, "one")
        lease = await second.take("one", _holder("b"), late.expires + 1, late.expires + 9)
        await _raises(LeaseLost, first.append(late, 1, [StoredText(2, '{"by":"first"}')]))
        await second.append(lease, 1, [StoredText(2, '{"by":"second"}')])
        await _raises((LeaseLost, StoreConflict), first.append(late, 1, [StoredText(2, '{"by":"first"}')]))
        assert list((await second.load("one")).bodies) == ["{}", '{"by":"second"}'], "who came late has written"


async def who_lets_go_late_takes_nothing_along(make: MakeStore) -> None:
    """A lease that somebody else has taken is theirs, also while there is no job yet."""
    async with _open(make) as first, _open(make) as second:
        late = await first.take("one", _holder("a"), 0.0, 10.0)
        lease = await second.take("one", _holder("b"), 11.0, 20.0)
        await first.release(late)
        assert await second.holder("one", 12.0) == lease, "the lease is gone"
        await second.create(lease, _header("one"), [StoredText(1)])


async def a_lease_can_be_taken_over_one_that_is_named(make: MakeStore) -> None:
    """Somebody whose end is known is not waited for; a wrong name takes nothing."""
    async with _open(make) as store:
        lease = await _begun(store, "one")
        await _raises(JobLeased, store.take("one", _holder("b"), 0.0, 10.0, over="somebody"))
        assert (await store.take("one", _holder("b"), 0.0, 10.0, over=lease.holder.token)).epoch == lease.epoch + 1


async def a_renewed_lease_lasts_longer(make: MakeStore) -> None:
    """One that somebody else has taken is not brought back by that."""
    async with _open(make) as store:
        lease = await _begun(store, "one")
        store.renew([lease], 100.0)
        await _raises(JobLeased, store.take("one", _holder("b"), 99.0, 120.0))
        again = await store.take("one", _holder("b"), 101.0, 120.0)
        store.renew([lease], 500.0)
        await store.release(lease)
        assert await store.holder("one", 110.0) == again


async def a_job_that_is_run_is_not_removed(make: MakeStore) -> None:
    """Nor are its letters; once it is not, all of it is."""
    async with _open(make) as store:
        lease = await _begun(store, "one")
        await store.give("one", 0.0, "{}")
        await _raises(JobLeased, store.remove("one", 0.0))
        await store.release(lease)
        await store.remove("one", 0.0)
        await _begun(store, "one")
        assert not await store.letters("one", 0)


# --- letters ----------------------------------------------------------------------------------------------------------


async def letters_are_numbered_and_kept(make: MakeStore) -> None:
    """Anybody may write them; whoever runs the job is told of them with the next commit."""
    async with _open(make) as first, _open(make) as second:
        lease = await _begun(first, "one")
        assert await first.append(lease, 1, [StoredText(2)]) == 0
        assert [await second.give("one", at, f'{{"n":{at}}}') for at in (7, 8)] == [1, 2]
        assert await first.append(lease, 2, [StoredText(3)]) == 2
        assert [(letter.number, letter.body) for letter in await first.letters("one", 1)] == [(2, '{"n":8}')]


STORE_CHECKS: tuple[Check, ...] = (
    a_job_comes_back_as_it_was_written,
    a_job_id_is_taken_once,
    an_unknown_job_is_refused,
    rows_follow_each_other_without_a_gap,
    later_rows_are_read_by_themselves,
    who_reads_is_in_nobodys_way,
    a_job_that_begins_is_read_whole_or_not_at_all,
    many_rows_are_kept_as_one,
    jobs_do_not_mix,
    jobs_are_listed_with_their_last_cycle,
    a_job_that_ends_is_never_listed_as_broken_off,
    a_job_can_be_read_as_it_was,
    a_closed_store_opens_again,
    each_row_is_chained_to_the_one_before,
    the_last_row_is_noted_when_a_lease_is_given_back,
    a_job_can_be_adopted_whole,
    a_job_is_run_by_one,
    who_wakes_up_late_writes_nothing,
    who_lets_go_late_takes_nothing_along,
    a_lease_can_be_taken_over_one_that_is_named,
    a_renewed_lease_lasts_longer,
    a_job_that_is_run_is_not_removed,
    letters_are_numbered_and_kept,
)


def _header(job_id: str, created: float = 0.0) -> JobHeader:
    return JobHeader(job_id, created, f'{{"objective":"objective of {job_id}"}}')


def _holder(token: str) -> Holder:
    return Holder(token, "host", "place", 1, "0")


async def _begun(store: Store, job_id: str, body: str = "{}", created: float = 0.0) -> Lease:
    """Make a job of one cycle and return its lease, which expires at 10."""
    lease = await store.take(job_id, _holder("a"), 0.0, 10.0)
    await store.create(lease, _header(job_id, created), [StoredText(1, body)])
    return lease


@asynccontextmanager
async def _open(make: MakeStore) -> AsyncIterator[Store]:
    store = make()
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def _raises(
    kind: type[ConvergeError] | tuple[type[ConvergeError], ...], call: Awaitable[object]
) -> ConvergeError:
    try:
        await call
    except kind as error:
        return error
    raise AssertionError(f"{kind} was to be raised")
