"""What a stored job was begun with, compared with what somebody says it was."""

__all__ = ["check_begun"]

from collections.abc import Iterable

from converge.errors import FactsMismatch, IntentMismatch
from converge.fact import Fact, id_of
from converge.intent import RootIntent
from converge.ports import StoredJob
from converge.restore import given_to, restore
from converge.wiring import Wiring


def check_begun(stored: StoredJob, wiring: Wiring, intent: RootIntent, facts: Iterable[Fact]) -> None:
    """Raise IntentMismatch or FactsMismatch unless a job, as it was after its first cycle, was begun with these."""
    known = restore(stored, None)
    if id_of(known.context.intent) != id_of(intent):
        raise IntentMismatch(stored.header.job_id, known.context.intent.objective, intent.objective)
    given, before = ({id_of(fact): fact for fact in some} for some in (facts, given_to(stored, wiring.kinds, known)))
    for some, others in ((given, before), (before, given)):
        if differing := sorted(some.keys() - others.keys()):
            raise FactsMismatch(stored.header.job_id, some[differing[0]], given=some is given)
