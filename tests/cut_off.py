"""Two workers, each in a network of its own, of which one is cut off while it holds a job: `unshare -n` runs this.

What it prints, as JSON, is judged by test_temporal_fleet.py. Network namespaces end with their last process, so that
nothing is left of them. One end of each wire is here, where the servers are; the other in the worker's own network.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "agents"), str(ROOT / "stores")]

from converge.stores import PostgresStore  # noqa: E402
from converge.temporal import JobInput  # noqa: E402
from tests.postgres import postgres  # noqa: E402
from tests.temporal_jobs import FACTS, calls  # noqa: E402
from tests.temporal_server import temporal  # noqa: E402
from tests.working import given, reached, started, until_at_work  # noqa: E402

HERE = "10.77.0.1"  # where the servers are


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def network(number: int) -> Iterator[list[str]]:
    """Make a network that reaches this one by a wire, and return the command that runs others in it."""
    with subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE) as keeper:
        try:
            assert keeper.stdout is not None
            keeper.stdout.readline()  # it is there
            inside = ["nsenter", "-t", str(keeper.pid), "-n"]
            run("ip", "link", "add", f"wire{number}", "type", "veth", "peer", "name", "wire", "netns", str(keeper.pid))
            run("ip", "address", "add", f"10.77.{number}.1/24", "dev", f"wire{number}")
            run("ip", "link", "set", f"wire{number}", "up")
            run(*inside, "ip", "link", "set", "lo", "up")
            run(*inside, "ip", "address", "add", f"10.77.{number}.2/24", "dev", "wire")
            run(*inside, "ip", "link", "set", "wire", "up")
            run(*inside, "ip", "route", "add", "default", "via", f"10.77.{number}.1")
            yield inside
        finally:
            keeper.kill()


async def told(folder: Path, lease: float) -> dict[str, Any]:
    """Have a worker be cut off in the middle of a call, another one take over, and the first one come back."""
    asked = {"CONVERGE_TEST_CALLS": str(folder / "calls")}
    held = {**asked, "CONVERGE_TEST_AT": "long 3", "CONVERGE_TEST_SIGNAL": "SIGSTOP"}
    job = JobInput.of("job", "climb", FACTS, heartbeat_seconds=3)
    with network(1) as one, network(2) as two, postgres(HERE) as database, temporal(host=HERE) as server:
        client, heard = await reached(server), folder / "heard"
        place = f"{database.url}?patience={4 * lease}"  # whoever is cut off is still trying when it is back
        start = partial(started, place, server, "cut", "--lease", str(lease))
        with start(within=one, variables=held, heard=heard) as first, start(within=two, variables=asked) as second:
            second.send_signal(signal.SIGSTOP)  # so that the first one gets the job
            until_at_work(first)
            handle = await given(client, job, "cut")
            await asyncio.to_thread(os.waitid, os.P_PID, first.pid, os.WSTOPPED)
            run("ip", "link", "set", "wire1", "down")
            first.send_signal(signal.SIGCONT)  # it goes on, and cannot commit
            second.send_signal(signal.SIGCONT)
            outcome = await handle.result()
            run("ip", "link", "set", "wire1", "up")
            until_it_says(heard, "LeaseLost")
        rows = await rows_of(PostgresStore(database.url))
    return {
        "digests": [outcome.digest, outcome.live_digest, outcome.proof_digest],
        "cycles": [row.cycle for row in rows if row.cycle],
        "epochs": [row.epoch for row in rows[1:]],
        "calls": dict(calls(folder / "calls")),
    }


def until_it_says(heard: Path, word: str) -> None:
    """Return when a worker has said so; no event tells what another process says."""
    while word not in heard.read_text():
        time.sleep(0.05)


async def rows_of(store: PostgresStore) -> Any:
    await store.open()
    try:
        return await store.rows("job")
    finally:
        await store.close()


if __name__ == "__main__":
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{HERE}/32", "dev", "lo")
    sys.stdout.write(json.dumps(asyncio.run(told(Path(sys.argv[1]), float(sys.argv[2])))))
