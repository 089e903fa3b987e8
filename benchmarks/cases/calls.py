"""(e) N agents that ask a model server 50 ms away, all at once: beside the bare client, with equal limits.

`asking` is where an agent meets a model: what stands there is all that changes with another way to ask.
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
from benchmarks.stub import loopback
from converge import Agent, Engine, View, agent
from converge_agents.answer import judged
from converge_agents.model import Model

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

    async def engine(ask: Callable[[str], Awaitable[str]]) -> Engine:
        agents = [asking(ask, listener) for listener in range(count)]
        return await stack.enter_async_context(engine_on("memory", setting.folder, agents))

    async def modelled(**options: Any) -> Engine:
        model = Model("loopback", base_url=base_url, api_key="none", concurrency=count, **options)
        return await engine(partial(ask, await stack.enter_async_context(model)))

    variants = [
        Variant("bare client", partial(_all_at_once, count, partial(_create, await client(DefaultAsyncHttpxClient)))),
        Variant("converge", partial(_converge, await modelled(), count)),
        Variant("converge, asking nothing", partial(_converge, await engine(nothing), count)),
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


def asking(ask: Callable[[str], Awaitable[str]], listener: int) -> Agent:
    @agent(name=f"listener-{listener}", reads=Tick, writes=Echo)
    async def listen(view: View):
        for tick in view.new(Tick):
            text = await view.capture("ask", ask, _PROMPT)
            yield Echo(listener, len(text)).because(tick)

    return listen


async def ask(model: Model, prompt: str) -> str:
    """Ask a model, as an agent would."""
    return judged(await model.ask([{"role": "user", "content": prompt}])).text


async def nothing(prompt: str) -> str:
    """Answer without asking: what is left is what the runtime does for each call."""
    return "none"


async def _create(client: Any) -> None:
    completion = await client.chat.completions.create(model="loopback", messages=_MESSAGES, max_tokens=1024)
    assert completion.choices[0].finish_reason == "stop"


def _session(count: int) -> Any:
    from aiohttp import ClientSession, TCPConnector

    return ClientSession(connector=TCPConnector(limit=count))


async def _post(session: Any, base_url: str) -> None:
    body: Mapping[str, Any] = {"model": "loopback", "messages": _MESSAGES, "max_tokens": 1024}
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
