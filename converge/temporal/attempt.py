"""One attempt at a job, within an activity: it begins or goes on, beats meanwhile, and sees to how the job is left.

- Cancelled by its workflow, the job stops as `cancelled`, and that is its outcome.
- Where the worker shuts down, or Temporal has given the attempt up, what is merged is kept, the lease given back, and
  the attempt fails, so that another one goes on.
- What a beat says is a hint. Where the job stands is in the store, and who may write to it is decided by its lease.
"""

__all__ = ["attempt"]

import asyncio
from typing import Any

from temporalio import activity

from converge.engine import Engine
from converge.intent import RootIntent
from converge.job import Job
from converge.outcome import Outcome
from converge.stop import StopReason
from converge.temporal.failure import handed_over
from converge.temporal.reading import facts_of, intent_of
from converge.temporal.values import JobInput

_PULSE = 10.0  # seconds between beats where no timeout is set


async def attempt(engine: Engine, given: JobInput, default: RootIntent | None) -> Outcome:
    """Return the outcome of a job that is begun, or gone on with from where its store has it.

    Raises what `engine.run` and `engine.resume` raise, FactsMismatch, and a failure where the job is handed over.
    """
    return await _Attempt(engine, given, default).outcome()


class _Attempt:
    def __init__(self, engine: Engine, given: JobInput, default: RootIntent | None) -> None:
        self._engine, self._given, self._default = engine, given, default
        self._job: Job | None = None
        self._left = False

    async def outcome(self) -> Outcome:
        work = asyncio.create_task(self._work())
        shutdown = asyncio.create_task(activity.wait_for_worker_shutdown())
        try:
            while not (work.done() or shutdown.done()):
                activity.heartbeat(self._pulse())
                await asyncio.wait((work, shutdown), timeout=_between(), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            return await self._cancelled(work)
        finally:
            shutdown.cancel()
        return await (work if work.done() else self._handed_over(work))

    async def _cancelled(self, work: "asyncio.Task[Outcome]") -> Outcome:
        details = activity.cancellation_details()
        is_wanted = details is not None and details.cancel_requested
        return await (self._stopped(work) if is_wanted else self._handed_over(work))

    async def _handed_over(self, work: "asyncio.Task[Outcome]") -> Outcome:
        outcome = await self._stopped(work)
        if outcome.stop.reason is StopReason.CANCELLED:
            raise handed_over(outcome.job_id)
        return outcome  # it came to its own end first

    async def _stopped(self, work: "asyncio.Task[Outcome]") -> Outcome:
        """Stop the job with what is merged kept; a second cancellation does not wait for that."""
        self._left = True
        if self._job is not None:
            self._job.cancel()
        return await work

    async def _work(self) -> Outcome:
        async with self._engine as engine:  # kept open between looking for the job and running it
            job = await self._begun(engine)
            async with job:
                self._job = job
                if self._left:
                    job.cancel()
                return await job.outcome()

    async def _begun(self, engine: Engine) -> Job:
        given = self._given
        intent, facts = intent_of(given, self._default), facts_of(given.facts, engine.kinds)
        if await engine.knows(given.job_id, intent, facts):
            return engine.reopen(given.job_id, budget=given.budget)
        return engine.start(intent, facts, job_id=given.job_id)

    def _pulse(self) -> dict[str, Any]:
        here = self._job.progress if self._job is not None else None
        stands = {} if here is None else {**here._asdict(), "spend": here.spend._asdict()}
        return {"job": self._given.job_id, **stands}


def _between() -> float:
    """Return the seconds between two beats: one call of a model may outlast any timeout."""
    timeout = activity.info().heartbeat_timeout
    return timeout.total_seconds() / 3 if timeout else _PULSE
