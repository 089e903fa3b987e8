"""LLM agents: what they ask, what their facts rest on, and that nothing recorded is asked again."""

import asyncio
import json

import pytest

from converge import Engine, Fact, Live, Opinion, Proposal, StopReason, View, agent, id_of, judged_by
from converge.agents import LLMAgent
from converge.errors import AgentInvalid
from converge.testing import RecordedModel, Reply, ScriptedModel, forbid_model_requests
from converge.trace import Captured, TextArrived
from converge_agents.answers import AnswerUnfit
from converge_agents.errors import AnswerRefused, AnswerTooLong, NotRecorded, ToolsExceeded
from converge_agents.lint import SchemaInvalid


class Signal(Fact):
    text: str


class Rule(Fact):
    text: str


class Risk(Fact, key="name"):
    name: str
    severity: int


class Draft(Fact):
    severity: int


LATE, LOST = Signal("late"), Signal("lost")


def told(request):
    """What the user's messages say."""
    return "\n".join(message["content"] for message in request["messages"] if message["role"] == "user")


def echo(request):
    """A risk for each signal that the prompt shows as JSON."""
    texts = [json.loads(line[line.index("{") :])["text"] for line in told(request).splitlines() if '{"text"' in line]
    return {"items": [{"name": text, "severity": len(text)} for text in texts]}


def assessing(model, **options):
    """An agent that asks about each signal."""
    return LLMAgent("assess", model, "Assess {item}", Signal, Risk, each=Signal, **options)


# --- what is asked ---------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_whole_view_is_one_question_with_its_facts_in_id_order():
    model = ScriptedModel(echo)
    outcome = await Engine([LLMAgent("assess", model, "Name the risks.", Signal, Risk)]).run("go", [LOST, LATE])
    [request] = model.requests
    shown = [line for line in told(request).splitlines() if line.startswith("F")]
    assert [line.split()[0] for line in shown] == ["F1", "F2"]
    in_order = [json.dumps({"text": signal.text}, separators=(",", ":")) for signal in outcome.context.live(Signal)]
    assert [line.split(maxsplit=2)[2] for line in shown] == in_order
    assert {risk.name for risk in outcome.context.live(Risk)} == {"late", "lost"}
    await model.aclose()


@pytest.mark.asyncio
async def test_a_whole_view_agent_replaces_what_it_concluded_from_less():
    def counting(request):
        return {"items": [{"name": "signals", "severity": told(request).count('{"text"')}]}

    model = ScriptedModel(counting)
    engine = Engine([LLMAgent("assess", model, "Count. {facts}", Signal, Risk)])
    first = await engine.run("go", LATE)
    later = await engine.resume(first.job_id, LOST)
    assert later.context.live(Risk) == (Risk("signals", 2),)
    assert later.converged, "the earlier answer does not contest the later one"
    await model.aclose()


@pytest.mark.asyncio
async def test_a_whole_view_agent_on_a_circle_does_not_replace():
    model = ScriptedModel(lambda request: {"items": []})
    engine = Engine([LLMAgent("refine", model, "More? {facts}", [Signal, Risk], Risk)])
    assert not engine.agents[0].replacing
    alone = Engine([LLMAgent("assess", model, "Name them. {facts}", Signal, Risk)])
    assert alone.agents[0].replacing
    await model.aclose()


@pytest.mark.asyncio
async def test_each_item_is_a_question_of_its_own_and_its_fact_rests_on_it_alone():
    model = ScriptedModel(echo)
    engine = Engine([assessing(model)])
    outcome = await engine.run("go", [LATE, LOST])
    assert len(model.requests) == 2
    proof = outcome.why(Risk("late", 4))
    assert [reason.fact for reason in proof.because] == [LATE]
    later = await engine.resume(outcome.job_id, LATE.invalidate("it was early"))
    assert later.context.live(Risk) == (Risk("lost", 4),)
    assert len(model.requests) == 2, "what falls costs nothing"
    await model.aclose()


@pytest.mark.asyncio
async def test_items_are_asked_at_once_and_one_failure_wastes_no_other_answer():
    def script(request):
        return Reply(refusal="I'd rather not.") if "lost" in told(request) else echo(request)

    model = ScriptedModel(script)
    engine = Engine([assessing(model)])
    outcome = await engine.run("go", [LATE, LOST])
    assert outcome.stop.reason is StopReason.AGENT_FAILED
    assert isinstance(outcome.errors["assess"], AnswerRefused)
    asked = len(model.requests)
    await engine.resume(outcome.job_id)
    assert [told(request) for request in model.requests[asked:]] == ['Assess {"text":"lost"}']
    await model.aclose()


@pytest.mark.asyncio
async def test_what_a_prompt_looks_up_for_an_item_is_evidence_of_that_item():
    def prompt(signal, view: View):
        rules = [rule.text for rule in view.all(Rule) if rule.text.startswith(signal.text)]
        return json.dumps({"text": signal.text}) + f" by {rules}"

    model = ScriptedModel(echo_of_dumps)
    engine = Engine([LLMAgent("assess", model, prompt, [Signal, Rule], Risk, each=Signal)])
    rule = Rule("late: bad")
    outcome = await engine.run("go", [LATE, rule])
    assert {reason.fact for reason in outcome.why(Risk("late", 4)).because} == {LATE, rule}
    await model.aclose()


def echo_of_dumps(request):
    text = json.loads(told(request)[: told(request).index("}") + 1])["text"]
    return {"items": [{"name": text, "severity": len(text)}]}


@pytest.mark.asyncio
async def test_a_model_that_cites_makes_its_facts_rest_on_what_it_cites():
    def citing(request):
        reference = next(line.split()[0] for line in told(request).splitlines() if '"late"' in line)
        return {"items": [{"evidence": [reference], "fact": {"name": "late", "severity": 1}}]}

    model = ScriptedModel(citing)
    engine = Engine([LLMAgent("assess", model, "Name the risks.", Signal, Risk, evidence=True)])
    outcome = await engine.run("go", [LATE, LOST])
    assert [reason.fact for reason in outcome.why(Risk("late", 1)).because] == [LATE]
    await model.aclose()


@pytest.mark.asyncio
async def test_code_concludes_from_what_a_model_answers():
    def conclude(draft, signal, view):
        return Risk(signal.text, draft.severity * 2) if draft.severity else None

    model = ScriptedModel(lambda request: {"items": [{"severity": 0 if "lost" in told(request) else 3}]})
    judge = LLMAgent(
        "judge", model, "How bad? {item.text}", Signal, Risk, each=Signal, answers=Draft, conclude=conclude
    )
    outcome = await Engine([judge]).run("go", [LATE, LOST])
    assert outcome.context.live(Risk) == (Risk("late", 6),)
    assert [reason.fact for reason in outcome.why(Risk("late", 6)).because] == [LATE]
    await model.aclose()


@pytest.mark.asyncio
async def test_one_model_may_judge_what_another_proposes():
    def sceptical(request):
        return {"items": [{"severity": 9 if '"lost"' in told(request) else 0}]}

    def opinion(draft, proposal, view):
        return Opinion(id_of(proposal), "sceptic", draft.severity < 5, f"severity {draft.severity}")

    proposer, sceptic = ScriptedModel(echo), ScriptedModel(sceptical)
    agents = [
        LLMAgent("propose", proposer, "Assess {item}", Signal, Risk, each=Signal, gate=judged_by("sceptic")),
        LLMAgent(
            "sceptic", sceptic, "Doubt {item}", Proposal[Risk], Opinion,
            each=Proposal[Risk], answers=Draft, conclude=opinion,
        ),
    ]  # fmt: skip
    outcome = await Engine(agents).run("go", [LATE, LOST])
    assert outcome.context.live(Risk) == (Risk("late", 4),)
    await proposer.aclose()
    await sceptic.aclose()


# --- answers that cannot be used ------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_answer_that_does_not_fit_is_sent_back_once_with_what_is_wrong():
    def script(request):
        return echo(request) if "mended" in told(request) else {"items": [{"name": "late"}]}

    model = ScriptedModel(script)
    outcome = await Engine([assessing(model)]).run("go", LATE)
    assert outcome.context.live(Risk) == (Risk("late", 4),)
    assert "severity" in model.requests[1]["messages"][-1]["content"]
    await model.aclose()


@pytest.mark.asyncio
async def test_an_answer_that_does_not_fit_twice_is_a_failure_and_both_are_kept():
    model = ScriptedModel(lambda request: {"items": [{"name": "late"}]})
    engine = Engine([assessing(model)])
    outcome = await engine.run("go", LATE)
    assert isinstance(outcome.errors["assess"], AnswerUnfit)
    assert sum(isinstance(event, Captured) for event in outcome.trace) == 2
    assert len(model.requests) == 2
    await engine.resume(outcome.job_id)
    assert len(model.requests) == 3, "the last one was a try: a resume asks for another, and nothing else again"
    await model.aclose()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("reply", "error"),
    [(Reply(refusal="No."), AnswerRefused), (Reply(data={"items": []}, finish_reason="length"), AnswerTooLong)],
)
async def test_an_answer_that_is_none_is_kept_and_a_resume_asks_once_more(reply, error):
    model = ScriptedModel([("", [reply, reply, {"items": [{"name": "late", "severity": 1}]}])])
    engine = Engine([assessing(model)])
    outcome = await engine.run("go", LATE)
    assert isinstance(outcome.errors["assess"], error)
    for _ in range(2):
        outcome = await engine.resume(outcome.job_id)
    assert outcome.context.live(Risk) == (Risk("late", 1),)
    assert len(model.requests) == 3
    attempts = [event.attempt for event in outcome.trace if isinstance(event, Captured)]
    assert attempts == [0, 1, 2]
    await model.aclose()


# --- tools ----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_tool_is_called_as_the_model_says_and_what_it_returns_is_captured():
    calls = []

    def look_up(name: str, depth: int = 1) -> dict[str, int]:
        """Look a name up."""
        calls.append((name, depth))
        return {"severity": 7}

    def script(request):
        last = request["messages"][-1]
        if last["role"] == "tool":
            return {"items": [{"name": "late", "severity": json.loads(last["content"])["severity"]}]}
        return Reply(tool_calls=[("look_up", {"name": "late", "depth": 2})], finish_reason="tool_calls")

    model = ScriptedModel(script)
    engine = Engine([assessing(model, tools=[look_up])])
    outcome = await engine.run("go", LATE)
    assert outcome.context.live(Risk) == (Risk("late", 7),)
    again = await engine.restart(outcome.job_id)
    assert again.live_digest == outcome.live_digest
    assert calls == [("late", 2)]
    assert len(model.requests) == 2
    [described] = model.requests[0]["tools"]
    assert described["function"]["description"] == "Look a name up."
    await model.aclose()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("nonsense", {}), "there is no tool 'nonsense'"),
        (("look_up", {"nam": "late"}), "these arguments cannot be used"),
        (("look_up", {"name": "raise"}), "RuntimeError: broken"),
    ],
)
async def test_what_goes_wrong_with_a_tool_is_told_to_the_model(call, said):
    def look_up(name: str) -> str:
        raise RuntimeError("broken")

    def script(request):
        if request["messages"][-1]["role"] == "tool":
            return {"items": []}
        return Reply(tool_calls=[call], finish_reason="tool_calls")

    model = ScriptedModel(script)
    outcome = await Engine([assessing(model, tools=[look_up])]).run("go", LATE)
    assert outcome.converged
    assert said in model.requests[1]["messages"][-1]["content"]
    await model.aclose()


@pytest.mark.asyncio
async def test_tools_are_bounded_in_number():
    def look_up(name: str) -> str:
        return name

    model = ScriptedModel(lambda _: Reply(tool_calls=[("look_up", {"name": "x"})], finish_reason="tool_calls"))
    assess = assessing(model, tools=[look_up], tool_calls=3)
    outcome = await Engine([assess]).run("go", LATE)
    assert isinstance(outcome.errors["assess"], ToolsExceeded)
    assert len(model.requests) == 4
    await model.aclose()


# --- what is recorded, and what is passed on -------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("schedule", ["frontier", "lockstep", "stream"])
async def test_every_schedule_asks_the_same_questions(schedule):
    model = ScriptedModel(echo)
    outcome = await Engine([assessing(model)], schedule=schedule).run("go", [LATE, LOST])
    asked = {event.arguments for event in outcome.trace if isinstance(event, Captured)}
    other = await Engine([assessing(model)]).run("go", [LOST, LATE])
    assert asked == {event.arguments for event in other.trace if isinstance(event, Captured)}
    await model.aclose()


@pytest.mark.asyncio
async def test_the_trace_says_how_each_answer_was_come_by():
    model = ScriptedModel([("", [Reply(status=503), {"items": [{"name": "late", "severity": 1}]}])])
    model._random = lambda: 0.0
    outcome = await Engine([assessing(model)]).run("go", LATE)
    [event] = [event for event in outcome.trace if isinstance(event, Captured)]
    assert event.agent == "assess"
    assert event.note is not None
    assert event.note["requests"] == 2
    assert event.note["model"] == "scripted"
    assert event.note["rung"] == "json_schema"
    assert event.note["request_id"].startswith("req-")
    assert event.note["input_tokens"] > 0
    assert len(event.note["prompt_digest"]) == 32
    await model.aclose()


@pytest.mark.asyncio
async def test_the_rung_a_server_can_be_held_to_is_in_the_trace():
    def plain(request):
        if "response_format" in request:
            return Reply(status=400, error="response_format is not supported")
        return "Here you are: ```json\n" + json.dumps({"items": [{"name": "late", "severity": 1}]}) + "\n```"

    model = ScriptedModel(plain)
    outcome = await Engine([assessing(model)]).run("go", LATE)
    [event] = [event for event in outcome.trace if isinstance(event, Captured)]
    assert event.note is not None
    assert event.note["rung"] == "text"
    assert outcome.context.live(Risk) == (Risk("late", 1),)
    await model.aclose()


@pytest.mark.asyncio
async def test_text_is_passed_on_while_it_comes_and_stays_in_no_trace():
    model = ScriptedModel(echo)
    engine = Engine([assessing(model, stream=True)])
    async with engine.start("go", LATE) as job:
        pieces = [event async for event in job.events() if isinstance(event, TextArrived)]
        outcome = await job.outcome()
    assert json.loads("".join(piece.text for piece in pieces)) == {"items": [{"name": "late", "severity": 4}]}
    assert not any(isinstance(event, TextArrived) for event in outcome.trace)
    await model.aclose()


@pytest.mark.asyncio
async def test_answers_of_a_real_model_are_kept_in_a_file_and_found_there(tmp_path):
    path = tmp_path / "answers.jsonl"
    model = ScriptedModel(echo)
    recording = RecordedModel(path, model)
    first = await Engine([assessing(recording)]).run("go", LATE)
    with forbid_model_requests():
        replaying = RecordedModel(path)
        assess = assessing(replaying)
        second = await Engine([assess]).run("go", LATE)
        third = await Engine([assess]).run("go", LOST)
    assert second.live_digest == first.live_digest
    assert recording.asked == 1
    assert isinstance(third.errors["assess"], NotRecorded)
    assert "RecordedModel(path, Model(...))" in str(third.errors["assess"])
    await model.aclose()


# --- what is refused when the agent is built --------------------------------------------------------------------------


class Loose(Fact):
    anything: dict[str, int]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prompt": "{signal}"}, "names {signal}"),
        ({"prompt": "{item.txt}", "each": Signal}, "names {item.txt}, and Signal has text"),
        ({"prompt": "{item}"}, "needs each="),
        ({"prompt": "{facts[0]}"}, "it can name"),
        ({"prompt": "{oops"}, "no template"),
        ({"prompt": lambda: ""}, "must take a view"),
        ({"prompt": 3}, "template or a function"),
        ({"prompt": "", "each": Rule}, "not among the kinds"),
        ({"prompt": "", "answers": Draft}, "go together"),
        ({"prompt": "", "answers": Draft, "conclude": lambda: None}, "conclude must take (answer, view)"),
        ({"prompt": "", "tools": [lambda name: name]}, "functions with a name"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_with_the_remedy(options, sentence):
    with pytest.raises(AgentInvalid) as caught:
        LLMAgent("assess", ScriptedModel(echo), reads=Signal, writes=Risk, **options)
    assert sentence in str(caught.value)
    assert "assess" in str(caught.value)


def test_a_kind_no_server_can_be_held_to_is_refused_with_its_field():
    with pytest.raises(SchemaInvalid, match="anything"):
        LLMAgent("assess", ScriptedModel(echo), "", Signal, Loose)


def test_a_tool_without_types_is_refused():
    def look_up(name):
        return name

    with pytest.raises(AgentInvalid, match="tool look_up"):
        LLMAgent("assess", ScriptedModel(echo), "", Signal, Risk, tools=[look_up])


@pytest.mark.asyncio
async def test_an_agent_that_reads_liveness_is_shown_what_is_live():
    @agent(reads=Signal, invalidates=Signal)
    def doubt(view: View):
        for signal in view.all(Signal):
            if signal.text == "lost":
                yield signal.invalidate("found").because(*(one for one in view.all(Signal) if one != signal))

    model = ScriptedModel(echo)
    assess = LLMAgent("assess", model, "Name the risks.", Live(Signal), Risk, when="settled")
    outcome = await Engine([assess, doubt]).run("go", [LATE, LOST])
    assert outcome.context.live(Risk) == (Risk("late", 4),)
    assert "lost" not in told(model.requests[-1])
    await model.aclose()


def test_two_engines_in_two_loops_may_share_a_model_one_after_the_other():
    model = ScriptedModel(echo)

    async def once():
        outcome = await Engine([assessing(model)]).run("go", LATE)
        assert outcome.converged
        await model.aclose()

    asyncio.run(once())
    asyncio.run(once())
