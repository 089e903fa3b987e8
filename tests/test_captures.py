"""Captures: what a call returned that could answer otherwise the next time is recorded, and the call not made again.

The agents here ask an expert: a function that counts how often it was asked, and would answer otherwise each time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from converge import Agent, Budget, Engine, Fact, Live, Outcome, Retry, RootIntent, StopReason, View, agent, run
from converge.errors import CaptureInvalid
from converge.ports import Store
from converge.stores import MemoryStore, SQLiteStore

MakeStore = Callable[[Path], Store]


class Clause(Fact):
    text: str


class Party(Fact):
    text: str


class Opinion(Fact):
    text: str


class Tags(Fact):
    words: frozenset[int]


class Request(BaseModel):
    """What an agent might send to a model."""

    words: set[int]


class Expert:
    """Answers with what it was asked and how often it was asked anything before, so that no two answers are equal."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def answer(self, *question: Any) -> str:
        self.asked.append(question)
        return f"{len(self.asked)}. {question}"

    async def think(self, *question: Any) -> str:
        await anyio.lowlevel.checkpoint()
        return self.answer(*question)


def asking(call: Callable[..., Any], **options: Any) -> Agent:
    """Return an agent that asks about each clause and passes on what it is told."""

    @agent(**{"reads": Clause, "writes": Opinion, "name": "lawyer", **options})
    async def lawyer(view: View):
        for clause in view.new(Clause):
            yield Opinion(str(await view.capture("ask", call, clause.text))).because(clause)

    return lawyer


def opinions(outcome: Outcome) -> set[str]:
    assert outcome.converged
    return {opinion.text for opinion in outcome.context.live(Opinion)}


async def resumed(
    *agents: Agent, store: Store, facts: Sequence[Fact], late: Sequence[Fact] = ()
) -> tuple[Outcome, Outcome]:
    """Run a job with the first agent and resume it, in an engine that never saw it, with the last one."""
    first = await Engine([agents[0]], store=store).run("review", facts, job_id="review")
    return first, await Engine([agents[-1]], store=store).resume("review", late)


in_memory_and_in_a_file = pytest.mark.parametrize(
    "made", [lambda path: MemoryStore(), SQLiteStore], ids=["memory", "file"]
)
LIABILITY, NOTICE = Clause("liability"), Clause("notice")


# --- asked once ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["answer", "think"])
def test_a_call_may_be_plain_or_async(how: str):
    """What it returns is what the agent gets."""
    expert = Expert()
    assert opinions(run([asking(getattr(expert, how))], "review", [LIABILITY])) == {"1. ('liability',)"}


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_call_that_was_answered_is_not_made_again_after_a_cancellation(made: MakeStore, tmp_path: Path):
    """The job was stopped while the second answer was awaited: only that question is asked again."""
    expert, second = Expert(), anyio.Event()

    async def call(text: str) -> str:
        answer = expert.answer(text)
        if len(expert.asked) == 2:
            second.set()
            await anyio.sleep_forever()
        return answer

    store = made(tmp_path / "jobs.db")
    async with Engine([asking(call)], store=store).start("review", [LIABILITY, NOTICE], job_id="review") as job:
        await second.wait()
        job.cancel()
        assert (await job.outcome()).stop.reason is StopReason.CANCELLED
    outcome = await Engine([asking(expert.answer)], store=store).resume("review")
    first, other, again = (text for (text,) in expert.asked)
    assert first != other == again
    assert opinions(outcome) == {f"1. {(first,)}", f"3. {(other,)}"}


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_nor_when_the_task_that_ran_the_job_was_cancelled(made: MakeStore, tmp_path: Path):
    """What was recorded is kept before the cancellation goes on."""
    expert, second, store = Expert(), anyio.Event(), made(tmp_path / "jobs.db")

    async def call(text: str) -> str:
        if expert.asked:
            second.set()
            await anyio.sleep_forever()
        return expert.answer(text)

    engine = Engine([asking(call)], store=store)
    task = asyncio.create_task(engine.run("review", [LIABILITY, NOTICE], job_id="review"))
    await second.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await Engine([asking(expert.answer)], store=store).resume("review")
    assert len(expert.asked) == 2


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_nor_when_a_budget_found_no_room_for_what_was_concluded(made: MakeStore, tmp_path: Path):
    """The effect was refused whole; the answers it was made from were not."""
    expert, store = Expert(), made(tmp_path / "jobs.db")
    engine = Engine([asking(expert.think)], store=store)
    poor = RootIntent("review", budget=Budget(facts=1))
    assert (await engine.run(poor, [LIABILITY, NOTICE], job_id="review")).stop.reason is StopReason.BUDGET
    outcome = await engine.resume("review", budget=Budget())
    assert len(expert.asked) == 2
    assert len(opinions(outcome)) == 2


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_nor_when_the_activation_failed_later(made: MakeStore, tmp_path: Path):
    """A failed activation contributes nothing, and what it had asked is kept for the next one."""
    expert, store = Expert(), made(tmp_path / "jobs.db")

    async def fails(view: View):
        for clause in view.new(Clause):
            await view.capture("ask", expert.answer, clause.text)
        raise TimeoutError("the line is dead")

    failing = agent(reads=Clause, writes=Opinion, name="lawyer")(fails)
    first, second = await resumed(failing, asking(expert.answer), store=store, facts=[LIABILITY])
    assert first.stop.reason is StopReason.AGENT_FAILED
    assert opinions(second) == {"1. ('liability',)"}


def test_a_retried_activation_reuses_what_was_captured_before_the_failure():
    """Only what was not answered is asked again."""
    expert, lines = Expert(), iter(["dead", "dead", "open"])

    @agent(reads=Clause, writes=Opinion, retry=Retry(attempts=3, wait_seconds=0))
    async def lawyer(view: View):
        for clause in view.new(Clause):
            opinion = await view.capture("ask", expert.answer, clause.text)
            if next(lines) == "dead":
                raise TimeoutError("the line is dead")
            yield Opinion(opinion).because(clause)

    assert opinions(run([lawyer], "review", [LIABILITY])) == {"1. ('liability',)"}
    assert len(expert.asked) == 1


@pytest.mark.asyncio
async def test_a_late_fact_asks_only_what_is_new():
    """What is asked in the same words is answered from the record, in any later activation."""
    expert, store = Expert(), MemoryStore()
    _, outcome = await resumed(asking(expert.answer), store=store, facts=[LIABILITY], late=[NOTICE])
    assert [text for (text,) in expert.asked] == ["liability", "notice"]
    assert len(opinions(outcome)) == 2


@pytest.mark.asyncio
async def test_a_call_that_raises_is_not_captured():
    """It had no answer: the agent gets the error, and the next time the call is made."""
    calls: list[str] = []

    def call(text: str) -> str:
        calls.append(text)
        if len(calls) == 1:
            raise TimeoutError("no answer")
        return "fine"

    first, second = await resumed(asking(call), store=MemoryStore(), facts=[LIABILITY])
    assert isinstance(first.errors["lawyer"], TimeoutError)
    assert opinions(second) == {"fine"}


def test_an_agent_may_catch_what_a_call_raises():
    """And ask somebody else."""

    def call(text: str) -> str:
        raise TimeoutError("no answer")

    @agent(reads=Clause, writes=Opinion)
    async def lawyer(view: View):
        for clause in view.new(Clause):
            try:
                yield Opinion(await view.capture("ask", call, clause.text)).because(clause)
            except TimeoutError:
                yield Opinion(await view.capture("guess", lambda: "unclear")).because(clause)

    assert opinions(run([lawyer], "review", [LIABILITY])) == {"unclear"}


def test_what_was_captured_is_in_no_digest():
    """A capture is how a fact came about; the fact is what counts."""

    @agent(reads=Clause, writes=Opinion)
    async def lawyer(view: View):
        for clause in view.new(Clause):
            await view.capture("ask", Expert().answer, clause.text)
            yield Opinion("fine").because(clause)

    @agent(reads=Clause, writes=Opinion, name="lawyer")
    def silent(view: View):
        return [Opinion("fine").because(clause) for clause in view.new(Clause)]

    one, other = run([lawyer], "review", [LIABILITY]), run([silent], "review", [LIABILITY])
    assert (one.digest, one.live_digest, one.proof_digest) == (other.digest, other.live_digest, other.proof_digest)


@pytest.mark.asyncio
async def test_who_asked_is_given_again_what_is_left_of_what_fell():
    """An answer about two clauses may be another one about one of them, so it is asked for."""
    expert = Expert()

    @agent(reads=Clause, writes=Opinion)
    async def lawyer(view: View):
        if clauses := view.new(Clause):
            texts = sorted(clause.text for clause in clauses)
            yield Opinion(await view.capture("ask", expert.answer, *texts)).because(*clauses)

    withdrawn = NOTICE.invalidate("withdrawn")
    _, outcome = await resumed(lawyer, store=MemoryStore(), facts=[LIABILITY, NOTICE], late=[withdrawn])
    assert expert.asked == [("liability", "notice"), ("liability",)]
    assert opinions(outcome) == {"2. ('liability',)"}


# --- told apart ------------------------------------------------------------------------------------------------------


async def questions(*rounds: list[tuple[Any, ...]], kinds: Any = Clause) -> int:
    """Return how many calls were made for these questions, each list asked in one activation."""
    expert, waiting = Expert(), iter(rounds)

    @agent(reads=kinds, name="lawyer")
    async def lawyer(view: View) -> None:
        for question in next(waiting):
            await view.capture("ask", expert.answer, *question)

    engine = Engine([lawyer])
    outcome = await engine.run("review", [Clause("0")])
    for number, _ in enumerate(rounds[1:], start=1):
        await engine.resume(outcome.job_id, [Clause(str(number))])
    return len(expert.asked)


SAME: list[tuple[Any, Any]] = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({0, 8}, set([8, 0])),  # noqa: C405  # two sets that iterate in another order
    (frozenset({0, 8}), {8, 0}),
    ([1, 2], (1, 2)),
    (Tags(frozenset({0, 8})), Tags(frozenset([8, 0]))),
    (Request(words={0, 8}), Request(words=set([8, 0]))),  # noqa: C405
    ({"a": [{"b": {0, 8}}]}, {"a": [{"b": set([8, 0])}]}),  # noqa: C405
]
DIFFERENT: list[tuple[Any, Any]] = [
    (Clause("a"), Party("a")),
    (Clause("a"), {"text": "a"}),
    (1, "1"),
    (1, True),
    (1, None),
    ([1, 2], [2, 1]),
    ([1, [2]], [[1], 2]),
    ({"a": 1}, {"a": 2}),
    ({1}, [1]),
]


@pytest.mark.parametrize(("one", "other"), SAME)
@pytest.mark.asyncio
async def test_arguments_of_equal_content_are_one_question(one: Any, other: Any):
    """Whatever order a dict or a set was made in: no hash seed decides what is asked."""
    assert await questions([(one,)], [(other,)]) == 1


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
@pytest.mark.asyncio
async def test_arguments_of_different_content_are_two_questions(one: Any, other: Any):
    """Facts of different kinds among them, though they say the same."""
    assert await questions([(one,)], [(other,)]) == 2


@pytest.mark.asyncio
async def test_one_argument_is_not_two():
    """How many there are is part of the question."""
    assert await questions([(1, 2)], [((1, 2),)], [(1,), (2,)]) == 4


@pytest.mark.asyncio
async def test_equal_calls_of_one_activation_are_told_apart_by_count():
    """A die that is thrown three times shows three numbers, and the same three to whoever looks again."""
    assert await questions([("die",), ("die",), ("die",)], [("die",), ("die",)], [("die",)] * 4) == 4


@pytest.mark.asyncio
async def test_without_arguments_the_question_is_what_the_view_shows():
    """With something new to see it is another question; with nothing new it is the same."""
    expert, lines = Expert(), iter(["dead", "open", "open"])

    @agent(reads=Clause, writes=Opinion, required=False)
    async def lawyer(view: View):
        opinion = await view.capture("sum up", expert.answer)
        if next(lines) == "dead":
            raise TimeoutError("the line is dead")
        yield Opinion(opinion)

    engine = Engine([lawyer])
    await engine.run("review", [LIABILITY], job_id="review")
    await engine.resume("review")
    assert len(expert.asked) == 1
    await engine.resume("review", [NOTICE])
    assert len(expert.asked) == 2


@pytest.mark.asyncio
async def test_what_has_fallen_is_part_of_what_a_view_of_liveness_shows():
    """The same facts with another label are another picture."""
    expert = Expert()

    @agent(reads=Live(Clause), writes=Opinion)
    async def lawyer(view: View):
        view.live(Clause)
        yield Opinion(await view.capture("sum up", expert.answer))

    facts: list[Fact] = [LIABILITY, NOTICE]
    await resumed(lawyer, store=MemoryStore(), facts=facts, late=[NOTICE.invalidate("withdrawn")])
    assert len(expert.asked) == 2


@pytest.mark.parametrize(
    ("options", "asked"),
    [({}, 1), ({"version": "2"}, 2), ({"name": "notary"}, 2)],
    ids=["the same agent", "another version", "another agent"],
)
@pytest.mark.asyncio
async def test_an_answer_belongs_to_an_agent_and_its_version(options: dict[str, Any], asked: int):
    """A new version asks anew: it may mean something else by the same words."""
    expert, late = Expert(), Clause("liability, again")

    def lawyer(**options: Any) -> Agent:
        @agent(**{"reads": Clause, "name": "lawyer", **options})
        async def ask(view: View) -> None:
            await view.capture("ask", expert.answer, "the same")

        return ask

    await resumed(lawyer(), lawyer(**options), store=MemoryStore(), facts=[LIABILITY], late=[late])
    assert len(expert.asked) == asked


def test_an_answer_belongs_to_a_name():
    """Two calls of one agent are two questions, though their arguments are equal."""
    expert = Expert()

    @agent(reads=Clause)
    async def lawyer(view: View) -> None:
        await view.capture("ask", expert.answer, "liability")
        await view.capture("double check", expert.answer, "liability")

    run([lawyer], "review", [LIABILITY])
    assert len(expert.asked) == 2


# --- several at once -------------------------------------------------------------------------------------------------


async def all_at_once_in_a_task_group(*calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    answers: list[Any] = [None] * len(calls)

    async def one(place: int) -> None:
        answers[place] = await calls[place]()

    async with anyio.create_task_group() as tasks:
        for place in range(len(calls)):
            tasks.start_soon(one, place)
    return answers


async def all_at_once_gathered(*calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*(call() for call in calls))


@pytest.mark.parametrize("at_once", [all_at_once_in_a_task_group, all_at_once_gathered])
@pytest.mark.asyncio
async def test_calls_at_once_are_found_again_in_whatever_order_they_were_answered(at_once: Any):
    """The last one asked is answered first, and each answer goes to its own question again."""
    order: list[Any] = []
    answered = [anyio.Event() for _ in range(4)]
    answered[3].set()
    told: list[list[Any]] = []

    async def call(place: int) -> str:
        await answered[place].wait()  # until the next one was answered
        order.append(place)
        answered[place - 1].set()
        return f"answer {place}"

    @agent(reads=Clause, required=False)
    async def lawyer(view: View) -> None:
        asks = [lambda place=place: view.capture("ask", call, place) for place in range(4)]
        told.append(await at_once(*asks))
        if len(told) == 1:
            raise TimeoutError("tried again on resume")

    await resumed(lawyer, store=MemoryStore(), facts=[LIABILITY])
    assert order == [3, 2, 1, 0]
    assert told == [[f"answer {place}" for place in range(4)]] * 2


@pytest.mark.asyncio
async def test_equal_calls_at_once_keep_the_order_in_which_they_were_asked():
    """However they end: who was first to ask gets the first answer again."""
    told: list[list[Any]] = []
    second_done = anyio.Event()

    def die(shows: int, wait: anyio.Event | None) -> Callable[[], Awaitable[int]]:
        async def throw() -> int:
            if wait is not None:
                await wait.wait()
            else:
                second_done.set()
            return shows

        return throw

    @agent(reads=Clause, required=False)
    async def gambler(view: View) -> None:
        throws = die(6, second_done), die(1, None)
        told.append(await asyncio.gather(*(view.capture("throw", throw) for throw in throws)))
        if len(told) == 1:
            raise TimeoutError("tried again on resume")

    await resumed(gambler, store=MemoryStore(), facts=[LIABILITY])
    assert told == [[6, 1], [6, 1]]


# --- what comes back -------------------------------------------------------------------------------------------------

json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
returned = json_data | st.tuples(json_data, json_data) | st.dictionaries(st.integers(), json_data, max_size=2)


def told_twice(*answers: Any) -> list[Any]:
    """Return what an agent gets for these answers when they are fresh and when they come from the record."""
    told: list[Any] = []
    fresh = iter(answers)

    @agent(reads=Clause, required=False)
    async def lawyer(view: View) -> None:
        told.append([await view.capture("ask", lambda place: next(fresh), place) for place in range(len(answers))])
        if len(told) == 1:
            raise TimeoutError("tried again on resume")

    asyncio.run(resumed(lawyer, store=MemoryStore(), facts=[LIABILITY]))
    return told


@given(returned)
@settings(max_examples=40)
def test_what_comes_back_is_the_same_fresh_or_recorded(value):
    """A tuple is a list both times: an agent cannot tell whether it was the first to ask."""
    fresh, recorded = told_twice(value)
    assert repr(fresh) == repr(recorded)


def test_what_comes_back_is_json_data():
    """Whatever the call returned is as it would be read from a file."""
    assert told_twice((1, {2: "two"}), Clause("a"))[0] == [[1, {"2": "two"}], {"text": "a"}]


@pytest.mark.asyncio
async def test_what_comes_back_is_the_agents_own():
    """Whoever changes the list they were given changes nobody else's."""
    told: list[list[int]] = []

    @agent(reads=Clause)
    async def lawyer(view: View) -> None:
        answer = await view.capture("ask", lambda text: [1, 2], "the same")
        told.append(list(answer))
        answer.append(3)

    await resumed(lawyer, store=MemoryStore(), facts=[LIABILITY], late=[NOTICE])
    assert told == [[1, 2], [1, 2]]


# --- what cannot be captured -----------------------------------------------------------------------------------------


def circle() -> list[Any]:
    held: list[Any] = []
    held.append(held)
    return held


NO_JSON: dict[str, Callable[[], Any]] = {
    "object": object,
    "function": lambda: len,
    "class": lambda: Clause,
    "bytes": lambda: b"\xff",
    "nan": lambda: float("nan"),
    "infinity": lambda: [float("inf")],
    "circle": circle,
}
no_json = pytest.mark.parametrize("made", NO_JSON.values(), ids=NO_JSON)


def refused(lawyer: Agent) -> str:
    outcome = run([lawyer], "review", [LIABILITY])
    assert isinstance(outcome.errors["lawyer"], CaptureInvalid)
    return str(outcome.errors["lawyer"])


@no_json
def test_a_result_that_json_cannot_hold_is_an_error_that_names_agent_and_capture(made: Callable[[], Any]):
    """It could not be given back on a resume."""
    assert refused(asking(lambda text: made())).startswith(
        "agent lawyer, capture 'ask': what it returned is no JSON data: "
    )


def test_half_a_character_cannot_be_returned():
    """No file could hold it."""
    assert "what it returned is no JSON data" in refused(asking(lambda text: "\ud800"))


@no_json
def test_an_argument_that_json_cannot_hold_is_an_error_before_the_call_is_made(made: Callable[[], Any]):
    """The question could not be found again."""
    expert = Expert()

    @agent(reads=Clause)
    async def lawyer(view: View) -> None:
        await view.capture("ask", expert.answer, made())

    assert refused(lawyer).startswith("agent lawyer, capture 'ask': an argument is no JSON data: ")
    assert expert.asked == []


def test_an_argument_that_can_be_read_only_once_is_refused():
    """The call would find it empty."""

    @agent(reads=Clause)
    async def lawyer(view: View) -> None:
        await view.capture("ask", list, (letter for letter in "ab"))

    assert "could be read only once" in refused(lawyer)


def test_outside_of_an_activation_nothing_is_captured():
    """An outcome's context answers what is known."""
    outcome = run([asking(Expert().answer)], "review", [LIABILITY])
    with pytest.raises(CaptureInvalid, match="only the view of an activation that is running captures"):
        asyncio.run(outcome.context.capture("ask", len, "a"))


def test_a_view_that_is_kept_captures_nothing_after_its_activation():
    """What it would record belonged to no effect."""
    kept: list[View] = []

    @agent(reads=Clause)
    async def hoarder(view: View) -> None:
        kept.append(view)
        await view.capture("ask", len, "a")

    run([hoarder], "review", [LIABILITY])
    with pytest.raises(CaptureInvalid, match="agent hoarder, capture 'ask': only the view of an activation"):
        asyncio.run(kept[0].capture("ask", len, "b"))
