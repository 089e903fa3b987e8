"""A job as a store keeps it, read without the classes of its kinds: every fact is plain JSON."""

__all__ = ["StoredFact", "facts_of", "last_stop", "load_job"]

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic_core import from_json

from converge.cli.place import reading
from converge.context import Context
from converge.fact import Fact, Failure, Invalidation, Violation, id_of, identified, kind_of
from converge.liveness import DEAD, DISPUTED, LIVE
from converge.restore import restore
from converge.snapshot import Snapshot
from converge.trace import JobStopped, Trace


class StoredFact(NamedTuple):
    """One fact: its id and kind, how it stands, the round it was derived in, who states it, and its content.

    `agents` is empty for a fact that was only given from outside; `label` is live, dead or disputed.
    """

    id: str
    kind: str
    label: str
    round: int
    agents: tuple[str, ...]
    fact: dict[str, Any]


async def load_job(address: str, job_id: str) -> Snapshot:
    """Return a job of the store at an address. Raises JobUnknown, or an OperatorError of the store."""
    async with reading(address) as store:
        return restore(await store.load(job_id), None)


def facts_of(context: Context) -> Iterator[StoredFact]:
    """Iterate over all facts but the root intent, in the order they were merged."""
    for position, fact in enumerate(context.facts[1:], start=1):
        label = context.label(position, context.highest)
        agents = {context.supports.sources[support.source].agent for support in context.supports_of(position)}
        kind = kind_of(fact).label
        named = tuple(sorted(filter(None, agents)))
        yield StoredFact(id_of(fact), kind, _LABELS[label], context.rounds[position], named, _content(fact))


def last_stop(trace: Trace) -> JobStopped | None:
    """Return how the job stopped; None while it runs, and where it was interrupted."""
    last = trace[-1] if trace else None
    return last if isinstance(last, JobStopped) else None


_LABELS = {LIVE: "live", DEAD: "dead", DISPUTED: "disputed"}


def _content(fact: Fact) -> dict[str, Any]:
    """Return a fact's JSON. A fact read as plain JSON holds it; those of the runtime's own kinds are themselves."""
    if isinstance(fact, (Invalidation, Failure, Violation)):
        return from_json(identified(fact)[2])  # type: ignore[no-any-return]
    return fact.content  # type: ignore[attr-defined, no-any-return]
