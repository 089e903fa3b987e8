"""Peers at work: each in a process of its own environment, asked for one timed round at a time over a pipe."""

__all__ = ["PEERS", "PeerFailed", "Peers"]

import asyncio
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.case import Variant

_ROOT = Path(__file__).parents[1]
_LONGEST = 180.0  # seconds for one round, imports included
PEERS = {
    "langgraph": "LangGraph",
    "pydantic_graph": "pydantic-graph",
    "autogen": "AutoGen core",
    "burr": "Burr",
    "llama_index": "llama-index-workflows",
    "pykka": "pykka",
    "dbos": "DBOS",
    "clips": "CLIPS (clipspy)",
}  # the file in peers/ -> how the table calls it


class PeerFailed(Exception):
    """A peer that could not be run; the text says why."""


class Peers:
    """The processes of the peers, started when first needed. `versions` fills as they come up."""

    def __init__(self, python: Path) -> None:
        self.python = python
        self.versions: dict[str, dict[str, str]] = {}
        self._workers: dict[str, _Worker] = {}

    async def variants(
        self, names: Iterable[str], task: str, count: int, scale: float, note: str = ""
    ) -> list[Variant]:
        """Return a variant for each peer: `task` for `count`, its seconds multiplied by `scale`."""
        return list(await asyncio.gather(*(self._variant(name, task, count, scale, note) for name in names)))

    async def _variant(self, name: str, task: str, count: int, scale: float, note: str) -> Variant:
        """Start the peer if need be: what its imports take is not part of a round."""
        try:
            worker, failure = self._workers.get(name) or await self._started(name), None
        except PeerFailed as failed:
            worker, failure = None, failed

        async def measure() -> float:
            if worker is None:
                raise failure
            return await worker.round(task, count) * scale

        return Variant(f"{PEERS[name]}{note}", measure)

    async def _started(self, name: str) -> "_Worker":
        if not self.python.exists():
            raise PeerFailed(f"there is no {self.python}: `make bench` makes it")
        worker = await _Worker.start(self.python, name)
        self._workers[name] = worker
        self.versions[name] = worker.versions
        return worker

    async def leave(self) -> None:
        """End all processes; asked again, they start anew."""
        while self._workers:
            await self._workers.popitem()[1].end()


class _Worker:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.versions: dict[str, str] = {}

    @classmethod
    async def start(cls, python: Path, name: str) -> "_Worker":
        command = [str(python), "-m", "benchmarks.peers.worker", name]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        worker = cls(await asyncio.create_subprocess_exec(*command, cwd=_ROOT, **pipes))
        try:
            worker.versions = (await worker._said())["versions"]
        except PeerFailed:
            await worker.end()
            raise
        return worker

    async def round(self, task: str, count: int) -> float:
        """Return the seconds of one round."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"task": task, "count": count}).encode() + b"\n")
        return float((await self._said())["seconds"])

    async def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), _LONGEST)
        except TimeoutError:
            raise PeerFailed(f"it did not answer within {_LONGEST:.0f} s") from None
        said: dict[str, Any] = json.loads(line) if line else {"error": "its process ended"}
        if "error" in said:
            raise PeerFailed(said["error"])
        return said

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()  # it keeps nothing that matters
        await self._process.wait()
