"""A latch: what is waited for, once or not at all."""

__all__ = ["Latch"]

import asyncio


class Latch:
    """Is set once, and wakes whoever waits for it; an Event that costs nothing until somebody does, and little then."""

    __slots__ = ("_waiting", "is_set")

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], None] | None = None  # in the order in which they came
        self.is_set = False

    def set(self) -> None:
        """Let everybody go on who waits, or is yet to wait."""
        self.is_set = True
        for called in self._waiting or ():
            if not called.done():  # who is cancelled has yet to hear of it
                called.set_result(None)

    async def wait(self) -> None:
        """Return when it is set; at once if it is, without a turn for anybody else, as an Event would give."""
        if self.is_set:
            return
        called = asyncio.get_running_loop().create_future()
        if self._waiting is None:
            self._waiting = {}
        self._waiting[called] = None
        try:
            await called
        finally:
            del self._waiting[called]
