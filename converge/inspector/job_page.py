"""A job on one page: the answer first, then what it waits for, how it came about, who did what, and what it cost."""

__all__ = ["job_page", "live_part"]

from collections.abc import Sequence

from converge.explain.outline import clipped, one_line
from converge.inspector.answer import answer
from converge.inspector.asking import request_forms
from converge.inspector.events import said, time_of
from converge.inspector.frame import page
from converge.inspector.knowledge import knowledge
from converge.inspector.links import Links
from converge.inspector.markup import Element, Node, tag
from converge.inspector.reading import Reading
from converge.inspector.rounds import chart, growth
from converge.inspector.spending import spending
from converge.inspector.standing import Agents, Standing, agents_of
from converge.inspector.words import badge, counted, duration, number, section, when
from converge.trace import Activated, Event, JobStopped, Warned

_EVENTS = 60


def job_page(
    links: Links,
    reading: Reading,
    then: Reading,
    cycle: int | None,
    posted: frozenset[str],
    csrf: str,
    now: float,
    notice: str = "",
) -> str:
    """Return the page. then: the job as it stood at `cycle`. posted: requests whose decision is on its way."""
    told = tag("p", notice, class_="notice", role="status") if notice else None
    main = tag(
        "div",
        told,
        live_part(links, reading, posted, csrf, now),
        knowledge(links, reading, then, cycle),
        _log(reading),
        class_="job",
    )
    objective = clipped(one_line(reading.job.context.intent.objective), 120)
    return page(links, objective, main, trail=((reading.job_id, links.job(reading.job_id)),))


def live_part(links: Links, reading: Reading, posted: frozenset[str], csrf: str, now: float) -> Element:
    """Return the part of the page that changes while a job runs."""
    agents = agents_of(reading)
    return tag(
        "div",
        _head(links, reading, agents, now),
        answer(links, reading),
        request_forms(links, reading, agents.asked, posted, csrf),
        section("Rounds", chart(growth(list(reading.job.trace))), name="rounds", note="new facts by round, to zero"),
        _agents(agents),
        _warnings(reading.job.trace),
        spending(links, reading),
        id="live",
        data_events=links.job(reading.job_id, "events"),
        data_self=links.job(reading.job_id, "live"),
        data_after=f"{reading.last}.9999999",
        data_running="yes" if reading.running else "no",
    )


# --- how it stands ----------------------------------------------------------------------------------------------------


def _head(links: Links, reading: Reading, agents: Agents, now: float) -> Element:
    job = reading.job
    stop = _stop(reading)
    state = "running" if reading.running else stop.reason if stop else "interrupted"
    figures = (
        ("rounds", number(job.context.highest)),
        ("facts", number(len(job.context.facts) - 1)),
        ("cycles", number(job.cycles)),
        ("agents", number(len(agents.standings))),
        ("calls", number(job.spend.calls)),
        ("tokens", number(job.spend.tokens)),
        *((("money", f"{job.spend.money:.4g}"),) if job.spend.money else ()),
        ("time", duration(job.spend.seconds)),
    )
    return tag(
        "header",
        tag("h1", job.context.intent.objective),
        tag("p", badge(state), " ", _sentence(reading, agents, stop), class_="stands", id="state", aria_live="polite"),
        tag("dl", *[tag("div", tag("dt", name), tag("dd", value)) for name, value in figures], class_="figures"),
        tag(
            "p",
            tag("code", job.job_id),
            " began ",
            when(reading.created, now),
            ", changed ",
            when(reading.updated, now),
            " · ",
            tag("a", "Export as one file", href=links.job(job.job_id, "export"), download=True),
            " · ",
            tag("a", "Compare with…", href=links.compare(a=job.job_id)),
            class_="dim",
        ),
        class_="head",
    )


def _stop(reading: Reading) -> JobStopped | None:
    last = reading.job.trace[-1] if reading.job.trace else None
    return last if isinstance(last, JobStopped) else None


def _sentence(reading: Reading, agents: Agents, stop: JobStopped | None) -> list[Node]:
    if reading.running:
        return [_busy(agents)]
    if stop is None:
        return ["It has not stopped and nobody runs it: it was interrupted and can be resumed."]
    if agents.asked:
        roles = ", ".join(dict.fromkeys(one.role for one in agents.asked))
        return [f"It waits for {roles}: ", tag("a", counted(len(agents.asked), "decision"), href="#decide"), "."]
    return [clipped(one_line(stop.text), 600)]


def _busy(agents: Agents) -> str:
    working = [one.name for one in agents.standings if one.state == "at work"]
    waiting = sum(one.state == "waiting" for one in agents.standings)
    said = f"At work: {', '.join(working[:6])}" if working else "It runs"
    return f"{said}; {counted(waiting, 'agent')} waiting." if waiting else f"{said}."


# --- who does what ----------------------------------------------------------------------------------------------------


def _agents(agents: Agents) -> Element:
    note = None if agents.declared else "what they read and write is as far as it was seen"
    head = tag("tr", *[tag("th", name, scope="col") for name in ("Agent", "State", "Ran", "Time", "Reads → writes")])
    table = tag(
        "table",
        tag("caption", "Agents", class_="unseen"),
        tag("thead", head),
        tag("tbody", *map(_agent, agents.standings)),
        class_="agents",
    )
    return section(
        "Agents", table if agents.standings else tag("p", "No agent has run.", class_="empty"), name="agents", note=note
    )


def _agent(one: Standing) -> Element:
    awaits = f" for {', '.join(one.awaits[:4])}{' and more' if len(one.awaits) > 4 else ''}" if one.awaits else ""
    failed = f", {counted(one.failures, 'time')} in vain" if one.failures else ""
    last = f", last on round {one.round}" if one.round >= 0 else ""
    hands = f"{', '.join(one.reads) or 'nothing'} → {', '.join(one.writes) or 'nothing'}"
    return tag(
        "tr",
        tag("th", one.name, scope="row"),
        tag(
            "td",
            badge(one.state.replace(" ", "_")),
            awaits,
            tag("small", clipped(one_line(one.said), 300)) if one.said else None,
            data_label="State",
        ),
        tag("td", f"{number(one.runs)}×{failed}{last}", data_label="Ran"),
        tag("td", duration(one.seconds), data_label="Time"),
        tag("td", clipped(hands, 160), class_="dim", data_label="Reads → writes"),
    )


def _warnings(trace: Sequence[Event]) -> Node:
    warned = [event for event in trace if isinstance(event, Warned)]
    if not warned:
        return None
    rows = [tag("li", f"agent {one.agent} {one.text}" if one.agent else one.text) for one in warned]
    return section("Warnings", tag("ul", *rows), name="warnings", note=f"{len(warned):,}")


def _log(reading: Reading) -> Element:
    """Return the newest events, newest first; what happens from now on is put before them."""
    trace = reading.job.trace
    rows = []
    for event in reversed(trace[-_EVENTS:]):
        at = time_of(event)
        mark = None if at is None else tag("time", _clock(at))
        rows.append(tag("li", mark, " ", said(event), class_=type(event).__name__))
    busy = sum(isinstance(event, Activated) for event in trace)
    return section(
        "What happened",
        tag("ol", *rows, id="log", reversed=True, tabindex=0, role="log"),
        name="happened",
        note=f"newest first; {counted(len(trace), 'event')}, {counted(busy, 'activation')}",
    )


def _clock(at: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
