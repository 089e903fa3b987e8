"""One job at work: the merge actor, its agents' pool and its writer, under one cancel scope and one clock."""

__all__ = ["Job", "Progress", "Standing"]

import dataclasses
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from math import inf
from types import TracebackType
from typing import NamedTuple, Self

import anyio

from converge.actor import MergeActor
from converge.crew import Crew
from converge.errors import ConvergeError, JobAbandoned, JobNotEntered
from converge.intent import RootIntent, Spend
from converge.latch import Latch
from converge.machine import Machine
from converge.outcome import Outcome
from converge.pool import Pool
from converge.ports import Clock, Lease, Letter, Store
from converge.purse import Purse
from converge.snapshot import Snapshot
from converge.stop import StopReason
from converge.trace import Event, TextArrived, Trace
from converge.writer import Writer

_log = logging.getLogger("converge")
_ASIDE = 10_000  # pieces of text that one who follows may be behind
_LOOK_SECONDS = 1.0  # between two looks for letters from other processes, where no commit has told of them
Begin = Callable[[Lease], Awaitable[tuple[Machine, Writer]]]


class Standing(NamedTuple):
    """Where a job stood when it began, or went on: its root intent, the budget included, and what was spent of it."""

    intent: RootIntent
    spend: Spend
    cycles: int


class Progress(NamedTuple):
    """How far a running job has come. `live` counts the facts that held when somebody last asked what does."""

    cycle: int
    facts: int
    live: int
    spend: Spend


class Job:
    """A running job: `async with engine.start(...) as job`. Leaving the block before the end cancels the job."""

    def __init__(
        self,
        job_id: str,
        begin: Begin,
        leased: Callable[["Job"], AbstractAsyncContextManager[Lease]],
        store: Store,
        clock: Clock,
        max_emissions: int,
    ) -> None:
        self.job_id = job_id
        self._begin, self._leased, self._store = begin, leased, store
        self._clock, self._max_emissions = clock, max_emissions
        self._pooled: Callable[..., Pool] = Pool
        self._trace, self._first_event = Trace(), 0
        self._listeners = 0
        self._heard = 0  # pieces of text on their way that were passed on
        self._aside: deque[tuple[int, TextArrived]] = deque(maxlen=_ASIDE)
        self._scope: anyio.CancelScope | None = None
        self._cancelled = False
        self._outcome: Outcome | None = None
        self._error: Exception | None = None
        self._told = False
        self._entered = self._is_over = False
        self._writer: Writer | None = None
        self._machine: Machine | None = None
        self._watched: Callable[[], object] | None = None  # begins to look for letters
        self._standing: Standing | None = None

    def __repr__(self) -> str:
        return f"<job {self.job_id}>"

    async def run(self) -> Outcome:
        """Run the job to its outcome, for who has nothing else to do meanwhile. Raises as `outcome` does.

        Cancelling the caller cancels the job. In memory it runs in the caller's own task. Where commits have to be
        waited for it has one of its own: asyncio cancels a task whatever it awaits, and a commit is not to be cut off.
        """
        if self._store.durable:
            async with self:
                return await self.outcome()
        self._enter()
        self._left.set()  # who has no block can ask for no checkpoint after its end
        await self._live()
        return await self.outcome()

    async def __aenter__(self) -> Self:
        self._enter()
        self._crew = Crew()
        await self._crew.__aenter__()
        self._crew.start(self._live)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left.set()
        self.cancel()
        await self._crew.__aexit__(kind, error, traceback)
        if error is None and self._error is not None and not self._told:
            raise self._error  # nobody asked for the outcome, and silence would hide this

    def cancel(self) -> None:
        """Stop the job as `cancelled`: what is merged is committed and `outcome` returns. Harmless at its end."""
        self._cancelled = True
        if self._scope is not None and not self._ended.is_set:
            self._scope.cancel()

    async def checkpoint(self) -> None:
        """Return when everything merged so far is kept, whatever the engine's `checkpoints` say.

        Raises JobNotEntered before the job runs and after its end, and what the store raises.
        """
        if self._writer is None:
            raise JobNotEntered(self.job_id)
        await self._writer.checkpoint()

    async def is_kept(self) -> None:
        """Return when the job is in its store, or cannot be."""
        await self._begun.wait()
        if self._writer is not None:
            await self._writer.begun.wait()

    def look(self) -> None:
        """Have the job look for letters now rather than in a second."""
        self._posted.set()
        self._begin_to_watch()

    async def standing(self) -> Standing:
        """Return where the job stands as soon as it has been read, and before any agent is called.

        Raises what made it impossible to begin, as `outcome` does.
        """
        if not self._entered:
            raise JobNotEntered(self.job_id)
        await self._begun.wait()
        if self._standing is None:
            await self.outcome()
            raise JobAbandoned(self.job_id)
        return self._standing

    @property
    def progress(self) -> Progress | None:
        """How far the job has come, at no cost; None before it has been read."""
        if self._machine is None:
            return None
        context, spend = self._machine.context, self._machine.spending
        return Progress(
            self._machine.cycles, len(context.facts), len(context.facts) - len(context.labelling.fallen_now), spend
        )

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

        Nothing is buffered for a consumer, so a slow one never stalls the job: it reads the trace at its own pace. Of
        the text that models are saying, which is in no trace, it may miss some.
        """
        if not self._entered:
            raise JobNotEntered(self.job_id)
        place, heard = since, self._heard
        self._listeners += 1
        try:
            while True:
                news, ended = self._news, self._ended.is_set
                if place is None and len(self._trace):
                    place = self._first_event
                while place is not None and place < len(self._trace):
                    yield self._trace[place]
                    place += 1
                if self._heard > heard:
                    missed = [piece for number, piece in self._aside if number > heard]
                    heard = self._heard
                    for piece in missed:
                        yield piece
                if ended:
                    return
                if not self._ended.is_set and news is self._news:
                    await news.wait()
        finally:
            self._listeners -= 1

    # --- the actors ---------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        if self._entered:
            raise JobNotEntered(self.job_id, twice=True)
        self._entered = True
        self._news, self._begun, self._ended, self._left, self._posted = (Latch() for _ in range(5))
        self._scope = anyio.CancelScope()
        if self._cancelled:
            self._scope.cancel()

    async def _live(self) -> None:
        try:
            async with self._leased(self) as lease:
                await self._drive(*await self._begin(lease))
        except Exception as error:
            if self._outcome is None:
                self._error = _alone(error)
            else:  # everything is committed: a store that closes badly does not take the outcome back
                _log.warning("job %s: the store did not close: %r", self.job_id, error)
        finally:
            self._begun.set()
            self._ended.set()
            self._news.set()

    async def _drive(self, machine: Machine, writer: Writer) -> None:
        self._trace, self._first_event, self._writer = machine.trace, machine.first_event, writer
        self._machine = machine
        self._standing = Standing(machine.context.intent, machine.spending, machine.job.cycles)
        self._begun.set()
        captures = machine.job.captures
        captures.keep = writer.record
        if captures.redact is None:  # no piece of a text shows what the next one makes of it
            captures.hear = self._overheard
        captures.reserve = Purse(captures.ledger, writer.note).reserve
        if not writer.durable:  # it has nothing to wait for
            await self._work(machine, writer)
            return
        async with Crew() as actors:
            actors.start(writer.run)
            await self._work(machine, writer)

    async def _work(self, machine: Machine, writer: Writer) -> None:
        try:
            self._outcome = await self._until_stopped(machine, writer)
            if writer.waits:  # the caller may still say that it is to be kept
                self._ended.set()
                self._news.set()
                await self._left.wait()
        finally:
            self._writer = None
            await writer.close()

    async def _until_stopped(self, machine: Machine, writer: Writer) -> Outcome:
        assert self._scope is not None
        actor = MergeActor(machine, writer, self._clock, self._tell, self._letters)
        try:
            async with Crew() as crew:
                check, most = machine.invariants.reject, self._max_emissions
                pool = self._pooled(crew, actor, self._clock, check, most, machine.recall)
                pool.open()
                self._watched = partial(crew.start, partial(self._watch, actor))
                if self._store.durable or self._posted.is_set:
                    self._begin_to_watch()
                try:
                    with self._clock.move_on_after(machine.seconds_left) as deadline, self._scope as scope:
                        actor.scopes = (scope, deadline, crew.scope)
                        await actor.run(pool)
                        pool.close()  # it ended by itself, so nobody is at work
                        self._is_over = True
                        self._posted.set()
                finally:
                    self._watched = None  # who posts a letter from now on must not begin a task here
                if not self._is_over:  # though a worker may just have come to the end
                    crew.cancel()
            if actor.stop is None:
                late = deadline.cancelled_caught and not self._cancelled
                actor.interrupt(*((StopReason.BUDGET, "seconds") if late else (StopReason.CANCELLED,)))
                await actor.finish()
        except anyio.get_cancelled_exc_class():
            actor.interrupt(StopReason.CANCELLED)
            await actor.finish()  # what is merged is committed; then the cancellation goes on
            raise
        return self._ending(machine, actor)

    def _begin_to_watch(self) -> None:
        """Look for letters from now on: in memory, nobody writes one unseen, so that most jobs need not."""
        if self._watched is not None:
            watch, self._watched = self._watched, None
            watch()

    async def _watch(self, actor: MergeActor) -> None:
        """Look for letters from time to time, for as long as the job is at work."""
        while True:
            with anyio.move_on_after(_LOOK_SECONDS if self._store.durable else inf):
                await self._posted.wait()
            if self._is_over:
                return
            self._posted = Latch()
            with suppress(ConvergeError):  # the next commit says what is wrong with the store
                for letter in await self._letters(actor.machine.job.letter):
                    actor.put(letter)
                    actor.call()

    async def _letters(self, after: int) -> Sequence[Letter]:
        return await self._store.letters(self.job_id, after)

    def _ending(self, machine: Machine, actor: MergeActor) -> Outcome:
        assert actor.stop is not None
        return Outcome(
            job_id=self.job_id,
            stop=actor.stop,
            context=machine.view(),
            trace=machine.trace,
            spend=machine.spending,
            position=_position(machine),
            wiring=machine.wiring,
            missing=machine.missing(),
            cycles=machine.cycles,
            errors=dict(machine.errors),
            doubts=machine.doubts(),
        )

    def _overheard(self, agent: str, text: str, request: int) -> None:
        """Pass on a piece of text to those who follow the job; nobody else keeps it."""
        if self._listeners:
            self._heard += 1
            self._aside.append((self._heard, TextArrived(agent, text, request)))
            self._tell()

    def _tell(self) -> None:
        if self._listeners:
            self._news.set()
            self._news = Latch()


def _position(machine: Machine) -> Snapshot:
    """Return where a job stands, its watermarks and its spend being those of now."""
    watermarks = {watermark.source.agent: watermark for watermark in machine.progress.watermarks}
    return dataclasses.replace(machine.job, watermarks=watermarks, spend=machine.spending, cycles=machine.cycles)


def _alone(error: Exception) -> Exception:
    """Return the one error that task groups have wrapped, so that a caller can catch it by its type."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
