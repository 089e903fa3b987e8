"""What a job knows, kind by kind, with how each fact stands; also as it stood when an earlier cycle was done."""

__all__ = ["Filter", "facts_page", "knowledge"]

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from converge.explain.content import LABELS, content_of
from converge.fact import Fact, id_of, kind_of
from converge.inspector.frame import page
from converge.inspector.links import Links, page_in
from converge.inspector.markup import Element, Node, tag
from converge.inspector.reading import Reading
from converge.inspector.words import badge, counted, fact_line, section
from converge.support import OUTSIDE

_SHOWN, _OPEN, PER_PAGE = 20, 6, 100
_ORDER = {"live": 0, "disputed": 1, "dead": 2}


class Filter(NamedTuple):
    """Which facts are wanted: of a kind, of a label, with some words in them; and which page of them."""

    kind: str = ""
    label: str = ""
    words: str = ""
    place: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Filter":
        """Return what a query asks for."""
        kind, label, words = (query.get(name, "").strip() for name in ("kind", "label", "q"))
        return cls(kind, label, words, page_in(query))


class _Known(NamedTuple):
    place: int
    fact: Fact
    kind: str
    label: str
    is_contested: bool


def knowledge(links: Links, now: Reading, then: Reading, cycle: int | None) -> Element:
    """Return the part of a job's page that goes back in time: `then` is the job as it stood at `cycle`."""
    known = _known(then)
    kinds: dict[str, list[_Known]] = {}
    for one in known:
        kinds.setdefault(one.kind, []).append(one)
    counts = Counter(one.label for one in known)
    summary = ", ".join(f"{counts[label]:,} {label}" for label in _ORDER if counts[label]) or "nothing yet"
    return section(
        "Facts",
        _slider(links, now, then, cycle, summary),
        _search(links, now, kinds, cycle),
        *[_kind(links, then, kind, several, cycle) for kind, several in kinds.items()],
        name="facts",
    )


def _slider(links: Links, now: Reading, then: Reading, cycle: int | None, summary: str) -> Element:
    last, at = now.job.cycles, cycle or now.job.cycles
    steps = [
        tag("a", "‹ cycle", href=links.job(now.job_id, cycle=at - 1), class_="step", rel="prev") if at > 1 else None,
        tag("a", "cycle ›", href=links.job(now.job_id, cycle=at + 1), class_="step", rel="next") if at < last else None,
        tag("a", "now", href=links.job(now.job_id), class_="step") if cycle else None,
    ]
    label = f"as of cycle {at:,} of {last:,}, round {then.job.context.highest:,}: {summary}"
    return tag(
        "form",
        tag(
            "label",
            "Time",
            tag(
                "input",
                type="range",
                name="cycle",
                min=1,
                max=max(last, 1),
                value=at,
                id="cycle",
                aria_valuetext=f"cycle {at} of {last}",
            ),
        ),
        tag("output", label, for_="cycle", aria_live="polite"),
        *steps,
        tag("button", "Go", class_="unscripted"),
        method="get",
        action=links.job(now.job_id),
        class_="slider",
        data_at=links.job(now.job_id, "at"),
        data_page=links.job(now.job_id),
        data_last=last,
    )


def _search(links: Links, now: Reading, kinds: Mapping[str, Sequence[_Known]], cycle: int | None) -> Element:
    options = [tag("option", "every kind", value=""), *(tag("option", kind, value=kind) for kind in kinds)]
    labels = [tag("option", label or "any label", value=label) for label in ("", *_ORDER)]
    return tag(
        "form",
        tag("label", "Find", tag("input", type="search", name="q", placeholder="words in a fact", autocomplete="off")),
        tag("label", "Kind", tag("select", *options, name="kind")),
        tag("label", "Label", tag("select", *labels, name="label")),
        tag("input", type="hidden", name="cycle", value=cycle) if cycle else None,
        tag("button", "Find"),
        method="get",
        action=links.job(now.job_id, "facts"),
        class_="filter",
        role="search",
    )


def _kind(links: Links, then: Reading, kind: str, several: Sequence[_Known], cycle: int | None) -> Element:
    counts = Counter(one.label for one in several)
    listed = sorted(several, key=lambda one: (_ORDER[one.label], one.place))
    more = len(listed) - _SHOWN
    said = [tag("span", f"{counts[label]:,} {label}", class_=f"tally {label}") for label in _ORDER if counts[label]]
    return tag(
        "details",
        tag("summary", tag("b", kind, class_="kind"), " ", *said),
        _rows(links, then, listed[:_SHOWN]),
        tag("p", tag("a", f"all {len(listed):,}", href=links.job(then.job_id, "facts", kind=kind, cycle=cycle)))
        if more > 0
        else None,
        class_="of-kind",
        data_kind=kind,
    )


def _rows(links: Links, then: Reading, several: Sequence[_Known]) -> Element:
    return tag("ul", *[_row(links, then, one) for one in several], class_="facts")


def _row(links: Links, then: Reading, one: _Known) -> Element:
    context = then.job.context
    agents = {context.supports.sources[support.source] for support in context.supports_of(one.place)}
    by = "given" if OUTSIDE in agents or not agents else ", ".join(sorted(source.agent for source in agents))
    marks = [badge(one.label), badge("contested") if one.is_contested else None]
    said = fact_line(one.fact, links.fact(then.job_id, id_of(one.fact)))
    return tag(
        "li", *marks, " ", *said, " ", tag("small", f"{by}, round {context.rounds[one.place]}"), class_=one.label
    )


def _known(reading: Reading) -> list[_Known]:
    context, found = reading.job.context, []
    contested = _contested(reading)
    for place in range(1, len(context.facts)):  # the first one is the root intent
        fact = context.facts[place]
        label = LABELS[context.label(place, context.highest)]
        found.append(_Known(place, fact, kind_of(fact).label, label, label == "live" and id_of(fact) in contested))
    return found


def _contested(reading: Reading) -> set[str]:
    """Return the ids of live facts of one key that contest each other; keys are known where the kinds are."""
    context, found = reading.job.context, set[str]()
    for log in context.kinds.values():
        for key in log.contested:
            ids = [id_of(fact) for fact in log.keys[key]]
            live = [one for one in ids if context.is_live(context.position[one], context.highest)]
            found.update(live if len(live) > 1 else ())
    return found


# --- all facts, page by page ------------------------------------------------------------------------------------------


def facts_page(links: Links, then: Reading, wanted: Filter, cycle: int | None) -> str:
    """Return a page of the facts that are wanted."""
    found = [one for one in _known(then) if _fits(one, wanted)]
    found.sort(key=lambda one: (_ORDER[one.label], one.place))
    shown = found[(wanted.place - 1) * PER_PAGE : wanted.place * PER_PAGE]
    kinds = dict.fromkeys(then.job.context.kinds, ())
    at = f", as of cycle {cycle}" if cycle else ""
    heading = tag("h1", wanted.kind or "Facts", tag("small", f"{counted(len(found), 'fact')}{at}"))
    body = _rows(links, then, shown) if shown else tag("p", "No fact is so.", class_="empty")
    trail = ((then.job_id, links.job(then.job_id, cycle=cycle)),)
    return page(
        links,
        wanted.kind or "Facts",
        heading,
        _search(links, then, kinds, cycle),
        body,
        _turning(links, then, wanted, cycle, len(found)),
        trail=trail,
    )


def _fits(one: _Known, wanted: Filter) -> bool:
    if wanted.kind not in ("", one.kind) or wanted.label not in ("", one.label):
        return False
    return not wanted.words or all(word in _text(one.fact) for word in wanted.words.lower().split())


def _text(fact: Fact) -> str:
    return f"{id_of(fact)} {content_of(fact)}".lower()


def _turning(links: Links, then: Reading, wanted: Filter, cycle: int | None, found: int) -> Node:
    last = -(-found // PER_PAGE)
    if last < 2:
        return None

    def to(place: int, name: str) -> Node:
        query = {"q": wanted.words, "kind": wanted.kind, "label": wanted.label, "cycle": cycle, "page": place}
        href = links.job(then.job_id, "facts", **query)
        return tag("a", name, href=href) if 1 <= place <= last else tag("span", name, class_="dim")

    here = tag("span", f"page {wanted.place:,} of {last:,}")
    return tag(
        "nav", to(wanted.place - 1, "before"), here, to(wanted.place + 1, "after"), class_="pages", aria_label="Pages"
    )
