"""A worker: a process that runs jobs of one engine, as Temporal hands them out."""

__all__ = ["connect", "converge_sandbox", "converge_worker"]

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from converge.engine import Engine
from converge.intent import RootIntent
from converge.temporal.activity import converge_activity, converge_decision, converge_giving
from converge.temporal.workflow import ConvergeWorkflow

_GRACE = timedelta(seconds=10)  # until a job that does not let go when the worker shuts down is cancelled
_BEATS = timedelta(seconds=0.1)  # each beat goes out: the SDK would let most of the timeout pass first
_STICKY = timedelta(seconds=2)  # for which a workflow is held up by a worker that knew it and is gone; 10 by default


async def connect(address: str, namespace: str = "default") -> Client:
    """Return a client of the server at HOST:PORT, as a worker and its clients need it. Raises RuntimeError."""
    return await Client.connect(address, namespace=namespace, data_converter=pydantic_data_converter)


def converge_worker(
    client: Client,
    engine: Engine,
    *,
    task_queue: str,
    jobs: int = 10,
    intent: RootIntent | str | None = None,
    workflows: Iterable[type] = (),
    activities: Iterable[Callable[..., Any]] = (),
) -> Worker:
    """Return a worker for jobs of `engine`, at most so many at a time: `async with` it, or `await worker.run()`.

    It runs `ConvergeWorkflow` and the three activities, and others that are given. When it shuts down, its jobs are
    handed over to other workers. intent: the root intent of inputs that have none.
    """
    ours = converge_activity(engine, intent=intent), converge_decision(engine), converge_giving(engine)
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[ConvergeWorkflow, *workflows],
        activities=[*ours, *activities],
        workflow_runner=converge_sandbox(),
        max_concurrent_activities=jobs,
        graceful_shutdown_timeout=_GRACE,
        max_heartbeat_throttle_interval=_BEATS,
        sticky_queue_schedule_to_start_timeout=_STICKY,
    )


def converge_sandbox() -> SandboxedWorkflowRunner:
    """Return Temporal's sandbox as `ConvergeWorkflow` needs it in a worker, or a Replayer, of your own."""
    return SandboxedWorkflowRunner(SandboxRestrictions.default.with_passthrough_modules(*_OURS))


_OURS = ("converge", "converge_agents", "converge_stores", "pydantic", "anyio")  # read once, not for each workflow
