"""(e) N LLM agents that ask a model server 50 ms away, all at once: beside the bare client, with equal limits.

Both ask with the same strict schema; the agents also validate what comes, capture it and merge the facts.
"""

__all__ = ["cases"]

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from importlib.util import find_spec
from time import perf_counter, process_time
from typing import Any

import anyio

from benchmarks.case import Case, Figures, Setting, Variant
from benchmarks.floors import SLEEP, Echo, Tick
from benchmarks.jobs import engine_on, run
from benchmarks.stub import ANSWER, loopback
from converge import Agent, Engine, Fact
from converge_agents.answer import Answer
from converge_agents.llm import LLMAgent
from converge_agents.model import Model
from converge_agents.schema import AnswerForm

_PROMPT = "Which risks does this signal tell of? " * 20
_MESSAGES: Any = [{"role": "user", "content": _PROMPT}]
_KNOWN: Any = {"api_key": "none", "max_retries": 0}
_NO_AIOHTTP = "aiohttp is not installed beside openai"
_WITH_AIOHTTP = ("aiohttp", "bare client, aiohttp transport", "converge, aiohttp transport")
Call = Callable[[], Awaitable[object]]


async def cases(setting: Setting) -> AsyncIterator[Case]:
    """On the client's own transport, and on aiohttp where that is installed."""
    has_aiohttp = find_spec("aiohttp") is not None
    async with loopback(SLEEP) as base_url:
        for count in setting.of((50,), (1, 10, 100, 1_000)):
            async with AsyncExitStack() as stack:
                yield Case(
                    f"calls {count}",
                    f"(e) N = {count:,} agents that ask a server 50 ms away",
                    "ms",
                    await _variants(setting, stack, base_url, count, has_aiohttp=has_aiohttp),
                    base=_WITH_AIOHTTP[1] if has_aiohttp else "bare client",
                    absent={} if has_aiohttp else dict.fromkeys(_WITH_AIOHTTP, _NO_AIOHTTP),
                    rounds=setting.of(2, 3),
                )


async def _variants(
    setting: Setting, stack: AsyncExitStack, base_url: str, count: int, *, has_aiohttp: bool
) -> list[Variant]:
    from httpx2 import Limits
    from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient

    async def client(make: Any) -> AsyncOpenAI:
        http = make(limits=Limits(max_connections=count, max_keepalive_connections=count))
        return await stack.enter_async_context(AsyncOpenAI(base_url=base_url, http_client=http, **_KNOWN))

    async def engine(model: Any) -> Engine:
        agents = [asking(model, listener) for listener in range(count)]
        return await stack.enter_async_context(engine_on("memory", setting.folder, agents))

    async def modelled(**options: Any) -> Engine:
        model = Model("loopback", base_url=base_url, api_key="none", concurrency=count, **options)
        return await engine(await stack.enter_async_context(model))

    variants = [
        Variant("bare client", partial(_all_at_once, count, partial(_create, await client(DefaultAsyncHttpxClient)))),
        Variant("converge", partial(_converge, await modelled(), count)),
        Variant("converge, asking nothing", partial(_converge, await engine(Nobody()), count)),
    ]
    if has_aiohttp:
        wire = await client(DefaultAioHttpClient)
        session = await stack.enter_async_context(_session(count))
        variants += [
            Variant("aiohttp", partial(_all_at_once, count, partial(_post, session, base_url))),
            Variant("bare client, aiohttp transport", partial(_all_at_once, count, partial(_create, wire))),
            Variant("converge, aiohttp transport", partial(_converge, await modelled(client=wire), count)),
        ]
    return variants


class Said(Fact):
    text: str


def asking(model: Any, listener: int) -> Agent:
    return LLMAgent(
        f"listener-{listener}",
        model,
        lambda tick: _PROMPT,
        Tick,
        Echo,
        each=Tick,
        answers=Said,
        conclude=lambda said, tick, view: Echo(listener, len(said.text)),
    )


class Nobody:
    """A model that answers without being asked: what is left is what the runtime does for each call."""

    name, price = "nobody", None

    async def ask(self, messages: Any, **_: Any) -> Answer:
        """Return the server's answer at once."""
        return Answer(text=ANSWER, finish_reason="stop", rung="json_schema")


_FORMAT = AnswerForm([Said])


async def _create(client: Any) -> None:
    asked: Any = {"messages": _MESSAGES, "max_tokens": 1024, "response_format": _FORMAT.response_format}
    completion = await client.chat.completions.create(model="loopback", **asked)
    assert completion.choices[0].finish_reason == "stop"


def _session(count: int) -> Any:
    from aiohttp import ClientSession, TCPConnector

    return ClientSession(connector=TCPConnector(limit=count))


async def _post(session: Any, base_url: str) -> None:
    asked = {"messages": _MESSAGES, "max_tokens": 1024, "response_format": _FORMAT.response_format}
    body: Mapping[str, Any] = {"model": "loopback", **asked}
    async with session.post(f"{base_url}/chat/completions", json=body) as response:
        assert (await response.json())["choices"][0]["finish_reason"] == "stop"


async def _all_at_once(count: int, call: Call) -> Figures:
    started, worked = perf_counter(), process_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(call)
    return _figures(count, started, worked)


async def _converge(engine: Engine, count: int) -> Figures:
    started, worked = perf_counter(), process_time()
    outcome = await run(engine, [Tick(0)])
    figures = _figures(count, started, worked)
    assert len(outcome.context.all(Echo)) == count
    return figures


def _figures(count: int, started: float, worked: float) -> Figures:
    seconds = process_time() - worked
    return {"ms": (perf_counter() - started) * 1e3, "ms of CPU a call": seconds / count * 1e3}
