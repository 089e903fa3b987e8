"""Each case in a process of its own: what it takes must not depend on what was measured before it."""

__all__ = ["Report", "measured_alone"]

import asyncio
import multiprocessing
from multiprocessing.connection import Connection
from time import perf_counter
from typing import NamedTuple

from benchmarks.case import Measured, Setting
from benchmarks.cases import ALL
from benchmarks.harness import Noise, measured

# Forked from a process that has imported everything and done nothing, so that a case begins at once.
_FRESH = multiprocessing.get_context("forkserver")
_FRESH.set_forkserver_preload(["benchmarks.alone", "benchmarks.table"])


class Report(NamedTuple):
    """What came of a case, and how noisy the machine was meanwhile: seconds for always the same work."""

    measured: Measured
    noise: list[float]


def measured_alone(file: str, key: str, setting: Setting) -> Report:
    """Return what came of the case `key` of a file of cases/. If it cannot be made, that is what failed."""
    began = perf_counter()
    here, there = _FRESH.Pipe(duplex=False)
    process = _FRESH.Process(target=_answer, args=(there, file, key, setting))
    process.start()
    there.close()
    try:
        report = here.recv()
    except EOFError:
        report = _failed(key, "its process ended")
    finally:
        process.kill()  # it has nothing more to say, or nobody will listen
        process.join()
    return Report(report.measured._replace(seconds=perf_counter() - began), report.noise)


def _answer(there: Connection, file: str, key: str, setting: Setting) -> None:
    try:
        report = asyncio.run(_of_case(file, key, setting))
    except Exception as error:
        report = _failed(key, f"{type(error).__name__}: {error}")
    there.send(report)


def _failed(key: str, why: str) -> Report:
    return Report(Measured(key, "", None, {}, {}, {key: why}), [])


async def _of_case(file: str, key: str, setting: Setting) -> Report:
    plans, noise = {plan.key: plan for plan in ALL[file](setting)}, Noise()
    async with plans[key].open() as case:
        return Report(await measured(case, setting, noise), noise.samples)
