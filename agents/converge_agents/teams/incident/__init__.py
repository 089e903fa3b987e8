"""Find the root cause of an incident in a microservice shop: what broke, of all that looks broken.

Detectors find anomalous sensors, the topology says what the target's requests reach, and each anomalous node that
is reached is supposed to be the cause. An anomalous callee contradicts this hypothesis about its caller: it
explains the caller away. A ranker orders all of them. One job is one incident; one engine runs all at once.

    python -m converge_agents.teams.incident.write high_traffic/test/0 incident.jsonl
    converge run converge_agents.teams.incident:engine --facts incident.jsonl --store sqlite:///jobs.db

A sensor can be declared faulty, from the start or later: what it read, and what follows from it, falls. The
answer is then that of a job which never had its rows; invalidating the fault brings the former answer back.

    echo '{"kind": "SensorFault", "fact": {"node": "PetSite", "metric": "latency"}}' > fault.jsonl
    converge resume converge_agents.teams.incident:engine JOB --store sqlite:///jobs.db --facts fault.jsonl

`responding` is the same engine with two agents more: a model, scripted unless another is given to `build`, sums up the
ranking, and a mitigation is proposed that whoever is on call decides on. Its jobs stop as `waiting` until then.

    converge run converge_agents.teams.incident:responding --facts incident.jsonl --store sqlite:///jobs.db
    converge decide JOB REQUEST --approve --by NAME --store sqlite:///jobs.db
    converge resume converge_agents.teams.incident:responding JOB --store sqlite:///jobs.db

The 52 recorded incidents are those of the PetShop data set (Hardt et al., "The PetShop Dataset: Finding
Causes of Performance Issues across Microservices"; amazon-science/petshop-root-cause-analysis, CC-BY-4.0), in
the tables that `telemetry` reads; they are not part of this project. On them the broken node is ranked first
32 times and among the first three 46 times; the baseline that comes with the tables reaches 21 and 43.
"""

__all__ = ["build", "engine", "facts_of", "incident_ids", "intent", "responding", "write_incident"]

from converge import Engine, RootIntent
from converge.ports import Store
from converge.schedule import ScheduleName
from converge_agents.conversation import Asks
from converge_agents.teams.incident.causes import (
    a_cause_is_ranked,
    explain_away,
    rank_causes,
    suppose,
    trace_calls,
)
from converge_agents.teams.incident.detect import detect_availability, detect_latency
from converge_agents.teams.incident.faults import distrust
from converge_agents.teams.incident.respond import mitigate, scripted, summariser
from converge_agents.teams.incident.telemetry import facts_of, incident_ids, write_incident

intent = RootIntent("find the root cause of the incident", success=("a_cause_is_ranked",))


def build(store: Store | None = None, model: Asks | None = None, *, schedule: ScheduleName = "frontier") -> Engine:
    """Return the engine of these jobs on `store`, without one in memory.

    With a model it sums the ranking up, and asks whoever is on call about a mitigation.
    """
    agents = [distrust, detect_latency, detect_availability, trace_calls, suppose, explain_away, rank_causes]
    if model is not None:
        agents += [summariser(model), mitigate]
    return Engine(agents, store=store, invariants=[a_cause_is_ranked], schedule=schedule)


engine = build()
responding = build(model=scripted())
