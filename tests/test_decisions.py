"""Law 14: a job waits for people, who decide from anywhere; what they decided is knowledge like any other."""

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from converge import (
    Decision,
    Engine,
    Fact,
    Opinion,
    Outcome,
    Proposal,
    Request,
    RootIntent,
    SameAs,
    StopReason,
    View,
    agent,
    human,
    id_of,
    invariant,
    judged_by,
    min_confidence,
    same_as,
)
from converge.archive.audit import audit
from converge.archive.deciding import decision_on
from converge.errors import DecisionInvalid, EngineInvalid, FactInvalid, JobUnknown, RequestStale, RequestUnknown
from converge.ports import Store
from converge.trace import FactsArrived, RoundMerged
from converge_stores import MemoryStore, SQLiteStore
from tests.proposing import Note, Risk, Signal, activations, proposer, refusals, risks, speaker

MakeStore = Callable[[Path], Store]
in_memory_and_in_a_file = pytest.mark.parametrize(
    "made", [lambda path: MemoryStore(), SQLiteStore], ids=["memory", "file"]
)
FIRE, FLOOD = Signal("fire"), Signal("flood")


class Desk:
    """An engine that asks people, and the job it runs."""

    def __init__(self, *agents: Any, store: Store | None = None, **options: Any) -> None:
        self.engine = Engine(agents or [proposer(human())], store=store, **options)

    async def run(self, *facts: Fact, intent: Any = "find the risks") -> Outcome:
        return await self.engine.run(intent, facts or FIRE, job_id="one")

    async def decide(self, request: str, choice: Any = "approve", by: str = "ann", **options: Any) -> Outcome:
        await self.engine.decide("one", request, choice, by=by, **options)
        return await self.go_on()

    async def go_on(self, *facts: Fact, **options: Any) -> Outcome:
        return await self.engine.resume("one", facts, **options)

    async def refuses(self, error: type[Exception], request: str, choice: Any = "approve", **options: Any) -> str:
        """Return the sentence with which a decision is refused."""
        with pytest.raises(error) as raised:
            await self.engine.decide("one", request, choice, **{"by": "ann", **options})
        return str(raised.value)


def requests(outcome: Outcome) -> dict[str, str]:
    """Return the ids of what is asked, by role."""
    return {asked.role: asked.id for asked in outcome.asked}


def request(outcome: Outcome) -> str:
    [asked] = outcome.asked
    return asked.id


# --- waiting ---------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_job_with_a_request_and_no_decision_waits_and_lists_who_is_asked_what():
    outcome = await Desk(proposer([min_confidence(0.5), human("the board")])).run(FIRE, FLOOD)
    assert (outcome.stop.reason, outcome.converged) == (StopReason.WAITING, False)
    asked = [(one.role, one.fact, one.by, one.confidence) for one in outcome.asked]
    assert sorted(asked, key=repr) == [("the board", Risk(name), "analyst", 0.8) for name in ("fire", "flood")]
    assert list(outcome.stop.detail) == [str(one) for one in outcome.asked]
    assert all(one.id in str(one) and "the board" in str(one) for one in outcome.asked)


@pytest.mark.asyncio
async def test_what_is_asked_has_a_reason():
    """The request rests on the proposal, and on the verdict of what can be computed."""
    outcome = await Desk(proposer([min_confidence(0.5), human()])).run()
    [asked] = outcome.context.live(Request)
    assert "min_confidence(0.5): its confidence is 0.8" in str(outcome.why(asked))


@pytest.mark.asyncio
async def test_nobody_is_asked_about_what_can_be_refused_without_them():
    outcome = await Desk(proposer([min_confidence(0.9), human()])).run()
    assert (outcome.converged, outcome.asked) == (True, ())


@pytest.mark.asyncio
async def test_a_job_that_waits_costs_nothing_when_it_is_resumed_undecided():
    desk = Desk()
    first = await desk.run()
    again = await desk.go_on()
    assert (again.stop, again.cycles, again.proof_digest) == (first.stop, first.cycles, first.proof_digest)


def broken(view: View) -> None:
    raise ValueError("out of order")


@invariant
def nothing_is_noted(view: View) -> bool:
    return not view.live(Note)


@invariant
def something_is_believed(view: View) -> bool:
    return bool(view.live(Risk))


CONTEST = [Decision("converge.Request:0", choice, by="ann") for choice in ("approve", "reject")]


@pytest.mark.parametrize(
    ("facts", "fails", "intent", "reason"),
    [
        ((), True, {}, StopReason.AGENT_FAILED),
        ((Note("x"),), False, {"constraints": nothing_is_noted}, StopReason.INVARIANT),
        (CONTEST, False, {}, StopReason.WAITING),
        ((), False, {"success": something_is_believed}, StopReason.WAITING),
    ],
    ids=["a failure comes first", "so does a broken constraint", "a conflict waits", "so does a success criterion"],
)
@pytest.mark.asyncio
async def test_waiting_has_its_place_among_the_reasons_to_stop(facts, fails, intent, reason):
    stumble = agent(reads=Signal, name="stumble", required=fails)(broken)
    rules = [nothing_is_noted, something_is_believed]
    desk = Desk(proposer(human()), stumble, invariants=rules, inputs=[Signal, Note])
    assert (await desk.run(FIRE, *facts, intent=RootIntent("find", **intent))).stop.reason is reason


# --- approve, reject, refine -----------------------------------------------------------------------------------------


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_what_is_approved_is_believed(made: MakeStore, tmp_path: Path):
    desk = Desk(store=made(tmp_path / "jobs.db"))
    outcome = await desk.decide(request(await desk.run()))
    assert (outcome.converged, risks(outcome), outcome.asked) == (True, {"fire"}, ())


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_what_is_rejected_is_not_and_the_reason_is_kept_with_who_gave_it(made: MakeStore, tmp_path: Path):
    desk = Desk(store=made(tmp_path / "jobs.db"))
    outcome = await desk.decide(request(await desk.run()), "reject", reason="it is insured")
    assert (outcome.converged, risks(outcome), refusals(outcome)) == (True, set(), {"ann rejects it: it is insured"})


@pytest.mark.asyncio
async def test_a_rejection_needs_no_reason():
    desk = Desk()
    assert refusals(await desk.decide(request(await desk.run()), "reject")) == {"ann rejects it"}


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_what_is_refined_is_believed_with_its_changes(made: MakeStore, tmp_path: Path):
    desk = Desk(store=made(tmp_path / "jobs.db"))
    outcome = await desk.decide(request(await desk.run()), "refine", changes={"severity": 5})
    assert outcome.context.live(Risk) == (Risk("fire", 5),)
    assert {type(step.fact) for step in outcome.why(Risk("fire", 5)).steps()} >= {Decision, Proposal[Risk]}


@pytest.mark.asyncio
async def test_to_approve_one_proposal_runs_nobody_who_proposed():
    """Each was asked once, however many decisions there were."""
    desk = Desk(proposer(human(), "one"), proposer(human(), "two", severity=2))
    outcome = await desk.run()
    for asked in outcome.asked:
        outcome = await desk.decide(asked.id, "reject")
    assert (outcome.converged, activations(outcome, "one", "two")) == (True, {"one": 1, "two": 1})


@pytest.mark.asyncio
async def test_the_others_wait_on():
    desk = Desk()
    first = await desk.run(FIRE, FLOOD)
    one, other = first.asked
    second = await desk.decide(one.id)
    assert (second.asked, risks(second)) == ((other,), {one.fact.name})


@pytest.mark.asyncio
async def test_a_request_is_named_by_its_digits_or_the_first_of_them():
    desk = Desk()
    digits = request(await desk.run(FIRE)).rpartition(":")[2]
    assert risks(await desk.decide(digits[:4])) == {"fire"}


@pytest.mark.asyncio
async def test_whoever_decides_is_in_the_proof_of_what_they_approved():
    desk = Desk()
    outcome = await desk.decide(request(await desk.run()), by="ann lee")
    assert "by='ann lee'" in str(outcome.why(Risk("fire")))


@pytest.mark.asyncio
async def test_a_rejection_falls_with_what_led_to_the_request_and_returns_with_it():
    """Where nobody would have been asked, nothing is refused; the decision itself stands."""
    desk = Desk(proposer([judged_by("sceptic"), human()]), speaker("sceptic"))
    rejected = await desk.decide(request(await desk.run()), "reject")
    hasty = rejected.context.live(Opinion)[0].invalidate("hasty")
    fallen = await desk.go_on(hasty)
    back = await desk.go_on(hasty.invalidate("it was not"))
    assert [refusals(one) for one in (rejected, fallen, back)] == [{"ann rejects it"}, set(), {"ann rejects it"}]
    assert (fallen.asked, back.asked) == ((), ())


# --- several roles ---------------------------------------------------------------------------------------------------


def board(*, gate: Any = ()) -> Desk:
    return Desk(proposer([*gate, human("lead"), human("counsel")]))


@pytest.mark.asyncio
async def test_all_who_are_asked_must_agree():
    desk = board()
    asked = requests(await desk.run())
    assert asked.keys() == {"lead", "counsel"}
    half = await desk.decide(asked["lead"])
    assert (set(requests(half)), risks(half)) == ({"counsel"}, set())
    assert risks(await desk.decide(asked["counsel"], by="bob")) == {"fire"}


@pytest.mark.asyncio
async def test_one_rejection_is_enough_and_the_others_are_not_asked_any_more():
    """Until it falls; then they are."""
    desk = board()
    asked = requests(await desk.run())
    rejected = await desk.decide(asked["lead"], "reject", reason="no")
    assert (rejected.converged, rejected.asked, refusals(rejected)) == (True, (), {"ann rejects it: no"})
    assert "what it is about is refused: ann rejects it: no" in await desk.refuses(RequestStale, asked["counsel"])
    [decision] = rejected.context.live(Decision)
    assert requests(await desk.go_on(decision.invalidate("a mistake"))) == asked


@pytest.mark.asyncio
async def test_what_several_refine_is_believed_with_all_their_changes():
    desk = board()
    asked = requests(await desk.run())
    await desk.decide(asked["lead"], "refine", changes={"severity": 3})
    outcome = await desk.decide(asked["counsel"], "refine", by="bob", changes={"name": "blaze"})
    assert outcome.context.live(Risk) == (Risk("blaze", 3),)


@pytest.mark.asyncio
async def test_where_two_want_different_changes_neither_is_preferred():
    """It is refused, which names both; when one of them takes that back, the other is asked again."""
    desk = board()
    asked = requests(await desk.run())
    await desk.decide(asked["lead"], "refine", changes={"severity": 3})
    outcome = await desk.decide(asked["counsel"], "refine", by="bob", changes={"severity": 4})
    assert risks(outcome) == set()
    [reason] = refusals(outcome)
    assert all(said in reason for said in ("severity", "ann wants 3", "bob wants 4"))
    [lead] = outcome.context.live(Decision, asked["lead"])
    again = await desk.go_on(lead.invalidate("bob is right"))
    assert requests(again) == {"lead": asked["lead"]}
    outcome = await desk.decide(asked["lead"], reason="as bob says")
    assert outcome.context.live(Risk) == (Risk("fire", 4),)


@pytest.mark.asyncio
async def test_changes_that_only_together_make_no_fact_refuse_it_for_as_long_as_both_hold():
    class Span(Fact):
        first: int
        last: int

        def __post_init__(self) -> None:
            if self.first > self.last:
                raise ValueError("it ends before it begins")

    @agent(reads=Signal, writes=Span, gate=[human("lead"), human("counsel")])
    def measure(view: View):
        return Span(1, 9).propose()

    desk = Desk(measure)
    asked = requests(await desk.run())
    await desk.decide(asked["lead"], "refine", changes={"first": 7})
    outcome = await desk.decide(asked["counsel"], "refine", changes={"last": 3})
    assert "it ends before it begins" in refusals(outcome).pop()
    [lead] = outcome.context.live(Decision, asked["lead"])
    assert refusals(await desk.go_on(lead.invalidate("no"))) == set()


# --- second thoughts -------------------------------------------------------------------------------------------------


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_when_a_decision_is_invalidated_the_job_waits_again(made: MakeStore, tmp_path: Path):
    """What was approved falls meanwhile; and if it was no mistake, all is as before."""
    desk = Desk(store=made(tmp_path / "jobs.db"))
    waiting = await desk.run()
    approved = await desk.decide(request(waiting))
    [decision] = approved.context.live(Decision)
    mistake = decision.invalidate("the wrong meeting")
    again = await desk.go_on(mistake)
    assert (again.stop, again.asked, risks(again)) == (waiting.stop, waiting.asked, set())
    assert risks(await desk.go_on(mistake.invalidate("it was the right one"))) == {"fire"}


@pytest.mark.asyncio
async def test_then_somebody_decides_anew():
    desk = Desk()
    asked = request(await desk.run())
    approved = await desk.decide(asked)
    [decision] = approved.context.live(Decision)
    await desk.go_on(decision.invalidate("the wrong meeting"))
    outcome = await desk.decide(asked, "reject", by="bob")
    assert (outcome.converged, refusals(outcome)) == (True, {"bob rejects it"})


@pytest.mark.asyncio
async def test_the_same_decision_in_the_same_words_is_not_a_new_one():
    """It is the fact that was invalidated, and would stay dead without a word."""
    desk = Desk()
    asked = request(await desk.run())
    [decision] = (await desk.decide(asked)).context.live(Decision)
    await desk.go_on(decision.invalidate("the wrong meeting"))
    assert "ann has decided so before, in the same words" in await desk.refuses(DecisionInvalid, asked)
    assert risks(await desk.decide(asked, reason="as said at the right one")) == {"fire"}


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_two_decisions_on_one_request_given_at_the_same_time_contest_each_other(made: MakeStore, tmp_path: Path):
    """Whoever checked before the other had posted: both are named, and the job has not converged."""
    desk = Desk(store=made(tmp_path / "jobs.db"))
    asked = request(await desk.run())
    await desk.engine.give("one", Decision(asked, "approve", by="ann"))
    await desk.engine.give("one", Decision(asked, "reject", by="bob"))
    outcome = await desk.go_on()
    assert (outcome.stop.reason, outcome.asked) == (StopReason.CONTESTED, ())
    assert all(said in str(outcome.stop) for said in (asked, "by='ann'", "by='bob'"))


# --- what is no answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "abc", "converge.Request:", "converge.Request:0123456789abcdef", "all", "*"])
@pytest.mark.asyncio
async def test_a_decision_on_what_was_not_asked_is_refused_and_names_what_is(name: str):
    desk = Desk()
    waiting = await desk.run()
    sentence = await desk.refuses(RequestUnknown, name)
    assert f"has no request {name!r}" in sentence
    assert request(waiting) in sentence


@pytest.mark.asyncio
async def test_where_nothing_is_asked_the_refusal_says_so():
    desk = Desk(proposer(min_confidence(0.5)))
    await desk.run()
    assert await desk.refuses(RequestUnknown, "1234") == "job 'one' has no request '1234': it asks nothing"


@pytest.mark.asyncio
async def test_digits_that_two_requests_begin_with_name_neither():
    desk = Desk()
    waiting = await desk.run(*(Signal(f"{number}") for number in range(700)))
    digits = sorted(asked.id.rpartition(":")[2] for asked in waiting.asked)
    alike = next(one for one, other in pairwise(digits) if one[:4] == other[:4])
    sentence = await desk.refuses(DecisionInvalid, alike[:4])
    assert f"{alike[:4]!r} may be converge.Request:{alike}" in sentence


@pytest.mark.asyncio
async def test_a_decision_on_a_job_that_is_not_kept_is_refused():
    with pytest.raises(JobUnknown, match="there is no job 'two'"):
        await Desk().engine.decide("two", "1234", "approve", by="ann")


@pytest.mark.asyncio
async def test_a_decision_on_what_has_fallen_is_refused_and_the_job_does_not_ask_it_any_more():
    desk = Desk()
    asked = request(await desk.run())
    fallen = await desk.go_on(FIRE.invalidate("a false alarm"))
    assert (fallen.converged, fallen.asked) == (True, ())
    sentence = await desk.refuses(RequestStale, asked)
    assert sentence == f"request {asked} of job 'one' is not open: what it is about does not hold any more"


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_second_decision_is_refused_and_names_the_first(made: MakeStore, tmp_path: Path):
    """Also while that waits to be merged."""
    desk = Desk(store=made(tmp_path / "jobs.db"))
    asked = request(await desk.run())
    await desk.engine.decide("one", asked, "approve", by="ann")
    assert "ann has decided (approve), which is merged" in await desk.refuses(RequestStale, asked, "reject", by="bob")
    assert "ann has decided (approve), which is merged" in await desk.refuses(RequestStale, asked)
    await desk.go_on()
    assert "ann has decided: approve" in await desk.refuses(RequestStale, asked, "reject", by="bob")


@in_memory_and_in_a_file
@pytest.mark.parametrize(
    "body",
    [
        "not even JSON",
        "{}",
        "[]",
        '{"facts":5}',
        '{"facts":[["converge.Decision:0",{}]]}',
        '{"facts":[["converge.Decision:0",7]]}',
        '{"facts":[[1,2,3]]}',
    ],
)
@pytest.mark.asyncio
async def test_a_letter_that_no_job_can_take_does_not_stand_in_the_way_of_a_decision(
    made: MakeStore, tmp_path: Path, body: str
):
    """It was written by another program."""
    store = made(tmp_path / "jobs.db")
    desk = Desk(store=store)
    async with desk.engine:
        waiting = await desk.run()
        await store.give("one", 0.0, body)
        assert risks(await desk.decide(request(waiting))) == {"fire"}


@pytest.mark.parametrize(
    ("choice", "options", "error", "said"),
    [
        ("refine", {}, DecisionInvalid, "a refinement says what changes, as in changes={'severity': 2}"),
        ("approve", {"changes": {"severity": 2}}, DecisionInvalid, "only a refinement changes a fact"),
        ("approve", {"by": "  "}, DecisionInvalid, "it does not say who decides: name somebody in by="),
        ("refine", {"changes": {"severity": "many"}}, DecisionInvalid, "severity: Input should be a valid integer"),
        ("refine", {"changes": {"colour": "red"}}, DecisionInvalid, "colour: there is no such field"),
        ("refine", {"changes": {"severity": object()}}, FactInvalid, "Unable to serialize"),
        ("refine", {"changes": "severity"}, FactInvalid, "changes: Input should be a valid dictionary"),
        ("allow", {}, FactInvalid, "choice: Input should be 'approve', 'reject' or 'refine'"),
    ],
)
@pytest.mark.asyncio
async def test_a_decision_that_says_nothing_that_can_be_followed_is_refused(choice, options, error, said):
    """And is no decision: the job asks on."""
    desk = Desk()
    waiting = await desk.run()
    assert said in await desk.refuses(error, request(waiting), choice, **options)
    assert (await desk.go_on()).asked == waiting.asked


@pytest.mark.asyncio
async def test_a_request_is_named_by_its_id():
    desk = Desk()
    [asked] = (await desk.run()).asked
    with pytest.raises(EngineInvalid, match=r"the id of a request, as in outcome.asked\[0\].id"):
        await desk.decide(asked)  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_fields_that_are_not_there_are_noticed_by_who_knows_no_kinds():
    """As the command line does; their types are not."""
    desk = Desk()
    asked = request(await desk.run())
    content = {"choice": "refine", "by": "ann", "changes": {"colour": "red"}}
    async with desk.engine:
        with pytest.raises(DecisionInvalid, match="a fact of kind Risk is not valid: colour: there is no such field"):
            await decision_on(desk.engine.store, "one", asked, None, content)


@pytest.mark.asyncio
async def test_a_decision_given_as_a_fact_is_looked_at_in_the_same_way():
    desk = Desk()
    waiting = await desk.run()
    for fact, error in [
        (Decision("converge.Request:0", "approve", by="ann"), RequestUnknown),
        (Decision(request(waiting), "refine", by="ann"), DecisionInvalid),
        (Decision(request(waiting), "refine", by="ann", changes={"severity": "x"}), DecisionInvalid),
    ]:
        with pytest.raises(error):
            await desk.go_on(fact)
    assert (await desk.go_on()).asked == waiting.asked


# --- from elsewhere --------------------------------------------------------------------------------------------------


def office(path: Path, *agents: Any) -> Engine:
    """Return an engine of its own over a file."""
    return Engine(agents or [proposer(human())], store=SQLiteStore(path))


@pytest.mark.asyncio
async def test_of_two_engines_on_one_file_the_second_refuses_what_the_first_has_decided(tmp_path: Path):
    """Before and after it is merged, by whomever."""
    one, other = office(tmp_path / "jobs.db"), office(tmp_path / "jobs.db")
    asked = request(await one.run("find the risks", FIRE, job_id="one"))
    assert not await one.decide("one", asked, "approve", by="ann")
    with pytest.raises(RequestStale, match="ann has decided"):
        await other.decide("one", asked, "reject", by="bob")
    assert risks(await other.resume("one")) == {"fire"}
    with pytest.raises(RequestStale, match="ann has decided"):
        await one.decide("one", asked, "reject", by="bob")


@pytest.mark.asyncio
async def test_another_process_decides(tmp_path: Path):
    """It knows neither the agents nor the kinds."""
    engine = office(tmp_path / "jobs.db")
    asked = request(await engine.run("find the risks", FIRE, job_id="one"))
    command = f"decide one {asked} --approve --by ann --reason seen --store sqlite:///{tmp_path / 'jobs.db'}"
    process = await anyio.run_process([sys.executable, "-m", "converge.cli", *command.split()], check=False)
    assert process.returncode == 0, process.stderr
    outcome = await engine.resume("one")
    [decision] = outcome.context.live(Decision)
    assert (risks(outcome), decision.by, decision.reason) == ({"fire"}, "ann", "seen")


class Slow:
    """An agent that is at work until it is told to end."""

    def __init__(self) -> None:
        self.begun, self.told = anyio.Event(), anyio.Event()

    @property
    def agent(self) -> Any:
        @agent(reads=Signal, writes=Note)
        async def slow(view: View):
            self.begun.set()
            await self.told.wait()
            return Note("at last")

        return slow


@pytest.mark.asyncio
async def test_a_running_job_goes_on_from_a_decision_of_another_engine_without_a_resume(tmp_path: Path):
    """It waits for somebody slow, not for people: what is approved is believed meanwhile."""
    slow = Slow()
    asked = request(await office(tmp_path / "first.db").run("find the risks", FIRE))  # an id is content
    engine = office(tmp_path / "jobs.db", proposer(human()), slow.agent)
    other = office(tmp_path / "jobs.db", proposer(human()), Slow().agent)
    async with engine.start("find the risks", FIRE, job_id="one") as job:
        await slow.begun.wait()
        async for event in job.events():
            if isinstance(event, RoundMerged) and event.round == 2:  # what it asks is kept
                assert await other.decide("one", asked, "approve", by="ann")
            if isinstance(event, FactsArrived):
                slow.told.set()
        outcome = await job.outcome()
    assert (outcome.converged, risks(outcome)) == (True, {"fire"})
    assert activations(outcome, "analyst") == {"analyst": 1}


# --- under the hash chain --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["by", "choice", "reason"])
@pytest.mark.asyncio
async def test_who_edits_a_decision_in_the_file_is_found(tmp_path: Path, name: str):
    """The approver is content of a fact, and the row that holds it is named."""
    path, said = tmp_path / "jobs.db", {"by": "ann", "choice": "approve", "reason": "it is insured"}
    engine = office(path)
    asked = request(await engine.run("find the risks", FIRE, job_id="one"))
    await engine.decide("one", asked, "approve", by="ann", reason="it is insured")
    await engine.resume("one")
    with closing(sqlite3.connect(path)) as connection, connection:
        where = "job_id = 'one' AND body LIKE '%\"facts\":[[\"converge.Decision:%'"
        [(number,)] = connection.execute(f"SELECT number FROM log WHERE {where}").fetchall()
        before, after = f'"{name}":"{said[name]}"', f'"{name}":"eve"'
        connection.execute("UPDATE log SET body = replace(body, ?, ?) WHERE job_id = 'one'", (before, after))
    store = SQLiteStore(path)
    await store.open()
    try:
        found = await audit(store, "one")
    finally:
        await store.close()
    assert [fault.number for fault in found.faults] == [number]


# --- forks and restarts ----------------------------------------------------------------------------------------------


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_job_that_begins_again_keeps_what_people_decided(made: MakeStore, tmp_path: Path):
    """They were asked, and have answered: what is asked again has the same id."""
    desk = Desk(store=made(tmp_path / "jobs.db"))
    first = await desk.run(FIRE, FLOOD)
    await desk.decide(first.asked[0].id, reason="yes")
    before = await desk.decide(first.asked[1].id, "reject", by="bob")
    after = await desk.engine.restart("one")
    assert (after.converged, after.proof_digest) == (True, before.proof_digest)


@in_memory_and_in_a_file
@pytest.mark.asyncio
async def test_a_fork_keeps_what_people_had_decided_by_then(made: MakeStore, tmp_path: Path):
    """What is decided in the one is not decided in the other."""
    desk = Desk(store=made(tmp_path / "jobs.db"))
    waiting = await desk.run()
    decided = await desk.decide(request(waiting))
    now, then = await desk.engine.fork("one"), await desk.engine.fork("one", cycle=waiting.cycles)
    assert (now.proof_digest, risks(now)) == (decided.proof_digest, {"fire"})
    assert (then.stop.reason, then.asked) == (StopReason.WAITING, waiting.asked)


@pytest.mark.asyncio
async def test_a_job_begins_again_with_whatever_was_said_about_proposals_from_outside():
    desk = Desk(proposer(judged_by("ann")), speaker("ann"), inputs=[Signal, SameAs])
    [proposal] = (await desk.run()).context.live(Proposal[Risk])
    said = [Opinion(id_of(proposal), "bob", True, "fine"), same_as(proposal, Risk("blaze"))]
    before = await desk.go_on(*said)
    assert (await desk.engine.restart("one")).live_digest == before.live_digest
