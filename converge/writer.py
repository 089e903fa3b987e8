"""The store-writer actor: everything that a job must make durable passes through its one inbox.

Captures go out at once, cycles when the policy says so; what piles up while a commit is under way shares the next one.
It has a task of its own; who commits a cycle while it is at rest takes its turn, rather than hand over and wait.
"""

__all__ = ["Checkpoints", "Writer"]

import asyncio
from collections.abc import Sequence
from typing import Literal, NamedTuple

import anyio

from converge.capture import Note, Question
from converge.chain import JobHeader, Row
from converge.errors import ConvergeError, StoreUnavailable
from converge.latch import Latch
from converge.ledger import Ledger
from converge.ports import Clock, Lease, Store
from converge.snapshot import Cycle, Records

Checkpoints = int | Literal["end", "manual"]  # after how many cycles; at the job's end; when the caller says
Captured = tuple[Question, str, Note]


class _Request(NamedTuple):
    captures: Sequence[Captured]
    cycles: bool  # whether those that wait are to be kept as well
    kept: Latch


class Writer:
    """Appends rows to one job under one lease, and knows how far the letters to it have come."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        clock: Clock,
        policy: Checkpoints,
        *,
        head: int = 0,
        header: JobHeader | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self._store, self._lease, self._clock, self._policy = store, lease, clock, policy
        self._head = head  # the number of the job's last row
        self._header = header  # of a job that is not in the store yet
        self._ledger = Ledger() if ledger is None else ledger
        self._failure: Exception | None = None
        self._waiting: list[Row] = []  # cycles that the policy lets wait
        self._records: list[Captured] = []  # captures of a store that need not be kept at once
        self._last: Cycle | None = None
        self.begun = Latch()  # set when the job is in the store, or cannot be
        self.letters = 0  # the number of the last letter in the store, as far as was seen
        if header is None:
            self.begun.set()
        # Unbounded, yet never more than one commit and the captures of open activations wait here.
        self._requests: list[_Request] = []
        self._called = Latch()
        self._at_work = self._is_closed = False

    @property
    def durable(self) -> bool:
        """Whether what is kept outlives the process."""
        return self._store.durable

    @property
    def waits(self) -> bool:
        """Whether the policy lets something wait that nobody has asked to keep yet."""
        return bool(self._waiting) and self._failure is None

    async def commit(self, *cycles: Cycle) -> None:
        """Take cycles, and return when all are kept, unless the policy lets them wait. Raises as `checkpoint` does."""
        self._waiting += cycles
        self._last = cycles[-1]
        if any(map(self._is_due, cycles)):
            await self.checkpoint(here=True)
        elif self._failure is not None:
            raise self._failure

    async def checkpoint(self, *, here: bool = False) -> None:
        """Return when all that was committed is kept. Raises what the store raised, now and from then on.

        A cancellation waits until it is known whether the store has it. here: in the caller's task, which nobody but
        the job cancels, if the writer is at rest.
        """
        if self._store.durable and here and not self._at_work:
            with anyio.CancelScope(shield=True):
                await self._take_turn(cycles=True)
        elif self._store.durable:
            await self._ask((), cycles=True)
        elif self._failure is None:
            await self._keep((), cycles=True)  # nothing to wait for, so no hop to the actor
        if self._failure is not None:
            raise self._failure

    async def record(self, question: Question, text: str, note: Note) -> None:
        """Return when a capture is kept. Raises as `checkpoint` does."""
        if self._store.durable:
            await self._ask([(question, text, note)], cycles=False)
        else:
            self._records.append((question, text, note))
        if self._failure is not None:
            raise self._failure

    async def note(self) -> None:
        """Return when what the ledger says is kept. Raises as `checkpoint` does."""
        if self._store.durable:
            await self._ask((), cycles=False)
        if self._failure is not None:
            raise self._failure

    def remark(self, captures: Sequence[Captured]) -> None:
        """Keep captures that nobody waits for."""
        if captures and self._store.durable and self._failure is None:
            self._put(_Request(captures, False, Latch()))

    async def run(self) -> None:
        """Write until closed. What was begun is finished even when the job is cancelled."""
        try:
            with anyio.CancelScope(shield=True):
                while self._requests or self._at_work or not self._is_closed:
                    if self._requests and not self._at_work:
                        await self._take_turn()
                    else:
                        await self._called.wait()
                        self._called = Latch()
            self._failure = self._failure or StoreUnavailable(repr(self._store), "the job that wrote to it has ended")
        except BaseException as error:  # as when asyncio ends all tasks there are: nobody is to wait for this one
            self._failure = self._failure or self._unforeseen(error)
            for request in self._requests:
                request.kept.set()
            raise

    async def close(self) -> None:
        """Let `run` end once it has written what it was given; captures are kept, whatever becomes of their cycle."""
        self._is_closed = True
        self._called.set()
        self.begun.set()
        if not self._store.durable and self._failure is None:
            await self._keep((), cycles=False)

    def _is_due(self, cycle: Cycle) -> bool:
        # The first of a run: a job is in its store, and what it was given now, before anything is made of it.
        if self._header is not None or cycle.budget is not None:
            return True
        if isinstance(self._policy, int):
            return cycle.stop is not None or len(self._waiting) >= self._policy
        return self._policy == "end" and cycle.stop is not None

    async def _ask(self, captures: Sequence[Captured], *, cycles: bool) -> None:
        if self._failure is None:
            request = _Request(captures, cycles, Latch())
            with anyio.CancelScope(shield=True):
                self._put(request)
                await request.kept.wait()

    def _put(self, request: _Request) -> None:
        self._requests.append(request)
        self._called.set()

    async def _take_turn(self, *, cycles: bool = False) -> None:
        """Write all that has been asked; what is asked meanwhile is for the actor's own task."""
        batch, self._requests = self._requests, []
        self._at_work = True
        try:
            await self._write(batch, cycles=cycles or any(request.cycles for request in batch))
        finally:
            self._at_work = False
            if self._requests or self._is_closed:
                self._called.set()

    async def _write(self, batch: Sequence[_Request], *, cycles: bool) -> None:
        try:
            if self._failure is None:
                captures = [capture for request in batch for capture in request.captures]
                await self._keep(captures, cycles=cycles)
        except ConvergeError as error:
            self._failure = error
        # A store is other people's code: nobody may wait for ever for what it did not foresee, nor may anything follow
        # what was not kept, whatever it was interrupted by.
        except BaseException as error:
            self._failure = self._unforeseen(error)
            if not _is_its_own(error):
                raise
        finally:
            for request in batch:
                request.kept.set()

    def _unforeseen(self, error: BaseException) -> StoreUnavailable:
        failure = StoreUnavailable(repr(self._store), f"{type(error).__name__}: {error}")
        failure.__cause__ = error
        return failure

    async def _keep(self, captures: Sequence[Captured], *, cycles: bool) -> None:
        try:
            await self._append(captures, cycles=cycles)
        finally:
            self.begun.set()

    async def _append(self, captures: Sequence[Captured], *, cycles: bool) -> None:
        rows: list[Row] = []
        captures, lines = [*self._records, *captures], self._ledger.take()
        if captures or lines:
            assert self._last is not None  # whoever captures was started after a commit
            rows.append(Records(captures, self._clock.now(), self._last.round, self._last.facts, lines))
        self._records = []
        if cycles:
            rows += self._waiting
            self._waiting = []
        if self._header is not None:
            header, self._header = self._header, None
            await self._store.create(self._lease, header, rows)
        elif rows:
            self.letters = max(self.letters, await self._store.append(self._lease, self._head, rows))
        self._head += len(rows)


def _is_its_own(error: BaseException) -> bool:
    """Whether a store has raised it of itself: it is shielded, so a cancellation is, unless asyncio ends all tasks."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()
    return isinstance(error, Exception)
