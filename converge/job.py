"""One job at work: the merge actor, its agents' pool and its writer, under one cancel scope and one clock.

The merge actor performs the machine's commands and tells it what happened; it decides nothing and awaits no agent.
"""

__all__ = ["Job"]

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from math import inf
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel
from anyio.streams.memory import MemoryObjectReceiveStream

from converge.command import Activate, Commit, Done
from converge.errors import JobAbandoned, JobNotEntered
from converge.machine import Machine
from converge.outcome import Outcome
from converge.pool import Pool
from converge.ports import Clock
from converge.stop import Stop, StopReason
from converge.trace import Event, Trace
from converge.writer import Writer

_log = logging.getLogger("converge")
Begin = Callable[[], Awaitable[tuple[Machine, Writer]]]


class Job:
    """A running job: `async with engine.start(...) as job`. Leaving the block before the end cancels the job."""

    def __init__(
        self,
        job_id: str,
        begin: Begin,
        opened: Callable[[], AbstractAsyncContextManager[None]],
        clock: Clock,
        max_emissions: int,
    ) -> None:
        self.job_id = job_id
        self._begin, self._opened = begin, opened
        self._clock, self._max_emissions = clock, max_emissions
        self._trace, self._first_event = Trace(), 0
        self._listeners = 0
        self._scope: anyio.CancelScope | None = None
        self._cancelled = False
        self._outcome: Outcome | None = None
        self._error: Exception | None = None
        self._told = False
        self._entered = False

    def __repr__(self) -> str:
        return f"<job {self.job_id}>"

    async def __aenter__(self) -> Self:
        if self._entered:
            raise JobNotEntered(self.job_id, twice=True)
        self._entered = True
        self._news, self._ended = anyio.Event(), anyio.Event()
        self._scope = anyio.CancelScope()
        if self._cancelled:
            self._scope.cancel()
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._live)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self.cancel()
        try:
            await self._tasks.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            if error is None or len(group.exceptions) > 1 or group.exceptions[0] is not error:
                raise
            return False  # the block's own error, which the task group has wrapped
        if error is None and self._error is not None and not self._told:
            raise self._error  # nobody asked for the outcome, and silence would hide this
        return None

    def cancel(self) -> None:
        """Stop the job as `cancelled`: what is merged is committed and `outcome` returns. Harmless at its end."""
        self._cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    async def outcome(self) -> Outcome:
        """Return the outcome when the job has ended.

        Raises what made it impossible to go on, such as StoreConflict, and JobAbandoned where the task that ran the
        job was itself cancelled.
        """
        if not self._entered:
            raise JobNotEntered(self.job_id)
        await self._ended.wait()
        if self._error is not None:
            self._told = True
            raise self._error
        if self._outcome is None:
            raise JobAbandoned(self.job_id)
        return self._outcome

    async def events(self, since: int | None = None) -> AsyncIterator[Event]:
        """Iterate over events as they happen, after sequence number `since`; default: those of this run.

        Nothing is buffered for a consumer, so a slow one never stalls the job: it reads the trace at its own pace.
        """
        if not self._entered:
            raise JobNotEntered(self.job_id)
        place = since
        self._listeners += 1
        try:
            while True:
                news, ended = self._news, self._ended.is_set()
                if place is None and len(self._trace):
                    place = self._first_event
                while place is not None and place < len(self._trace):
                    yield self._trace[place]
                    place += 1
                if ended:
                    return
                if not self._ended.is_set() and news is self._news:
                    await news.wait()
        finally:
            self._listeners -= 1

    # --- the actors ---------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        try:
            async with self._opened():
                self._outcome = await self._drive(*await self._begin())
        except Exception as error:
            if self._outcome is None:
                self._error = _alone(error)
            else:  # everything is committed: a store that closes badly does not take the outcome back
                _log.warning("job %s: the store did not close: %r", self.job_id, error)
        finally:
            self._ended.set()
            self._news.set()

    async def _drive(self, machine: Machine, writer: Writer) -> Outcome:
        self._trace, self._first_event = machine.trace, machine.first_event
        outcome: Outcome | None = None
        async with anyio.create_task_group() as actors:
            actors.start_soon(writer.run)
            try:
                outcome = await self._until_stopped(machine, writer)
            finally:
                writer.close()
        assert outcome is not None
        return outcome

    async def _until_stopped(self, machine: Machine, writer: Writer) -> Outcome:
        assert self._scope is not None
        results, inbox = anyio.create_memory_object_stream[Done](inf)
        actor = _MergeActor(machine, writer, self._clock, self._tell)
        with results, inbox:
            try:
                async with anyio.create_task_group() as tasks:
                    pool = Pool(tasks, results, self._clock, machine.invariants.reject, self._max_emissions)
                    with self._clock.move_on_after(machine.seconds_left) as deadline, self._scope:
                        await actor.run(pool, inbox)
                    tasks.cancel_scope.cancel()
                if actor.stop is None:
                    late = deadline.cancelled_caught and not self._cancelled
                    actor.interrupt(inbox, *((StopReason.BUDGET, "seconds") if late else (StopReason.CANCELLED,)))
                    await actor.finish()
            except anyio.get_cancelled_exc_class():
                actor.interrupt(inbox, StopReason.CANCELLED)
                await actor.finish()  # what is merged is committed; then the cancellation goes on
                raise
        return self._ending(machine, actor)

    def _ending(self, machine: Machine, actor: "_MergeActor") -> Outcome:
        assert actor.stop is not None
        return Outcome(
            job_id=self.job_id,
            stop=actor.stop,
            context=machine.view(),
            trace=machine.trace,
            spend=machine.spend,
            missing=machine.missing(),
            cycles=machine.cycles,
            errors=dict(machine.errors),
            doubts=machine.doubts(),
        )

    def _tell(self) -> None:
        if self._listeners:
            self._news.set()
            self._news = anyio.Event()


class _MergeActor:
    """Performs the machine's commands; the only one that talks to it."""

    def __init__(self, machine: Machine, writer: Writer, clock: Clock, tell: Callable[[], None]) -> None:
        self.machine, self.writer, self.clock, self.tell = machine, writer, clock, tell
        self.stop: Stop | None = None
        self._accounted = clock.elapsed()

    async def run(self, pool: Pool, inbox: MemoryObjectReceiveStream[Done]) -> None:
        """Go on until the machine says stop."""
        while True:
            await anyio.lowlevel.checkpoint_if_cancelled()  # a cancelled job calls no further agent
            for command in self._commands():
                if isinstance(command, Activate):
                    pool.submit(command.activations)
                elif isinstance(command, Commit):
                    await self.keep(command)
                else:
                    self.stop = command
                    return
            self.machine.receive(await inbox.receive())
            self._drain(inbox)

    async def keep(self, commit: Commit) -> None:
        """Commit, and let listeners know."""
        await self.writer.commit(commit.cycle)
        self.tell()

    def interrupt(self, inbox: MemoryObjectReceiveStream[Done], reason: StopReason, detail: str = "") -> None:
        """Have the machine stop with what has ended so far."""
        self._drain(inbox)
        if self.stop is None:
            self.machine.interrupt(reason, detail)

    async def finish(self) -> None:
        """Merge and commit what an interruption left."""
        if self.stop is None:
            for command in self._commands():
                if isinstance(command, Commit):
                    await self.keep(command)
                elif isinstance(command, Stop):
                    self.stop = command

    def _commands(self) -> tuple[Activate | Commit | Stop, ...]:
        elapsed = self.clock.elapsed()
        self.machine.spent(elapsed - self._accounted)
        self._accounted = elapsed
        commands = tuple(self.machine.next(self.clock.now()))
        self.tell()
        return commands

    def _drain(self, inbox: MemoryObjectReceiveStream[Done]) -> None:
        while True:
            try:
                self.machine.receive(inbox.receive_nowait())
            except anyio.WouldBlock:
                return


def _alone(error: Exception) -> Exception:
    """Return the one error that task groups have wrapped, so that a caller can catch it by its type."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
