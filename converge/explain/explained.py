"""A job that can be asked: why this holds, why that does not, what became of it, what it cost, where two jobs part.

Facts are named by themselves, by their ids or the first digits of them, or by kind and fields, as on a command line.
"""

__all__ = ["Explained", "Words"]

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from converge.agent import Agent
from converge.deciding import Asked, asked
from converge.effect import Given
from converge.errors import FactNotLive
from converge.explain.absence import Absence, Job, absence
from converge.explain.call import Calls
from converge.explain.content import LABELS
from converge.explain.cost import JobCost, cost_of_job
from converge.explain.course import Course, course
from converge.explain.explanation import Explanation, explaining, joined_explanation
from converge.explain.fact_cost import FactCost
from converge.explain.outline import Outline, Role, Span, one_line
from converge.explain.parting import Known, Parting, parting
from converge.explain.records import records
from converge.explain.reference import Wanted, named
from converge.fact import Fact, id_of, kind_of
from converge.intent import Spend
from converge.kind import Kind
from converge.lookup import ANY_KEY
from converge.proof import Proving
from converge.snapshot import Snapshot
from converge.stored_kinds import BUILT_IN
from converge.support import OUTSIDE
from converge.trace import Activated, JobStopped
from converge.view import UNRESTRICTED, View

Words = Fact | str | Sequence[str]


class Explained:
    """Answers questions about one job as it stands in a snapshot; nothing runs, and nothing is changed.

    agents, kinds: their declarations, where they are at hand. Without, `why_not` knows only of agents that wrote such
    facts before.
    """

    def __init__(
        self, job: Snapshot, agents: Iterable[Agent] | None = None, kinds: Mapping[str, Kind] | None = None
    ) -> None:
        self.job_id, self.context, self.trace = job.job_id, job.context, job.trace
        self._job = job
        self._agents = None if agents is None else tuple(agents)
        self._kinds = None if kinds is None else {**kinds, **BUILT_IN}

    def __repr__(self) -> str:
        return f"<explained job {self.job_id}>"

    @property
    def stop(self) -> str | None:
        """Why the job stopped, in a sentence; None while it runs, and where it was interrupted."""
        last = self.trace[-1] if self.trace else None
        return last.text if isinstance(last, JobStopped) else None

    @cached_property
    def asked(self) -> tuple[Asked, ...]:
        """What people are asked and have not decided."""
        return asked(self.view)

    @property
    def spend(self) -> Spend:
        """What the job has spent."""
        return self._job.spend

    def fact(self, words: Words) -> Fact:
        """Return the fact that is meant; of several, the live one. Raises FactUnknown, which lists what there is."""
        if isinstance(words, Fact):
            return words
        return named(self.context, [words] if isinstance(words, str) else words)

    def label(self, words: Words) -> str:
        """Return how a fact stands: live, dead or disputed. Raises FactUnknown."""
        place = self._place(self.fact(words))
        return LABELS[self.context.label(place, self.context.highest)]

    def why(self, words: Words) -> Explanation:
        """Return the smallest proof of a live fact, with the calls behind it. Raises FactNotLive or FactUnknown."""
        fact = self.fact(words)
        if not isinstance(fact, Fact):
            raise TypeError(f"why() takes a fact, not {fact!r:.80}")
        if id_of(fact) not in self.context.position and (members := self.view.members_of(fact)):
            return joined_explanation([self._proving.of(member) for member in members], fact)
        return self._proving.of(fact)

    def why_not(self, kind: type[Fact] | Fact | str, key: Any = ANY_KEY, **fields: Any) -> Absence:
        """Return what stood in the way of a fact: of this kind, and of this key or with these fields.

        Raises FactHolds where one holds, and FactUnknown for a kind that there is not.
        """
        return self.lacks(self._wanted(kind, key, fields))

    def lacks(self, wanted: Wanted) -> Absence:
        """Return what stood in the way of what words name, as in `Wanted.of(["Risk", "name=fire"])`; see `why_not`."""
        return absence(self._asked, wanted)

    def history(self, words: Words) -> Course:
        """Return what became of a fact, round by round. Raises FactUnknown or FactNotLive."""
        return course(self.context, self.trace, self._place(self.fact(words)))

    def cost(self, words: Words | None = None) -> JobCost | FactCost:
        """Return what the job's calls came to, and on what; of a fact, its own part and all that its proof came to.

        Raises FactUnknown.
        """
        return self.costs if words is None else self.price(words)

    @cached_property
    def costs(self) -> JobCost:
        """What the job's calls came to: by what became of it, by agent and by fact."""
        return cost_of_job(self.context, self._calls, self._job.captures)

    def price(self, words: Words) -> FactCost:
        """Return what a fact cost; of one that is not live, its own part only. Raises FactUnknown or FactNotLive."""
        fact = self.fact(words)
        label = self.label(fact)
        own = next((one for one in self.costs.facts if one.fact == fact), None)
        return FactCost(fact, label, own, self.why(fact) if label == "live" else None)

    def diff(self, other: "Explained") -> Parting:
        """Return the first effect in which this job and another part, and what follows from it."""
        return parting(self._known, other._known)

    def conclusions(self) -> tuple[Fact, ...]:
        """Return what there is to ask about: live facts of kinds that nothing is concluded from. Latest first.

        What something is only proposed from is a conclusion as long as the proposal is not believed.
        """
        context, heads = self.context, self._heads
        believed = {kind for kind in context.kinds if self._has_live(kind)}
        used = {kind for kind, by in heads.items() if any(_leads_to(one) in believed for one in by)}
        kinds = [kind for kind in context.kinds if kind not in used and _leads_to(kind) == kind]
        facts = (fact for kind in kinds for fact in context.kinds[kind].between(-1, context.highest))
        places = (context.position[id_of(fact)] for fact in facts)
        found = [place for place in places if self._is_stated(place) and context.is_live(place, context.highest)]
        found.sort(key=lambda place: (-context.rounds[place], id_of(context.facts[place])))
        return tuple(context.facts[place] for place in found)

    def to_records(self, kind: type[Fact] | str | None = None) -> list[dict[str, Any]]:
        """Return every fact, or those of a kind, as plain dictionaries; see `records`."""
        return records(self.context, kind if kind is None or isinstance(kind, str) else kind_of(kind).label)

    def outline(self, stop: str, spend: Spend) -> Outline:
        """Return how the job ended, what it concluded, each with its proof, and what it spent."""
        role: Role = "live" if stop.startswith("fixed point") else "warn"
        head = Span(one_line(self.context.intent.objective), "strong"), Span(": "), Span(one_line(stop), role)
        calls = f", {spend.calls:,} calls, {spend.tokens:,} tokens" if spend.calls else ""
        money = f", {spend.money:.4g} in money" if spend.money else ""
        known = f"job {self.job_id}: {len(self.context.facts) - 1:,} facts, {spend.rounds:,} rounds{calls}{money}"
        return Outline(
            head, ((Span(known, "dim"),),), parts=lambda: [self.why(one).outline() for one in self.conclusions()]
        )

    # --- within -------------------------------------------------------------------------------------------------

    @cached_property
    def _calls(self) -> Calls:
        return Calls(self.context, self.trace, self._job.captures)

    @cached_property
    def _proving(self) -> Proving[Explanation]:
        return explaining(self.context, self.context.highest, self._calls)

    @cached_property
    def view(self) -> View:
        """Everything that is known, as `outcome.context` shows it."""
        return View(self.context, self.context.highest, UNRESTRICTED)

    @property
    def _known(self) -> Known:
        return Known(self.job_id, self.context, self._calls)

    @property
    def _asked(self) -> Job:
        stop = next((event for event in reversed(self.trace) if isinstance(event, (JobStopped, Activated))), None)
        reason = stop.reason if isinstance(stop, JobStopped) else None
        return Job(self.context, self.trace, self._job.watermarks, reason, self._agents, self._kinds)

    def _has_live(self, kind: str) -> bool:
        known = self.context.kinds[kind].between(-1, self.context.highest)
        return len(known) > len(self.context.labelling.fallen(kind, self.context.highest))

    @cached_property
    def _heads(self) -> dict[str, set[str]]:
        """Return, by kind, the kinds that something of was concluded from it, other kinds only."""
        context, heads = self.context, dict[str, set[str]]()
        labels = [kind_of(fact).label for fact in context.facts]
        for kind in labels:
            heads.setdefault(kind, set())
        for support in context.supports:
            evidence = support.evidence
            cited = evidence.picks if isinstance(evidence, Given) else evidence
            kinds = {part.kind for part in evidence.ranges} if isinstance(evidence, Given) else set()
            for kind in kinds.union(labels[place] for place in cited) - {labels[support.fact]}:
                heads.setdefault(kind, set()).add(labels[support.fact])
        return heads

    def _is_stated(self, place: int) -> bool:
        """Whether an agent states a fact; what was given is no conclusion, however late it came."""
        context = self.context
        return any(context.supports.sources[support.source] != OUTSIDE for support in context.supports_of(place))

    def _place(self, fact: Fact) -> int:
        place = self.context.position.get(id_of(fact))
        if place is None:
            raise FactNotLive(id_of(fact), known=False)
        return place

    def _wanted(self, kind: type[Fact] | Fact | str, key: Any, fields: Mapping[str, Any]) -> Wanted:
        if isinstance(kind, Fact):
            return Wanted.exactly(kind)
        label = kind if isinstance(kind, str) else kind_of(kind).label
        return Wanted(label, fields=fields) if key is ANY_KEY else Wanted(label, key, fields)


def _leads_to(kind: str) -> str | None:
    """Return what facts of a kind are, or propose; None for a kind that is about other facts, or how a job went."""
    return None if kind in BUILT_IN else kind.removeprefix("Proposal.")
