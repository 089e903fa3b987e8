"""How a figure is taken from the results of a run; None where the run did not measure it."""

__all__ = ["Figure", "Results", "fastest", "largest", "median", "ratio", "spread", "through"]

from collections.abc import Callable, Mapping

from benchmarks.case import Measured

Results = Mapping[str, Measured]
Figure = Callable[[Results], float | None]


def ratio(case: str, variant: str, to: str, unit: str | None = None) -> Figure:
    """Return the ratio of two variants of a case."""
    return lambda results: results[case].ratio(variant, to, unit) if case in results else None


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
    return through(largest(case, unit), lambda results: min(_medians(results, case, unit), default=None))


def through(upper: Figure, lower: Figure, times: float = 1.0) -> Figure:
    """Return one figure through another."""

    def figure(results: Results) -> float | None:
        above, below = upper(results), lower(results)
        return None if above is None or not below else above / below * times

    return figure


def _medians(results: Results, case: str, unit: str) -> list[float]:
    variants = results[case].samples if case in results else ()
    medians = (results[case].median(variant, unit) for variant in variants)
    return [known for known in medians if known is not None]
