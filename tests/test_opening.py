"""A store is open while anybody uses it, and no longer, however they come and go."""

import asyncio

import anyio.lowlevel
import pytest

from converge.opening import opening_of
from converge.stores import MemoryStore


class Counted(MemoryStore):
    """Takes some turns of the loop to open, and knows whether it is."""

    is_open = False

    async def open(self) -> None:
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False


@pytest.mark.asyncio
@pytest.mark.parametrize("turns", range(8))
async def test_who_waits_for_a_store_and_is_cancelled_closes_it_where_nobody_else_is_left(turns: int):
    store = Counted()
    opening = opening_of(store)

    async def look_in() -> None:
        async with opening:
            pass

    first, second = (asyncio.create_task(look_in()) for _ in range(2))
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    second.cancel()
    await asyncio.wait([first, second])
    assert not store.is_open
