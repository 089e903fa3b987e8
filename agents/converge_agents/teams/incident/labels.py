"""The answers: which node was broken on purpose in each incident. For scoring; no agent reads this."""

__all__ = ["root_cause"]

from converge_agents.teams.incident.telemetry import IncidentUnknown, folder, incident_ids, table


def root_cause(incident_id: str) -> str:
    """Return the node that was broken in an incident. Raises IncidentUnknown or DataMissing."""
    for row in table(folder() / "issues.tsv"):
        if row["id"] == incident_id:
            return row["root_cause"]
    raise IncidentUnknown(incident_id, incident_ids())
