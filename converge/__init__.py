"""Converge: a decision runtime for asyncio. Agents add to one shared context until nothing new can be added."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from converge.agent import Agent, Live, Retry, agent
from converge.engine import Engine, run
from converge.fact import Assertion, Fact, Failure, Invalidation, Revision, Suggestion, Violation, id_of, kind_of
from converge.gate import corroborated_by, human, judged_by, min_confidence
from converge.intent import Allowance, Budget, RootIntent, Spend
from converge.invariant import Invariant, invariant
from converge.kind import Kind
from converge.proposal import Decision, Opinion, Proposal, Request, SameAs, Verdict, same_as
from converge.view import Conflict, View

if TYPE_CHECKING:
    from converge.checking.certificate import Certificate
    from converge.checking.verify import Report
    from converge.job import Job
    from converge.outcome import Outcome
    from converge.plan import Plan
    from converge.proof import Proof
    from converge.stop import Stop, StopReason, Unread

__all__ = [
    "Agent",
    "Allowance",
    "Assertion",
    "Budget",
    "Certificate",
    "Conflict",
    "Decision",
    "Engine",
    "Fact",
    "Failure",
    "Invalidation",
    "Invariant",
    "Job",
    "Kind",
    "Live",
    "Opinion",
    "Outcome",
    "Plan",
    "Proof",
    "Proposal",
    "Report",
    "Request",
    "Retry",
    "Revision",
    "RootIntent",
    "SameAs",
    "Spend",
    "Stop",
    "StopReason",
    "Suggestion",
    "Unread",
    "Verdict",
    "View",
    "Violation",
    "agent",
    "corroborated_by",
    "human",
    "id_of",
    "invariant",
    "judged_by",
    "kind_of",
    "min_confidence",
    "run",
    "same_as",
]
__version__ = "0.1.0"

_LATER = {
    "Certificate": "converge.checking.certificate",
    "Job": "converge.job",
    "Outcome": "converge.outcome",
    "Plan": "converge.plan",
    "Proof": "converge.proof",
    "Report": "converge.checking.verify",
    "Stop": "converge.stop",
    "StopReason": "converge.stop",
    "Unread": "converge.stop",
}


def __getattr__(name: str) -> Any:
    """Load what nobody needs to declare a job when it is asked for: a third of the time that importing would take."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
