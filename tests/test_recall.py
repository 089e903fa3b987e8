"""What a finished activation said is kept where it must wait for others, and said again after a crash: it does not run.

A crash here is a copy of the store's file, made while a sibling is still at work; or, for random jobs, the rows alone.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Agent, Engine, Fact, Invalidation, Invariant, Outcome, View, agent, invariant
from converge.capture import SAID
from converge.command import Activate, Commit, Done
from converge.context import Context
from converge.effect import Source
from converge.intent import RootIntent
from converge.lookup import Reader
from converge.recall import recall, remark
from converge.snapshot import Records
from converge.stores import MemoryStore, SQLiteStore
from converge.support import OUTSIDE
from tests.jobs import ITEMWISE, MORE, SHAPES, Play, agents_of, begin, digests, perform, plans, play, restored, wirable
from tests.jobs import premises as given_facts


class Word(Fact):
    text: str


class Note(Fact):
    text: str


class Size(Fact):
    n: int


class Team:
    """Agents of one round, all of which wait for the slow one; how often the others ran is counted."""

    def __init__(self) -> None:
        self.runs: Counter[tuple[str, int]] = Counter()
        self.may_end = anyio.Event()

    def counted(self, **options: Any) -> Agent:
        """Return an agent that cites what it says, marks something, and says more that it cites nothing for."""

        @agent(**{"reads": Word, "writes": [Note, Size], "invalidates": Word, "name": "fast", **options})
        def fast(view: View):
            self.runs["fast", view.round] += 1
            for word in view.new(Word):
                yield Note(f"about {word.text}").because(word)
                if word.text == "b":
                    yield Word("a").invalidate("b is better").because(word)
            yield Size(len(view.all(Word)))

        return fast

    def slow(self) -> Agent:
        @agent(reads=Word, writes=Note)
        async def slow(view: View):
            self.runs["slow", view.round] += 1
            await self.may_end.wait()
            yield Note("slow").because(*view.all(Word))

        return slow

    def failing(self) -> Agent:
        @agent(reads=Word, name="failing", required=False)
        def failing(view: View):
            self.runs["failing", view.round] += 1
            raise ValueError("not this one")

        return failing

    def later(self) -> Agent:
        """Return an agent that is of the next round."""

        @agent(reads=Note, writes=Size)
        def later(view: View):
            for note in view.new(Note):
                yield Size(len(note.text)).because(note)

        return later

    def all(self) -> list[Agent]:
        return [self.counted(), self.slow(), self.failing(), self.later()]


class Watched(SQLiteStore):
    """A store that tells when something was kept that belongs to no cycle."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.noted = anyio.Event()

    async def append(self, lease, after, rows):
        letters = await super().append(lease, after, rows)
        if any(row.cycle is None for row in rows):
            self.noted.set()
        return letters


FACTS = [Word("a"), Word("b")]


async def crashed(
    tmp_path: Path, agents: Sequence[Agent], intent: RootIntent | str = "a law", rules: Sequence[Invariant] = ()
) -> Path:
    """Run a job until a finished activation is kept, and return a copy of its file as of then."""
    store, copy = Watched(tmp_path / "jobs.db"), tmp_path / "crashed.db"
    engine = Engine(agents, store=store, schedule="lockstep", invariants=rules)
    async with engine.start(intent, FACTS, job_id="one") as job:
        with anyio.fail_after(60):
            await store.noted.wait()
        with closing(sqlite3.connect(store.path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        job.cancel()
        await job.outcome()
    return copy


async def resumed(path: Path, agents: Sequence[Agent], *facts: Fact, schedule: Any = "lockstep") -> Outcome:
    """Go on from a copy, in an engine that never saw the job."""
    return await Engine(agents, store=SQLiteStore(path), schedule=schedule).resume("one", facts)


def ended(outcome: Outcome) -> tuple[str, str, str]:
    assert outcome.converged
    return outcome.digest, outcome.live_digest, outcome.proof_digest


def said(path: Path) -> list[tuple[str, str]]:
    """Return who is kept to have said what."""
    with closing(sqlite3.connect(path)) as reader:
        return reader.execute("SELECT agent, answer FROM captures WHERE name = ?", (SAID,)).fetchall()


# --- not run again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["lockstep", "frontier"])
@pytest.mark.asyncio
async def test_who_had_finished_does_not_run_again_after_a_crash(tmp_path: Path, schedule: str):
    """Citations, what cites nothing, and markers come back: all three digests are those of a job that never crashed."""
    first, second, whole = Team(), Team(), Team()
    copy = await crashed(tmp_path, first.all())
    second.may_end.set()
    whole.may_end.set()
    outcome = await resumed(copy, second.all(), schedule=schedule)
    assert (first.runs["fast", 0], second.runs["fast", 0], second.runs["slow", 0]) == (1, 0, 1)
    assert ended(outcome) == ended(await Engine(whole.all()).run("a law", FACTS))


@pytest.mark.asyncio
async def test_what_was_said_is_kept_in_words_that_need_no_context(tmp_path: Path):
    """Facts by their ids: positions are those of one run."""
    copy = await crashed(tmp_path, Team().all())
    ((name, answer),) = said(copy)
    assert name == "fast"
    assert "Note:" in answer
    assert "Invalidation:" in answer


@pytest.mark.asyncio
async def test_a_failure_is_not_remembered(tmp_path: Path):
    """It may have better luck."""
    first, second = Team(), Team()
    copy = await crashed(tmp_path, first.all())
    assert {name for name, _ in said(copy)} == {"fast"}
    second.may_end.set()
    await resumed(copy, second.all())
    assert (first.runs["failing", 0], second.runs["failing", 0]) == (1, 1)


@pytest.mark.asyncio
async def test_a_late_fact_is_read_by_who_does_not_run_again_on_the_rest(tmp_path: Path):
    """The round that it had read is said again; the one of the late fact is another view."""
    second, third, forgotten = Team(), Team(), tmp_path / "forgotten.db"
    copy = await crashed(tmp_path, Team().all())
    with closing(sqlite3.connect(copy)) as source, closing(sqlite3.connect(forgotten)) as target:
        source.backup(target)
        with target:
            target.execute("DELETE FROM log WHERE cycle IS NULL AND number > 0")
    second.may_end.set()
    third.may_end.set()
    outcome = await resumed(copy, second.all(), Word("c"))
    assert (second.runs["fast", 0], second.runs["fast", 1]) == (0, 1)
    assert ended(outcome) == ended(await resumed(forgotten, third.all(), Word("c")))
    assert (third.runs["fast", 0], third.runs["fast", 1]) == (1, 1)


@pytest.mark.asyncio
async def test_in_memory_nothing_is_remembered():
    """Nothing outlives the process, so nothing need be written down."""
    team, store = Team(), MemoryStore()
    async with Engine(team.all(), store=store, schedule="lockstep").start("a law", FACTS, job_id="one") as job:
        while not team.runs["failing", 0] or not team.runs["slow", 0] or not team.runs["fast", 0]:
            await anyio.lowlevel.checkpoint()
        team.may_end.set()
        assert (await job.outcome()).converged
    assert SAID not in "".join(row.body for row in await store.rows("one"))


@pytest.mark.asyncio
async def test_who_waits_for_nobody_is_not_written_down_twice(tmp_path: Path):
    """Under frontier an effect is durable with the cycle it is merged in."""
    team = Team()
    team.may_end.set()
    outcome = await Engine(team.all(), store=SQLiteStore(tmp_path / "jobs.db")).run("a law", FACTS)
    assert outcome.converged
    assert said(tmp_path / "jobs.db") == []


# --- asked again -----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_another_version_of_an_agent_says_it_itself(tmp_path: Path):
    """It is another agent."""
    second = Team()
    copy = await crashed(tmp_path, Team().all())
    second.may_end.set()
    await resumed(copy, [second.counted(version="2"), second.slow()])
    assert second.runs["fast", 0] == 1


class Longer(Fact, name="Note"):
    """As Note, with a field more, that has a value by itself."""

    text: str
    more: int = 0


class Narrow(Fact, name="Note"):
    """As Note, and not all that it takes."""

    words: tuple[str, ...]


class Newer(Fact, name="Note", version=2):
    text: str

    @classmethod
    def upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        return content


@pytest.mark.parametrize("kind", [Longer, Narrow, Newer])
@pytest.mark.asyncio
async def test_an_agent_whose_kinds_have_changed_says_it_in_those_of_today(tmp_path: Path, kind: Any):
    """What it had said is no content of them, would have other ids, or is of an earlier version."""
    copy, runs = await crashed(tmp_path, Team().all()), []

    @agent(reads=Word, writes=[kind, Size], invalidates=Word)
    def fast(view: View):
        runs.append(view.round)
        yield Size(7)

    outcome = await resumed(copy, [fast])
    assert runs == [0]
    assert outcome.context.all(Size) == (Size(7),)
    assert outcome.context.all(kind) == ()


@pytest.mark.parametrize("options", [{"writes": Note}, {"invalidates": ()}, {"invalidates": Note}])
@pytest.mark.asyncio
async def test_what_an_agent_may_not_say_any_more_it_does_not_say_again(tmp_path: Path, options: dict[str, Any]):
    """Its effect is whole: nothing of it counts."""
    copy, runs = await crashed(tmp_path, Team().all()), []

    @agent(**{"reads": Word, "writes": [Note, Size], "invalidates": Word, "name": "fast", **options})
    def fast(view: View):
        runs.append(view.round)
        yield Note("otherwise")

    outcome = await resumed(copy, [fast])
    assert runs == [0]
    assert outcome.context.all(Note) == (Note("otherwise"),)
    assert outcome.context.all(Invalidation) == ()


@pytest.mark.asyncio
async def test_a_rule_is_asked_about_what_is_said_again(tmp_path: Path):
    """It may be a stricter one by now."""
    intent, second = RootIntent("a law", scope=("modest",)), Team()

    @invariant
    def modest(view: View, facts: Sequence[Fact]) -> bool:
        return not any(isinstance(fact, Size) for fact in facts)

    lax = Invariant("modest", lambda view, facts: True)
    copy = await crashed(tmp_path, Team().all(), intent, [lax])
    second.may_end.set()
    engine = Engine([second.counted(), second.slow()], store=SQLiteStore(copy), invariants=[modest])
    outcome = await engine.resume("one")
    assert (outcome.stop.reason, outcome.context.all(Size), second.runs["fast", 0]) == ("agent_failed", (), 0)


def shown(*facts: tuple[Fact, int], round: int = 1, after: int = -1, again: Sequence[int] = (), **reads: bool) -> Any:
    """Return the question whose answer is what an agent says on a view."""
    context = Context(RootIntent("a law"))
    for place, (fact, since) in enumerate(facts, start=1):
        context.add(fact, since)
        context.support(place, OUTSIDE, since, ())
    reader = Reader(Source("one"), reads or {"Word": False})
    return View(context, round, reader, after, frozenset(again)).saying()


BASE = (Word("a"), 0), (Word("b"), 1)
MARKER = (Word("a").invalidate("x"), 1)
DIFFERENT: dict[str, Callable[[], Any]] = {
    "more facts": lambda: shown(*BASE, (Word("c"), 1)),
    "another round": lambda: shown(*BASE, round=2),
    "other facts that are new": lambda: shown(*BASE, after=0),
    "facts that are given again": lambda: shown(*BASE, again=[1]),
    "others that are given again": lambda: shown(*BASE, again=[2]),
    "a fact that has fallen": lambda: shown(*BASE, MARKER, Word=True),
    "another intent": lambda: View(Context(RootIntent("other")), 1, Reader(Source("one"), {"Word": False})).saying(),
}


def test_no_two_views_that_differ_are_one_question():
    """Neither in what they show nor in what is new."""
    questions = [shown(*BASE), *(made() for made in DIFFERENT.values())]
    assert len(set(questions)) == len(questions)


def test_what_a_view_does_not_show_is_no_part_of_the_question():
    """Later rounds, other kinds, and labels that are not read."""
    assert shown(*BASE) == shown(*BASE, (Word("c"), 2)) == shown(*BASE, (Note("n"), 0)) == shown(*BASE, MARKER)
    assert shown(*BASE, MARKER, Word=True) != shown(*BASE, Word=True)


# --- random jobs -----------------------------------------------------------------------------------------------------


def drive(job: Play, ends: int | None = None) -> tuple[list[str], list[str]]:
    """Run a job as its actor does, until so many activations have ended; return who ran, and who was recalled."""
    waiting, ran, recalled, kept = list[Any](), list[str](), list[str](), set[Any]()
    while job.stop is None:
        for command in job.machine.next(0.0):
            if isinstance(command, Commit):
                job.bodies.append(command.cycle.body())
            elif isinstance(command, Activate):
                waiting += command.activations
            else:
                job.stop = command
        if remarks := list(job.machine.remarks()):
            job.bodies.append(Records(remarks, 0.0, 0, 0).body())
            questions = [question for question, *_ in remarks]
            assert kept.isdisjoint(questions), "it was kept before"
            kept.update(questions)
        if not waiting or ends == 0:
            break
        activation = waiting.pop()
        ends = None if ends is None else ends - 1
        effect = job.machine.recall(activation)
        (ran if effect is None else recalled).append(f"{activation.agent.name} on {activation.view.round}")
        job.machine.receive(perform(activation) if effect is None else Done(activation, effect))
    return ran, recalled


MANY = (*SHAPES, *MORE, "each", "strike", "unmark", "batch")


@given(plans(shapes=MANY), given_facts(), st.data())
@settings(max_examples=60)
def test_a_job_that_crashes_while_some_are_at_work_loses_nothing_that_was_said(plan, facts, data):
    """Wherever it crashes: the digests and rounds of the whole job, and nobody who had said something runs again."""
    plan = wirable(plan)
    whole = begin(agents_of(plan), facts)
    ran, _ = drive(whole)
    first = begin(agents_of(plan), facts)
    before, _ = drive(first, data.draw(st.integers(0, len(ran))))
    second = restored(first)
    after, _ = drive(second)
    assert (digests(second.view), second.rounds) == (digests(whole.view), whole.rounds)
    spoken = [event for event in _said(first) if event in before]
    assert not set(spoken) & set(after)


def _said(job: Play) -> list[str]:
    """Return who completed, merged or kept, under lockstep up to a crash."""
    landed = [done for done in job.machine._landed.values() if done.effect is not None]
    return [f"{done.activation.agent.name} on {done.activation.view.round}" for done in landed] + [
        f"{agent} on {round}" for agent, round in job.activations
    ]


@given(plans(shapes=(*ITEMWISE, "batch", "mixture", "loose", "revise", "unmark", "sum", "count")), given_facts())
@settings(max_examples=40)
def test_what_is_remarked_is_what_is_recalled(plan, facts):
    """Every effect of a job, to the last position of its evidence."""
    plan = wirable(plan)
    job = begin(agents_of(plan), facts)
    while job.stop is None:
        for command in job.machine.next(0.0):
            if isinstance(command, Activate):
                for activation in command.activations:
                    done = perform(activation)
                    if done.effect is not None:
                        captures = job.machine.job.captures
                        captures.restore(activation.view.saying(), remark(done.effect, job.context))
                        assert recall(activation.agent, activation.view, job.context, captures) == done.effect
                    job.machine.receive(done)
            elif not isinstance(command, Commit):
                job.stop = command
    assert digests(job.view) == digests(play(agents_of(plan), facts).view)
