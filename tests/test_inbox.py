"""Letters: facts for a job that somebody runs, or that lies still, are merged once and lead where they would have."""

import asyncio
import dataclasses
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Agent, Engine, Fact, Live, Outcome, StopReason, View, agent
from converge.errors import ForeignPremise, JobUnknown, KindUnknown
from converge.ports import Store
from converge.trace import FactsArrived, JobStopped, Warned
from converge_stores import MemoryStore, SQLiteStore
from tests.jobs import EVERY, agents_of, cells, nets, plans, wirable
from tests.jobs import premises as given_facts
from tests.timing import JOBS

MakeStore = Callable[[Path], Store]
SETTLED = ("sum", "count", "none", "best", "replace")
FIRM = ("seed", "each", "pair", "strike", *SETTLED)
in_memory_and_in_a_file = pytest.mark.parametrize(
    "made", [lambda path: MemoryStore(), SQLiteStore], ids=["memory", "file"]
)


class Clause(Fact):
    text: str


class Opinion(Fact):
    text: str


class Count(Fact):
    n: int


class Stranger(Fact):
    text: str


class Desk:
    """Gives its opinion of each clause, but of those that wait until it is told to."""

    def __init__(self, *waits: str) -> None:
        self.waits, self.asked = set(waits), anyio.Event()
        self.told = anyio.Event()
        self.calls: list[str] = []

    async def ask(self, text: str) -> str:
        self.calls.append(text)
        if text in self.waits:
            self.asked.set()
            await self.told.wait()
        return f"on {text}"

    def agents(self) -> list[Agent]:
        """Return a lawyer that asks, and a clerk that counts."""

        @agent(reads=Clause, writes=Opinion)
        async def lawyer(view: View):
            for clause in view.new(Clause):
                yield Opinion(await view.capture("ask", self.ask, clause.text)).because(clause)

        @agent(reads=[Live(Opinion), Live(Clause)], writes=Count, when="settled")
        def clerk(view: View):
            return Count(view.count(Opinion) + view.count(Clause))

        return [lawyer, clerk]


class _Told:
    """A store that lets a test act before each append."""

    before: Callable[[Any], Awaitable[None]] | None = None

    async def append(self, lease, after, rows):
        if self.before is not None:
            await self.before(rows)
        return await super().append(lease, after, rows)  # type: ignore[misc]


class ToldMemory(_Told, MemoryStore):
    pass


class ToldFile(_Told, SQLiteStore):
    pass


told_in_memory_and_in_a_file = pytest.mark.parametrize(
    "made", [lambda path: ToldMemory(), ToldFile], ids=["memory", "file"]
)
SLOW, LATE, FIRST = Clause("slow"), Clause("late"), Clause("first")
EVERYTHING = {"on slow", "on late"}


def opinions(outcome: Outcome) -> set[str]:
    return {opinion.text for opinion in outcome.context.live(Opinion)}


def arrivals(outcome: Outcome) -> list[int]:
    return [event.letter for event in outcome.trace if isinstance(event, FactsArrived)]


async def scratch(facts: Iterable[Fact]) -> Outcome:
    return await Engine(Desk().agents()).run("review", facts)


# --- to a job that runs ----------------------------------------------------------------------------------------------


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_facts_given_to_a_running_job_are_merged_while_it_runs(made: MakeStore, tmp_path: Path):
    """Whoever reads them does not wait for the one that is still asking."""
    desk = Desk("slow")
    engine = Engine(desk.agents(), store=made(tmp_path / "jobs.db"))
    async with engine.start("review", [SLOW], job_id="one") as job:
        await desk.asked.wait()
        assert await engine.give("one", LATE)
        async for event in job.events():
            if isinstance(event, FactsArrived):
                break
        desk.told.set()
        outcome = await job.outcome()
    assert (outcome.converged, opinions(outcome), arrivals(outcome)) == (True, EVERYTHING, [1])
    assert outcome.live_digest == (await scratch([SLOW, LATE])).live_digest


@pytest.mark.asyncio
async def test_a_second_engine_over_the_same_file_reaches_a_running_job(tmp_path: Path):
    """The letter lies in the file; whoever runs the job looks."""
    desk, path = Desk("slow"), tmp_path / "jobs.db"
    async with Engine(desk.agents(), store=SQLiteStore(path)).start("review", [SLOW], job_id="one") as job:
        await desk.asked.wait()
        assert await Engine(Desk().agents(), store=SQLiteStore(path)).give("one", [LATE])
        async for event in job.events():
            if isinstance(event, FactsArrived):
                break
        desk.told.set()
        outcome = await job.outcome()
    assert (outcome.converged, opinions(outcome), arrivals(outcome)) == (True, EVERYTHING, [1])


_GIVE = """
import asyncio, sys
from converge import Engine
from converge.stores import SQLiteStore
from tests.test_inbox import Clause, Desk

async def main():
    print(await Engine(Desk().agents(), store=SQLiteStore(sys.argv[1])).give("one", Clause("late")))

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.asyncio
async def test_another_process_reaches_a_running_job(tmp_path: Path):
    """And learns that somebody runs it."""
    desk, path = Desk("slow"), tmp_path / "jobs.db"
    async with Engine(desk.agents(), store=SQLiteStore(path)).start("review", [SLOW], job_id="one") as job:
        await desk.asked.wait()
        command = [sys.executable, "-c", _GIVE, str(path)]
        ended = await anyio.run_process(command, check=False, env={**os.environ, "PYTHONPATH": ":".join(sys.path)})
        assert ended.stdout == b"True\n", ended.stderr
        async for event in job.events():
            if isinstance(event, FactsArrived):
                break
        desk.told.set()
        outcome = await job.outcome()
    assert (opinions(outcome), arrivals(outcome)) == (EVERYTHING, [1])


@pytest.mark.asyncio
async def test_what_arrived_is_in_the_trace_and_its_number_in_the_rows(tmp_path: Path):
    """So it can be said later what was known when, and no letter is merged twice."""
    desk, path = Desk("slow"), tmp_path / "jobs.db"
    engine = Engine(desk.agents(), store=SQLiteStore(path))
    async with engine.start("review", [SLOW], job_id="one") as job:
        await desk.asked.wait()
        await engine.give("one", [LATE, FIRST])
        async for event in job.events():
            if isinstance(event, FactsArrived):
                arrived = event
                break
        desk.told.set()
        await job.outcome()
    assert (arrived.letter, arrived.facts, arrived.round) == (1, 2, 1)
    with closing(sqlite3.connect(path)) as reader:
        numbers = [n for (n,) in reader.execute("SELECT json_extract(body, '$.letter') FROM log ORDER BY number")]
    assert (numbers[0], numbers[-1]) == (None, 1)


# --- to a job that lies still ----------------------------------------------------------------------------------------


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_facts_given_to_a_job_that_has_converged_wait_for_the_next_resume(made: MakeStore, tmp_path: Path):
    """Nobody runs it, and whoever gives them is told so."""
    engine = Engine(Desk().agents(), store=made(tmp_path / "jobs.db"))
    async with engine:
        first = await engine.run("review", [SLOW], job_id="one")
        assert not await engine.give("one", LATE)
        outcome = await engine.resume("one")
    assert (opinions(first), opinions(outcome), arrivals(outcome)) == ({"on slow"}, EVERYTHING, [1])
    assert outcome.live_digest == (await scratch([SLOW, LATE])).live_digest


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_facts_given_to_a_job_that_was_cancelled_are_merged_when_it_goes_on(made: MakeStore, tmp_path: Path):
    """Beside what whoever resumes it gives."""
    desk = Desk("slow")
    engine = Engine(desk.agents(), store=made(tmp_path / "jobs.db"))
    async with engine.start("review", [SLOW], job_id="one") as job:
        await desk.asked.wait()
        job.cancel()
        assert (await job.outcome()).stop.reason is StopReason.CANCELLED
    await engine.give("one", LATE)
    desk.told.set()
    outcome = await engine.resume("one", [FIRST])
    assert opinions(outcome) == {*EVERYTHING, "on first"}


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_letter_is_merged_once(made: MakeStore, tmp_path: Path):
    """However often the job is resumed."""
    engine = Engine(Desk().agents(), store=made(tmp_path / "jobs.db"))
    await engine.run("review", [SLOW], job_id="one")
    await engine.give("one", LATE)
    outcomes = [await engine.resume("one") for _ in range(3)]
    assert [arrivals(outcome) for outcome in outcomes] == [[1], [1], [1]]
    assert len({(outcome.cycles, outcome.proof_digest) for outcome in outcomes}) == 1


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_letter_to_a_job_that_was_cancelled_and_not_left_yet_waits_for_its_resume(
    made: MakeStore, tmp_path: Path
):
    """Nobody looks for it any more, and who gives it need not know."""
    desk = Desk("slow")
    engine = Engine(desk.agents(), store=made(tmp_path / "jobs.db"), checkpoints="manual")
    async with engine.start("review", [SLOW], job_id="one") as job:
        await desk.asked.wait()
        job.cancel()
        await job.outcome()
        await engine.give("one", LATE)
    desk.told.set()
    outcome = await engine.resume("one")
    assert (outcome.converged, opinions(outcome)) == (True, EVERYTHING)


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_several_letters_are_merged_in_their_order(made: MakeStore, tmp_path: Path):
    """A marker may come after what it marks."""
    engine = Engine(Desk().agents(), store=made(tmp_path / "jobs.db"))
    await engine.run("review", [SLOW], job_id="one")
    for letter in (LATE, SLOW.invalidate("withdrawn"), LATE.invalidate("withdrawn")):
        await engine.give("one", letter)
    outcome = await engine.resume("one")
    assert (arrivals(outcome), opinions(outcome)) == ([1, 2, 3], set())


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_letter_that_brings_what_is_known_changes_nothing(made: MakeStore, tmp_path: Path):
    """It has arrived all the same."""
    engine = Engine(Desk().agents(), store=made(tmp_path / "jobs.db"))
    before = await engine.run("review", [SLOW], job_id="one")
    await engine.give("one", SLOW)
    outcome = await engine.resume("one")
    assert (outcome.converged, outcome.proof_digest, arrivals(outcome)) == (True, before.proof_digest, [1])


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_fork_has_letters_of_its_own(made: MakeStore, tmp_path: Path):
    """They are numbered from 1 again, though its origin has merged some; and its origin never sees them."""
    engine = Engine(Desk().agents(), store=made(tmp_path / "jobs.db"))
    await engine.run("review", [SLOW], job_id="one")
    await engine.give("one", LATE)
    await engine.resume("one")
    await engine.fork("one", new_id="two")
    await engine.give("two", FIRST)
    assert opinions(await engine.resume("two")) == {*EVERYTHING, "on first"}
    assert opinions(await engine.resume("one")) == EVERYTHING


# --- in the last moment ----------------------------------------------------------------------------------------------


@told_in_memory_and_in_a_file
@pytest.mark.parametrize("checkpoints", [1, 3, "end"])
@pytest.mark.asyncio
async def test_a_letter_that_comes_with_the_last_row_is_merged_before_the_job_ends(
    made: MakeStore, tmp_path: Path, checkpoints: Any
):
    """Whoever was told that the job runs may rely on that."""
    store: Any = made(tmp_path / "jobs.db")
    engine = Engine(Desk().agents(), store=store, checkpoints=checkpoints)

    async def give_once(rows) -> None:
        if rows[-1].stop is not None:
            store.before = None
            assert await engine.give("one", LATE)

    store.before = give_once
    outcome = await engine.run("review", [SLOW], job_id="one")
    assert (outcome.converged, opinions(outcome), arrivals(outcome)) == (True, EVERYTHING, [1])
    stops = [event.reason for event in outcome.trace if isinstance(event, JobStopped)]
    assert stops == ["fixed_point", "fixed_point"]


@pytest.mark.asyncio
async def test_so_is_one_from_another_engine(tmp_path: Path):
    """The append itself tells how far the letters have come."""
    store = ToldFile(tmp_path / "jobs.db")
    other = Engine(Desk().agents(), store=SQLiteStore(tmp_path / "jobs.db"))

    async def give_once(rows) -> None:
        if rows[-1].stop is not None:
            store.before = None
            await other.give("one", LATE)

    store.before = give_once
    outcome = await Engine(Desk().agents(), store=store).run("review", [SLOW], job_id="one")
    assert opinions(outcome) == EVERYTHING


@told_in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_letter_that_can_only_be_left_out_does_not_keep_a_job_from_ending(made: MakeStore, tmp_path: Path):
    """Its number is kept, so that nobody looks at it again."""
    store: Any = made(tmp_path / "jobs.db")
    engine = Engine(Desk().agents(), store=store)

    async def give_once(rows) -> None:
        if rows[-1].stop is not None:
            store.before = None
            await store.give("one", 0.0, '{"facts":[["Stranger:1",{"text":"x"}]]}')

    store.before = give_once
    outcome = await engine.run("review", [SLOW], job_id="one")
    assert (outcome.converged, len(warnings(outcome)), arrivals(outcome)) == (True, 1, [])
    again = await engine.resume("one")
    assert len(warnings(again)) == 1


def warnings(outcome: Outcome) -> list[str]:
    return [event.text for event in outcome.trace if isinstance(event, Warned) and event.text.startswith("letter")]


# --- letters that cannot be taken ------------------------------------------------------------------------------------


@in_memory_and_in_a_file
@pytest.mark.parametrize(
    "body",
    [
        '{"facts":[["Stranger:00",{"text":"x"}]]}',
        '{"facts":[["Clause:00",{"words":1}]]}',
        '{"facts":[["Clause:00",{"text":"fine"}],["Stranger:00",{"text":"x"}]]}',
        '{"facts":[["Invalidation:00",{"target":"Clause:00"}]]}',
        '{"facts":[["Invalidation:00",{}]]}',
        "{}",
        "not even JSON",
    ],
    ids=["unknown kind", "unreadable content", "one of two", "half a marker", "none of it", "no facts", "no JSON"],
)
@pytest.mark.asyncio
async def test_a_letter_that_a_job_cannot_take_is_left_out_with_a_warning(made: MakeStore, tmp_path: Path, body: str):
    """Whole, by number and reason; the job goes on, with the letters after it."""
    store = made(tmp_path / "jobs.db")
    engine = Engine(Desk().agents(), store=store)
    async with engine:
        await engine.run("review", [SLOW], job_id="one")
        await store.give("one", 0.0, body)
        await engine.give("one", LATE)
        outcome = await engine.resume("one")
    assert (outcome.converged, opinions(outcome), arrivals(outcome)) == (True, EVERYTHING, [2])
    assert [text[:20] for text in warnings(outcome)] == ["letter 1 is left out"]


@pytest.mark.asyncio
async def test_a_running_job_survives_a_letter_that_it_cannot_take(tmp_path: Path):
    """It was written by another program."""
    desk, store = Desk("slow"), SQLiteStore(tmp_path / "jobs.db")
    engine = Engine(desk.agents(), store=store)
    async with engine.start("review", [SLOW], job_id="one") as job:
        await desk.asked.wait()
        await store.give("one", 0.0, '{"facts":[["Stranger:00",{"text":"x"}]]}')
        await engine.give("one", LATE)
        async for event in job.events():
            if isinstance(event, FactsArrived):
                break
        desk.told.set()
        outcome = await job.outcome()
    assert (outcome.converged, opinions(outcome), len(warnings(outcome))) == (True, EVERYTHING, 1)


@pytest.mark.asyncio
async def test_what_no_agent_knows_is_refused_when_it_is_given(tmp_path: Path):
    """Whoever gives it hears of it, where that can be known."""
    engine = Engine(Desk().agents(), store=SQLiteStore(tmp_path / "jobs.db"))
    await engine.run("review", [SLOW], job_id="one")
    with pytest.raises(KindUnknown):
        await engine.give("one", Stranger("x"))
    with pytest.raises(ForeignPremise):
        await engine.give("one", "late")  # type: ignore[arg-type]
    with pytest.raises(JobUnknown):
        await engine.give("another", LATE)


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_resume_may_mark_what_a_letter_brings(made: MakeStore, tmp_path: Path):
    """The letter was there before, though nobody has read it."""
    engine = Engine(Desk().agents(), store=made(tmp_path / "jobs.db"))
    await engine.run("review", [SLOW], job_id="one")
    await engine.give("one", LATE)
    outcome = await engine.resume("one", [LATE.invalidate("withdrawn")])
    assert outcome.context.live(Clause) == (SLOW,)


@pytest.mark.asyncio
async def test_a_marker_that_comes_before_what_it_marks_is_concluded_again_is_not_lost(tmp_path: Path):
    """It was given when that was known, and the process ended before it was kept."""
    path = tmp_path / "jobs.db"
    engine = Engine(Desk().agents(), store=SQLiteStore(path), checkpoints="manual")
    first = await engine.run("review", [SLOW], job_id="one")
    await engine.give("one", first.context.live(Opinion)[0].invalidate("mistaken"))
    outcome = await engine.resume("one")
    assert (outcome.converged, outcome.context.live(Opinion), warnings(outcome)) == (True, (), [])


# --- across crashes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checkpoints", [1, 2, "end", "manual"])
@pytest.mark.asyncio
async def test_a_letter_is_merged_once_whenever_the_process_ends(tmp_path: Path, checkpoints: Any):
    """Its number is kept with what it brought, in one row: the file is copied before each append and gone on from."""
    store = ToldFile(tmp_path / "jobs.db")
    copies: list[Path] = []

    async def copy(rows) -> None:
        copies.append(tmp_path / f"{len(copies)}.db")
        with closing(sqlite3.connect(store.path)) as reader, closing(sqlite3.connect(copies[-1])) as copied:
            reader.backup(copied)

    engine = Engine(Desk().agents(), store=store, checkpoints=checkpoints)
    await engine.run("review", [SLOW], job_id="one")
    await engine.give("one", LATE)
    store.before = copy
    whole = await engine.resume("one", [FIRST])
    assert len(copies) > 1
    for path in copies[1:]:
        resumed = await Engine(Desk().agents(), store=SQLiteStore(path)).resume("one")
        assert resumed.live_digest == whole.live_digest
        arrived = [event for event in resumed.trace if isinstance(event, FactsArrived)]
        assert [event.letter for event in arrived] == [1]


# --- laws ------------------------------------------------------------------------------------------------------------


def lingering(agents: list[Agent], turns: dict[str, int]) -> list[Agent]:
    """Return the agents, each of which now gives way so many times before it speaks."""
    return [_lingering(one, turns.get(one.name, 0)) for one in agents]


def _lingering(one: Agent, turns: int) -> Agent:
    run = one.run

    async def slowly(view: View):
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        return list(run(view) or ())

    return dataclasses.replace(one, run=slowly)


async def with_letters(agents: list[Agent], facts: list[Fact], letters: list[list[Fact]], schedule: Any, store: Store):
    """Run a job that gets a letter with each of its first commits; what came too late is merged by a resume."""
    engine = Engine(agents, store=store, inputs=EVERY, schedule=schedule)
    async with engine:
        async with engine.start("a law", facts, job_id="one") as job:
            waiting = iter(letters)
            async for _ in job.events():
                if (letter := next(waiting, None)) is not None:
                    await engine.give("one", letter)
            await job.outcome()
        for letter in waiting:
            await engine.give("one", letter)
        return await engine.resume("one"), engine


def late_letters() -> st.SearchStrategy[list[list[Fact]]]:
    return st.lists(given_facts(), min_size=1, max_size=3)


turns = st.lists(st.integers(0, 12), min_size=9, max_size=9)


@pytest.mark.parametrize("schedule", ["frontier", "lockstep"])
@given(plans(shapes=FIRM).map(wirable), given_facts(), late_letters(), turns, st.booleans())
@settings(max_examples=JOBS // 4)
def test_what_comes_by_letter_leads_to_what_a_run_from_scratch_finds_live(schedule, plan, facts, letters, slow, marks):
    """Whenever it comes: agents are at work, settled ones included."""
    agents = lingering(agents_of(plan), dict(zip((one.name for one in agents_of(plan)), slow, strict=False)))
    if marks:
        letters = [*letters, [fact.invalidate("late") for fact in facts[:2]]]
    outcome, _ = asyncio.run(with_letters(agents, facts, letters, schedule, MemoryStore()))
    scratch = asyncio.run(Engine(agents, inputs=EVERY).run("a law", [*facts, *chain(*letters)]))
    assert outcome.live_digest == scratch.live_digest


@given(nets((*FIRM, *("each",) * 6)), cells(), st.lists(cells(), min_size=1, max_size=3), turns)
@settings(max_examples=JOBS // 4)
def test_so_it_does_in_a_net(plan, facts, letters, slow):
    """Where agents read what they reach."""
    agents = lingering(agents_of(plan), dict(zip((one.name for one in agents_of(plan)), slow, strict=False)))
    letters = [*letters, [fact.invalidate("late") for fact in facts[:2]]]
    outcome, _ = asyncio.run(with_letters(agents, facts, letters, "frontier", MemoryStore()))
    scratch = asyncio.run(Engine(agents, inputs=EVERY).run("a law", [*facts, *chain(*letters)]))
    assert outcome.live_digest == scratch.live_digest


# --- testing such a job ----------------------------------------------------------------------------------------------


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_job_that_got_letters_can_be_certified(made: MakeStore, tmp_path: Path):
    """What holds at its end does not depend on how it came to be known."""
    engine = Engine(Desk().agents(), store=made(tmp_path / "jobs.db"))
    await engine.run("review", [SLOW], job_id="one")
    await engine.give("one", LATE)
    assert (await engine.certify(await engine.resume("one"))).holds


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_job_that_got_letters_while_it_ran_can_be_verified(made: MakeStore, tmp_path: Path):
    """They are given again where they came."""
    desk = Desk("slow")
    engine = Engine(desk.agents(), store=made(tmp_path / "jobs.db"))
    async with engine.start("review", [SLOW], job_id="one") as job:
        await desk.asked.wait()
        await engine.give("one", LATE)
        async for event in job.events():
            if isinstance(event, FactsArrived):
                break
        desk.told.set()
        await job.outcome()
    report = await engine.verify("one")
    assert report.sound, str(report)


@pytest.mark.parametrize("schedule", ["frontier", "lockstep"])
@given(plans(shapes=FIRM).map(wirable), given_facts(), late_letters(), turns)
@settings(max_examples=JOBS // 10)
def test_whatever_job_got_letters_is_verified_and_certified(schedule, plan, facts, letters, slow):
    """An agent was at work on a round when they came, and went on."""
    agents = lingering(agents_of(plan), dict(zip((one.name for one in agents_of(plan)), slow, strict=False)))

    async def checked() -> tuple[Any, Any]:
        outcome, engine = await with_letters(agents, facts, letters, schedule, MemoryStore())
        return await engine.certify(outcome), await engine.verify("one")

    certificate, report = asyncio.run(checked())
    assert certificate.holds, str(certificate)
    assert report.sound, str(report)
