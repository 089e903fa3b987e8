"""A job as a store keeps it, read without the classes of its kinds: every fact is plain JSON."""

__all__ = ["Cycle", "StoredFact", "facts_of", "last_stop", "load_job", "unknown_kind"]

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Annotated, Any, NamedTuple

import typer
from pydantic_core import from_json

from converge.cli.place import reading
from converge.cli.usage import OptionInvalid
from converge.context import Context
from converge.fact import Fact, id_of, identified, kind_of
from converge.liveness import DEAD, DISPUTED, LIVE
from converge.restore import restore
from converge.snapshot import Snapshot
from converge.stored_kinds import BUILT_IN
from converge.trace import JobStopped, Trace

Cycle = Annotated[int | None, typer.Option("--cycle", metavar="N", help="The job as it stood when cycle N was done.")]


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


async def load_job(address: str, job_id: str, cycle: int | None = None) -> Snapshot:
    """Return a job of the store at an address, or what it was when `cycle` was complete.

    Raises JobUnknown, CycleUnknown, or an OperatorError of the store.
    """
    async with reading(address) as store:
        return restore(await store.load(job_id, cycle), None)


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


def unknown_kind(kind: str, kinds: Iterable[str]) -> OptionInvalid:
    """Return the error for a kind that none of a job's facts has."""
    known = sorted({*kinds})
    near = get_close_matches(kind, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known) or 'no facts at all'}"
    return OptionInvalid("--kind", f"the job has no fact of kind {kind!r}: {hint}")


_LABELS = {LIVE: "live", DEAD: "dead", DISPUTED: "disputed"}


def _content(fact: Fact) -> dict[str, Any]:
    """Return a fact's JSON. A fact read as plain JSON holds it; those of the runtime's own kinds are themselves."""
    if kind_of(fact).label in BUILT_IN:
        return from_json(identified(fact)[2])  # type: ignore[no-any-return]
    return fact.content  # type: ignore[attr-defined, no-any-return]
