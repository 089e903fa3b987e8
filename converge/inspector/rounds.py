"""Growth per round as bars that shrink to nothing: how a job comes to its fixed point."""

__all__ = ["Growth", "chart", "growth"]

from typing import NamedTuple

from converge.inspector.markup import Element, tag
from converge.inspector.words import counted
from converge.trace import Event, FactsArrived, JobStarted, RoundMerged


class Growth(NamedTuple):
    """What the merges into one round added."""

    round: int
    facts: int
    supports: int


def growth(trace: "list[Event]") -> list[Growth]:
    """Return what each round added, in order; what was given at first is round 0."""
    found: dict[int, Growth] = {}
    for event in trace:
        if isinstance(event, RoundMerged):
            before = found.get(event.round, Growth(event.round, 0, 0))
            found[event.round] = Growth(event.round, before.facts + event.facts, before.supports + event.supports)
        elif isinstance(event, JobStarted):
            found[0] = Growth(0, event.facts, 0)
        elif isinstance(event, FactsArrived):
            before = found.get(event.round, Growth(event.round, 0, 0))
            found[event.round] = before._replace(facts=before.facts + event.facts)
    return [found[round] for round in sorted(found)]


_HEIGHT, _STEP, _MOST = 96, 26, 400


def chart(rounds: list[Growth]) -> Element:
    """Return the bars, the last rounds of very many, each with its figures for those who cannot see them."""
    shown = rounds[-_MOST:]
    most = max((one.facts for one in shown), default=0) or 1
    width = max(len(shown), 1) * _STEP + 8
    bars = [_bar(place, one, most) for place, one in enumerate(shown)]
    label = "Growth by round: " + ", ".join(f"round {one.round}: {one.facts}" for one in shown[-20:])
    svg = tag(
        "svg",
        *bars,
        viewBox=f"0 0 {width} {_HEIGHT + 34}",
        width=width,
        height=_HEIGHT + 34,
        role="img",
        aria_label=label,
    )
    return tag("div", svg, class_="chart", tabindex=0)


def _bar(place: int, one: Growth, most: int) -> Element:
    # The root of the share, so that one fact is still seen beside three hundred.
    height = round((one.facts / most) ** 0.5 * _HEIGHT) if one.facts else 0
    x, top = place * _STEP + 4, _HEIGHT - height + 14
    title = f"round {one.round}: {counted(one.facts, 'new fact')}, {counted(one.supports, 'derivation')}"
    return tag(
        "g",
        tag("title", title),
        tag(
            "rect",
            x=x,
            y=top if height else _HEIGHT + 12,
            width=_STEP - 6,
            height=height or 2,
            rx=2,
            class_="grew" if height else "still",
        ),
        tag("text", str(one.facts), x=x + (_STEP - 6) / 2, y=top - 4, class_="figure"),
        tag("text", str(one.round), x=x + (_STEP - 6) / 2, y=_HEIGHT + 28, class_="axis"),
    )
