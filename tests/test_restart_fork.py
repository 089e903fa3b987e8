"""A job begun anew, and a job that parts from another: each comes to what a run from scratch comes to."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Agent, Budget, Engine, Fact, Live, Outcome, RootIntent, StopReason, View, agent
from converge.errors import CycleUnknown, EngineInvalid, JobExists, JobUnknown
from converge.ports import Store
from converge.schedule import ScheduleName
from converge_stores import MemoryStore, SQLiteStore
from tests.jobs import EVERY, Plan, agents_of, plans, wirable
from tests.jobs import premises as given_facts
from tests.timing import JOBS

MakeStore = Callable[[Path], Store]
SETTLED = ("sum", "count", "none", "best", "replace")
FIRM = ("seed", "each", "pair", "strike", *SETTLED)
in_memory_and_in_a_file = pytest.mark.parametrize(
    "made", [lambda path: MemoryStore(), SQLiteStore], ids=["memory", "file"]
)
schedules = pytest.mark.parametrize("schedule", ["frontier", "lockstep"])


class Clause(Fact):
    text: str


class Opinion(Fact):
    text: str


class Tally(Fact):
    n: int


class Expert:
    """Says of each clause the same, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def ask(self, text: str) -> str:
        self.asked[text] += 1
        await anyio.lowlevel.checkpoint()
        return f"on {text}"

    def agents(self) -> list[Agent]:
        """Return a lawyer that asks, and a clerk that counts what it was told."""

        @agent(reads=Clause, writes=Opinion)
        async def lawyer(view: View):
            for clause in view.new(Clause):
                yield Opinion(await view.capture("ask", self.ask, clause.text)).because(clause)

        @agent(reads=Live(Opinion), writes=Tally)
        def clerk(view: View):
            return Tally(view.count(Opinion))

        return [lawyer, clerk]


A, B, C = Clause("a"), Clause("b"), Clause("c")
ENOUGH = Budget()


def digests(outcome: Outcome) -> tuple[str, str, str]:
    return outcome.digest, outcome.live_digest, outcome.proof_digest


async def scratch(facts: list[Fact]) -> Outcome:
    return await Engine(Expert().agents()).run("review", facts)


async def rows(engine: Engine, job_id: str):
    async with engine:
        return await engine.store.rows(job_id)


# --- begun anew ------------------------------------------------------------------------------------------------------


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_restart_asks_nothing_that_was_answered(made: MakeStore, tmp_path: Path):
    """It begins from all that was ever given, and comes to what a run from scratch comes to."""
    expert = Expert()
    engine = Engine(expert.agents(), store=made(tmp_path / "jobs.db"))
    await engine.run("review", [A], job_id="one")
    await engine.resume("one", [B, A.invalidate("withdrawn")])
    await engine.give("one", C)
    outcome = await engine.restart("one")
    assert expert.asked == {"a": 1, "b": 1, "c": 1}
    assert outcome.live_digest == (await scratch([A, B, C, A.invalidate("withdrawn")])).live_digest


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_fresh_restart_asks_everything_again(made: MakeStore, tmp_path: Path):
    """Once; and its answers are the ones that count from then on."""
    expert = Expert()
    engine = Engine(expert.agents(), store=made(tmp_path / "jobs.db"))
    await engine.run("review", [A, B], job_id="one")
    await engine.restart("one", captures="fresh")
    assert expert.asked == {"a": 2, "b": 2}
    await engine.resume("one", [C])
    await engine.restart("one")
    assert expert.asked == {"a": 2, "b": 2, "c": 1}


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_the_rows_of_before_stay(made: MakeStore, tmp_path: Path):
    """What was concluded becomes history: nothing is overwritten, and cycles are counted on."""
    engine = Engine(Expert().agents(), store=made(tmp_path / "jobs.db"))
    async with engine:
        first = await engine.run("review", [A], job_id="one")
        before = await rows(engine, "one")
        outcome = await engine.restart("one")
        after = await rows(engine, "one")
    assert list(after[: len(before)]) == list(before)
    assert outcome.cycles > first.cycles
    assert [row.number for row in after] == list(range(len(after)))


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_restart_spends_from_nothing(made: MakeStore, tmp_path: Path):
    """What was spent before is history as well."""
    engine = Engine(Expert().agents(), store=made(tmp_path / "jobs.db"))
    first = await engine.run("review", [A, B], job_id="one")
    outcome = await engine.restart("one")
    assert (outcome.spend.facts, outcome.spend.rounds, outcome.spend.activations) == (
        first.spend.facts,
        first.spend.rounds,
        first.spend.activations,
    )


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_restart_may_have_another_budget(made: MakeStore, tmp_path: Path):
    """It is kept for the resumes after; without one, that of before goes on."""
    engine = Engine(Expert().agents(), store=made(tmp_path / "jobs.db"))
    poor = RootIntent("review", budget=Budget(rounds=0))
    assert (await engine.run(poor, [A], job_id="one")).stop.reason is StopReason.BUDGET
    assert (await engine.restart("one")).stop.reason is StopReason.BUDGET
    assert (await engine.restart("one", budget=Budget(rounds=1))).spend.rounds == 1
    assert (await engine.resume("one")).stop.reason is StopReason.BUDGET
    assert (await engine.restart("one", budget=ENOUGH)).converged


@pytest.mark.asyncio
async def test_a_job_can_be_restarted_again_and_again():
    """Each time from all that was given, by whatever way."""
    expert = Expert()
    engine = Engine(expert.agents())
    await engine.run("review", [A], job_id="one")
    for late in (B, C):
        await engine.restart("one")
        await engine.resume("one", [late])
    assert digests(await engine.restart("one")) == digests(await scratch([A, B, C]))
    assert expert.asked == {"a": 1, "b": 1, "c": 1}


@pytest.mark.asyncio
async def test_a_marker_on_a_conclusion_holds_before_that_is_drawn_again():
    """A restart begins with it, though what it marks has yet to be concluded."""
    engine = Engine(Expert().agents())
    await engine.run("review", [A, B], job_id="one")
    before = await engine.resume("one", [Opinion("on a").invalidate("mistaken")])
    outcome = await engine.restart("one")
    assert outcome.context.live(Opinion) == (Opinion("on b"),)
    assert outcome.live_digest == before.live_digest


@pytest.mark.asyncio
async def test_so_does_one_that_came_by_letter_and_was_not_read_yet():
    """Whoever gave it was told that it is kept."""
    engine = Engine(Expert().agents())
    await engine.run("review", [A, B], job_id="one")
    await engine.give("one", Opinion("on a").invalidate("mistaken"))
    assert (await engine.restart("one")).context.live(Opinion) == (Opinion("on b"),)


@pytest.mark.asyncio
async def test_an_unfinished_job_can_be_restarted(tmp_path: Path):
    """It was cancelled while an answer was awaited."""
    expert, asked = Expert(), anyio.Event()

    async def hang(text: str) -> str:
        asked.set()
        await anyio.sleep_forever()
        return text

    hanging, store = Expert(), SQLiteStore(tmp_path / "jobs.db")
    hanging.ask = hang  # type: ignore[method-assign]
    async with Engine(hanging.agents(), store=store).start("review", [A], job_id="one") as job:
        await asked.wait()
        job.cancel()
        await job.outcome()
    outcome = await Engine(expert.agents(), store=store).restart("one")
    assert digests(outcome) == digests(await scratch([A]))


@pytest.mark.asyncio
async def test_what_cannot_be_restarted_is_named():
    """A job that is not there, and captures of which nobody has heard."""
    engine = Engine(Expert().agents())
    with pytest.raises(JobUnknown):
        await engine.restart("one")
    with pytest.raises(EngineInvalid, match="reuse"):
        await engine.restart("one", captures="some")  # type: ignore[arg-type]


def test_what_an_agent_said_of_other_news_is_not_what_it_says_of_these():
    """In a restart the same facts may be new in other rounds: what rests on what was new must be said anew."""
    outcome, fresh = asyncio.run(_restarted_with_other_news())
    assert outcome.proof_digest == fresh.proof_digest
    assert outcome.live_digest == fresh.live_digest


class Seen(Fact):
    text: str


class Remembering(MemoryStore):
    """Keeps what a finished activation said, as a file would."""

    durable = True


async def _restarted_with_other_news() -> tuple[Outcome, Outcome]:
    """Two clauses are new at once, one given late and one concluded; in a restart only the latter is new then."""

    @agent(reads=Tally, writes=Clause)
    def author(view: View):
        return [Clause("c").because(tally) for tally in view.new(Tally)]

    @agent(reads=Clause, writes=Opinion)
    def reader(view: View):
        return [Opinion(clause.text) for clause in view.new(Clause)]  # cites nothing

    @agent(reads=Clause, writes=Seen)
    async def slow(view: View):
        for _ in range(50):
            await anyio.lowlevel.checkpoint()

    agents = [author, reader, slow]
    late = [B, B.invalidate("withdrawn")]
    engine = Engine(agents, store=Remembering(), schedule="lockstep", inputs=[Tally, Clause])
    poor = RootIntent("review", budget=Budget(rounds=0))
    await engine.run(poor, [A, Tally(1)], job_id="one")
    await engine.resume("one", [B], budget=ENOUGH)
    await engine.resume("one", late[1:])
    restarted = await engine.restart("one")
    fresh = await Engine(agents, schedule="lockstep", inputs=[Tally, Clause]).run("review", [A, Tally(1), *late])
    return restarted, fresh


# --- parting from another --------------------------------------------------------------------------------------------


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_fork_leaves_its_origin_as_it_is(made: MakeStore, tmp_path: Path):
    """Byte by byte."""
    engine = Engine(Expert().agents(), store=made(tmp_path / "jobs.db"))
    async with engine:
        await engine.run("review", [A], job_id="one")
        before = await rows(engine, "one")
        await engine.fork("one", cycle=1, facts=[B], new_id="two")
        await engine.resume("two", [C])
        assert list(await rows(engine, "one")) == list(before)


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_fork_asks_nothing_that_its_origin_was_answered_later(made: MakeStore, tmp_path: Path):
    """Unless it is to be asked again: then only what was answered by that cycle is known."""
    expert = Expert()
    engine = Engine(expert.agents(), store=made(tmp_path / "jobs.db"))
    await engine.run("review", [A], job_id="one")
    await engine.fork("one", cycle=1, facts=[B])
    assert expert.asked == {"a": 1, "b": 1}
    await engine.fork("one", cycle=1, captures="fresh")
    assert expert.asked == {"a": 2, "b": 1}


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_fork_of_a_fork_agrees_with_a_run_from_scratch(made: MakeStore, tmp_path: Path):
    """With all that each of them was given."""
    engine = Engine(Expert().agents(), store=made(tmp_path / "jobs.db"))
    await engine.run("review", [A], job_id="one")
    await engine.fork("one", cycle=1, facts=[B], new_id="two")
    outcome = await engine.fork("two", facts=[C], new_id="three")
    assert outcome.live_digest == (await scratch([A, B, C])).live_digest


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_cycle_that_never_was_is_named(made: MakeStore, tmp_path: Path):
    """With the last one that was."""
    engine = Engine(Expert().agents(), store=made(tmp_path / "jobs.db"))
    outcome = await engine.run("review", [A], job_id="one")
    for cycle in (0, outcome.cycles + 1):
        with pytest.raises(CycleUnknown, match=str(outcome.cycles)):
            await engine.fork("one", cycle=cycle)
    with pytest.raises(JobUnknown):
        await engine.fork("two")


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_fork_takes_no_id_that_is_taken(made: MakeStore, tmp_path: Path):
    """The job of that id stays as it is."""
    engine = Engine(Expert().agents(), store=made(tmp_path / "jobs.db"))
    async with engine:
        await engine.run("review", [A], job_id="one")
        await engine.run("review", [B], job_id="two")
        before = await rows(engine, "two")
        with pytest.raises(JobExists):
            await engine.fork("one", new_id="two")
        assert list(await rows(engine, "two")) == list(before)


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_job_that_is_at_work_can_be_forked(made: MakeStore, tmp_path: Path):
    """The fork goes on from the last cycle, and asks what is being asked."""
    expert, asked, told = Expert(), anyio.Event(), anyio.Event()
    ask = expert.ask

    async def slow(text: str) -> str:
        if not expert.asked:
            expert.asked[text] += 1
            asked.set()
            await told.wait()
            return f"on {text}"
        return await ask(text)

    expert.ask = slow  # type: ignore[method-assign]
    engine = Engine(expert.agents(), store=made(tmp_path / "jobs.db"))
    async with engine.start("review", [A], job_id="one") as job:
        await asked.wait()
        fork = await engine.fork("one", facts=[B])
        told.set()
        origin = await job.outcome()
    assert digests(origin) == digests(await scratch([A]))
    assert fork.live_digest == (await scratch([A, B])).live_digest
    assert expert.asked == {"a": 2, "b": 1}


@pytest.mark.asyncio
async def test_a_fork_from_before_a_restart_is_what_the_job_was_then():
    """Its history is what stood in the rows up to that cycle."""
    engine = Engine(Expert().agents())
    first = await engine.run("review", [A], job_id="one")
    await engine.resume("one", [B])
    await engine.restart("one")
    fork = await engine.fork("one", cycle=first.cycles)
    assert digests(fork) == digests(first)


# --- laws ------------------------------------------------------------------------------------------------------------


async def _forked_everywhere(plan: list[Plan], facts: list[Fact], schedule: ScheduleName, store: Store):
    """Yield the digests of a job, and then of its fork at each cycle, and of the fork of that."""
    async with Engine(agents_of(plan), store=store, inputs=EVERY, schedule=schedule) as engine:
        whole = await engine.run("a law", facts, job_id="one")
        yield digests(whole)
        for cycle in range(1, whole.cycles + 1):
            fork = await engine.fork("one", cycle, new_id=f"fork {cycle}")
            yield digests(fork)
            yield digests(await engine.fork(f"fork {cycle}", min(cycle + 1, fork.cycles)))


@schedules
@given(plans(), given_facts())
@settings(max_examples=JOBS // 4)
def test_a_fork_at_any_cycle_comes_to_what_its_origin_came_to(schedule, plan, facts):
    """Facts, what holds, and why."""

    async def all_digests(store: Store) -> list[Any]:
        return [one async for one in _forked_everywhere(plan, facts, schedule, store)]

    assert len(set(asyncio.run(all_digests(MemoryStore())))) == 1


@given(plans(), given_facts())
@settings(max_examples=JOBS // 20)
def test_so_it_does_in_a_file(plan, facts):
    """Nothing but the rows goes from the one to the other."""

    async def all_digests(store: Store) -> list[Any]:
        return [one async for one in _forked_everywhere(plan, facts, "frontier", store)]

    with TemporaryDirectory() as folder:
        assert len(set(asyncio.run(all_digests(SQLiteStore(Path(folder) / "jobs.db"))))) == 1


@schedules
@given(plans(shapes=FIRM).map(wirable), given_facts(), given_facts(), st.data())
@settings(max_examples=JOBS // 4)
def test_a_fork_with_late_facts_agrees_with_a_run_from_scratch(schedule, plan, facts, late, data):
    """Wherever it parts, and whatever its origin was given since."""
    marks = [fact.invalidate("late") for fact in facts[:2]]

    async def both() -> tuple[list[str], str]:
        engine = Engine(agents_of(plan), inputs=EVERY, schedule=schedule)
        whole = await engine.run("a law", facts, job_id="one")
        await engine.resume("one", data.draw(given_facts()))
        found = [await engine.fork("one", cycle, [*late, *marks]) for cycle in range(1, whole.cycles + 1)]
        fresh = await engine.run("a law", [*facts, *late, *marks])
        return [fork.live_digest for fork in found], fresh.live_digest

    forks, fresh = asyncio.run(both())
    assert set(forks) == {fresh}


@schedules
@given(plans(shapes=FIRM).map(wirable), given_facts(), given_facts(), st.booleans())
@settings(max_examples=JOBS // 4)
def test_a_restart_agrees_with_a_run_from_scratch(schedule, plan, facts, late, is_cut):
    """In all that it was ever given, and in why: it is one."""
    marks = [fact.invalidate("late") for fact in facts[:2]]

    async def both() -> tuple[Any, Any]:
        engine = Engine(agents_of(plan), inputs=EVERY, schedule=schedule)
        intent = RootIntent("a law", budget=Budget(rounds=1) if is_cut else ENOUGH)
        await engine.run(intent, facts, job_id="one")
        await engine.resume("one", [*late, *marks])
        anew = await engine.restart("one", budget=ENOUGH)
        return digests(anew), digests(await engine.run("a law", [*facts, *late, *marks]))

    anew, fresh = asyncio.run(both())
    assert anew == fresh


@given(plans(shapes=FIRM).map(wirable), given_facts(), given_facts())
@settings(max_examples=JOBS // 4)
def test_a_marker_on_a_conclusion_means_in_a_restart_what_it_meant(plan, facts, late):
    """What holds is the same, whether a conclusion was drawn before it was marked or after."""

    async def both() -> tuple[str, str]:
        engine = Engine(agents_of(plan), inputs=EVERY)
        first = await engine.run("a law", facts, job_id="one")
        concluded = [fact for fact in first.context.facts() if type(fact) in EVERY and fact not in facts]
        marked = await engine.resume("one", [*late, *(fact.invalidate("mistaken") for fact in concluded[:2])])
        return marked.live_digest, (await engine.restart("one")).live_digest

    marked, anew = asyncio.run(both())
    assert marked == anew
