"""A Temporal server on loopback, for the tests that ask one; without its program they are skipped."""

__all__ = ["Temporal", "temporal"]

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import free_port, until_it_listens

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "converge"
_SKIPPED = "there is no Temporal server: make temporal-server, where there is Go, or name it in CONVERGE_TEMPORAL"


class Temporal:
    """A server that can be killed, and started again where it was."""

    def __init__(self, program: str, file: Path | None, host: str) -> None:
        self.host, self._port = host, free_port()
        self.address = f"{host}:{self._port}"
        heard_on = host if host == "127.0.0.1" else "0.0.0.0"  # its parts reach each other on the first one only
        self._command = [program, "server", "start-dev", "--headless", "--ip", heard_on, "--port", str(self._port)]
        self._command += ["--log-level", "never", *(("--db-filename", str(file)) if file else ())]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it listens."""
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdin=quiet, stdout=quiet, stderr=quiet)
        until_it_listens(self._process, self._port, self.host)

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def temporal(file: Path | None = None, host: str = "127.0.0.1") -> Iterator[Temporal]:
    """Run a server, which keeps what it knows in a file if it is given one.

    host: the address it is reached at; on any but the first one it listens to everybody, so have a network of your own.
    """
    program = shutil.which(os.environ.get("CONVERGE_TEMPORAL") or str(_CACHE / "temporal" / "temporal"))
    if program is None:
        pytest.skip(_SKIPPED)
    server = Temporal(program, file, host)
    server.start()
    try:
        yield server
    finally:
        server.kill()
