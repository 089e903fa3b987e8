"""An outline: what an answer says, as a tree of short lines; all that a renderer has to know.

A line is made of parts, each a text with a role, and may carry longer texts, such as a prompt. Whatever comes from
facts and models is one line of printable characters here, or a text block that a renderer has to escape.
"""

__all__ = ["Block", "Line", "Outline", "Role", "Shown", "Span", "clipped", "one_line", "unfolded"]

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

Role = Literal["", "kind", "agent", "live", "dead", "disputed", "dim", "strong", "money", "warn"]


class Span(NamedTuple):
    """A piece of a line, and what it is."""

    text: str
    role: Role = ""


class Block(NamedTuple):
    """A text of many lines with a title: a prompt, a raw answer."""

    title: str
    text: str


Line = tuple[Span, ...]


@dataclass(frozen=True)
class Outline:
    """A line, what is said under it, and what stands below; `parts` is called when somebody looks.

    ref: what it is about; an outline that comes again under the same ref is not unfolded again. tall: how many rows it
    may take where lines are short. folded: it is not unfolded unless all is wanted. hidden: how many parts were left
    out by `unfolded`.
    """

    line: Line
    notes: tuple[Line, ...] = ()
    blocks: tuple[Block, ...] = ()
    parts: Callable[[], "Sequence[Outline]"] = field(default=tuple)
    ref: str = ""
    tall: int = 1
    folded: bool = False
    again: bool = False
    hidden: int = 0

    @property
    def text(self) -> str:
        """The line without its roles."""
        return "".join(span.text for span in self.line)


class Shown:
    """An answer that has an outline, and with it every face: `print(answer)`, `mermaid()`, `html()`, notebooks."""

    def outline(self) -> Outline:
        """Return what it says."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON data; docs/explaining.schema.json has its shape."""
        raise NotImplementedError

    def text(self, most: int | None = None, width: int | None = None) -> str:
        """Return it as text of at most so many lines, where anything can be left out, and columns."""
        from converge.explain.text import lines

        return "\n".join(lines(self.outline(), most=most, width=width))

    def __str__(self) -> str:
        return self.text(_MOST)

    def mermaid(self, most: int = 200) -> str:
        """Return it as a Mermaid flowchart of at most so many boxes."""
        from converge.explain.flowchart import flowchart

        return flowchart(self.outline(), most)

    def html(self, most: int = 2_000) -> str:
        """Return it as one HTML page that loads nothing from anywhere."""
        from converge.explain.page import page

        return page(self.outline(), most)

    def _repr_html_(self) -> str:
        """Return it as a notebook shows it."""
        from converge.explain.page import fragment

        return fragment(self.outline(), 200)


_WIDE = 8
_MOST = 2_000  # lines of a text that nobody has limited


def unfolded(root: Outline, most: int | None = None, *, folds: bool = False) -> Outline:
    """Return an outline whose parts are there, at most so many in all: first those that are nearest to the root.

    folds: what is folded stays so.
    """
    tree = _Unfolding(root, None)
    tree.run(most, folds=folds)
    return tree.result()


class _Unfolding:
    """One node while a tree is unfolded breadth first."""

    def __init__(self, outline: Outline, seen: set[str] | None) -> None:
        self.outline, self.seen = outline, set[str]() if seen is None else seen
        self.children: list[_Unfolding] = []
        self.hidden = 0

    def run(self, most: int | None, *, folds: bool) -> None:
        """Unfold what there is room for."""
        # Whoever has very many parts leaves room for what stands beside it.
        room, wide, waiting = most, max(_WIDE, (most or 0) // 5), deque([self])
        while waiting:
            node = waiting.popleft()
            ref = node.outline.ref
            parts = node.outline.parts()
            if ref and ref in self.seen and parts:
                node.outline = replace(node.outline, again=True, blocks=(), notes=())
                continue
            self.seen.add(ref)
            if folds and node.outline.folded:
                node.hidden = len(parts)
                continue
            shown = parts if room is None else parts[: max(min(room, wide), 0)]
            if room is not None:
                if len(parts) - len(shown) == 1 and room:
                    shown = parts  # to say that one is left out takes as much room
                room -= len(shown)
            node.hidden = len(parts) - len(shown)
            node.children = [_Unfolding(part, self.seen) for part in shown]
            waiting.extend(node.children)

    def result(self) -> Outline:
        """Return the tree, from the leaves up: it may be thousands of levels deep."""
        made: dict[int, Outline] = {}
        order, waiting = [], [self]
        while waiting:
            node = waiting.pop()
            order.append(node)
            waiting += node.children
        for node in reversed(order):
            parts = tuple(made.pop(id(child)) for child in node.children)
            made[id(node)] = replace(node.outline, parts=_constant(parts), hidden=node.hidden)
        return made[id(self)]


def _constant(parts: tuple[Outline, ...]) -> Callable[[], tuple[Outline, ...]]:
    return lambda: parts


def one_line(text: object) -> str:
    """Return a text as one line of printable characters: nothing in it can steer a terminal."""
    words = " ".join(str(text).split())
    if words.isprintable():
        return words
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in words)


def clipped(text: str, most: int) -> str:
    """Return a text of at most so many characters."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
