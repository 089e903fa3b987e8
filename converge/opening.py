"""How long a store is open: from the first who uses it to the last, in one event loop at a time."""

__all__ = ["Opening", "opening_of"]

import threading
from typing import TYPE_CHECKING, Self
from weakref import WeakValueDictionary

import anyio

from converge.errors import EngineElsewhere
from converge.ports import Store

if TYPE_CHECKING:
    import asyncio


class Opening:
    """Holds a store open while anybody is inside: `async with opening`, as often and as nested as wanted.

    Raises EngineElsewhere while another event loop is inside, and what the store raises.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._is_open, self._users = store, False, 0
        self._guard = threading.Lock()  # several threads may come at once
        self._home: asyncio.AbstractEventLoop | None = None  # the loop that is inside
        self._door: anyio.Lock  # of that loop

    async def __aenter__(self) -> Self:
        self._enter()
        try:
            async with self._door:
                if not self._is_open:
                    await self._store.open()
                    self._is_open = True
        except BaseException:  # by now it may be open, and who opened it gone
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._users > 1:
            self._leave()
            return
        with anyio.CancelScope(shield=True):
            async with self._door:
                try:
                    if self._users == 1 and self._is_open:
                        self._is_open = False
                        await self._store.close()
                finally:
                    self._leave()

    def _enter(self) -> None:
        import asyncio  # where there is a loop, it is loaded

        here = asyncio.get_running_loop()
        with self._guard:
            if self._users and self._home is not here:
                raise EngineElsewhere
            if not self._users:  # a lock that waiters of two loops share would wake only one of them
                self._home, self._door = here, anyio.Lock(fast_acquire=True)
            self._users += 1

    def _leave(self) -> None:
        with self._guard:
            self._users -= 1
            if not self._users:
                self._home = None


def opening_of(store: Store) -> Opening:
    """Return the one opening of a store, which engines may share: the first to leave must not close it for others."""
    return _openings.setdefault(id(store), Opening(store))


_openings: WeakValueDictionary[int, Opening] = WeakValueDictionary()  # an opening keeps its store, and so the number
