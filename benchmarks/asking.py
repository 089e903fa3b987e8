"""What `Model.ask` adds to the bare client: the same calls at a loopback server that answers after 50 ms.

`.venv/bin/python benchmarks/asking.py` takes about two minutes. Both are measured in turn in one process, with equal
limits and warm connections, so the ratio holds on a noisy machine; the seconds do not.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from itertools import count
from statistics import median
from time import perf_counter

import anyio

CALLS, ROUNDS, DELAY = 1_000, 3, 0.05
MESSAGES = [{"role": "user", "content": "Which risks does this signal tell of? " * 20}]

_BODY = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "loopback",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "none " * 20}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
    }
).encode()
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


async def serve() -> None:
    """Answer every request after the delay, in a process of its own; say on which port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).lower():
                size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(size)
                await asyncio.sleep(DELAY)
                writer.write(_ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2_000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def loopback():
    process = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.terminate()
        process.wait()


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    """Seconds for all the calls at once."""
    started = perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(CALLS):
            tasks.start_soon(call)
    return perf_counter() - started


async def compare(base_url: str, limit: int) -> None:
    """Print a line of medians for one limit."""
    from httpx2 import Limits
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    from converge_agents.answer import judged
    from converge_agents.model import Model

    pool = DefaultAsyncHttpxClient(limits=Limits(max_connections=limit, max_keepalive_connections=limit))
    slots, made = asyncio.Semaphore(limit), count()
    async with (
        AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, http_client=pool) as client,
        Model("loopback", base_url=base_url, api_key="none", concurrency=limit) as model,
    ):

        async def bare() -> None:
            async with slots:
                completion = await client.chat.completions.create(model="loopback", messages=MESSAGES, max_tokens=1024)
            assert completion.choices[0].finish_reason == "stop"

        async def ours() -> None:
            assert judged(await model.ask(MESSAGES)).attempts == 1
            next(made)

        pairs = [(await timed(bare), await timed(ours)) for _ in range(ROUNDS + 1)][1:]
        assert next(made) == CALLS * (ROUNDS + 1)
    ratios = [own / bare for bare, own in pairs]
    bare, own = (median(column) for column in zip(*pairs, strict=True))
    print(f"{limit:>6,}  {CALLS / limit * DELAY:>7.2f}  {bare:>7.2f}  {own:>10.2f}  {median(ratios):>5.2f}")


async def main() -> None:
    """Print the figures for several limits."""
    print(f"{'limit':>6}  {'floor s':>7}  {'bare s':>7}  {'converge s':>10}  ratio")
    with loopback() as base_url:
        for limit in (32, 100, 1_000):
            await compare(base_url, limit)


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1:] == ["serve"] else main())
