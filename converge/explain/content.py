"""A fact as data: its id, its kind and its content, whether it was read with its class or as plain JSON."""

__all__ = ["LABELS", "content_of", "data_of", "described", "label_of"]

import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from converge.context import Context
from converge.fact import Fact, id_of, identified, kind_of
from converge.liveness import DEAD, DISPUTED, LIVE
from converge.stored_kinds import is_plain

LABELS = {LIVE: "live", DEAD: "dead", DISPUTED: "disputed"}


def content_of(fact: Fact) -> dict[str, Any]:
    """Return a fact's JSON."""
    content: dict[str, Any] = fact.content if is_plain(fact) else from_json(identified(fact)[2])  # type: ignore[attr-defined]
    return content


def data_of(fact: Fact) -> dict[str, Any]:
    """Return a fact as JSON data: {"id", "kind": text, "fact": object}."""
    return {"id": id_of(fact), "kind": kind_of(fact).label, "fact": content_of(fact)}


def described(fact: Fact) -> str:
    """Return what a fact says, in one line: its fields as declared, without its kind; ids are shortened."""
    content = content_of(fact)
    if kind_of(fact).label.startswith("Proposal.") and isinstance(content.get("fact"), dict):
        sure = "" if content["confidence"] is None else f", {content['confidence']:.0%} sure"
        return f"{_said(content['fact'])} (by {content['by']}{sure})"
    names = content if is_plain(fact) else [name for name in type(fact).__dataclass_fields__ if name in content]
    return _said({name: content[name] for name in names})


def _said(content: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_short(value)!r}" for name, value in content.items())


def _short(value: Any) -> Any:
    return value[:-_HIDDEN] if isinstance(value, str) and _ID.fullmatch(value) else value


_ID = re.compile(r"[\w.@-]+:[0-9a-f]{32}")
_HIDDEN = 24  # digits of an id that nobody needs to tell facts apart


def label_of(context: Context, place: int, upto: int) -> str:
    """Return how the fact at a position stands in a round: live, dead or disputed."""
    return LABELS[context.label(place, upto)]
