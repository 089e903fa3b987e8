"""`converge worker`: a process that runs jobs of a target as Temporal hands them out."""

__all__ = ["worker"]

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from converge.cli.console import AsJson, counted, data, news, one_line, write_json, write_line
from converge.cli.exit_codes import ExitCode
from converge.cli.follow import TargetName
from converge.cli.place import DEFAULT_STORE, StoreAddress, store_at
from converge.cli.target import Target, load_target
from converge.cli.usage import OptionInvalid

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.worker import Worker


def worker(
    target: TargetName,
    store: StoreAddress = DEFAULT_STORE,
    temporal: Annotated[
        str, typer.Option("--temporal", metavar="HOST:PORT", help="Where the Temporal server answers.")
    ] = "127.0.0.1:7233",
    task_queue: Annotated[str, typer.Option("--task-queue", metavar="NAME", help="Whose jobs it takes.")] = "converge",
    namespace: Annotated[str, typer.Option("--namespace", metavar="NAME", help="Of the server.")] = "default",
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", min=1, help="How many at a time.")] = 10,
    lease: Annotated[
        float | None,
        typer.Option(
            "--lease", metavar="SECONDS", help="How long a silent worker keeps its jobs; else as TARGET says."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run jobs of TARGET as Temporal hands them out, until SIGTERM or Ctrl-C; then hand them over to other workers.

    All workers of a task queue keep their jobs in one store, so that each can go on with what another one began.

    A client starts the workflow ConvergeWorkflow there with {"job_id": "...", "facts": [...]}.

    Example: converge worker shop.risks:engine --store sqlite:///jobs.db --temporal 127.0.0.1:7233 --task-queue risks
    """
    told = {"target": target, "store": store, "temporal": temporal, "namespace": namespace, "task_queue": task_queue}
    import converge.temporal  # noqa: F401  # whoever lacks the extra is told before anything else

    place, loaded = store_at(store), load_target(target)
    if not place.durable:
        raise OptionInvalid("--store", f"what is in {store} ends with this process, and no other worker could go on")
    serving = Target(target, loaded.engine.with_store(place, lease_seconds=lease), loaded.intent)
    asyncio.run(_serve(serving, {**told, "jobs": jobs}, as_json=as_json))


async def _serve(target: Target, told: dict[str, Any], *, as_json: bool) -> None:
    from converge.temporal import converge_worker

    _load_ahead()
    client = await _connected(told["temporal"], told["namespace"])
    async with target.engine as engine:
        queue, jobs = told["task_queue"], told["jobs"]
        at_work = converge_worker(client, engine, task_queue=queue, jobs=jobs, intent=target.intent)
        with _leaving_at_a_signal(at_work):
            _announce(told, as_json=as_json)
            with redirect_stdout(sys.stderr):  # stdout is for data, whatever an agent prints
                await at_work.run()
    write_line(news(), ("the jobs are handed over", "dim"))


def _load_ahead() -> None:
    """Import now what the first request to a model would: for seconds, on a busy machine, no job could beat."""
    if "converge_agents.llm" in sys.modules:
        import openai  # noqa: F401


async def _connected(address: str, namespace: str) -> "Client":
    """Return a client of a server that has the namespace. Raises OptionInvalid."""
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
    from temporalio.service import RPCError, RPCStatusCode

    from converge.temporal import connect

    try:
        client = await connect(address, namespace)
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    except (RuntimeError, ValueError) as error:
        raise OptionInvalid("--temporal", f"no Temporal server answers at {address}: {_START}") from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise OptionInvalid("--namespace", f"the server at {address} has no namespace {namespace!r}") from error
        raise OptionInvalid("--temporal", f"the server at {address} refuses: {one_line(error)}") from error
    return client


_START = "start one, as with `temporal server start-dev`, or name another with --temporal HOST:PORT"


@contextmanager
def _leaving_at_a_signal(at_work: "Worker") -> Iterator[None]:
    """Shut the worker down at the first SIGINT or SIGTERM; at a second one end at once, losing nothing committed."""
    loop, shutting = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    def shut_down() -> None:
        write_line(news(), ("handing the jobs over; a second signal ends at once", "dim"))
        shutting.add(loop.create_task(at_work.shutdown()))

    def heard(number: int, frame: FrameType | None) -> None:
        for signal_number in before:
            signal.signal(signal_number, lambda *_: os._exit(ExitCode.CANCELLED))
        loop.call_soon_threadsafe(shut_down)

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _announce(told: dict[str, Any], *, as_json: bool) -> None:
    """Say what the worker does; its JSON is of this shape.

    {"target", "store", "temporal", "namespace", "task_queue": text, "jobs": int}
    """
    if as_json:
        write_json(told)
    else:
        place = f"{one_line(told['task_queue'])} at {one_line(told['temporal'])}"
        write_line(data(), f"at work for {place}: {counted(told['jobs'], 'job')} of {told['target']} at a time")
        write_line(news(), ("Ctrl-C hands the jobs over and ends it", "dim"))
    sys.stdout.flush()  # whoever started it may be waiting for this line
