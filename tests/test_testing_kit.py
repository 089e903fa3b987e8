"""The test kit for users: each assertion passes on what is right, and names what is wrong, where, and the remedy."""

import itertools
import json
import os
import random
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from converge import Budget, Engine, Fact, Live, RootIntent, View, agent, id_of
from converge.agents import LLMAgent
from converge.errors import LibraryMissing
from converge.fact import identified, kind_of
from converge.testing import (
    STORE_CHECKS,
    ScriptedModel,
    assert_confluent,
    assert_join_laws,
    assert_no_repeated_calls,
    assert_pure,
    assert_resumable_everywhere,
    facts_of,
)

ROOT = Path(__file__).parents[1]


class Signal(Fact):
    text: str


class Risk(Fact, key="name"):
    name: str
    severity: int


class Alarm(Fact):
    names: tuple[str, ...]


@agent(reads=Signal, writes=Risk)
def assess(view: View):
    for signal in view.new(Signal):
        yield Risk(signal.text, len(signal.text)).because(signal)


@agent(reads=Live(Risk), writes=Alarm)
def warn(view: View):
    if risks := view.live(Risk):
        yield Alarm(tuple(risk.name for risk in risks))


SIGNALS = [Signal("late"), Signal("lost")]
SOUND = Engine([assess, warn])


def counting() -> Engine:
    """Return an engine with an agent that keeps a count of its own."""
    count = itertools.count()
    seen: list[int] = []

    @agent(reads=Risk, writes=Alarm, name="count")
    def count_them(view: View):
        for risk in view.new(Risk):
            seen.append(next(count))
            yield Alarm((risk.name, str(len(seen)))).because(risk)

    return Engine([assess, count_them])


async def refusal(check: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        await check
    return str(caught.value)


# --- confluence -------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_sound_job_is_confluent():
    """Every schedule that was tried is counted, and the engine's own store stays as it is."""
    report = await assert_confluent(SOUND, "find risks", SIGNALS)
    assert report.schedules > 3
    assert await SOUND.store.jobs() == []


@pytest.mark.asyncio
async def test_two_agents_that_share_a_list_are_not_confluent():
    """The sentence names who, what it read, and the remedy."""
    seen: list[str] = []

    @agent(reads=Signal, name="a-writer")
    def write(view: View):
        seen.extend(signal.text for signal in view.new(Signal))

    @agent(reads=Signal, writes=Alarm, name="reader")
    def read(view: View):
        yield Alarm(tuple(sorted(seen)))

    said = await refusal(assert_confluent(Engine([write, read]), "find risks", SIGNALS))
    assert "agent reader emits other facts from the same view" in said
    assert "`seen`, a list that agent a-writer holds too" in said
    assert "remedy: make it a fact that a-writer writes and reader reads" in said
    assert seen == []


@pytest.mark.asyncio
async def test_a_job_that_does_not_come_to_rest_is_not_called_confluent():
    """There is nothing to compare, and what was raised is in the sentence."""

    @agent(reads=Signal, writes=Risk, name="broken")
    def fail(view: View):
        raise ZeroDivisionError("by nothing")

    said = await refusal(assert_confluent(Engine([fail]), "find risks", SIGNALS))
    assert "did not come to rest" in said
    assert "agent broken raised ZeroDivisionError('by nothing')): mend the agent" in said
    said = await refusal(assert_confluent(SOUND, RootIntent("find risks", budget=Budget(rounds=1)), SIGNALS))
    assert said.endswith("give its root intent the budget to end")


@pytest.mark.asyncio
async def test_arrival_matters_only_where_a_stream_is_asked_for():
    """An agent that counts what has come so far is sound under its own schedule."""

    @agent(reads=[Signal, Risk], writes=Alarm, name="hasty")
    def hasty(view: View):
        if view.new(Signal):
            yield Alarm(tuple(risk.name for risk in view.all(Risk)))

    engine = Engine([assess, hasty])
    await assert_confluent(engine, "find risks", SIGNALS)
    said = await refusal(assert_confluent(engine, "find risks", SIGNALS, stream=True))
    assert "agent hasty reads Risk with view.all(Risk)" in said
    assert "declare reads=[Live(Risk)]" in said


# --- resuming ---------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_sound_job_is_resumable_everywhere():
    """After each of its cycles, under every exact schedule and as a stream."""
    for schedule in ("frontier", "lockstep", "stream"):
        cuts = await assert_resumable_everywhere(Engine([assess, warn], schedule=schedule), "find risks", SIGNALS)
        assert cuts >= 3


@pytest.mark.asyncio
async def test_what_an_agent_keeps_in_memory_is_lost_by_a_cut():
    """The cut, the fact, its author and what it keeps are named."""
    last: list[str] = []

    @agent(reads=Signal, writes=Risk, name="remember")
    def remember(view: View):
        for signal in view.new(Signal):
            last.append(signal.text)
            yield Risk(signal.text, 1).because(signal)

    @agent(reads=Risk, writes=Alarm, name="recall")
    def recall(view: View):
        if view.new(Risk):
            yield Alarm(tuple(sorted(last)))

    said = await refusal(assert_resumable_everywhere(Engine([remember, recall]), "find risks", SIGNALS))
    assert said.startswith("cut after cycle 2 of ")
    assert "the job adds Alarm(names=()), by agent recall: it reads `last`, a list, which remember holds too" in said
    assert "record it with view.capture" in said
    assert last == []


@pytest.mark.asyncio
async def test_an_agent_that_fails_when_it_is_resumed_is_named():
    """What it had opened before is not open in a new process."""
    opened: dict[str, int] = {}

    @agent(reads=Signal, writes=Risk, name="open")
    def open_it(view: View):
        for signal in view.new(Signal):
            opened[signal.text] = len(signal.text)
            yield Risk(signal.text, 1).because(signal)

    @agent(reads=Risk, writes=Alarm, name="use")
    def use(view: View):
        for risk in view.new(Risk):
            yield Alarm((str(opened[risk.name]),)).because(risk)

    said = await refusal(assert_resumable_everywhere(Engine([open_it, use]), "find risks", SIGNALS))
    assert "fails where it had not: agent use raised KeyError" in said
    assert "`opened`, a dict, which open holds too" in said


@pytest.mark.asyncio
async def test_answers_of_chance_that_were_captured_are_no_difference():
    """A capture is what makes an agent resumable."""

    def rolled(text: str) -> str:
        return f"{text} {random.random()}"

    @agent(reads=Signal, writes=Alarm, name="dice")
    async def dice(view: View):
        for signal in view.new(Signal):
            yield Alarm((await view.capture("roll", rolled, signal.text),)).because(signal)

    @agent(reads=Alarm, writes=Risk, name="after")
    def after(view: View):
        for alarm in view.new(Alarm):
            yield Risk(alarm.names[0], 1).because(alarm)

    assert await assert_resumable_everywhere(Engine([dice, after]), "find risks", SIGNALS) >= 3


# --- calls ------------------------------------------------------------------------------------------------------------


class World:
    """Something outside that is asked, and counts."""

    def __init__(self) -> None:
        self.count = 0

    async def ask(self, text: str) -> int:
        self.count += 1
        return len(text)

    def asked(self) -> int:
        return self.count


def asking(world: World, *, captured: bool) -> Engine:
    @agent(reads=Signal, writes=Risk, name="ask")
    async def ask(view: View):
        for signal in view.new(Signal):
            call = view.capture("length", world.ask, signal.text) if captured else world.ask(signal.text)
            yield Risk(signal.text, await call).because(signal)

    return Engine([ask, warn])


@pytest.mark.asyncio
async def test_what_was_captured_is_not_asked_again():
    """Whichever of its rows a job is cut after."""
    world = World()
    assert await assert_no_repeated_calls(asking(world, captured=True), "find", SIGNALS, asked=world.asked) >= 4


@pytest.mark.asyncio
async def test_a_call_that_was_not_captured_is_counted():
    """The sentence says how to make it."""
    world = World()
    said = await refusal(assert_no_repeated_calls(asking(world, captured=False), "find", SIGNALS, asked=world.asked))
    assert said.startswith("the job asked the world 2 times, and 0 answers were captured")
    assert "await view.capture(name, call, argument)" in said


@pytest.mark.asyncio
async def test_a_question_that_is_never_the_same_is_asked_again():
    """A prompt with the time in it, or a count of its own, is found by no capture."""
    questions = itertools.count()

    @agent(reads=Signal, writes=Risk, name="stamp")
    async def stamp(view: View):
        for signal in view.new(Signal):
            said = await view.capture("length", len, f"{signal.text} {next(questions)}")
            yield Risk(signal.text, said * 0).because(signal)

    said = await refusal(assert_no_repeated_calls(Engine([stamp, warn]), "find", SIGNALS))
    assert "asks 'length' otherwise than uncut: agent stamp" in said


@pytest.mark.asyncio
async def test_a_model_is_asked_once_for_each_answer():
    """An LLM agent captures by itself; the journal of the model is the witness."""

    class Verdict(Fact, key="text"):
        text: str
        bad: bool

    model = ScriptedModel([("", {"items": [{"text": "late", "bad": True}]})])
    judge = LLMAgent("judge", model, "Judge the signals: {facts}", reads=Signal, writes=Verdict)
    rows = await assert_no_repeated_calls(Engine([judge]), "judge", SIGNALS, asked=lambda: len(model.requests))
    assert rows >= 3


# --- purity -----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_agent_that_is_a_function_of_its_view_is_pure():
    """On facts, on what an outcome knows, and with calls that are captured."""
    await assert_pure(assess, SIGNALS)
    await assert_pure(assess, SIGNALS[0])
    outcome = await SOUND.run("find risks", SIGNALS)
    await assert_pure(warn, outcome.context)

    @agent(reads=Signal, writes=Alarm, name="dice")
    async def dice(view: View):
        yield Alarm((str(await view.capture("roll", random.random)),))

    await assert_pure(dice, SIGNALS)


@pytest.mark.asyncio
async def test_an_agent_that_asks_chance_or_the_clock_is_not_pure():
    """The module that its code names is named, and so is the remedy."""

    @agent(reads=Signal, writes=Alarm, name="dice")
    def dice(view: View):
        yield Alarm((str(random.getrandbits(60)),))

    said = await refusal(assert_pure(dice, SIGNALS))
    assert said.startswith("agent dice, run again at once on the same view, states Alarm(names=(")
    assert said.endswith("its code asks random: record what that returns with view.capture")

    @agent(reads=Signal, writes=Alarm, name="clock")
    def clock(view: View):
        yield Alarm((str(time.perf_counter_ns()),))

    assert "its code asks time" in await refusal(assert_pure(clock, SIGNALS))


@pytest.mark.asyncio
async def test_an_agent_that_remembers_is_not_pure():
    """It says something the first time only; what it keeps is as it was afterwards."""
    seen: set[str] = set()

    @agent(reads=Signal, writes=Risk, name="once")
    def once(view: View):
        for signal in view.new(Signal):
            if signal.text not in seen:
                seen.add(signal.text)
                yield Risk(signal.text, 1).because(signal)

    said = await refusal(assert_pure(once, SIGNALS))
    assert "agent once, run again at once on the same view, states Risk(" in said
    assert "no more: it keeps `seen`, a set, from one activation to the next" in said
    assert seen == set()


@pytest.mark.asyncio
async def test_an_agent_that_names_other_reasons_is_not_pure():
    """What a fact rests on is part of what was said."""
    turn = itertools.cycle([0, 1])

    @agent(reads=Signal, writes=Risk, name="reasons")
    def reasons(view: View):
        yield Risk("both", 1).because(view.new(Signal)[next(turn)])

    assert "states Risk(name='both', severity=1) for other reasons" in await refusal(assert_pure(reasons, SIGNALS))


@pytest.mark.asyncio
async def test_an_agent_that_asks_something_else_each_time_is_not_pure():
    """Its second question has no answer in the record."""
    count = itertools.count()

    @agent(reads=Signal, writes=Alarm, name="asks")
    async def asks(view: View):
        yield Alarm((str(await view.capture("length", len, f"{next(count)}")),))

    assert "agent asks asks 'length' otherwise when it is run again" in await refusal(assert_pure(asks, SIGNALS))


@pytest.mark.asyncio
async def test_an_agent_that_does_not_run_is_not_called_pure():
    """Neither one that refuses the view nor one that fails on it."""

    @agent(reads=Signal, writes=Alarm, name="shy", accepts=lambda view: False)
    def shy(view: View):
        yield Alarm(())

    @agent(reads=Signal, writes=Alarm, name="broken")
    def broken(view: View):
        raise ZeroDivisionError("by nothing")

    assert "agent shy does not accept this view" in await refusal(assert_pure(shy, SIGNALS))
    assert "agent broken fails on this view: ZeroDivisionError('by nothing')" in await refusal(
        assert_pure(broken, SIGNALS)
    )


# --- joins ------------------------------------------------------------------------------------------------------------


class Highest(Fact, key="lot", policy="join"):
    lot: str
    amount: int

    def join(self, other: "Highest") -> "Highest":
        return self if self.amount >= other.amount else other


class Total(Fact, key="lot", policy="join"):
    lot: str
    amount: int

    def join(self, other: "Total") -> "Total":
        return Total(self.lot, self.amount + other.amount)


class First(Fact, key="lot", policy="join"):
    lot: str
    amount: int

    def join(self, other: "First") -> "First":
        return self


class Mean(Fact, key="lot", policy="join"):
    lot: str
    amount: Annotated[float, Field(ge=0, le=100)]

    def join(self, other: "Mean") -> "Mean":
        return Mean(self.lot, (self.amount + other.amount) / 2)


def test_a_join_that_keeps_its_laws_passes():
    """On facts that are given and on facts that are made up."""
    assert_join_laws(Highest)
    assert_join_laws(Highest, [Highest("vase", n) for n in range(3)])
    assert_join_laws(Highest, amount=st.integers(0, 3))


@pytest.mark.parametrize(("kind", "law"), [(First, "commutative"), (Mean, "associative"), (Total, "idempotent")])
def test_a_join_that_breaks_a_law_is_found_without_an_example(kind: Any, law: str):
    """Hypothesis makes the facts; the sentence names law, facts and remedy."""
    with pytest.raises(
        AssertionError, match=rf"^{kind.__name__}\.join: it is not {law}: .* a join gives the least fact"
    ):
        assert_join_laws(kind)


def test_a_check_of_no_facts_is_refused():
    """It could not fail."""
    with pytest.raises(AssertionError, match=r"Total\.join was not checked: give facts"):
        assert_join_laws(Total, [])
    with pytest.raises(AssertionError, match='the policy of the kind is not "join"'):
        assert_join_laws(Signal)


# --- facts made up ----------------------------------------------------------------------------------------------------


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Inner(BaseModel):
    number: int
    words: list[str]


class Wide(Fact, key="name"):
    name: Annotated[str, Field(min_length=1, max_length=5)]
    code: Annotated[str, Field(pattern=r"^[A-Z]{3}-\d+$")]
    count: Annotated[int, Field(ge=3, lt=9)]
    even: Annotated[int, Field(multiple_of=2)]
    share: Annotated[float, Field(gt=0, le=1)]
    level: Level
    word: Literal["yes", "no"] | None
    price: Decimal
    at: datetime
    day: date
    inner: Inner
    tags: frozenset[str]
    pair: tuple[int, str]
    rest: dict[str, Any]
    signal: Signal


@given(facts_of(Wide))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_a_made_up_fact_keeps_the_limits_of_its_kind(fact: Wide):
    """It is one that a store can give back, in canonical form."""
    canonical, fact_id, body = identified(fact)
    assert (canonical, fact_id) == (fact, id_of(fact))
    assert kind_of(Wide).load(json.loads(body)) == fact
    assert (1 <= len(fact.name) <= 5, 3 <= fact.count < 9, fact.even % 2, 0 < fact.share <= 1) == (True, True, 0, True)
    assert fact.at.tzinfo in (None, UTC)


@given(facts_of(Risk, severity=st.integers(1, 5)))
def test_a_strategy_can_be_given_for_a_field(fact: Risk):
    """Where a test needs less than the type allows."""
    assert 1 <= fact.severity <= 5


def test_a_field_of_which_nothing_is_known_is_named_with_the_remedy():
    """Also one that there is not."""

    class Opaque:
        def __init__(self, needed) -> None: ...

        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            return handler.generate_schema(int)

    class Odd(Fact):
        thing: Annotated[Opaque, None]

    with pytest.raises(ValueError, match=r"Odd\.thing .* give some, as in facts_of\(Odd, thing=st\.sampled_from"):
        facts_of(Odd)
    with pytest.raises(ValueError, match="Risk has no field 'severty': it has name, severity"):
        facts_of(Risk, severty=st.integers())


def test_without_hypothesis_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """It is a user's own dependency, needed for what makes facts up and for nothing else."""
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    for needs in (lambda: facts_of(Risk), lambda: assert_join_laws(Highest)):
        with pytest.raises(LibraryMissing, match=r"needs hypothesis, which is not installed: pip install hypothesis"):
            needs()
    assert_join_laws(Highest, [Highest("vase", 1)])


# --- within other people's pytest -------------------------------------------------------------------------------------

_KINDS = """
from converge import Engine, Fact, View, agent
from converge.testing import *

class Signal(Fact):
    text: str

class Risk(Fact):
    text: str

@agent(reads=Signal, writes=Risk)
async def assess(view: View):
    for signal in view.new(Signal):
        yield Risk(await view.capture("echo", str, signal.text)).because(signal)

@agent(reads=Signal, writes=Risk, timeout=60)
async def forever(view: View):
    await __import__("anyio").sleep_forever()
"""
_TESTS = """
async def test_assertions():
    engine, facts = Engine([assess]), [Signal("late")]
    await assert_pure(assess, facts)
    await assert_confluent(engine, "find risks", facts)
    await assert_resumable_everywhere(engine, "find risks", facts)
    await assert_no_repeated_calls(engine, "find risks", facts)

async def test_a_minute_takes_a_moment():
    async with VirtualClock() as clock:
        outcome = await Engine([forever], clock=clock).run("wait", [Signal("late")])
    assert str(outcome.stop.reason) == "agent_failed"
    assert clock.elapsed() >= 60

@pytest.mark.parametrize("check", STORE_CHECKS)
async def test_store(check):
    store = MemoryStore()
    await check(lambda: store)
"""
_PLUGINS = {
    "pytest-asyncio": "import pytest\npytestmark = pytest.mark.asyncio\n",
    "anyio": (
        'import pytest\npytestmark = pytest.mark.anyio\n@pytest.fixture\ndef anyio_backend():\n    return "asyncio"\n'
    ),
}


_SETTINGS = {"pytest-asyncio": "asyncio_default_fixture_loop_scope = function\n", "anyio": ""}


@pytest.mark.slow
@pytest.mark.parametrize("plugin", _PLUGINS)
def test_the_kit_works_under_either_plugin(tmp_path: Path, plugin: str):
    """A file as a user writes it, in a pytest of its own that knows the one plugin only."""
    text = f"{_PLUGINS[plugin]}from converge.stores import MemoryStore\n{_KINDS}{_TESTS}"
    (tmp_path / "test_mine.py").write_text(text, "utf-8")
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{_SETTINGS[plugin]}", "utf-8")
    other = "asyncio" if plugin == "anyio" else "anyio"
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "agents", "stores"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", f"no:{other}", "-p", "no:cacheprovider", "-W", "error"]
    ran = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout
    assert f"{2 + len(STORE_CHECKS)} passed" in ran.stdout, ran.stdout  # two, and one for each check of a store
