"""The recorded incidents as facts: read from the data set's tables, checked once, shared by all jobs.

The tables are looked for in the folder `petshop_rca` of the folder that the environment variable
CONVERGE_DATA names, else of `../shared/data` beside the project. The column that holds the answer is not
read here.
"""

__all__ = ["DataMissing", "IncidentUnknown", "facts_of", "folder", "incident_ids", "table", "write_incident"]

import csv
import math
import os
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import cast

from converge import Fact
from converge.errors import CallerError
from converge.jsonl import write_facts
from converge_agents.teams.incident.kinds import Calls, Incident, Metric, MetricRow

BESIDE = Path(__file__).parents[4].parent / "shared" / "data"

Row = Mapping[str, str]


class DataMissing(CallerError, LookupError):
    """Raised when the data set is not where it is looked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not there: set CONVERGE_DATA to the folder that holds petshop_rca")


class IncidentUnknown(CallerError, LookupError):
    """Raised for an id that is not in the data set."""

    def __init__(self, incident_id: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"there is no incident {incident_id!r}: there are {len(known)}, from {known[0]} to {known[-1]}"
        )


def incident_ids() -> tuple[str, ...]:
    """Return the ids of all recorded incidents, in the data set's order. Raises DataMissing."""
    return tuple(_incidents(folder()))


def facts_of(incident_id: str) -> tuple[Fact, ...]:
    """Return what was recorded of one incident: the incident, the call graph and every sensor's row.

    Raises IncidentUnknown or DataMissing.
    """
    where = folder()
    if incident_id not in _incidents(where):
        raise IncidentUnknown(incident_id, incident_ids())
    traffic = incident_id.partition("/")[0]
    return (_incidents(where)[incident_id], *_calls(where, traffic), *_metric_rows(where)[incident_id])


def write_incident(incident_id: str, path: str | os.PathLike[str]) -> int:
    """Write one incident's facts as JSON lines, for `converge run --facts`; return how many there are."""
    facts = facts_of(incident_id)
    write_facts(path, facts)
    return len(facts)


def folder() -> Path:
    """Return where the data set is looked for."""
    return Path(os.environ.get("CONVERGE_DATA") or BESIDE) / "petshop_rca"


def table(path: Path) -> Iterator[Row]:
    """Yield the rows of a table by column name. Raises DataMissing."""
    if not path.is_file():
        raise DataMissing(path)
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)


@cache
def _incidents(where: Path) -> dict[str, Incident]:
    return {row["id"]: _incident(row) for row in table(where / "issues.tsv")}


@cache
def _calls(where: Path, traffic: str) -> tuple[Calls, ...]:
    return tuple(Calls(row["row"], row["col"]) for row in table(where / f"{traffic}_graph.tsv"))


@cache
def _metric_rows(where: Path) -> dict[str, tuple[MetricRow, ...]]:
    rows = sorted(table(where / "issue_node_features.tsv"), key=lambda row: row["issue"])
    groups = groupby(rows, key=lambda row: row["issue"])
    return {incident_id: tuple(map(_metric_row, group)) for incident_id, group in groups}


def _incident(row: Row) -> Incident:
    return Incident(
        target=row["target_node"],
        metric=cast(Metric, row["metric"]),  # the kind checks it, here and below
        statistic=row["agg"],
        at=int(row["timestamp"]),
    )


def _metric_row(row: Row) -> MetricRow:
    return MetricRow(
        node=row["node"],
        metric=cast(Metric, row["metric"]),
        statistic=row["stat"],
        readings=int(row["n"]),
        mean=float(row["mean"]),
        highest=float(row["max"]),
        lowest=float(row["min"]),
        base_mean=_known(row["base_mean"]),
        base_std=_known(row["base_std"]),
        base_median=_known(row["base_median"]),
        base_mad=_known(row["base_mad"]),
    )


def _known(cell: str) -> float | None:
    """Return the number in a cell; None for an empty one and for NaN, which no fact may hold."""
    number = float(cell or "nan")
    return number if math.isfinite(number) else None
