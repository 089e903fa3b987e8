"""A clock whose time passes only when nothing else can happen, so that a test of an hour takes a moment."""

__all__ = ["VirtualClock"]

import asyncio
import heapq
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from types import TracebackType
from typing import Self

import anyio

_EPOCH = 1_700_000_000.0


class VirtualClock:
    """Virtual time, for asyncio: `async with VirtualClock() as clock`, then `Engine(..., clock=clock)`.

    Whenever every task waits, time jumps to the next moment somebody asked for. Work in threads (a real store)
    counts as waiting, so combine it with the memory store where the order of events matters.
    """

    def __init__(self) -> None:
        self._time = 0.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()
        self._numbers = count()
        self._asked = anyio.Event()
        self._tasks = anyio.create_task_group()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._drive)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, traceback)
        except BaseExceptionGroup:
            if error is not None:
                return False  # the block's own error needs no wrapping
            raise

    def now(self) -> float:
        """Return seconds since the epoch, from a fixed date on."""
        return _EPOCH + self._time

    def elapsed(self) -> float:
        """Return the virtual seconds that have passed."""
        return self._time

    async def sleep(self, seconds: float) -> None:
        """Wait virtually."""
        woken = anyio.Event()
        number = self._at(seconds, woken.set)
        try:
            await woken.wait()
        finally:
            self._cancelled.add(number)

    def move_on_after(self, seconds: float) -> AbstractContextManager[anyio.CancelScope]:
        """Return a cancel scope that ends after `seconds` of virtual time."""
        return self._scope(seconds)

    @contextmanager
    def _scope(self, seconds: float) -> Iterator[anyio.CancelScope]:
        with anyio.CancelScope() as scope:
            number = self._at(seconds, scope.cancel)
            try:
                yield scope
            finally:
                self._cancelled.add(number)

    def _at(self, seconds: float, call: Callable[[], None]) -> int:
        number = next(self._numbers)
        heapq.heappush(self._timers, (self._time + seconds, number, call))
        self._asked.set()
        return number

    async def _drive(self) -> None:
        while True:
            await _until_all_wait()
            while self._timers and self._timers[0][1] in self._cancelled:
                self._cancelled.discard(heapq.heappop(self._timers)[1])
            if self._timers:
                self._time, number, call = heapq.heappop(self._timers)
                self._cancelled.discard(number)
                call()
            else:
                self._asked = anyio.Event()
                await self._asked.wait()


async def _until_all_wait() -> None:
    """Return when this task is the only one that can run: the loop has nothing else queued after a turn."""
    queued = getattr(asyncio.get_running_loop(), "_ready", None)
    if queued is None:  # a loop of another make, where only a slower way is public
        await anyio.wait_all_tasks_blocked()
        return
    await asyncio.sleep(0)
    while queued:  # noqa: ASYNC110 -- what is awaited is the absence of any event
        await asyncio.sleep(0)
