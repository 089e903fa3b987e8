"""A PostgreSQL server on loopback, made for the tests that ask one; without its programs they are skipped."""

__all__ = ["Postgres", "postgres"]

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from converge.stores import PostgresStore
from tests.servers import free_port, until_it_listens

_SKIPPED = "PostgreSQL is not installed: apt-get install postgresql, or name its folder in CONVERGE_POSTGRES"
_USER = "postgres" if hasattr(os, "geteuid") and os.geteuid() == 0 else None  # the server refuses to run as root


def _programs() -> Path | None:
    """Return the folder with the server's programs: Debian keeps them off the path."""
    named = os.environ.get("CONVERGE_POSTGRES")
    found = [Path(named)] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if program := shutil.which("initdb"):
        found.append(Path(program).parent)
    return next((folder for folder in found if (folder / "initdb").exists()), None)


class Postgres:
    """A server that can be stopped, killed and started again; each store it is asked for has a schema of its own."""

    def __init__(self, programs: Path, folder: Path, host: str) -> None:
        self._programs, self._folder, self._numbers = programs, folder, count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.host = host

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{self.host}:{self.port}/postgres"

    @property
    def is_up(self) -> bool:
        """Whether it was started and not stopped."""
        return self._process is not None

    def schema(self) -> str:
        """Return the name of a schema that nobody has had yet."""
        return f"test_{os.getpid()}_{next(self._numbers)}"

    def store(self, **options: Any) -> PostgresStore:
        """Return a store over a schema, a new one unless it is named."""
        return PostgresStore(self.url, **{"schema": self.schema(), **options})

    def make(self) -> None:
        """Make the files of a server."""
        self._run(
            "initdb", "-D", str(self._data), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"
        )
        with (self._data / "pg_hba.conf").open("a") as admitted:
            admitted.write("host all all samenet trust\n")

    def start(self) -> None:
        """Start it and return when it answers."""
        options = [f"listen_addresses={self.host}", "unix_socket_directories=", "log_min_messages=fatal"]
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        command += [part for option in options for part in ("-c", option)]
        self._process = subprocess.Popen(
            command, user=_USER, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until_it_listens(self._process, self.port, self.host)
        while not self._answers():  # it listens before it is done with what a crash left
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT is its fast way, SIGQUIT ends it as a crash does."""
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(how)
            process.wait(60)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            assert self._process is not None
            assert self._process.poll() is None, f"the server ended with {self._process.returncode}"
            return False
        return True

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(command, user=_USER, cwd="/", check=True, capture_output=True, timeout=120)


@contextmanager
def postgres(host: str = "127.0.0.1") -> Iterator[Postgres]:
    """Run a server of one's own, which lets in whoever reaches its address."""
    programs = _programs()
    if programs is None:
        pytest.skip(_SKIPPED)
    # Not in pytest's own folders: those are for the user of the tests alone, and the server runs as another.
    folder = Path(tempfile.mkdtemp(prefix="converge-postgres-"))
    try:
        if _USER is not None:
            shutil.chown(folder, _USER)
        server = Postgres(programs, folder, host)
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
