"""From a job's rows back to the job that wrote them, its facts as the engine's kinds are today.

A stored fact whose kind is unknown, or no longer takes its content, is an error that names it: nothing is guessed,
nothing is left out, and the rows stay as they are. A kind's `upgrade` brings facts of its earlier versions forward.
"""

__all__ = ["given_to", "restore"]

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from pydantic_core import from_json

from converge.capture import Captures, Question
from converge.context import Context
from converge.effect import Given, Range, Source
from converge.errors import StoredFactInvalid
from converge.fact import Fact, id_of, identified, kind_of
from converge.intent import Budget, RootIntent, Spend
from converge.kind import Kind
from converge.ledger import Line
from converge.ports import StoredJob
from converge.snapshot import FORM, Snapshot, Watermark
from converge.stored_kinds import BUILT_IN, STATED, StoredKinds
from converge.support import OUTSIDE
from converge.trace import Captured, Trace, decode_event

_FORMS = (2, FORM)  # form 2 kept captures in the row of their cycle


def restore(stored: StoredJob, kinds: Mapping[str, Kind] | None) -> Snapshot:
    """Return the position that the rows describe. `kinds` by label; None reads every fact as plain JSON.

    Raises StoredFactInvalid for a fact whose kind is not among `kinds` or whose content no longer fits it, and for a
    row of another form.
    """
    job = _restored(stored, kinds, [])
    if job.doubles:  # which ranges they stood in is known once all rows are read
        job = _restored(stored, kinds, job.doubles)
    return job.snapshot


@contextmanager
def _named(job_id: str, number: int) -> Iterator[None]:
    """Name the row that is not as any version writes one. Raises StoredFactInvalid."""
    try:
        yield
    except StoredFactInvalid:
        raise
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        reason = f"it is not as it was written ({type(error).__name__}: {error}): {_EDITED}"
        raise StoredFactInvalid(job_id, f"row {number}", reason) from error


def given_to(stored: StoredJob, kinds: Mapping[str, Kind], plain: Snapshot | None = None) -> list[Fact]:
    """Return what a job was given from outside, at any time; `plain` is the job as read without kinds, if it was.

    Raises StoredFactInvalid.
    """
    context = (plain or restore(stored, None)).context
    known = StoredKinds(stored.header.job_id, kinds, partial(_contents, stored.bodies))
    given = {support.fact: None for support in context.supports if context.supports.sources[support.source] == OUTSIDE}
    facts = [context.facts[place] for place in given]
    return [known.fact(id_of(fact), _content(fact)) for fact in facts if type(fact) not in STATED]


def _content(fact: Fact) -> Any:
    """Return the content of a fact that was read without its kind."""
    content = from_json(identified(fact)[2])
    return content if kind_of(fact).label in BUILT_IN else content["content"]


def _restored(stored: StoredJob, kinds: Mapping[str, Kind] | None, doubles: "list[_Double]") -> "_Restoring":
    job_id, _, header = stored.header
    with _named(job_id, 0):
        intent, _, _ = identified(BUILT_IN["RootIntent"].load(from_json(header)))
    job = _Restoring(job_id, intent, StoredKinds(job_id, kinds, partial(_contents, stored.bodies)), doubles)
    last = max((number for number, body in enumerate(stored.bodies, start=1) if _ANEW.match(body)), default=0)
    for number, body in enumerate(stored.bodies, start=1):
        with _named(job_id, number):
            row = from_json(body, cache_strings="keys")
            if row["form"] not in _FORMS:
                reason = f"form {row['form']} is not form {FORM} of rows"
                raise StoredFactInvalid(job_id, f"row {number}", reason)
            job.apply(row, number, is_history=number < last)
    job.snapshot.spend = job.snapshot.spend.with_calls(*job.snapshot.captures.ledger.spent)
    return job


def _contents(bodies: Iterable[str]) -> dict[str, Any]:
    """Return the content of every fact that rows hold, by id."""
    rows = map(from_json, bodies)
    return {fact_id: content for row in rows for fact_id, _, content in row.get("facts", ())}


class _Restoring:
    """A job while its rows are read."""

    def __init__(self, job_id: str, intent: RootIntent, kinds: "StoredKinds", doubles: "list[_Double]") -> None:
        self._intent, self._kinds = intent, kinds
        self.snapshot = Snapshot(job_id, Context(intent), Trace(), {}, Spend(), Budget(), 0)
        self._places: list[int] | None = None  # stored position -> position, once they are not the same
        self._doubled = sorted(doubles)
        self.doubles: list[_Double] = []  # as found in these rows

    def apply(self, row: Mapping[str, Any], number: int, *, is_history: bool) -> None:
        """Add what one row holds; of one that a later row replaces, only what goes on from it."""
        if row.get("anew"):
            self._begin_anew(keep_captures=row["anew"] == "reuse")
        for question, answer, *note in row.get("captures", ()):
            self.snapshot.captures.restore(Question(*question), answer, *note)
        for line in row.get("spent", ()):
            self.snapshot.captures.ledger.restore(Line(*line))
        if "watermarks" in row:
            if not is_history:
                self._cycle(row)
            self.snapshot.cycles = row.get("cycle", number)
        self.snapshot.letter = row.get("letter", self.snapshot.letter)

    def _begin_anew(self, *, keep_captures: bool) -> None:
        job = self.snapshot
        captures = job.captures.unpaid() if keep_captures else Captures()
        self._places = None
        self.snapshot = Snapshot(
            job.job_id, Context(self._intent), Trace(), {}, Spend(), Budget(), job.cycles, captures, job.letter
        )

    def _cycle(self, row: Mapping[str, Any]) -> None:
        self._facts(row["facts"])
        self._supports(row)
        for source, read, wrote in row.get("completed", ()):
            self.snapshot.context.complete(Source(*source), read, wrote)
        for agent, version, replaces, *progress in row["watermarks"]:
            self._advance(Watermark(Source(agent, version, replaces), *progress))
        for event in map(decode_event, row["trace"]):
            self.snapshot.trace.restore(event)
            if isinstance(event, Captured):
                self.snapshot.captures.tell(Question(event.agent, event.version, *event[4:8]))
        self.snapshot.spend = Spend(**row["spend"])
        if "budget" in row:
            self.snapshot.budget = Budget(**row["budget"])

    def _facts(self, rows: list[Any]) -> None:
        context, kinds = self.snapshot.context, self._kinds
        if not rows:
            return
        ids, rounds, contents = zip(*rows, strict=True)
        facts = kinds.facts(ids, contents)
        if not kinds.renamed and context.extend(facts, rounds):
            return
        for fact, round in zip(facts, rounds, strict=True):
            is_new = context.add(fact, round)
            if not is_new or kinds.renamed:
                self._move(fact, round, is_new=is_new)

    def _move(self, fact: Fact, round: int, *, is_new: bool) -> None:
        """Note where a fact is now that positions and ids are not those of the rows any more."""
        context = self.snapshot.context
        place, label = context.position[id_of(fact)], kind_of(fact).label
        if self._places is None:
            self._places = list(range(len(context.facts) - is_new))
            self.snapshot.anew, self.snapshot.renamed = "reuse", self._kinds.renamed
        self._places.append(place)
        if not is_new:  # two have become one: it stands in one round, and was given in the rounds of both
            self.doubles += [(label, round, place), (label, context.rounds[place], place)]

    def _supports(self, row: Mapping[str, Any]) -> None:
        context, places = self.snapshot.context, self._places
        numbers = [context.supports.number(Source(*source)) for source in row["sources"]]
        nodes = [context.node(self._given(*node)) for node in row["given"]]
        if not row["supports"]:
            return
        facts, sources, rounds, evidence = zip(*row["supports"], strict=True)
        if places is None:
            cited = [nodes[one] if isinstance(one, int) else tuple(one) for one in evidence]
        else:
            facts = tuple(places[fact] for fact in facts)
            cited = [nodes[one] if isinstance(one, int) else _moved(one, places) for one in evidence]
        context.derive(facts, [numbers[source] for source in sources], rounds, cited)

    def _given(self, ranges: Iterable[Any], picks: Iterable[int]) -> Given:
        labels, places = self._kinds.labels, self._places
        parts = tuple(Range(labels.get(kind, kind), *part) for kind, *part in ranges)
        if places is None:
            return Given(parts, tuple(picks))
        doubled = {place for part in parts for place in self._doubled_in(part)}
        return Given(parts, tuple(sorted(doubled.union(_moved(picks, places)))))

    def _doubled_in(self, part: Range) -> Iterator[int]:
        """Iterate over what stood in a range, and may stand in a round before it now."""
        if self._doubled and part.after >= 0:  # else there is none before it; so it is with all that are of live facts
            first, last = ((part.kind, round + 1, -1) for round in (part.after, part.upto))
            for _, _, place in self._doubled[bisect_left(self._doubled, first) : bisect_left(self._doubled, last)]:
                yield place

    def _advance(self, watermark: Watermark) -> None:
        job = self.snapshot
        before = job.watermarks.get(watermark.source.agent)
        completed = -1 if before is None or before.source != watermark.source else before.wrote
        if watermark.wrote > completed:
            job.context.complete(watermark.source, watermark.ran, watermark.wrote)
        job.context.reach(watermark.offered)
        job.watermarks[watermark.source.agent] = watermark


def _moved(positions: Iterable[int], places: list[int]) -> tuple[int, ...]:
    return tuple(sorted({places[position] for position in positions}))


_EDITED = "`converge audit` says what was done to the job, and `converge show --raw` shows what is left of it"
_ANEW = re.compile(r'\{"form":\d+,"cycle":\d+,"anew":')  # how a row begins that all before it is history to
_Double = tuple[str, int, int]  # label, a round in which one of two facts stood that are one now, its position
