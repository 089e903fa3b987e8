"""pykka: an actor is a thread, so all are started before the clock. Each is told, and tells the hub, which counts.

To `ask` all without blocking and `get_all` the futures took 1.1 times as long, calls of proxies 1.3 times. There is no
merge, identity or record here: what is measured is N messages and N answers between threads.
"""

__all__ = ["PACKAGES", "TASKS"]

from functools import cache
from threading import Event

import pykka

from benchmarks.peers.echo import Echo, Timer

PACKAGES = ("pykka", "pydantic")


class Listener(pykka.ThreadingActor):
    """Answers each tick."""

    use_daemon_thread = True

    def __init__(self, listener: int, hub: pykka.ActorRef["Hub"]) -> None:
        super().__init__()
        self._listener, self._hub = listener, hub

    def on_receive(self, message: int) -> None:
        """Tell the hub an echo."""
        self._hub.tell(Echo(self._listener, message))


class Hub(pykka.ThreadingActor):
    """Keeps the answers."""

    use_daemon_thread = True

    def __init__(self, count: int, heard: list[Echo], complete: Event) -> None:
        super().__init__()
        self._count, self._heard, self._complete = count, heard, complete

    def on_receive(self, message: Echo) -> None:
        """Keep an echo; say when it was the last."""
        self._heard.append(message)
        if len(self._heard) == self._count:
            self._complete.set()


@cache
def actors(count: int) -> tuple[list[pykka.ActorRef[Listener]], list[Echo], Event]:
    heard, complete = list[Echo](), Event()
    hub = Hub.start(count, heard, complete)
    return [Listener.start(listener, hub) for listener in range(count)], heard, complete


async def fan(count: int) -> float:
    listeners, heard, complete = actors(count)
    heard.clear()
    complete.clear()
    with Timer() as timer:
        for listener in listeners:
            listener.tell(0)
        complete.wait()
    assert len(heard) == count
    return timer.seconds


TASKS = {"fan, memory": fan}
