"""What a job returns: why it stopped, what is known, what happened, what it cost."""

__all__ = ["Outcome"]

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property

from converge.deciding import Asked, asked
from converge.fact import Fact, Failure
from converge.intent import Spend
from converge.proof import Proof
from converge.stop import Stop, StopReason
from converge.trace import Event, Warned
from converge.view import View


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The end of a job. `context` reads everything known; its `live(Kind)` is the answer.

    `missing` names the optional agents that failed; `errors` holds, by agent, what was raised in this run by those
    that still fail, to be looked at or raised. `cycles` counts what was committed. `doubts` says what of the schedule
    makes this outcome depend on timing.
    """

    job_id: str
    stop: Stop
    context: View
    trace: Sequence[Event]
    spend: Spend
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

    def why(self, fact: Fact) -> Proof:
        """Return a proof of a live fact, down to given facts. Raises FactNotLive."""
        return self.context.why(fact)

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
