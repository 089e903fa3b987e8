"""Why a job ended. A foreseen ending is a result: it comes with the context, the spend and what is still unread."""

__all__ = ["Stop", "StopReason", "Unread"]

import dataclasses
from enum import StrEnum
from typing import NamedTuple


class StopReason(StrEnum):
    """The reasons, in order of precedence. Only the last one means that the answer stands."""

    CANCELLED = "cancelled"
    BUDGET = "budget"
    AGENT_FAILED = "agent_failed"
    INVARIANT = "invariant"
    WAITING = "waiting"
    CONTESTED = "contested"
    UNACCEPTED = "unaccepted"
    FIXED_POINT = "fixed_point"


class Unread(NamedTuple):
    """An agent that had more to read when the job stopped, and the round it would have read next."""

    agent: str
    round: int


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """A stop reason with what is behind it: which budget, agents, invariants or keys, and who had more to read."""

    reason: StopReason
    detail: tuple[str, ...] = ()
    unread: tuple[Unread, ...] = ()

    @property
    def at_rest(self) -> bool:
        """Whether nothing was unread: it was neither cut short nor short of budget."""
        return self.reason not in (StopReason.CANCELLED, StopReason.BUDGET)

    def __str__(self) -> str:
        sentence = _SENTENCES[self.reason]
        if self.detail:
            sentence += ": " + "; ".join(self.detail)
        if self.unread:
            sentence += f" ({_names(self.unread)} had more to read)"
        return sentence


_SENTENCES = {
    StopReason.CANCELLED: "cancelled before a fixed point",
    StopReason.BUDGET: "the budget is spent before a fixed point",
    StopReason.AGENT_FAILED: "a required agent still fails",
    StopReason.INVARIANT: "a constraint of the root intent does not hold",
    StopReason.WAITING: "a decision is awaited from outside",
    StopReason.CONTESTED: "facts that contest each other are live",
    StopReason.UNACCEPTED: "a success criterion of the root intent is not met",
    StopReason.FIXED_POINT: "fixed point: no agent would add anything",
}
_NAMED = 5


def _names(unread: tuple[Unread, ...]) -> str:
    names = [item.agent for item in unread]
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
