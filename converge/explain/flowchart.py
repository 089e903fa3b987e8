"""An outline as a Mermaid flowchart: a box for each thing it is about, an arrow from each to what it rests on."""

__all__ = ["flowchart"]

from collections.abc import Iterator

from converge.explain.outline import Outline, clipped, one_line, unfolded

_WIDEST = 90  # characters in a box
_CLASSES = {"live": "live", "dead": "dead", "disputed": "disputed", "warn": "disputed"}


def flowchart(outline: Outline, most: int = 200) -> str:
    """Return a flowchart of at most so many boxes. Whatever facts say is text in it, and nothing else."""
    return "\n".join(_lines(unfolded(outline, most, folds=True)))


def _lines(root: Outline) -> Iterator[str]:
    yield "flowchart TD"
    names: dict[str, str] = {}
    waiting: list[tuple[Outline, str | None]] = [(root, None)]
    number = 0
    while waiting:
        outline, above = waiting.pop()
        name = names.get(outline.ref) if outline.ref else None
        if name is None:
            name = f"n{number}"
            number += 1
            if outline.ref:
                names[outline.ref] = name
            yield f'  {name}["{_label(outline)}"]{_style(outline)}'
        if above is not None:
            yield f"  {above} --> {name}"
        if outline.hidden and not outline.folded:
            yield f'  {name} --> m{number}["{outline.hidden:,} more"]'
            number += 1
        waiting += [(part, name) for part in reversed(outline.parts())]
    yield "  classDef live stroke:#2a7"
    yield "  classDef dead stroke:#c33,stroke-dasharray:4 3"
    yield "  classDef disputed stroke:#c80"


def _label(outline: Outline) -> str:
    """Return a box's text: characters that mean something to Mermaid or to HTML are written as entities."""
    text = clipped(one_line(outline.text), _WIDEST)
    return "".join(sign if sign.isalnum() or sign in " .,=_/-" else f"#{ord(sign)};" for sign in text)


def _style(outline: Outline) -> str:
    role = next((_CLASSES[span.role] for span in outline.line if span.role in _CLASSES), "")
    return f":::{role}" if role else ""
