"""What a job answers when it is asked why, why not, what became of a fact, what it cost, and where two jobs part."""

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.cells import cell_len

from converge import (
    Allowance,
    Budget,
    Engine,
    Fact,
    Live,
    Outcome,
    RootIntent,
    StopReason,
    agent,
    human,
    id_of,
    judged_by,
    min_confidence,
)
from converge.errors import FactHolds, FactNotLive, FactUnknown
from converge.explain.content import described
from converge.explain.outline import Shown
from converge_agents import LLMAgent
from converge_agents.price import Price
from converge_agents.reply import Reply
from converge_agents.scripted import ScriptedModel

pytestmark = pytest.mark.asyncio


class Signal(Fact):
    text: str


class Draft(Fact):
    severity: int


class Risk(Fact, key="name"):
    name: str
    severity: int


class Plan(Fact, key="name"):
    name: str
    answers: str


class Closed(Fact, policy="many"):
    reason: str


LATE, LOST = Signal("late"), Signal("lost")
PRICE = Price(input=1_000_000, output=2_000_000)


def told(request) -> str:
    return str(request["messages"][-1]["content"])


def echo(request):
    name = json.loads(told(request).split(" ", 1)[1])["text"]
    return {"items": [{"name": name, "severity": len(name)}]}


def assessing(model: ScriptedModel, **options):
    return LLMAgent("assess", model, "Assess {item}", Signal, Risk, each=Signal, **options)


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(echo, price=PRICE)


@agent(reads=Risk, writes=Plan)
def answer(view):
    for risk in view.new(Risk):
        yield Plan(name=f"against {risk.name}", answers=risk.name).because(risk)


# --- why -------------------------------------------------------------------------------------------------------------


async def test_a_step_shows_what_its_model_was_asked_about_it_and_answered(model):
    """Of several questions of one activation, the one about what the fact rests on."""
    outcome = await Engine([assessing(model), answer]).run("go", [LATE, LOST])
    proof = outcome.why(Plan("against late", "late"))
    (step,) = [step for step in proof.steps() if step.agent == "assess"]
    (call,) = step.calls
    assert call.exact
    assert not call.refused
    assert call.prompt[-1]["content"] == 'Assess {"text":"late"}'
    assert json.loads(call.text) == {"items": [{"name": "late", "severity": 4}]}
    assert (call.model, call.requests) == ("scripted", 1)
    assert call.tokens == call.to_dict()["input_tokens"] + call.to_dict()["output_tokens"]
    assert 'Assess {"text":"lost"}' not in json.dumps(proof.to_dict())


async def test_a_step_of_an_agent_that_reads_a_whole_view_shows_its_one_question(model):
    model = ScriptedModel(lambda request: {"items": [{"name": "any", "severity": told(request).count('{"text"')}]})
    engine = Engine([LLMAgent("assess", model, "Count. {facts}", Signal, Risk)])
    first = await engine.run("go", [LATE])
    later = await engine.resume(first.job_id, [LOST])
    (call,) = later.why(Risk("any", 2)).calls
    assert told({"messages": call.prompt}).count('{"text"') == 2


async def test_an_answer_that_had_to_be_mended_is_shown_with_its_repair():
    answers = iter(["no JSON", json.dumps({"items": [{"name": "late", "severity": 4}]})])
    model = ScriptedModel(lambda request: next(answers))
    outcome = await Engine([assessing(model, repairs=1)]).run("go", [LATE])
    calls = outcome.why(Risk("late", 4)).calls
    assert [call.text for call in calls] == ["no JSON", '{"items": [{"name": "late", "severity": 4}]}']
    assert len(calls[1].prompt) > len(calls[0].prompt)


async def test_a_refused_answer_is_shown_as_a_try(model):
    replies = iter([Reply(refusal="I'd rather not."), Reply(data={"items": [{"name": "late", "severity": 4}]})])
    model = ScriptedModel(lambda request: next(replies))
    engine = Engine([assessing(model)])
    failed = await engine.run("go", [LATE])
    assert failed.stop.reason is StopReason.AGENT_FAILED
    outcome = await engine.resume(failed.job_id)
    calls = outcome.why(Risk("late", 4)).calls
    assert [(call.question.attempt, call.refused) for call in calls] == [(0, True), (1, False)]


async def test_a_conversation_that_a_failure_interrupted_is_shown_whole():
    """The first turn was answered in an activation that failed, the second when it was tried again."""
    replies = iter([Reply("no JSON"), Reply(refusal="no"), Reply(data={"items": [{"name": "late", "severity": 4}]})])
    engine = Engine([assessing(ScriptedModel(lambda request: next(replies)))])
    failed = await engine.run("go", [LATE])
    outcome = await engine.resume(failed.job_id)
    calls = outcome.why(Risk("late", 4)).calls
    assert [(call.text[:7], call.refused) for call in calls] == [("no JSON", False), ("", True), ('{"items', False)]


async def test_calls_of_an_agents_own_are_shown_as_they_were_captured():
    async def measure(text):
        return {"length": len(text)}

    @agent(reads=Signal, writes=Risk)
    async def gauge(view):
        for signal in view.new(Signal):
            found = await view.capture("measure", measure, signal.text)
            yield Risk(signal.text, found["length"]).because(signal)

    outcome = await Engine([gauge]).run("go", [LATE])
    (call,) = outcome.why(Risk("late", 4)).calls
    assert (call.question.name, call.answer, call.prompt, call.model) == ("measure", {"length": 4}, [], None)
    assert call.to_dict()["answer"] == {"length": 4}


async def test_calls_that_nothing_tells_apart_are_all_shown_and_said_to_be_several():
    async def look(text):
        return len(text)

    @agent(reads=Signal, writes=Risk)
    async def gauge(view):
        found = [await view.capture("look", look, signal.text) for signal in view.new(Signal)]
        yield Risk("all", sum(found))

    calls = (await Engine([gauge]).run("go", [LATE, LOST])).why(Risk("all", 8)).calls
    assert [(call.answer, call.exact) for call in calls] == [(4, False), (4, False)]


async def test_a_stored_job_explains_itself_as_its_outcome_does(model):
    """With its agents and without; facts read as plain JSON have the same proof."""
    engine = Engine([assessing(model), answer])
    outcome = await engine.run("go", [LATE, LOST])
    wanted = outcome.why(Plan("against late", "late")).to_dict()
    stored = await engine.explained(outcome.job_id)
    assert stored.why(["Plan", "against late"]).to_dict() == wanted
    from converge.archive.explaining import explained

    plain = await explained(engine.store, outcome.job_id)
    assert plain.why(["Plan", "answers=late"]).to_dict() == wanted
    assert {id_of(fact) for fact in plain.conclusions()} == {id_of(fact) for fact in stored.conclusions()}


async def test_a_fact_is_named_by_its_id_the_first_digits_of_it_or_what_is_known_of_it(model):
    outcome = await Engine([assessing(model), answer]).run("go", [LATE, LOST])
    plan = Plan("against late", "late")
    digits = id_of(plan).rpartition(":")[2]
    for words in (
        plan,
        id_of(plan),
        digits,
        digits[:8],
        f"Plan:{digits[:8]}",
        ["Plan", "against late"],
        ["Plan", "answers=late"],
    ):
        assert outcome.why(words).fact == plan
    with pytest.raises(FactUnknown, match="may be one of 2: "):
        outcome.why("Plan")
    with pytest.raises(FactUnknown, match="did you mean Plan"):
        outcome.why("Plam")
    with pytest.raises(FactUnknown, match=r"no Plan is so; there are .*against late"):
        outcome.why(["Plan", "against fire"])
    with pytest.raises(FactUnknown, match="no fact of this job has an id that begins so"):
        outcome.why("Plan:00000000")


async def test_what_does_not_hold_has_no_proof():
    outcome = await Engine([answer]).run("go", [Risk("fire", 1), Risk("fire", 1).invalidate("it rained")])
    with pytest.raises(FactNotLive):
        outcome.why(Risk("fire", 1))


async def test_a_fact_that_survived_a_marker_says_so():
    fire = Risk("fire", 1)
    marker = fire.invalidate("it rained")
    outcome = await Engine([answer]).run("go", [fire, marker, marker.invalidate("it did not")])
    (mark,) = outcome.why(fire).marks
    assert (mark.reason, mark.label) == ("it rained", "dead")
    assert "challenged: " in str(outcome.why(fire))


# --- why not ---------------------------------------------------------------------------------------------------------


def sorts(outcome: Outcome, *args, **fields) -> list[tuple[str, str | None]]:
    return [(one.sort, one.agent) for one in outcome.why_not(*args, **fields).hindrances]


async def test_what_holds_is_no_absence():
    outcome = await Engine([answer]).run("go", [Risk("fire", 1)])
    with pytest.raises(FactHolds, match="ask why it does"):
        outcome.why_not(Plan, "against fire")


async def test_a_kind_that_there_is_not_is_named_with_one_that_may_be_meant():
    outcome = await Engine([answer]).run("go", [Risk("fire", 1)])
    with pytest.raises(FactUnknown, match="did you mean Risk"):
        outcome.why_not("Risc")


async def test_a_fact_that_fell_names_its_marker():
    fire = Risk("fire", 1)
    outcome = await Engine([answer]).run("go", [fire, fire.invalidate("it rained")])
    (hindrance,) = outcome.why_not(fire).hindrances
    assert hindrance.sort == "fell"
    assert "somebody outside says that it does not hold: it rained" in hindrance.text


async def test_a_fact_that_lost_its_evidence_names_what_it_lost():
    fire = Risk("fire", 1)
    engine = Engine([answer])
    first = await engine.run("go", [fire])
    outcome = await engine.resume(first.job_id, fire.invalidate("it rained"))
    fell, _ = outcome.why_not(Plan, "against fire").hindrances
    assert (fell.sort, fell.facts) == ("fell", (fire,))
    assert "answer concluded it from what does not hold any more" in fell.text


async def test_facts_that_invalidate_each_other_are_in_dispute():
    fire, flood = Risk("fire", 1), Risk("flood", 1)

    @agent(reads=Risk, invalidates=Risk)
    def quarrel(view):
        for risk in view.new(Risk):
            for other in view.all(Risk):
                if other != risk:
                    yield other.invalidate("there is another").because(risk)

    outcome = await Engine([quarrel], allow_disputes=True).run("go", [fire, flood])
    assert sorts(outcome, fire) == [("disputed", None)]


async def test_an_agent_that_had_nothing_to_read_leads_to_what_was_missing():
    """And on to the kind behind that: nobody gave a signal."""

    @agent(reads=Signal, writes=Risk)
    def assess(view):
        for signal in view.new(Signal):
            yield Risk(signal.text, 1).because(signal)

    outcome = await Engine([assess, answer]).run("go")
    (hindrance,) = outcome.why_not(Plan).hindrances
    assert (hindrance.sort, hindrance.agent) == ("nothing to read", "answer")
    (risks,) = hindrance.behind
    (behind,) = risks.hindrances
    (signals,) = behind.behind
    assert [one.sort for one in signals.hindrances] == ["given only"]
    assert "no agent writes Signal: it comes from outside" in str(outcome.why_not(Plan))


async def test_an_agent_that_does_not_accept_what_there_is_says_so():
    @agent(reads=Signal, writes=Risk, accepts=lambda view: len(view.all(Signal)) > 1)
    def assess(view):
        yield Risk("late", 1)

    outcome = await Engine([assess]).run("go", [LATE])
    assert sorts(outcome, Risk) == [("not accepted", "assess")]


async def test_an_agent_that_failed_says_how():
    @agent(reads=Signal, writes=Risk)
    def assess(view):
        raise ValueError("no idea")

    outcome = await Engine([assess]).run("go", [LATE])
    (hindrance,) = outcome.why_not(Risk, "late").hindrances
    assert (hindrance.sort, hindrance.agent) == ("failed", "assess")
    assert "ValueError: no idea" in hindrance.text


async def test_a_budget_that_ended_the_job_is_what_stood_in_the_way():
    intent = RootIntent("go", budget=Budget(rounds=1))
    outcome = await Engine([answer, assessing(ScriptedModel(echo))]).run(intent, [LATE])
    (hindrance,) = outcome.why_not(Plan).hindrances
    assert (hindrance.sort, hindrance.agent) == ("unread", "answer")
    assert "the budget is spent before a fixed point: rounds" in hindrance.text


async def test_an_agent_whose_allowance_is_spent_had_more_to_read(model):
    outcome = await Engine([assessing(model, budget=Allowance(calls=0))]).run("go", [LATE])
    (hindrance,) = outcome.why_not(Risk, "late").hindrances
    assert (hindrance.sort, hindrance.agent) == ("unread", "assess")
    assert "calls" in hindrance.text


async def test_an_agent_that_said_something_else_shows_what():
    outcome = await Engine([answer]).run("go", [Risk("fire", 1)])
    absence = outcome.why_not(Plan, "against flood")
    (hindrance,) = absence.hindrances
    assert (hindrance.sort, hindrance.facts) == ("silent", (Plan("against fire", "fire"),))
    assert absence.instead == (Plan("against fire", "fire"),)


async def test_a_conclusion_that_was_replaced_says_by_whom():
    @agent(reads=Live(Risk), writes=Plan)
    def worst(view):
        found = view.best(Risk, by=lambda risk: risk.severity)
        if found is not None:
            yield Plan("the plan", found.name)

    engine = Engine([worst])
    first = await engine.run("go", [Risk("fire", 1)])
    outcome = await engine.resume(first.job_id, [Risk("flood", 2)])
    fell, *_ = outcome.why_not(Plan("the plan", "fire")).hindrances
    assert "worst does not conclude it any more" in fell.text


async def proposed(confidence: float, gate) -> Outcome:
    @agent(reads=Signal, writes=Risk, gate=gate)
    def guess(view):
        for signal in view.new(Signal):
            yield Risk(signal.text, 1).propose(confidence).because(signal)

    return await Engine([guess]).run("go", [LATE])


async def test_a_proposal_that_a_gate_refused_names_the_step():
    outcome = await proposed(0.2, min_confidence(0.5))
    (hindrance,) = outcome.why_not(Risk, "late").hindrances
    assert (hindrance.sort, hindrance.agent) == ("refused", "guess")
    assert "min_confidence(0.5) refused it: its confidence is 0.2" in hindrance.text


async def test_a_proposal_that_waits_for_somebody_names_the_request():
    outcome = await proposed(0.2, human("lead"))
    (hindrance,) = outcome.why_not(Risk, name="late").hindrances
    assert (hindrance.sort, hindrance.agent) == ("waiting", "guess")
    assert id_of(hindrance.facts[1]) == outcome.asked[0].id


async def test_a_proposal_without_an_opinion_names_whose_it_waits_for():
    from converge import Opinion, Proposal

    @agent(reads=Signal, writes=Risk, gate=judged_by("sceptic"))
    def guess(view):
        for signal in view.new(Signal):
            yield Risk(signal.text, 1).because(signal)

    @agent(reads=Proposal[Risk], writes=Opinion)
    def sceptic(view):
        return None

    outcome = await Engine([guess, sceptic]).run("go", [LATE])
    (hindrance,) = outcome.why_not(Risk, "late").hindrances
    assert (hindrance.sort, hindrance.text) == (
        "unjudged",
        "it proposed it, and its gate waits for the opinion of sceptic",
    )


async def test_what_was_only_proposed_is_no_unknown_kind():
    from converge.archive.explaining import explained

    engine = Engine([proposing(human("lead"))])
    outcome = await engine.run("go", [LATE])
    (hindrance,) = (await explained(engine.store, outcome.job_id)).why_not("Risk", "late").hindrances
    assert (hindrance.sort, hindrance.agent) == ("waiting", "guess")


async def test_what_something_is_only_proposed_from_is_a_conclusion():
    """Until it is believed: then that is the conclusion."""
    engine = Engine([proposing(human("lead")), answer, signalling])
    first = await engine.run("go", [Closed("a strike")])
    assert first.explained.conclusions() == (Signal("a strike"),)
    await engine.decide(first.job_id, first.asked[0].id, "approve", by="ada")
    assert (await engine.resume(first.job_id)).explained.conclusions() == (Plan("against a strike", "a strike"),)


@agent(reads=Closed, writes=Signal)
def signalling(view):
    for closed in view.new(Closed):
        yield Signal(closed.reason).because(closed)


def proposing(gate):
    @agent(reads=Signal, writes=Risk, gate=gate)
    def guess(view):
        for signal in view.new(Signal):
            yield Risk(signal.text, 1).because(signal)

    return guess


async def test_without_agents_only_those_that_wrote_such_facts_are_known():
    from converge.archive.explaining import explained

    engine = Engine([answer])
    outcome = await engine.run("go", [Risk("fire", 1)])
    absence = (await explained(engine.store, outcome.job_id)).why_not("Plan", "against flood")
    assert [(one.sort, one.agent) for one in absence.hindrances] == [("silent", "answer")]
    assert not absence.agents_known


# --- what became of a fact -------------------------------------------------------------------------------------------


async def test_the_history_of_a_fact_tells_when_it_came_fell_and_returned():
    fire = Risk("fire", 1)
    engine = Engine([answer])
    job = (await engine.run("go", [fire])).job_id
    marker = fire.invalidate("it rained")
    await engine.resume(job, [marker])
    outcome = await engine.resume(job, [marker.invalidate("it did not")])
    course = outcome.history(Plan("against fire", "fire"))
    assert [turn.what for turn in course.turns] == ["stated", "fell", "returned"]
    assert [turn.agent for turn in course.turns] == ["answer", None, "answer"]
    assert course.turns[1].facts == (fire,)
    assert [turn.what for turn in outcome.history(fire).turns] == ["given", "marked", "fell", "returned"]
    assert all(turn.at is not None for turn in course.turns[:1])


# --- where two jobs part ---------------------------------------------------------------------------------------------


async def test_two_answers_to_one_prompt_are_where_jobs_part():
    """The prompts are equal, the answers not; what rests on them follows."""
    outcomes = []
    for severity in (1, 9):
        model = ScriptedModel([("late", {"items": [{"name": "late", "severity": severity}]})])
        outcomes.append(await Engine([assessing(model), answer]).run("go", [LATE]))
    one, other = outcomes
    parting = one.diff(other)
    assert (parting.agent, parting.round) == ("assess", 1)
    assert parting.reason.endswith("whose model answered the same prompt otherwise")
    assert [side.stated for side in parting.sides] == [(Risk("late", 1),), (Risk("late", 9),)]
    assert [side.calls[0].text for side in parting.sides] == [
        '{"items": [{"name": "late", "severity": 1}]}',
        '{"items": [{"name": "late", "severity": 9}]}',
    ]


async def test_what_was_given_to_one_job_alone_is_where_they_part():
    engine = Engine([answer])
    one = await engine.run("go", [Risk("fire", 1)])
    other = await engine.run("go", [Risk("fire", 1), Risk("flood", 1)])
    parting = one.diff(other)
    assert (parting.agent, parting.round) == (None, 0)
    here, there = parting.sides
    assert here.stated == here.follows == here.others == ()
    assert (there.stated, there.follows) == ((Risk("flood", 1),), (Plan("against flood", "flood"),))
    assert f"{other.job_id} alone was given something" in str(parting)


async def test_what_is_concluded_instead_of_what_fell_follows_too():
    """A marker in one job, and the replaced conclusion there."""

    @agent(reads=Live(Risk), writes=Plan)
    def worst(view):
        found = view.best(Risk, by=lambda risk: risk.severity)
        if found is not None:
            yield Plan("the plan", found.name)

    engine = Engine([worst])
    fire, flood = Risk("fire", 2), Risk("flood", 1)
    one = await engine.run("go", [fire, flood])
    other = await engine.fork(one.job_id, facts=[fire.invalidate("it rained")])
    here, there = one.diff(other).sides
    assert (there.follows, there.others) == ((Plan("the plan", "flood"),), ())
    assert set(here.held) == {fire, Plan("the plan", "fire")}


async def test_a_late_premise_parts_nothing_that_both_were_given():
    """Only the round differs."""
    engine = Engine([answer])
    one = await engine.run("go", [Risk("fire", 1), Risk("flood", 1)])
    other = await engine.run("go", [Risk("fire", 1)])
    later = await engine.resume(other.job_id, [Risk("flood", 1)])
    assert not one.diff(later)
    assert "nothing that they state differs" in str(one.diff(later))


# --- what it cost ----------------------------------------------------------------------------------------------------


async def test_the_cost_of_a_job_is_parted_by_what_became_of_it(model):
    """What holds, what fell and what came to nothing add up to what was spent."""

    def script(request):
        return {"items": []} if "lost" in told(request) else echo(request)

    model = ScriptedModel(script, price=PRICE)
    engine = Engine([assessing(model)])
    first = await engine.run("go", [LATE, LOST, Signal("slow")])
    outcome = await engine.resume(first.job_id, LATE.invalidate("it was early"))
    cost = outcome.cost()
    assert set(cost.fates) == {"live", "dead", "nothing"}
    assert cost.spent.tokens == outcome.spend.tokens == sum(part.tokens for part in cost.fates.values())
    assert cost.spent.money == pytest.approx(outcome.spend.money)
    assert sum(part.money for part in cost.fates.values()) == pytest.approx(outcome.spend.money)
    assert cost.agents["assess"].calls == 3
    assert {described(one.fact)[:11]: one.fate for one in cost.facts} == {"name='late'": "dead", "name='slow'": "live"}
    assert (cost.other.calls, cost.earlier.calls) == (0, 0)


async def test_facts_of_one_answer_share_what_it_cost():
    two = {"items": [{"name": "late", "severity": 1}, {"name": "lost", "severity": 2}]}
    model = ScriptedModel(lambda request: two, price=PRICE)
    outcome = await Engine([LLMAgent("assess", model, "Name them. {facts}", Signal, Risk), answer]).run("go", [LATE])
    cost = outcome.cost(Risk("late", 1))
    assert cost.share.money == pytest.approx(outcome.spend.money / 2)
    assert cost.total.money == pytest.approx(outcome.spend.money)
    assert outcome.cost(Plan("against late", "late")).share.calls == 0
    assert outcome.cost(Plan("against late", "late")).total.money == pytest.approx(outcome.spend.money)


async def test_requests_that_brought_no_answer_were_paid_for_all_the_same():
    replies = iter([Reply(text="half", harm="cut"), Reply(data={"items": [{"name": "late", "severity": 1}]})])
    model = ScriptedModel(lambda request: next(replies), random=lambda: 0.0, timeout=5)
    outcome = await Engine([assessing(model)]).run("go", [LATE])
    cost = outcome.cost()
    assert cost.spent.calls == outcome.spend.calls == 2
    assert cost.spent.tokens == outcome.spend.tokens
    assert (cost.fates["live"].calls, cost.fates["live"].requests) == (1, 2)


async def test_a_job_begun_anew_has_not_paid_for_the_answers_it_brought_along(model):
    engine = Engine([assessing(model)])
    first = await engine.run("go", [LATE])
    outcome = await engine.restart(first.job_id)
    cost = outcome.cost()
    assert outcome.spend.tokens == cost.spent.tokens == 0
    assert cost.earlier.tokens == first.spend.tokens
    assert "paid before the job began anew" in str(cost)


async def test_a_refused_proposal_is_a_cost_of_its_own(model):
    outcome = await Engine([assessing(model, confidence=False, gate=[lambda risk: risk.severity > 4])]).run(
        "go", [LATE, Signal("delayed")]
    )
    assert set(outcome.cost().fates) == {"live", "refused"}


# --- as text, JSON, Mermaid and HTML ---------------------------------------------------------------------------------

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\x1b[31m"];click n0 "javascript:x"\x00\u202e'


DOCS = Path(__file__).parents[1] / "docs"
BOX = r'n\d+\["[^"<>\[\]`\\]*"\](:::\w+)?'
ARROW = r'\w+ --> \w+(\["[\d,]+ more"\])?'


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[str]] = {}

    def handle_starttag(self, tag, attributes):
        self.seen.setdefault(tag, set()).update(name for name, _ in attributes)


async def every_answer(text: str) -> list[Shown]:
    model = ScriptedModel(lambda request: {"items": [{"name": text, "severity": 1}]})
    engine = Engine([assessing(model), answer])
    outcome = await engine.run("go", [Signal(text)])
    later = await engine.fork(outcome.job_id, facts=[Signal(text).invalidate(text)])
    risk = Risk(text, 1)
    proof = outcome.why(Plan(f"against {text}", text))
    return [proof, later.why_not(risk), later.history(risk), outcome.diff(later), outcome.cost(), outcome.cost(risk)]


async def test_the_json_of_every_answer_is_as_documented():
    """And JSON it is: it reads back as it was."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((DOCS / "explaining.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    for shown in [*await every_answer("late"), await an_absence_with_reasons()]:
        data = shown.to_dict()
        assert json.loads(json.dumps(data)) == data
        validator.validate(data)


async def an_absence_with_reasons() -> Shown:
    @agent(reads=Signal, writes=Risk, gate=min_confidence(0.5))
    def guess(view):
        for signal in view.new(Signal):
            yield Risk(signal.text, 1).propose(0.1).because(signal)

    @agent(reads=Closed, writes=Risk)
    def idle(view):
        return None

    return (await Engine([guess, idle]).run("go", [LATE])).why_not(Risk, "late")


async def test_whatever_facts_and_models_say_is_text_in_html():
    """No element or attribute comes of it, and nothing is loaded from anywhere."""
    for shown in await every_answer(HOSTILE):
        page = shown.html()
        tags = Tags()
        tags.feed(page)
        assert set(tags.seen) <= {
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "div",
            "details",
            "summary",
            "span",
            "pre",
        }
        assert not {name for names in tags.seen.values() for name in names} & {"src", "href", "onerror", "onclick"}
        assert "default-src 'none'" in html.unescape(page)
        assert "\x1b" not in page
        assert "\x00" not in page
        assert shown._repr_html_() in page or "<div" in shown._repr_html_()


async def test_whatever_facts_and_models_say_is_text_in_a_flowchart():
    """A line is a box, an arrow or a class, whatever stands in it."""
    for shown in await every_answer(HOSTILE):
        first, *lines = shown.mermaid().splitlines()
        assert first == "flowchart TD"
        for line in lines:
            assert re.fullmatch(
                r'  (n\d+\["[^"<>\[\]`\\]*"\](:::\w+)?|\w+ --> \w+(\["[\d,]+ more"\])?|classDef .*)', line
            ), line


async def test_whatever_facts_and_models_say_cannot_steer_a_terminal():
    for shown in await every_answer(HOSTILE):
        for text in (shown.text(), shown.text(10, 60)):
            assert all(sign.isprintable() for line in text.splitlines() for sign in line)


async def test_text_keeps_to_the_columns_it_is_given():
    for story in ("a long story " * 20, "long" * 100, "長い話 " * 50):
        for shown in await every_answer(story):
            for width in (40, 80):
                assert max(map(cell_len, shown.text(width=width).splitlines())) <= width


async def test_text_says_how_much_it_leaves_out():
    @agent(reads=Signal, writes=Risk)
    def whole(view):
        yield Risk("all", len(view.all(Signal)))

    outcome = await Engine([whole]).run("go", [Signal(str(n)) for n in range(300)])
    proof = outcome.why(Risk("all", 300))
    assert proof.text(20).splitlines()[-1] == "└─ 300 Signal [given] …"
    assert len(proof.text().splitlines()) == 302
    assert len(outcome.why_not(Risk, "none").text().splitlines()) < 10
