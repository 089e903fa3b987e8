"""Model servers written by others, on loopback and a free port; a test that needs one that is not there is skipped."""

__all__ = ["Aimock", "Llmock", "aimock", "llmock"]

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

_ROOT = Path(__file__).parent.parent
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "converge"
_PATIENCE = 60.0  # seconds until a server must have come up


def _llmock_binary() -> str | None:
    return shutil.which(os.environ.get("CONVERGE_LLMOCK") or str(_ROOT / ".venv-llmock" / "bin" / "llmock"))


def _aimock_binary() -> str | None:
    # by path: the command is called llmock too
    default = _CACHE / "aimock" / "node_modules" / ".bin" / "llmock"
    return shutil.which(os.environ.get("CONVERGE_AIMOCK") or str(default)) if shutil.which("node") else None


class _Server:
    def __init__(self, address: str) -> None:
        self.address = address
        self.base_url = f"{address}/v1"

    def _call(self, path: str, body: Any = None, method: str | None = None) -> str:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.address + path, data, {"content-type": "application/json"}, method=method)
        with urlopen(request, timeout=30) as response:
            text: str = response.read().decode()
        return text


class Llmock(_Server):
    """The server that fails as it is told to, and judges how its clients bear it."""

    def reset(self) -> None:
        self._call("/_llmock/reset", {})

    def will(self, *behaviours: Mapping[str, Any]) -> None:
        self._call("/_llmock/scenario", {"behaviors": list(behaviours)})

    def requests(self) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = json.loads(self._call("/_llmock/requests"))["requests"]
        return requests

    def verdict(self) -> str:
        return self._call("/_llmock/verdict?format=text")


class Aimock(_Server):
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
