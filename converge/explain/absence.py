"""Why something does not hold: what became of it, if it was stated, and what stood in the way of each agent.

What agents could have done is known from their declarations. Where a job is looked at without its agents, only those
are known that wrote such facts at some time, and the answer says so.
"""

__all__ = ["Absence", "Hindrance", "absence"]

from collections.abc import Iterator, Mapping, Sequence
from heapq import nsmallest
from itertools import islice
from typing import Any, Literal, NamedTuple

from converge.agent import Agent, kind_read
from converge.context import Context
from converge.deciding import asked, refusals
from converge.effect import Source
from converge.errors import FactHolds, FactUnknown
from converge.explain.content import content_of, data_of, described
from converge.explain.facts import fact_outlines
from converge.explain.outline import Line, Outline, Shown, Span, one_line
from converge.explain.reference import Wanted, found, no_such_kind
from converge.explain.standing import Standing, standing
from converge.fact import Fact, Failure, id_of, kind_of
from converge.gate import Human, OpinionOf
from converge.kind import Kind
from converge.proposal import Opinion, Verdict, content_proposed
from converge.snapshot import Watermark
from converge.stop import StopReason
from converge.trace import Activated, ActivationFailed, JobStopped, Trace
from converge.view import UNRESTRICTED, View

Sort = Literal[
    "fell",
    "disputed",
    "refused",
    "waiting",
    "unjudged",
    "failed",
    "unread",
    "nothing to read",
    "not accepted",
    "not run",
    "silent",
    "given only",
    "nobody",
    "unknown",
]


class Hindrance(NamedTuple):
    """One thing that stood in the way. agent: in whose way; None where no agent's. facts: what it is about.

    behind: for an agent that had nothing to read, why there was nothing of each kind.
    """

    sort: Sort
    agent: str | None
    text: str
    facts: tuple[Fact, ...] = ()
    behind: tuple["Absence", ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data; see `hindrance` in docs/explaining.schema.json."""
        return {
            "sort": self.sort,
            "agent": self.agent,
            "text": self.text,
            "facts": [data_of(fact) for fact in self.facts],
            "behind": [one.to_dict() for one in self.behind],
        }


class Absence(Shown):
    """Why no such fact holds. known: those that were stated, and how they stand. instead: what holds in their place.

    agents_known: whether the agents' declarations were at hand.
    """

    def __init__(
        self,
        wanted: Wanted,
        hindrances: tuple[Hindrance, ...],
        known: tuple[Standing, ...],
        instead: tuple[Fact, ...],
        *,
        agents_known: bool,
    ) -> None:
        self.wanted, self.hindrances, self.known, self.instead = wanted, hindrances, known, instead
        self.agents_known = agents_known

    def __repr__(self) -> str:
        return f"<absence of {self.wanted}: {len(self.hindrances)} reasons; print it to see them>"

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents that could have stated it, or did."""
        return tuple(dict.fromkeys(one.agent for one in self.hindrances if one.agent is not None))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data; see `why_not` in docs/explaining.schema.json."""
        return {
            "what": "why_not",
            "wanted": str(self.wanted),
            "kind": self.wanted.kind,
            "known": [one.to_dict() for one in self.known],
            "instead": [data_of(fact) for fact in self.instead],
            "hindrances": [one.to_dict() for one in self.hindrances],
            "agents_known": self.agents_known,
        }

    def outline(self) -> Outline:
        """Return the reasons, those nearest to the fact first."""
        head = Span("no ", "strong"), Span(one_line(self.wanted), "kind"), Span(" holds", "strong")
        hint = Span("what its agents could have stated is not at hand: only those that did are named", "dim")
        return Outline(head, notes=() if self.agents_known else ((hint,),), parts=self._parts, tall=_TALL)

    def _parts(self) -> list[Outline]:
        parts = list(map(_told, self.hindrances))
        if self.instead:
            many = ", among others," if len(self.instead) >= _NAMED else ""
            line = (Span(f"instead there {'hold' if len(self.instead) > 1 else 'holds'}{many}", "dim"),)
            parts.append(Outline(line, parts=lambda: fact_outlines(self.instead)))
        return parts


_TALL = 5
_NAMED = 5


def _told(one: Hindrance) -> Outline:
    role: Any = {"fell": "dead", "disputed": "disputed", "failed": "dead", "refused": "dead"}.get(one.sort, "warn")
    who = (Span(one_line(one.agent), "agent"), Span(": ")) if one.agent else ()
    line: Line = (Span(f"{one.sort}  ", role), *who, Span(one_line(one.text)))
    return Outline(
        line, parts=lambda: [*fact_outlines(one.facts), *(behind.outline() for behind in one.behind)], tall=_TALL
    )


# --- finding ----------------------------------------------------------------------------------------------------------


class Job(NamedTuple):
    """What of a job has to do with what it does not say; agents and kinds are None where they are not at hand."""

    context: Context
    trace: Trace
    watermarks: dict[str, Watermark]
    reason: str | None
    agents: Sequence[Agent] | None
    kinds: dict[str, Kind] | None


_DIGITS = 8  # that name a request
_DEEP = 4  # kinds behind kinds that there was nothing of


def absence(job: Job, wanted: Wanted) -> Absence:
    """Return why no fact that is wanted holds. Raises FactHolds, and FactUnknown for a kind that there is not."""
    return _Search(job).of(wanted, frozenset(), holds=True)


class _Search:
    def __init__(self, job: Job) -> None:
        self._job, self._context = job, job.context
        self._view = View(job.context, job.context.highest, UNRESTRICTED)
        self._refused = refusals(self._view)
        self._written: dict[str, Mapping[str, Mapping[int, None]]] = {}

    def of(self, wanted: Wanted, above: frozenset[str], *, holds: bool = False) -> Absence:
        job, context = self._job, self._context
        places = found(context, wanted)
        live = [place for place in places if context.is_live(place, context.highest)]
        if live and holds:
            raise FactHolds(id_of(context.facts[live[0]]))
        self._check_kind(wanted.kind)
        known = tuple(standing(context, place, context.highest) for place in places if place not in live)
        hindrances = [*map(self._fallen, known), *self._proposed(wanted)]
        spoken = {one.agent for one in hindrances}  # what was proposed says more than that it was
        for name, agent in self._writers(wanted.kind, places):
            hindrances += self._hindered(name, agent, wanted, above) if name not in spoken else ()
        hindrances = hindrances or [self._nobody(wanted.kind)]
        return Absence(wanted, tuple(hindrances), known, self._instead(wanted), agents_known=job.agents is not None)

    def _check_kind(self, kind: str) -> None:
        """Refuse a kind that neither the facts nor the declarations know: it is misspelt."""
        proposed = (label.removeprefix("Proposal.") for label in self._context.kinds)
        known = {*self._context.kinds, *proposed, *(self._job.kinds or ())}
        if kind not in known:
            raise FactUnknown(kind, no_such_kind(kind, known, declared=self._job.kinds is not None))

    # --- what was stated, or proposed -----------------------------------------------------------------------------

    def _fallen(self, known: Standing) -> Hindrance:
        sort: Sort = "disputed" if known.label == "disputed" else "fell"
        lost = dict.fromkeys(fact for one in known.stated for fact in one.lost)
        marks = [mark.fact for mark in known.marks if mark.label != "dead"]
        said = f"{kind_of(known.fact).label} {described(known.fact)}: {'; '.join(known.reasons)}"
        return Hindrance(sort, None, said, (*marks, *list(lost)[:_NAMED]))

    def _proposed(self, wanted: Wanted) -> Iterator[Hindrance]:
        """Look at what was proposed: a gate refused it, waits for somebody, or has not judged it."""
        waiting = {id_of(one.proposal): one for one in asked(self._view)}
        for label, log in self._context.kinds.items():
            if not label.startswith("Proposal.") or label.removeprefix("Proposal.") != wanted.kind:
                continue
            for proposal in log.between(-1, self._context.highest):
                if not self._suits(proposal, wanted):
                    continue
                yield self._judged(proposal, waiting)

    def _suits(self, proposal: Fact, wanted: Wanted) -> bool:
        pair = content_proposed(id_of(proposal), content_of(proposal))
        proposed = getattr(proposal, "fact", None)
        if isinstance(proposed, Fact):
            return bool(wanted.among([proposed]))
        return pair is not None and wanted.fits_content(pair[1])

    def _judged(self, proposal: Fact, waiting: dict[str, Any]) -> Hindrance:
        name, by = id_of(proposal), str(content_of(proposal)["by"])
        place = self._context.position[name]
        if not self._context.is_live(place, self._context.highest):
            reasons = "; ".join(standing(self._context, place, self._context.highest).reasons)
            return Hindrance("fell", by, f"it proposed it, and that fell: {reasons}", (proposal,))
        if refusal := self._refused.get(name):
            text = f"it proposed it, and {refusal.step} refused it: {refusal.reason}"
            return Hindrance("refused", by, text, (proposal,))
        if name in waiting:
            one = waiting[name]
            digits = one.id.rpartition(":")[2][:_DIGITS]
            text = f"it proposed it, and {one.role} has not decided on request {digits}"
            return Hindrance("waiting", by, text, (proposal, self._context.facts[self._context.position[one.id]]))
        return Hindrance("unjudged", by, f"it proposed it, and {self._not_judged(by, name)}", (proposal,))

    def _not_judged(self, by: str, proposal: str) -> str:
        agent = next((one for one in self._job.agents or () if one.name == by), None)
        for step in agent.gate if agent else ():
            if isinstance(step, OpinionOf) and not self._view.live(Opinion, (proposal, step.agent)):
                return f"its gate waits for the opinion of {step.agent}"
        if any(isinstance(step, Human) for step in agent.gate) if agent else False:
            return "people have decided in other words: what they made of it is another fact"
        passed = [one for one in self._view.live(Verdict) if one.proposal == proposal and one.passed]
        return "its gate let through another form of it" if passed else "its gate has not judged it yet"

    # --- who could have -------------------------------------------------------------------------------------------

    def _writers(self, kind: str, places: Sequence[int]) -> list[tuple[str, Agent | None]]:
        if self._job.agents is not None:
            by_name = {agent.name: agent for agent in self._job.agents}
            writers = [one for one in by_name.values() if kind in {kind_of(cls).label for cls in one.writes}]
            # What stands behind a gate concludes nothing of its own.
            return [(one.name, one) for one in writers if not _is_behind(one, by_name)]
        return [(name, None) for name in sorted(self._wrote(kind))]

    def _wrote(self, kind: str) -> Mapping[str, Mapping[int, None]]:
        """Return who stated facts of a kind, or proposals of it, and where these stand; gates are left out."""
        if kind not in self._written:
            supports, facts, labels = self._context.supports, self._context.facts, (kind, f"Proposal.{kind}")
            found: dict[str, dict[int, None]] = {}
            for support in supports:
                label = kind_of(facts[support.fact]).label
                name = supports.sources[support.source].agent
                if label in labels and name and not (label == kind and name.endswith(".gate")):
                    found.setdefault(name, {})[support.fact] = None
            self._written[kind] = found
        return self._written[kind]

    def _hindered(self, name: str, agent: Agent | None, wanted: Wanted, above: frozenset[str]) -> Iterator[Hindrance]:
        """Say what stood in the way of one agent; the first thing that did."""
        failed, ran = self._failure(name), self._ran(name)
        if failed is not None:
            yield Hindrance("failed", name, f"it failed on round {failed.round} ({failed.error}: {failed.text})")
        elif agent is not None and (empty := self._empty(agent)):
            yield self._nothing_to_read(agent, empty, above)
        elif self._has_unread(name, agent):
            yield Hindrance("unread", name, f"it had more to read when the job {self._stopped()}")
        elif agent is not None and self._refuses(agent):
            yield Hindrance("not accepted", name, "its `accepts` says no to what there is to read")
        elif ran == 0:
            yield Hindrance("not run", name, f"it never ran: the job {self._stopped()}")
        else:
            yield self._silent(name, ran, wanted)

    def _silent(self, name: str, ran: int, wanted: Wanted) -> Hindrance:
        others = [self._context.facts[place] for place in self._wrote(wanted.kind).get(name, ())]
        times = "once" if ran == 1 else f"{ran:,} times"
        if not others:
            return Hindrance("silent", name, f"it ran {times} and stated no {wanted.kind}")
        text = f"it ran {times} and stated {len(others):,} {wanted.kind}, none of them so"
        return Hindrance("silent", name, text, tuple(nsmallest(_NAMED, others, key=id_of)))

    def _nothing_to_read(self, agent: Agent, empty: Sequence[str], above: frozenset[str]) -> Hindrance:
        new = [kind for kind in empty if kind not in above and len(above) < _DEEP]
        behind = [self.of(Wanted(kind), above | {kind}) for kind in new]
        live = " that holds" if agent.replacing else ""
        return Hindrance(
            "nothing to read",
            agent.name,
            f"there is no {' and no '.join(empty)}{live} for it to read",
            (),
            tuple(behind),
        )

    def _empty(self, agent: Agent) -> list[str]:
        """Return the kinds an agent reads of which there is nothing, if there is nothing at all for it to read."""
        labels = [kind_of(kind_read(item)).label for item in agent.reads]
        empty = [label for label in labels if not self._has_any(label, live=agent.replacing)]
        return empty if len(empty) == len(labels) else []

    def _has_any(self, label: str, *, live: bool) -> bool:
        log = self._context.kinds.get(label)
        facts = log.between(-1, self._context.highest) if log else ()
        if not live:
            return bool(facts)
        return len(facts) > len(self._context.labelling.fallen(label, self._context.highest))

    def _has_unread(self, name: str, agent: Agent | None) -> bool:
        """Whether a job that was cut short had not come to what an agent reads."""
        if self._job.reason not in (None, StopReason.BUDGET, StopReason.CANCELLED):
            return False
        if agent is None:
            return False
        watermark = self._job.watermarks.get(name) or Watermark(Source(name))
        labels = (kind_of(kind_read(item)).label for item in agent.reads)
        logs = [self._context.kinds[label] for label in labels if label in self._context.kinds]
        return any(log.first_after(watermark.seen) is not None for log in logs)

    def _refuses(self, agent: Agent) -> bool:
        if agent.accepts is None:
            return False
        watermark = self._job.watermarks.get(agent.name) or Watermark(agent.source)
        if watermark.seen <= watermark.ran:
            return False
        try:
            return not agent.accepts(View(self._context, self._context.highest, agent.reader, watermark.ran))
        except Exception:
            return True

    def _failure(self, name: str) -> ActivationFailed | None:
        """Return the last failure of an agent that has not succeeded since."""
        for event in reversed(self._job.trace):
            if isinstance(event, (Activated, ActivationFailed)) and event.agent == name:
                return event if isinstance(event, ActivationFailed) else None
        return None

    def _ran(self, name: str) -> int:
        return sum(isinstance(event, Activated) and event.agent == name for event in self._job.trace)

    def _stopped(self) -> str:
        stops = [event for event in self._job.trace if isinstance(event, JobStopped)]
        return f"stopped: {stops[-1].text}" if stops and self._job.reason is not None else "was interrupted"

    # --- what else ------------------------------------------------------------------------------------------------

    def _nobody(self, kind: str) -> Hindrance:
        if kind == kind_of(Failure).label:
            return Hindrance("nobody", None, "no activation failed")
        if self._job.agents is None:
            return Hindrance("unknown", None, f"no agent stated {kind} in this job, or proposed it")
        return Hindrance("given only", None, f"no agent writes {kind}: it comes from outside, and none such was given")

    def _instead(self, wanted: Wanted) -> tuple[Fact, ...]:
        """Return the live facts of the kind, those of the same key if a key is meant."""
        log = self._context.kinds.get(wanted.kind)
        highest = self._context.highest
        facts = log.between(-1, highest) if log and (wanted.has_key or wanted.fields) else ()
        live = (fact for fact in facts if self._context.is_live(self._context.position[id_of(fact)], highest))
        return tuple(islice(live, _NAMED))


def _is_behind(agent: Agent, by_name: dict[str, Agent]) -> bool:
    return agent.name.endswith(".gate") and agent.name.removesuffix(".gate") in by_name
