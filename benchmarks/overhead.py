"""What the runtime adds to an agent's own work: the same facts made by a direct loop and by agents of an engine.

`.venv/bin/python benchmarks/overhead.py` takes about ten seconds. Both are measured in turn in one process, so the
ratio holds on a noisy machine; the microseconds do not.
"""

import asyncio
from statistics import median
from time import perf_counter

from converge import Engine, Fact, View, agent, id_of

ROUNDS = 7


class Tick(Fact):
    n: int


class Echo(Fact):
    listener: int
    n: int


async def echo(listener: int, tick: Tick) -> Echo:
    return Echo(listener=listener, n=tick.n)


def listening(listener: int):
    @agent(name=f"listener-{listener}", reads=Tick, writes=Echo)
    async def listen(view: View):
        for tick in view.new(Tick):
            yield (await echo(listener, tick)).because(tick)

    return listen


async def direct(count: int) -> float:
    """Seconds for the bound of any Python runtime: await each agent's work, make its fact, identify it, keep it."""
    kept, tick, started = {}, Tick(0), perf_counter()
    for listener in range(count):
        fact = await echo(listener, tick)
        kept[id_of(fact)] = fact
    return perf_counter() - started


async def engine(engine: Engine) -> float:
    """Seconds for one job in which every agent answers once: views, checks, merge, trace and commit included."""
    started = perf_counter()
    outcome = await engine.run("listen", [Tick(0)])
    assert outcome.converged
    return perf_counter() - started


async def main() -> None:
    """Print a table of medians, per activation that adds one fact."""
    print(f"{'agents':>6}  {'direct µs':>9}  {'converge µs':>11}  {'ratio':>5}")
    for count in (10, 100, 1_000, 10_000):
        listeners = Engine([listening(listener) for listener in range(count)])
        pairs = [(await direct(count), await engine(listeners)) for _ in range(ROUNDS)][1:]
        floor, ours = (median(times) / count * 1e6 for times in zip(*pairs, strict=True))
        print(f"{count:>6}  {floor:>9.1f}  {ours:>11.1f}  {median(b / a for a, b in pairs):>5.1f}")


if __name__ == "__main__":
    asyncio.run(main())
