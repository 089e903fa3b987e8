"""A person's decision on what a job asks, given to it from any process: checked against what is stored, then posted."""

__all__ = ["decision_on", "is_decided", "post"]

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from pydantic_core import from_json

from converge.deciding import asked, check_decision, refusals
from converge.errors import DecisionInvalid, RequestStale, RequestUnknown
from converge.fact import Fact, id_of, kind_of
from converge.kind import Kind
from converge.lease import is_gone
from converge.letter import written
from converge.ports import Letter, Store
from converge.proposal import Decision, Request
from converge.reading import read
from converge.restore import restore
from converge.view import UNRESTRICTED, View


async def decision_on(
    store: Store, job_id: str, request: str, kinds: Mapping[str, Kind] | None, content: Mapping[str, Any]
) -> Decision:
    """Return the decision with this content on a request, named by its id or the first digits of it.

    `kinds` by label; without them it is not checked whether changes fit. Raises RequestUnknown, RequestStale,
    DecisionInvalid or JobUnknown.
    """
    snapshot = await read(await store.load(job_id), partial(restore, kinds=kinds))
    view = View(snapshot.context, snapshot.context.highest, UNRESTRICTED)
    found = _found(view, job_id, request)
    decision: Decision = kind_of(Decision).load({"request": id_of(found), **content})
    _refuse_stale(view, job_id, found)
    if view.knows(id_of(decision)):  # and is not live, or the request would be decided
        raise DecisionInvalid(
            f"{decision.by} has decided so before, in the same words, and that does not hold any more: "
            "say in reason= why it does now"
        )
    for letter in await store.letters(job_id, snapshot.letter):
        _refuse_if_posted(letter, job_id, id_of(found))
    check_decision(view, decision, job_id)
    return decision


async def post(store: Store, job_id: str, at: float, facts: Iterable[Fact]) -> bool:
    """Give facts to a job by letter; return whether somebody is running it now."""
    await store.give(job_id, at, written(facts))
    lease = await store.holder(job_id, at)
    return lease is not None and not is_gone(lease.holder)


async def is_decided(store: Store, job_id: str, content: Mapping[str, Any]) -> bool:
    """Whether just this decision was given to the job by letter; `content` names all its fields."""
    return any(decision == content for letter in await store.letters(job_id, 0) for decision in _decisions(letter))


def _found(view: View, job_id: str, request: str) -> Request:
    digits = request.rpartition(":")[2]
    requests = {id_of(one).rpartition(":")[2]: one for one in view.all(Request)}
    if digits in requests:
        return requests[digits]
    fitting = [one for name, one in requests.items() if name.startswith(digits) and len(digits) >= _LEAST]
    if len(fitting) > 1:
        raise DecisionInvalid(f"{request!r} may be {' or '.join(map(id_of, fitting))}: name one of them")
    if not fitting:
        raise RequestUnknown(job_id, request, [one.id for one in asked(view)])
    return fitting[0]


_LEAST = 4  # digits that an id may be shortened to


def _refuse_stale(view: View, job_id: str, request: Request) -> None:
    name = id_of(request)
    if decided := view.live(Decision, name):
        raise RequestStale(job_id, name, f"{decided[0].by} has decided: {decided[0].choice}")
    if not view.is_live(request):
        raise RequestStale(job_id, name, "what it is about does not hold any more")
    if refusal := refusals(view).get(request.proposal):
        raise RequestStale(job_id, name, f"what it is about is refused: {refusal.reason}")


def _refuse_if_posted(letter: Letter, job_id: str, request: str) -> None:
    """Refuse a second decision while the first one waits to be merged."""
    for content in _decisions(letter):
        if content["request"] == request:
            reason = f"{content['by']} has decided ({content['choice']}), which is merged when the job next goes on"
            raise RequestStale(job_id, request, reason)


def _decisions(letter: Letter) -> list[Any]:
    """Return the content of each decision in a letter; of one that is none of ours, which no job can take, nothing."""
    label = kind_of(Decision).label
    try:
        facts = from_json(letter.body)["facts"]
        found = [content for fact_id, content in facts if fact_id.startswith(f"{label}:")]
        return [content for content in found if content.keys() >= {"request", "by", "choice"}]
    except (AttributeError, LookupError, TypeError, ValueError):
        return []
