"""`converge show`: what a job knows, kind by kind, with how each fact stands; its agents are not needed for that."""

__all__ = ["show"]

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import anyio
import typer
from rich.console import Console

from converge.cli.console import (
    AsJson,
    JobId,
    Part,
    as_line,
    counted,
    data,
    one_line,
    write_json,
    write_line,
    write_rows,
)
from converge.cli.outcome import spent
from converge.cli.place import DEFAULT_STORE, StoreAddress
from converge.cli.raw import show_raw
from converge.cli.stored import Cycle, StoredFact, facts_of, last_stop, load_job, unknown_kind
from converge.snapshot import Snapshot


def show(
    job: JobId,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Only the facts of one kind.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every fact, however many a kind has.")] = False,
    cycle: Cycle = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="The facts as they lie in the store, one a line, readable or not.")
    ] = False,
    store: StoreAddress = DEFAULT_STORE,
    as_json: AsJson = False,
) -> int | None:
    """Show the facts of a job by kind, what holds and what no longer does, its stop reason and its spend.

    A line says how the fact stands, who states it in which round, and its content.

    With --raw, a line is the cycle that added the fact, its id and its content; with --json it is an object.

    Nothing is checked then: rows that hold no facts one could show are named, and the exit code is 1.

    Example: converge show job-1f2e3d4c --cycle 3 --kind Risk
    """
    if raw:
        return show_raw(store, job, cycle, kind, everything=everything, as_json=as_json)
    snapshot = anyio.run(load_job, store, job, cycle)
    facts = list(facts_of(snapshot.context))
    if kind is not None:
        facts = _only(kind, facts)
    if as_json:
        write_json(_told(snapshot, store, facts))
        return None
    console = data()
    _show_head(console, snapshot, cycle)
    _show_facts(console, facts, None if everything or kind else _SHOWN)
    return None


_SHOWN = 10  # facts of one kind
_STYLES = {"live": "green", "disputed": "yellow", "dead": "red"}
_ORDER = tuple(_STYLES)  # what holds comes first


def _only(kind: str, facts: Sequence[StoredFact]) -> list[StoredFact]:
    found = [fact for fact in facts if fact.kind == kind]
    if not found:
        raise unknown_kind(kind, (fact.kind for fact in facts))
    return found


def _told(snapshot: Snapshot, store: str, facts: Sequence[StoredFact]) -> dict[str, Any]:
    """Return JSON data of this shape; `stop` is null for an unfinished job, `agents` is empty for a given fact.

    {"job_id", "objective", "store": text, "stop": {"reason", "text": text} | null, "cycles": int,
    "spend": {"rounds", "facts", "activations", "calls", "tokens": int, "seconds", "money": float}, "budget": as spend,
    "facts": [{"id", "kind", "label": text, "round": int, "agents": [text], "fact": object}]}
    """
    stop = last_stop(snapshot.trace)
    return {
        "job_id": snapshot.job_id,
        "objective": snapshot.context.intent.objective,
        "store": store,
        "stop": stop and {"reason": stop.reason, "text": stop.text},
        "cycles": snapshot.cycles,
        "spend": snapshot.spend._asdict(),
        "budget": dataclasses.asdict(snapshot.budget),
        "facts": [fact._asdict() for fact in facts],
    }


def _show_head(console: Console, snapshot: Snapshot, cycle: int | None) -> None:
    stop = last_stop(snapshot.trace)
    write_line(console, (snapshot.job_id, "bold"), "  ", one_line(snapshot.context.intent.objective))
    style = "green" if stop and stop.reason == "fixed_point" else "yellow"
    unfinished = "unfinished: it runs, or can be resumed" if cycle is None else f"as it stood at cycle {cycle}"
    write_line(console, (one_line(stop.text) if stop else unfinished, style))
    write_line(console, (f"{spent(snapshot.spend)}; {counted(snapshot.cycles, 'cycle')}", "dim"))


def _show_facts(console: Console, facts: Sequence[StoredFact], limit: int | None) -> None:
    by_kind: dict[str, list[StoredFact]] = {}  # kinds in the order they came up: from what was given to the answer
    for fact in facts:
        by_kind.setdefault(fact.kind, []).append(fact)
    for kind, members in by_kind.items():
        counts = Counter(fact.label for fact in members)
        listed = ", ".join(f"{counts[label]:,} {label}" for label in _STYLES if label in counts)
        write_line(console, "")
        write_line(console, (kind, "bold"), f"  {listed}")
        _show_kind(console, sorted(members, key=lambda fact: _ORDER.index(fact.label))[:limit], cut=limit is not None)
        if limit is not None and len(members) > limit:
            write_line(console, (f"  and {len(members) - limit:,} more: --kind {kind}, or --all", "dim"))


def _show_kind(console: Console, facts: Sequence[StoredFact], *, cut: bool) -> None:
    rows: list[list[Part]] = []
    for fact in facts:
        source = f"{', '.join(fact.agents) or 'given'}, round {fact.round}"
        rows.append([(f"  {fact.label}", _STYLES[fact.label]), (source, "dim"), as_line(fact.fact)])
    write_rows(console, rows, cut=cut)
