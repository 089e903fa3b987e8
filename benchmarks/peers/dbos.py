"""DBOS on SQLite: synchronous steps in a synchronous workflow; asynchronous ones took 1.25 times as long.

It leaves SQLite at its defaults (a rollback journal, synchronous=FULL), so a step survives a power cut.
"""

__all__ = ["PACKAGES", "TASKS"]

import atexit
from functools import cache
from tempfile import TemporaryDirectory

from dbos import DBOS, DBOSConfig

from benchmarks.peers.echo import Echo, Timer

PACKAGES = ("dbos", "pydantic")


@DBOS.step()
def step(n: int) -> Echo:
    return Echo(0, n)


@DBOS.workflow()
def walk(steps: int) -> int:
    return len([step(n) for n in range(steps)])


@cache
def launched() -> TemporaryDirectory[str]:
    folder = TemporaryDirectory(prefix="dbos-")
    config: DBOSConfig = {
        "name": "chain",
        "system_database_url": f"sqlite:///{folder.name}/jobs.db",
        "run_admin_server": False,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    atexit.register(DBOS.destroy)
    return folder


async def chain(steps: int) -> float:
    import asyncio

    launched()
    return await asyncio.to_thread(_timed, steps)  # a synchronous workflow is not to be run where a loop runs


def _timed(steps: int) -> float:
    with Timer() as timer:
        assert walk(steps) == steps
    return timer.seconds


TASKS = {"chain, power": chain}
