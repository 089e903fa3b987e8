"""The kinds of the incident job: what was recorded, and what the agents make of it.

Most are keyed by what they are about, and contest: two different readings of one sensor, or two ranks for one
place, are a defect to be seen, not a choice to be made silently.
"""

__all__ = [
    "Anomaly",
    "Calls",
    "Hypothesis",
    "Incident",
    "IncidentSummary",
    "Metric",
    "MetricRow",
    "Mitigation",
    "RankedCause",
    "Reaches",
    "SensorFault",
    "Suspect",
]

from typing import Annotated, Literal

from pydantic import Field

from converge import Fact

Metric = Literal["latency", "availability"]
Count = Annotated[int, Field(ge=0)]


# Given from outside.


class Incident(Fact, key="target"):
    """Where something was noticed: in one statistic of one metric of the target, `at` seconds since 1970."""

    target: str
    metric: Metric
    statistic: str
    at: int


class Calls(Fact):
    """One node calls another. Each edge is true by itself: the key is the whole fact, so nothing contests."""

    caller: str
    callee: str


class MetricRow(Fact, key=("node", "metric", "statistic")):
    """What one sensor read, in one statistic: while the incident lasted, and the same figure without an incident.

    Latency is in seconds, availability in percent. A baseline figure is None where too little was recorded
    for it (one reading has no spread).
    """

    node: str
    metric: Metric
    statistic: str
    readings: Count
    mean: float
    highest: float
    lowest: float
    base_mean: float | None
    base_std: float | None
    base_median: float | None
    base_mad: float | None


class SensorFault(Fact):
    """What measures this metric of this node is broken: nothing it read is to be believed, in any statistic."""

    node: str
    metric: Metric


# Made by agents.


class Anomaly(Fact, key=("node", "metric", "statistic")):
    """A sensor read worse than usual, by `z` standard deviations."""

    node: str
    metric: Metric
    statistic: str
    z: float


class Reaches(Fact, key=("target", "node")):
    """The target's requests reach a node; `depth` counts the calls of the longest chain to it."""

    target: str
    node: str
    depth: Count


class Suspect(Fact, key=("target", "node")):
    """A node shows what was noticed at the target, and the target's requests reach it, `depth` calls below."""

    target: str
    node: str
    depth: Count
    z: float


class Hypothesis(Fact, key=("target", "node")):
    """A suspect is itself the cause of what was noticed at the target, not only touched by it."""

    target: str
    node: str


class RankedCause(Fact, key=("target", "rank")):
    """The place of a suspect among the possible causes; 1 is the likeliest.

    Of one that is explained away the hypothesis has fallen: it calls another suspect.
    """

    target: str
    rank: Annotated[int, Field(ge=1)]
    node: str
    explained_away: bool


class IncidentSummary(Fact, key="target"):
    """What is probably broken, in a model's words; `node` is what was ranked first."""

    target: str
    node: str
    text: str


class Mitigation(Fact, key="target"):
    """What is to be done about an incident; believed once whoever is on call has approved it."""

    target: str
    node: str
    action: str
