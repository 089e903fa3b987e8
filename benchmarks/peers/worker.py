"""The process of one peer: it imports the peer once, and each connection to it is served by a fork of its own.

Run as `python -m benchmarks.peers.worker NAME ADDRESS` by the environment of the peers. It prints one line of JSON, the
versions or what went wrong. Then a line asks for a round, and a line says how long that took.
"""

__all__ = ["LONGEST"]

import asyncio
import gc
import json
import os
import signal
import socketserver
import sys
from importlib import import_module, metadata
from typing import Any

LONGEST = 180  # seconds for one round


class _Forks(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    def __init__(self, address: str, peer: Any) -> None:
        super().__init__(address, _Rounds)
        self.peer = peer


class _Rounds(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """Answer until the connection is closed."""
        peer: Any = self.server.peer  # type: ignore[attr-defined]  # ours has one
        with asyncio.Runner() as runner:
            for line in self.rfile:
                asked = json.loads(line)
                gc.collect()
                signal.alarm(LONGEST)  # it ends by itself when nobody waits for it any more
                try:
                    said = {"seconds": runner.run(peer.TASKS[asked["task"]](asked["count"]))}
                except Exception as error:
                    said = {"error": f"{type(error).__name__}: {error}"}
                signal.alarm(0)
                self.wfile.write(json.dumps(said).encode() + b"\n")


def main(name: str, address: str) -> None:
    """Serve until killed."""
    first_line = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    try:
        peer = import_module(f"benchmarks.peers.{name}")
    except Exception as error:
        print(json.dumps({"error": f"it cannot be imported: {error}"}), file=first_line)
        return
    with _Forks(address, peer) as server:
        versions = {package: metadata.version(package) for package in peer.PACKAGES}
        print(json.dumps({"versions": versions}), file=first_line)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
