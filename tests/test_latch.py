"""A latch is waited for once or not at all: nobody who waits is forgotten, and nobody waits for what has been."""

import asyncio

import anyio
import anyio.lowlevel
import pytest

from converge.latch import Latch

pytestmark = pytest.mark.asyncio


async def test_all_who_wait_go_on_when_it_is_set_in_the_order_in_which_they_came():
    latch, went_on = Latch(), list[int]()

    async def wait(number: int) -> None:
        await latch.wait()
        went_on.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(wait, number)
        await anyio.wait_all_tasks_blocked()
        assert not went_on
        latch.set()
    assert went_on == list(range(20))


async def test_who_comes_later_does_not_wait_nor_give_anybody_else_a_turn():
    latch, turns = Latch(), list[int]()
    latch.set()
    asyncio.get_running_loop().call_soon(turns.append, 1)
    await latch.wait()
    assert not turns


async def test_who_is_cancelled_while_waiting_is_in_nobodys_way():
    latch = Latch()
    task, other = (asyncio.create_task(latch.wait()) for _ in range(2))
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    latch.set()  # before it has heard of that
    await asyncio.wait([task, other])
    assert (task.cancelled(), other.cancelled()) == (True, False)


async def test_it_keeps_nothing_of_those_who_wait_no_longer():
    latch = Latch()
    for _ in range(100):
        with anyio.move_on_after(0):
            await latch.wait()
    assert not latch._waiting
