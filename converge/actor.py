"""The merge actor: it performs the machine's commands and tells it what happened; it decides nothing.

It never awaits an agent: only its inbox and the writer.
"""

__all__ = ["MergeActor", "Message"]

from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.lowlevel
from anyio.streams.memory import MemoryObjectReceiveStream

from converge.command import Commit, Done
from converge.letter import deliver
from converge.machine import Machine
from converge.pool import Pool
from converge.ports import Clock, Letter
from converge.stop import Stop, StopReason
from converge.writer import Writer

Message = Done | Letter


class MergeActor:
    """The only one that talks to a job's machine. `letters(after)` returns those with a higher number."""

    def __init__(
        self,
        machine: Machine,
        writer: Writer,
        inbox: MemoryObjectReceiveStream[Message],
        clock: Clock,
        tell: Callable[[], None],
        letters: Callable[[int], Awaitable[Sequence[Letter]]],
    ) -> None:
        self.machine, self.writer, self.clock, self.tell = machine, writer, clock, tell
        self.stop: Stop | None = None
        self._inbox, self._letters = inbox, letters
        self._accounted = clock.elapsed()

    async def run(self, pool: Pool) -> None:
        """Go on until the machine says stop, and no letter has come that it would go on for."""
        while True:
            await anyio.lowlevel.checkpoint_if_cancelled()  # a cancelled job calls no further agent
            await self._perform(pool)
            if self.stop is None:
                self._take(await self._inbox.receive())
                self._drain()
            elif not (self.stop.at_rest and await self._has_news()):
                return

    def interrupt(self, reason: StopReason, detail: str = "") -> None:
        """Have the machine stop with what has ended so far."""
        self._drain()
        if self.stop is None:
            self.machine.interrupt(reason, detail)

    async def finish(self) -> None:
        """Merge and commit what an interruption left."""
        if self.stop is None:
            await self._perform(None)

    async def _perform(self, pool: Pool | None) -> None:
        elapsed = self.clock.elapsed()
        self.machine.spent(elapsed - self._accounted)
        self._accounted = elapsed
        commands = self.machine.next(self.clock.now())
        self.tell()
        for command in commands:
            if isinstance(command, Commit):
                await self.writer.commit(command.cycle)
                self.tell()
            elif isinstance(command, Stop):
                self.stop = command
            elif pool is not None:
                pool.submit(command.activations)
        if self.writer.durable:
            self.writer.remark(tuple(self.machine.remarks()))

    async def _has_news(self) -> bool:
        """Whether letters came in the last moment; then the job goes on."""
        if self.writer.letters > self.machine.job.letter:
            for letter in await self._letters(self.machine.job.letter):
                self._take(letter)
            self.stop = None
        return self.stop is None

    def _take(self, message: Message) -> None:
        if isinstance(message, Done):
            self.machine.receive(message)
        elif message.number > self.machine.job.letter:
            deliver(message, self.machine, self.clock.now())

    def _drain(self) -> None:
        while True:
            try:
                self._take(self._inbox.receive_nowait())
            except anyio.WouldBlock:
                return
