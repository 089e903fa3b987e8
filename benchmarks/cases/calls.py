"""(e) N LLM agents that ask a model server 50 ms away, all at once: beside the bare client on equal terms.

Equal terms: the same transport, as many calls at a time (asyncio.Semaphore), messages of one size, the same strict
schema, N tasks for N agents. The agents also validate what comes, capture it, and merge what follows. `Model` alone
shows what it takes by itself to try again, to keep limits and to judge an answer.
"""

__all__ = ["cases"]

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from time import perf_counter, process_time
from typing import Any

import anyio

from benchmarks.case import Case, Figures, Plan, Setting, Variant
from benchmarks.floors import SLEEP, Echo, Tick
from benchmarks.jobs import engine_on, run
from benchmarks.stub import ANSWER, loopback
from converge import Agent, Engine, Fact
from converge_agents.answer import Answer
from converge_agents.llm import LLMAgent
from converge_agents.model import Model
from converge_agents.schema import AnswerForm

_PROMPT = "Which risks does this signal tell of? " * 20
_SYSTEM = "You state facts; whether they are believed is decided elsewhere. " * 4  # as long as what an agent says first
_MESSAGES: Any = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _PROMPT}]
_BARE, _ON_HTTPX = "bare client, aiohttp", "bare client, httpx2 (its default)"
_NO_AIOHTTP = "aiohttp is not installed beside openai"
Call = Callable[[], Coroutine[Any, Any, None]]


def cases(setting: Setting) -> Iterator[Plan]:
    """On aiohttp, which `Model` takes where it is installed; the bare client on its default transport too."""
    for count in setting.of((50,), (1, 10, 100, 1_000)):
        yield Plan(f"calls {count}", partial(_of, setting, count))


@asynccontextmanager
async def _of(setting: Setting, count: int) -> AsyncIterator[Case]:
    has_aiohttp = find_spec("aiohttp") is not None
    async with loopback(SLEEP) as base_url, AsyncExitStack() as stack:
        bare = await _bare(stack, base_url, count, has_aiohttp=has_aiohttp)
        yield Case(
            f"(e) N = {count:,} agents that ask a server 50 ms away",
            "ms",
            [*bare, *await _ours(setting, stack, base_url, count)],
            base=_BARE if has_aiohttp else _ON_HTTPX,
            absent={} if has_aiohttp else dict.fromkeys(("aiohttp alone", _BARE), _NO_AIOHTTP),
            rounds=setting.of(1, 4),
            patience=setting.of(None, 20.0),  # a share of CPU is taken from it, which one round is too few for
        )


async def _bare(stack: AsyncExitStack, base_url: str, count: int, *, has_aiohttp: bool) -> list[Variant]:
    from httpx2 import Limits
    from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient

    async def variant(name: str, make: Any) -> Variant:
        http = make(limits=Limits(max_connections=count, max_keepalive_connections=count))
        client = AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=60.0, http_client=http)
        call = partial(_create, await stack.enter_async_context(client), asyncio.Semaphore(count))
        return Variant(name, partial(_all_at_once, count, call))

    on_httpx = await variant(_ON_HTTPX, DefaultAsyncHttpxClient)
    if not has_aiohttp:
        return [on_httpx]
    session = await stack.enter_async_context(_session(count))
    alone = Variant("aiohttp alone", partial(_all_at_once, count, partial(_post, session, base_url)))
    return [alone, on_httpx, await variant(_BARE, DefaultAioHttpClient)]


async def _ours(setting: Setting, stack: AsyncExitStack, base_url: str, count: int) -> list[Variant]:
    async def engine(model: Any) -> Engine:
        agents = [asking(model, listener) for listener in range(count)]
        return await stack.enter_async_context(engine_on("memory", setting.folder, agents))

    model = await stack.enter_async_context(Model("loopback", base_url=base_url, api_key="none", concurrency=count))
    return [
        Variant("Model alone", partial(_all_at_once, count, partial(_ask, model))),
        Variant("converge", partial(_converge, await engine(model), count)),
        Variant("converge, asking nothing", partial(_converge, await engine(Nobody()), count)),
    ]


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


async def _create(client: Any, places: asyncio.Semaphore) -> None:
    asked: Any = {"messages": _MESSAGES, "max_tokens": 1024, "response_format": _FORMAT.response_format}
    async with places:
        completion = await client.chat.completions.create(model="loopback", **asked)
    assert completion.choices[0].finish_reason == "stop"


async def _ask(model: Model) -> None:
    answer = await model.ask(_MESSAGES, schema=_FORMAT.schema)
    assert answer.finish_reason == "stop"


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
