"""How a figure is taken from the results of a run; None where the run did not measure it."""

__all__ = ["Figure", "Results", "fastest", "largest", "median", "ratio", "share", "spread"]

from collections.abc import Callable, Mapping

from benchmarks.case import Measured

Results = Mapping[str, Measured]
Figure = Callable[[Results], float | None]


def ratio(case: str, variant: str, to: str, unit: str | None = None) -> Figure:
    """Return the ratio of two variants of a case."""
    return lambda results: results[case].ratio(variant, to, unit) if case in results else None


def share(case: str, variant: str, beyond: str, unit: str) -> Figure:
    """Return how much of a variant's figure is beyond another's, in percent."""
    return lambda results: results[case].share(variant, beyond, unit) if case in results else None


def median(case: str, variant: str, unit: str | None = None) -> Figure:
    """Return a variant's own figure."""
    return lambda results: results[case].median(variant, unit) if case in results else None


def fastest(case: str, to: str, *variants: str) -> Figure:
    """Return how many times as long as `to` the fastest of several variants takes."""

    def figure(results: Results) -> float | None:
        ratios = [ratio(case, variant, to)(results) for variant in variants]
        return min((known for known in ratios if known is not None), default=None)

    return figure


def largest(case: str, unit: str) -> Figure:
    """Return the largest median of a case."""
    return lambda results: max(_medians(results, case, unit), default=None)


def spread(case: str, unit: str) -> Figure:
    """Return the largest median of a case through its smallest: 1 is flat."""

    def figure(results: Results) -> float | None:
        medians = _medians(results, case, unit)
        return max(medians) / min(medians) if medians else None

    return figure


def _medians(results: Results, case: str, unit: str) -> list[float]:
    variants = results[case].samples if case in results else ()
    medians = (results[case].median(variant, unit) for variant in variants)
    return [known for known in medians if known is not None]
