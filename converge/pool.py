"""The actors at work: an adaptive pool of long-lived workers that runs every agent's activations.

Each agent is one logical actor, its mailbox the unread growth, its behaviour its function. A worker that takes a
ready activation wakes one more worker while work remains, then runs it in place: a round costs no task, scope or
stream per activation, and an agent that waits holds only its worker. Who ends the last activation there is runs the
merge actor's turn as well: handing it over would take longer than most turns do.
"""

__all__ = ["Inbox", "Pool"]

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread

from converge.activation import seal
from converge.agent import Agent, Retry
from converge.command import Activation, Done
from converge.crew import Crew
from converge.effect import Effect
from converge.errors import AgentTimeout, BudgetSpent, ForeignEmission, TooManyEmissions
from converge.fact import Assertion, Fact, Revision, Suggestion
from converge.isolation import Isolated
from converge.ports import Clock
from converge.view import View

if TYPE_CHECKING:
    from tenacity import AsyncRetrying

_IDLE = 100  # workers that are kept for what may come: after a thousand that waited, more would be there for nobody
_TURN_SECONDS = 0.01  # after which a worker whose agents never wait lets everybody else have a turn
Check = Callable[[View, Effect], None]
Recall = Callable[[Activation], Effect | None]


class Inbox(Protocol):
    """Where the ends of activations go, one Done each; nobody waits until it is looked after."""

    def put(self, done: Done) -> None:
        """Take a Done."""

    def call(self) -> None:
        """Have somebody look after what is in it, soon."""

    async def attend(self) -> None:
        """Look after what is in it, here and now."""


class Pool:
    """Runs activations in the tasks of a crew, and puts one Done for each into an inbox."""

    def __init__(
        self,
        crew: Crew,
        inbox: Inbox,
        clock: Clock,
        check: Check,
        max_emissions: int,
        recall: Recall = lambda activation: None,
    ) -> None:
        self._crew, self._inbox, self._clock = crew, inbox, clock
        self._check, self._max_emissions, self._recall = check, max_emissions, recall
        self._ready: deque[Activation] = deque()
        self._under_way = 0
        self._parked: list[asyncio.Future[None]] = []  # what calls workers with nothing to do
        self._closed = False
        self._waking = False  # one worker at a time is on its way: more would only find the work taken
        self._has_waited = False  # whether the activation that has just ended let everybody else have a turn
        self._giving_way = False  # a worker lets everybody else have a turn, of which no other worker is to make use

    def open(self) -> None:
        """Have a first worker there by the time that there is work."""
        self._wake_one()

    def submit(self, activations: Iterable[Activation]) -> None:
        """Make activations ready; returns at once."""
        self._ready.extend(activations)
        self._wake_one()

    def close(self) -> None:
        """Let the workers end, once nothing is under way: cheaper than to cancel them."""
        self._closed = True
        while self._call_parked():
            pass

    @property
    def gives_way(self) -> bool:
        """Whether a worker only lets others have their turn, and goes on with what is ready then."""
        return self._giving_way and bool(self._ready)

    def _wake_one(self) -> None:
        if self._waking:
            return
        self._waking = True
        if not self._call_parked():
            self._crew.start(self._work)

    def _call_parked(self) -> bool:
        """Call a parked worker, if there is one; not one that is being cancelled and has yet to hear of it."""
        while self._parked:
            called = self._parked.pop()
            if not called.done():
                called.set_result(None)
                return True
        return False

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while not self._closed:
            self._waking = False
            turn = now = self._clock.elapsed()
            while self._ready and not self._giving_way:
                activation = self._ready.popleft()
                if self._ready and not self._waking:
                    self._wake_one()
                ended = await self._perform(activation, now)
                if ended is None or task.cancelling():  # whoever ran here next would be taken for cancelled
                    self._inbox.call()
                    if self._ready:
                        self._wake_one()
                    return
                now = ended
                if self._has_waited:
                    turn = now
                if self._ready or self._under_way:
                    self._inbox.call()
                else:
                    await self._attend()
                    now = self._clock.elapsed()
                if now - turn > _TURN_SECONDS:
                    await self._give_way()
                    turn = now = self._clock.elapsed()
            if len(self._parked) >= _IDLE:
                return
            if not self._closed:  # as it may be by now, where it gave way
                await self._park()

    async def _park(self) -> None:
        called = asyncio.get_running_loop().create_future()  # an Event of anyio takes ten times as long to make
        self._parked.append(called)
        try:
            await called
        except asyncio.CancelledError:
            if called in self._parked:
                self._parked.remove(called)
            elif not called.cancelled() and self._ready:  # it was called, and cannot come
                self._waking = False
                self._wake_one()
            raise

    async def _give_way(self) -> None:
        if self._giving_way:  # another one does already, and comes back for what there is
            await anyio.lowlevel.checkpoint()
            return
        self._giving_way = True
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            self._giving_way = False
            if self._ready:
                self._wake_one()

    async def _attend(self) -> None:
        """Have what has ended merged, where nobody else is at work."""
        self._waking = True  # this worker comes back for whatever that makes ready
        try:
            await self._inbox.attend()
        except asyncio.CancelledError:  # if it is this worker's alone, nobody else knows that a turn was cut off
            self._crew.cancel()
            raise
        finally:
            self._waking = False

    async def _perform(self, activation: Activation, started: float) -> float | None:
        """Run one activation, and return when it ended; None where it cancelled the worker's task, which is to end.

        Whatever happens, its Done is put into the inbox, unless the job itself is being cancelled.
        """
        self._under_way += 1
        effect: Effect | None = None
        error: BaseException | None = None
        attempts, is_spoiled = [1], False
        agent, view, asked = activation.agent, activation.view, None
        try:
            if activation.error is not None:
                raise activation.error
            if (effect := self._recall(activation)) is not None:
                self._check(view, effect)
            else:
                once = agent.retry is None
                asked = Isolated(self._attempt(agent, view) if once else self._attempts(agent, view, attempts))
                effect = await asked
        except (Exception, SystemExit, GeneratorExit) as raised:  # exit() in a tool ends an activation, not the process
            effect, error = None, raised
        except anyio.get_cancelled_exc_class() as raised:
            if anyio.current_effective_deadline() == -inf:
                raise
            effect, error, is_spoiled = None, raised, True  # the agent cancelled itself: that is its own failure
        ended = self._clock.elapsed()
        self._under_way -= 1
        self._has_waited = asked is not None and asked.waited
        # Unbounded, yet never longer than the activations that are open: a bound here and on `ready` would deadlock.
        self._inbox.put(Done(activation, effect, error, ended - started, attempts[0]))
        return None if is_spoiled else ended

    async def _attempts(self, agent: Agent, view: View, attempts: list[int]) -> Effect:
        assert agent.retry is not None
        attempts[0] = 0
        async for attempt in _policy(agent.retry, self._clock):
            with attempt:
                attempts[0] += 1
                return await self._attempt(agent, view.fresh())
        raise AssertionError("tenacity ends a loop by returning or raising")

    async def _attempt(self, agent: Agent, view: View) -> Effect:
        try:  # a deadline scope costs more than a whole activation: only for those who ask
            emitted = await (self._emitted if agent.timeout is None else self._emitted_in_time)(agent, view)
        finally:
            view.close()
        if view.refused is not None:
            raise view.refused
        effect = seal(agent, view, emitted)
        self._check(view, effect)
        return effect

    async def _emitted_in_time(self, agent: Agent, view: View) -> list[object]:
        seconds = agent.timeout
        assert seconds is not None
        started = self._clock.elapsed()
        with self._clock.move_on_after(seconds):
            emitted = await self._emitted(agent, view)
            if self._clock.elapsed() - started > seconds:  # nothing could interrupt it; it is late all the same
                raise AgentTimeout(agent.name, seconds, in_place=True)
            return emitted
        raise AgentTimeout(agent.name, seconds)

    async def _emitted(self, agent: Agent, view: View) -> list[object]:
        if agent.threaded:
            produced = await anyio.to_thread.run_sync(self._called, agent, view, abandon_on_cancel=True)
        else:
            produced = agent.run(view)
        if hasattr(produced, "__await__"):
            produced = await produced
        if not hasattr(produced, "__aiter__"):
            return self._listed(agent, produced)
        emitted: list[object] = []
        async for value in produced:
            emitted.append(value)
            if len(emitted) > self._max_emissions:
                if hasattr(produced, "aclose"):
                    await produced.aclose()
                raise TooManyEmissions(agent.name, self._max_emissions)
        return emitted

    def _called(self, agent: Agent, view: View) -> Any:
        """Run a blocking agent to its end, a generator included, within the thread."""
        produced = agent.run(view)
        is_async = hasattr(produced, "__await__") or hasattr(produced, "__aiter__")
        return produced if is_async else self._listed(agent, produced)

    def _listed(self, agent: Agent, produced: Any) -> list[object]:
        if produced is None:
            return []
        if isinstance(produced, (Fact, Assertion, Revision, Suggestion)):
            return [produced]
        if isinstance(produced, (str, bytes, dict)) or not hasattr(produced, "__iter__"):
            raise ForeignEmission(agent.name, produced)
        emitted = list[object](islice(produced, self._max_emissions + 1))
        if len(emitted) > self._max_emissions:
            if hasattr(produced, "close"):
                produced.close()
            raise TooManyEmissions(agent.name, self._max_emissions)
        return emitted


def _policy(retry: Retry, clock: Clock) -> "AsyncRetrying":
    from tenacity import (
        AsyncRetrying,
        retry_if_exception_type,
        retry_if_not_exception_type,
        stop_after_attempt,
        wait_exponential,
    )

    return AsyncRetrying(
        stop=stop_after_attempt(retry.attempts),
        wait=wait_exponential(multiplier=retry.wait_seconds, max=retry.most_seconds),
        retry=retry_if_exception_type(retry.on) & retry_if_not_exception_type(BudgetSpent),
        sleep=clock.sleep,
        reraise=True,
    )
