"""AutoGen core: its single-threaded runtime, tracing off as its docs say how, and one message published to a topic.

N agents subscribe to the topic and each publishes its answer to the hub's. Sending to each with send_message and
gathering the answers took twice as long at 1,000.
"""

__all__ = ["PACKAGES", "TASKS"]

import os

os.environ["AUTOGEN_DISABLE_RUNTIME_TRACING"] = "true"  # read when the runtime is made

from autogen_core import (
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    TopicId,
    TypeSubscription,
    message_handler,
)
from pydantic.dataclasses import dataclass

from benchmarks.peers.echo import Echo, Timer

PACKAGES = ("autogen-core", "pydantic")
TICKS, ECHOES = TopicId("ticks", "all"), TopicId("echoes", "all")


@dataclass
class Tick:
    n: int


class Listener(RoutedAgent):
    """Answers each tick."""

    def __init__(self, listener: int) -> None:
        super().__init__("listener")
        self._listener = listener

    @message_handler
    async def on_tick(self, message: Tick, ctx: MessageContext) -> None:
        """Publish an echo."""
        await self.publish_message(Echo(self._listener, message.n), ECHOES)


class Hub(RoutedAgent):
    """Keeps the answers."""

    heard: list[Echo] = []  # noqa: RUF012  # the runtime makes the object and does not hand it out

    def __init__(self) -> None:
        super().__init__("hub")

    @message_handler
    async def on_echo(self, message: Echo, ctx: MessageContext) -> None:
        """Keep an echo."""
        self.heard.append(message)


async def runtime_of(count: int) -> SingleThreadedAgentRuntime:
    runtime = SingleThreadedAgentRuntime(ignore_unhandled_exceptions=False)
    for listener in range(count):
        name = f"listener-{listener}"
        await Listener.register(runtime, name, lambda listener=listener: Listener(listener))
        await runtime.add_subscription(TypeSubscription(TICKS.type, name))
    await Hub.register(runtime, "hub", Hub)
    await runtime.add_subscription(TypeSubscription(ECHOES.type, "hub"))
    return runtime


_runtimes: dict[int, SingleThreadedAgentRuntime] = {}


async def fan(count: int) -> float:
    if count not in _runtimes:
        _runtimes[count] = await runtime_of(count)
    runtime = _runtimes[count]
    Hub.heard.clear()
    runtime.start()
    with Timer() as timer:
        await runtime.publish_message(Tick(0), TICKS)
        await runtime.stop_when_idle()
    assert len(Hub.heard) == count
    return timer.seconds


TASKS = {"fan, memory": fan}
