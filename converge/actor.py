"""The merge actor: it performs the machine's commands and tells it what happened; it decides nothing.

It never awaits an agent: only its inbox and the writer. It takes one turn at a time, in the task that awaits `run` or
in that of a worker with nothing else to do.
"""

__all__ = ["MergeActor", "Message"]

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter

import anyio
import anyio.lowlevel

from converge.command import Activate, Commit, Done
from converge.latch import Latch
from converge.letter import deliver
from converge.machine import Machine
from converge.pool import Pool
from converge.ports import Clock, Letter
from converge.stop import Stop, StopReason
from converge.writer import Writer

Message = Done | Letter
_MANY = 1_000  # to merge so many effects keeps everybody else waiting for some hundredths of a second
_IS_CANCELLED = attrgetter("cancel_called")


class MergeActor:
    """The only one that talks to a job's machine. `letters(after)` returns those with a higher number.

    `scopes` are those that the job ends with: where one is cancelled, no further agent is called.
    """

    def __init__(
        self,
        machine: Machine,
        writer: Writer,
        clock: Clock,
        tell: Callable[[], None],
        letters: Callable[[int], Awaitable[Sequence[Letter]]],
    ) -> None:
        self.machine, self.writer, self.clock, self.tell = machine, writer, clock, tell
        self._durable = writer.durable
        self.stop: Stop | None = None
        self.scopes: Sequence[anyio.CancelScope] = ()
        self._letters = letters
        self._mail: deque[Message] = deque()
        self._called, self._is_called = Latch(), False
        self._at_work = False
        self._is_told = True  # whether the machine knows of anything that it has not been asked about
        self._pool: Pool | None = None
        self._accounted = clock.elapsed()

    def put(self, message: Message) -> None:
        """Take what is to be told to the machine."""
        self._mail.append(message)

    def call(self) -> None:
        """Have the actor's own task look after its mail."""
        if not self._is_called:
            self._is_called = True
            self._called.set()

    async def run(self, pool: Pool) -> None:
        """Go on until the machine says stop, and no letter has come that it would go on for."""
        self._pool = pool
        while True:
            await anyio.lowlevel.checkpoint_if_cancelled()  # a cancelled job calls no further agent
            await self._take_turns()
            if self.stop is None:
                await self._called.wait()
                self._called, self._is_called = Latch(), False
                # What is ready runs first: the clock is not to merge a round in parts, unless it is a very wide one.
                while pool.gives_way and len(self._mail) < _MANY:
                    await anyio.lowlevel.checkpoint()
            elif not (self.stop.at_rest and await self._has_news()):
                return

    async def attend(self) -> None:
        """Take the turns that are due, in the caller's task."""
        if not self._is_called_off():
            await self._take_turns()
            if self.stop is not None:
                self.call()

    def interrupt(self, reason: StopReason, detail: str = "") -> None:
        """Have the machine stop with what has ended so far."""
        self._drain()
        if self.stop is None:
            self.machine.interrupt(reason, detail)

    async def finish(self) -> None:
        """Merge and commit what an interruption left."""
        if self.stop is None:
            await self._perform(None)

    async def _take_turns(self) -> None:
        """Perform what the machine says, until nothing has come that it does not know."""
        if self._at_work or self.stop is not None:  # in another task, which sees what has come since
            return
        self._at_work = True
        try:
            self._drain()
            while self._is_told:
                await self._perform(self._pool)
                self._drain()
        finally:
            self._at_work = False

    def _was_called_off(self) -> bool:
        """Whether the job was called off during a commit."""
        return self._durable and self._is_called_off()

    def _is_called_off(self) -> bool:
        return any(map(_IS_CANCELLED, self.scopes))

    async def _perform(self, pool: Pool | None) -> None:
        elapsed = self.clock.elapsed()
        self.machine.spent(elapsed - self._accounted)
        self._accounted = elapsed
        self._is_told = False
        commands = self.machine.next(self.clock.now())
        self.tell()
        cycles = [command.cycle for command in commands if isinstance(command, Commit)]
        if cycles:
            await self.writer.commit(*cycles)
            self.tell()
        for command in commands[len(cycles) :]:
            if isinstance(command, Stop):
                self.stop = command
            elif isinstance(command, Activate) and pool is not None and not self._was_called_off():
                pool.submit(command.activations)
        if self._durable:
            self.writer.remark(tuple(self.machine.remarks()))

    async def _has_news(self) -> bool:
        """Whether letters came in the last moment; then the job goes on."""
        if self.writer.letters > self.machine.job.letter:
            for letter in await self._letters(self.machine.job.letter):
                self._take(letter)
            self.stop, self._is_told = None, True
        return self.stop is None

    def _take(self, message: Message) -> None:
        self._is_told = True
        if isinstance(message, Done):
            self.machine.receive(message)
        elif message.number > self.machine.job.letter:
            deliver(message, self.machine, self.clock.now())

    def _drain(self) -> None:
        while self._mail and self.stop is None:  # a letter that comes later is for whoever asks whether to go on
            self._take(self._mail.popleft())
