"""Kinds in time: a stored job is read by agents whose kinds are of a later version, or it is refused and left alone.

What is random here is a job of tests/jobs.py, whose kinds are then of version 2, with one field more.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field
from pydantic_core import from_json

from converge import (
    Agent,
    Budget,
    Decision,
    Engine,
    Fact,
    Invalidation,
    Live,
    Opinion,
    Outcome,
    Proposal,
    RootIntent,
    SameAs,
    Verdict,
    View,
    agent,
    corroborated_by,
    human,
    judged_by,
    same_as,
)
from converge.chain import JobHeader
from converge.context import Context
from converge.effect import Given, Range, Source
from converge.errors import KindInvalid, StoredFactInvalid
from converge.fact import id_of, identified, kind_of
from converge.intent import Budget as Bounds
from converge.intent import Spend
from converge.liveness import LIVE
from converge.ports import StoredJob
from converge.proposal import content_proposed
from converge.restore import restore
from converge.snapshot import Cycle, Snapshot
from converge.stores import SQLiteStore
from converge.support import OUTSIDE
from converge.trace import Activated, Trace
from converge.wiring import Wiring
from tests import jobs
from tests.jobs import EVERY, MORE, SHAPES, Play, agents_of, digests, go_on, plans, play, premises, wirable
from tests.timing import JOBS

LAW = "a law"
MADE: Any = type(Fact)  # makes a kind as a class statement does


class Old(Fact, name="Signal"):
    level: int


class Signal(Fact, version=2):
    severity: int

    @classmethod
    def upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        content["severity"] = content.pop("level")  # as one would write it: what is given is one's own
        return content


class Third(Fact, name="Signal", version=3):
    severity: int
    unit: str

    @classmethod
    def upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        severity = content["level"] if version == 1 else content["severity"]
        return {"severity": severity, "unit": f"of version {version}"}


class Coarse(Fact, name="Signal", version=2):
    """Of two levels, where there were many: facts that were different become one."""

    severity: int

    @classmethod
    def upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        return {"severity": content["level"] // 10}


class Note(Fact):
    text: str


class Total(Fact):
    n: int


def number(fact: Any) -> int:
    return int(fact.level if isinstance(fact, Old) else fact.severity)


def watchers(kind: Any) -> list[Agent]:
    """Return agents that say the same of a kind whatever its version: cited, uncited, marked, counted."""

    @agent(reads=kind, writes=kind)
    def rise(view: View):
        for signal in view.new(kind):
            if number(signal) < 3:
                yield kind(number(signal) + 1).because(signal)

    @agent(reads=kind, writes=Note)
    def gist(view: View):
        if signals := view.new(kind):
            yield Note(f"together {sum(map(number, signals))}")

    @agent(reads=kind, invalidates=kind)
    def doubt(view: View):
        signals = {number(signal): signal for signal in view.all(kind)}
        if {2, 7} <= signals.keys():
            yield signals[7].invalidate("there is a 2").because(signals[2])

    @agent(reads=Live(kind), writes=Total, name="count")
    def total(view: View):
        yield Total(view.count(kind))

    return [rise, gist, doubt, total]


async def written(path: Path, *facts: Fact, agents: Sequence[Agent] | None = None, rounds: int = 1000) -> Outcome:
    """Run a job with the agents of before, in a file."""
    engine = Engine(watchers(Old) if agents is None else agents, store=SQLiteStore(path))
    return await engine.run(RootIntent(LAW, budget=Budget(rounds=rounds)), facts, job_id="one")


async def rows(path: Path) -> list[Any]:
    """Return a job's rows as they are kept."""
    store = SQLiteStore(path)
    await store.open()
    try:
        return [*await store.rows("one")]
    finally:
        await store.close()


def engine_of(path: Path, agents: Sequence[Agent]) -> Engine:
    return Engine(agents, store=SQLiteStore(path))


def ended(outcome: Outcome) -> tuple[str, str, str]:
    assert outcome.converged
    return outcome.digest, outcome.live_digest, outcome.proof_digest


def ran(outcome: Outcome) -> list[tuple[str, int]]:
    """Return who has run on which round, in the whole life of a job."""
    return sorted((event.agent, event.round) for event in outcome.trace if isinstance(event, Activated))


# --- brought forward -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", range(6))
@pytest.mark.parametrize("kind", [Signal, Coarse])
@pytest.mark.asyncio
async def test_a_job_that_goes_on_with_newer_kinds_ends_as_if_it_had_begun_with_them(
    tmp_path: Path, rounds: int, kind: Any
):
    """Cut after any round: the three digests are those of a run from scratch, and nobody runs twice on one round."""
    kinds, agents = (Old, watchers) if kind is Signal else (Old, tens)
    await written(tmp_path / "jobs.db", kinds(1), kinds(7), agents=agents(Old), rounds=rounds)
    outcome = await engine_of(tmp_path / "jobs.db", agents(kind)).resume("one", budget=Budget())
    first = [kind(1), kind(7)] if kind is Signal else [kind(0)]
    scratch = await Engine(agents(kind)).run(LAW, first)
    assert ended(outcome) == ended(scratch)
    assert len(ran(outcome)) == len(set(ran(outcome)))


def tens(kind: Any) -> list[Agent]:
    """Return agents that say of facts which become one what they would say of that one."""

    def ten(fact: Any) -> int:
        return fact.level // 10 if isinstance(fact, Old) else fact.severity

    @agent(reads=kind, writes=Note)
    def name(view: View):
        for signal in view.new(kind):
            yield Note(f"about {ten(signal)}").because(signal)

    @agent(reads=Note, writes=Total)
    def size(view: View):
        for note in view.new(Note):
            yield Total(len(note.text)).because(note)

    return [name, size]


@pytest.mark.asyncio
async def test_facts_of_several_versions_back_are_brought_forward_in_one_step(tmp_path: Path):
    """`upgrade` is told which version each fact is of."""
    await written(tmp_path / "jobs.db", Old(5))
    await engine_of(tmp_path / "jobs.db", watchers(Signal)).resume("one", [Signal(6)])
    outcome = await engine_of(tmp_path / "jobs.db", [reader(Third)]).resume("one")
    assert {fact.unit for fact in outcome.context.all(Third)} == {"of version 2"}
    await written(tmp_path / "other.db", Old(5))
    outcome = await engine_of(tmp_path / "other.db", [reader(Third)]).resume("one")
    assert outcome.context.all(Third) == (Third(5, "of version 1"),)


def reader(*kinds: type[Fact]) -> Agent:
    """Return an agent that declares some kinds and says nothing."""

    @agent(reads=[*kinds, Note, Total])
    def nobody(view: View):
        return []

    return nobody


@pytest.mark.asyncio
async def test_of_several_later_versions_the_latest_is_taken(tmp_path: Path):
    """An engine may have agents of both; nothing is brought forward twice."""
    await written(tmp_path / "jobs.db", Old(5))
    outcome = await engine_of(tmp_path / "jobs.db", [reader(Third, Signal)]).resume("one")
    assert (outcome.context.all(Third), outcome.context.all(Signal)) == ((Third(5, "of version 1"),), ())


@pytest.mark.asyncio
async def test_nobody_runs_again_on_what_it_had_read(tmp_path: Path):
    """Watermarks stay, and with nothing new nothing is written either."""
    first = await written(tmp_path / "jobs.db", Old(1), Old(7))
    before = await rows(tmp_path / "jobs.db")
    outcome = await engine_of(tmp_path / "jobs.db", watchers(Signal)).resume("one")
    assert ran(outcome) == ran(first)
    assert await rows(tmp_path / "jobs.db") == before


@pytest.mark.asyncio
async def test_a_new_fact_wakes_only_those_who_read_it_and_they_see_what_came_before(tmp_path: Path):
    """What was new to nobody is not new again; `all` shows both."""
    seen: list[tuple[int, int]] = []

    def eyes(kind: type[Fact]) -> Agent:
        @agent(reads=kind, name="eyes")
        def look(view: View):
            seen.append((len(view.new(kind)), len(view.all(kind))))

        return look

    await written(tmp_path / "jobs.db", Old(5), Old(6), agents=[eyes(Old)])
    await engine_of(tmp_path / "jobs.db", [eyes(Signal)]).resume("one", [Signal(8)])
    assert seen == [(2, 2), (1, 3)]


@pytest.mark.asyncio
async def test_what_was_given_again_is_the_fact_that_is_there(tmp_path: Path):
    """A premise in the words of today is the old one; it is no growth."""
    await written(tmp_path / "jobs.db", Old(5))
    outcome = await engine_of(tmp_path / "jobs.db", watchers(Signal)).resume("one", [Signal(5)])
    assert outcome.context.all(Signal) == (Signal(5),)


@pytest.mark.asyncio
async def test_a_key_is_contested_by_old_and_new_facts_alike(tmp_path: Path):
    """Facts that came forward are filed under their key."""
    before, today = _risks()
    await written(tmp_path / "jobs.db", before("ice", 1), agents=[reader(before)])
    outcome = await engine_of(tmp_path / "jobs.db", [reader(today)]).resume("one", [today("ice", 2)])
    assert [conflict.key for conflict in outcome.context.conflicts(today)] == ["ice"]
    assert outcome.stop.reason == "contested"


def _risks() -> tuple[Any, Any]:
    class Before(Fact, name="Risk", key=("title",)):
        title: str
        size: int

    class Risk(Fact, version=2, key=("name",)):
        name: str
        size: int

        @classmethod
        def upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
            return {"name": content["title"], "size": content["size"]}

    return Before, Risk


@pytest.mark.asyncio
async def test_joined_facts_are_joined_with_those_that_came_forward(tmp_path: Path):
    """The policy and the key are those of today."""

    class Before(Fact, name="Reach"):
        upto: int

    class Reach(Fact, version=2, key=("of",), policy="join"):
        of: str
        upto: int

        @classmethod
        def upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
            return {**content, "of": "all"}

        def join(self, other: "Reach") -> "Reach":
            return Reach(self.of, max(self.upto, other.upto))

    await written(tmp_path / "jobs.db", Before(3), Before(5), agents=[reader(Before)])
    outcome = await engine_of(tmp_path / "jobs.db", [reader(Reach)]).resume("one", [Reach("all", 4)])
    assert outcome.context.live(Reach) == (Reach("all", 5),)


@pytest.mark.asyncio
async def test_what_was_captured_is_not_asked_again(tmp_path: Path):
    """A call is found by its arguments, whatever became of the facts it was made for."""
    asked: list[Any] = []

    def lawyers(kind: type[Fact], *, fails: bool) -> list[Agent]:
        def ask(what: Any) -> str:
            asked.append(what)
            return f"said {what}"

        @agent(reads=kind, writes=Note)
        async def lawyer(view: View):
            await view.capture("ask", ask, "for the rules")
            for signal in view.new(kind):
                said = await view.capture("ask", ask, number(signal))
                yield Note(said).because(signal)
            if fails:
                raise ValueError("later")

        return [lawyer]

    await written(tmp_path / "jobs.db", Old(5), agents=lawyers(Old, fails=True))
    outcome = await engine_of(tmp_path / "jobs.db", lawyers(Signal, fails=False)).resume("one")
    assert (outcome.context.live(Note), asked) == ((Note("said 5"),), ["for the rules", 5])
    again = await engine_of(tmp_path / "jobs.db", lawyers(Signal, fails=False)).resume("one", [Signal(6)])
    assert (len(again.context.live(Note)), asked) == (2, ["for the rules", 5, 6])


# --- markers ---------------------------------------------------------------------------------------------------------


def marking(kind: Any) -> Agent:
    """Return an agent that says first what it marks, and then what that is: markers on markers, in one effect."""

    @agent(reads=kind, writes=[kind, Note], invalidates=[kind, Invalidation])
    def marker(view: View):
        for reason in view.new(kind):
            if number(reason) == 5:
                doubtful = kind(50)
                first = doubtful.invalidate("not so")
                second = first.invalidate("but it is")
                third = second.invalidate("it is not")
                yield third.because(reason)
                yield second.because(reason)
                yield first.because(reason)
                yield doubtful.because(reason)

    return marker


@pytest.mark.asyncio
async def test_markers_that_stand_before_their_targets_come_forward_with_them(tmp_path: Path):
    """And markers on markers, three deep: liveness is that of a run from scratch."""
    await written(tmp_path / "jobs.db", Old(5), agents=[marking(Old)])
    bodies = [row.body for row in await rows(tmp_path / "jobs.db")]
    first = next(body for body in bodies if "it is not" in body)
    assert first.index("it is not") < first.index("but it is") < first.index("not so") < first.index('{"level":50}')
    outcome = await engine_of(tmp_path / "jobs.db", [marking(Signal)]).resume("one")
    scratch = await Engine([marking(Signal)]).run(LAW, [Signal(5)])
    assert ended(outcome) == ended(scratch)
    assert outcome.context.live(Signal) == (Signal(5),)


@pytest.mark.asyncio
async def test_a_marker_that_was_given_ahead_finds_its_target_in_a_later_row(tmp_path: Path):
    """A job that began anew has its markers first, and concludes what they are about later."""
    raised = await written(tmp_path / "jobs.db", Old(1))
    engine = engine_of(tmp_path / "jobs.db", watchers(Old))
    await engine.resume("one", [Old(3).invalidate("withdrawn")])
    again = await engine.restart("one")
    assert Old(3) in again.context.dead(Old)
    outcome = await engine_of(tmp_path / "jobs.db", watchers(Signal)).resume("one")
    assert outcome.context.dead(Signal) == (Signal(3),)
    assert raised.converged


@pytest.mark.asyncio
async def test_a_job_that_begins_anew_with_newer_kinds_keeps_the_markers_it_was_given(tmp_path: Path):
    """On what it was given and on what it had concluded."""
    await written(tmp_path / "jobs.db", Old(1), Old(9))
    markers = [
        Old(3).invalidate("withdrawn"),
        Old(9).invalidate("withdrawn"),
        Old(9).invalidate("both").invalidate("x"),
    ]
    await engine_of(tmp_path / "jobs.db", watchers(Old)).resume("one", [*markers, Old(9).invalidate("both")])
    outcome = await engine_of(tmp_path / "jobs.db", watchers(Signal)).restart("one")
    assert set(outcome.context.dead(Signal)) == {Signal(3), Signal(9)}
    targets = {marker.target for marker in outcome.context.all(Invalidation)}
    assert not [target for target in targets if target.startswith("Signal:")]


@pytest.mark.asyncio
async def test_a_letter_of_before_is_about_what_its_facts_are_now(tmp_path: Path):
    """A marker that was posted for a job which has come forward since, with its target in the job or in the letter."""
    await written(tmp_path / "jobs.db", Old(4))
    older = engine_of(tmp_path / "jobs.db", watchers(Old))
    await older.give("one", [Old(4).invalidate("withdrawn"), Old(8).invalidate("never"), Old(8)])
    outcome = await engine_of(tmp_path / "jobs.db", watchers(Signal)).resume("one")
    assert set(outcome.context.dead(Signal)) == {Signal(4), Signal(8)}


@pytest.mark.asyncio
async def test_a_revision_speaks_of_what_its_successor_is_now(tmp_path: Path):
    """Its marker names the successor in its reason, which is part of its id."""

    def revising(kind: type[Fact]) -> Agent:
        @agent(reads=[kind, Note], writes=kind, invalidates=kind)
        def revise(view: View):
            for note in view.new(Note):
                for signal in view.all(kind):
                    changed = {"level" if kind is Old else "severity": len(note.text)}
                    if number(signal) != len(note.text):
                        yield signal.revise(**changed).because(note)

        return revise

    await written(tmp_path / "jobs.db", Old(4), Note("three"), agents=[revising(Old)])
    outcome = await engine_of(tmp_path / "jobs.db", [revising(Signal)]).resume("one")
    scratch = await Engine([revising(Signal)]).run(LAW, [Signal(4), Note("three")])
    assert ended(outcome) == ended(scratch)


# --- facts that become one -------------------------------------------------------------------------------------------


def gist_of(kind: type[Fact]) -> Agent:
    @agent(reads=kind, writes=Note, name="gist")
    def gist(view: View):
        if signals := view.new(kind):
            yield Note(f"of round {view.round}: {len(signals)}")

    return gist


@pytest.mark.asyncio
async def test_what_was_concluded_from_either_of_two_falls_with_the_one_they_became(tmp_path: Path):
    """They stood in different rounds, and what cites nothing rests on the facts of a round."""
    await written(tmp_path / "jobs.db", Old(11), agents=[gist_of(Old)])
    await engine_of(tmp_path / "jobs.db", [gist_of(Old)]).resume("one", [Old(12)])
    outcome = await engine_of(tmp_path / "jobs.db", [gist_of(Coarse)]).resume("one")
    assert len(outcome.context.live(Note)) == 2
    outcome = await engine_of(tmp_path / "jobs.db", [gist_of(Coarse)]).resume("one", [Coarse(1).invalidate("no")])
    assert outcome.context.live(Note) == ()


@pytest.mark.parametrize("rounds", [(3, 1), (1, 3)])
def test_it_does_not_matter_which_of_two_was_merged_first(rounds: tuple[int, int]):
    """A higher round may be merged before a lower one; ranges of either hold what they became."""
    context = Context(RootIntent(LAW))
    for fact, round in zip((Old(11), Old(12)), rounds, strict=True):
        context.add(fact, round)
        context.support(len(context.facts) - 1, OUTSIDE, round, ())
    for round in rounds:
        context.add(Note(str(round)), round + 1)
        node = context.node(Given((Range("Signal", round - 1, round),)))
        context.support(len(context.facts) - 1, Source("gist"), round + 1, node)
    found = _read([_row(context)], [gist_of(Coarse)]).context
    assert found.facts[1:] == [Coarse(1), Note(str(rounds[0])), Note(str(rounds[1]))]
    assert found.rounds[1] == min(rounds)
    assert [found.evidence_of(support) for support in found.supports if support.fact > 1] == [(1,), (1,)]


def _row(context: Context) -> str:
    """Return all that a context holds as one row."""
    upto = len(context.facts), len(context.supports), 0
    ends: dict[str, Any] = {"cycle": 1, "at": 0.0, "round": context.highest, "facts": upto[0], "stop": None}
    spends: dict[str, Any] = {"watermarks": (), "spend": Spend(), "budget": Bounds()}
    return Cycle(context, Trace(), since=(1, 1, 0), upto=upto, **ends, **spends).body()


def _read(bodies: list[str], agents: list[Agent]) -> Snapshot:
    body = identified(RootIntent(LAW))[2].decode()
    return restore(StoredJob(JobHeader("one", 0.0, body), bodies), Wiring(agents).kinds)


# --- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_next_row_holds_the_whole_position_and_older_rows_stay(tmp_path: Path):
    """It says that it begins anew; plain tools see today's facts in it."""
    await written(tmp_path / "jobs.db", Old(1), Old(7))
    before = await rows(tmp_path / "jobs.db")
    outcome = await engine_of(tmp_path / "jobs.db", watchers(Signal)).resume("one", [Note("new")])
    after = await rows(tmp_path / "jobs.db")
    assert after[: len(before)] == before
    new = after[len(before) :]
    assert ['"anew":"reuse"' in row.body[:60] for row in new] == [True, *[False] * (len(new) - 1)]
    assert "Signal:" not in new[0].body.replace("revised", "")
    assert outcome.cycles == after[-1].cycle == len(after) - 1


@pytest.mark.asyncio
async def test_the_second_resume_upgrades_nothing_and_writes_nothing_anew(tmp_path: Path):
    """The old rows are history by then: a class that has forgotten how to bring them forward will do."""

    class Signal2(Fact, name="Signal", version=2):
        severity: int

    await written(tmp_path / "jobs.db", Old(1), Old(7))
    first = await engine_of(tmp_path / "jobs.db", watchers(Signal)).resume("one", [Signal(8)])
    again = await engine_of(tmp_path / "jobs.db", watchers(Signal2)).resume("one")
    assert ended(again) == ended(first)
    before = len(await rows(tmp_path / "jobs.db"))
    last = await engine_of(tmp_path / "jobs.db", watchers(Signal2)).resume("one", [Signal2(9)])
    assert [row for row in await rows(tmp_path / "jobs.db") if '"anew"' in row.body[:60]] != []
    assert [row for row in (await rows(tmp_path / "jobs.db"))[before:] if '"anew"' in row.body[:60]] == []
    assert last.spend.activations > first.spend.activations


@pytest.mark.asyncio
async def test_spend_budget_trace_and_letters_come_forward(tmp_path: Path):
    """A job does not get its budget back by getting newer kinds, and reads no letter twice."""
    await written(tmp_path / "jobs.db", Old(1), rounds=2)
    await engine_of(tmp_path / "jobs.db", watchers(Old)).give("one", [Old(7)])
    second = await engine_of(tmp_path / "jobs.db", watchers(Signal)).resume("one", budget=Budget(rounds=3))
    assert second.stop.reason == "budget"
    assert second.spend.rounds == 3
    third = await engine_of(tmp_path / "jobs.db", watchers(Signal)).resume("one")
    assert (third.stop.reason, third.spend.rounds) == ("budget", 3)
    assert [type(event).__name__ for event in third.trace].count("FactsArrived") == 1
    assert len([event for event in third.trace if type(event).__name__ == "JobStarted"]) == 1


@pytest.mark.asyncio
async def test_a_fork_of_a_job_of_before_comes_forward_by_itself(tmp_path: Path):
    """The job it was copied from stays what it was."""
    first = await written(tmp_path / "jobs.db", Old(1), Old(7))
    before = await rows(tmp_path / "jobs.db")
    outcome = await engine_of(tmp_path / "jobs.db", watchers(Signal)).fork("one", facts=[Note("new")])
    assert len(outcome.context.all(Signal)) == len(first.context.all(Old))
    assert await rows(tmp_path / "jobs.db") == before


# --- refused ---------------------------------------------------------------------------------------------------------


def today(**body: Any) -> Any:
    """Return a class of kind Signal, version 2, with some methods."""
    namespace = {"__annotations__": {"severity": int}, "__module__": __name__, **body}
    return MADE("Signal", (Fact,), namespace, version=2)


def _raising(cls: type, content: dict[str, Any], version: int) -> dict[str, Any]:
    raise KeyError("volume")


REFUSED: dict[str, tuple[Callable[[], type[Fact]], str]] = {
    "an unknown kind": (
        lambda: MADE("Signl", (Fact,), _plain("n")),
        r"no agent .* kind Signal.*mean Signl\?.*add",
    ),
    "a kind that is nothing like it": (lambda: Total, r"no agent of this engine declares kind Signal: add one"),
    "a kind that no longer takes its content": (
        lambda: MADE("Signal", (Fact,), _plain("depth")),
        r"Signal:\w+.*depth: is missing",
    ),
    "a kind with a field more, which has a value by itself": (
        lambda: MADE(
            "Signal", (Fact,), {"__annotations__": {"level": int, "unit": str}, "__module__": __name__, "unit": "m"}
        ),
        r"it would have another id: its class was changed and is still of version 1: .*upgrade",
    ),
    "no upgrade": (today, r"is of version 1 and kind Signal here of version 2: give its class .* upgrade"),
    "an upgrade that raises": (
        lambda: today(upgrade=classmethod(_raising)),
        r"Signal\.upgrade raised KeyError: 'volume': mend it",
    ),
    "an upgrade that returns nothing": (
        lambda: today(upgrade=classmethod(lambda cls, content, version: None)),
        r"Signal\.upgrade made of it what is no Signal@2: .*an object of fields is needed, not NoneType: mend it",
    ),
    "an upgrade that leaves a field out": (
        lambda: today(upgrade=classmethod(lambda cls, content, version: {})),
        r"Signal\.upgrade made of it what is no Signal@2: .*severity: is missing: mend it",
    ),
}


def _plain(field: str) -> dict[str, Any]:
    return {"__annotations__": {field: int}, "__module__": __name__}


@pytest.mark.parametrize(("made", "sentence"), REFUSED.values(), ids=REFUSED)
@pytest.mark.asyncio
async def test_a_fact_that_cannot_be_read_is_named_with_the_remedy_and_stays(
    tmp_path: Path, made: Callable[[], type[Fact]], sentence: str
):
    """Nothing of the job is changed, and the agents of before go on with it."""
    first = await written(tmp_path / "jobs.db", Old(1), Old(7))
    before = await rows(tmp_path / "jobs.db")
    for go in (lambda engine: engine.resume("one"), lambda engine: engine.restart("one")):
        with pytest.raises(
            StoredFactInvalid, match=r"job 'one' holds Signal:[0-9a-f]{32}, which cannot be read: "
        ) as error:
            await go(engine_of(tmp_path / "jobs.db", [reader(made())]))
        error.match(sentence)
        assert "\n" not in str(error.value)
    assert await rows(tmp_path / "jobs.db") == before
    assert ended(await engine_of(tmp_path / "jobs.db", watchers(Old)).resume("one")) == ended(first)


@pytest.mark.asyncio
async def test_of_many_facts_of_a_kind_the_one_that_cannot_be_read_is_named(tmp_path: Path):
    """They are read many at a time, and refused one by one."""
    await written(tmp_path / "jobs.db", *map(Old, range(100)))
    narrower = {"__annotations__": {"level": Annotated[int, Field(lt=99)]}, "__module__": __name__}
    with pytest.raises(StoredFactInvalid, match=rf"{id_of(Old(99))}, .*level: Input should be less than 99"):
        await engine_of(tmp_path / "jobs.db", [reader(MADE("Signal", (Fact,), narrower))]).resume("one")


@pytest.mark.asyncio
async def test_a_newer_version_than_the_engine_declares_is_refused(tmp_path: Path):
    """Going back is not guessed at."""
    await written(tmp_path / "jobs.db", Signal(1), agents=watchers(Signal))
    before = await rows(tmp_path / "jobs.db")
    with pytest.raises(StoredFactInvalid, match=r"Signal@2:\w+.*version 2 .* here of version 1: use newer agents"):
        await engine_of(tmp_path / "jobs.db", watchers(Old)).resume("one")
    assert await rows(tmp_path / "jobs.db") == before


@pytest.mark.asyncio
async def test_both_versions_may_be_declared_and_then_nothing_is_brought_forward(tmp_path: Path):
    """Agents of both are at work: each reads its own."""
    await written(tmp_path / "jobs.db", Old(5))
    outcome = await engine_of(tmp_path / "jobs.db", [reader(Old, Signal)]).resume("one", [Signal(5)])
    assert (len(outcome.context.all(Old)), len(outcome.context.all(Signal))) == (1, 1)


async def _awaited(cls: type, content: dict[str, Any], version: int) -> dict[str, Any]:
    return content


UPGRADES: dict[str, Any] = {
    "a plain method": lambda self: {},
    "no function": {"level": "severity"},
    "without the version": classmethod(lambda cls, content: content),
    "one that must be awaited": classmethod(_awaited),
}


@pytest.mark.parametrize("upgrade", UPGRADES)
def test_an_upgrade_that_could_not_be_called_is_found_when_the_class_is_made(upgrade: str):
    """Not at a resume, months later."""
    with pytest.raises(KindInvalid, match=r"kind Signal@2: upgrade must be a plain classmethod: def upgrade\(cls, "):
        today(upgrade=UPGRADES[upgrade])


def test_a_static_upgrade_will_do():
    """It needs no class."""
    assert kind_of(today(upgrade=staticmethod(lambda content, version: content))).upgrade is not None


def test_a_field_may_be_called_upgrade():
    """It is no function then."""

    class Flight(Fact):
        upgrade: bool

    assert kind_of(Flight).upgrade is None
    assert Flight(upgrade=True).upgrade


@pytest.mark.parametrize("version", [0, -1, "2", 1.5])
def test_a_version_is_a_whole_number_from_1(version: Any):
    """It is compared with that of stored facts."""
    with pytest.raises(KindInvalid, match=r"is not a whole number from 1"):
        MADE("Signal", (Fact,), _plain("n"), version=version)


# --- random jobs -----------------------------------------------------------------------------------------------------


def _later(kind: type[Any]) -> Any:
    """Return a random job's kind as of version 2: with one field more, so that every id is another."""
    upgrade = classmethod(lambda cls, content, version: {**content, "unit": "m"})
    body = {"__annotations__": {"n": int, "unit": str}, "__module__": __name__, "unit": "m", "upgrade": upgrade}
    return MADE(kind.__name__, (Fact,), body, version=2)


LATER = tuple(map(_later, EVERY))


@contextmanager
def later() -> Iterator[None]:
    """Have random agents be of the kinds of version 2."""
    jobs.EVERY, jobs.KINDS = LATER, LATER[: len(jobs.KINDS)]
    try:
        yield
    finally:
        jobs.EVERY, jobs.KINDS = EVERY, EVERY[: len(jobs.KINDS)]


def forward(fact: Any) -> Any:
    return LATER[EVERY.index(type(fact))](fact.n)


def in_full(context: Context) -> Any:
    """Return a context with everything named by position, and the labels of all rounds."""
    labels = [context.label(place, upto) for upto in range(context.highest + 1) for place in range(len(context.facts))]
    supports = [(one.fact, context.supports.sources[one.source], one.round) for one in context.supports]
    evidence = [context.evidence_of(support) for support in context.supports]
    targets = [_target(context, fact) for fact in context.facts]
    return context.highest, context.rounds, labels, supports, evidence, targets


def _target(context: Context, fact: Fact) -> int | None:
    return context.position[fact.target] if isinstance(fact, Invalidation) else None


@given(plans(shapes=(*SHAPES, *MORE, "strike", "strike", "unmark")), premises())
@settings(max_examples=60)
def test_a_context_of_other_names_is_the_same_context(plan, facts):
    """Rounds, labels of every round, supports, what they rest on, what is marked, and how far each agent has come."""
    plan = wirable(plan)
    job = play(agents_of(plan), facts)
    with later():
        kinds = Wiring(agents_of(plan), LATER, allow_disputes=True).kinds
    stored = StoredJob(job.header, job.bodies)
    then, now = restore(stored, job.machine.wiring.kinds), restore(stored, kinds)
    assert in_full(now.context) == in_full(then.context)
    assert (now.watermarks, now.spend, now.trace[:]) == (then.watermarks, then.spend, then.trace[:])
    assert (then.anew, now.anew) == (None, "reuse" if any(type(f) in EVERY for f in then.context.facts) else None)


@given(plans(shapes=(*SHAPES, "whole", "loose", "mixture", "revise", "again", "best", "choosy", "replace")), premises())
@settings(max_examples=25)
def test_a_random_job_goes_on_with_newer_kinds_as_if_it_had_begun_with_them(plan, facts):
    """Cut after any round; and what it writes then is read again as it was, without bringing anything forward."""
    plan = wirable(plan)
    whole = play(agents_of(plan), facts)
    with later():
        scratch = play(agents_of(plan), map(forward, facts), inputs=LATER)
    for rounds in range(whole.spend.rounds):
        before = play(agents_of(plan), facts, budget=Budget(rounds=rounds))
        with later():
            after = go_on(before, budget=Budget(), agents=agents_of(plan))
            assert digests(after.view) == digests(scratch.view)
            assert after.rounds == scratch.rounds
            _assert_is_read_again(after, len(before.bodies))


def _assert_is_read_again(job: Play, before: int) -> None:
    """Read a job once more, its rows from before its newer kinds being of a form that cannot be read."""
    kinds = job.machine.wiring.kinds
    garbled = [body.replace('"n":', '"garbled":') for body in job.bodies[:before]] + job.bodies[before:]
    found = restore(StoredJob(job.header, garbled), kinds)
    assert found.anew is None
    assert in_full(found.context) == in_full(job.context)
    assert [found.watermarks[agent.name] for agent in job.machine.wiring.agents] == job.machine.progress.watermarks
    assert [id_of(fact) for fact in found.context.facts] == [id_of(fact) for fact in job.context.facts]


def _coarser(kind: type[Any]) -> Any:
    """Return a random job's kind as of version 2, in which every second fact is another one."""
    upgrade = classmethod(lambda cls, content, version: {"half": content["n"] // 2})
    body = {"__annotations__": {"half": int}, "__module__": __name__, "upgrade": upgrade}
    return MADE(kind.__name__, (Fact,), body, version=2)


COARSER = tuple(map(_coarser, EVERY))


@given(plans(shapes=("seed", "each", "pair", "batch", "whole", "loose", "mixture", "patient")), premises())
@settings(max_examples=60)
def test_every_conclusion_rests_on_what_its_evidence_has_become(plan, facts):
    """Where two facts become one: each support is there, of the fact's successor, on all successors of its evidence."""
    job = play(agents_of(plan), facts)
    stored = StoredJob(job.header, job.bodies)
    then = restore(stored, job.machine.wiring.kinds).context
    now = restore(stored, {kind_of(cls).label: kind_of(cls) for cls in COARSER}).context
    place = [0] + [now.position[id_of(COARSER[EVERY.index(type(f))](f.n // 2))] for f in then.facts[1:]]  # type: ignore[attr-defined]
    expected = {(place[one.fact], frozenset(place[cited] for cited in then.evidence_of(one))) for one in then.supports}
    assert {(one.fact, frozenset(now.evidence_of(one))) for one in now.supports} == expected
    assert [now.rounds[new] for new in dict.fromkeys(place)] == [
        min(then.rounds[old] for old in range(len(place)) if place[old] == new) for new in dict.fromkeys(place)
    ]
    assert {now.label(new, now.highest) for new in range(len(now.facts))} == {LIVE}


# --- what is proposed, and what is said about it ---------------------------------------------------------------------


class OldRisk(Fact, name="Risk", key="name"):
    name: str
    level: int


class Risk(Fact, version=2, key="title"):
    """Called otherwise in all its fields."""

    title: str
    severity: float

    @classmethod
    def upgrade(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        content["title"], content["severity"] = content.pop("name"), content.pop("level") / 10
        return content


def made(kind: Any, name: str, level: int) -> Any:
    return OldRisk(name, level) if kind is OldRisk else Risk(name, level / 10)


def assessors(kind: Any) -> list[Agent]:
    """Return two agents that suggest, what they suggest to be agreed upon, judged, and decided by people."""

    @agent(reads=Note, writes=kind, gate=[corroborated_by(2), judged_by("sceptic"), human("lead")])
    def one(view: View):
        for note in view.new(Note):
            yield made(kind, note.text, 10).propose(0.5).because(note)

    @agent(reads=Note, writes=kind, gate=human("counsel"))
    def other(view: View):
        for note in view.new(Note):
            yield made(kind, note.text.upper(), 20).propose(0.7).because(note)

    @agent(reads=Proposal[kind], writes=Opinion)
    def sceptic(view: View):
        for proposal in view.new(Proposal[kind]):
            yield Opinion(id_of(proposal), "sceptic", True, "fine").because(proposal)

    return [one, other, sceptic]


def same(kind: Any) -> SameAs:
    return same_as(made(kind, "fire", 10), made(kind, "FIRE", 20))


async def assessed(path: Path, *late: Fact) -> tuple[Outcome, dict[str, str]]:
    """Run a job with the kinds of before up to what people are asked, and return that."""
    engine = engine_of(path, assessors(OldRisk))
    outcome = await engine.run(LAW, [Note("fire"), *late], job_id="one")
    return outcome, {asked.role: asked.id for asked in outcome.asked}


@pytest.mark.parametrize("late", [False, True], ids=["said before it is proposed", "said after"])
@pytest.mark.asyncio
async def test_what_is_proposed_comes_forward_with_all_that_is_said_about_it(tmp_path: Path, late: bool):
    """What is the same is the same still, requests have the ids that they would have had, and nobody runs again."""
    await assessed(tmp_path / "jobs.db", *(() if late else (same(OldRisk),)))
    if late:
        await engine_of(tmp_path / "jobs.db", assessors(OldRisk)).resume("one", same(OldRisk))
    outcome = await engine_of(tmp_path / "jobs.db", assessors(Risk)).resume("one")
    scratch = await Engine(assessors(Risk)).run(LAW, [Note("fire"), same(Risk)])
    assert (outcome.live_digest, outcome.asked) == (scratch.live_digest, scratch.asked)
    assert len(outcome.asked) == 2
    assert activated(outcome, "one", "other") == {"one": 1, "other": 1}


@pytest.mark.parametrize("again", [False, True], ids=["resumed", "begun again"])
@pytest.mark.asyncio
async def test_what_people_decided_comes_forward_whatever_their_changes_are_called_now(tmp_path: Path, again: bool):
    """A refinement is of the fields that were shown; `upgrade` says what it comes to."""
    _, asked = await assessed(tmp_path / "jobs.db", same(OldRisk))
    before = engine_of(tmp_path / "jobs.db", assessors(OldRisk))
    await before.decide("one", asked["lead"], "refine", by="ann", changes={"level": 30})
    await before.decide("one", asked["counsel"], "reject", by="bob", reason="no")
    await before.resume("one")
    engine = engine_of(tmp_path / "jobs.db", assessors(Risk))
    outcome = await (engine.restart("one") if again else engine.resume("one"))
    assert outcome.converged, str(outcome.stop)
    assert outcome.context.live(Risk) == (Risk("fire", 3.0),)
    [refined] = [decision for decision in outcome.context.live(Decision) if decision.by == "ann"]
    assert refined.changes == {"severity": 3.0}
    assert [verdict.reason for verdict in outcome.context.live(Verdict) if not verdict.passed] == ["bob rejects it: no"]


@pytest.mark.asyncio
async def test_who_was_asked_before_may_be_asked_still_and_answers_in_the_words_of_today(tmp_path: Path):
    _, before = await assessed(tmp_path / "jobs.db", same(OldRisk))
    engine = engine_of(tmp_path / "jobs.db", assessors(Risk))
    asked = {one.role: one.id for one in (await engine.resume("one")).asked}
    assert set(asked.values()).isdisjoint(before.values())
    await engine.decide("one", asked["counsel"], "refine", by="ann", changes={"severity": 9.5})
    assert (await engine.resume("one")).context.live(Risk) == (Risk("FIRE", 9.5),)


@pytest.mark.asyncio
async def test_a_decision_that_waits_to_be_merged_comes_forward_too(tmp_path: Path):
    """An approval; what a refinement changes is only known by the rows."""
    _, asked = await assessed(tmp_path / "jobs.db", same(OldRisk))
    await engine_of(tmp_path / "jobs.db", assessors(OldRisk)).decide("one", asked["lead"], "approve", by="ann")
    outcome = await engine_of(tmp_path / "jobs.db", assessors(Risk)).resume("one")
    assert outcome.context.live(Risk) == (Risk("fire", 1.0),)


def activated(outcome: Outcome, *names: str) -> dict[str, int]:
    return {name: sum(one == name for one, _ in ran(outcome)) for name in names}


class Odd(Fact):
    """Content that can be written in several ways."""

    text: str
    share: float
    whole: int
    words: set[str]
    by_name: dict[str, float]
    when: datetime | None = None


@given(
    st.builds(
        Odd,
        st.text(st.characters(exclude_categories=["Cs"])),
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(),
        st.sets(st.text("abé", max_size=3)),
        st.dictionaries(st.text("ab", max_size=3), st.floats(allow_nan=False, allow_infinity=False)),
        st.datetimes(timezones=st.just(UTC)) | st.none(),
    )
)
@settings(max_examples=JOBS)
def test_what_is_proposed_is_found_in_its_stored_proposal_under_the_id_that_it_has_as_a_fact(odd):
    """By that, what is said to be the same is found."""
    _, proposal, body = identified(Proposal[Odd](fact=odd, by="one", confidence=0.5))
    found = content_proposed(proposal, from_json(body))
    assert found is not None
    assert found[0] == id_of(odd)
    assert kind_of(Odd).load(found[1]) == odd
