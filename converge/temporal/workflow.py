"""The workflow of one job: it is decided, and people are asked, before anybody acts on it."""

__all__ = ["ConvergeWorkflow"]

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from converge.temporal.values import AskedLine, DecisionInput, FactLine, JobInput, JobOutcome

_LONGEST = timedelta(days=1)  # of one attempt: a job has a budget of its own
_RETRY = RetryPolicy(maximum_interval=timedelta(seconds=30), maximum_attempts=1_000)  # hand-overs are attempts too
_SHORT = timedelta(seconds=30)  # of a decision or a letter


@workflow.defn
class ConvergeWorkflow:
    """Brings a job to its end. While it waits for people nothing runs, and no worker is needed.

    Update `decide` answers a request that query `asked` shows; update `give` gives the job late facts. Both are
    refused to whoever calls them where the job cannot take them. Cancelled, the job keeps what it has concluded.
    """

    def __init__(self) -> None:
        self._job_id = ""
        self._asked: tuple[AskedLine, ...] = ()
        self._letters = 0  # that the job was sent

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Return the outcome when nothing more is asked. Fails as the activity does for input that cannot be used."""
        self._job_id = job.job_id
        while True:
            letters = self._letters
            outcome = await self._worked_on(job)
            self._asked = outcome.asked
            if outcome.stop == "cancelled":
                raise asyncio.CancelledError(outcome.sentence)
            if outcome.stop == "waiting":
                await workflow.wait_condition(lambda before=letters: self._letters > before)  # type: ignore[misc]
            else:
                await workflow.wait_condition(workflow.all_handlers_finished)
                if self._letters == letters:
                    return outcome

    async def _worked_on(self, job: JobInput) -> JobOutcome:
        outcome: JobOutcome = await workflow.execute_activity(
            "converge_job",
            job,
            result_type=JobOutcome,
            start_to_close_timeout=_LONGEST,
            heartbeat_timeout=timedelta(seconds=job.heartbeat_seconds),
            retry_policy=_RETRY,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        return outcome

    @workflow.query
    def asked(self) -> tuple[AskedLine, ...]:
        """Return what people were asked when the job last stopped."""
        return self._asked

    @workflow.update
    async def decide(self, decision: DecisionInput) -> None:
        """State what a person decided; the job goes on from it."""
        await self._send("converge_decide", decision)

    @decide.validator
    def _is_asked(self, decision: DecisionInput) -> None:
        if not any(one.request == decision.request for one in self._asked):
            known = f"it asks {', '.join(one.request for one in self._asked)}" if self._asked else "it asks nothing yet"
            sentence = f"job {self._job_id!r} has no request {decision.request!r}: {known}"
            raise ApplicationError(sentence, type="RequestUnknown", non_retryable=True)

    @workflow.update
    async def give(self, facts: list[FactLine]) -> None:
        """Give the job late facts; it goes on from them."""
        await self._send("converge_give", facts)

    async def _send(self, name: str, content: Any) -> None:
        try:
            await workflow.execute_activity(
                name, args=[self._job_id, content], start_to_close_timeout=_SHORT, retry_policy=_RETRY
            )
        except ActivityError as error:
            raise error.cause or error from None  # whoever called is told what is wrong, not where
        self._letters += 1
