"""From a job's rows back to the job that wrote them, its facts as the engine's kinds are today.

A stored fact whose kind is unknown, or no longer takes its content, is an error that names it: nothing is guessed,
nothing is left out, and the rows stay as they are. A kind's `upgrade` brings facts of its earlier versions forward.
"""

__all__ = ["StoredKinds", "given_to", "restore"]

from collections.abc import Iterable, Mapping
from types import new_class
from typing import Any

from pydantic_core import from_json

from converge.capture import Captures, Question
from converge.context import Context
from converge.effect import Given, Range, Source
from converge.errors import FactInvalid, StoredFactInvalid
from converge.fact import Fact, Failure, Invalidation, Violation, id_of, identified, kind_of, remember
from converge.intent import Budget, RootIntent, Spend
from converge.kind import Kind
from converge.ports import StoredJob
from converge.snapshot import FORM, Snapshot, Watermark
from converge.support import OUTSIDE
from converge.trace import Trace, decode_event

_FORMS = (2, FORM)  # form 2 kept captures in the row of their cycle
_BUILT_IN = {kind_of(cls).label: kind_of(cls) for cls in (RootIntent, Invalidation, Failure, Violation)}


def restore(stored: StoredJob, kinds: Mapping[str, Kind] | None) -> Snapshot:
    """Return the position that the rows describe. `kinds` by label; None reads every fact as plain JSON.

    Raises StoredFactInvalid for a fact whose kind is not among `kinds` or whose content no longer fits it, and for a
    row of another form.
    """
    intent, _, _ = identified(_BUILT_IN["RootIntent"].load(from_json(stored.header.intent)))
    job = _Restoring(stored.header.job_id, intent, kinds)
    for number, body in enumerate(stored.bodies, start=1):
        row = from_json(body)
        if row["form"] not in _FORMS:
            reason = f"form {row['form']} is not form {FORM} of rows"
            raise StoredFactInvalid(stored.header.job_id, f"row {number}", reason)
        job.apply(row, number)
    return job.snapshot


def given_to(stored: StoredJob, kinds: Mapping[str, Kind]) -> list[Fact]:
    """Return what a job was given from outside, at any time. Raises StoredFactInvalid."""
    plain = restore(stored, None).context
    known = StoredKinds(stored.header.job_id, kinds)
    given = {support.fact: None for support in plain.supports if plain.supports.sources[support.source] == OUTSIDE}
    facts = [plain.facts[place] for place in given]
    return [
        known.fact(id_of(fact), from_json(identified(fact)[2]) if type(fact) is Invalidation else fact.content)  # type: ignore[attr-defined]
        for fact in facts
        if not isinstance(fact, (RootIntent, Failure, Violation))
    ]


class _Restoring:
    """A job while its rows are read."""

    def __init__(self, job_id: str, intent: RootIntent, kinds: Mapping[str, Kind] | None) -> None:
        self._intent, self._kinds = intent, StoredKinds(job_id, kinds)
        self.snapshot = Snapshot(job_id, Context(intent), Trace(), {}, Spend(), Budget(), 0)
        self._places: list[int] | None = None  # stored position -> position, once they are not the same

    def apply(self, row: Mapping[str, Any], number: int) -> None:
        """Add what one row holds."""
        if row.get("anew"):
            self._begin_anew(keep_captures=row["anew"] == "reuse")
        for question, answer in row.get("captures", ()):
            self.snapshot.captures.restore(Question(*question), answer)
        if "watermarks" in row:
            self._cycle(row)
            self.snapshot.cycles = row.get("cycle", number)
        self.snapshot.letter = row.get("letter", self.snapshot.letter)

    def _begin_anew(self, *, keep_captures: bool) -> None:
        job = self.snapshot
        captures = job.captures if keep_captures else Captures()
        self._places = None
        self.snapshot = Snapshot(
            job.job_id, Context(self._intent), Trace(), {}, Spend(), Budget(), job.cycles, captures, job.letter
        )

    def _cycle(self, row: Mapping[str, Any]) -> None:
        self._facts(row["facts"])
        self._supports(row)
        for agent, version, replaces, *progress in row["watermarks"]:
            self._advance(Watermark(Source(agent, version, replaces), *progress))
        for event in row["trace"]:
            self.snapshot.trace.restore(decode_event(event))
        self.snapshot.spend = Spend(**row["spend"])
        if "budget" in row:
            self.snapshot.budget = Budget(**row["budget"])

    def _facts(self, rows: list[Any]) -> None:
        context, kinds = self.snapshot.context, self._kinds
        kinds.row = rows
        for fact_id, round, content in rows:
            fact = kinds.fact(fact_id, content)
            is_new = context.add(fact, round)
            if not is_new or kinds.renamed:
                self._move(fact, is_new)

    def _move(self, fact: Fact, is_new: bool) -> None:
        """Note where a fact is now that positions and ids are not those of the rows any more."""
        context = self.snapshot.context
        if self._places is None:
            self._places = list(range(len(context.facts) - is_new))
            self.snapshot.anew = "reuse"
        self._places.append(context.position[id_of(fact)])

    def _supports(self, row: Mapping[str, Any]) -> None:
        context, places = self.snapshot.context, self._places
        sources = [Source(*source) for source in row["sources"]]
        nodes = [context.node(self._given(*node)) for node in row["given"]]
        for fact, source, round, evidence in row["supports"]:
            if places is None:
                rests_on = nodes[evidence] if isinstance(evidence, int) else tuple(evidence)
                context.support(fact, sources[source], round, rests_on)
            else:
                cited = nodes[evidence] if isinstance(evidence, int) else _moved(evidence, places)
                context.support(places[fact], sources[source], round, cited)

    def _given(self, ranges: Iterable[Any], picks: Iterable[int]) -> Given:
        labels, places = self._kinds.labels, self._places
        parts = tuple(Range(labels.get(kind, kind), *part) for kind, *part in ranges)
        return Given(parts, tuple(picks) if places is None else _moved(picks, places))

    def _advance(self, watermark: Watermark) -> None:
        job = self.snapshot
        before = job.watermarks.get(watermark.source.agent)
        completed = -1 if before is None or before.source != watermark.source else before.wrote
        if watermark.wrote > completed:
            job.context.complete(watermark.source, watermark.ran, watermark.wrote)
        job.context.reach(watermark.offered)
        job.watermarks[watermark.source.agent] = watermark


class StoredKinds:
    """Finds the kind of a stored fact, brings older facts forward, or makes a plain kind where any will do."""

    def __init__(self, job_id: str, kinds: Mapping[str, Kind] | None) -> None:
        self.job_id, self.plain = job_id, kinds is None
        self.by_label: dict[str, Kind] = {**(kinds or {}), **_BUILT_IN}
        self.labels: dict[str, str] = {}  # of facts that were brought forward -> what they are now
        self.renamed: dict[str, str] = {}  # as above, of ids
        self.row: list[Any] = []  # the facts among which a marker's target may be that has not been read yet

    def fact(self, fact_id: str, content: Any) -> Fact:
        """Return a stored fact. Raises StoredFactInvalid."""
        label = fact_id[:_COLON]
        kind = self.by_label.get(label)
        try:
            if kind is None:
                if not self.plain:
                    return self._upgraded(fact_id, label, content)
                kind = self.by_label[label] = _plain_kind(label)
            if kind.cls is Invalidation and not self.plain:
                return self._redirected(fact_id, content)
            fact = kind.load({"content": content} if self.plain and label not in _BUILT_IN else content)
        except FactInvalid as error:
            raise StoredFactInvalid(self.job_id, fact_id, str(error)) from error
        remember(fact, fact_id)
        return fact  # type: ignore[no-any-return]

    def _upgraded(self, fact_id: str, label: str, content: Any) -> Fact:
        name, version = _split(label)
        kind = max((kind for kind in self.by_label.values() if kind.name == name), key=_version, default=None)
        if kind is None:
            raise StoredFactInvalid(self.job_id, fact_id, f"no agent of this engine declares kind {name}")
        if kind.version < version:
            reason = f"it is of version {version} and kind {name} here of version {kind.version}: use newer agents"
            raise StoredFactInvalid(self.job_id, fact_id, reason)
        upgrade = getattr(kind.cls, "upgrade", None)
        if upgrade is None:
            reason = f"it is of version {version} and kind {name} here of version {kind.version}: {_HOW}"
            raise StoredFactInvalid(self.job_id, fact_id, reason)
        try:
            fact, found, _ = identified(kind.load(upgrade(content, version)))
        except FactInvalid:
            raise
        except Exception as error:
            reason = f"{name}.upgrade raised {type(error).__name__}: {error}"
            raise StoredFactInvalid(self.job_id, fact_id, reason) from error
        self.labels[label], self.renamed[fact_id] = kind.label, found
        return fact  # type: ignore[no-any-return]

    def _redirected(self, fact_id: str, content: Any) -> Fact:
        """Return a marker whose target may have another id now."""
        target = content["target"]
        if target.rpartition(":")[0] not in self.by_label and target not in self.renamed:
            self._look_ahead(target)
        fact, found, _ = identified(Invalidation(**{**content, "target": self.renamed.get(target, target)}))
        if found != fact_id:
            self.renamed[fact_id] = found
        return fact

    def _look_ahead(self, target: str) -> None:
        for fact_id, _, content in self.row:
            if fact_id == target:
                self.fact(fact_id, content)


def _moved(positions: Iterable[int], places: list[int]) -> tuple[int, ...]:
    return tuple(sorted({places[position] for position in positions}))


_COLON = -33  # where an id's digest of 32 digits is parted from the kind's label
_HOW = "give its class a classmethod upgrade(cls, content, version) that returns the content of today"


def _version(kind: Kind) -> int:
    return kind.version


def _split(label: str) -> tuple[str, int]:
    name, _, version = label.partition("@")
    return name, int(version or 1)


def _plain_kind(label: str) -> Kind:
    name, version = _split(label)
    options = {"name": name, "version": version, "policy": "many"}
    body = {"__annotations__": {"content": dict[str, Any]}, "__module__": __name__}
    return kind_of(new_class("Plain", (Fact,), options, lambda namespace: namespace.update(body)))
