"""When a job is kept: after so many cycles, at its end, or when its caller says; captures at once, in any case."""

import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import anyio
import pytest

from converge import Agent, Engine, Fact, Live, Outcome, Retry, StopReason, View, agent
from converge.errors import EngineInvalid, JobNotEntered
from converge.ports import Lease
from converge_stores import MemoryStore, SQLiteStore


class Clause(Fact):
    text: str


class Opinion(Fact):
    text: str


class Step(Fact):
    n: int


class Tally(Fact):
    n: int


STEPS = 6


class Expert:
    """Says of each clause the same, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def ask(self, text: str) -> str:
        self.asked[text] += 1
        await anyio.lowlevel.checkpoint()
        return f"on {text}"

    def agents(self) -> list[Agent]:
        """Return agents of which one asks, one takes several rounds, and one counts when the others are done."""

        @agent(reads=Clause, writes=Opinion)
        async def lawyer(view: View):
            for clause in view.new(Clause):
                yield Opinion(await view.capture("ask", self.ask, clause.text)).because(clause)

        @agent(reads=[Opinion, Step], writes=Step)
        def climber(view: View):
            for opinion in view.new(Opinion):
                yield Step(0).because(opinion)
            for step in view.new(Step):
                if step.n < STEPS:
                    yield Step(step.n + 1).because(step)

        @agent(reads=[Live(Opinion), Live(Step)], writes=Tally)
        def clerk(view: View):
            return Tally(view.count(Opinion) + view.count(Step))

        return [lawyer, climber, clerk]


class Counting(SQLiteStore):
    """A file that counts appends, and lets a test act before each."""

    before: Callable[[int, Any], Awaitable[None]] | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.cycles: list[list[int | None]] = []  # of each append: the cycles of its rows

    async def create(self, lease, header, rows) -> None:
        await super().create(lease, header, rows)
        self.cycles.append([row.cycle for row in rows])

    async def append(self, lease: Lease, after: int, rows: Any) -> int:
        if self.before is not None:
            await self.before(len(self.cycles), rows)
        last = await super().append(lease, after, rows)
        self.cycles.append([row.cycle for row in rows])
        return last

    @property
    def commits(self) -> list[list[int]]:
        """The cycles of each append that had any."""
        found = ([cycle for cycle in cycles if cycle is not None] for cycles in self.cycles)
        return [cycles for cycles in found if cycles]


A, B = Clause("a"), Clause("b")
POLICIES = [1, 2, 3, "end", "manual"]


def digests(outcome: Outcome) -> tuple[str, str, str]:
    return outcome.digest, outcome.live_digest, outcome.proof_digest


async def counted(path: Path, policy: Any) -> tuple[Counting, Outcome]:
    store = Counting(path / "jobs.db")
    outcome = await Engine(Expert().agents(), store=store, checkpoints=policy).run("review", [A], job_id="one")
    assert outcome.converged
    return store, outcome


# --- how often -------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_every_cycle_is_kept_by_itself_where_nothing_is_said(tmp_path: Path):
    """But for the end, which comes with the last one: nothing begins between them."""
    store, outcome = await counted(tmp_path, 1)
    *others, last = range(1, outcome.cycles)
    assert store.commits == [*([cycle] for cycle in others), [last, outcome.cycles]]


@pytest.mark.parametrize("every", [2, 3, 4])
@pytest.mark.asyncio
async def test_a_number_says_how_many_cycles_are_kept_together(tmp_path: Path, every: int):
    """What the job was given is kept at once; the last ones with its end."""
    store, outcome = await counted(tmp_path, every)
    first, *others, last = store.commits
    assert first == [1]
    assert {len(cycles) for cycles in others} == {every}
    assert 2 <= len(last) <= every + 1
    assert [*chain(*store.commits)] == list(range(1, outcome.cycles + 1))


@pytest.mark.asyncio
async def test_at_the_end_all_is_kept_at_once(tmp_path: Path):
    """But for what it was given."""
    store, outcome = await counted(tmp_path, "end")
    assert store.commits == [[1], list(range(2, outcome.cycles + 1))]


@pytest.mark.asyncio
async def test_nothing_but_what_it_was_given_is_kept_of_itself_where_the_caller_is_to_say(tmp_path: Path):
    """And nothing is wrong with that: the outcome is whole."""
    store, _ = await counted(tmp_path, "manual")
    assert store.commits == [[1]]


@pytest.mark.parametrize("policy", [*POLICIES])
@pytest.mark.asyncio
async def test_what_is_concluded_is_the_same_under_every_policy(tmp_path: Path, policy: Any):
    """When it is kept is nobody's reason for anything."""
    _, outcome = await counted(tmp_path, policy)
    assert digests(outcome) == digests(await Engine(Expert().agents()).run("review", [A]))


@pytest.mark.parametrize("policy", [0, -1, True, "often", None, 1.5])
def test_a_policy_that_is_none_is_refused(policy: Any):
    """With what would be one."""
    with pytest.raises(EngineInvalid, match="manual"):
        Engine([], checkpoints=policy)


# --- when the caller says --------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_caller_may_have_everything_kept_at_any_moment(tmp_path: Path):
    """Also at the end, before the job is left."""
    store = Counting(tmp_path / "jobs.db")
    engine = Engine(Expert().agents(), store=store, checkpoints="manual")
    async with engine.start("review", [A], job_id="one") as job:
        outcome = await job.outcome()
        await job.checkpoint()
    assert store.commits == [[1], list(range(2, outcome.cycles + 1))]
    assert digests(await Engine([*Expert().agents()], store=store).resume("one")) == digests(outcome)


@pytest.mark.asyncio
async def test_a_caller_may_have_it_kept_while_the_job_is_at_work(tmp_path: Path):
    """What was merged by then is there for whoever goes on from it."""
    store, told = Counting(tmp_path / "jobs.db"), anyio.Event()
    asked, given = {"a": anyio.Event(), "b": anyio.Event()}, anyio.Event()
    expert = Expert()
    ask = expert.ask

    async def slow(text: str) -> str:
        asked[text].set()
        await (told if text == "b" else given).wait()
        return await ask(text)

    expert.ask = slow  # type: ignore[method-assign]
    engine = Engine(expert.agents(), store=store, checkpoints="manual")
    async with engine.start("review", [A], job_id="one") as job:
        await asked["a"].wait()
        await engine.give("one", [B])
        given.set()
        await asked["b"].wait()
        await job.checkpoint()
        kept = list(store.commits)
        told.set()
        await job.outcome()
    assert len(kept) > 1
    assert store.commits == kept


@pytest.mark.asyncio
async def test_nobody_can_keep_what_does_not_run(tmp_path: Path):
    """Before it runs there is nothing to keep, after its end nobody to keep it."""
    engine = Engine(Expert().agents(), store=SQLiteStore(tmp_path / "jobs.db"))
    job = engine.start("review", [A])
    with pytest.raises(JobNotEntered):
        await job.checkpoint()
    async with job:
        await job.outcome()
    with pytest.raises(JobNotEntered):
        await job.checkpoint()


# --- what is kept at once --------------------------------------------------------------------------------------------


async def copies_of(store: Counting, path: Path, run: Callable[[], Awaitable[Outcome]]) -> tuple[list[Path], Outcome]:
    """Run something, and copy the file before each append: what the end of the process would leave just then."""
    copies: list[Path] = []

    async def copy(number: int, rows: Any) -> None:
        copies.append(path / f"copy{len(copies)}.db")
        with closing(sqlite3.connect(store.path)) as reader, closing(sqlite3.connect(copies[-1])) as copied:
            reader.backup(copied)

    store.before = copy
    outcome = await run()
    await copy(0, ())
    store.before = None
    return copies, outcome


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.asyncio
async def test_a_resume_from_the_last_snapshot_comes_to_the_same_and_repeats_no_captured_call(
    tmp_path: Path, policy: Any
):
    """Wherever the process ended."""
    store, first = Counting(tmp_path / "jobs.db"), Expert()
    engine = Engine(first.agents(), store=store, checkpoints=policy)
    copies, whole = await copies_of(store, tmp_path, lambda: engine.run("review", [A, B], job_id="one"))
    for place, path in enumerate(copies):
        second = Expert()
        outcome = await Engine(second.agents(), store=SQLiteStore(path)).resume("one")
        assert digests(outcome) == digests(whole)
        with closing(sqlite3.connect(path)) as reader:
            known = reader.execute("SELECT count(*) FROM captures WHERE name = 'ask'").fetchone()[0]
        assert known == 2
        if place == len(copies) - 1:
            assert not second.asked


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.asyncio
async def test_a_capture_is_kept_before_it_is_used_whatever_the_policy(tmp_path: Path, policy: Any):
    """Whoever has seen the answer finds it in the file."""
    seen: list[str] = []

    @agent(reads=Clause, writes=Opinion)
    async def lawyer(view: View):
        for clause in view.new(Clause):
            answer = await view.capture("ask", Expert().ask, clause.text)
            with closing(sqlite3.connect(tmp_path / "jobs.db")) as reader:
                seen.extend(text for (text,) in reader.execute("SELECT body FROM log WHERE cycle IS NULL"))
            yield Opinion(answer).because(clause)

    await Engine([lawyer], store=SQLiteStore(tmp_path / "jobs.db"), checkpoints=policy).run("review", [A])
    assert len([text for text in seen if "on a" in text]) == 1


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("captures", ["reuse", "fresh"])
@pytest.mark.asyncio
async def test_what_a_restart_was_answered_is_kept_whatever_the_policy(tmp_path: Path, policy: Any, captures: Any):
    """That it began anew stands before what was answered then."""
    store, first = Counting(tmp_path / "jobs.db"), Expert()
    engine = Engine(first.agents(), store=store, checkpoints=policy)
    await engine.run("review", [A], job_id="one")
    copies, _ = await copies_of(store, tmp_path, lambda: engine.restart("one", captures=captures))
    second = Expert()
    await Engine(second.agents(), store=SQLiteStore(copies[-1])).resume("one")
    assert not second.asked
    assert first.asked == {"a": 2 if captures == "fresh" else 1}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.asyncio
async def test_what_a_resume_was_given_is_kept_at_once_whatever_the_policy(tmp_path: Path, policy: Any):
    """Before anything is made of it: whoever goes on from any later moment has it."""
    store = Counting(tmp_path / "jobs.db")
    engine = Engine(Expert().agents(), store=store, checkpoints=policy)
    await engine.run("review", [A], job_id="one")
    copies, whole = await copies_of(store, tmp_path, lambda: engine.resume("one", [B]))
    for path in copies[1:]:
        outcome = await Engine(Expert().agents(), store=SQLiteStore(path)).resume("one")
        assert set(outcome.context.live(Opinion)) == set(whole.context.live(Opinion))


@pytest.mark.asyncio
async def test_captures_that_come_together_are_kept_together(tmp_path: Path):
    """Hundreds of answers at once take a few transactions, and each is kept before it is used."""
    many, store = 300, Counting(tmp_path / "jobs.db")
    together = anyio.Event()
    asked: list[int] = []

    async def ask(n: int) -> str:
        asked.append(n)
        if len(asked) == many:
            together.set()
        await together.wait()
        return f"on {n}"

    def asking(n: int) -> Agent:
        @agent(reads=Clause, writes=Opinion, name=f"lawyer {n}")
        async def lawyer(view: View):
            for clause in view.new(Clause):
                yield Opinion(await view.capture("ask", ask, n)).because(clause)

        return lawyer

    outcome = await Engine(map(asking, range(many)), store=store).run("review", [A], job_id="one")
    assert len(outcome.context.live(Opinion)) == many
    records = [cycles for cycles in store.cycles if None in cycles]
    assert 1 <= len(records) < many / 10
    with closing(sqlite3.connect(store.path)) as reader:
        assert reader.execute("SELECT count(*) FROM captures WHERE name = 'ask'").fetchone() == (many,)


# --- answers that are no answers -------------------------------------------------------------------------------------


class Oracle:
    """Answers 'no', 'no', ... and then a number."""

    def __init__(self, refusals: int) -> None:
        self.answers = iter(["no"] * refusals + ["7"])
        self.given: list[str] = []

    def ask(self) -> str:
        self.given.append(next(self.answers))
        return self.given[-1]

    def agent(self, tries: int, **options: Any) -> Agent:
        """Return one that needs a number, and asks so often for it."""

        @agent(reads=Clause, writes=Tally, **options)
        async def counter(view: View):
            for clause in view.new(Clause):
                yield Tally(await view.capture("ask", self.ask, parse=int, tries=tries)).because(clause)

        return counter


def in_a_file_or_not(path: Path):
    return [MemoryStore(), SQLiteStore(path / "jobs.db")]


@pytest.mark.asyncio
async def test_an_answer_that_is_none_is_kept_and_the_next_one_asked_for(tmp_path: Path):
    """And what is returned is what was made of it."""
    for store in in_a_file_or_not(tmp_path):
        oracle = Oracle(2)
        outcome = await Engine([oracle.agent(3)], store=store).run("count", [A])
        assert (outcome.context.live(Tally), oracle.given) == ((Tally(7),), ["no", "no", "7"])


@pytest.mark.asyncio
async def test_an_answer_that_is_none_does_not_answer_its_own_retry_for_ever(tmp_path: Path):
    """A later attempt begins where this one ended: with a new question."""
    for store in in_a_file_or_not(tmp_path):
        oracle = Oracle(2)
        engine = Engine([oracle.agent(2)], store=store)
        first = await engine.run("count", [A], job_id="one")
        assert (first.stop.reason, oracle.given) == (StopReason.AGENT_FAILED, ["no", "no"])
        assert isinstance(first.errors["counter"], ValueError)
        assert (await engine.resume("one")).context.live(Tally) == (Tally(7),)
        assert oracle.given == ["no", "no", "7"]


@pytest.mark.asyncio
async def test_a_retried_activation_pays_for_no_answer_twice(tmp_path: Path):
    """Each attempt goes on from the answers before."""
    for store in in_a_file_or_not(tmp_path):
        oracle = Oracle(3)
        counter = oracle.agent(2, retry=Retry(attempts=2, wait_seconds=0))
        outcome = await Engine([counter], store=store).run("count", [A])
        assert (outcome.context.live(Tally), oracle.given) == ((Tally(7),), ["no", "no", "no", "7"])


@pytest.mark.asyncio
async def test_the_tries_come_back_in_their_order(tmp_path: Path):
    """A resume, or a fork, that comes by the same question is given the same refusals, and asks nothing."""
    for store in in_a_file_or_not(tmp_path):
        oracle, shown = Oracle(2), list[str]()

        def noted(text: str, shown: list[str] = shown) -> int:
            shown.append(text)
            return int(text)

        @agent(reads=Clause, writes=Tally)
        async def counter(view: View, oracle: Oracle = oracle, noted: Callable[[str], int] = noted):
            for clause in view.new(Clause):
                yield Tally(await view.capture("ask", oracle.ask, parse=noted, tries=3)).because(clause)

        engine = Engine([counter], store=store)
        await engine.run("count", [A], job_id="one")
        await engine.fork("one", cycle=1)
        await engine.restart("one")
        assert oracle.given == ["no", "no", "7"]
        assert shown == ["no", "no", "7"] * (len(shown) // 3)


@pytest.mark.asyncio
async def test_a_crash_between_two_tries_repeats_none(tmp_path: Path):
    """Each is kept by itself before the next is asked for."""
    store, first = Counting(tmp_path / "jobs.db"), Oracle(2)
    engine = Engine([first.agent(3)], store=store, checkpoints="end")
    copies, _ = await copies_of(store, tmp_path, lambda: engine.run("count", [A], job_id="one"))
    for path in copies:
        with closing(sqlite3.connect(path)) as reader:
            known = reader.execute("SELECT count(*) FROM captures WHERE name = 'ask'").fetchone()[0]
        later = Oracle(2 - min(known, 2))
        outcome = await Engine([later.agent(3)], store=SQLiteStore(path)).resume("one")
        assert outcome.context.live(Tally) == (Tally(7),)
        assert len(later.given) == 3 - known
