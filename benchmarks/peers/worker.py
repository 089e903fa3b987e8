"""The process of one peer: it reads which round is wanted, runs it and says how long it took. A line of JSON each.

Run as `python -m benchmarks.peers.worker NAME` by the environment of the peers.
"""

import asyncio
import gc
import json
import os
import sys
from importlib import import_module, metadata
from typing import Any


def main(name: str) -> None:
    """Answer until the pipe is closed."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer

    def say(**said: Any) -> None:
        print(json.dumps(said), file=answers)

    try:
        peer = import_module(f"benchmarks.peers.{name}")
    except Exception as error:
        say(error=f"it cannot be imported: {error}")
        return
    say(versions={package: metadata.version(package) for package in peer.PACKAGES})
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            asked = json.loads(line)
            gc.collect()
            try:
                say(seconds=runner.run(peer.TASKS[asked["task"]](asked["count"])))
            except Exception as error:
                say(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
