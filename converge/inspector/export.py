"""A job as one file that loads nothing: what it concluded, why, what it knows, who did what, and what it cost."""

__all__ = ["export"]

from importlib.resources import files

from converge.explain.content import LABELS, content_of
from converge.fact import id_of, kind_of
from converge.inspector.events import said
from converge.inspector.markup import Element, Verbatim, render, tag
from converge.inspector.reading import Reading
from converge.inspector.rounds import chart, growth
from converge.inspector.standing import agents_of
from converge.inspector.tree import tree
from converge.inspector.words import badge, fact_line, fields, number, section
from converge.trace import JobStopped

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_PROVED, _FACTS, _EVENTS = 20, 20_000, 20_000


def export(reading: Reading) -> str:
    """Return the file's text. What of very large jobs is left out, it says."""
    job, explained = reading.job, reading.explained
    last = job.trace[-1] if job.trace else None
    stop = last if isinstance(last, JobStopped) else None
    conclusions = explained.conclusions()
    proofs = [
        tag("article", fields(content_of(fact)), tree(explained.why(fact).outline(), 1_000), class_="conclusion")
        for fact in conclusions[:_PROVED]
    ]
    rows = [
        tag("li", badge(one.state.replace(" ", "_")), f" {one.name}, {number(one.runs)}×")
        for one in agents_of(reading).standings
    ]
    body = tag(
        "body",
        tag(
            "main",
            tag("h1", job.context.intent.objective),
            tag("p", badge(stop.reason if stop else "interrupted"), f" {stop.text}" if stop else None, class_="stands"),
            tag("p", tag("code", job.job_id), f", cycle {job.cycles:,}, round {job.context.highest:,}", class_="dim"),
            section("Answer", *proofs, _left(len(conclusions), _PROVED), name="answer"),
            section("Rounds", chart(growth(list(job.trace))), name="rounds"),
            section("Agents", tag("ul", *rows, class_="facts"), name="agents"),
            section("Cost", tree(explained.costs.outline()), name="spend"),
            section("Facts", *_facts(reading), name="facts"),
            section(
                "What happened",
                tag("ol", *[tag("li", said(event)) for event in job.trace[:_EVENTS]]),
                _left(len(job.trace), _EVENTS),
                name="happened",
            ),
        ),
    )
    style = files("converge.inspector").joinpath("assets/style.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{job.context.intent.objective[:120]} – Converge"),
        tag("style", Verbatim(style)),
    )
    return f"<!DOCTYPE html>\n{render(tag('html', head, body, lang='en'))}\n"


def _facts(reading: Reading) -> list[Element]:
    context = reading.job.context
    kinds: dict[str, list[Element]] = {}
    for place, fact in enumerate(context.facts[1 : _FACTS + 1], start=1):
        label = LABELS[context.label(place, context.highest)]
        row = tag(
            "li", badge(label), " ", *fact_line(fact), tag("small", f" round {context.rounds[place]}, {id_of(fact)}")
        )
        kinds.setdefault(kind_of(fact).label, []).append(row)
    made = [
        tag("details", tag("summary", tag("b", kind), f" {len(rows):,}"), tag("ul", *rows, class_="facts"))
        for kind, rows in kinds.items()
    ]
    left = _left(len(context.facts) - 1, _FACTS)
    return made if left is None else [*made, left]


def _left(count: int, most: int) -> Element | None:
    return tag("p", f"{count - most:,} more are left out", class_="dim") if count > most else None
