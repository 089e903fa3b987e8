"""The facts a stored job was started with, as opposed to those it was given later."""

__all__ = ["check_premises", "intent_of", "started_with"]

from collections.abc import Iterable, Mapping

from pydantic_core import from_json

from converge.errors import IntentMismatch, PremiseMismatch
from converge.fact import Fact, id_of, kind_of
from converge.intent import RootIntent
from converge.kind import Kind
from converge.ports import StoredJob
from converge.stored_kinds import STATED, StoredKinds


def intent_of(stored: StoredJob) -> RootIntent:
    """Return the root intent of a stored job; its budget is that of every intent which names none."""
    intent: RootIntent = kind_of(RootIntent).load(from_json(stored.header.intent))
    return intent


def started_with(stored: StoredJob, kinds: Mapping[str, Kind]) -> list[Fact]:
    """Return the facts, as the kinds are today. Raises StoredFactInvalid."""
    first = from_json(stored.bodies[0]) if stored.bodies else {}  # the row a job begins with holds nothing else
    rows = [(fact_id, content) for fact_id, _, content in first.get("facts", ()) if not fact_id.startswith(_STATED)]
    contents = dict(rows)
    known = StoredKinds(stored.header.job_id, kinds, lambda: contents)
    return known.facts([*contents], [*contents.values()])


_STATED = tuple(f"{kind_of(cls).label}:" for cls in STATED)


def check_premises(stored: StoredJob, kinds: Mapping[str, Kind], intent: RootIntent, facts: Iterable[Fact]) -> None:
    """Refuse what a job was not started with. Raises IntentMismatch, PremiseMismatch or StoredFactInvalid."""
    known, job_id = intent_of(stored), stored.header.job_id
    if id_of(intent) != id_of(known):
        raise IntentMismatch(job_id, known.objective, intent.objective)
    before, now = ({id_of(fact) for fact in several} for several in (started_with(stored, kinds), facts))
    if other := sorted(before ^ now):
        raise PremiseMismatch(job_id, other[0], given=other[0] in now)
