"""Cycles as JSON rows: what is written of a job, and the position it can go on from.

A row holds only what its cycle added. Facts are referred to by position: rows are restored in the order in which
they were written, so positions come back the same. A row may begin anew: what stands before it is history then.
Captures, which cannot wait for their cycle, are rows of their own.
"""

__all__ = ["FORM", "Cycle", "Records", "Snapshot", "Watermark"]

import dataclasses
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic_core import to_json

from converge.capture import Captures, Note, Question
from converge.context import Context
from converge.effect import Given, Source
from converge.fact import identified, stored_id
from converge.intent import Budget, Spend
from converge.ledger import Line
from converge.trace import Trace

FORM = 3  # of a row's body
Anew = Literal["reuse", "fresh"]  # what becomes of the captures of before


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
class Snapshot:
    """The persisted position a job can go on from.

    letter: the last letter that was merged; anew: set where what is known now is not what the rows say in turn, so
    that the next row must hold all of it; renamed: the ids of stored facts that were brought forward -> what they are.
    """

    job_id: str
    context: Context
    trace: Trace
    watermarks: dict[str, Watermark]
    spend: Spend
    budget: Budget
    cycles: int
    captures: Captures = dataclasses.field(default_factory=Captures)
    letter: int = 0
    anew: Anew | None = None
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class Records:
    """Captures, and lines of the ledger, as a row of their own, made while a job stood at some round and size."""

    captures: Sequence[tuple[Question, str, Note]]
    at: float
    round: int
    facts: int
    lines: Sequence[Line] = ()
    cycle: None = None
    stop: None = None

    def body(self) -> str:
        """Return the row as JSON."""
        lines = f',"spent":{_dump(self.lines)}' if self.lines else ""
        return f'{{"form":{FORM},"captures":{_dump(self.captures)}{lines}}}'

    def lighten(self) -> None:
        """Keep everything: it cannot be computed again."""


@dataclasses.dataclass(slots=True)
class Cycle:
    """What one cycle added, as ranges of the append-only logs; encoded when a store asks for the body.

    since, upto: how many facts, supports and events there were before it, and with it. `rounds` and `derived` are the
    rounds of facts and of supports at that moment: a later support may lower them.
    """

    context: Context
    trace: Trace
    cycle: int
    at: float
    round: int
    facts: int
    stop: str | None
    since: tuple[int, int, int]
    upto: tuple[int, int, int]
    watermarks: "tuple[Watermark, ...] | _Packed"
    spend: Spend  # where it is the last of its turn, with what is reserved for those that begin after it
    budget: Budget | None  # where it may be another than before
    letter: int = 0
    anew: Anew | None = None
    bodies: tuple[bytes, ...] | None = None
    rounds: list[int] = dataclasses.field(init=False)
    derived: Sequence[int] = dataclasses.field(init=False)
    completed: list[tuple[Source, int, int]] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.rounds = self.context.rounds[self.since[0] : self.upto[0]]
        self.derived = self.context.supports.rounds(self.since[1], self.upto[1])
        # What a row that follows others adds to this, its watermarks say.
        self.completed = self.context.supports.completions() if self.anew else []

    def body(self) -> str:
        """Return the row as JSON."""
        parts: dict[str, Any] = {
            **({"letter": self.letter} if self.letter else {}),
            **self._supports(),
            **({"completed": self.completed} if self.completed else {}),
            "watermarks": [(*watermark.source, *watermark[1:]) for watermark in self.watermarks],
            "spend": self.spend._asdict(),
            **({"budget": self.budget} if self.budget else {}),
            "trace": self.trace.encoded(self.since[2], self.upto[2]),
        }
        anew = f'"anew":"{self.anew}",' if self.anew else ""
        # Facts were encoded when they got their ids.
        start = f'{{"form":{FORM},"cycle":{self.cycle},{anew}"base":{self.since[0]},"facts":{self._facts()},'
        return start + _dump(parts)[1:]

    def lighten(self) -> None:
        """Drop the encoded facts, which `body` encodes again; keep several watermarks as numbers."""
        self.bodies = None
        if isinstance(self.watermarks, tuple) and len(self.watermarks) > 1:
            self.watermarks = _Packed(self.watermarks)

    def _facts(self) -> str:
        facts = self.context.facts[self.since[0] : self.upto[0]]
        bodies = self.bodies if self.bodies is not None else [identified(fact)[2] for fact in facts]
        rows = zip(facts, self.rounds, bodies, strict=True)
        return "[" + ",".join(f'["{stored_id(fact)}",{round},{body.decode()}]' for fact, round, body in rows) + "]"

    def _supports(self) -> dict[str, Any]:
        """Name each source and evidence node of the row once, and refer to them by number."""
        sources: dict[int, int] = {}
        nodes: dict[int, tuple[int, Given]] = {}
        rows = []
        supports = self.context.supports[self.since[1] : self.upto[1]]
        for (fact, source, _, evidence), round in zip(supports, self.derived, strict=True):
            rests_on: object = evidence
            if isinstance(evidence, Given):
                rests_on, _ = nodes.setdefault(id(evidence), (len(nodes), evidence))
            rows.append((fact, sources.setdefault(source, len(sources)), round, rests_on))
        return {
            "sources": [self.context.supports.sources[number] for number in sources],
            "given": [given for _, given in nodes.values()],
            "supports": rows,
        }


class _Packed:
    """The watermarks of a cycle as numbers in a row: there is one for each activation, and it is looked at rarely."""

    __slots__ = ("_numbers", "_sources")

    def __init__(self, watermarks: Iterable[Watermark]) -> None:
        several = tuple(watermarks)
        self._sources = [watermark.source for watermark in several]
        self._numbers = array("i", [number for watermark in several for number in watermark[1:]])

    def __iter__(self) -> Iterator[Watermark]:
        columns = [iter(self._numbers)] * (len(Watermark._fields) - 1)
        for source, (ran, seen, failed, *rest) in zip(self._sources, zip(*columns, strict=True), strict=True):
            yield Watermark(source, ran, seen, bool(failed), *rest)


def _dump(value: object) -> str:
    return to_json(value).decode()
