"""An answer's outline as a tree that folds; without a script, and without a style of its own."""

__all__ = ["branches", "tree"]

from converge.explain.outline import Line, Outline, clipped, unfolded
from converge.inspector.links import Links
from converge.inspector.markup import Element, Node, tag

_OPEN = 1  # levels that are unfolded at first
_LONG = 300  # characters of a line; what it is about is shown whole on a page of its own


def tree(outline: Outline, most: int = 400, to: tuple[Links, str] | None = None) -> Element:
    """Return a tree of at most so many lines; `to`: the job to whose facts its lines lead."""
    return tag("div", _folded(unfolded(outline, most), to), class_="tree")


def branches(outline: Outline, most: int = 400, to: tuple[Links, str] | None = None) -> Element:
    """Return what stands under an outline's line, where the page says that line already."""
    root = unfolded(outline, most)
    below: list[Node] = [_folded(part, to) for part in root.parts()]
    if root.hidden:
        below.append(tag("div", f"{root.hidden:,} more", class_="leaf dim"))
    return tag("div", *_said(root), *below, class_="tree")


def _folded(root: Outline, to: tuple[Links, str] | None) -> Node:
    """Build from the leaves up: a proof may be deeper than Python may recurse."""
    order, waiting = [], [(root, 0)]
    while waiting:
        outline, depth = waiting.pop()
        order.append((outline, depth, parts := outline.parts()))
        waiting += [(part, depth + 1) for part in reversed(parts)]
    made: list[Node] = []
    for outline, depth, parts in reversed(order):
        below = [made.pop() for _ in parts]
        made.append(_node(outline, depth, below, to))
    return made[0]


def _node(outline: Outline, depth: int, below: list[Node], to: tuple[Links, str] | None) -> Element:
    inner = [*_said(outline), *below]
    if outline.hidden:
        inner.append(tag("div", f"{outline.hidden:,} more", class_="leaf dim"))
    line = _line(outline, to)
    if not inner:
        return tag("div", line, class_="leaf")
    is_open = depth < _OPEN and not outline.folded
    return tag("details", tag("summary", line), *inner, open=is_open)


def _line(outline: Outline, to: tuple[Links, str] | None) -> list[Node]:
    spans = _spans(outline.line)
    again = tag("span", " see above", class_="dim") if outline.again else None
    if to is None or not outline.ref or " " in outline.ref:
        return [*spans, again]
    links, job_id = to
    return [*spans, again, " ", tag("a", "open", href=links.fact(job_id, outline.ref), class_="open")]


def _said(outline: Outline) -> list[Node]:
    notes: list[Node] = [tag("div", _spans(note), class_="note") for note in outline.notes]
    blocks = [
        tag("details", tag("summary", block.title), tag("pre", block.text, tabindex=0), class_="block")
        for block in outline.blocks
    ]
    return [*notes, *blocks]


def _spans(line: Line) -> list[Node]:
    made: list[Node] = []
    room = _LONG
    for span in line:
        if room <= 0:
            break
        text = clipped(span.text, room)
        made.append(tag("span", text, class_=span.role) if span.role else text)
        room -= len(text)
    return made
