"""A job tells what happens as typed, numbered events; following them, or ceasing to, never changes what happens."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converge import Budget, Engine, Fact, RootIntent, StopReason, View, agent, id_of, run
from converge.errors import EngineBusy, JobExists, JobUnknown, KindUnknown, LoopRunning, StoreUnavailable
from converge.stores import MemoryStore, SQLiteStore
from converge.testing import VirtualClock
from converge.trace import (
    Activated,
    ActivationFailed,
    Event,
    JobResumed,
    JobStarted,
    JobStopped,
    RoundMerged,
    RoundStarted,
    Warned,
)


class Count(Fact):
    n: int


class Doubt(Fact):
    n: int


@agent(reads=Count, writes=Count)
def step(view: View):
    return [Count(count.n + 1).because(count) for count in view.new(Count) if count.n < 5]


@agent(reads=Count, required=False)
def broken(view: View):
    raise ValueError("no good")


NO_GOOD = "no good (test_engine_events.py, line 42, in broken)"  # what was raised, and where


def slowly(clock: VirtualClock, seconds: float = 60.0, most: int = 5):
    @agent(reads=Count, writes=Count, name="slowly")
    async def slow(view: View):
        await clock.sleep(seconds)
        return [Count(count.n + 1).because(count) for count in view.new(Count) if count.n < most]

    return slow


async def followed(job: Any, since: int | None = None) -> list[Event]:
    return [event async for event in job.events(since)]


def without_times(events: list[Event]) -> list[tuple[Any, ...]]:
    return [
        (type(event).__name__, *(value for name, value in zip(event._fields, event, strict=True) if name not in TIMES))
        for event in events
    ]


TIMES = {"at", "seconds", "sequence", "job_id"}


# --- what is told ----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_events_of_a_job_are_typed_and_in_order():
    """Each round starts, its agents end in name order, it is merged; the job starts first and stops last."""
    outcome = await Engine([step, broken], schedule="lockstep").run("count", [Count(4)])
    assert without_times(list(outcome.trace)) == [
        ("JobStarted", "count", 1, "lockstep"),
        ("RoundStarted", 0, 2),
        ("Activated", "step", 0, 1),
        ("ActivationFailed", "broken", 0, "ValueError", NO_GOOD, 1),
        ("RoundMerged", 1, 2, 2),
        ("RoundStarted", 1, 2),
        ("Activated", "step", 1, 0),
        ("ActivationFailed", "broken", 1, "ValueError", NO_GOOD, 1),
        ("RoundMerged", 2, 1, 1),
        ("JobStopped", "fixed_point", "fixed point: no agent would add anything"),
    ]


@pytest.mark.asyncio
async def test_events_are_numbered_without_gaps_over_the_whole_life_of_a_job():
    """From 1, and a resume goes on where the last run ended."""
    engine = Engine([step, broken])
    await engine.run(RootIntent("count", budget=Budget(rounds=1)), [Count(0)], job_id="one")
    for late in range(10, 13):
        outcome = await engine.resume("one", [Count(late)], budget=Budget(rounds=late))
        assert [event.sequence for event in outcome.trace] == list(range(1, len(outcome.trace) + 1))
    assert sum(isinstance(event, JobResumed) for event in outcome.trace) == 3


@pytest.mark.asyncio
async def test_whoever_follows_a_job_sees_every_event_of_its_trace():
    """In order and once, as they happen and to the end."""
    async with Engine([step, broken]).start("count", [Count(0)]) as job:
        events = await followed(job)
        outcome = await job.outcome()
    assert events == list(outcome.trace)
    assert isinstance(events[0], JobStarted)
    assert isinstance(events[-1], JobStopped)


@pytest.mark.asyncio
async def test_events_are_told_while_the_job_is_running():
    """A follower need not wait for the end: at the merge of a round the next has not begun to end."""
    async with VirtualClock() as clock:
        engine = Engine([slowly(clock)], clock=clock)
        async with engine.start("count", [Count(4)]) as job:
            told = [(clock.elapsed(), type(event).__name__) async for event in job.events()]
    assert told == [
        (0, "JobStarted"),
        (0, "RoundStarted"),
        (60, "Activated"),
        (60, "RoundMerged"),
        (60, "RoundStarted"),
        (120, "Activated"),
        (120, "RoundMerged"),
        (120, "JobStopped"),
    ]


@pytest.mark.asyncio
async def test_several_may_follow_one_job():
    """Each from where it likes, at its own pace, and also when the job has ended."""
    async with Engine([step]).start("count", [Count(0)]) as job:
        one, other, late = await asyncio.gather(followed(job), followed(job), followed(job, since=4))
        after = await followed(job)
        outcome = await job.outcome()
    assert one == other == after == list(outcome.trace)
    assert [event.sequence for event in late] == list(range(5, len(one) + 1))


@pytest.mark.asyncio
@pytest.mark.parametrize(("since", "first"), [(None, 7), (0, 1), (3, 4)])
async def test_a_resumed_job_tells_of_this_run_unless_asked_for_more(since: int | None, first: int):
    """`since` is a sequence number over the whole life of the job."""
    engine = Engine([step])
    before = await engine.run("count", [Count(4)], job_id="one")
    assert len(before.trace) == 8
    cut = await engine.run(RootIntent("count", budget=Budget(rounds=1)), [Count(4)], job_id="cut")
    assert len(cut.trace) == 5
    async with engine.reopen("one", [Count(3)]) as job:
        events = await followed(job, since)
    assert events[0].sequence == (first if since is not None else len(before.trace) + 1)
    assert (since is not None) or isinstance(events[0], JobResumed)


@pytest.mark.asyncio
async def test_a_warning_is_an_event():
    """It is told when it is noticed, and listed in the outcome."""

    @agent(reads=Count, writes=Doubt)
    def vague(view: View):
        return Doubt(len(view.new(Count)))

    outcome = await Engine([vague]).run("count", [Count(1), Count(2)])
    (event,) = (event for event in outcome.trace if isinstance(event, Warned))
    assert event.agent == "vague"
    assert outcome.warnings == (f"agent vague {event.text}",)


@pytest.mark.asyncio
async def test_times_are_the_clocks():
    """Events say when, and activations how long."""
    async with VirtualClock() as clock:
        started = clock.now()
        outcome = await Engine([slowly(clock)], clock=clock).run("count", [Count(5)])
    (activated,) = (event for event in outcome.trace if isinstance(event, Activated))
    (merged,) = (event for event in outcome.trace if isinstance(event, RoundMerged))
    assert (activated.seconds, merged.at - started) == (60, 60)
    assert outcome.spend.seconds == 60


# --- following changes nothing ---------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_slow_consumer_never_stalls_the_job():
    """It reads one event an hour; the job is done in six minutes, and nothing is lost to it."""
    read: list[Event] = []
    async with VirtualClock() as clock, Engine([slowly(clock)], clock=clock).start("count", [Count(0)]) as job:

        async def dawdle() -> None:
            async for event in job.events():
                await clock.sleep(3600)
                read.append(event)

        dawdler = asyncio.create_task(dawdle())
        outcome = await job.outcome()
        assert clock.elapsed() == 6 * 60
        assert read == []
        await dawdler
    assert read == list(outcome.trace)
    assert outcome.spend.seconds == 6 * 60


@pytest.mark.asyncio
async def test_a_consumer_that_stops_listening_does_not_stop_the_job():
    """It has seen enough; the job goes on to its end."""
    async with Engine([step]).start("count", [Count(0)]) as job:
        async for event in job.events():
            if isinstance(event, RoundStarted):
                break
        outcome = await job.outcome()
    assert outcome.converged


@pytest.mark.asyncio
async def test_a_job_that_nobody_follows_is_the_same_job():
    """Events are a by-product; time stands still, since what ends together is merged together."""
    async with VirtualClock() as clock:
        engine = Engine([step, broken], clock=clock)
        quiet = await engine.run("count", [Count(0)])
        async with engine.start("count", [Count(0)]) as job:
            loud = await followed(job)
    assert without_times(loud) == without_times(list(quiet.trace))


# --- cancelling ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_cancelled_job_returns_what_was_merged():
    """The stop says so, with who had more to read; it is not converged, and can be gone on with."""
    async with VirtualClock() as clock:
        engine = Engine([slowly(clock)], clock=clock)
        async with engine.start("count", [Count(0)], job_id="one") as job:
            async for event in job.events():
                if isinstance(event, RoundMerged) and event.round == 2:
                    job.cancel()
            outcome = await job.outcome()
        assert outcome.stop.reason is StopReason.CANCELLED
        assert [item.agent for item in outcome.stop.unread] == ["slowly"]
        assert len(outcome.context.all(Count)) == 3
        assert len((await engine.resume("one")).context.all(Count)) == 6


@pytest.mark.asyncio
async def test_cancelling_at_the_end_is_harmless():
    """Once or twice, before the block is left or in it."""
    async with Engine([step]).start("count", [Count(0)]) as job:
        outcome = await job.outcome()
        job.cancel()
        job.cancel()
        assert await job.outcome() is outcome
    assert outcome.converged


@pytest.mark.asyncio
async def test_a_job_cancelled_before_it_began_has_merged_nothing():
    """And still has an outcome."""
    async with Engine([step]).start("count", [Count(0)]) as job:
        job.cancel()
        outcome = await job.outcome()
    assert outcome.stop.reason is StopReason.CANCELLED
    assert outcome.context.all(Count) == (Count(0),)


@pytest.mark.asyncio
async def test_leaving_the_block_early_cancels_the_job():
    """Nothing runs on behind the caller's back; what was merged is kept."""
    async with VirtualClock() as clock:
        engine = Engine([slowly(clock)], clock=clock)
        async with engine.start("count", [Count(0)], job_id="one") as job:
            async for event in job.events():
                if isinstance(event, RoundMerged):
                    break
        assert clock.elapsed() == 60
        outcome = await engine.resume("one")
    stops = [event.reason for event in outcome.trace if isinstance(event, JobStopped)]
    assert stops == ["cancelled", "fixed_point"]


@pytest.mark.asyncio
async def test_an_error_in_the_block_comes_out_as_it_is_and_ends_the_job():
    """Not wrapped in a group, and the job does not run on."""
    async with VirtualClock() as clock:
        engine = Engine([slowly(clock)], clock=clock)

        async def follow_and_fail() -> None:
            async with engine.start("count", [Count(0)], job_id="one") as job:
                async for _ in job.events():
                    raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            await follow_and_fail()
        assert (await engine.resume("one")).converged


def stores(folder: Path) -> list[Callable[[], Any]]:
    return [MemoryStore, lambda: SQLiteStore(folder / "jobs.db")]


@pytest.mark.asyncio
@pytest.mark.parametrize("kept", [0, 1], ids=["memory", "file"])
async def test_a_timeout_around_run_re_raises_and_what_was_merged_is_committed(kept: int, tmp_path: Path):
    """`asyncio.timeout` stays in charge of its own deadline; another engine finds all merged rounds in the store."""
    store = stores(tmp_path)[kept]()
    rounds_read = asyncio.Event()

    @agent(reads=Count, writes=Count, name="slowly")
    async def stuck(view: View):
        if view.round == 2:
            rounds_read.set()
            deadline.reschedule(asyncio.get_running_loop().time())
            await asyncio.Event().wait()
        return [Count(count.n + 1).because(count) for count in view.new(Count)]

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3600) as deadline:
            await Engine([stuck], store=store).run("count", [Count(0)], job_id="one")
    assert rounds_read.is_set()
    again = await Engine([agent(reads=Count, writes=Count, name="slowly")(lambda view: None)], store=store).resume(
        "one"
    )
    assert again.context.all(Count) == tuple(sorted(map(Count, range(3)), key=id_of))
    assert [event.reason for event in again.trace if isinstance(event, JobStopped)] == ["cancelled", "fixed_point"]


@pytest.mark.asyncio
async def test_cancelling_the_task_that_awaits_run_re_raises():
    """The task is cancelled as its owner wanted, and the job can be gone on with."""
    async with VirtualClock() as clock:
        engine = Engine([slowly(clock)], clock=clock)
        task = asyncio.create_task(engine.run("count", [Count(0)], job_id="one"))
        await clock.sleep(90)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        outcome = await engine.resume("one")
    assert (outcome.converged, len(outcome.context.all(Count))) == (True, 6)


@pytest.mark.asyncio
async def test_what_has_ended_when_a_job_is_cancelled_is_merged():
    """An agent that was done before the cancellation is not asked again; one that was not, is."""
    asked: list[str] = []

    def taking(name: str, seconds: float):
        @agent(reads=Count, writes=Doubt, name=name)
        async def take(view: View):
            asked.append(name)
            await clock.sleep(seconds)
            return [Doubt(count.n + len(name)).because(count) for count in view.new(Count)]

        return take

    async with VirtualClock() as clock:
        engine = Engine([taking("fast", 1), taking("slower", 100)], clock=clock)
        async with engine.start("count", [Count(0)], job_id="one") as job:
            await clock.sleep(50)
            job.cancel()
            outcome = await job.outcome()
        assert outcome.context.all(Doubt) == (Doubt(4),)
        again = await engine.resume("one")
    assert len(again.context.all(Doubt)) == 2
    assert asked == ["fast", "slower", "slower"]


@pytest.mark.asyncio
async def test_what_ends_in_the_very_moment_of_cancellation_is_merged():
    """It was concluded and paid for."""

    @agent(reads=Count, writes=Doubt)
    def last_word(view: View):
        job.cancel()
        return [Doubt(count.n).because(count) for count in view.new(Count)]

    async with Engine([last_word]).start("count", [Count(3)]) as job:
        outcome = await job.outcome()
    assert outcome.stop.reason is StopReason.CANCELLED
    assert outcome.context.live(Doubt) == (Doubt(3),)


# --- what engines refuse ---------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_job_that_runs_in_this_engine_cannot_be_resumed():
    """Two merge actors of one job would be two truths."""
    async with VirtualClock() as clock:
        engine = Engine([slowly(clock)], clock=clock)
        async with engine.start("count", [Count(0)], job_id="one") as job:
            async for event in job.events():
                if isinstance(event, RoundMerged):
                    break
            with pytest.raises(EngineBusy, match="one"):
                await engine.resume("one")
            assert (await job.outcome()).converged


@pytest.mark.asyncio
async def test_a_job_id_is_taken_once():
    """The second job is refused and the first one untouched."""
    engine = Engine([step])
    first = await engine.run("count", [Count(0)], job_id="one")
    with pytest.raises(JobExists, match="one"):
        await engine.run("count", [Count(3)], job_id="one")
    assert (await engine.resume("one")).digest == first.digest


@pytest.mark.asyncio
async def test_an_unknown_job_is_refused_with_the_nearest_name():
    """A slip of the finger is named."""
    engine = Engine([step])
    await engine.run("count", [Count(0)], job_id="monday")
    with pytest.raises(JobUnknown, match=r"no job 'mondya'.*did you mean monday"):
        await engine.resume("mondya")


@pytest.mark.asyncio
async def test_a_refused_fact_leaves_no_job_behind():
    """Nothing is created until everything given has been looked at."""
    engine = Engine([step])
    with pytest.raises(KindUnknown, match="Doubt"):
        await engine.run("count", [Count(0), Doubt(1)], job_id="one")
    with pytest.raises(JobUnknown):
        await engine.resume("one")


@pytest.mark.asyncio
async def test_a_refused_late_fact_leaves_the_job_as_it_was():
    """It can be resumed with better facts."""
    engine = Engine([step])
    first = await engine.run("count", [Count(0)], job_id="one")
    with pytest.raises(KindUnknown, match="Doubt"):
        await engine.resume("one", [Count(9), Doubt(1)])
    assert (await engine.resume("one")).digest == first.digest


@pytest.mark.asyncio
async def test_what_goes_wrong_in_the_store_is_raised_to_whoever_awaits(tmp_path: Path):
    """By `run`, by `outcome`, and by leaving a block in which nobody asked."""
    engine = Engine([step], store=SQLiteStore(tmp_path / "none" / "jobs.db"))
    with pytest.raises(StoreUnavailable, match="does not exist"):
        await engine.run("count", [Count(0)])
    with pytest.raises(StoreUnavailable):
        async with engine.start("count", [Count(0)]) as job:
            await job.outcome()
    with pytest.raises(StoreUnavailable):
        async with engine.start("count", [Count(0)]) as job:
            assert await followed(job) == []


@pytest.mark.asyncio
async def test_the_synchronous_run_is_refused_where_a_loop_is_running():
    """With the call that is meant."""
    with pytest.raises(LoopRunning, match=r"await engine\.run"):
        run([step], "count")


@pytest.mark.asyncio
async def test_one_engine_runs_many_jobs_at_once():
    """They share agents, clock and store, and nothing else."""
    async with VirtualClock() as clock:
        engine = Engine([slowly(clock)], clock=clock)
        outcomes = await asyncio.gather(*(engine.run(f"job {n}", [Count(n)]) for n in range(5)))
    assert [len(outcome.context.all(Count)) for outcome in outcomes] == [6, 5, 4, 3, 2]
    assert clock.elapsed() == 6 * 60
    assert len({outcome.job_id for outcome in outcomes}) == 5


def test_a_failure_says_how_many_attempts_were_made():
    """The event is the record; its text is provenance and in no digest."""
    assert ActivationFailed(1, "a", 0, "ValueError", "no good", 3).attempts == 3
