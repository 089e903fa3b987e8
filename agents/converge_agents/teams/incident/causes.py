"""From anomalies to causes: what the target's requests reach, what of it may be the cause, in which order.

Trouble travels from callee to caller, so of several anomalous nodes the one furthest down the calls explains
the others, and not the other way round. That is the whole ranking: deepest first, then the larger z-score.
"""

__all__ = ["a_cause_is_ranked", "chains", "rank_causes", "suppose", "trace_calls"]

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from converge import Assertion, View, agent, invariant
from converge_agents.teams.incident.kinds import (
    Anomaly,
    Calls,
    Hypothesis,
    Incident,
    RankedCause,
    Reaches,
)


@agent(reads=[Incident, Calls], writes=Reaches, replaces=True)
def trace_calls(view: View) -> Iterator[Assertion]:
    """Find all that the target calls, directly or not. It replaces: one more edge can make a chain longer."""
    for incident in view.live(Incident):
        for node, chain in chains(incident.target, view.live(Calls)).items():
            reached = Reaches(target=incident.target, node=node, depth=len(chain))
            yield reached.because(incident, *chain)


@agent(reads=[Incident, Anomaly, Reaches], writes=Hypothesis)
def suppose(view: View) -> Iterator[Assertion]:
    """Suppose of each node reached that it is the cause, if it shows what was noticed at the target."""
    for reached in view.all(Reaches):
        for incident in view.all(Incident, reached.target):
            sensor = (reached.node, incident.metric, incident.statistic)
            for anomaly in view.all(Anomaly, sensor):
                cause = Hypothesis(reached.target, reached.node, reached.depth, anomaly.z)
                yield cause.because(incident, anomaly, reached)


@agent(reads=Hypothesis, writes=RankedCause, when="settled")
def rank_causes(view: View) -> Iterator[Assertion]:
    """Order the hypotheses about each target; names decide only between equals."""
    in_order = sorted(view.live(Hypothesis), key=lambda one: (one.target, -one.depth, -one.z, one.node))
    for target, hypotheses in groupby(in_order, key=lambda one: one.target):
        for rank, hypothesis in enumerate(hypotheses, start=1):
            yield RankedCause(target, rank, hypothesis.node).because(hypothesis)


@invariant
def a_cause_is_ranked(view: View) -> str | None:
    """Every incident has a cause: the success criterion of the intent."""
    for incident in view.live(Incident):
        if not view.live(RankedCause, (incident.target, 1)):
            return f"nothing that {incident.target} calls is anomalous, nor is {incident.target}"
    return None if view.live(Incident) else "no incident was given"


def chains(target: str, calls: Iterable[Calls]) -> dict[str, tuple[Calls, ...]]:
    """Return for each node that `target` reaches the longest chain of calls to it; one pass over the edges.

    Edges that close a cycle are left out: the depth of what calls itself would have no end.
    """
    callees = _by_caller(calls)
    order = _callers_first(target, callees)
    place = {node: index for index, node in enumerate(order)}
    found: dict[str, tuple[Calls, ...]] = {target: ()}
    for node in order:
        for call in callees.get(node, ()):
            chain = (*found[node], call)
            if place[call.callee] > place[node] and len(chain) > len(found.get(call.callee, ())):
                found[call.callee] = chain
    return found


def _by_caller(calls: Iterable[Calls]) -> dict[str, list[Calls]]:
    in_order = sorted(calls, key=lambda call: (call.caller, call.callee))
    return {caller: list(group) for caller, group in groupby(in_order, key=lambda call: call.caller)}


def _callers_first(target: str, callees: Mapping[str, list[Calls]]) -> list[str]:
    """Order what `target` reaches so that each node follows all its callers, where there is such an order."""
    left, seen = [], {target}
    open_ = [(target, iter(callees.get(target, ())))]
    while open_:
        node, calls = open_[-1]
        call = next(calls, None)
        if call is None:
            left.append(node)
            open_.pop()
        elif call.callee not in seen:
            seen.add(call.callee)
            open_.append((call.callee, iter(callees.get(call.callee, ()))))
    return left[::-1]
