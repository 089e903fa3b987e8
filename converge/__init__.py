"""Converge: a decision runtime for asyncio. Agents add to one shared context until nothing new can be added."""

from converge.agent import Agent, Live, Retry, agent
from converge.checking.certificate import Certificate
from converge.checking.verify import Report
from converge.engine import Engine, run
from converge.fact import Assertion, Fact, Failure, Invalidation, Revision, Violation, id_of, kind_of
from converge.intent import Budget, RootIntent, Spend
from converge.invariant import Invariant, invariant
from converge.job import Job
from converge.kind import Kind
from converge.outcome import Outcome
from converge.plan import Plan
from converge.proof import Proof
from converge.stop import Stop, StopReason, Unread
from converge.view import Conflict, View

__all__ = [
    "Agent",
    "Assertion",
    "Budget",
    "Certificate",
    "Conflict",
    "Engine",
    "Fact",
    "Failure",
    "Invalidation",
    "Invariant",
    "Job",
    "Kind",
    "Live",
    "Outcome",
    "Plan",
    "Proof",
    "Report",
    "Retry",
    "Revision",
    "RootIntent",
    "Spend",
    "Stop",
    "StopReason",
    "Unread",
    "View",
    "Violation",
    "agent",
    "id_of",
    "invariant",
    "kind_of",
    "run",
]
__version__ = "0.1.0"
