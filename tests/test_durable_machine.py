"""Durable jobs as a model sees them: given, asked, cancelled, crashed, resumed, forked, restarted in any order.

The model knows a job as the facts it was given, from which it says what holds, and as the questions that were answered.
A crash leaves what the store had at that moment, and nothing is tidied up.
"""

import asyncio
import dataclasses
import json
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from itertools import count, pairwise, takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from converge import Agent, Budget, Engine, Fact, Invalidation, Live, Outcome, RootIntent, View, agent, id_of
from converge.archive.copying import copy_job
from converge.chain import JobHeader, StoredRow, header_row
from converge.errors import ConvergeError
from converge.ports import StoredJob
from converge.restore import given_to
from converge_stores import MemoryStore, SQLiteStore

_NIGHTLY = os.environ.get("CONVERGE_NIGHTLY") == "1"
RUNS, STEPS = (400, 30) if _NIGHTLY else (12, 12)
ENOUGH = Budget()
LEVELS = 3


class Question(Fact):
    n: int


class Veto(Fact):
    n: int


class Answer(Fact):
    n: int


class Step(Fact):
    n: int
    level: int


class Total(Fact):
    n: int


class Verdict(Fact):
    n: int


KINDS: tuple[type[Fact], ...] = (Question, Veto, Answer, Step, Total, Verdict)
GIVEN: tuple[Fact, ...] = (*map(Question, range(4)), *map(Veto, range(2)))


# --- the model -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Known:
    """A job as the model knows it."""

    given: set[Fact]
    used: set[Any] = dataclasses.field(default_factory=set)  # questions whose answers an agent was handed
    rows: Sequence[StoredRow] = ()  # what the store has said it keeps
    whole: bool = True  # whether it was given everything at its beginning
    posted: bool = False  # whether a letter to it may not have been read


def is_given(target: str, job: Known) -> bool:
    """Whether a fact was given, and not concluded."""
    return any(id_of(fact) == target for fact in job.given)


def ladder(n: int) -> list[Step]:
    """Return the steps of a question, each of which rests on the one before."""
    return [Step(n, level) for level in range(LEVELS)]


def expected(given: Iterable[Fact]) -> set[Fact]:
    """Return what holds of what agents conclude, and of what was given, markers left out."""
    facts = set(given)
    fallen = {marker.target for marker in facts if isinstance(marker, Invalidation)}
    held = {fact for fact in facts if not isinstance(fact, Invalidation) and id_of(fact) not in fallen}
    asked = {fact.n for fact in held if isinstance(fact, Question)}
    barred = {fact.n for fact in held if isinstance(fact, Veto)}
    answers = {answer for n in asked if id_of(answer := Answer(n * n)) not in fallen}
    steps = {step for n in asked - barred for step in takewhile(lambda one: id_of(one) not in fallen, ladder(n))}
    total = Total(len(answers) + len(steps))
    return {*held, *answers, *steps, total, Verdict(total.n * total.n)}


# --- the agents, and the world that they ask -------------------------------------------------------------------------


class World:
    """Answers questions, and counts them. `hangs` never return, but cancel the job some turns of the loop later."""

    def __init__(self) -> None:
        self.job = Known(set())
        self.hangs: set[Any] = set()
        self.patience = 0
        self.gone = False
        self.give_up: Callable[[], None] = lambda: None

    async def ask(self, *question: Any) -> int:
        if self.gone:
            raise RuntimeError("this process is no more")
        assert question not in self.job.used, f"{question} was answered before"
        if question in self.hangs:
            for _ in range(self.patience):
                await anyio.lowlevel.checkpoint()
            self.give_up()
            await anyio.sleep_forever()
        return int(question[1] ** 2)

    def agents(self) -> list[Agent]:
        """Return agents of this world."""

        @agent(reads=Question, writes=Answer)
        async def expert(view: View):
            for question in view.new(Question):
                answer = await self.asked(view, "expert", question.n)
                yield Answer(answer).because(question)

        @agent(reads=[Question, Step], writes=Step)
        def climb(view: View):
            for question in view.new(Question):
                yield Step(question.n, 0).because(question)
            for step in view.new(Step):
                if step.level + 1 < LEVELS:
                    yield Step(step.n, step.level + 1).because(step)

        @agent(reads=[Veto, Step], invalidates=Step)
        def bar(view: View):
            vetoes, steps = view.new(Veto), view.new(Step)
            for veto in view.all(Veto):
                for step in view.all(Step) if veto in vetoes else steps:
                    if veto.n == step.n:
                        yield step.invalidate("barred").because(veto)

        @agent(reads=[Answer, Step], writes=Total, when="settled")
        def tally(view: View):
            return Total(view.count(Answer) + view.count(Step))

        @agent(reads=Live(Total), writes=Verdict)
        async def judge(view: View):
            for total in view.live(Total):
                verdict = await self.asked(view, "judge", total.n)
                yield Verdict(verdict).because(total)

        return [expert, climb, bar, tally, judge]

    async def asked(self, view: View, *question: Any) -> int:
        answer = int(await view.capture("ask", self.ask, *question))
        if not self.gone:
            self.job.used.add(question)
        return answer


# --- stores that can be interrupted ----------------------------------------------------------------------------------


class Crashed(ConvergeError):
    """The process is no more."""


class Interrupted:
    """A store that has something done before or after an append."""

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.calls = count(1)
        self.before: Callable[[int], Awaitable[None]] | None = None
        self.after: Callable[[int], Awaitable[None]] | None = None

    async def create(self, *arguments: Any) -> None:
        async with self._interruption():
            await super().create(*arguments)  # type: ignore[misc]

    async def append(self, *arguments: Any) -> int:
        async with self._interruption():
            return await super().append(*arguments)  # type: ignore[misc, no-any-return]
        raise AssertionError

    @asynccontextmanager
    async def _interruption(self) -> AsyncIterator[None]:
        number = next(self.calls)
        if self.before is not None and number > 1:
            await self.before(number)
        yield
        if self.after is not None:
            await self.after(number)


class Memory(Interrupted, MemoryStore):
    def shared(self) -> "Memory":
        """Return what another engine would use."""
        return self

    def kept(self, name: str) -> list[StoredRow]:
        """Return the rows of a job, none if there is no such job."""
        if name not in self._jobs:
            return []
        rows = super().rows(name)
        try:
            rows.send(None)
        except StopIteration as end:
            return list(end.value)
        raise AssertionError("memory never waits")

    def copied(self) -> "Memory":
        """Return what another process would find."""
        other = Memory(self.keep)
        for job_id, job in self._jobs.items():
            job.encode()
            other._jobs[job_id] = dataclasses.replace(job, rows=[*job.rows], letters=[*job.letters])
        other._leases = dict(self._leases)
        return other


class File(Interrupted, SQLiteStore):
    copies = count()

    def shared(self) -> "File":
        """Return what another engine would use."""
        return File(self.path)

    def kept(self, name: str) -> list[StoredRow]:
        """Return the rows of a job, none if there is no such job."""
        columns = ", ".join(StoredRow._fields)
        with closing(sqlite3.connect(self.path)) as reader:
            found = reader.execute(f"SELECT {columns} FROM log WHERE job_id = ? ORDER BY number", (name,))
            return [StoredRow(*row) for row in found]

    def copied(self) -> "File":
        """Return a copy of the file as it is, with what of it stands in its log."""
        path = self.path.with_name(f"{next(self.copies)}.db")
        for suffix in ("", "-wal"):
            source = self.path.with_name(self.path.name + suffix)
            if source.exists():
                shutil.copy(source, path.with_name(path.name + suffix))
        return File(path)


AnyStore = Memory | File
POLICIES = st.sampled_from([1, 1, 2, 3, "end", "manual"])
SCHEDULES = st.sampled_from(["frontier", "lockstep"])
FACTS = st.lists(st.sampled_from(GIVEN), max_size=3, unique=True)
HANGS = st.lists(st.sampled_from([("expert", n) for n in range(4)] + [("judge", n) for n in range(17)]), max_size=3)


@dataclasses.dataclass
class Run:
    """How one run of a job is to go: under what, and what happens to it at which append."""

    policy: Any = 1
    schedule: Any = "frontier"
    budget: Budget = ENOUGH
    event: str = "none"
    at: int = 1
    hangs: Sequence[Any] = ()
    patience: int = 0
    letter: Sequence[Fact] = ()
    engine: str = "same"


RUNS_OF = st.builds(
    Run,
    policy=POLICIES,
    schedule=SCHEDULES,
    budget=st.sampled_from([ENOUGH] * 6 + [Budget(rounds=n) for n in range(1, 6)]),
    event=st.sampled_from(["none", "cancel", "abandon", "crash", "crash", "letter before", "letter after"]),
    at=st.integers(1, 8),
    hangs=st.just([]) | HANGS,
    patience=st.integers(0, 80),
    letter=FACTS,
    engine=st.sampled_from(["same", "other"]),
)


class Jobs(RuleBasedStateMachine):
    """Does to jobs what can be done to them, and compares them with the model."""

    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World()
        self.known: dict[str, Known] = {}
        self.numbers = count()
        self.store: AnyStore = self.make_store()

    def make_store(self) -> AnyStore:
        raise NotImplementedError

    def teardown(self) -> None:
        self.runner.close()

    # --- what can be done --------------------------------------------------------------------------------------------

    @rule(target=names, facts=FACTS, how=RUNS_OF)
    def begin(self, facts, how):
        name = f"job {next(self.numbers)}"
        self.known[name] = Known(set(facts))
        self.play(name, how, lambda engine: engine.start(RootIntent("a law", budget=how.budget), facts, job_id=name))
        return name if name in self.known else multiple()

    @rule(name=names, facts=FACTS, marks=st.lists(st.integers(0, 9), max_size=2), how=RUNS_OF)
    def resume(self, name, facts, marks, how):
        late = self.with_marks(name, facts, marks)
        self.note(name, late)
        self.play(name, how, lambda engine: engine.reopen(name, late, budget=how.budget))

    @rule(name=names, how=RUNS_OF, captures=st.sampled_from(["reuse", "fresh"]))
    def restart(self, name, how, captures):
        job = self.known[name]
        if captures == "fresh" or not self.store.durable:
            job.used = set()
        marked = [fact.target for fact in job.given if isinstance(fact, Invalidation)]
        job.whole = not job.posted and all(is_given(target, job) for target in marked)
        self.play(name, how, lambda engine: self.restarted(engine, name, captures, how.budget))

    @rule(target=names, name=names, facts=FACTS, place=st.integers(0, 99), how=RUNS_OF)
    def fork(self, name, facts, place, how):
        before = self.store.kept(name)
        cycles = [None, *(row.cycle for row in before if row.cycle is not None)]
        cycle = cycles[place % len(cycles)]
        rows = before[1:]
        if cycle is not None:
            rows = rows[: next(i for i, row in enumerate(rows, start=1) if row.cycle == cycle)]
        stood = StoredJob(JobHeader(name, 0.0, before[0].body), [row.body for row in rows])
        given = given_to(stood, self.engine(how).kinds)
        forked = f"{name} fork {next(self.numbers)}"
        self.known[forked] = Known({*given, *facts}, used=set(self.known[name].used))
        began = all('"anew"' not in row.body for row in before[len(rows) + 1 :])
        self.known[forked].whole = not facts and self.known[name].whole and began
        self.play(forked, how, lambda engine: self.forked(engine, name, cycle, facts, how.budget, forked))
        assert self.store.kept(name) == before, "a fork changed its origin"
        return forked if forked in self.known else multiple()

    @rule(name=names, facts=FACTS, marks=st.lists(st.integers(0, 9), max_size=2))
    def write(self, name, facts, marks):
        self.runner.run(self.give(self.engine(Run()), name, self.with_marks(name, facts, marks)))

    # --- what holds --------------------------------------------------------------------------------------------------

    @invariant()
    def rows_are_a_chain_and_none_is_lost(self):
        for name, job in self.known.items():
            rows = self.store.kept(name)
            assert rows[0] == header_row(JobHeader(name, rows[0].at, rows[0].body))
            for before, row in pairwise(rows):
                assert row.number == before.number + 1
                assert row.digest == row.digest_after(before.digest)
            cycles = [row.cycle for row in rows if row.cycle is not None]
            assert cycles == sorted(set(cycles))
            assert list(rows[: len(job.rows)]) == list(job.rows), "what was kept is lost"
            job.rows = rows

    # --- within ------------------------------------------------------------------------------------------------------

    def with_marks(self, name: str, facts: Sequence[Fact], marks: Sequence[int]) -> list[Fact]:
        """Return the facts, and markers on some of what the job was given or has concluded, as far as that is kept."""
        job = self.known[name]
        rows = [row.body for row in job.rows]
        begun = max((place for place, row in enumerate(rows) if '"anew"' in row), default=0)
        concluded = [fact for n in range(4) for fact in (Answer(n * n), *ladder(n))]
        known = [fact for fact in concluded if any(f'["{id_of(fact)}",' in row for row in rows[begun:])]
        stated = sorted({fact for fact in job.given if not isinstance(fact, Invalidation)} | {*known}, key=id_of)
        return [*facts, *(stated[n % len(stated)].invalidate("no more") for n in marks if stated)]

    def note(self, name: str, late: Sequence[Fact]) -> None:
        job = self.known[name]
        job.whole = job.whole and job.given.issuperset(late)
        job.given |= {*late}

    def engine(self, how: Run, store: AnyStore | None = None) -> Engine:
        kept_in = self.store if store is None else store
        return Engine(self.world.agents(), store=kept_in, checkpoints=how.policy, schedule=how.schedule)

    def restarted(self, engine: Engine, name: str, captures: Any, budget: Budget):
        """Return what `engine.restart` runs, so that it can be cancelled."""
        return engine._job(name, partial(engine._beginning.anew, name, captures, budget))

    def forked(self, engine: Engine, name: str, cycle: int | None, facts: Any, budget: Budget, new_id: str):
        """Return what `engine.fork` runs, so that it can be cancelled."""

        async def copy() -> None:
            async with engine:
                await copy_job(self.store, name, new_id, cycle, 0.0, all_captures=True)

        self.runner.run(copy())
        return engine.reopen(new_id, facts, budget=budget)

    def play(self, name: str, how: Run, begin: Callable[[Engine], Any]) -> None:
        """Run a job as it is said, and see it to its rest where it is interrupted by nothing that stays."""
        self.world.job = self.known[name]
        engine = self.engine(how)
        job = begin(engine)
        outcome = self.runner.run(self.performed(name, how, engine, job))
        self.store.before = self.store.after = None
        self.store.calls = count(1)
        self.world.hangs, self.world.gone = set(), False
        if outcome is not None:
            self.compare(name, how, outcome)

    async def performed(self, name: str, how: Run, engine: Engine, job: Any) -> Outcome | None:
        self.world.hangs, self.world.patience, self.world.give_up = set(how.hangs), how.patience, job.cancel
        crashed: list[AnyStore] = []
        await self.arrange(name, how, engine, job, crashed)
        outcome: Outcome | None = None
        try:
            async with job:
                outcome = await job.outcome()
        except (ConvergeError, anyio.get_cancelled_exc_class()):
            if how.event not in ("crash", "abandon"):
                raise
        except ExceptionGroup:
            if how.event != "crash":
                raise
        if crashed:
            self.world.gone = True
            self.store = crashed[0]
            self.forget_what_is_not(name)
            return None
        if how.event == "abandon" and outcome is None:
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
        if how.event == "abandon":
            self.forget_what_is_not(name)
        return outcome

    def forget_what_is_not(self, name: str) -> None:
        """A job whose first rows were never kept was never there."""
        if not self.store.kept(name):
            del self.known[name]
        elif not self.store.durable:
            self.known[name].used = set()  # memory keeps captures with their cycle

    async def arrange(self, name: str, how: Run, engine: Engine, job: Any, crashed: list[AnyStore]) -> None:
        task = asyncio.current_task()
        other = engine if how.engine == "same" else self.engine(how, self.store.shared())

        async def happen(number: int) -> None:
            if crashed:
                raise Crashed
            if number != how.at:
                return
            if how.event == "cancel":
                job.cancel()
            elif how.event == "abandon":
                task.cancel()  # type: ignore[union-attr]
            elif how.event == "crash":
                crashed.append(self.store.copied())
                self.world.gone = True
                raise Crashed
            elif how.event.startswith("letter") and number > 1:  # a job that is not kept yet has no letters
                await self.give(other, name, how.letter)

        self.store.calls = count(1)
        if how.event == "letter before":
            self.store.before = happen
        else:
            self.store.after = happen

    async def give(self, engine: Engine, name: str, facts: Sequence[Fact]) -> None:
        await engine.give(name, facts)
        self.note(name, facts)
        self.known[name].posted = True

    def compare(self, name: str, how: Run, outcome: Outcome) -> None:
        """Compare a job that has come to rest with the model, and with a run from scratch."""
        job = self.known[name]
        if outcome.stop.reason.value in ("cancelled", "budget"):
            return
        assert outcome.converged, str(outcome.stop)
        if self.runner.run(self.has_unread_letters(name, outcome)):
            assert how.event != "letter before" or how.policy == "manual", "a letter was overlooked"
            outcome = self.runner.run(self.engine(Run()).resume(name, budget=ENOUGH))
        job.posted = job.posted and how.policy == "manual"  # what it has read is not kept then
        assert {fact for kind in KINDS for fact in outcome.context.live(kind)} == expected(job.given)
        stated = {id_of(fact) for fact in outcome.context.facts()}
        if any(isinstance(fact, Invalidation) and fact.target not in stated for fact in job.given):
            return  # a fork has no part of the letters to its origin, so a marker may be about nothing it knows
        scratch = self.runner.run(self.from_scratch(job))
        assert outcome.live_digest == scratch.live_digest
        if job.whole:
            assert (outcome.digest, outcome.proof_digest) == (scratch.digest, scratch.proof_digest)

    async def from_scratch(self, job: Known) -> Outcome:
        """Return what a job comes to that is told everything at its beginning, and then what of that does not hold."""
        engine = Engine(World().agents())
        later = [fact for fact in job.given if isinstance(fact, Invalidation) and not is_given(fact.target, job)]
        outcome = await engine.run(RootIntent("a law"), job.given - {*later}, job_id="scratch")
        return await engine.resume("scratch", later) if later else outcome

    async def has_unread_letters(self, name: str, outcome: Outcome) -> bool:
        async with self.engine(Run()):
            letters = await self.store.letters(name, 0)
        stated = {id_of(fact) for fact in outcome.context.facts()}
        return any(json_id not in stated for letter in letters for json_id in _ids(letter.body))


def _ids(body: str) -> list[str]:
    return [fact_id for fact_id, _ in json.loads(body)["facts"]]


class JobsInMemory(Jobs):
    def make_store(self) -> AnyStore:
        return Memory()


class JobsInAFile(Jobs):
    def make_store(self) -> AnyStore:
        self.folder = TemporaryDirectory()
        return File(Path(self.folder.name) / "jobs.db")

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


TestJobsInMemory = JobsInMemory.TestCase
TestJobsInAFile = JobsInAFile.TestCase
TestJobsInMemory.settings = TestJobsInAFile.settings = settings(
    max_examples=RUNS, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
)
