"""The answer of a job and what stands beside it: what is concluded, and what might have been instead."""

__all__ = ["answer"]

from collections.abc import Iterator, Sequence

from converge.deciding import refusals
from converge.explain.content import LABELS, content_of
from converge.fact import Fact, id_of, kind_of
from converge.inspector.links import Links
from converge.inspector.markup import Element, tag
from converge.inspector.reading import Reading
from converge.inspector.words import badge, fact_line, fields, section
from converge.view import UNRESTRICTED, View

_SHOWN, _OFFERED = 12, 200


def answer(links: Links, reading: Reading) -> Element:
    """Return the part of a job's page that says what it has concluded."""
    conclusions = reading.explained.conclusions()
    cards = [_card(links, reading, fact) for fact in conclusions[:_SHOWN]]
    more = len(conclusions) - _SHOWN
    rest = tag("p", f"and {more:,} more, among the facts below", class_="dim") if more > 0 else None
    empty = tag("p", "No agent has concluded anything that holds.", class_="empty")
    return section("Answer", *(cards or [empty]), rest, _instead(links, reading, conclusions), name="answer")


def _card(links: Links, reading: Reading, fact: Fact) -> Element:
    to = links.fact(reading.job_id, id_of(fact))
    return tag(
        "article",
        tag("h3", tag("b", kind_of(fact).label, class_="kind")),
        fields(content_of(fact)),
        tag(
            "p",
            tag("a", "Why does this hold?", href=to, class_="ask"),
            " ",
            tag("a", "What did it cost?", href=f"{to}#cost", class_="ask"),
            class_="actions",
        ),
        class_="conclusion",
    )


def _instead(links: Links, reading: Reading, conclusions: Sequence[Fact]) -> Element:
    kinds = dict.fromkeys(kind_of(fact).label for fact in conclusions)
    beside = [*_beside(reading, list(kinds))]
    rows = [
        tag(
            "li",
            badge(label),
            " ",
            *fact_line(fact, links.fact(reading.job_id, id_of(fact))),
            " ",
            tag("a", "Why not?", href=links.fact(reading.job_id, id_of(fact)), class_="ask"),
        )
        for label, fact in beside[:_SHOWN]
    ]
    return tag(
        "details",
        tag(
            "summary",
            "Why not something else?",
            tag("small", f" {len(beside):,} fell or were refused" if beside else ""),
        ),
        tag("ul", *rows, class_="facts") if rows else None,
        _form(links, reading, conclusions),
        class_="instead",
        id="instead",
        open=len(beside) <= _SHOWN,
    )


def _beside(reading: Reading, kinds: Sequence[str]) -> Iterator[tuple[str, Fact]]:
    """Iterate over facts of the answer's kinds that do not hold, and proposals of anything that were refused."""
    context = reading.job.context
    for kind in kinds:
        for fact in context.kinds[kind].between(-1, context.highest):
            if (label := LABELS[context.label(context.position[id_of(fact)], context.highest)]) != "live":
                yield label, fact
    view = View(context, context.highest, UNRESTRICTED)
    for proposal in refusals(view):
        if (refused := view.known(proposal)) is not None:
            yield "refused", refused


def _form(links: Links, reading: Reading, conclusions: Sequence[Fact]) -> Element:
    kinds = list(dict.fromkeys([*(kind_of(fact).label for fact in conclusions), *reading.job.context.kinds]))
    options = [tag("option", kind, value=kind) for kind in kinds]
    known = [tag("option", value=value) for value in _values(reading, conclusions)]
    return tag(
        "form",
        tag("label", "Why is there no", tag("select", *options, name="kind")),
        tag("label", "where", tag("input", name="where", list="values", placeholder="field=value", autocomplete="off")),
        tag("datalist", *known, id="values"),
        tag("button", "Ask why not"),
        method="get",
        action=links.job(reading.job_id, "why-not"),
        class_="filter",
    )


def _values(reading: Reading, conclusions: Sequence[Fact]) -> list[str]:
    """Return what a conclusion might have said: what other facts hold in fields of the same name."""
    names = {name for fact in conclusions for name, value in content_of(fact).items() if isinstance(value, str)}
    found: dict[str, None] = {}
    for fact in reading.job.context.facts[1:]:
        for name, value in content_of(fact).items():
            if name in names and isinstance(value, str) and len(value) < 100:
                found[f"{name}={value}"] = None
        if len(found) >= _OFFERED:
            break
    return list(found)
