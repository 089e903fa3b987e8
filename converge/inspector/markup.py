"""Markup by construction: whatever is not an element is text, so nothing that facts or models say can be markup.

`tag("a", fact.text, href=url)` escapes both. Only `Verbatim` is not escaped: this package's own files.
"""

__all__ = ["Element", "Node", "Verbatim", "legible", "render", "tag"]

from collections.abc import Iterator
from html import escape
from typing import NamedTuple, TypeAlias


class Verbatim(str):
    """A text of our own that goes onto a page as it is: a style, never data."""


class Element(NamedTuple):
    """An element with its attributes and what stands in it."""

    name: str
    attributes: dict[str, str | int | float | bool | None]
    children: tuple["Node", ...]


Node: TypeAlias = "Element | str | int | list[Node] | tuple[Node, ...] | None"


def tag(name: str, /, *children: Node, **attributes: str | int | float | bool | None) -> Element:
    """Return an element. Of an attribute's name, `_` is `-` and a last `_` is dropped; None and False leave it out."""
    return Element(name, attributes, children)


def render(node: Node) -> str:
    """Return a node as HTML."""
    return "".join(_parts(node))


def legible(text: str) -> str:
    """Return a text without what no page may hold, such as a zero byte or half of a character."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode() for sign in text
    )


_VOID = frozenset({"br", "hr", "input", "link", "meta"})


def _parts(node: Node) -> Iterator[str]:
    waiting: list[Node] = [node]  # no recursion: a proof may be as deep as it likes
    while waiting:
        item = waiting.pop()
        if item is None:
            continue
        if isinstance(item, Verbatim):
            yield item
        elif isinstance(item, Element):
            yield f"<{item.name}{''.join(_attributes(item))}>"
            if item.name not in _VOID:
                waiting += [Verbatim(f"</{item.name}>"), *reversed(item.children)]
        elif isinstance(item, list | tuple):
            waiting += reversed(item)
        else:
            yield escape(legible(str(item)), quote=False)


def _attributes(element: Element) -> Iterator[str]:
    for name, value in element.attributes.items():
        if value is None or value is False:
            continue
        written = name.rstrip("_").replace("_", "-")
        yield f" {written}" if value is True else f' {written}="{escape(legible(str(value)))}"'
