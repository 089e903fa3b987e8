"""Servers on loopback: three written by others, without which a test is skipped, and one that says anything.

llmock and aimock answer as models do; Temporal is the real server, in memory or on a file.
"""

__all__ = ["Aimock", "Llmock", "Server", "Temporal", "Verdict", "aimock", "llmock", "saying", "temporal"]

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import pytest

from converge_agents.model import Model

_ROOT = Path(__file__).parent.parent
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "converge"
_PATIENCE = 60.0  # seconds until a server must have come up


def _llmock_binary() -> str | None:
    return shutil.which(os.environ.get("CONVERGE_LLMOCK") or str(_ROOT / ".venv-llmock" / "bin" / "llmock"))


def _aimock_binary() -> str | None:
    # by path: the command is called llmock too
    default = _CACHE / "aimock" / "node_modules" / ".bin" / "llmock"
    return shutil.which(os.environ.get("CONVERGE_AIMOCK") or str(default)) if shutil.which("node") else None


def _temporal_binary() -> str | None:
    return shutil.which(os.environ.get("CONVERGE_TEMPORAL") or str(_CACHE / "temporal" / "temporal"))


class Server:
    """A server that a Model can ask."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.base_url = f"{address}/v1"

    def model(self, **options: Any) -> Model:
        return Model(
            "gpt-4o", **{"base_url": self.base_url, "api_key": "none-needed", "random": lambda: 0.5, **options}
        )

    def _call(self, path: str, body: Any = None, method: str | None = None) -> str:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.address + path, data, {"content-type": "application/json"}, method=method)
        with urlopen(request, timeout=30) as response:
            text: str = response.read().decode()
        return text


class Verdict(NamedTuple):
    """What llmock says of its clients: how often they asked, how many of these it spoilt, and what they did wrong."""

    attempts: int
    faults: int
    findings: list[str]

    @classmethod
    def of(cls, text: str) -> "Verdict":
        """Return a verdict as it is printed; a print of any other form is no verdict."""
        head = re.match(
            r"LLMock resilience verdict: \d+ call\(s\), (\d+) attempt\(s\), (\d+) fault\(s\) injected\n", text
        )
        assert head, text
        findings = re.findall(r"^  (?:FAIL|WARN)  (\w+)  ", text, re.MULTILINE)
        total = re.search(r"^(\d+) error\(s\), (\d+) warning\(s\)$", text, re.MULTILINE)
        assert (total is None) == ("  PASS  " in text), text
        assert len(findings) == (sum(map(int, total.groups())) if total else 0), text
        return cls(int(head[1]), int(head[2]), findings)


class Llmock(Server):
    """The server that fails as it is told to, and judges how its clients bear it."""

    def reset(self) -> None:
        self._call("/_llmock/reset", {})

    def will(self, *behaviours: Mapping[str, Any]) -> None:
        self._call("/_llmock/scenario", {"behaviors": list(behaviours)})

    def requests(self) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = json.loads(self._call("/_llmock/requests"))["requests"]
        return requests

    def verdict(self) -> Verdict:
        return Verdict.of(self._call("/_llmock/verdict?format=text"))


class Aimock(Server):
    """The server that answers from fixtures, and keeps a journal of every request."""

    def journal(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = json.loads(self._call("/__aimock/journal"))
        return entries

    def forget(self) -> None:
        self._call("/__aimock/journal", method="DELETE")


@contextmanager
def llmock(*options: str) -> Iterator[Llmock]:
    """Run llmock, in an environment of its own since its dependencies are not ours."""
    binary = _llmock_binary()
    if binary is None:
        pytest.skip("llmock is not installed: make servers")
    port = _free_port()
    command = [binary, "serve", "--host", "127.0.0.1", "-p", str(port), "--log-level", "warning", *options]
    with _running(command, port):
        yield Llmock(f"http://127.0.0.1:{port}")


@contextmanager
def aimock(folder: Path, fixtures: Sequence[Mapping[str, Any]]) -> Iterator[Aimock]:
    """Run aimock on fixtures that are written into the folder."""
    binary = _aimock_binary()
    if binary is None:
        pytest.skip("aimock is not installed: make servers, where there is npm and Node 20")
    (folder / "fixtures.json").write_text(json.dumps({"fixtures": list(fixtures)}))
    port = _free_port()
    command = [binary, "-h", "127.0.0.1", "-p", str(port), "-f", str(folder), "--strict", "--log-level", "silent"]
    with _running(command, port):
        yield Aimock(f"http://127.0.0.1:{port}")


class Temporal:
    """A Temporal server that can be killed, and started again where it was."""

    def __init__(self, binary: str, file: Path | None) -> None:
        self._port = _free_port()
        self.address = f"127.0.0.1:{self._port}"
        self._command = [binary, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self._port)]
        self._command += ["--log-level", "never"] + (["--db-filename", str(file)] if file else [])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdin=quiet, stdout=quiet, stderr=quiet)
        _until_it_listens(self._process, self._port)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def temporal(file: Path | None = None) -> Iterator[Temporal]:
    """Run a Temporal server, which keeps what it knows in a file if it is given one."""
    binary = _temporal_binary()
    if binary is None:
        pytest.skip("there is no Temporal server: make temporal-server, where there is Go")
    server = Temporal(binary, file)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@asynccontextmanager
async def saying(*responses: bytes) -> AsyncIterator[Server]:
    """Say these, one for each request, for what neither of the others can be made to say."""
    rest = iter(responses)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(size[1]) if size else 0)
        writer.write(next(rest))
        writer.close()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as server:
        yield Server(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert next(rest, None) is None, "fewer requests came than there was something to say to"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def _running(command: Sequence[str], port: int) -> Iterator[None]:
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("LLMOCK_", "AIMOCK_"))}
    process = subprocess.Popen(
        command, env=quiet, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _until_it_listens(process, port)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_it_listens(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
            assert time.monotonic() < until, f"{process.args!r} did not come up"
            time.sleep(0.05)  # no event tells that another process listens
        else:
            return
