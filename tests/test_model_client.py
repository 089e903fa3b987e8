"""What a Model promises of one question: every answer kept, every failure named, nothing of the key."""

import asyncio
import json
import subprocess
import sys
import traceback
from functools import partial
from typing import Any

import httpx2
import openai
import pytest
from pydantic_core import from_json, to_json

from converge.clock import SystemClock
from converge.testing import VirtualClock
from converge_agents.answer import Answer, judged
from converge_agents.errors import (
    AnswerCorrupt,
    AnswerCut,
    AnswerEmpty,
    AnswerFiltered,
    AnswerRefused,
    AnswerTooLarge,
    AnswerTooLong,
    ApiUnknown,
    ClientFailed,
    DeadlinePassed,
    KeyMissing,
    KeyRefused,
    ModelError,
    ModelInvalid,
    ModelUnknown,
    PromptTooLong,
    QuotaSpent,
    RateLimited,
    RequestRefused,
    RequestsForbidden,
    SchemaRefused,
    ScriptSilent,
    ServerFailed,
    ServerSilent,
    ServerUnreachable,
)
from converge_agents.forbidding import forbid_model_requests
from converge_agents.model import Model
from converge_agents.reply import Reply
from converge_agents.scripted import Script, ScriptedModel

HELLO = [{"role": "user", "content": "hello"}]
COLOUR = {
    "title": "Colour",
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
CANARY = "canary-key-1f4a9c77"


in_both = pytest.mark.parametrize("api", ["chat", "responses"])


def model_of(*replies, clock, **options):
    rest = iter(replies)
    return ScriptedModel(lambda request: next(rest), clock=clock, random=lambda: 0.5, **options)


async def asked(*replies, options=None, **asking):
    """Ask a model of these replies, in virtual time; return the model, and the answer or the failure."""
    async with VirtualClock() as clock, model_of(*replies, clock=clock, **(options or {})) as model:
        try:
            return model, await model.ask(HELLO, **asking), clock.elapsed()
        except Exception as error:
            return model, error, clock.elapsed()


# --- answers ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_answer_says_all_that_a_capture_is_to_keep():
    model, answer, _ = await asked(Reply("good day"))
    assert (answer.text, answer.finish_reason, answer.model) == ("good day", "stop", "scripted")
    assert answer.request_id.startswith("req-")
    assert answer.input_tokens > 0 < answer.output_tokens
    assert (answer.attempts, answer.tried, answer.rung) == (1, (), None)
    assert judged(answer) is answer
    assert model.requests == [{"model": "scripted", "messages": HELLO, "max_tokens": 1024}]


@pytest.mark.asyncio
async def test_an_answer_is_plain_json_and_comes_back_from_it():
    _, answer, _ = await asked(Reply(harm="cut"), Reply(tool_calls=[("look", {"at": 1})], finish_reason="tool_calls"))
    assert answer.tried
    assert Answer.of(from_json(to_json(answer))) == answer
    assert judged(from_json(to_json(answer))) == answer


@in_both
@pytest.mark.asyncio
async def test_tool_calls_come_as_the_model_wrote_them_and_go_back_as_its_message(api):
    reply = Reply(tool_calls=[("look", {"at": 1}), ("hear", {})], finish_reason="tool_calls")
    for on_text in (None, lambda text, attempt: None):
        tools = [{"type": "function", "function": {"name": "look"}}]
        _, answer, _ = await asked(reply, tools=tools, on_text=on_text, options={"api": api})
        assert answer.finish_reason == "tool_calls"
        assert [(call.name, call.arguments) for call in judged(answer).tool_calls] == [
            ("look", '{"at": 1}'),
            ("hear", "{}"),
        ]
        assert [call["id"] for call in answer.message["tool_calls"]] == ["call-0", "call-1"]


@in_both
@pytest.mark.asyncio
async def test_a_streamed_answer_is_the_same_answer_and_its_text_comes_in_pieces(api):
    pieces = []

    def hear(text, attempt):
        pieces.append(text)

    _, whole, _ = await asked(Reply("a good day to you all"), options={"api": api})
    _, streamed, _ = await asked(Reply("a good day to you all"), on_text=hear, options={"api": api})
    assert "".join(pieces) == whole.text == streamed.text
    assert len(pieces) > 1
    assert (streamed.input_tokens, streamed.output_tokens) == (whole.input_tokens, whole.output_tokens)
    assert streamed.prompt_digest == whole.prompt_digest


@in_both
@pytest.mark.asyncio
async def test_the_prompt_digest_is_of_what_was_asked_and_of_nothing_else(api):
    async def digest(content, *replies, **options):
        async with VirtualClock() as clock, model_of(*replies, clock=clock, **{"api": api, **options}) as model:
            return (await model.ask([{"role": "user", "content": content}])).prompt_digest

    first = await digest("a", Reply("x"))
    assert first == await digest("a", Reply(status=500), Reply("y"), extra_headers={"x-key": CANARY})
    assert first == await digest("a", Reply("x"), api="chat")
    assert len({first, await digest("b", Reply("x")), await digest("a", Reply("x"), temperature=0.5)}) == 3


@in_both
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply('{"name": "re', finish_reason="length"), AnswerTooLong),
        (Reply("well", finish_reason="content_filter"), AnswerFiltered),
        (Reply(refusal="I would rather not"), AnswerRefused),
        (Reply("  "), AnswerEmpty),
        (Reply("x" * 200), AnswerTooLarge),
        (Reply("well", finish_reason="thunder"), AnswerCut),
    ],
)
@pytest.mark.asyncio
async def test_an_answer_that_is_no_good_is_returned_once_paid_and_judged_by_name(reply, error, streaming, api):
    on_text = (lambda text, attempt: None) if streaming else None
    model, answer, _ = await asked(reply, on_text=on_text, options={"max_bytes": 100, "api": api})
    assert len(model.requests) == 1
    with pytest.raises(error) as caught:
        judged(answer)
    assert caught.value.answer == answer
    assert answer.text == reply.said[:100]


@in_both
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("harm", "error"), [("unfinished", AnswerCut), ("corrupt", AnswerCorrupt)])
@pytest.mark.asyncio
async def test_an_answer_that_came_broken_is_asked_for_again_and_kept_if_it_never_comes_whole(
    harm, error, streaming, api
):
    on_text = (lambda text, attempt: None) if streaming else None
    _, mended, _ = await asked(Reply("good day", harm=harm), Reply("good day"), on_text=on_text, options={"api": api})
    assert (judged(mended).text, mended.attempts, mended.tried[0].failure) == ("good day", 2, error.__name__)
    assert mended.tried[0].text
    _, broken, _ = await asked(*[Reply("good day", harm=harm)] * 5, on_text=on_text, options={"api": api})
    assert (broken.attempts, len(broken.tried)) == (5, 4)
    assert broken.text
    with pytest.raises(error):
        judged(broken)


@in_both
@pytest.mark.parametrize(("harm", "broken"), [("cut", "cut"), ("stalled", "stalled"), ("corrupt", "corrupt")])
@pytest.mark.asyncio
async def test_what_came_of_a_stream_before_it_broke_is_kept(harm, broken, api):
    heard = []

    def hear(*heard_of):
        heard.append(heard_of)

    reply = Reply("a good day to you", harm=harm)
    _, answer, _ = await asked(reply, on_text=hear, options={"attempts": 1, "api": api})
    assert answer.broken == broken
    assert answer.text == "".join(text for text, _ in heard) == "a good day to yo"
    with pytest.raises((AnswerCut, AnswerCorrupt)):
        judged(answer)


@pytest.mark.asyncio
async def test_who_hears_pieces_is_told_that_they_begin_anew():
    heard = []
    replies = (Reply("good day", harm="cut"), Reply("good day"))
    await asked(*replies, on_text=lambda *piece: heard.append(piece))
    assert heard == [("good day", 1), ("good day", 2)]


@pytest.mark.asyncio
async def test_an_error_of_the_listener_is_its_own_and_nothing_is_asked_again():
    def listen(text, attempt):
        raise LookupError(text)

    model, error, _ = await asked(Reply("good day"), on_text=listen)
    assert isinstance(error, LookupError)
    assert len(model.requests) == 1


def a_server_of(*bodies, status=200, clock, **options):
    """Return a model whose server sends these bodies, whatever they are."""
    rest = iter(bodies)
    transport = partial(httpx2.MockTransport, lambda http: httpx2.Response(status, content=next(rest)))
    return Model("odd", api_key=CANARY, transport=transport, clock=clock, random=lambda: 0.5, **options)


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        (b"", "corrupt"),
        (b"<html>welcome</html>", "corrupt"),
        (b"[]", "corrupt"),
        (b'"\xff"', "corrupt"),
        (b"{}", "empty"),
        (b'{"choices": []}', "empty"),
        (b'{"choices": 7, "usage": [], "model": {}}', "empty"),
        (b'{"choices": [null]}', "cut"),
        (b'{"choices": [{"message": {"content": {"a": 1}, "tool_calls": [3]}}]}', "cut"),
    ],
)
@pytest.mark.asyncio
async def test_whatever_a_server_sends_as_an_answer_is_kept_and_named(body, broken):
    async with a_server_of(body, clock=SystemClock(), attempts=1) as model:
        answer = await model.ask(HELLO)
    assert answer.broken == broken
    with pytest.raises((AnswerCorrupt, AnswerEmpty, AnswerCut)):
        judged(answer)


@pytest.mark.asyncio
async def test_an_error_in_place_of_an_answer_is_the_failure_it_names():
    body = json.dumps({"error": {"code": 402, "message": "no credit"}}).encode()
    async with a_server_of(body, clock=SystemClock()) as model:
        with pytest.raises(RequestRefused, match="no credit"):
            await model.ask(HELLO)


# --- failures -----------------------------------------------------------------------------------------------------


@in_both
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(status=400), RequestRefused),
        (Reply(status=401), KeyRefused),
        (Reply(status=403), KeyRefused),
        (Reply(status=404), ModelUnknown),
        (Reply(status=422), RequestRefused),
        (Reply(status=418), RequestRefused),
        (Reply(status=429, code="insufficient_quota"), QuotaSpent),
        (Reply(status=400, code="context_length_exceeded"), PromptTooLong),
    ],
)
@pytest.mark.asyncio
async def test_what_no_waiting_mends_is_asked_once(reply, error, api):
    model, failure, seconds = await asked(reply, options={"api": api})
    assert type(failure) is (ApiUnknown if error is ModelUnknown and api == "responses" else error)
    assert (len(model.requests), seconds) == (1, 0)
    assert "as scripted" in str(failure)


@in_both
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(status=408), ServerFailed),
        (Reply(status=409), ServerFailed),
        (Reply(status=429), RateLimited),
        (Reply(status=500), ServerFailed),
        (Reply(status=503), ServerFailed),
        (Reply(harm="unreachable"), ServerUnreachable),
        (Reply(delay=100), ServerSilent),
        (Reply("good day", harm="cut"), ServerUnreachable),
        (Reply("good day", harm="stalled"), ServerSilent),
    ],
)
@pytest.mark.asyncio
async def test_what_may_pass_is_asked_again_and_ends_by_name(reply, error, api):
    model, answer, _ = await asked(reply, reply, Reply("good day"), options={"api": api})
    assert (judged(answer).text, answer.attempts) == ("good day", 3)
    assert [attempt.failure for attempt in answer.tried] == [error.__name__] * 2
    model, failure, _ = await asked(*[reply] * 5, options={"api": api})
    assert type(failure) is error
    assert len(model.requests) == len(failure.tried) == 5
    assert "(5 attempts)" in str(failure)


@pytest.mark.asyncio
async def test_waits_grow_and_chance_moves_them():
    _, _, seconds = await asked(*[Reply(status=500)] * 5)
    assert seconds == 0.5 + 1 + 2 + 4
    _, _, sooner = await asked(*[Reply(status=500)] * 2, options={"attempts": 2})
    assert sooner == 0.5


@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:45 GMT"}, 25),  # the virtual clock begins 25 seconds before
    ],
)
@pytest.mark.asyncio
async def test_a_server_that_says_when_is_asked_then(headers, least):
    _, answer, seconds = await asked(Reply(status=503, headers=headers), Reply("good day"))
    assert judged(answer).text == "good day"
    assert least <= seconds <= least * 1.1


@pytest.mark.parametrize("said", ["-3", "nan", "inf", "soon", ""])
@pytest.mark.asyncio
async def test_a_server_that_says_no_sensible_when_is_backed_off_from(said):
    _, answer, seconds = await asked(Reply(status=503, headers={"retry-after": said}), Reply("good day"))
    assert answer.attempts == 2
    assert seconds == 0.5


@pytest.mark.asyncio
async def test_a_server_that_wants_hours_is_not_waited_for():
    model, failure, seconds = await asked(Reply(status=429, headers={"retry-after": "3600"}))
    assert isinstance(failure, RateLimited)
    assert (failure.retry_after, len(model.requests), seconds) == (3600, 1, 0)


@pytest.mark.asyncio
async def test_a_deadline_ends_everything_waits_included():
    model, failure, seconds = await asked(*[Reply(delay=50)] * 5, deadline=30)
    assert isinstance(failure, DeadlinePassed)
    assert seconds == 30
    model, failure, seconds = await asked(*[Reply(status=500)] * 5, deadline=1.6)
    assert type(failure) is ServerFailed  # a wait that cannot end in time is not begun
    assert (len(model.requests), seconds) == (3, 1.5)


@pytest.mark.asyncio
async def test_a_misspelt_option_is_named():
    _, failure, _ = await asked(options={"temprature": 1})
    assert isinstance(failure, ClientFailed)
    assert "temprature=: mend its name, or pass it in extra_body=" in str(failure)


@pytest.mark.asyncio
async def test_what_is_extra_goes_into_body_headers_and_query():
    sent = []

    def serve(request):
        sent.append(request)
        return httpx2.Response(200, json={"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]})

    options: dict[str, Any] = {
        "extra_body": {"top_k": 3},
        "extra_headers": {"x-team": "red"},
        "extra_query": {"api-version": "7"},
    }
    transport = partial(httpx2.MockTransport, serve)
    async with Model("odd", api_key="none", transport=transport, temperature=0.5, **options) as model:
        assert (await model.ask(HELLO)).text == "hi"
    [request] = sent
    body = {"model": "odd", "messages": HELLO, "max_tokens": 1024, "temperature": 0.5, "top_k": 3}
    assert from_json(request.content) == body
    assert (request.headers["x-team"], request.url.query) == ("red", b"api-version=7")


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"concurrency": -1},
        {"timeout": 0},
        {"requests_per_minute": 0},
        {"rungs": ["xml"]},
        {"rungs": []},
    ],
)
def test_an_option_that_makes_no_sense_is_named(options):
    with pytest.raises(ModelInvalid, match=f"model gpt: {next(iter(options))}="):
        Model("gpt", **options)


@pytest.mark.asyncio
async def test_a_client_that_cannot_be_made_is_named():
    with pytest.raises(ClientFailed, match="base_url"):
        await Model("gpt", api_key=CANARY, base_url="http://loopback:port/v1").ask(HELLO)


@pytest.mark.asyncio
async def test_what_is_asked_must_be_json():
    async with VirtualClock() as clock, model_of(clock=clock) as model:
        with pytest.raises(ClientFailed, match="no JSON data"):
            await model.ask([{"role": "user", "content": object()}])


# --- the ladder ---------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_schema_is_asked_for_strictly():
    model, answer, _ = await asked({"name": "red"}, schema=COLOUR)
    assert (answer.rung, from_json(judged(answer).text)) == ("json_schema", {"name": "red"})
    assert model.requests[0]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "Colour", "schema": COLOUR, "strict": True},
    }


@in_both
@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.asyncio
async def test_the_ladder_goes_down_only_where_the_server_refuses_and_is_remembered(status, api):
    def serve(request):
        form = request.get("response_format") or request.get("text", {}).get("format")
        if form is not None:
            name = "response_format" if api == "chat" else "text.format"
            return Reply(status=status, error=f"{name!r} of type {form['type']} is not supported")
        return {"name": "red"}

    async with VirtualClock() as clock, ScriptedModel(serve, clock=clock, api=api) as model:
        answer = await model.ask(HELLO, schema=COLOUR)
        assert (answer.rung, answer.attempts) == ("text", 3)
        assert (await model.ask(HELLO, schema=COLOUR)).attempts == 1
    asked_in_the_end = model.requests[-1]["messages" if api == "chat" else "input"]
    assert json.dumps(COLOUR) in asked_in_the_end[-1]["content"]
    assert HELLO == [{"role": "user", "content": "hello"}]


@pytest.mark.asyncio
async def test_a_bad_answer_or_another_refusal_is_no_step_down():
    _, answer, _ = await asked(Reply("red!"), schema=COLOUR)
    assert answer.rung == "json_schema"
    model, failure, _ = await asked(Reply(status=400, error="no such thing"), schema=COLOUR)
    assert (type(failure), len(model.requests)) == (RequestRefused, 1)
    reply = Reply(status=400, error="Invalid schema for response_format 'Colour': 'oneOf' is not permitted")
    model, failure, _ = await asked(reply, schema=COLOUR)
    assert (type(failure), len(model.requests)) == (SchemaRefused, 1)


@pytest.mark.asyncio
async def test_rungs_are_those_the_caller_names():
    model, answer, _ = await asked({"name": "red"}, schema=COLOUR, options={"rungs": ["json_object"]})
    assert answer.rung == "json_object"
    assert model.requests[0]["response_format"] == {"type": "json_object"}
    refusal = Reply(status=400, error="response_format is not supported")
    _, failure, _ = await asked(refusal, schema=COLOUR, options={"rungs": ["json_object"]})
    assert isinstance(failure, RequestRefused)


@pytest.mark.asyncio
async def test_other_names_for_the_limit_and_streams_without_usage_are_learnt():
    def serve(request):
        if "max_tokens" in request:
            return Reply(status=400, error="use 'max_completion_tokens' instead")
        return Reply(status=400, error="unknown field stream_options") if "stream_options" in request else "good day"

    async with VirtualClock() as clock, ScriptedModel(serve, clock=clock) as model:
        answer = await model.ask(HELLO, on_text=lambda text, attempt: None)
    assert (answer.text, answer.input_tokens, answer.attempts) == ("good day", None, 3)


# --- keys, clients, switches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 401, 429, 500])
@pytest.mark.asyncio
async def test_no_key_is_in_what_a_model_shows_or_says(status):
    said = f"Incorrect key {CANARY}, or Bearer {CANARY}, or sk-abcd1234***"
    error = json.dumps({"error": {"message": said, "code": CANARY}}).encode()
    answer = json.dumps({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}).encode()
    body = answer if status == 200 else error
    async with a_server_of(body, status=status, clock=SystemClock(), attempts=1) as model:
        end: object = (await asyncio.gather(model.ask(HELLO), return_exceptions=True))[0]
        assert isinstance(end, Answer if status == 200 else ModelError)
        shown = [repr(end), str(end), repr(getattr(end, "__dict__", "")), repr(model), repr(vars(model))]
    if isinstance(end, Exception):
        assert end.__cause__ is end.__context__ is None
        shown += traceback.format_exception(end)
    assert CANARY not in "".join(shown)


@pytest.mark.asyncio
async def test_a_model_without_a_key_or_an_address_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(KeyMissing, match="OPENAI_API_KEY"):
        await Model("gpt").ask(HELLO)


@pytest.mark.asyncio
async def test_a_client_that_was_passed_in_is_used_and_left_open():
    body = {"choices": [{"message": {"content": "good day"}, "finish_reason": "stop"}]}
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda request: httpx2.Response(200, json=body)))
    async with openai.AsyncOpenAI(api_key=CANARY, http_client=http, max_retries=7) as client:
        async with Model("mine", client=client) as model:
            assert judged(await model.ask(HELLO)).text == "good day"
        assert not client.is_closed()
    async with Model("mine", client=client) as model:
        with pytest.raises(ClientFailed, match="closed"):
            await model.ask(HELLO)


@pytest.mark.asyncio
async def test_a_client_that_would_try_again_by_itself_does_not():
    asked_for = []

    def serve(request):
        asked_for.append(request)
        return httpx2.Response(500)

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(serve))
    async with openai.AsyncOpenAI(api_key=CANARY, http_client=http, max_retries=7) as client:
        with pytest.raises(ServerFailed):
            await Model("mine", client=client, attempts=1).ask(HELLO)
    assert len(asked_for) == 1


@in_both
@pytest.mark.asyncio
async def test_the_key_of_an_administrator_is_never_sent(api):
    def serve(request):
        assert CANARY not in str(request.headers.multi_items())
        return httpx2.Response(401)

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(serve))
    async with openai.AsyncOpenAI(api_key="", admin_api_key=CANARY, http_client=http) as client:
        with pytest.raises(ClientFailed, match="authentication"):
            await Model("mine", client=client, api=api).ask(HELLO)


@pytest.mark.asyncio
async def test_a_server_out_of_reach_is_named_without_its_password():
    def refuse(request):
        raise httpx2.ConnectError("no")

    base_url = f"http://user:{CANARY}@loopback:81/v1"
    transport = partial(httpx2.MockTransport, refuse)
    async with Model("odd", api_key="none", base_url=base_url, transport=transport, attempts=1) as model:
        with pytest.raises(ServerUnreachable, match=r"ConnectError at http://loopback:81$"):
            await model.ask(HELLO)


def test_a_model_serves_one_event_loop_after_another():
    model = ScriptedModel(lambda request: "good day")

    async def ask():
        async with model:
            return await model.ask(HELLO)

    assert asyncio.run(ask()).text == asyncio.run(ask()).text == "good day"


def test_a_model_that_nobody_closes_is_closed_with_its_loop():
    closed = []

    class Transport(httpx2.MockTransport):
        async def aclose(self):
            closed.append(self)

    body = {"choices": [{"message": {"content": "good day"}, "finish_reason": "stop"}]}
    transport = partial(Transport, lambda request: httpx2.Response(200, json=body))
    model = Model("odd", api_key="none", transport=transport)
    assert asyncio.run(model.ask(HELLO)).text == asyncio.run(model.ask(HELLO)).text == "good day"
    assert len(set(closed)) == 2


@pytest.mark.asyncio
async def test_nothing_real_is_asked_where_that_is_forbidden():
    with forbid_model_requests():
        with pytest.raises(RequestsForbidden, match="gpt"):
            await Model("gpt", api_key=CANARY).ask(HELLO)
        async with ScriptedModel(lambda request: "good day") as model:
            assert (await model.ask(HELLO)).text == "good day"


@pytest.mark.asyncio
async def test_a_script_matches_by_text_or_by_function_and_answers_in_turn():
    script: Script = [("one", ["first", "second"]), (lambda request: request["max_tokens"] == 7, {"seven": True})]
    async with ScriptedModel(script) as model, ScriptedModel(script, max_tokens=7) as other:
        one = [{"role": "user", "content": "one"}]
        assert [(await model.ask(one)).text for _ in range(3)] == ["first", "second", "second"]
        assert (await other.ask(HELLO)).text == '{"seven": true}'
        with pytest.raises(ScriptSilent, match="hello"):
            await model.ask(HELLO)


def test_importing_the_agents_does_not_import_the_client():
    code = "import sys, converge_agents.model, converge_agents.scripted; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
