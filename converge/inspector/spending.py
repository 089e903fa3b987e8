"""What a job has spent, of what it may spend, and on what."""

__all__ = ["spending"]

from converge.explain.cost import brief
from converge.fact import id_of
from converge.inspector.links import Links
from converge.inspector.markup import Element, Node, tag
from converge.inspector.reading import Reading
from converge.inspector.tree import tree
from converge.inspector.words import badge, fact_line, number, section

_SHOWN = 10


def spending(links: Links, reading: Reading) -> Element:
    """Return the part of a job's page that says what it cost."""
    costs = reading.explained.costs
    dearest = [
        tag(
            "li",
            tag("span", brief(one.share), class_="money"),
            " ",
            badge(one.fate),
            " ",
            *fact_line(one.fact, links.fact(reading.job_id, id_of(one.fact))),
        )
        for one in costs.facts[:_SHOWN]
    ]
    head = tag("p", tag("span", str(costs.spent), class_="money"), class_="total")
    outline = costs.outline()
    what = [tree(part) for part in outline.parts()[:2]]
    listed: list[Node] = [tag("h3", "By fact, dearest first"), tag("ul", *dearest, class_="facts")] if dearest else []
    return section("Cost", head, *what, *listed, _budget(reading), name="spend")


def _budget(reading: Reading) -> Element:
    spend, budget = reading.job.spend._asdict(), reading.job.budget
    rows = [_bar(name, spent, getattr(budget, name)) for name, spent in spend.items()]
    return tag("div", tag("h3", "Of the budget"), tag("dl", *rows, class_="bars"))


def _bar(name: str, spent: float, limit: float | None) -> Node:
    if limit is None:
        return [tag("dt", name), tag("dd", tag("span", f"{number(spent)}, unlimited"))]
    share = min(spent / limit, 1.0) if limit else 1.0
    text = f"{number(round(spent, 3))} of {number(limit)}"
    bar = tag("meter", text, min=0, max=1, high=0.9, optimum=0, value=round(share, 4), aria_label=f"{name}: {text}")
    return [tag("dt", name), tag("dd", bar, tag("span", text))]
