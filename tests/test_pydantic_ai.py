"""Agents and models of pydantic-ai, and plain functions, as what an LLM agent asks: real ones, with its test models."""

import asyncio
import json

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelResponse, RetryPromptPart, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import RequestUsage

from converge import Budget, Engine, Fact, RootIntent, StopReason
from converge.agents import Answer, CallableModel, LLMAgent, Price, PydanticAI
from converge.errors import AgentInvalid
from converge.stores import SQLiteStore
from converge.telemetry import Telemetry
from converge.testing import forbid_model_requests
from converge.trace import Captured
from converge_agents.errors import ClientFailed, ModelInvalid, RequestsForbidden


class Signal(Fact):
    text: str


class Risk(Fact, key="name"):
    name: str
    severity: int


FIRE = {"items": [{"name": "fire", "severity": 4}]}
USAGE = RequestUsage(input_tokens=100, output_tokens=20)


def assessing(model, **options):
    return LLMAgent("assess", model, "Assess {facts}", Signal, Risk, **options)


class Played:
    """A model of pydantic-ai that answers as it is told, one response after the other, the last for good."""

    def __init__(self, *answers, usage=USAGE):
        self.asked, self.answers, self.usage = [], answers, usage
        self.model = FunctionModel(self.respond, model_name="played")

    def respond(self, messages, info):
        self.asked.append((messages, info))
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, dict):
            answer = ToolCallPart(info.output_tools[0].name, answer)
        return ModelResponse([answer], usage=self.usage)

    def told(self, number=-1):
        """What the messages of a request say, part by part."""
        return [part for message in self.asked[number][0] for part in message.parts]


# --- pydantic-ai -----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_agent_of_pydantic_ai_answers_and_what_follows_is_a_fact():
    """With its real test model, which makes up what fits the schema."""
    outcome = await Engine([assessing(Agent(TestModel(seed=1)))]).run("go", Signal("smoke"))
    assert outcome.converged
    [risk] = outcome.context.live(Risk)
    assert isinstance(risk.severity, int)
    assert outcome.spend.calls == 1


@pytest.mark.parametrize("given", ["agent", "model", "wrapped"])
@pytest.mark.asyncio
async def test_an_agent_and_a_model_are_taken_as_they_are(given):
    played = Played(FIRE)
    model = {"agent": Agent(played.model), "model": played.model, "wrapped": PydanticAI(played.model)}[given]
    outcome = await Engine([assessing(model)]).run("find the risks", Signal("smoke"))
    assert outcome.context.live(Risk) == (Risk("fire", 4),)
    [prompt] = [part.content for part in played.told() if isinstance(part, UserPromptPart)]
    assert 'Signal {"text":"smoke"}' in prompt
    assert "find the risks" in played.asked[0][0][-1].instructions


@pytest.mark.asyncio
async def test_an_answer_is_captured_and_never_asked_again(tmp_path):
    played, store = Played(FIRE), SQLiteStore(tmp_path / "jobs.db")
    engine = Engine([assessing(Agent(played.model))], store=store)
    first = await engine.run("go", Signal("smoke"))
    again = await engine.restart(first.job_id)
    later = await engine.resume(first.job_id)
    assert first.live_digest == again.live_digest == later.live_digest
    assert len(played.asked) == 1
    [told] = [event for event in first.trace if isinstance(event, Captured)]
    assert told.note is not None
    assert (told.note["model"], told.note["input_tokens"], told.note["requests"]) == ("played", 100, 1)


@pytest.mark.asyncio
async def test_tokens_and_money_are_those_its_usage_tells():
    played = Played(FIRE)
    model = PydanticAI(played.model, price=Price(input=10, output=50))
    outcome = await Engine([assessing(model)]).run("go", Signal("smoke"))
    assert (outcome.spend.calls, outcome.spend.tokens) == (1, 120)
    assert outcome.spend.money == pytest.approx((100 * 10 + 20 * 50) / 1e6)


@pytest.mark.asyncio
async def test_each_request_of_a_run_is_a_call_and_the_budget_of_calls_is_exact():
    """Its own tool, then its answer: two requests; a third is not made."""
    played = Played(ToolCallPart("look", {"at": "roof"}), FIRE)
    agent = Agent(played.model)

    @agent.tool_plain
    def look(at: str) -> str:
        return f"{at} is on fire"

    for calls, reason in ((2, StopReason.FIXED_POINT), (1, StopReason.BUDGET)):
        played.asked.clear()
        intent = RootIntent("go", budget=Budget(calls=calls))
        outcome = await Engine([assessing(agent)]).run(intent, Signal("smoke"))
        assert outcome.stop.reason is reason
        assert len(played.asked) == outcome.spend.calls == calls


@pytest.mark.asyncio
async def test_many_at_once_never_exceed_the_budget_of_calls():
    played = Played(FIRE)
    intent = RootIntent("go", budget=Budget(calls=5))
    agents = [LLMAgent(f"a{n}", Agent(played.model), "{facts}", Signal, Risk) for n in range(20)]
    outcome = await Engine(agents).run(intent, Signal("smoke"))
    assert (len(played.asked), outcome.spend.calls, outcome.stop.detail[0]) == (5, 5, "calls")


@pytest.mark.asyncio
async def test_what_finds_no_room_for_its_worst_case_is_not_asked():
    played = Played(FIRE)
    intent = RootIntent("go", budget=Budget(tokens=500))  # an answer alone may have 1,024
    outcome = await Engine([assessing(played.model)]).run(intent, Signal("smoke"))
    assert outcome.stop.reason is StopReason.BUDGET
    assert (played.asked, outcome.spend.tokens) == ([], 0)
    assert (await Engine([assessing(PydanticAI(Played(FIRE).model, max_tokens=100))]).run("go")).converged


@pytest.mark.asyncio
async def test_a_response_that_does_not_count_its_tokens_stays_at_the_worst():
    played = Played(FIRE, usage=RequestUsage(unmeasured_requests=1))
    outcome = await Engine([assessing(played.model)]).run("go", Signal("smoke"))
    assert outcome.converged
    assert outcome.spend.tokens > 1_024


@pytest.mark.asyncio
async def test_responses_are_bounded_where_nobody_says_how_long_they_may_be():
    played = Played(FIRE)
    await Engine([assessing(played.model)]).run("go", Signal("smoke"))
    assert played.asked[0][1].model_settings["max_tokens"] == 1_024
    own = Played(FIRE)
    await Engine([assessing(Agent(own.model, model_settings={"max_tokens": 77}))]).run("go", Signal("smoke"))
    assert own.asked[0][1].model_settings["max_tokens"] == 77


@pytest.mark.asyncio
async def test_an_answer_that_no_fact_follows_from_is_mended_in_another_turn():
    played = Played({"items": [{"name": "fire"}]}, FIRE)
    outcome = await Engine([assessing(played.model)]).run("go", Signal("smoke"))
    assert outcome.context.live(Risk) == (Risk("fire", 4),)
    prompts = [part.content for part in played.told() if isinstance(part, UserPromptPart)]
    assert "severity" in prompts[-1]
    assert [part.content for part in played.told() if isinstance(part, TextPart)] == [
        json.dumps({"items": [{"name": "fire"}]})
    ]


@pytest.mark.asyncio
async def test_tools_of_the_llm_agent_are_offered_captured_and_answered():
    played, calls = Played(ToolCallPart("insured", {"name": "fire"}, "c1"), FIRE), []

    def insured(name: str) -> str:
        """Look up a policy."""
        calls.append(name)
        return f"{name} is insured"

    outcome = await Engine([assessing(Agent(played.model), tools=[insured])]).run("go", Signal("smoke"))
    assert outcome.converged
    assert calls == ["fire"]
    assert [tool.name for tool in played.asked[0][1].function_tools] == ["insured"]
    [result] = [part for part in played.told() if part.part_kind == "tool-return"]
    assert (result.tool_name, result.content) == ("insured", "fire is insured")
    assert not [part for part in played.told() if isinstance(part, RetryPromptPart)]
    assert {event.name for event in outcome.trace if isinstance(event, Captured)} == {"ask", "tool insured"}


@pytest.mark.asyncio
async def test_what_fails_is_named_and_says_no_word_of_what_was_asked():
    played = Played(ModelHTTPError(503, "played", {"secret": "smoke"}))
    outcome = await Engine([assessing(played.model)]).run("go", Signal("smoke"))
    error = outcome.errors["assess"]
    assert isinstance(error, ClientFailed)
    assert str(error) == "the client of model played failed: ModelHTTPError 503"
    assert (error.__cause__, error.__context__) == (None, None)
    assert (outcome.spend.calls, outcome.spend.tokens) == (1, 0)


def test_an_agent_without_a_model_is_refused():
    with pytest.raises(ModelInvalid, match="it has no model"):
        PydanticAI(Agent())


@pytest.mark.asyncio
async def test_a_test_model_may_be_asked_where_requests_are_forbidden():
    with forbid_model_requests():
        outcome = await Engine([assessing(TestModel())]).run("go", Signal("smoke"))
    assert outcome.converged


@pytest.mark.asyncio
async def test_another_model_may_not_be_asked_there():
    real = OpenAIChatModel("gpt-none", provider=OpenAIProvider(api_key="none", base_url="http://127.0.0.1:9/v1"))
    with forbid_model_requests():
        outcome = await Engine([assessing(Agent(real))]).run("go", Signal("smoke"))
    assert isinstance(outcome.errors["assess"], RequestsForbidden)


@pytest.mark.asyncio
async def test_a_span_of_a_call_names_the_provider_and_what_the_whole_run_came_to():
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    engine = Engine([assessing(Played(FIRE).model)], telemetry=Telemetry(provider))
    await engine.run("go", Signal("smoke"))
    [call] = [span for span in spans.get_finished_spans() if span.name == "chat played"]
    told = dict(call.attributes or {})
    assert (told["gen_ai.provider.name"], told["gen_ai.usage.output_tokens"]) == ("function", 20)


# --- any awaitable function ------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_awaitable_function_answers_and_is_captured(tmp_path):
    asked = []

    async def answer(messages):
        asked.append(messages)
        return FIRE

    engine = Engine([assessing(answer)], store=SQLiteStore(tmp_path / "jobs.db"))
    first = await engine.run("go", Signal("smoke"))
    again = await engine.restart(first.job_id)
    assert again.context.live(Risk) == first.context.live(Risk) == (Risk("fire", 4),)
    assert [message["role"] for message in asked[0]] == ["system", "user"]
    assert (len(asked), first.spend.calls, first.spend.tokens) == (1, 1, 0)


@pytest.mark.asyncio
async def test_a_function_may_take_the_schema_and_return_text():
    async def answer(messages, schema):
        assert schema["properties"]["items"]
        return json.dumps(FIRE)

    outcome = await Engine([assessing(answer)]).run("go", Signal("smoke"))
    assert outcome.context.live(Risk) == (Risk("fire", 4),)


@pytest.mark.asyncio
async def test_a_function_that_says_what_it_cost_is_settled_and_another_stands_at_its_worst():
    async def telling(messages):
        return Answer(text=json.dumps(FIRE), finish_reason="stop", input_tokens=10, output_tokens=5)

    async def silent(messages):
        return FIRE

    spent = []
    for function in (telling, silent):
        model = CallableModel(function, tokens=1_000, price=Price(input=1, output=2))
        outcome = await Engine([assessing(model)]).run("go", Signal("smoke"))
        spent.append((outcome.spend.tokens, outcome.spend.money))
    assert spent == [(15, 20 / 1e6), (1_000, 2_000 / 1e6)]


@pytest.mark.asyncio
async def test_a_function_that_is_too_slow_or_raises_fails_its_agent_alone():
    async def never(messages):
        await asyncio.Event().wait()

    async def broken(messages):
        raise LookupError("gone")

    agents = [
        LLMAgent("slow", never, "{facts}", Signal, Risk, deadline=0.001, required=False),
        LLMAgent("broken", broken, "{facts}", Signal, Risk, required=False),
    ]
    outcome = await Engine(agents).run("go", Signal("smoke"))
    assert outcome.missing == ("broken", "slow")
    assert {name: type(error).__name__ for name, error in outcome.errors.items()} == {
        "broken": "LookupError", "slow": "DeadlinePassed",
    }  # fmt: skip


@pytest.mark.parametrize("given", [None, 3, "gpt", CallableModel])
def test_what_cannot_be_asked_is_refused_by_the_agents_name(given):
    with pytest.raises(AgentInvalid, match=r"assess.*model= takes"):
        assessing(given)


def test_a_function_that_takes_no_messages_is_refused():
    async def answer():
        return FIRE

    with pytest.raises(ModelInvalid, match="it takes the messages"):
        assessing(answer)
