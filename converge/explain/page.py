"""An outline as HTML: a tree that folds, in one page without scripts that loads nothing from anywhere.

Everything that facts, agents and models said is escaped, and a policy in the page forbids the rest.
"""

__all__ = ["fragment", "page"]

from collections.abc import Iterator
from html import escape

from converge.explain.outline import Line, Outline, one_line, unfolded

_OPEN = 3  # levels that are unfolded at first


def page(outline: Outline, most: int = 2_000) -> str:
    """Return a whole page of at most so many lines."""
    title = escape(one_line(outline.text))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{_POLICY}\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"</head>\n<body>\n{fragment(outline, most)}\n</body>\n</html>\n"
    )


def fragment(outline: Outline, most: int = 200) -> str:
    """Return a part of a page, with its own style, of at most so many lines."""
    return f'<div class="converge-explained">{_STYLE}{"".join(_folded(unfolded(outline, most)))}</div>'


_POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">"
)
_STYLE = """<style>
.converge-explained { font: 14px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; max-width: 72rem; }
.converge-explained details, .converge-explained .leaf { margin-left: 1.1rem; overflow-wrap: anywhere; }
.converge-explained > details, .converge-explained > .leaf { margin-left: 0; }
.converge-explained summary { cursor: pointer; }
.converge-explained .leaf { padding-left: .95rem; }
.converge-explained .note { margin-left: 2.1rem; opacity: .75; }
.converge-explained pre { margin: .2rem 0 .4rem 2.1rem; padding: .4rem .6rem; border-left: 3px solid #8886;
  white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; }
.converge-explained .kind, .converge-explained .strong { font-weight: 600; }
.converge-explained .agent { color: #37c; }
.converge-explained .dim { opacity: .65; }
.converge-explained .live { color: #197a4b; }
.converge-explained .dead { color: #b3261e; }
.converge-explained .disputed, .converge-explained .warn { color: #9a6700; }
.converge-explained .money { color: #7a3e9d; }
@media (prefers-color-scheme: dark) {
  .converge-explained .agent { color: #8ab4f8; }
  .converge-explained .live { color: #6dd58c; }
  .converge-explained .dead { color: #f2867d; }
  .converge-explained .disputed, .converge-explained .warn { color: #e8b339; }
  .converge-explained .money { color: #cf9df0; }
}
</style>"""


def _folded(root: Outline) -> Iterator[str]:
    waiting: list[tuple[Outline | str, int]] = [(root, 0)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            yield item
            continue
        parts = item.parts()
        inner = "".join(_inner(item))
        if not (parts or inner or item.hidden):
            yield f'<div class="leaf">{_line(item)}</div>\n'
            continue
        is_open = depth < _OPEN and not item.folded
        yield f"<details{' open' if is_open else ''}><summary>{_line(item)}</summary>{inner}\n"
        more = f'<div class="leaf dim">{item.hidden:,} more</div>\n' if item.hidden else ""
        waiting.append((f"{more}</details>\n", depth))
        waiting += [(part, depth + 1) for part in reversed(parts)]


def _line(outline: Outline) -> str:
    again = '<span class="dim">see above: </span>' if outline.again else ""
    return again + _spans(outline.line)


def _spans(line: Line) -> str:
    return "".join(
        f'<span class="{span.role}">{escape(span.text)}</span>' if span.role else escape(span.text) for span in line
    )


def _inner(outline: Outline) -> Iterator[str]:
    for note in outline.notes:
        yield f'<div class="note">{_spans(note)}</div>'
    for block in outline.blocks:
        shown = f"<summary>{escape(block.title)}</summary><pre>{escape(_legible(block.text))}</pre>"
        yield f'<details class="block">{shown}</details>'


def _legible(text: str) -> str:
    """Return a text without what no page may hold, such as a zero byte or half of a character."""
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode() for sign in text
    )
