"""Activations performed one at a time, in a pool of their own, where nothing is asked of the world again.

Captured calls are answered from the record and no other call is made. No clock runs: a retry does not wait, and what
took too long may take as long as it needs.
"""

__all__ = ["Bench", "Perform", "Recorded", "performing"]

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from math import inf
from typing import NamedTuple

import anyio
import anyio.lowlevel
from anyio.streams.memory import MemoryObjectSendStream

from converge.capture import Captures, Question
from converge.command import Activation, Done
from converge.crew import Crew
from converge.errors import CaptureMissing
from converge.intent import RootIntent
from converge.invariant import Invariant, Invariants
from converge.pool import Pool
from converge.wiring import Wiring

Perform = Callable[[Activation], Awaitable[Done]]
_PATIENCE = 300.0  # seconds; who has not ended by then waits for somebody who is not running


class Bench(NamedTuple):
    """What jobs are run with: an engine's agents, its invariants and its cap on emissions."""

    wiring: Wiring
    rules: tuple[Invariant, ...]
    max_emissions: int

    def invariants(self, intent: RootIntent) -> Invariants:
        """Return those that a root intent names. Raises InvariantUnknown."""
        return Invariants(intent, self.rules)


class Recorded(Captures):
    """What another run captured, to be found by being asked again; a call that is not there is never made.

    `missed` collects what was asked and not found: an agent may catch the error, and the record has a gap all the same.
    """

    def __init__(self, known: Captures) -> None:
        super().__init__()
        self._known = known
        self.missed: list[Question] = []

    def knows(self, question: Question) -> bool:
        """Return True. Raises CaptureMissing for a call that was not captured."""
        if not self._known.knows(question):
            self.missed.append(question)
            raise CaptureMissing(question.agent, question.name)
        self.restore(question, self._known.text(question))
        return True

    def asks_again(self, question: Question) -> bool:
        """Whether the next answer was captured: if not, the refused one was the last."""
        return self._known.knows(question)

    def take_missed(self) -> CaptureMissing | None:
        """Return an error for the first call that was not found since this was last called."""
        missed, self.missed = self.missed, []
        return CaptureMissing(missed[0].agent, missed[0].name) if missed else None


@asynccontextmanager
async def performing(bench: Bench, intent: RootIntent, captures: Recorded) -> AsyncIterator[Perform]:
    """Give a way to run one activation to its end."""
    check = bench.invariants(intent).reject
    results, inbox = anyio.create_memory_object_stream[Done](inf)

    async def perform(activation: Activation) -> Done:
        pool.submit((activation,))
        done: Done | None = None
        with anyio.move_on_after(_PATIENCE):
            done = await inbox.receive()
        if done is None:
            return Done(activation, None, TimeoutError("it does not end when it runs alone"))
        missed = captures.take_missed()
        return done if missed is None else done._replace(effect=None, error=missed)

    with results, inbox:
        async with Crew() as crew:
            pool = Pool(crew, _Inbox(results), _NoClock(), check, bench.max_emissions)
            yield perform
            crew.cancel()


class _Inbox:
    """Hands on what has ended to whoever waits for it."""

    def __init__(self, results: MemoryObjectSendStream[Done]) -> None:
        self._results = results

    def put(self, done: Done) -> None:
        self._results.send_nowait(done)

    def call(self) -> None:
        """Do nothing: whoever waits was woken."""

    async def attend(self) -> None:
        """Do nothing: there is nothing more in it."""


class _NoClock:
    """A clock that stands still."""

    def now(self) -> float:
        return 0.0

    def elapsed(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()

    def move_on_after(self, seconds: float) -> AbstractContextManager[anyio.CancelScope]:
        return anyio.CancelScope()
