"""What a job asks people, on stdout: as text, or as JSON data."""

__all__ = ["asked_data", "content_of", "short", "show_asked"]

from typing import Any

from pydantic_core import from_json
from rich.console import Console

from converge.cli.console import as_line, one_line, write_line
from converge.deciding import Asked
from converge.fact import Fact, identified, kind_of
from converge.proposal import proposed_label


def asked_data(one: Asked) -> dict[str, Any]:
    """Return what is asked as JSON data.

    {"request", "role", "kind", "by": text, "confidence": float | null, "fact": object}
    """
    kind, fact = proposed_label(kind_of(one.proposal)), one.fact
    content = content_of(fact) if isinstance(fact, Fact) else fact
    told = {"request": one.id, "role": one.role, "kind": kind, "by": one.by}
    return {**told, "confidence": one.confidence, "fact": content}


def show_asked(console: Console, one: Asked) -> None:
    """Print what is asked: who is, by whom, and about what."""
    told = asked_data(one)
    sure = "" if one.confidence is None else f", {one.confidence:.0%} sure"
    who = f"  {one_line(one.role)} is asked by {one_line(one.by)}{sure}"
    write_line(console, "  ", (short(one.id), "bold"), who)
    write_line(console, "    ", (told["kind"], "bold"), " ", as_line(told["fact"]))


def short(request: str) -> str:
    """Return the first digits of an id, which name it in a command."""
    return request.rpartition(":")[2][:8]


def content_of(fact: Fact) -> dict[str, Any]:
    """Return a fact's JSON."""
    return from_json(identified(fact)[2])  # type: ignore[no-any-return]
