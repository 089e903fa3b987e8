"""AutoGen core: its single-threaded runtime, tracing off as its docs say how. The hub sends to each, gathers answers.

The N agents are of one type, each with a key of its own. A topic to which N types subscribe, and another for their
answers, took as long, and seconds to register at 1,000.
"""

__all__ = ["PACKAGES", "TASKS"]

import asyncio
import os

os.environ["AUTOGEN_DISABLE_RUNTIME_TRACING"] = "true"  # read when the runtime is made

from autogen_core import AgentId, MessageContext, RoutedAgent, SingleThreadedAgentRuntime, message_handler
from pydantic.dataclasses import dataclass

from benchmarks.peers.echo import Echo, Timer

PACKAGES = ("autogen-core", "pydantic")
LISTENER, HUB = "listener", AgentId("hub", "all")


@dataclass
class Start:
    count: int


@dataclass
class Tick:
    n: int


@dataclass
class Total:
    heard: int


class Listener(RoutedAgent):
    """Answers each tick."""

    def __init__(self) -> None:
        super().__init__("listener")
        self._listener = int(self.id.key)

    @message_handler
    async def on_tick(self, message: Tick, ctx: MessageContext) -> Echo:
        """Return an echo."""
        return Echo(self._listener, message.n)


class Hub(RoutedAgent):
    """Asks everybody."""

    def __init__(self) -> None:
        super().__init__("hub")

    @message_handler
    async def on_start(self, message: Start, ctx: MessageContext) -> Total:
        """Count the answers."""
        tick, ids = Tick(0), (AgentId(LISTENER, f"{listener}") for listener in range(message.count))
        return Total(len(await asyncio.gather(*(self.send_message(tick, listener) for listener in ids))))


async def runtime_of() -> SingleThreadedAgentRuntime:
    runtime = SingleThreadedAgentRuntime(ignore_unhandled_exceptions=False)
    await Listener.register(runtime, LISTENER, Listener)
    await Hub.register(runtime, HUB.type, Hub)
    return runtime


_runtimes: list[SingleThreadedAgentRuntime] = []


async def fan(count: int) -> float:
    if not _runtimes:
        _runtimes.append(await runtime_of())  # a first round makes its agents
    runtime = _runtimes[0]
    runtime.start()
    with Timer() as timer:
        total = await runtime.send_message(Start(count), HUB)
        await runtime.stop_when_idle()
    assert total.heard == count
    return timer.seconds


TASKS = {"fan, memory": fan}
