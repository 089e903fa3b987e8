"""The first page: the jobs of a store, searched, filtered and turned over page by page."""

__all__ = ["Listing", "Search", "listing_page"]

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic_core import from_json

from converge.errors import JobUnknown
from converge.inspector.frame import page
from converge.inspector.links import Links, page_in
from converge.inspector.markup import Element, Node, tag
from converge.inspector.reading import Readings
from converge.inspector.words import badge, counted, duration, number, when
from converge.intent import Spend
from converge.ports import JobSummary

PER_PAGE = 50


class Search(NamedTuple):
    """What somebody looks for: words in the objective or the id, a state, and which page of it."""

    words: str = ""
    state: str = ""
    place: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Search":
        """Return what a query asks for."""
        return cls(query.get("q", "").strip(), query.get("state", ""), page_in(query))

    def fits(self, job: JobSummary) -> bool:
        """Whether a job is looked for by its words."""
        text = f"{job.job_id} {job.objective}".lower()
        return all(word in text for word in self.words.lower().split())


class Listing(NamedTuple):
    """One page of jobs with the state and the spend of each, and how many there are of each state."""

    asked: Search
    jobs: Sequence[tuple[JobSummary, str, Spend | None]]
    counts: Mapping[str, int]
    found: int
    total: int

    @classmethod
    async def read(cls, readings: Readings, asked: Search, spends: dict[tuple[str, float], Spend | None]) -> "Listing":
        """Look jobs up; of those on the page, what they spent stands in their last row. `spends` is kept between."""
        every = await readings.store.jobs()
        fitting = [(job, _state(job, readings)) for job in (filter(asked.fits, every) if asked.words else every)]
        counts = Counter(state for _, state in fitting)
        found = [one for one in fitting if asked.state in ("", one[1])]
        shown = found[(asked.place - 1) * PER_PAGE : asked.place * PER_PAGE]
        jobs = [(job, state, await _spent(readings, job, spends)) for job, state in shown]
        return cls(asked, jobs, counts, len(found), len(every))


def _state(job: JobSummary, readings: Readings) -> str:
    return "running" if readings.is_held(job.lease) else job.stop or "interrupted"


async def _spent(readings: Readings, job: JobSummary, kept: dict[tuple[str, float], Spend | None]) -> Spend | None:
    key = job.job_id, job.updated
    if key not in kept:
        try:
            rows = await readings.store.rows(job.job_id, job.cycles - 1)  # a cycle's row has no lower number than it
        except JobUnknown:  # it was removed since it was listed
            return None
        bodies = [row.body for row in rows if row.cycle == job.cycles]
        if len(kept) > _MOST_KEPT:
            kept.clear()
        kept[key] = _spend(bodies[-1]) if bodies else None
    return kept[key]


_MOST_KEPT = 10_000


def _spend(body: str) -> Spend | None:
    try:
        return Spend(**from_json(body)["spend"])
    except (KeyError, TypeError, ValueError):  # a row that was edited
        return None


# --- the page ---------------------------------------------------------------------------------------------------------


def listing_page(links: Links, listing: Listing, now: float) -> str:
    """Return the page."""
    count = counted(listing.total, "job")
    heading = tag("h1", "Jobs", tag("small", count))
    return page(links, "Jobs", heading, _filter(links, listing), _table(links, listing, now), _turning(links, listing))


def _filter(links: Links, listing: Listing) -> Element:
    asked = listing.asked
    states = ["", *sorted(listing.counts)]
    options = [
        tag(
            "option",
            f"{state.replace('_', ' ')} ({listing.counts[state]:,})" if state else "any state",
            value=state,
            selected=state == asked.state,
        )
        for state in states
    ]
    return tag(
        "form",
        tag(
            "label",
            "Search",
            tag("input", type="search", name="q", value=asked.words, placeholder="objective or id", autocomplete="off"),
        ),
        tag("label", "State", tag("select", *options, name="state")),
        tag("button", "Show"),
        method="get",
        action=links.jobs(),
        class_="filter",
        role="search",
    )


def _table(links: Links, listing: Listing, now: float) -> Element:
    if not listing.jobs:
        return tag("p", "No job is so." if listing.total else "There is no job in this store yet.", class_="empty")
    names = ("Job", "State", "Rounds", "Facts", "Spend", "Age", "Changed")
    head = tag("tr", *[tag("th", name, scope="col", class_="n" if name in _NUMBERS else None) for name in names])
    rows = [_row(links, job, state, spend, now) for job, state, spend in listing.jobs]
    return tag(
        "form",
        tag(
            "table",
            tag("caption", "Jobs, the newest first", class_="unseen"),
            tag("thead", head),
            tag("tbody", *rows),
            class_="jobs",
        ),
        tag("p", tag("button", "Compare the two that are ticked"), class_="actions") if len(listing.jobs) > 1 else None,
        method="get",
        action=links.compare(),
    )


_NUMBERS = ("Rounds", "Facts")


def _row(links: Links, job: JobSummary, state: str, spend: Spend | None, now: float) -> Element:
    tick = tag("input", type="checkbox", name="job", value=job.job_id, aria_label=f"compare {job.job_id}")
    name = [tag("a", job.objective[:200] or "(no objective)", href=links.job(job.job_id)), tag("small", job.job_id)]
    return tag(
        "tr",
        tag("th", tick, tag("span", *name), scope="row"),
        tag("td", badge(state), data_label="State"),
        tag("td", number(job.round), class_="n", data_label="Rounds"),
        tag("td", number(job.facts), class_="n", data_label="Facts"),
        tag("td", _told(spend), data_label="Spend"),
        tag("td", when(job.created, now), data_label="Age"),
        tag("td", when(job.updated, now), data_label="Changed"),
    )


def _told(spend: Spend | None) -> Node:
    if spend is None:
        return "unknown"
    said = [duration(spend.seconds)]
    if spend.calls:
        said += [counted(spend.calls, "call"), counted(spend.tokens, "token")]
    return ", ".join([*said, f"{spend.money:.4g} in money"] if spend.money else said)


def _turning(links: Links, listing: Listing) -> Node:
    asked, last = listing.asked, -(-listing.found // PER_PAGE)
    if last < 2:
        return None

    def to(place: int, name: str) -> Node:
        is_there = 1 <= place <= last and place != asked.place
        href = links.jobs(q=asked.words, state=asked.state, page=place)
        return tag("a", name, href=href) if is_there else tag("span", name, class_="dim")

    here = f"page {asked.place:,} of {last:,}"
    return tag(
        "nav",
        to(1, "first"),
        to(asked.place - 1, "newer"),
        tag("span", here),
        to(asked.place + 1, "older"),
        to(last, "last"),
        class_="pages",
        aria_label="Pages",
    )
