"""What becomes of one question when its server fails on purpose: the stated retry, or a failure by name.

Each scenario ends with the server's own verdict on how we bore it, and with how many requests it saw.
"""

import json
import socket

import httpx2
import pytest

from converge import Fact
from converge_agents.answer import judged
from converge_agents.answers import AnswerUnfit, read
from converge_agents.errors import (
    AnswerCorrupt,
    AnswerCut,
    AnswerFiltered,
    AnswerRefused,
    AnswerTooLong,
    KeyRefused,
    ModelError,
    ModelUnknown,
    QuotaSpent,
    RateLimited,
    RequestRefused,
    ServerFailed,
    ServerSilent,
    ServerUnreachable,
)
from converge_agents.schema import AnswerForm
from tests.servers import Server, Verdict, saying

HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}

pytestmark = pytest.mark.slow  # each failure is waited out in real seconds
both_ways = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
on_both_transports = pytest.mark.parametrize("transport", [None, httpx2.AsyncHTTPTransport], ids=["aiohttp", "httpx2"])


class Colour(Fact):
    name: str


FORM = AnswerForm([Colour])


def hearing(text, attempt):
    """Take a piece of a stream."""


async def asked(server, *behaviours, streaming=False, schema=None, tools=None, **options):
    """Have the server behave so, ask it, and return what came of it."""
    if behaviours:
        server.will(*behaviours)
    async with server.model(**options) as model:
        try:
            return judged(await model.ask(HELLO, schema=schema, tools=tools, on_text=hearing if streaming else None))
        except ModelError as failure:
            return failure


# --- failures that pass, and that do not ----------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("patience", [1, 0.3])
@pytest.mark.asyncio
async def test_a_429_that_says_when_is_waited_out(server, patience, streaming):
    answer = await asked(
        server, {"type": "fail", "status": 429, "retry_after": patience, "times": 2}, streaming=streaming
    )
    assert (answer.attempts, [attempt.failure for attempt in answer.tried]) == (3, ["RateLimited"] * 2)
    assert server.verdict() == Verdict(3, 2, [])


@both_ways
@pytest.mark.asyncio
async def test_a_429_that_does_not_say_when_is_waited_out_too(streaming):
    # Not llmock, nor aimock: their 429 always says when.
    busy = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    async with saying(busy, busy) as server:
        failure = await asked(server, streaming=streaming, attempts=2)
    assert (type(failure), failure.retry_after, len(failure.tried)) == (RateLimited, None, 2)


@pytest.mark.asyncio
async def test_a_429_that_wants_an_hour_is_not_waited_for(server):
    failure = await asked(server, {"type": "fail", "status": 429, "retry_after": 3600})
    assert (type(failure), failure.retry_after) == (RateLimited, 3600)
    assert server.verdict() == Verdict(1, 1, ["gave_up"])


@both_ways
@pytest.mark.parametrize("status", [408, 409, 500, 502])
@pytest.mark.asyncio
async def test_what_may_pass_is_asked_again(server, status, streaming):
    answer = await asked(server, {"type": "fail", "status": status}, streaming=streaming)
    assert (answer.attempts, answer.tried[0].failure) == (2, "ServerFailed")
    assert server.verdict() == Verdict(2, 1, [])


@pytest.mark.parametrize("status", [503, 504, 529])
@pytest.mark.asyncio
async def test_a_server_in_trouble_that_says_when_is_asked_then(server, status):
    answer = await asked(server, {"type": "fail", "status": status, "retry_after": 0.7})
    assert answer.attempts == 2
    assert server.verdict() == Verdict(2, 1, [])


@pytest.mark.asyncio
async def test_where_nobody_says_when_the_waits_grow(server):
    failure = await asked(server, {"type": "fail", "status": 500, "times": None}, attempts=4)
    assert type(failure) is ServerFailed
    assert server.verdict() == Verdict(4, 4, [])  # else it would find no_backoff


@pytest.mark.parametrize(("status", "error"), [(429, RateLimited), (500, ServerFailed), (529, ServerFailed)])
@pytest.mark.asyncio
async def test_what_does_not_pass_ends_by_name_after_a_few_attempts(server, status, error):
    failure = await asked(server, {"type": "fail", "status": status, "retry_after": 0.2, "times": None}, attempts=4)
    assert (type(failure), len(failure.tried)) == (error, 4)
    assert server.verdict() == Verdict(4, 4, [])


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, RequestRefused), (401, KeyRefused), (403, KeyRefused), (404, ModelUnknown), (422, RequestRefused)],
)
@pytest.mark.asyncio
async def test_what_no_waiting_mends_is_asked_once(server, status, error):
    assert type(await asked(server, {"type": "fail", "status": status, "times": None})) is error
    assert server.verdict() == Verdict(1, 1, [])


@pytest.mark.asyncio
async def test_a_spent_quota_is_no_429_to_be_waited_out(server):
    failure = await asked(server, {"type": "fail", "status": 429, "code": "insufficient_quota", "times": None})
    assert type(failure) is QuotaSpent
    assert server.verdict() == Verdict(1, 1, ["gave_up"])  # it judges by the status alone


@both_ways
@on_both_transports
@pytest.mark.asyncio
async def test_a_server_that_says_nothing_is_given_up_on_in_time(server, streaming, transport):
    delay = {"type": "delay", "seconds": 1, "times": None}
    failure = await asked(server, delay, streaming=streaming, timeout=0.5, attempts=2, transport=transport)
    assert (type(failure), len(failure.tried)) == (ServerSilent, 2)
    assert server.verdict() == Verdict(2, 0, [])  # it does not count a delay as a fault


@pytest.mark.asyncio
async def test_a_server_that_recovers_its_speech_is_heard(server):
    answer = await asked(server, {"type": "delay", "seconds": 2}, timeout=1)
    assert (answer.attempts, answer.tried[0].failure) == (2, "ServerSilent")
    assert server.verdict() == Verdict(2, 0, [])


@on_both_transports
@pytest.mark.asyncio
async def test_a_server_that_is_not_there_is_named(transport):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        failure = await asked(Server(f"http://127.0.0.1:{nobody.getsockname()[1]}"), attempts=2, transport=transport)
    assert (type(failure), len(failure.tried)) == (ServerUnreachable, 2)
    assert "Connect" in str(failure)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("", ServerUnreachable),
        ("220 welcome to this mail server\r\n", ServerUnreachable),
        ('HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"id": "x", "cho', ServerUnreachable),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{", ServerUnreachable),
        ('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{"id": "x", "cho', AnswerCorrupt),
    ],
    ids=["nothing", "no HTTP", "half of it", "no chunk", "half of JSON"],
)
@on_both_transports
@pytest.mark.asyncio
async def test_what_comes_instead_of_a_whole_answer_is_named_and_asked_for_again(said, error, transport):
    # Not llmock: it breaks nothing but streams.
    async with saying(said.encode(), said.encode()) as server:
        assert type(await asked(server, attempts=2, transport=transport)) is error


# --- streams that break ---------------------------------------------------------------------------------------------

# Long, so that the server is still sending when we stop reading, and sees that we do.
LONG = {"type": "reply", "text": "word " * 2_000, "times": None}
BREAKS = [("disconnect", AnswerCut), ("truncate", AnswerCut), ("malformed", AnswerCorrupt), ("stall", AnswerCut)]


@pytest.mark.parametrize(("fault", "error"), BREAKS)
@pytest.mark.asyncio
async def test_a_stream_that_breaks_is_asked_for_again(server, fault, error):
    behaviour = {"type": "stream_fault", "kind": fault, "after_chunks": 3, "stall_seconds": 20}
    answer = await asked(server, behaviour, LONG, streaming=True, timeout=2)
    assert (answer.text, answer.finish_reason, answer.attempts) == (LONG["text"], "stop", 2)
    assert (answer.tried[0].failure, answer.tried[0].text) == (error.__name__, "word word ")
    assert server.verdict() == Verdict(2, 1, [])


@pytest.mark.parametrize(("fault", "error"), BREAKS)
@on_both_transports
@pytest.mark.asyncio
async def test_a_stream_that_always_breaks_ends_by_name_with_what_came_of_it(server, fault, error, transport):
    behaviour = {"type": "stream_fault", "kind": fault, "after_chunks": 3, "stall_seconds": 20, "times": None}
    failure = await asked(server, behaviour, LONG, streaming=True, timeout=2, attempts=2, transport=transport)
    assert (type(failure), failure.answer.text) == (error, "word word ")
    # It cannot know that the last attempt was not taken for an answer: to it, we did not ask again.
    accused = {"truncate": ["truncated_stream_accepted"], "malformed": ["malformed_chunk_ignored"]}
    assert server.verdict() == Verdict(2, 2, accused.get(fault, []))


@pytest.mark.asyncio
async def test_a_stream_that_does_not_begin_is_given_up_on_in_time(server):
    failure = await asked(
        server, {"type": "slow_first_token", "seconds": 1, "times": None}, streaming=True, timeout=0.5, attempts=2
    )
    assert (type(failure), len(failure.tried)) == (ServerSilent, 2)
    assert server.verdict() == Verdict(2, 0, [])


# --- answers that are no good ---------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize(("reason", "error"), [("length", AnswerTooLong), ("content_filter", AnswerFiltered)])
@pytest.mark.asyncio
async def test_an_answer_that_was_stopped_is_named_and_not_asked_for_again(server, reason, error, streaming):
    reply = {"type": "reply", "text": '{"items": [{"na', "finish_reason": reason}
    failure = await asked(server, reply, streaming=streaming, schema=FORM.schema)
    assert (type(failure), failure.answer.text) == (error, reply["text"])
    assert server.verdict() == Verdict(1, 0, [])


@both_ways
@pytest.mark.asyncio
async def test_a_refusal_is_named_and_not_asked_for_again(streaming):
    # Not llmock, nor aimock: neither can be made to refuse.
    said = {"role": "assistant", "content": None, "refusal": "I would rather not."}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "gpt-4o"}
    whole = json.dumps({**body, "choices": [{"index": 0, "message": said, "finish_reason": "stop"}]})
    piece = json.dumps({**body, "choices": [{"index": 0, "delta": said, "finish_reason": "stop"}]})
    kind, text = ("event-stream", f"data: {piece}\n\ndata: [DONE]\n\n") if streaming else ("json", whole)
    response = f"HTTP/1.1 200 OK\r\ncontent-type: text/{kind}\r\nconnection: close\r\n\r\n{text}"
    async with saying(response.encode()) as server:
        failure = await asked(server, streaming=streaming)
    assert (type(failure), failure.answer.refusal) == (AnswerRefused, "I would rather not.")


@both_ways
@pytest.mark.parametrize("text", ['{"items": [{"name": "re', "Red, I would say.", '{"items": [{"nom": "red"}]}'])
@pytest.mark.asyncio
async def test_what_is_no_json_of_the_schema_is_an_answer_and_says_how_to_be_mended(server, text, streaming):
    replies = [{"type": "reply", "text": given} for given in (text, '{"items": [{"name": "red"}]}')]
    server.will(*replies)
    on_text = hearing if streaming else None
    async with server.model() as model:
        first = judged(await model.ask(HELLO, schema=FORM.schema, on_text=on_text))
        with pytest.raises(AnswerUnfit) as invalid:
            read(first.text, FORM)
        again = [*HELLO, first.message, {"role": "user", "content": invalid.value.repair}]
        second = judged(await model.ask(again, schema=FORM.schema, on_text=on_text))
    assert (first.text, [item.fact for item in read(second.text, FORM)]) == (text, [Colour(name="red")])
    assert server.verdict() == Verdict(2, 0, [])


@both_ways
@pytest.mark.asyncio
async def test_a_schema_and_tools_are_understood(server, streaming):
    answer = await asked(server, streaming=streaming, schema=FORM.schema)
    assert answer.rung == "json_schema"
    assert read(answer.text, FORM)
    assert answer.input_tokens > 0 < answer.output_tokens
    answer = await asked(server, streaming=streaming, tools=[WEATHER])
    assert [call.name for call in answer.tool_calls] == ["weather"]
