"""Write one recorded incident as a facts file: `python -m converge_agents.teams.incident.write ID PATH`."""

__all__ = ["main"]

import sys
from collections.abc import Sequence

from converge.errors import CallerError
from converge_agents.teams.incident.telemetry import write_incident


def main(arguments: Sequence[str]) -> int:
    """Write the incident and say how to run it; return the exit code, 2 if that was not possible."""
    if len(arguments) != 2:
        print("usage: python -m converge_agents.teams.incident.write ID PATH", file=sys.stderr)
        print("ID is one of the 52 recorded incidents, as high_traffic/test/0", file=sys.stderr)
        return 2
    incident_id, path = arguments
    try:
        count = write_incident(incident_id, path)
    except CallerError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{path} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    print(f"{count} facts written; next: converge run converge_agents.teams.incident:engine --facts {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
