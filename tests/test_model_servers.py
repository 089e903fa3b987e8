"""Many questions to servers written by others: one judges how its clients bear it, one keeps a journal of requests."""

from typing import Any

import anyio
import openai
import pytest

from converge_agents.answer import judged
from converge_agents.errors import ModelError
from tests.servers import Verdict, aimock, llmock

HELLO = [{"role": "user", "content": "hello"}]

pytestmark = pytest.mark.slow  # each failure is waited out in real seconds


def hearing(text, attempt):
    """Take a piece of a stream."""


async def ask_at_once(model, count, *, streaming=False):
    """Ask so many questions, each another, and return the answers and failures."""
    ends: list[Any] = []

    async def ask(number):
        try:
            question = [{"role": "user", "content": f"question {number}"}]
            ends.append(judged(await model.ask(question, on_text=hearing if streaming else None)))
        except ModelError as failure:
            ends.append(failure)

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(ask, number)
    return ends


# --- many at once -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_many_at_once_bear_a_server_that_asks_for_patience(server):
    server.will({"type": "fail", "status": 429, "retry_after": 1, "times": 3})
    async with server.model(concurrency=8) as model:
        ends = await ask_at_once(model, 30)
    assert [end for end in ends if isinstance(end, ModelError)] == []
    assert sum(end.attempts for end in ends) == 33
    assert server.verdict() == Verdict(33, 3, [])


@pytest.mark.asyncio
async def test_many_at_once_bear_a_server_that_counts_per_minute():
    with llmock("--rpm", "60") as server:
        async with server.model(concurrency=16) as model:
            ends = await ask_at_once(model, 63)
        verdict = server.verdict()
    assert [end for end in ends if isinstance(end, ModelError)] == []
    asked = sum(end.attempts for end in ends)
    assert verdict == Verdict(asked, asked - 63, [])
    assert verdict.faults > 0


@pytest.mark.asyncio
async def test_many_at_once_bear_all_kinds_of_trouble(server):
    server.will(
        {"type": "fail", "status": 500, "times": 3},
        {"type": "fail", "status": 429, "retry_after": 0.5, "times": 3},
        {"type": "fail", "status": 503, "retry_after": 0.5, "times": 3},
        {"type": "stream_fault", "kind": "disconnect", "after_chunks": 2, "times": 3},
        {"type": "stream_fault", "kind": "truncate", "after_chunks": 2, "times": 3},
    )
    async with server.model(concurrency=8, attempts=8) as model:
        ends = await ask_at_once(model, 30, streaming=True)
    assert [end for end in ends if isinstance(end, ModelError)] == []
    assert sum(end.attempts for end in ends) == 45
    assert server.verdict() == Verdict(45, 15, [])


# --- the judge ----------------------------------------------------------------------------------------------------


async def insist(client, times, **options):
    """Ask again at once, as often as that: what no client should do."""
    for _ in range(times):
        try:
            stream = await client.chat.completions.create(model="gpt-4o", messages=HELLO, **options)
            if options.get("stream"):
                async with stream:
                    assert [chunk async for chunk in stream]
        except openai.APIError:
            continue
        return


BUSY = {"type": "fail", "status": 429, "retry_after": 1, "times": None}
SOON = {**BUSY, "retry_after": 0.05}
ILL = {"type": "fail", "status": 500, "times": None}
WRONG = {"type": "fail", "status": 400, "times": None}
CUT = {"type": "stream_fault", "kind": "truncate", "after_chunks": 2}
STALLED = {"type": "stream_fault", "kind": "stall", "after_chunks": 2, "stall_seconds": 1.1}


@pytest.mark.parametrize(
    ("behaviour", "retries", "insisting", "findings"),
    [
        (BUSY, 0, {"times": 3}, {"retry_after_ignored"}),
        (BUSY, 0, {"times": 11}, {"retry_after_ignored", "retry_storm"}),
        (ILL, 0, {"times": 11}, {"retry_storm", "no_backoff"}),
        (SOON, 2, {"times": 4}, {"retry_storm"}),  # two layers that each try again
        (ILL, 0, {"times": 1}, {"gave_up"}),
        (WRONG, 0, {"times": 2}, {"retried_non_retryable"}),
        (CUT, 0, {"times": 1, "stream": True}, {"truncated_stream_accepted"}),
        (STALLED, 0, {"times": 1, "stream": True}, {"no_read_timeout"}),
    ],
)
@pytest.mark.asyncio
async def test_the_verdict_condemns_a_client_that_behaves_badly(server, behaviour, retries, insisting, findings):
    server.will(behaviour)
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=retries) as client:
        await insist(client, **insisting)
    assert set(server.verdict().findings) == findings


def test_what_is_printed_in_another_form_is_no_verdict():
    for text in ("", "PASS", "LLMock resilience verdict: 1 call(s), 1 attempt(s), 0 fault(s) injected\n\n"):
        with pytest.raises(AssertionError):
            Verdict.of(text)


# --- the journal --------------------------------------------------------------------------------------------------


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
        async with server.model() as model:
            answers = [await model.ask([{"role": "user", "content": text}]) for text in ("red", "secret", "busy")]
            answers += [await model.ask([{"role": "user", "content": "red"}], on_text=hearing)]
        assert [answer.text for answer in answers] == ['{"name": "red"}', "no", "now", '{"name": "red"}']
        assert answers[2].attempts == 2
        assert all(answer.request_id for answer in answers)
        assert len(server.journal()) == sum(answer.attempts for answer in answers)


@pytest.mark.parametrize(
    ("chaos", "failure"),
    [
        ("malformed", "AnswerCorrupt"),
        ("drop", "ServerFailed"),
        ("disconnect", "ServerUnreachable"),
        ("ratelimit", "RateLimited"),
    ],
)
@pytest.mark.asyncio
async def test_a_server_that_spoils_every_answer_is_asked_no_more_often_than_stated(tmp_path, chaos, failure):
    fixtures = [{"match": {"userMessage": "hello"}, "response": {"content": "good day"}}]
    with aimock(tmp_path, fixtures) as server:
        async with server.model(attempts=2, extra_headers={f"x-aimock-chaos-{chaos}": "1"}) as model:
            try:
                judged(await model.ask(HELLO))
                ended = None
            except ModelError as error:
                ended = type(error).__name__
        assert ended == failure
        assert len(server.journal()) == 2
