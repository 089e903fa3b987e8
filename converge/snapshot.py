"""Cycles as JSON rows, and the way back: a job restored from its rows is the job that wrote them.

A row holds only what its cycle added. Facts are referred to by position: rows are restored in the order in which
they were written, so positions come back the same.
"""

__all__ = ["Cycle", "Snapshot", "Watermark", "restore"]

import dataclasses
import json
from collections.abc import Mapping, Sequence
from types import new_class
from typing import Any, NamedTuple

from pydantic_core import from_json

from converge.capture import Captures, Question
from converge.context import Context
from converge.effect import Given, Range, Source
from converge.errors import FactInvalid, StoredFactInvalid
from converge.fact import Fact, Failure, Invalidation, Violation, identified, kind_of, remember, stored_id
from converge.intent import Budget, RootIntent, Spend
from converge.kind import Kind
from converge.ports import StoredJob
from converge.trace import Trace, decode_event, encode_event

_FORM = 2  # of a row's body
_BUILT_IN = {kind_of(cls).label: kind_of(cls) for cls in (RootIntent, Invalidation, Failure, Violation)}


class Watermark(NamedTuple):
    """How far an agent has come.

    ran: the round its last completed activation read; wrote: the one it wrote; seen: the last round it looked at;
    mended: the last round in which it was given again what had lost evidence; offered: in which that was offered.
    """

    source: Source
    ran: int = -1
    seen: int = -1
    failed: bool = False
    wrote: int = -1
    mended: int = -1
    offered: int = -1


@dataclasses.dataclass(slots=True)
class Cycle:
    """What one cycle added, as ranges of the append-only logs; encoded when a store asks for the body."""

    context: Context
    trace: Trace
    number: int
    at: float
    round: int
    facts: int
    stop: str | None
    since: tuple[int, int, int, int]
    upto: tuple[int, int, int, int]
    watermarks: tuple[Watermark, ...]
    captures: Sequence[tuple[Question, str]]
    spend: Spend
    budget: Budget
    bodies: tuple[bytes, ...] | None = None

    def body(self) -> str:
        """Return the row as JSON."""
        parts = {
            "form": str(_FORM),
            "base": str(self.since[0]),
            "facts": self._facts(),
            **self._supports(),
            "watermarks": _dump([[*watermark.source, *watermark[1:]] for watermark in self.watermarks]),
            "captures": _dump(self.captures),
            "spend": _dump(dataclasses.asdict(self.spend)),
            "budget": _dump(dataclasses.asdict(self.budget)),
            "trace": _dump([encode_event(event) for event in self.trace[self.since[2] : self.upto[2]]]),
        }
        return "{" + ",".join(f'"{name}":{text}' for name, text in parts.items()) + "}"

    def lighten(self) -> None:
        """Drop the encoded facts; `body` encodes them again."""
        self.bodies = None

    def _facts(self) -> str:
        start, end = self.since[0], self.upto[0]
        facts = self.context.facts[start:end]
        bodies = self.bodies if self.bodies is not None else [identified(fact)[2] for fact in facts]
        rounds = self.context.rounds[start:end]
        rows = zip(facts, rounds, bodies, strict=True)
        return "[" + ",".join(f'["{stored_id(fact)}",{round},{body.decode()}]' for fact, round, body in rows) + "]"

    def _supports(self) -> dict[str, str]:
        """Name each source and evidence node of the row once, and refer to them by number."""
        sources: dict[int, int] = {}
        nodes: dict[int, tuple[int, Given]] = {}
        rows = []
        for support in self.context.supports[self.since[1] : self.upto[1]]:
            evidence = support.evidence
            if isinstance(evidence, Given):
                evidence, _ = nodes.setdefault(id(evidence), (len(nodes), evidence))  # type: ignore[assignment]
            rows.append([support.fact, sources.setdefault(support.source, len(sources)), support.round, evidence])
        return {
            "sources": _dump([self.context.supports.sources[number] for number in sources]),
            "given": _dump([given for _, given in nodes.values()]),
            "supports": _dump(rows),
        }


@dataclasses.dataclass(slots=True)
class Snapshot:
    """The persisted position a job can go on from."""

    job_id: str
    context: Context
    trace: Trace
    watermarks: dict[str, Watermark]
    spend: Spend
    budget: Budget
    cycles: int
    captures: Captures = dataclasses.field(default_factory=Captures)


def restore(stored: StoredJob, kinds: Mapping[str, Kind] | None) -> Snapshot:
    """Return the position that the rows describe. `kinds` by label; None reads every fact as plain JSON.

    Raises StoredFactInvalid for a fact whose kind is not among `kinds` or whose content no longer fits it, and for a
    row of another form.
    """
    intent, _, _ = identified(_BUILT_IN["RootIntent"].load(from_json(stored.header.intent)))
    snapshot = Snapshot(stored.header.job_id, Context(intent), Trace(), {}, Spend(), Budget(), len(stored.bodies))
    known = _Kinds(stored.header.job_id, kinds)
    for number, body in enumerate(stored.bodies, start=1):
        row = from_json(body)
        if row["form"] != _FORM:
            reason = f"form {row['form']} is not form {_FORM} of rows"
            raise StoredFactInvalid(snapshot.job_id, f"row {number}", reason)
        _apply(snapshot, row, known)
    return snapshot


class _Kinds:
    """Finds the kind of a stored fact, or makes a plain one where any will do."""

    def __init__(self, job_id: str, kinds: Mapping[str, Kind] | None) -> None:
        self.job_id, self.plain = job_id, kinds is None
        self.by_label: dict[str, Kind] = {**(kinds or {}), **_BUILT_IN}

    def fact(self, fact_id: str, content: Any) -> Fact:
        label = fact_id.rpartition(":")[0]
        kind = self.by_label.get(label)
        if kind is None:
            if not self.plain:
                raise StoredFactInvalid(self.job_id, fact_id, f"no agent of this engine declares kind {label}")
            kind = self.by_label[label] = _plain_kind(label)
        try:
            fact = kind.load({"content": content} if self.plain and label not in _BUILT_IN else content)
        except FactInvalid as error:
            raise StoredFactInvalid(self.job_id, fact_id, str(error)) from error
        remember(fact, fact_id)
        return fact  # type: ignore[no-any-return]


def _plain_kind(label: str) -> Kind:
    name, _, version = label.partition("@")
    options = {"name": name, "version": int(version or 1), "policy": "many"}
    body = {"__annotations__": {"content": dict[str, Any]}, "__module__": __name__}
    return kind_of(new_class("Plain", (Fact,), options, lambda namespace: namespace.update(body)))


def _apply(snapshot: Snapshot, row: dict[str, Any], kinds: _Kinds) -> None:
    context = snapshot.context
    for fact_id, round, content in row["facts"]:
        context.add(kinds.fact(fact_id, content), round)
    sources = [Source(*source) for source in row["sources"]]
    given = (Given(tuple(Range(*part) for part in ranges), tuple(picks)) for ranges, picks in row["given"])
    nodes = [context.node(node) for node in given]
    for fact, source, round, evidence in row["supports"]:
        rests_on = nodes[evidence] if isinstance(evidence, int) else tuple(evidence)
        context.support(fact, sources[source], round, rests_on)
    for agent, version, replaces, *progress in row["watermarks"]:
        _advance(snapshot, Watermark(Source(agent, version, replaces), *progress))
    for question, answer in row["captures"]:
        snapshot.captures.restore(Question(*question), answer)
    for event in row["trace"]:
        snapshot.trace.restore(decode_event(event))
    snapshot.spend, snapshot.budget = Spend(**row["spend"]), Budget(**row["budget"])


def _advance(snapshot: Snapshot, watermark: Watermark) -> None:
    before = snapshot.watermarks.get(watermark.source.agent)
    completed = -1 if before is None or before.source != watermark.source else before.wrote
    if watermark.wrote > completed:
        snapshot.context.complete(watermark.source, watermark.ran, watermark.wrote)
    snapshot.context.reach(watermark.offered)
    snapshot.watermarks[watermark.source.agent] = watermark


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
