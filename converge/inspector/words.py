"""How facts, figures and times are put on a page: in few words, all of it as text."""

__all__ = ["ago", "badge", "clipped_fact", "counted", "duration", "fact_line", "fields", "number", "section", "when"]

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from converge.explain.content import content_of
from converge.explain.outline import clipped, one_line
from converge.fact import Fact, kind_of
from converge.inspector.markup import Element, Node, tag
from converge.stored_kinds import is_plain

_LONG = 240  # characters of a fact in a list
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def number(value: float) -> str:
    """Return a figure, grouped by thousands; a broken one with four digits."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.4g}"


def counted(count: float, unit: str) -> str:
    """Return a count with its unit."""
    return f"{number(count)} {unit}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration in the largest unit that fits."""
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds * 1_000:.3g} ms"


def ago(seconds: float) -> str:
    """Return how long ago something was."""
    return "just now" if seconds < 1 else f"{int(seconds // _length(seconds))} {_unit(seconds)} ago"


def when(at: float, now: float) -> Element:
    """Return a moment: how long ago it was, and, for whoever points at it, when exactly."""
    exact = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    return tag("time", ago(max(now - at, 0)), datetime=exact, title=exact)


def badge(label: str) -> Element:
    """Return how a fact or a job stands, as a word that has a colour too."""
    return tag("span", label.replace("_", " "), class_=f"badge {label}")


def section(title: str, *children: Node, name: str, note: Node = None) -> Element:
    """Return a part of a page under its own heading."""
    heading = tag("h2", title, tag("small", note) if note else None, id=f"{name}-title")
    return tag("section", heading, *children, id=name, aria_labelledby=f"{name}-title")


def clipped_fact(fact: Fact) -> str:
    """Return what a fact says in one line, without its kind."""
    content = _content(fact)
    return clipped(", ".join(f"{name} {clipped(_short(value), _LONG)}" for name, value in content.items()), _LONG)


def fact_line(fact: Fact, href: str | None = None) -> list[Node]:
    """Return a fact in one line: its kind, which leads to it, and its fields."""
    kind = (
        tag("a", kind_of(fact).label, href=href, class_="kind")
        if href
        else tag("b", kind_of(fact).label, class_="kind")
    )
    said: list[Node] = []
    room = _LONG
    for name, value in _content(fact).items():
        if room <= 0:
            said.append(" …")
            break
        text = clipped(_short(value), room)
        room -= len(text) + len(name)
        said += [" ", tag("span", name, class_="field"), " ", tag("span", text, class_="value")]
    return [kind, *said]


def fields(content: Mapping[str, Any]) -> Element:
    """Return fields whole, one under the other; a long text scrolls."""
    pairs = [(tag("dt", name), tag("dd", _value(value))) for name, value in content.items()]
    return tag("dl", *chain.from_iterable(pairs), class_="fields")


def _value(value: Any) -> Node:
    if isinstance(value, list) and value and all(isinstance(one, str | int | float) for one in value):
        return tag("ul", *[tag("li", _text(one)) for one in value])
    text = _text(value)
    return (
        tag("div", text, class_="long", tabindex=0, role="region", aria_label="a long text")
        if len(text) > 1_000
        else text
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(value: Any) -> str:
    return one_line(_text(value)[: 4 * _LONG])


def _content(fact: Fact) -> dict[str, Any]:
    """Return a fact's fields: as declared, where that is known; of a proposal, of what is proposed."""
    content = content_of(fact)
    if kind_of(fact).label.startswith("Proposal.") and isinstance(content.get("fact"), dict):
        return {**content["fact"], "by": content["by"]}
    names = content if is_plain(fact) else [name for name in type(fact).__dataclass_fields__ if name in content]
    return {name: content[name] for name in names}


def _length(seconds: float) -> int:
    return next((length for _, length in _UNITS if seconds >= length), 1)


def _unit(seconds: float) -> str:
    return next((unit for unit, length in _UNITS if seconds >= length), "s")
