"""Stored jobs for MCP clients: what there is, what holds, why and why not, what became of it, what people are asked.

A job is restored for each question and nothing of it is kept; no agent runs. Nothing is written, unless a name is given
under which decisions are stated: then whoever talks to the server decides as that person.
"""

__all__ = ["job_server"]


import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel

from converge.archive.deciding import decision_on, post
from converge.archive.explaining import explained
from converge.archive.timeline import timeline
from converge.clock import SystemClock
from converge.deciding import Asked
from converge.errors import ConvergeError, ExtraMissing
from converge.explain.content import content_of
from converge.explain.explained import Explained
from converge.explain.outline import Shown
from converge.explain.reference import Wanted
from converge.fact import Fact, id_of, kind_of
from converge.lease import is_gone
from converge.opening import opening_of
from converge.ports import Clock, JobSummary, Store
from converge.proposal import proposed_label
from converge.wiring import Wiring

try:
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp.types import ToolAnnotations
except ModuleNotFoundError as error:
    raise ExtraMissing("converge.mcp", "mcp") from error

_LINES, _STEPS = 200, 200  # of an answer
_INSTRUCTIONS = (
    "Decision jobs of Converge. Begin with `jobs`, look at one with `job`, then ask `why` a fact holds or `why_not`. "
    "A fact is named by its id, the first digits of it, or its kind and fields, as in `Risk name=fire`."
)


class JobLine(BaseModel):
    """One job. `stop` is null for one that has not stopped; times are ISO 8601 in UTC."""

    job_id: str
    objective: str
    created: str
    updated: str
    cycles: int
    round: int
    facts: int
    stop: str | None
    running: bool


class Jobs(BaseModel):
    """Jobs, the newest first; `total` counts all there are."""

    jobs: list[JobLine]
    total: int


class StoredFact(BaseModel):
    """A fact, how it stands (live, dead or disputed), and which agents state it: none for what was given."""

    id: str
    kind: str
    label: str
    round: int
    agents: list[str]
    fact: dict[str, Any]


class Facts(BaseModel):
    """Facts of a job; `total` counts all that fit."""

    facts: list[StoredFact]
    total: int


class Question(BaseModel):
    """What a person in some role is asked: whether a fact that an agent proposes is to be believed."""

    request: str
    role: str
    kind: str
    by: str
    confidence: float | None
    fact: Any


class Questions(BaseModel):
    """What is asked in a job and nobody has decided."""

    questions: list[Question]


class JobState(BaseModel):
    """How a job stands: why it stopped, what it concluded, what it asks people, and what it spent."""

    job_id: str
    objective: str
    stop: str | None
    kinds: dict[str, int]
    conclusions: list[StoredFact]
    questions: list[Question]
    spend: dict[str, float]


class Answer(BaseModel):
    """An answer, as text to read and as data."""

    text: str
    data: dict[str, Any]


class Decided(BaseModel):
    """A decision that was stated; `running` says whether somebody runs the job and goes on from it now."""

    job_id: str
    request: str
    choice: str
    by: str
    running: bool


def job_server(
    store: Store, wiring: Wiring | None = None, *, decides: str | None = None, clock: Clock | None = None
) -> MCPServer:
    """Return an MCP server for the jobs of a store: `await server.run_stdio_async()`, or an app to mount.

    wiring: of the engine that runs them (`engine.wiring`), for what its agents could have done. decides: the name under
    which clients may decide what jobs ask; None lets them only look.
    """
    served = _Served(store, wiring, decides, clock or SystemClock())
    server: MCPServer = MCPServer("converge", instructions=_INSTRUCTIONS, log_level="WARNING")
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    for tool in (served.jobs, served.job, served.facts, served.why, served.why_not, served.history, served.questions):
        server.add_tool(tool, annotations=reads)
    if decides is not None:
        server.add_tool(served.decide, annotations=ToolAnnotations(read_only_hint=False, open_world_hint=False))
    return server


class _Served:
    """The tools of one server."""

    def __init__(self, store: Store, wiring: Wiring | None, decides: str | None, clock: Clock) -> None:
        self._store, self._wiring, self._decides, self._clock = store, wiring, decides, clock

    async def jobs(self, limit: int = 50) -> Jobs:
        """List jobs, the newest first."""
        with _said():
            async with opening_of(self._store):
                found = await self._store.jobs()
        now = self._clock.now()
        return Jobs(jobs=[_line(job, now) for job in found[: max(limit, 0)]], total=len(found))

    async def job(self, job_id: str, cycle: int | None = None) -> JobState:
        """Show how a job stands, or stood when `cycle` was complete: its stop, conclusions, questions and spend."""
        with _said():
            job = await self._explained(job_id, cycle)
            rows = _rows(job)
            concluded = {one.id: one for one in rows}
            return JobState(
                job_id=job.job_id,
                objective=job.context.intent.objective,
                stop=job.stop,
                kinds={kind: sum(row.kind == kind for row in rows) for kind in dict.fromkeys(row.kind for row in rows)},
                conclusions=[concluded[id_of(fact)] for fact in job.conclusions()[:_LINES]],
                questions=[_question(one) for one in job.asked],
                spend=job.spend._asdict(),
            )

    async def facts(
        self,
        job_id: str,
        kind: str | None = None,
        label: Literal["live", "dead", "disputed"] | None = "live",
        limit: int = 100,
        offset: int = 0,
        cycle: int | None = None,
    ) -> Facts:
        """List facts of a job: of one kind, and as they stand (label null: however they stand)."""
        with _said():
            rows = _rows(await self._explained(job_id, cycle))
        fitting = [row for row in rows if kind in (None, row.kind) and label in (None, row.label)]
        return Facts(facts=fitting[max(offset, 0) :][: max(limit, 0)], total=len(fitting))

    async def why(self, job_id: str, fact: str, cycle: int | None = None) -> Answer:
        """Show why a fact holds: its smallest proof, down to what was given, with what models answered on the way."""
        with _said():
            answer = (await self._explained(job_id, cycle)).why(_words(fact))
            return Answer(text=answer.text(_LINES), data=answer.to_dict(_STEPS))

    async def why_not(self, job_id: str, fact: str, cycle: int | None = None) -> Answer:
        """Show why something does not hold, named as in `Risk name=fire`: what stood in the way of each agent."""
        with _said():
            return _answer((await self._explained(job_id, cycle)).lacks(Wanted.of(_words(fact))))

    async def history(self, job_id: str, fact: str | None = None) -> Answer:
        """Show what became of a fact, round by round; without one, what each row of the job added and when."""
        with _said():
            if fact is not None:
                return _answer((await self._explained(job_id)).history(_words(fact)))
            async with opening_of(self._store):
                moments = await timeline(self._store, job_id)
        rows = [{**moment._asdict(), "at": _time(moment.at)} for moment in moments]
        told = [
            f"{row['number']}: {row['at']}, round {row['round']}, {row['facts']} facts, {row['what']}" for row in rows
        ]
        return Answer(text="\n".join(told), data={"rows": rows})

    async def questions(self, job_id: str) -> Questions:
        """List what a job asks people and nobody has decided."""
        with _said():
            return Questions(questions=[_question(one) for one in (await self._explained(job_id)).asked])

    async def decide(
        self,
        job_id: str,
        request: str,
        choice: Literal["approve", "reject", "refine"],
        reason: str = "",
        changes: dict[str, Any] | None = None,
    ) -> Decided:
        """State what a person decided on a question; with `refine`, the fields that are to be otherwise.

        It cannot be taken back. Ask the person before you call it.
        """
        by = self._decides or ""
        kinds = None if self._wiring is None else self._wiring.kinds
        content = {"choice": choice, "by": by, "reason": reason, "changes": changes or {}}
        with _said():
            async with opening_of(self._store):
                decision = await decision_on(self._store, job_id, request, kinds, content)
                is_run = await post(self._store, job_id, self._clock.now(), [decision])
        return Decided(job_id=job_id, request=decision.request, choice=choice, by=by, running=is_run)

    async def _explained(self, job_id: str, cycle: int | None = None) -> Explained:
        async with opening_of(self._store):
            return await explained(self._store, job_id, cycle, self._wiring)


@contextmanager
def _said() -> Iterator[None]:
    """Tell the client what it can mend in a sentence; anything else stays here."""
    try:
        yield
    except ConvergeError as error:
        raise ToolError(str(error)) from error


def _words(fact: str) -> Sequence[str]:
    try:
        words = shlex.split(fact)
    except ValueError as error:
        raise ToolError(f"{fact!r:.100} cannot be read ({error}): write an id, or a kind and fields") from error
    if not words:
        raise ToolError("name a fact: by its id, or by its kind and fields, as in Risk name=fire")
    return words


def _answer(answer: Shown) -> Answer:
    return Answer(text=answer.text(_LINES), data=answer.to_dict())


def _rows(job: Explained) -> list[StoredFact]:
    contents = {id_of(fact): content_of(fact) for fact in job.context.facts[1:]}
    return [
        StoredFact(
            id=row["fact_id"],
            kind=row["fact_kind"],
            label=row["fact_label"],
            round=row["fact_round"],
            agents=row["fact_agents"],
            fact=contents[row["fact_id"]],
        )
        for row in job.to_records()
    ]


def _question(one: Asked) -> Question:
    fact = content_of(one.fact) if isinstance(one.fact, Fact) else one.fact
    kind = proposed_label(kind_of(one.proposal))
    return Question(request=one.id, role=one.role, kind=kind, by=one.by, confidence=one.confidence, fact=fact)


def _line(job: JobSummary, now: float) -> JobLine:
    is_run = job.lease is not None and job.lease.expires >= now and not is_gone(job.lease.holder)
    told = {**job._asdict(), "created": _time(job.created), "updated": _time(job.updated), "running": is_run}
    return JobLine.model_validate({name: told[name] for name in JobLine.model_fields})


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
