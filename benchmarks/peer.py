"""Peers at work: each is imported once, in an environment of its own, and a case asks forks of it for timed rounds.

So no case finds what an earlier one left.
"""

__all__ = ["PEERS", "Peer", "PeerFailed", "Peers", "variants"]

import asyncio
import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.case import Variant
from benchmarks.peers.worker import LONGEST

_ROOT = Path(__file__).parents[1]
PEERS = {
    "langgraph": "LangGraph",
    "pydantic_graph": "pydantic-graph",
    "autogen": "AutoGen core",
    "burr": "Burr",
    "llama_index": "llama-index-workflows",
    "pykka": "pykka",
    "dbos": "DBOS",
    "clips": "CLIPS",
}  # the file in peers/ -> how the table calls it


class PeerFailed(Exception):
    """A peer that could not be run; the text says why."""


class Peer(NamedTuple):
    """A peer as cases find it: where it listens, its versions, or why it could not be started."""

    address: str
    versions: Mapping[str, str] = {}
    failure: str | None = None


class Peers:
    """The processes of the peers, each started when first needed. folder: for their sockets and their files."""

    def __init__(self, python: Path, folder: Path) -> None:
        self._python, self._folder = python, folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.known: dict[str, Peer] = {}

    def start(self, names: Iterable[str]) -> None:
        """Have these peers listen; what they import is imported when this returns."""
        missing = [name for name in names if name not in self.known]
        if missing and not self._python.exists():
            self.known |= dict.fromkeys(missing, Peer("", failure=f"there is no {self._python}: `make bench` makes it"))
            return
        self._processes |= {name: self._started(name) for name in missing}  # all at once: it takes a second
        self.known |= {name: self._introduced(name) for name in missing}

    def _started(self, name: str) -> subprocess.Popen[bytes]:
        command = [str(self._python), "-m", "benchmarks.peers.worker", name, self._address(name)]
        pipes: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, cwd=_ROOT, env={**os.environ, "TMPDIR": str(self._folder)}, **pipes)

    def _introduced(self, name: str) -> Peer:
        output = self._processes[name].stdout
        assert output is not None
        said = json.loads(output.readline() or b'{"error": "its process ended"}')
        return Peer(self._address(name), said.get("versions", {}), said.get("error"))

    def _address(self, name: str) -> str:
        return str(self._folder / f"{name}.socket")

    def close(self) -> None:
        """End all processes: they keep nothing that matters."""
        for process in self._processes.values():
            process.kill()
            process.communicate()


def variants(
    peers: Mapping[str, Peer], names: Iterable[str], task: str, count: int, scale: float, note: str = ""
) -> list[Variant]:
    """Return a variant for each peer: `task` for `count`, its seconds multiplied by `scale`."""

    def variant(name: str) -> Variant:
        return Variant(f"{PEERS[name]}{note}", partial(_Rounds(peers[name]).measure, task, count, scale))

    return list(map(variant, names))


class _Rounds:
    """One fork of a peer, for all rounds of a variant."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def measure(self, task: str, count: int, scale: float) -> float:
        if self._peer.failure is not None:
            raise PeerFailed(self._peer.failure)
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(self._peer.address)
        reader, writer = self._streams
        writer.write(json.dumps({"task": task, "count": count}).encode() + b"\n")
        line = await reader.readline()
        said = json.loads(line or json.dumps({"error": f"its process ended, or took more than {LONGEST} s"}))
        if "error" in said:
            raise PeerFailed(said["error"])
        return float(said["seconds"]) * scale
