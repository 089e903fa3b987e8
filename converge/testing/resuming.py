"""Whether a job that is cut anywhere and resumed is the job that was never cut, and asks nothing twice.

1. Each cut is resumed as a new process would: what agents hold besides their views is as it was before the job.
2. For what it comes to, calls are answered as they were, so that only the cut can make a difference.
3. For what it asks, calls are made again: whatever is asked must answer alike, as a ScriptedModel does.
"""

__all__ = ["assert_no_repeated_calls", "assert_resumable_everywhere"]

from collections.abc import Callable, Sequence

from converge.capture import SAID, Question
from converge.chain import JobHeader, StoredRow, rechained
from converge.checking.finding import missing, shown, standing_otherwise
from converge.engine import Engine
from converge.intent import RootIntent
from converge.outcome import Outcome
from converge.ports import StoredJob
from converge.restore import restore
from converge.support import OUTSIDE
from converge.testing.kept import Facts, KeptJob, check_rest, kept_job, why_it_depends

_CUT = "cut"  # the id of the job that goes on from a cut


# --- what it comes to -------------------------------------------------------------------------------------------------


async def assert_resumable_everywhere(engine: Engine, intent: RootIntent | str, facts: Facts = ()) -> int:
    """Run a job in memory, cut it after each cycle and resume it: it must come to the same facts, supports and end.

    Return the number of cuts. Raises AssertionError naming the cut, the first fact that differs, its author and the
    remedy.
    """
    async with kept_job(engine, intent, facts) as job:
        for cycle in range(1, job.outcome.cycles + 1):
            job.holdings.put_back()
            resumed = await job.engine.fork(job.outcome.job_id, cycle, new_id=_CUT)
            if said := _difference(job, resumed):
                raise AssertionError(f"cut after cycle {cycle} of {job.outcome.cycles} and resumed, the job {said}")
            await job.engine.store.remove(_CUT, job.engine.clock.now())
        return job.outcome.cycles


def _difference(job: KeptJob, resumed: Outcome) -> str | None:
    whole, digests = job.outcome, ("digest", "live_digest", "proof_digest")
    compared = digests if job.engine.schedule.exact else ("live_digest",)
    if resumed.errors:
        agent, error = next(iter(resumed.errors.items()))
        if agent not in whole.errors:
            return f"fails where it had not: agent {agent} raised {error!r:.300}; {why_it_depends(job.holdings, agent)}"
    if any(getattr(whole, name) != getattr(resumed, name) for name in compared):
        return _parted(job, resumed)
    if whole.stop.reason is not resumed.stop.reason:
        return f"ends as {resumed.stop.reason} where it had ended as {whole.stop.reason}: {resumed.stop}"
    return None


def _parted(job: KeptJob, resumed: Outcome) -> str:
    """Name the fact of the lowest round that is in one of the two only, or else stands otherwise, and its author."""
    whole, other = job.outcome.position.context, resumed.position.context
    found = [(whole.rounds[whole.position[one]], one, "lacks", whole) for one in missing(whole, other)]
    found += [(other.rounds[other.position[one]], one, "adds", other) for one in missing(other, whole)]
    turned = [
        (whole.rounds[whole.position[one]], one, "judges otherwise", whole) for one in standing_otherwise(whole, other)
    ]
    if not (found or turned):
        return "comes to the same facts for other reasons: name the evidence of each conclusion with because(...)"
    _, fact_id, word, context = min(found or turned, key=lambda one: one[:2])
    place = context.position[fact_id]
    authors = [context.supports.sources[support.source] for support in context.supports_of(place)]
    agent = next((source.agent for source in authors if source != OUTSIDE), "")
    remedy = f", by agent {agent}: {why_it_depends(job.holdings, agent)}" if agent else ""
    return f"{word} {shown(context.facts[place])}{remedy}"


# --- what it asks -----------------------------------------------------------------------------------------------------


async def assert_no_repeated_calls(
    engine: Engine, intent: RootIntent | str, facts: Facts = (), *, asked: Callable[[], int] | None = None
) -> int:
    """Run a job in memory, cut it after each of its rows and resume it: nothing that was answered is asked again.

    asked: says how often the world has been asked so far, as `lambda: len(model.requests)` does; with it, calls that
    were never captured are found too. Return the number of cuts. Raises AssertionError naming agent, call and remedy.
    """
    world = _World(asked)
    async with kept_job(engine, intent, facts) as job:
        header, *rows = await job.engine.store.rows(job.outcome.job_id)
        whole = _captured(job.engine, header, rows)
        world.check(whole, "the job")  # before anything is put back: what agents hold may be the world, in a test
        for upto in range(1, len(rows) + 1):
            where = f"cut after row {upto} of {len(rows)} and resumed, the job"
            job.holdings.put_back()
            world.begin()
            made = _captured(job.engine, header, await _resumed(job, header, rows[:upto], where))
            for question in sorted(made - whole):
                said = f"{where} asks {question.name!r} otherwise than uncut: agent {question.agent}"
                raise AssertionError(f"{said}: {why_it_depends(job.holdings, question.agent)}")
            world.check(made - _captured(job.engine, header, rows[:upto]), where)
        return len(rows)


async def _resumed(job: KeptJob, header: StoredRow, rows: Sequence[StoredRow], where: str) -> Sequence[StoredRow]:
    """Resume a job that has these rows, and return all it then has."""
    store = job.engine.store
    await store.adopt(_CUT, rechained(JobHeader(_CUT, header.at, header.body), rows))
    check_rest(await job.engine.resume(_CUT), where)
    _, *then = await store.rows(_CUT)
    await store.remove(_CUT, job.engine.clock.now())
    return then


def _captured(engine: Engine, header: StoredRow, rows: Sequence[StoredRow]) -> frozenset[Question]:
    stored = StoredJob(JobHeader("", header.at, header.body), [row.body for row in rows])
    captures = restore(stored, engine.wiring.kinds).captures
    return frozenset(question for question, _ in captures if question.name != SAID)


class _World:
    """How often it was asked since a run began, beside how often that was captured."""

    def __init__(self, asked: Callable[[], int] | None) -> None:
        self._asked = asked
        self.begin()

    def begin(self) -> None:
        """Count from here."""
        self._before = self._asked() if self._asked else 0

    def check(self, captured: frozenset[Question], where: str) -> None:
        """Raise AssertionError unless as many calls were made as were captured."""
        made = self._asked() - self._before if self._asked else len(captured)
        if made != len(captured):
            agents = ", ".join(sorted({question.agent for question in captured}))
            of_these = f", of agents {agents}" if agents else ""
            raise AssertionError(
                f"{where} asked the world {made} times, and {len(captured)} answers were captured{of_these}: "
                "make each call as in `await view.capture(name, call, argument)`"
            )
