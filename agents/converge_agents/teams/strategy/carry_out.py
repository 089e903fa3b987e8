"""What follows from a decision: a job decides which plan it is to be, people approve it, and then it is carried out.

A workflow of Temporal, since what is done here cannot be taken back by forgetting it: each step has another one that
undoes it. Who decides is a child workflow, which takes the board's decisions; nothing is done before.
"""

__all__ = ["Company", "EnterMarkets", "Order"]

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from converge.temporal import ConvergeWorkflow, JobInput, JobOutcome
    from converge_agents.teams.strategy.kinds import Approval, Recommendation

_BRIEFLY = timedelta(seconds=30)
_PATIENTLY = RetryPolicy(maximum_attempts=5)


class Order(BaseModel):
    """What a department is told to do. `job_id` and `what` make it one order, however often it is delivered."""

    job_id: str
    what: str
    capital: int = 0


class Company:
    """Stands for the departments that are told. Each keeps a journal in which an order stands once.

    refuses: an entry that one of them will not make.
    """

    def __init__(self, refuses: str = "") -> None:
        self.journal: list[str] = []
        self._refuses = refuses

    @property
    def activities(self) -> list[Callable[..., Any]]:
        """All that it can be told."""
        return [self.reserve, self.release, self.enter, self.leave]

    @activity.defn
    async def reserve(self, order: Order) -> None:
        """Set the capital (k€) of a plan aside."""
        self._note(f"reserve {order.capital} for {order.what}")

    @activity.defn
    async def release(self, order: Order) -> None:
        """Give back what was set aside, if anything was."""
        self._note(f"release {order.capital} of {order.what}")

    @activity.defn
    async def enter(self, order: Order) -> None:
        """Make one entry of a plan."""
        if order.what == self._refuses:
            raise ApplicationError(f"nobody is free to make the entry {order.what}", type="Refused", non_retryable=True)
        self._note(f"enter {order.what}")

    @activity.defn
    async def leave(self, order: Order) -> None:
        """Withdraw from an entry, if it was made."""
        self._note(f"leave {order.what}")

    def _note(self, line: str) -> None:
        if line not in self.journal:
            self.journal.append(line)


Step = tuple[str, str, Order]  # what is done, what undoes it, and the order


@workflow.defn
class EnterMarkets:
    """Decides which markets to enter, and enters them; where a step fails, all are undone, the last one first."""

    @workflow.run
    async def run(self, job: JobInput) -> str:
        """Return the plan that was carried out. Fails by its stop reason where nothing was decided."""
        decided = await workflow.execute_child_workflow(ConvergeWorkflow.run, job, id=job.job_id)
        if not decided.converged:
            raise ApplicationError(decided.sentence, type=decided.stop, non_retryable=True)
        taken: list[Step] = []
        try:
            for step in _steps(decided):
                taken.append(step)  # before it is taken: it may be half done when it fails
                await _told(step[0], step[2])
        except ActivityError:  # a cancellation too
            for _, undo, order in reversed(taken):
                await _told(undo, order)
            raise
        return decided.live(Recommendation)[0].plan


def _steps(decided: JobOutcome) -> Iterable[Step]:
    recommended, approved = decided.live(Recommendation)[0], decided.live(Approval)[0]
    capital = Order(job_id=decided.job_id, what=approved.plan, capital=approved.capital)
    yield "reserve", "release", capital
    for entry in recommended.entries:
        yield "enter", "leave", Order(job_id=decided.job_id, what=entry)


async def _told(department: str, order: Order) -> None:
    await workflow.execute_activity(department, order, start_to_close_timeout=_BRIEFLY, retry_policy=_PATIENTLY)
