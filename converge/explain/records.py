"""Facts as records: plain dictionaries, all with the same names, as tables of other libraries take them."""

__all__ = ["records"]

import json
from collections.abc import Iterator
from typing import Any

from converge.context import Context
from converge.explain.content import content_of, label_of
from converge.fact import Fact, id_of, kind_of
from converge.support import OUTSIDE


def records(context: Context, kind: str | None = None) -> list[dict[str, Any]]:
    """Return facts in the order of their kinds and ids, all but the root intent, or those of one kind.

    Each has `fact_id`, `fact_kind`, `fact_label` (live, dead or disputed), `fact_round` and `fact_agents` (a list that
    is empty for what was given). Those of one kind have a column for each field; else `fact` is the content as JSON.
    """
    labels = sorted(context.kinds) if kind is None else [kind]
    logs = [context.kinds[label] for label in labels if label in context.kinds]
    facts = (fact for log in logs for fact in log.between(-1, context.highest))
    return [_record(context, fact, flat=kind is not None) for fact in facts if fact is not context.facts[0]]


def _record(context: Context, fact: Fact, *, flat: bool) -> dict[str, Any]:
    place, content = context.position[id_of(fact)], content_of(fact)
    record = {
        "fact_id": id_of(fact),
        "fact_kind": kind_of(fact).label,
        "fact_label": label_of(context, place, context.highest),
        "fact_round": context.rounds[place],
        "fact_agents": sorted(set(_agents(context, place))),
    }
    if not flat:
        return {**record, "fact": json.dumps(content, ensure_ascii=False)}
    return {**record, **{name: _cell(value) for name, value in content.items()}}


def _agents(context: Context, place: int) -> Iterator[str]:
    for support in context.supports_of(place):
        source = context.supports.sources[support.source]
        if source != OUTSIDE:
            yield source.agent


def _cell(value: Any) -> Any:
    """Return what a table takes as one value: an object has other names in every row, so it stands as JSON text."""
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value)):
        return json.dumps(value, ensure_ascii=False)
    return value
