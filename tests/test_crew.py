"""A crew's tasks are over when its block is, whatever ends it, and whoever is cancelled hears of it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from converge.crew import Crew

pytestmark = pytest.mark.asyncio


class Hand:
    """Waits until it is called, and notes how that ended."""

    def __init__(self) -> None:
        self.called, self.ended = anyio.Event(), ""

    async def wait(self) -> None:
        try:
            await self.called.wait()
            self.ended = "called"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


async def fail() -> None:
    raise ValueError("mine")


async def stop() -> None:
    await anyio.lowlevel.checkpoint()
    raise KeyError("the block's")


async def together(*works: Callable[[], Coroutine[Any, Any, None]], block=anyio.lowlevel.checkpoint) -> None:
    async with Crew() as crew:
        for work in works:
            crew.start(work)
        await block()


async def test_a_block_is_over_when_all_its_tasks_are():
    hand = Hand()
    async with Crew() as crew:
        crew.start(hand.wait)
        asyncio.get_running_loop().call_soon(hand.called.set)
    assert hand.ended == "called"


async def test_where_a_block_fails_its_tasks_are_cancelled_and_its_error_is_its_own():
    hand = Hand()
    with pytest.raises(KeyError):
        await together(hand.wait, block=stop)
    assert hand.ended == "cancelled"


async def test_where_a_task_fails_the_others_and_the_block_are_cancelled():
    hand, block = Hand(), Hand()
    with pytest.raises(ExceptionGroup) as raised:
        await together(hand.wait, fail, block=block.wait)
    assert [str(error) for error in raised.value.exceptions] == ["mine"]
    assert (hand.ended, block.ended) == ("cancelled", "cancelled")


async def test_a_task_that_fails_when_the_block_is_at_its_end_is_heard_of():
    hand = Hand()
    with pytest.raises(ExceptionGroup):
        await together(hand.wait, fail)
    assert hand.ended == "cancelled"


async def test_what_a_block_and_a_task_raise_is_raised_together():
    async def fail_late() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("mine")

    with pytest.raises(ExceptionGroup) as raised:
        await together(fail_late, block=stop)
    assert [type(error) for error in raised.value.exceptions] == [KeyError, ValueError]


async def test_a_crew_that_is_cancelled_goes_on_after_its_block():
    hand = Hand()
    async with Crew() as crew:
        crew.start(hand.wait)
        await anyio.lowlevel.checkpoint()
        crew.cancel()
        await anyio.sleep_forever()
    assert hand.ended == "cancelled"


@pytest.mark.parametrize("at_its_end", [True, False])
async def test_a_scope_around_it_cancels_all_of_it(at_its_end):
    hand, went_on = Hand(), False
    with anyio.CancelScope() as around:
        async with Crew() as crew:
            crew.start(hand.wait)
            await anyio.lowlevel.checkpoint()
            asyncio.get_running_loop().call_soon(around.cancel)
            if not at_its_end:
                await anyio.sleep_forever()
        went_on = True
    assert (hand.ended, went_on) == ("cancelled", False)
    assert around.cancelled_caught


@pytest.mark.parametrize("at_its_end", [True, False])
async def test_so_does_asyncio_itself(at_its_end):
    hand = Hand()

    async def run() -> None:
        async with Crew() as crew:
            crew.start(hand.wait)
            if not at_its_end:
                await anyio.sleep_forever()

    task = asyncio.create_task(run())
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hand.ended == "cancelled"


async def test_what_is_shielded_in_a_task_is_not_cut_off():
    kept = Hand()

    async def keep() -> None:
        with anyio.CancelScope(shield=True):
            await kept.wait()

    async with Crew() as crew:
        crew.start(keep)
        await anyio.lowlevel.checkpoint()
        crew.cancel()
        asyncio.get_running_loop().call_later(0, kept.called.set)
    assert kept.ended == "called"


async def test_a_task_that_takes_no_notice_of_being_cancelled_is_told_again():
    heard: list[BaseException] = []

    async def stubborn() -> None:
        while len(heard) < 3:
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError as error:
                heard.append(error)
        raise heard[-1]

    async with Crew() as crew:
        crew.start(stubborn)
        await anyio.lowlevel.checkpoint()
        crew.cancel()
    assert len(heard) == 3


async def test_a_task_that_has_not_begun_when_it_is_cancelled_does_not_begin():
    begun = []

    async def begin() -> None:
        begun.append(1)

    async with Crew() as crew:
        crew.start(begin)
        crew.cancel()
    assert not begun


async def test_a_task_may_start_another_while_the_block_waits():
    hand = Hand()

    async def start() -> None:
        crew.start(hand.wait)
        hand.called.set()

    async with Crew() as crew:
        crew.start(start)
    assert hand.ended == "called"


async def test_one_that_was_cancelled_alone_is_nobodys_failure():
    hand = Hand()
    async with Crew() as crew:
        before = asyncio.all_tasks()
        crew.start(hand.wait)
        await anyio.lowlevel.checkpoint()
        (task,) = asyncio.all_tasks() - before
        task.cancel()
    assert hand.ended == "cancelled"


async def test_a_task_that_is_started_when_all_are_cancelled_does_not_begin():
    """A worker that ends then may call another; nobody would end that one."""
    begun = []

    async def begin() -> None:
        begun.append(1)

    async def start() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            crew.start(begin)

    async with Crew() as crew:
        crew.start(start)
        await anyio.lowlevel.checkpoint()
        crew.cancel()
    assert not begun
