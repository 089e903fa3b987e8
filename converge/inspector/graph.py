"""The provenance of a fact as boxes and arrows, for a page that lays them out: the steps nearest to it."""

__all__ = ["graph"]

from typing import Any

from converge.explain.content import LABELS
from converge.explain.explanation import Explanation
from converge.fact import id_of, kind_of
from converge.inspector.links import Links
from converge.inspector.reading import Reading
from converge.inspector.words import clipped_fact

_MOST, _ASKED = 400, 20_000  # steps; characters of a prompt or an answer


def graph(links: Links, reading: Reading, proof: Explanation, most: int = _MOST) -> dict[str, Any]:
    """Return at most so many steps, the root first.

    {"root": id, "complete": bool, "nodes": [{"id", "kind", "text", "agent": text | null, "round": int, "label", "href",
    "because": [id], "more": int, "calls": [{"who", "prompt": [{"role", "text"}], "answer"}]}]}
    """
    steps, seen = [proof], {id_of(proof.fact)}
    for step in steps:
        for reason in step.because[:most]:
            if len(steps) < most and id_of(reason.fact) not in seen:
                seen.add(id_of(reason.fact))
                steps.append(reason)
    nodes = [_node(links, reading, step, seen) for step in steps]
    return {"root": id_of(proof.fact), "complete": all(node["more"] == 0 for node in nodes), "nodes": nodes}


def _node(links: Links, reading: Reading, step: Explanation, seen: set[str]) -> dict[str, Any]:
    context, fact = reading.job.context, step.fact
    place = context.position.get(id_of(fact))
    because = [id_of(reason.fact) for reason in step.because[:_MOST]]
    shown = [one for one in because if one in seen]
    return {
        "id": id_of(fact),
        "kind": kind_of(fact).label,
        "text": clipped_fact(fact),
        "agent": step.agent,
        "round": step.round,
        "label": LABELS[context.label(place, context.highest)] if place is not None else "live",
        "href": links.fact(reading.job_id, id_of(fact)),
        "because": shown,
        "more": len(step.because) - len(shown),
        "calls": [_call(call) for call in step.calls],
    }


def _call(call: Any) -> dict[str, Any]:
    prompt = [{"role": str(one.get("role")), "text": str(one.get("content"))[:_ASKED]} for one in call.prompt]
    answer = call.text or str(call.answer)
    return {"who": call.model or call.question.name, "prompt": prompt, "answer": answer[:_ASKED]}
