"""An outline as text: a tree of lines, for a terminal or a file."""

__all__ = ["lines", "spans"]

from collections.abc import Iterator, Sequence
from dataclasses import replace
from unicodedata import combining, east_asian_width

from converge.explain.outline import Block, Line, Outline, Span, one_line, unfolded


def lines(outline: Outline, *, most: int | None = None, width: int | None = None, blocks: bool = False) -> list[str]:
    """Return an outline as lines of text; see `spans`."""
    return [
        "".join(span.text for span in line).rstrip() for line in spans(outline, most=most, width=width, blocks=blocks)
    ]


def spans(
    outline: Outline, *, most: int | None = None, width: int | None = None, blocks: bool = False, whole: bool = False
) -> Iterator[Line]:
    """Yield an outline as lines whose parts keep their roles.

    most: how many outlines are unfolded, the nearest first. width: lines are wrapped there, and cut where they take
    more rows than they may, unless they are wanted `whole`. blocks: longer texts as well.
    """
    waiting: list[tuple[Outline | Line, str, str]] = [(unfolded(outline, most, folds=most is not None), "", "")]
    while waiting:
        item, first, rest = waiting.pop()
        if not isinstance(item, Outline):
            yield from _fitted(item, first, rest, width, 1)
            continue
        parts, tall = item.parts(), _UNLIMITED if whole else item.tall
        below = rest + ("│  " if parts or item.hidden else "   ")
        line = (Span("see above: ", "dim"), *item.line) if item.again else item.line
        if item.folded and item.hidden:
            line = (*line, Span(" …", "dim"))
            item = replace(item, hidden=0)
        yield from _fitted(line, first, below if parts or item.hidden else rest + "   ", width, tall)
        for note in item.notes:
            yield from _fitted(note, below, below, width, max(tall, _NOTE))
        if blocks:
            for block in item.blocks:
                yield from _block(block, below, width)
        waiting += reversed(_below(item, parts, rest))


_UNLIMITED, _NOTE = 1_000_000, 2  # rows


def _below(item: Outline, parts: Sequence[Outline], rest: str) -> list[tuple[Outline | Line, str, str]]:
    found: list[tuple[Outline | Line, str, str]] = [(part, rest + "├─ ", rest + "│  ") for part in parts]
    if item.hidden:
        more = f"and {item.hidden:,} more" if parts else f"{item.hidden:,} more below"
        found.append(((Span(more, "dim"),), rest + "└─ ", rest + "   "))
    elif parts:
        found[-1] = (parts[-1], rest + "└─ ", rest + "   ")
    return found


def _fitted(line: Line, first: str, rest: str, width: int | None, tall: int) -> Iterator[Line]:
    """Wrap a line between words, parts keeping their roles."""
    if width is None or len(first) + sum(_columns(span.text) for span in line) <= width:
        yield (Span(first, "dim"), *line)
        return
    room = max(width - max(len(first), len(rest)), 20)
    if tall == 1:
        yield (Span(first, "dim"), *_clipped(line, width - len(first)))
        return
    rows = _wrapped(line, room)
    if len(rows) > tall:
        rows = rows[:tall]
        rows[-1] = _ended(rows[-1], room)
    for number, row in enumerate(rows):
        yield (Span(rest if number else first, "dim"), *row)


def _wrapped(line: Line, room: int) -> list[Line]:
    rows: list[list[Span]] = [[]]
    left = room
    for word, role in _pieces(line, room):
        if _columns(word) > left and left < room:
            rows.append([])
            left = room
        fitting = word.lstrip() if left == room and len(rows) > 1 else word
        if fitting:
            rows[-1].append(Span(fitting, role))
            left -= _columns(fitting)
    return [tuple(row) for row in rows if row]


def _pieces(line: Line, room: int) -> Iterator[Span]:
    """Yield the words of a line with the spaces before them; what is wider than a row comes in pieces."""
    for span in line:
        for word in _words(span.text):
            rest = word
            while _columns(rest) > room:
                piece = _cut(rest, room)
                yield Span(piece, span.role)
                rest = rest[len(piece) :]
            yield Span(rest, span.role)


def _cut(text: str, room: int) -> str:
    """Return as much of a text as fits, one character at least."""
    if text.isascii():
        return text[: max(room, 1)]
    columns = 0
    for place, sign in enumerate(text):
        columns += _columns(sign)
        if columns > room:
            return text[: max(place, 1)]
    return text


def _columns(text: str) -> int:
    """Return how many columns a terminal takes for a text: two for a wide character, none for a mark on another."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def _words(text: str) -> Iterator[str]:
    """Yield words with the spaces before them."""
    start = 0
    for place in range(1, len(text)):
        if text[place] == " " and text[place - 1] != " ":
            yield text[start:place]
            start = place
    if text[start:]:
        yield text[start:]


def _ended(row: Line, room: int) -> Line:
    """Return a row that says that more would follow."""
    return tuple(_clipped((*row, Span(" ")), room)) if sum(_columns(one.text) for one in row) >= room else (*row, _MORE)


_MORE = Span("…", "dim")


def _clipped(line: Line, room: int) -> Iterator[Span]:
    """Yield what fits of a line, and a sign that there is more."""
    left = max(room - 1, 1)
    for text, role in line:
        if _columns(text) > left:
            yield Span(_cut(text, left), role)
            break
        yield Span(text, role)
        left -= _columns(text)
        if not left:
            break
    yield _MORE


def _block(block: Block, margin: str, width: int | None) -> Iterator[Line]:
    yield (Span(margin, "dim"), Span(block.title, "strong"))
    margin += "  "
    for line in block.text.splitlines() or [""]:
        indent = line[: len(line) - len(line.lstrip())].replace("\t", "    ")
        yield from _fitted((Span(indent + one_line(line)),), margin, margin, width, _UNLIMITED)
