"""Model servers on loopback: two written by others, without which a test is skipped, and one that says anything."""

__all__ = ["Aimock", "Llmock", "Server", "Verdict", "aimock", "free_port", "llmock", "saying", "until_it_listens"]

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
    port = free_port()
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
    port = free_port()
    command = [binary, "-h", "127.0.0.1", "-p", str(port), "-f", str(folder), "--strict", "--log-level", "silent"]
    with _running(command, port):
        yield Aimock(f"http://127.0.0.1:{port}")


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


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
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
        until_it_listens(process, port)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until_it_listens(process: "subprocess.Popen[bytes]", port: int, host: str = "127.0.0.1") -> None:
    """Return when something listens there; fail when the process ends first."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection((host, port), 1).close()
        except OSError:
            assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
            assert time.monotonic() < until, f"{process.args!r} did not come up"
            time.sleep(0.05)  # no event tells that another process listens
        else:
            return
