"""Temporal runs the jobs: one job is one activity, and any worker can go on with any job of the store they share.

Temporal keeps who is to run a job, retries, timers and what follows from a job; the store keeps the job. The extra is
`converge-runtime[temporal]`.
"""

__all__ = [
    "AskedLine",
    "ConvergeWorkflow",
    "DecisionInput",
    "FactLine",
    "IntentLine",
    "JobInput",
    "JobOutcome",
    "connect",
    "converge_activity",
    "converge_decision",
    "converge_giving",
    "converge_sandbox",
    "converge_worker",
]

from converge.errors import ExtraMissing

try:
    import temporalio  # noqa: F401
except ModuleNotFoundError as error:
    raise ExtraMissing("converge.temporal", "temporal") from error

from converge.temporal.activity import converge_activity, converge_decision, converge_giving
from converge.temporal.values import AskedLine, DecisionInput, FactLine, IntentLine, JobInput, JobOutcome
from converge.temporal.worker import connect, converge_sandbox, converge_worker
from converge.temporal.workflow import ConvergeWorkflow
