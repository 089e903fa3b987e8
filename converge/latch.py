"""A latch: what is waited for, once or not at all."""

__all__ = ["Latch"]

import anyio


class Latch:
    """Is set once, and wakes whoever waits for it; an Event that costs nothing until somebody does."""

    __slots__ = ("_event", "is_set")

    def __init__(self) -> None:
        self._event: anyio.Event | None = None
        self.is_set = False

    def set(self) -> None:
        """Let everybody go on who waits, or is yet to wait."""
        self.is_set = True
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        """Return when it is set; at once if it is, without a turn for anybody else, as an Event would give."""
        if not self.is_set:
            if self._event is None:
                self._event = anyio.Event()
            await self._event.wait()
