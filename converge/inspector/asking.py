"""What a job asks people: each request with what it is about, and a form that approves, rejects or refines it."""

__all__ = ["decision_of", "request_forms"]

import json
from collections.abc import Mapping, Sequence
from typing import Any

from converge.deciding import Asked
from converge.errors import DecisionInvalid
from converge.explain.content import content_of
from converge.fact import Fact, id_of, kind_of
from converge.inspector.links import Links
from converge.inspector.markup import Element, Node, tag
from converge.inspector.reading import Reading
from converge.inspector.words import fields, section
from converge.proposal import proposed_label

_FIELD = "field "  # before the name of a field of what is proposed


def request_forms(links: Links, reading: Reading, asked: Sequence[Asked], posted: frozenset[str], csrf: str) -> Node:
    """Return the part of a job's page with what is to be decided; `posted`: requests whose decision is on its way."""
    if not asked:
        return None
    forms = [_on_its_way(one) if one.id in posted else _form(links, reading, one, csrf) for one in asked]
    return section("To be decided", *forms, name="decide", note=f"{len(asked):,}")


def _on_its_way(one: Asked) -> Element:
    text = "is decided; the decision is merged when the job next goes on"
    return tag("p", tag("b", proposed_label(kind_of(one.proposal)), class_="kind"), f" {text}", class_="notice")


def _form(links: Links, reading: Reading, one: Asked, csrf: str) -> Element:
    kind, content = proposed_label(kind_of(one.proposal)), _content(one)
    sure = "" if one.confidence is None else f", {one.confidence:.0%} sure"
    digits = one.id.rpartition(":")[2]
    return tag(
        "form",
        tag("h3", tag("b", kind, class_="kind"), tag("small", f"{one.role} is asked by {one.by}{sure}")),
        fields(content),
        tag("p", tag("a", "Why is this proposed?", href=links.fact(reading.job_id, id_of(one.proposal)), class_="ask")),
        tag("input", type="hidden", name="csrf", value=csrf),
        tag("input", type="hidden", name="request", value=one.id),
        tag(
            "div",
            tag("label", "Your name", tag("input", name="by", required=True, autocomplete="name")),
            tag("label", "Reason", tag("input", name="reason", autocomplete="off")),
            class_="said",
        ),
        tag(
            "details",
            tag("summary", "Refine it"),
            tag("p", "Change what is to be believed instead, then choose “Approve with changes”.", class_="dim"),
            *[_field(digits, name, value) for name, value in content.items()],
            tag("button", "Approve with changes", name="choice", value="refine"),
            class_="refine",
        ),
        tag(
            "p",
            tag("button", "Approve", name="choice", value="approve", class_="yes"),
            tag("button", "Reject", name="choice", value="reject", class_="no"),
            class_="actions",
        ),
        method="post",
        action=links.job(reading.job_id, "decide"),
        class_="request",
        aria_label=f"decide on {kind}",
    )


def _field(digits: str, name: str, value: Any) -> Element:
    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    about = f"f-{digits}-{name}"
    box = (
        tag("textarea", written, name=_FIELD + name, id=about, rows=3)
        if len(written) > 80 or "\n" in written
        else tag("input", name=_FIELD + name, id=about, value=written, autocomplete="off")
    )
    return tag("div", tag("label", name, for_=about), box, class_="row")


def _content(one: Asked) -> dict[str, Any]:
    fact = one.fact
    return content_of(fact) if isinstance(fact, Fact) else dict(fact)


def decision_of(form: Mapping[str, str], asked: Sequence[Asked]) -> tuple[str, dict[str, Any]]:
    """Return the request that a form is about, and the content of the decision. Raises DecisionInvalid."""
    request, choice = form.get("request", ""), form.get("choice", "")
    content: dict[str, Any] = {"choice": choice, "by": form.get("by", "").strip(), "reason": form.get("reason", "")}
    if choice not in ("approve", "reject", "refine"):
        raise DecisionInvalid("choose one of approve, reject and refine")
    if choice == "refine":
        content["changes"] = _changes(form, next((_content(one) for one in asked if one.id == request), {}))
    return request, content


def _changes(form: Mapping[str, str], content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that were written anew: text where there was text, and JSON where there was not."""
    changes = {}
    for name, value in content.items():
        written = form.get(_FIELD + name)
        if written is None:
            continue
        new = written.replace("\r\n", "\n") if isinstance(value, str) else _read(name, written)
        if new != value:
            changes[name] = new
    if not changes:
        raise DecisionInvalid("nothing was changed: change a field, or approve it as it is")
    return changes


def _read(name: str, written: str) -> Any:
    try:
        return json.loads(written)
    except ValueError as error:
        raise DecisionInvalid(f'{name}: {written!r:.80} is not JSON, as 3, true or ["a"] are') from error
