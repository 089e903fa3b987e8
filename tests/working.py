"""Workers for tests: `converge worker` in processes of their own, and what is said of them."""

__all__ = ["given", "reached", "started", "until_at_work", "working"]

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle

from converge.temporal import ConvergeWorkflow, JobInput, connect
from tests.temporal_server import Temporal

ROOT = Path(__file__).parents[1]


async def reached(server: Temporal) -> Client:
    """Return a client as soon as the server has its namespace."""
    while True:
        try:
            client = await connect(server.address)
            async for _ in client.list_workflows("WorkflowId = 'none'"):
                pass
        except Exception:
            await asyncio.sleep(0.05)  # no event tells that another process is ready
        else:
            return client


async def given(client: Client, job: JobInput, queue: str) -> "WorkflowHandle[Any, Any]":
    """Start the workflow of a job; a worker that is frozen does not hold it up for long."""
    soon = timedelta(seconds=2)
    name = f"{queue} {job.job_id}"
    return await client.start_workflow(ConvergeWorkflow.run, job, id=name, task_queue=queue, task_timeout=soon)


@contextmanager
def working(
    store: str, server: Temporal, queue: str, variables: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """Run `converge worker`, and return when it says that it is at work."""
    with started(store, server, queue, variables=variables) as process:
        until_at_work(process)
        yield process


def until_at_work(process: "subprocess.Popen[str]") -> None:
    """Return when a worker says that it is at work."""
    assert process.stdout is not None
    assert process.stdout.readline().startswith("at work for "), f"{process.args!r} ended with {process.wait()}"


@contextmanager
def started(
    store: str,
    server: Temporal,
    queue: str,
    *options: str,
    target: str = "tests.temporal_jobs:engine",
    within: Sequence[str] = (),
    heard: Path = Path(os.devnull),
    variables: Mapping[str, str] | None = None,
) -> Iterator["subprocess.Popen[str]"]:
    """Run `converge worker`. within: a command that runs it; heard: a file for its stderr."""
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "agents", "stores"))
    command = [*within, sys.executable, "-m", "converge.cli", "worker", target, "--store", store]
    command += ["--temporal", server.address, "--task-queue", queue, *options]
    environment = {**os.environ, "PYTHONPATH": paths, **(variables or {})}
    with (
        heard.open("w") as errors,  # not a pipe: one that nobody reads would hold the worker up
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.kill()
