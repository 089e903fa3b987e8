"""A fact as data: its id, its kind and its content, whether it was read with its class or as plain JSON."""

__all__ = ["LABELS", "content_of", "data_of", "described", "label_of"]

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
    """Return what a fact says, in one line: its fields, without its kind."""
    return ", ".join(f"{name}={value!r}" for name, value in content_of(fact).items())


def label_of(context: Context, place: int, upto: int) -> str:
    """Return how the fact at a position stands in a round: live, dead or disputed."""
    return LABELS[context.label(place, upto)]
