"""Broken sensors: what they read is not believed, and what was concluded from it falls with it."""

__all__ = ["distrust"]

from collections.abc import Iterator
from itertools import product

from converge import Assertion, View, agent
from converge_agents.teams.incident.kinds import MetricRow, SensorFault


@agent(reads=[SensorFault, MetricRow], invalidates=MetricRow)
def distrust(view: View) -> Iterator[Assertion]:
    """Invalidate every row of a sensor that is declared faulty, whichever of the two was stated first."""
    for fault, row in product(view.all(SensorFault), view.all(MetricRow)):
        if (fault.node, fault.metric) == (row.node, row.metric):
            yield row.invalidate(f"what measures the {fault.metric} of {fault.node} is faulty").because(fault)
