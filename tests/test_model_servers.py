"""A Model against servers written by others: one fails on purpose and judges us, one keeps a journal of requests."""

import socket
from typing import Any

import anyio
import pytest

from converge_agents.answer import judged
from converge_agents.errors import (
    AnswerCorrupt,
    AnswerCut,
    AnswerTooLong,
    ModelError,
    QuotaSpent,
    RateLimited,
    RequestRefused,
    ServerFailed,
    ServerSilent,
    ServerUnreachable,
)
from converge_agents.model import Model
from tests.servers import aimock, llmock

HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
COLOUR = {
    "title": "Colour",
    "type": "object",
    "properties": {"name": {"type": "string", "enum": ["red", "green"]}},
    "required": ["name"],
    "additionalProperties": False,
}

pytestmark = pytest.mark.slow  # each failure is waited out in real seconds


@pytest.fixture(scope="module")
def failing():
    with llmock() as server:
        yield server


@pytest.fixture
def server(failing):
    failing.reset()
    return failing


def hearing(text, attempt):
    """Take a piece of a stream."""


async def asked(server, *behaviours, streaming=False, asking=None, **options):
    """Have the server behave so, ask it, and return what came of it."""
    if behaviours:
        server.will(*behaviours)
    async with Model("gpt-4o", base_url=server.base_url, api_key="none-needed", **options) as model:
        try:
            return judged(await model.ask(HELLO, on_text=hearing if streaming else None, **(asking or {})))
        except ModelError as failure:
            return failure


def clean(server, but=""):
    """Whether the server's own verdict finds nothing to say against us, but for one warning perhaps."""
    verdict = server.verdict()
    found = [line.split()[1] for line in verdict.splitlines() if line.split()[:1] in (["FAIL"], ["WARN"])]
    assert [code for code in found if code != but] == [], verdict
    return True


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "behaviour",
    [
        {"type": "fail", "status": 429, "retry_after": 1, "times": 2},
        {"type": "fail", "status": 429, "retry_after": 0.3, "times": 1},
        {"type": "fail", "status": 500, "times": 2},
        {"type": "fail", "status": 503, "retry_after": 1, "times": 1},
        {"type": "fail", "status": 408, "times": 1},
    ],
)
@pytest.mark.asyncio
async def test_what_passes_is_waited_out_as_the_server_asks(server, behaviour, streaming):
    answer = await asked(server, behaviour, streaming=streaming)
    assert answer.attempts == behaviour["times"] + 1
    assert len(server.requests()) == answer.attempts
    assert clean(server)


@pytest.mark.parametrize(
    ("status", "error"), [(429, RateLimited), (500, ServerFailed), (502, ServerFailed), (529, ServerFailed)]
)
@pytest.mark.asyncio
async def test_what_does_not_pass_ends_by_name_after_a_few_attempts(server, status, error):
    failure = await asked(server, {"type": "fail", "status": status, "retry_after": 0.2, "times": None}, attempts=4)
    assert type(failure) is error
    assert len(server.requests()) == 4
    assert clean(server)


@pytest.mark.asyncio
async def test_without_a_word_of_when_the_waits_grow(server):
    failure = await asked(server, {"type": "fail", "status": 500, "times": None}, attempts=4)
    assert type(failure) is ServerFailed
    assert clean(server)


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        ({"type": "fail", "status": 400}, RequestRefused),
        ({"type": "fail", "status": 422}, RequestRefused),
        ({"type": "fail", "status": 429, "code": "insufficient_quota"}, QuotaSpent),
    ],
)
@pytest.mark.asyncio
async def test_what_no_waiting_mends_is_asked_once(server, behaviour, error):
    assert type(await asked(server, behaviour)) is error
    assert len(server.requests()) == 1


@pytest.mark.parametrize(
    ("fault", "attempt"),
    [("disconnect", "AnswerCut"), ("truncate", "AnswerCut"), ("malformed", "AnswerCorrupt"), ("stall", "AnswerCut")],
)
@pytest.mark.asyncio
async def test_a_stream_that_breaks_is_asked_for_again(server, fault, attempt):
    behaviour = {"type": "stream_fault", "kind": fault, "after_chunks": 3, "stall_seconds": 3}
    answer = await asked(server, behaviour, streaming=True, timeout=1)
    assert (answer.finish_reason, answer.attempts, answer.tried[0].failure) == ("stop", 2, attempt)
    # A piece that is no JSON may be the last one it sends: then the next request looks like another question to it.
    assert clean(server, but="malformed_chunk_ignored" if fault == "malformed" else "")


@pytest.mark.parametrize(
    ("fault", "error"),
    [("disconnect", AnswerCut), ("truncate", AnswerCut), ("malformed", AnswerCorrupt), ("stall", AnswerCut)],
)
@pytest.mark.asyncio
async def test_a_stream_that_always_breaks_is_kept_as_far_as_it_came(server, fault, error):
    behaviour = {"type": "stream_fault", "kind": fault, "after_chunks": 3, "stall_seconds": 2, "times": None}
    failure = await asked(server, behaviour, streaming=True, timeout=1, attempts=2)
    assert type(failure) is error
    assert failure.answer.text
    assert len(server.requests()) == 2


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.asyncio
async def test_a_silent_server_is_given_up_on_in_time(server, streaming):
    delay = {"type": "delay", "seconds": 3, "times": None}
    failure = await asked(server, delay, streaming=streaming, timeout=0.5, attempts=2)
    assert type(failure) is ServerSilent
    assert len(failure.tried) == 2


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.asyncio
async def test_an_answer_that_is_no_json_or_ran_too_long_is_an_answer(server, streaming):
    reply = {"type": "reply", "text": '{"name": "re', "finish_reason": "length"}
    failure = await asked(server, reply, streaming=streaming, asking={"schema": COLOUR})
    assert type(failure) is AnswerTooLong
    assert failure.answer.text == '{"name": "re'
    answer = await asked(server, {**reply, "finish_reason": "stop"}, streaming=streaming, asking={"schema": COLOUR})
    assert answer.text == '{"name": "re'
    assert len(server.requests()) == 2


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.asyncio
async def test_a_schema_and_tools_are_understood(server, streaming):
    answer = await asked(server, streaming=streaming, asking={"schema": COLOUR})
    assert answer.rung == "json_schema"
    assert answer.text in ('{"name":"red"}', '{"name": "red"}')
    assert answer.input_tokens > 0 < answer.output_tokens
    answer = await asked(server, streaming=streaming, asking={"tools": [WEATHER]})
    assert [call.name for call in answer.tool_calls] == ["weather"]


@pytest.mark.asyncio
async def test_many_at_once_bear_a_server_that_limits_them(server):
    server.will({"type": "fail", "status": 429, "retry_after": 1, "times": 3})
    ends = []
    async with Model("gpt-4o", base_url=server.base_url, api_key="none-needed", concurrency=8) as model:

        async def ask(number):
            ends.append(judged(await model.ask([{"role": "user", "content": f"question {number}"}])))

        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(ask, number)
    assert len(ends) == 30
    assert len(server.requests()) == 33
    assert clean(server)


@pytest.mark.asyncio
async def test_the_journal_of_the_server_agrees_with_our_count(tmp_path):
    fixtures: list[dict[str, Any]] = [
        {"match": {"userMessage": "red"}, "response": {"content": '{"name": "red"}'}},
        {"match": {"userMessage": "secret"}, "response": {"content": "no", "finishReason": "content_filter"}},
        {
            "match": {"userMessage": "busy", "sequenceIndex": 0},
            "response": {"error": {"message": "slow down", "type": "rate_limit_error"}, "status": 429},
        },
        {"match": {"userMessage": "busy", "sequenceIndex": 1}, "response": {"content": "now"}},
    ]
    with aimock(tmp_path, fixtures) as server:
        async with Model("gpt-4o", base_url=server.base_url, api_key="none-needed") as model:
            answers = [await model.ask([{"role": "user", "content": text}]) for text in ("red", "secret", "busy")]
            answers += [await model.ask([{"role": "user", "content": "red"}], on_text=hearing)]
        assert [answer.text for answer in answers] == ['{"name": "red"}', "no", "now", '{"name": "red"}']
        assert answers[2].attempts == 2
        assert all(answer.request_id for answer in answers)
        assert len(server.journal()) == sum(answer.attempts for answer in answers)


@pytest.mark.asyncio
async def test_a_server_that_is_not_there_is_named():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        async with Model("gpt-4o", base_url=address, api_key="none-needed", attempts=2) as model:
            with pytest.raises(ServerUnreachable, match="ConnectError"):
                await model.ask(HELLO)
