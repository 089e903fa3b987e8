"""`converge worker`: what it says before there is anything to do. What it does is in test_temporal_server.py.

Each command is a process of its own: Temporal's driver may end one that ends as soon as it has failed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import free_port
from tests.temporal_server import Temporal, temporal

ROOT = Path(__file__).parents[1]
TARGET = "tests.temporal_jobs:engine"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running() -> Iterator[Temporal]:
    with temporal() as server:
        yield server


def begun(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "agents", "stores"))
    command = [sys.executable, "-m", "converge.cli", "worker", *arguments]
    environment, pipe = {**os.environ, "PYTHONPATH": paths}, subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def refused(folder: Path, *arguments: str) -> str:
    """Return the one sentence by which a command is refused as bad input."""
    process = begun(folder, *arguments)
    out, err = process.communicate()
    assert (process.returncode, out) == (2, ""), err
    [sentence] = err.splitlines()
    return sentence.removeprefix("error: ")


def test_a_worker_without_a_server_says_how_to_start_one(tmp_path: Path):
    """And leaves nothing behind."""
    address = f"127.0.0.1:{free_port()}"
    assert refused(tmp_path, TARGET, "--temporal", address) == (
        f"--temporal: no Temporal server answers at {address}: start one, as with `temporal server start-dev`, or name "
        "another with --temporal HOST:PORT"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_worker_needs_a_store_that_others_can_go_on_from(tmp_path: Path):
    """What is in memory would end with it."""
    sentence = refused(tmp_path, TARGET, "--store", "memory:")
    assert sentence == "--store: what is in memory: ends with this process, and no other worker could go on"


def test_a_namespace_that_the_server_does_not_have_is_named(tmp_path: Path, running: Temporal):
    """Else the worker would wait for jobs for ever."""
    sentence = refused(tmp_path, TARGET, "--temporal", running.address, "--namespace", "moon")
    assert sentence == f"--namespace: the server at {running.address} has no namespace 'moon'"


def test_a_worker_says_as_json_what_it_does(tmp_path: Path, running: Temporal):
    """As soon as it is at work."""
    with begun(
        tmp_path, TARGET, "--temporal", running.address, "--task-queue", "q", "--jobs", "3", "--json"
    ) as process:
        told = _document(process)
        process.terminate()
        process.communicate()
    assert told == {
        "target": TARGET,
        "store": "sqlite:///converge.db",
        "temporal": running.address,
        "namespace": "default",
        "task_queue": "q",
        "jobs": 3,
    }
    assert process.returncode == 0


def _document(process: "subprocess.Popen[str]") -> object:
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or lines[-1] != "}\n":
        lines.append(process.stdout.readline())
    return json.loads("".join(lines))
