"""What a finished activation said, as a capture: kept where it must wait before it can be merged, and found again.

It is found by what the activation was shown, so that one that is begun once more on the same view need not run.
"""

__all__ = ["recall", "remark"]

import json
from typing import Any

from pydantic_core import from_json

from converge.agent import Agent
from converge.capture import Captures
from converge.context import Context
from converge.effect import Effect, Emission, Given, Range
from converge.errors import FactInvalid
from converge.fact import Fact, Invalidation, id_of, identified, kind_of
from converge.view import View


def remark(effect: Effect, context: Context) -> str:
    """Return an effect as JSON, in which facts are named by id: positions are those of one context."""
    given = effect.given or Given()
    picks = [id_of(context.facts[place]) for place in given.picks]
    emissions = [[one.fact_id, from_json(one.body), one.evidence] for one in effect.emissions]
    return json.dumps({"emissions": emissions, "ranges": given.ranges, "picks": picks}, ensure_ascii=False)


def recall(agent: Agent, view: View, context: Context, captures: Captures) -> Effect | None:
    """Return what an agent said on a view before; None if it never did, or its kinds do not take that any more."""
    if agent.name not in captures.said or not captures.knows(question := view.saying()):
        return None
    said = captures.answer(question)
    try:
        emissions = tuple(_emission(agent, *one) for one in said["emissions"])
    except (FactInvalid, LookupError):
        return None
    picks = tuple(context.position[fact_id] for fact_id in said["picks"])
    given = Given(tuple(Range(*part) for part in said["ranges"]), picks)
    return Effect(agent.source, view.round, emissions, None if given == Given() else given)


def _emission(agent: Agent, fact_id: str, content: Any, evidence: list[str] | None) -> Emission:
    classes: list[type[Fact]] = [*agent.states, Invalidation]
    kinds = {kind_of(cls).label: kind_of(cls) for cls in classes}
    canonical, found, body = identified(kinds[fact_id.rpartition(":")[0]].load(content))
    if found != fact_id or (isinstance(canonical, Invalidation) and not _may_mark(agent, canonical)):
        raise LookupError(fact_id)
    return Emission(canonical, fact_id, body, None if evidence is None else tuple(evidence))


def _may_mark(agent: Agent, marker: Invalidation) -> bool:
    return marker.target.rpartition(":")[0] in agent.invalidated
