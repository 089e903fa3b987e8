"""Each case in a process of its own: what it takes must not depend on what was measured before it."""

__all__ = ["Report", "measured_alone"]

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
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
    with ProcessPoolExecutor(1, mp_context=_FRESH) as process:
        try:
            report = process.submit(_report, file, key, setting).result()
        except Exception as error:
            failed = {key: f"{type(error).__name__}: {error}"}
            report = Report(Measured(key, "", None, {}, {}, failed), [])
    seconds = perf_counter() - began
    return report._replace(measured=report.measured._replace(seconds=seconds))


def _report(file: str, key: str, setting: Setting) -> Report:
    return asyncio.run(_of_case(file, key, setting))


async def _of_case(file: str, key: str, setting: Setting) -> Report:
    plans, noise = {plan.key: plan for plan in ALL[file](setting)}, Noise()
    async with plans[key].open() as case:
        return Report(await measured(case, setting, noise), noise.samples)
