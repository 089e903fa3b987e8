"""An outcome as what goes back through Temporal: small, so that no limit on payloads is met."""

__all__ = ["told"]

from collections.abc import Iterable

from pydantic_core import from_json

from converge.deciding import Asked
from converge.fact import Fact, identified, kind_of
from converge.kind import Kind
from converge.outcome import Outcome
from converge.proposal import proposed_label
from converge.temporal.failure import refused
from converge.temporal.values import AskedLine, FactLine, JobOutcome

_MOST = 1_000_000  # bytes: Temporal takes two million, and retries what is more for ever


def told(outcome: Outcome, chosen: Iterable[Kind]) -> JobOutcome:
    """Return how a job stands, with its live facts of some kinds. Raises a failure where those are too many."""
    value = JobOutcome(
        job_id=outcome.job_id,
        stop=outcome.stop.reason.value,
        sentence=str(outcome.stop),
        digest=outcome.digest,
        live_digest=outcome.live_digest,
        proof_digest=outcome.proof_digest,
        cycles=outcome.cycles,
        spend=outcome.spend._asdict(),
        facts=tuple(line for kind in chosen for line in _live(outcome, kind.cls)),
        asked=tuple(map(_asked, outcome.asked)),
    )
    if (size := len(value.model_dump_json().encode())) > _MOST:
        sentence = (
            f"the outcome of job {outcome.job_id!r} has {size:,} bytes with what it asks and the chosen facts, and "
            f"{_MOST:,} is the limit: choose fewer kinds, and read the rest from the store"
        )
        raise refused("OutcomeTooLarge", sentence)
    return value


def _live(outcome: Outcome, kind: type[Fact]) -> Iterable[FactLine]:
    return map(FactLine.of, outcome.context.live(kind))


def _asked(one: Asked) -> AskedLine:
    proposed: Fact = one.fact
    return AskedLine(
        request=one.id,
        role=one.role,
        by=one.by,
        kind=proposed_label(kind_of(one.proposal)),
        fact=from_json(identified(proposed)[2]),
        confidence=one.confidence,
    )
