"""Whether a job comes to the same facts in whatever order its agents run."""

__all__ = ["assert_confluent"]

from typing import TYPE_CHECKING

from converge.engine import Engine
from converge.intent import RootIntent
from converge.testing.kept import Facts, kept_job

if TYPE_CHECKING:
    from converge.checking.verify import Report


async def assert_confluent(
    engine: Engine, intent: RootIntent | str, facts: Facts = (), *, schedules: int | None = None, stream: bool = False
) -> "Report":
    """Run a job in memory, then again under other schedules, at most so many: it must come to the same facts each time.

    Calls are made once, captured, and answered from that. stream: arrival must not matter either, as under the stream
    schedule. Raises AssertionError naming the first fact that differs, the agent, what it read, and the remedy.
    """
    async with kept_job(engine, intent, facts) as job:
        report = await job.engine.verify(job.outcome.job_id, schedules, stream=stream)
    if report.defects or report.warnings:
        raise AssertionError(str(report))
    return report
