"""The Responses API: its own words on the wire, and everything else as with chat completions."""

import json
from functools import partial
from typing import Any

import httpx2
import pytest
from pydantic_core import from_json

from converge import Budget, Engine, Fact, RootIntent, StopReason
from converge.agents import LLMAgent, Price
from converge.clock import SystemClock
from converge.stores import SQLiteStore
from converge.testing import Reply, ScriptedModel
from converge.trace import Captured, TextArrived
from converge_agents.answer import judged
from converge_agents.answers import read
from converge_agents.errors import (
    AnswerCorrupt,
    AnswerCut,
    AnswerEmpty,
    AnswerFiltered,
    AnswerInvalid,
    AnswerTooLong,
    ApiUnknown,
    ClientFailed,
    ModelError,
    ModelInvalid,
    ModelUnknown,
    RateLimited,
    ServerFailed,
)
from converge_agents.model import Model
from converge_agents.schema import AnswerForm
from tests.servers import Verdict, aimock

HELLO = [{"role": "user", "content": "hello"}]


class Signal(Fact):
    text: str


class Risk(Fact, key="name"):
    name: str
    severity: int


FORM = AnswerForm([Risk])
LATE, LOST = Signal("late"), Signal("lost")
MILD = {"items": [{"name": "late", "severity": 1}]}


async def sent(messages=HELLO, **options):
    """Return what is sent to a server of the Responses API."""
    asking = {name: options.pop(name) for name in ("schema", "tools", "on_text") if name in options}
    async with ScriptedModel(lambda _: "good day", api="responses", **options) as model:
        await model.ask(messages, **asking)
    return model.requests[0]


def saying(*bodies, status=200):
    """Return a model whose server sends these bodies, whatever they are."""
    rest = iter(bodies)

    def serve(request):
        body = next(rest)
        return httpx2.Response(status, content=body if isinstance(body, bytes) else json.dumps(body).encode())

    transport = partial(httpx2.MockTransport, serve)
    return Model("odd", api="responses", api_key="none", transport=transport, clock=SystemClock(), attempts=1)


def events(*given):
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in given)


async def heard(*given):
    """Return what came of a stream of these events, and the pieces of its text."""
    pieces: list[str] = []
    async with saying(events(*given)) as model:
        try:
            return await model.ask(HELLO, on_text=lambda text, attempt: pieces.append(text)), pieces
        except ModelError as failure:
            return failure, pieces


# --- what is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_request_holds_everything_and_leaves_nothing_at_the_server():
    request = await sent(max_tokens=7, temperature=0.5)
    expected = {"model": "scripted", "input": HELLO, "max_output_tokens": 7, "temperature": 0.5, "store": False}
    assert request == expected
    assert (await sent(store=True))["store"] is True


@pytest.mark.asyncio
async def test_a_schema_goes_where_text_is_told_its_format_beside_what_else_it_is_told():
    request = await sent(schema=FORM.schema, text={"verbosity": "low"})
    form = {"type": "json_schema", "name": "Answer", "schema": FORM.schema, "strict": True}
    assert request["text"] == {"verbosity": "low", "format": form}
    request = await sent(schema=FORM.schema, rungs=["json_object"])
    assert request["text"] == {"format": {"type": "json_object"}}
    assert "JSON schema" in request["input"][-1]["content"]


@pytest.mark.asyncio
async def test_a_conversation_with_tools_is_items_in_the_same_order():
    call = {"id": "call-1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        *HELLO,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call-1", "content": "seen"},
        {"role": "assistant", "content": "So be it."},
    ]
    function = {"name": "look", "parameters": {"type": "object", "properties": {}}, "strict": True}
    request = await sent(messages, tools=[{"type": "function", "function": function}])
    assert request["input"] == [
        {"role": "system", "content": "Be brief."},
        *HELLO,
        {"type": "function_call", "call_id": "call-1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call-1", "output": "seen"},
        {"role": "assistant", "content": "So be it."},
    ]
    assert request["tools"] == [{"type": "function", **function}]


@pytest.mark.asyncio
async def test_parts_of_a_message_are_renamed_and_items_stay_as_they_are():
    item = {"type": "item_reference", "id": "x"}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    messages = [item, {"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}]
    first, second = (await sent(messages))["input"]
    assert first == item
    assert second["content"] == [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
    ]


@pytest.mark.parametrize("option", ["previous_response_id", "conversation", "background"])
def test_what_would_leave_a_part_of_the_question_at_the_server_is_refused(option):
    given: dict[str, Any] = {option: "x"}
    with pytest.raises(ModelInvalid, match=f"{option}= would leave at the server"):
        Model("gpt", api="responses", **given)


def test_an_api_that_nobody_knows_is_named():
    with pytest.raises(ModelInvalid, match="api= takes one of chat, responses, not 'rest'"):
        Model("gpt", api="rest")  # type: ignore[arg-type]  # as a user may type it


@pytest.mark.asyncio
async def test_options_are_those_of_the_api_that_is_spoken():
    assert (await sent(reasoning={"effort": "low"}))["reasoning"] == {"effort": "low"}
    with pytest.raises(ClientFailed, match="no option reasoning_effort="):
        await sent(reasoning_effort="low")


# --- what comes back -------------------------------------------------------------------------------------------------

MESSAGE = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "good day"}]}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<html>welcome</html>", AnswerCorrupt),
        ({}, AnswerEmpty),
        ({"status": "completed", "output": []}, AnswerEmpty),
        ({"status": "completed", "output": [{"type": "reasoning", "summary": []}]}, AnswerEmpty),
        ({"status": "in_progress", "output": [MESSAGE]}, AnswerCut),
        ({"status": "queued"}, AnswerEmpty),
        ({"output": [MESSAGE]}, AnswerCut),
        ({"status": "incomplete", "output": [MESSAGE], "incomplete_details": None}, AnswerCut),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, AnswerTooLong),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, AnswerFiltered),
        ({"status": "failed", "output": [MESSAGE], "error": {"message": "no"}}, AnswerCut),
        ({"status": ["completed"], "output": {"type": "message"}, "usage": 7, "model": {}}, AnswerEmpty),
        ({"status": "completed", "output": [7, {"type": "message", "content": [None, {"text": 3}]}]}, AnswerEmpty),
    ],
)
@pytest.mark.asyncio
async def test_whatever_a_server_sends_as_an_answer_is_kept_and_named(body, error):
    async with saying(body) as model:
        answer = await model.ask(HELLO)
    with pytest.raises(AnswerInvalid) as caught:
        judged(answer)
    assert type(caught.value) is error


@pytest.mark.asyncio
async def test_an_answer_passes_over_reasoning_and_calls_of_the_servers_own_tools():
    output = [{"type": "reasoning", "summary": []}, {"type": "web_search_call", "status": "completed"}, MESSAGE]
    usage = {"input_tokens": 3, "output_tokens": 4}
    async with saying({"status": "completed", "model": "gpt-x", "output": output, "usage": usage}) as model:
        answer = judged(await model.ask(HELLO))
    assert (answer.text, answer.finish_reason, answer.model) == ("good day", "stop", "gpt-x")
    assert (answer.input_tokens, answer.output_tokens) == (3, 4)


@pytest.mark.parametrize(
    ("code", "error"), [("server_error", ServerFailed), ("rate_limit_exceeded", RateLimited), (None, ServerFailed)]
)
@pytest.mark.asyncio
async def test_a_failure_in_place_of_an_answer_is_named_whole_or_streamed(code, error):
    failed = {"status": "failed", "output": [], "error": {"code": code, "message": "it broke"}}
    async with saying(failed) as model:
        with pytest.raises(error, match="it broke"):
            await model.ask(HELLO)
    for event in (
        {"type": "response.failed", "response": failed},
        {"type": "error", "code": code, "message": "it broke"},
    ):
        failure, _ = await heard({"type": "response.created", "response": {}}, event)
        assert (type(failure), "it broke" in str(failure)) == (error, True)


@pytest.mark.asyncio
async def test_a_failure_after_a_part_of_an_answer_leaves_that_part():
    delta = {"type": "response.output_text.delta", "delta": "good "}
    answer, pieces = await heard(delta, {"type": "error", "code": "server_error", "message": "it broke"})
    assert (answer.text, answer.broken, pieces) == ("good ", "cut", ["good "])


@pytest.mark.asyncio
async def test_a_stream_that_only_says_how_it_ended_is_read_from_there():
    response = {"status": "completed", "output": [MESSAGE]}
    answer, pieces = await heard({"type": "response.completed", "response": response})
    assert (judged(answer).text, pieces) == ("good day", ["good day"])


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.asyncio
async def test_a_server_without_the_api_is_named_with_the_remedy(status):
    async with saying({"error": {"message": "Not Found"}}, status=status) as model:
        with pytest.raises(ApiUnknown, match=r"its server has no /responses: .* or pass api='chat'"):
            await model.ask(HELLO)
    async with saying({"error": {"message": "no such model", "code": "model_not_found"}}, status=404) as model:
        with pytest.raises(ModelUnknown) as caught:
            await model.ask(HELLO)
    assert type(caught.value) is ModelUnknown


# --- agents do not know which is spoken ------------------------------------------------------------------------------


def assessing(model, **options):
    return LLMAgent("assess", model, "Assess {item}", Signal, Risk, each=Signal, **options)


@pytest.mark.asyncio
async def test_what_was_asked_in_one_api_is_not_asked_again_in_the_other(tmp_path):
    path = tmp_path / "jobs.db"
    chat, responses = (ScriptedModel([("", [MILD, {"items": []}])], api=api) for api in ("chat", "responses"))
    first = await Engine([assessing(chat)], store=SQLiteStore(path)).run("go", LATE, job_id="job")
    resumed = await Engine([assessing(responses)], store=SQLiteStore(path)).resume("job", LOST)
    again = await Engine([assessing(responses)], store=SQLiteStore(path)).restart("job")
    assert first.context.live(Risk) == resumed.context.live(Risk) == again.context.live(Risk) == (Risk("late", 1),)
    assert [len(chat.requests), len(responses.requests)] == [1, 1]
    await chat.aclose()
    await responses.aclose()


@pytest.mark.asyncio
async def test_tools_are_called_and_what_they_return_goes_back():
    def look_up(name: str) -> dict[str, int]:
        """Look a name up."""
        return {"severity": 7}

    def script(request):
        last = request["input"][-1]
        if last.get("type") == "function_call_output":
            return {"items": [{"name": "late", **json.loads(last["output"])}]}
        return Reply(tool_calls=[("look_up", {"name": "late"})], finish_reason="tool_calls")

    model = ScriptedModel(script, api="responses")
    outcome = await Engine([assessing(model, tools=[look_up])]).run("go", LATE)
    assert outcome.context.live(Risk) == (Risk("late", 7),)
    assert model.requests[0]["tools"][0]["description"] == "Look a name up."
    assert model.requests[1]["input"][-2]["call_id"] == model.requests[1]["input"][-1]["call_id"] == "call-0"
    await model.aclose()


@pytest.mark.asyncio
async def test_text_is_streamed_and_an_answer_that_does_not_fit_is_mended():
    model = ScriptedModel([("cannot be used", MILD), ("", {"items": [{"name": "late"}]})], api="responses")
    engine = Engine([assessing(model, stream=True)])
    async with engine.start("go", LATE) as job:
        pieces = [event.text async for event in job.events() if isinstance(event, TextArrived)]
        outcome = await job.outcome()
    assert outcome.context.live(Risk) == (Risk("late", 1),)
    assert "".join(pieces).endswith(json.dumps(MILD))
    await model.aclose()


@pytest.mark.asyncio
async def test_a_budget_holds_and_is_settled_by_what_the_server_counts():
    model = ScriptedModel(lambda _: MILD, api="responses", price=Price(1, 1))
    limited = RootIntent("go", budget=Budget(calls=1))
    outcome = await Engine([assessing(model)]).run(limited, [LATE, LOST])
    assert (outcome.stop.reason, len(model.requests), outcome.spend.calls) == (StopReason.BUDGET, 1, 1)
    outcome = await Engine([assessing(model)]).run("go", LATE)
    [event] = [event for event in outcome.trace if isinstance(event, Captured)]
    assert event.note is not None
    assert outcome.spend.tokens == event.note["input_tokens"] + event.note["output_tokens"]
    await model.aclose()


# --- servers written by others ---------------------------------------------------------------------------------------

both_ways = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


async def asked(server, *behaviours, streaming=False, schema=None, tools=None, **options):
    """Have the server behave so, ask it, and return what came of it."""
    if behaviours:
        server.will(*behaviours)
    on_text = (lambda text, attempt: None) if streaming else None
    async with server.model(api="responses", **options) as model:
        try:
            return judged(await model.ask(HELLO, schema=schema, tools=tools, on_text=on_text))
        except ModelError as failure:
            return failure


@pytest.mark.slow
@both_ways
@pytest.mark.asyncio
async def test_a_real_server_understands_a_schema_and_tools(server, streaming):
    answer = await asked(server, streaming=streaming, schema=FORM.schema)
    assert answer.rung == "json_schema"
    assert read(answer.text, FORM)
    assert answer.input_tokens > 0 < answer.output_tokens
    answer = await asked(server, streaming=streaming, tools=[WEATHER])
    assert [call.name for call in answer.tool_calls] == ["weather"]
    assert [from_json(call.arguments) for call in answer.tool_calls] == [{}]


@pytest.mark.slow
@both_ways
@pytest.mark.asyncio
async def test_a_real_server_that_asks_for_patience_is_waited_for(server, streaming):
    answer = await asked(server, {"type": "fail", "status": 429, "retry_after": 0.3, "times": 2}, streaming=streaming)
    assert (answer.attempts, [attempt.failure for attempt in answer.tried]) == (3, ["RateLimited"] * 2)
    assert server.verdict() == Verdict(3, 2, [])


@pytest.mark.slow
@both_ways
@pytest.mark.asyncio
async def test_a_real_server_that_runs_out_of_tokens_says_so(server, streaming):
    failure = await asked(server, {"type": "reply", "text": '{"it', "finish_reason": "length"}, streaming=streaming)
    assert (type(failure), failure.answer.text) == (AnswerTooLong, '{"it')


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "error"), [("disconnect", AnswerCut), ("truncate", AnswerCut), ("malformed", AnswerCorrupt)]
)
@pytest.mark.asyncio
async def test_a_real_stream_that_breaks_is_asked_for_again(server, fault, error):
    behaviour = {"type": "stream_fault", "kind": fault, "after_chunks": 6}
    long = {"type": "reply", "text": "word " * 500, "times": None}
    answer = await asked(server, behaviour, long, streaming=True, timeout=2)
    assert (answer.text, answer.attempts, answer.tried[0].failure) == (long["text"], 2, error.__name__)
    assert server.verdict() == Verdict(2, 1, [])


@pytest.mark.slow
@both_ways
@pytest.mark.asyncio
async def test_a_journal_shows_what_was_sent_and_that_a_tool_was_answered(tmp_path, streaming):
    def look_up(name: str) -> str:
        """Look a name up."""
        return "bad"

    called = {"toolCalls": [{"name": "look_up", "arguments": '{"name": "late"}'}]}
    fixtures: list[dict[str, Any]] = [
        {"match": {"userMessage": "late", "sequenceIndex": 0}, "response": called},
        {"match": {"userMessage": "late", "sequenceIndex": 1}, "response": {"content": json.dumps(MILD)}},
    ]
    with aimock(tmp_path, fixtures) as server:
        async with server.model(api="responses") as model:
            outcome = await Engine([assessing(model, tools=[look_up], stream=streaming)]).run("go", LATE)
        journal = server.journal()
    assert outcome.context.live(Risk) == (Risk("late", 1),)
    assert [entry["path"] for entry in journal] == ["/v1/responses"] * 2
