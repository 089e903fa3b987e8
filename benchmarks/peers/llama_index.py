"""llama-index-workflows: a step that returns a list fans out, one that takes a list joins, as its newest docs say.

With one worker, as the work does not wait: the default of 4 took 1.1 to 1.3 times as long, as many workers as ticks 1.5
to 2.3 times; so did send_event with collect_events, 1.6 to 2.2 times. Its cost grows with the square of N.
"""

__all__ = ["PACKAGES", "TASKS"]

from functools import cache

from workflows import Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from benchmarks.peers.echo import Echo, Timer

PACKAGES = ("llama-index-workflows", "pydantic")


class Tick(Event):
    listener: int
    n: int


class Heard(Event):
    echo: Echo


@cache
def flow_of(count: int) -> Workflow:
    class Fan(Workflow):
        """Hub, listeners, hub."""

        @step
        async def hub(self, start: StartEvent) -> list[Tick]:
            """Send a tick to everybody."""
            return [Tick(listener=listener, n=0) for listener in range(count)]

        @step(num_workers=1)
        async def listen(self, tick: Tick) -> Heard:
            """Answer a tick."""
            return Heard(echo=Echo(tick.listener, tick.n))

        @step
        async def back(self, heard: list[Heard]) -> StopEvent:
            """Take what was heard together."""
            return StopEvent(result=len(heard))

    return Fan(timeout=None)


async def fan(count: int) -> float:
    flow = flow_of(count)
    with Timer() as timer:
        assert await flow.run() == count
    return timer.seconds


TASKS = {"fan, memory": fan}
