"""A server in trouble is left alone, and tried by one for all."""

__all__ = ["Circuit"]

import anyio

from converge.ports import Clock
from converge_agents.errors import ServerDown
from converge_agents.pacing import MOMENT


class Circuit:
    """A server that fails again and again is left alone, for longer each time; then one asks, and all go by that."""

    def __init__(self, model: str, clock: Clock, failures: int, first: float = 1.0, longest: float = 60.0) -> None:
        self._model, self._clock, self._limit = model, clock, failures
        self._first, self._longest = first, longest
        self._row, self._left_alone, self._until = 0, first, 0.0
        self._probe: anyio.Event | None = None

    @property
    def is_open(self) -> bool:
        """Whether the server is being left alone, or tried with one request."""
        return self._until > 0

    @property
    def left(self) -> float:
        """For how many seconds the server is still left alone."""
        return max(0.0, self._until - self._clock.elapsed()) if self.is_open else 0.0

    async def enter(self) -> bool:
        """Return whether the caller is the one who tries for all. Raises ServerDown while nobody is to ask."""
        while self.is_open:
            left = self.left
            if left > MOMENT:
                raise ServerDown(self._model, self._row, self._clock.now() + left, left)
            if self._probe is None:
                self._probe = anyio.Event()
                return True
            await self._probe.wait()
        return False

    def ended(self, probing: bool, healthy: bool | None) -> bool:
        """Note how a request ended, None for a cancelled one; return whether this brought the server back."""
        was_open = self.is_open
        if healthy:
            self._row, self._left_alone, self._until = 0, self._first, 0.0
        elif healthy is False and (probing or not was_open):
            self._failed(probing)
        if probing and self._probe is not None:
            self._probe.set()
            self._probe = None
        return was_open and not self.is_open

    def _failed(self, probing: bool) -> None:
        self._row += 1
        if probing:
            self._left_alone = min(2 * self._left_alone, self._longest)
        if probing or self._row >= self._limit:
            self._until = self._clock.elapsed() + self._left_alone
