"""What a job returns: why it stopped, what is known, what happened, what it cost."""

__all__ = ["Outcome"]

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from converge.deciding import Asked, asked
from converge.fact import Fact, Failure
from converge.intent import Spend
from converge.lookup import ANY_KEY
from converge.snapshot import Snapshot
from converge.stop import Stop, StopReason
from converge.trace import Event, Warned
from converge.view import View
from converge.wiring import Wiring

if TYPE_CHECKING:  # nearly every job ends without a question, and answering takes a good deal of code
    from converge.explain.absence import Absence
    from converge.explain.cost import JobCost
    from converge.explain.course import Course
    from converge.explain.explained import Explained, Words
    from converge.explain.explanation import Explanation
    from converge.explain.fact_cost import FactCost
    from converge.explain.parting import Parting


@dataclasses.dataclass(frozen=True, repr=False)
class Outcome:
    """The end of a job. `context` reads everything known; its `live(Kind)` is the answer.

    `missing` names the optional agents that failed; `errors` holds, by agent, what was raised in this run by those
    that still fail, to be looked at or raised. `cycles` counts what was committed. `doubts` says what of the schedule
    makes this outcome depend on timing. `position` and `wiring` are what questions about the job are answered from.
    """

    job_id: str
    stop: Stop
    context: View
    trace: Sequence[Event]
    spend: Spend
    position: Snapshot = dataclasses.field(repr=False, compare=False)
    wiring: Wiring = dataclasses.field(repr=False, compare=False)
    missing: tuple[str, ...] = ()
    cycles: int = 0
    errors: Mapping[str, BaseException] = dataclasses.field(default_factory=dict, repr=False)
    doubts: tuple[str, ...] = dataclasses.field(default=(), repr=False)

    def __repr__(self) -> str:
        return f"<outcome of {self.job_id}: {self.stop}>"

    @property
    def converged(self) -> bool:
        """Whether the job reached its fixed point and everything the intent asks for holds."""
        return self.stop.reason is StopReason.FIXED_POINT

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed and probably not meant, once each."""
        warned = (event for event in self.trace if isinstance(event, Warned))
        return tuple(f"agent {event.agent} {event.text}" if event.agent else event.text for event in warned)

    @cached_property
    def disputed(self) -> tuple[Fact, ...]:
        """Every fact that is neither live nor dead; it stands beside the answer, not in it."""
        kinds = dict.fromkeys(type(fact) for fact in self.context.facts())
        return tuple(fact for kind in kinds for fact in self.context.disputed(kind))

    @cached_property
    def asked(self) -> tuple[Asked, ...]:
        """What people are asked and have not decided; `engine.decide(job_id, one.id, ...)` answers."""
        return asked(self.context)

    @cached_property
    def timing_dependent(self) -> tuple[str, ...]:
        """What in this outcome another run could find otherwise, in a sentence each; empty for nearly every job."""
        reasons = list(self.doubts)
        if self.stop.reason is StopReason.CANCELLED or "seconds" in self.stop.detail:
            reasons.append("it was stopped by the clock or by a caller: what had been merged by then is timing")
        if self.missing:
            reasons.append(f"agents that are optional failed: {', '.join(self.missing)}")
        if resting := self.context.depending_on(Failure):
            reasons.append(f"{len(resting)} live facts rest on the failure of an agent")
        return tuple(reasons)

    @cached_property
    def explained(self) -> "Explained":
        """The job as what can be asked why; the methods here ask it."""
        from converge.explain.explained import Explained

        return Explained(self.position, self.wiring.agents, self.wiring.kinds)

    def why(self, fact: "Words") -> "Explanation":
        """Return the smallest proof of a live fact, with what models were asked and answered. Raises FactNotLive."""
        return self.explained.why(fact)

    def why_not(self, kind: type[Fact] | Fact | str, key: Any = ANY_KEY, **fields: Any) -> "Absence":
        """Return who could have stated such a fact, and what stood in the way of each.

        Of a kind, of a key, or with some fields, as in `why_not(Risk, "fire")`. Raises FactHolds where one holds, and
        FactUnknown for a kind that there is not.
        """
        return self.explained.why_not(kind, key, **fields)

    def history(self, fact: "Words") -> "Course":
        """Return when a fact came, who stated and who marked it, and when it fell and returned. Raises FactUnknown."""
        return self.explained.history(fact)

    @overload
    def cost(self) -> "JobCost": ...
    @overload
    def cost(self, fact: "Words") -> "FactCost": ...
    def cost(self, fact: "Words | None" = None) -> "JobCost | FactCost":
        """Return what the job's calls came to and on what; of a fact, its own part, and all that its proof came to."""
        return self.explained.cost(fact)

    def diff(self, other: "Outcome") -> "Parting":
        """Return the first effect in which this job and another part, and what follows; falsy where none does."""
        return self.explained.diff(other.explained)

    def to_records(self, kind: type[Fact] | str | None = None) -> list[dict[str, Any]]:
        """Return every fact as a plain dictionary, as `pandas.DataFrame` and `polars.DataFrame` take them.

        Of one kind, its fields are columns; else the content of a fact is JSON text, since kinds have other fields.
        Beside stand `fact_id`, `fact_kind`, `fact_label`, `fact_round` and `fact_agents`.
        """
        return self.explained.to_records(kind)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: why the job stopped, what it concluded and why, and what it spent."""
        from converge.explain.page import fragment

        return fragment(self.explained.outline(str(self.stop), self.spend), _SHOWN)

    @cached_property
    def digest(self) -> str:
        """A digest of every fact that was stated, by content: equal for every timing."""
        return self.context.digest()

    @cached_property
    def live_digest(self) -> str:
        """A digest of the facts that hold or are disputed: equal however late they were given."""
        return self.context.live_digest()

    @cached_property
    def proof_digest(self) -> str:
        """A digest of every fact and every support."""
        return self.context.proof_digest()


_SHOWN = 200  # lines
