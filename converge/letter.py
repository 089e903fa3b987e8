"""Letters: facts for a job that somebody else may be running, kept in its store until whoever runs it merges them."""

__all__ = ["deliver", "written"]

import json
from collections.abc import Iterable
from typing import Any

from pydantic_core import from_json

from converge.errors import ConvergeError
from converge.fact import Fact, identified
from converge.machine import Machine
from converge.ports import Letter
from converge.stored_kinds import StoredKinds


def written(facts: Iterable[Fact]) -> str:
    """Return facts as the body of a letter."""
    rows = ((fact_id, from_json(body)) for _, fact_id, body in map(identified, facts))
    return json.dumps({"facts": [*rows]}, separators=(",", ":"), ensure_ascii=False)


def deliver(letter: Letter, machine: Machine, now: float) -> None:
    """Give a job the facts of a letter. One that it cannot take is left out, with a warning: the job goes on."""
    try:
        machine.arrive(letter.number, _read(letter, machine), now)
    except (ConvergeError, LookupError, TypeError, ValueError) as error:  # whoever wrote it may not be one of us
        machine.turn_away(letter.number, str(error))


def _read(letter: Letter, machine: Machine) -> list[Fact]:
    known = StoredKinds(machine.job.job_id, machine.wiring.kinds, lambda: dict(_facts(letter)), machine.job.renamed)
    return [known.fact(fact_id, content) for fact_id, content in _facts(letter)]


def _facts(letter: Letter) -> list[tuple[str, Any]]:
    return [(fact_id, content) for fact_id, content in from_json(letter.body)["facts"]]
