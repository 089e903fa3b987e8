"""Runs the variants of a case in turn, round by round, so that what disturbs the machine disturbs them all alike."""

__all__ = ["Noise", "measured"]

import gc
import math
from statistics import median
from time import perf_counter

from benchmarks.case import Case, Figures, Measured, Setting, Variant
from benchmarks.peer import PeerFailed


class Noise:
    """How noisy the machine was: the seconds that always the same work took, between the rounds."""

    def __init__(self) -> None:
        self.samples: list[float] = []

    def calibrate(self) -> None:
        """Do the work once more."""
        started = perf_counter()
        total = 0
        for number in range(100_000):
            total += number * number
        self.samples.append(perf_counter() - started)

    @property
    def spread(self) -> float:
        """How much longer the slowest tenth of the samples took than the median."""
        ordered = sorted(self.samples)
        return ordered[math.ceil(len(ordered) * 0.9) - 1] / median(ordered)


async def measured(case: Case, setting: Setting, noise: Noise) -> Measured:
    """Return what each variant took in each round. Who fails is named with the reason, and the others go on."""
    rounds, patience = (case.rounds or setting.rounds) + case.warm, case.patience or setting.patience
    samples: dict[str, list[Figures | None]] = {variant.name: [] for variant in case.variants}
    spent, failed = dict.fromkeys(samples, 0.0), dict[str, str]()
    for number in range(rounds):
        # Backwards every other time: nobody is always the one who runs after the same neighbour.
        for variant in case.variants if number % 2 == 0 else reversed(case.variants):
            # One round that counts is had by all: with one that is dropped it would be no comparison.
            is_impatient = number > case.warm and spent[variant.name] > patience
            is_enough = is_impatient or variant.name in failed
            samples[variant.name].append(None if is_enough else await _one(case, variant, spent, failed))
        noise.calibrate()
    counted = {name: taken[case.warm :] for name, taken in samples.items()}
    return Measured(case.title, case.unit, case.base, counted, case.absent, failed)


async def _one(case: Case, variant: Variant, spent: dict[str, float], failed: dict[str, str]) -> Figures | None:
    gc.collect()
    started = perf_counter()
    try:
        figures = await variant.measure()
    except Exception as error:
        failed[variant.name] = _said(error)
        return None
    finally:
        spent[variant.name] += perf_counter() - started
    return {case.unit: figures} if isinstance(figures, (int, float)) else figures


def _said(error: Exception) -> str:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, PeerFailed) else f"{type(error).__name__}: {error}"
