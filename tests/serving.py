"""A service of decisions as a program of its own, with doors that only tests use.

    python tests/serving.py '{"store": "jobs.db", "limit": 100, "diary": "asked.txt"}'

prints its port when it can be asked. Its jobs climb to the fourth rung, asking the world on each; on the third rung the
world answers when somebody has opened the gate.
"""

__all__ = ["Rung", "Top", "app_of"]

import asyncio
import gc
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from fastapi import FastAPI

from converge import Engine, Fact, View, agent
from converge.stores import SQLiteStore
from converge_agents import service as served

TOP, GATED = 4, 3


class Rung(Fact):
    job: str
    number: int


class Top(Fact):
    job: str
    said: str


def app_of(store: str, limit: int = 100, diary: str = os.devnull, again: float = 30.0) -> FastAPI:
    """Return the app, with the doors under /test. again: seconds between two looks for jobs that nobody runs."""
    served._AGAIN_SECONDS = again
    gates = [anyio.Event()]
    asked = os.open(diary, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def ask(job: str, number: int) -> str:
        if number == GATED:
            await gates[-1].wait()
        os.write(asked, f"{job} {number}\n".encode())
        return f"rung {number}"

    @agent(reads=Rung, writes=[Rung, Top])
    async def climb(view: View):
        for rung in view.new(Rung):
            said = await view.capture("ask", ask, rung.job, rung.number)
            above = Rung(rung.job, rung.number + 1) if rung.number < TOP else Top(rung.job, said)
            yield above.because(rung)

    app = served.service(Engine([climb], store=SQLiteStore(store)), "climb to the top", answer=[Top], limit=limit)

    @app.post("/test/gate")
    async def open_gate() -> None:
        gates[-1].set()

    @app.delete("/test/gate")
    async def close_gate() -> None:
        gates.append(anyio.Event())

    @app.get("/test/state")
    async def state() -> dict[str, Any]:
        gc.collect()
        return {"resident": resident_bytes(), "tasks": len(asyncio.all_tasks()), "threads": threading.active_count()}

    return app


def resident_bytes() -> int:
    """Return how much memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Serve until a signal ends it."""
    with socket.create_server(("127.0.0.1", 0), backlog=2_048) as listening:
        config = uvicorn.Config(
            app_of(**json.loads(sys.argv[1])), log_level="warning", timeout_graceful_shutdown=1, backlog=2_048
        )
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
