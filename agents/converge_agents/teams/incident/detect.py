"""The detectors, one per metric: each says which sensors read far worse during the incident than usually.

The test is the textbook z-score of the worst reading of the window, against mean and standard deviation of
the time without an incident. Only worse counts: a service that answers faster than ever breaks nothing.
"""

__all__ = ["LEAST_Z", "MOST_Z", "RESOLUTION", "detect_availability", "detect_latency", "z_score"]

from collections.abc import Iterator

from converge import Assertion, View, agent
from converge_agents.teams.incident.kinds import Anomaly, MetricRow

LEAST_Z = 5.0  # standard deviations; the threshold that is published with the data
MOST_Z = 1e6  # what never varied has no finite z-score
RESOLUTION = 0.001  # of the usual mean; a smaller spread is taken for rounding, not for variation


@agent(reads=MetricRow, writes=Anomaly)
def detect_latency(view: View) -> Iterator[Assertion]:
    """Find the sensors whose slowest reading is far above the usual."""
    for row in view.new(MetricRow):
        if row.metric == "latency":
            yield from _anomalies(row, row.highest, worse=1)


@agent(reads=MetricRow, writes=Anomaly)
def detect_availability(view: View) -> Iterator[Assertion]:
    """Find the sensors whose lowest reading is far below the usual."""
    for row in view.new(MetricRow):
        if row.metric == "availability":
            yield from _anomalies(row, row.lowest, worse=-1)


def z_score(deviation: float, mean: float, std: float) -> float:
    """Return by how many standard deviations a reading is worse than the mean: from 0 to MOST_Z."""
    spread = max(std, RESOLUTION * abs(mean))
    if deviation <= 0:
        return 0.0
    return min(deviation / spread, MOST_Z) if spread else MOST_Z


def _anomalies(row: MetricRow, worst: float, worse: int) -> Iterator[Assertion]:
    if row.base_mean is None or row.base_std is None:
        return  # nothing to compare with
    z = z_score(worse * (worst - row.base_mean), row.base_mean, row.base_std)
    if z >= LEAST_Z:
        found = Anomaly(node=row.node, metric=row.metric, statistic=row.statistic, z=round(z, 2))
        yield found.because(row)
