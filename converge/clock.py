"""The clock of the running event loop, and the only place where the library asks what time it is."""

__all__ = ["SystemClock"]

import time
from contextlib import AbstractContextManager

import anyio


class SystemClock:
    """Real time."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def elapsed(self) -> float:
        """Return seconds from some fixed moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await anyio.sleep(seconds)

    def move_on_after(self, seconds: float) -> "AbstractContextManager[anyio.CancelScope]":
        """Return a cancel scope that ends after `seconds`."""
        return anyio.move_on_after(seconds)
