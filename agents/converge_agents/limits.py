"""How much one model server is asked: at once, per minute, after it asked for patience, and after it failed.

Plain bookkeeping on a clock that is passed in; only `Limits` waits. All who ask the same `Model` share it.
"""

__all__ = ["LONGEST_WAIT", "Limits", "Place"]

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from converge.ports import Clock
from converge_agents.circuit import Circuit
from converge_agents.errors import (
    ModelElsewhere,
    ModelError,
    RateLimited,
    ServerFailed,
    ServerSilent,
    ServerUnreachable,
)
from converge_agents.pacing import MOMENT, Pause, Window

LONGEST_WAIT = 120.0  # a server that wants a longer one has no answer for us
_UNSAID = 1.0  # seconds of patience where a server asks for some, and not for how much


class Place:
    """A place for one request. `spent`: what it came to in tokens; the worst case, unless somebody says otherwise."""

    __slots__ = ("settle", "spent")

    def __init__(self) -> None:
        self.spent: float = 0
        self.settle: Callable[[float], None] = lambda spent: None


class Limits:
    """A place for each request: at most `concurrency` at once, none too many per minute, none while others must wait.

    It serves one event loop at a time, and remembers across loops what was taken and what failed.
    """

    def __init__(
        self,
        model: str,
        clock: Clock,
        random: Callable[[], float],
        *,
        concurrency: int,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        failures: int = 10,
    ) -> None:
        self._model, self._clock, self._concurrency = model, clock, concurrency
        self._requests, self._tokens = Window(requests_per_minute), Window(tokens_per_minute)
        self._pause = Pause(concurrency, random)
        self._circuit = Circuit(model, clock, failures)
        self._loop: Callable[[], object] = lambda: None
        self._inside = 0

    @asynccontextmanager
    async def place(self, tokens: int) -> AsyncIterator[Place]:
        """Wait for a place for a request that may come to so many tokens; what it raises is noted.

        Raises ServerDown while the server is left alone, and ModelElsewhere.
        """
        self.enter_loop()
        self._inside += 1
        try:
            async with self._places, self._tried() as place:
                place.settle, place.spent = await self._turn(tokens), tokens
                yield place
        finally:
            self._inside -= 1

    @property
    def left_alone(self) -> float:
        """For how many seconds nobody is to ask, since the server failed too often."""
        return self._circuit.left

    def enter_loop(self) -> None:
        """Serve the running event loop from now on. Raises ModelElsewhere while another one is being served."""
        loop = asyncio.get_running_loop()
        if self._loop() is loop:
            return
        if self._inside:
            raise ModelElsewhere(self._model)
        self._loop = weakref.ref(loop)
        self._places = anyio.Semaphore(self._concurrency, fast_acquire=True)  # a turn of the loop for nothing is dear
        self._line, self._freed = anyio.Lock(fast_acquire=True), anyio.Event()

    @asynccontextmanager
    async def _tried(self) -> AsyncIterator[Place]:
        """Tell the circuit, and all who wait, how it went."""
        probing = await self._circuit.enter()
        healthy: bool | None = None
        place = Place()
        try:
            yield place
            healthy = True
        except ModelError as failure:
            healthy = not _ails(failure)
            if not isinstance(failure, ServerSilent):
                place.spent = 0
            if isinstance(failure, RateLimited):
                self._pause.begin(self._clock.elapsed(), failure.retry_after or _UNSAID)
            raise
        finally:
            if self._circuit.ended(probing, healthy):
                self._pause.spread(self._clock.elapsed(), 1.0)
            place.settle(place.spent)
            self._freed.set()

    async def _turn(self, tokens: int) -> Callable[[float], None]:
        """Wait, first come first served, until one more may start; return what takes back unspent tokens."""
        async with self._line:
            while (wait := self._patience(tokens)) > MOMENT:
                self._freed = anyio.Event()
                with self._clock.move_on_after(wait):
                    await self._freed.wait()
            now = self._clock.elapsed()
            self._pause.started(now)
            self._requests.take(now, 1)
            return self._tokens.take(now, tokens)

    def _patience(self, tokens: int) -> float:
        now = self._clock.elapsed()
        pause = self._pause.wait(now)
        if pause > LONGEST_WAIT:
            raise RateLimited(self._model, 429, f"it wants no request for another {pause:.0f} s", pause)
        return max(pause, self._requests.wait(now, 1), self._tokens.wait(now, tokens))


def _ails(failure: ModelError) -> bool:
    """Whether a failure says that the server is not well, rather than that it does not like what it is asked."""
    if isinstance(failure, ServerFailed):
        return failure.status >= 500
    return isinstance(failure, (ServerUnreachable, ServerSilent))
