"""From anomalies to causes: what the target's requests reach, what of it may be the cause, in which order.

Trouble travels from callee to caller, so an anomalous callee explains why its caller is anomalous, and not the
other way round. That is the whole ranking: suspects that nothing explains away come before those that something
does; within both, the deepest comes first, then the larger z-score. What is explained away stays in the ranking,
since a node can be broken although what it calls is troubled too: so it is in 8 of the 52 recorded incidents.
"""

__all__ = ["a_cause_is_ranked", "chains", "explain_away", "rank_causes", "suppose", "trace_calls"]

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, product

from converge import Assertion, View, agent, invariant
from converge_agents.teams.incident.kinds import (
    Anomaly,
    Calls,
    Hypothesis,
    Incident,
    RankedCause,
    Reaches,
    Suspect,
)


@agent(reads=[Incident, Calls], writes=Reaches, replaces=True)
def trace_calls(view: View) -> Iterator[Assertion]:
    """Find all that the target calls, directly or not. It replaces: one more edge can make a chain longer."""
    for incident in view.live(Incident):
        for node, chain in chains(incident.target, view.live(Calls)).items():
            reached = Reaches(target=incident.target, node=node, depth=len(chain))
            yield reached.because(incident, *chain)


@agent(reads=[Incident, Anomaly, Reaches], writes=[Suspect, Hypothesis])
def suppose(view: View) -> Iterator[Assertion]:
    """Suspect each node reached that shows what was noticed at the target, and suppose that it is the cause."""
    for reached in view.all(Reaches):
        for incident in view.all(Incident, reached.target):
            noticed = (reached.node, incident.metric, incident.statistic)
            for anomaly in view.all(Anomaly, noticed):
                suspect = Suspect(reached.target, reached.node, reached.depth, anomaly.z)
                yield suspect.because(incident, anomaly, reached)
                yield Hypothesis(reached.target, reached.node).because(suspect)


@agent(reads=[Suspect, Calls, Hypothesis], invalidates=Hypothesis)
def explain_away(view: View) -> Iterator[Assertion]:
    """Contradict that a node is the cause where it calls another suspect; only calls that lead deeper count.

    It reads plainly, not `Live`: a contradiction falls with the callee's anomaly, without running this again. It
    cites suspects, not hypotheses: what a callee shows explains its caller even where it is itself explained away.
    """
    for hypothesis, call in product(view.all(Hypothesis), view.all(Calls)):
        if call.caller != hypothesis.node:
            continue
        callers = view.all(Suspect, (hypothesis.target, call.caller))
        callees = view.all(Suspect, (hypothesis.target, call.callee))
        for caller, callee in product(callers, callees):
            if caller.depth < callee.depth:
                contradicted = hypothesis.invalidate(f"it calls {callee.node}, which is anomalous too")
                yield contradicted.because(call, caller, callee)


@agent(reads=[Suspect, Hypothesis], writes=RankedCause, when="settled")
def rank_causes(view: View) -> Iterator[Assertion]:
    """Order the suspects about each target, those explained away last; names decide only between equals."""
    standing = {one: view.live(Hypothesis, (one.target, one.node)) for one in view.live(Suspect)}
    in_order = sorted(standing, key=lambda one: (one.target, not standing[one], -one.depth, -one.z, one.node))
    for target, suspects in groupby(in_order, key=lambda one: one.target):
        for rank, suspect in enumerate(suspects, start=1):
            cause = RankedCause(target, rank, suspect.node, explained_away=not standing[suspect])
            yield cause.because(suspect, *standing[suspect])


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
