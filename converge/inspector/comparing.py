"""Two jobs side by side: how each stands and what it concluded, and the first effect in which they part."""

__all__ = ["choosing_page", "comparison_page"]

from collections.abc import Sequence

from converge.explain.outline import clipped, one_line
from converge.fact import id_of
from converge.inspector.frame import page
from converge.inspector.links import Links
from converge.inspector.markup import Element, tag
from converge.inspector.reading import Reading
from converge.inspector.rounds import chart, growth
from converge.inspector.tree import tree
from converge.inspector.words import badge, duration, fact_line, number, section
from converge.ports import JobSummary
from converge.trace import JobStopped

_SHOWN = 10


def choosing_page(links: Links, first: str, jobs: Sequence[JobSummary]) -> str:
    """Return a page on which two jobs are chosen."""
    options = [tag("option", f"{job.job_id}  {clipped(one_line(job.objective), 80)}", value=job.job_id) for job in jobs]
    form = tag(
        "form",
        tag("label", "One job", tag("input", name="a", value=first, list="jobs", required=True, autocomplete="off")),
        tag("label", "Another", tag("input", name="b", list="jobs", required=True, autocomplete="off")),
        tag("datalist", *options[:500], id="jobs"),
        tag("button", "Compare"),
        method="get",
        action=links.compare(),
        class_="filter",
    )
    return page(links, "Compare", tag("h1", "Compare two jobs"), form)


def comparison_page(links: Links, one: Reading, other: Reading) -> str:
    """Return the page."""
    parting = one.explained.diff(other.explained)
    sides = tag("div", _side(links, one), _side(links, other), class_="sides")
    where = section("Where they part", tree(parting.outline()), name="parting")
    return page(links, f"{one.job_id} and {other.job_id}", tag("h1", "Two jobs"), sides, where)


def _side(links: Links, reading: Reading) -> Element:
    job = reading.job
    last = job.trace[-1] if job.trace else None
    stop = last if isinstance(last, JobStopped) else None
    state = "running" if reading.running else stop.reason if stop else "interrupted"
    figures = f"{number(job.context.highest)} rounds, {number(len(job.context.facts) - 1)} facts, "
    figures += f"{number(job.spend.calls)} calls, {number(job.spend.tokens)} tokens, {duration(job.spend.seconds)}"
    concluded = reading.explained.conclusions()
    rows = [tag("li", *fact_line(fact, links.fact(job.job_id, id_of(fact)))) for fact in concluded[:_SHOWN]]
    return tag(
        "article",
        tag("h2", tag("a", job.job_id, href=links.job(job.job_id))),
        tag("p", clipped(one_line(job.context.intent.objective), 300)),
        tag("p", badge(state), " ", clipped(one_line(stop.text), 200) if stop else None),
        tag("p", figures, class_="dim"),
        tag("h3", "Answer"),
        tag("ul", *rows, class_="facts") if rows else tag("p", "nothing that holds", class_="empty"),
        chart(growth(list(job.trace))),
    )
