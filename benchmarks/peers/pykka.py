"""pykka: an actor is a thread, so the N actors are started before the clock. `ask` all without blocking, `get_all`.

Telling and having each actor tell the hub took as long or longer. There is no merge, identity or record here: what
is measured is N messages and N answers between threads.
"""

__all__ = ["PACKAGES", "TASKS"]

from functools import cache

import pykka

from benchmarks.peers.echo import Echo, Timer

PACKAGES = ("pykka", "pydantic")


class Listener(pykka.ThreadingActor):
    """Answers each tick."""

    use_daemon_thread = True

    def __init__(self, listener: int) -> None:
        super().__init__()
        self._listener = listener

    def on_receive(self, message: int) -> Echo:
        """Return an echo."""
        return Echo(self._listener, message)


@cache
def actors(count: int) -> list[pykka.ActorRef[Listener]]:
    return [Listener.start(listener) for listener in range(count)]


async def fan(count: int) -> float:
    listeners = actors(count)
    with Timer() as timer:
        heard = pykka.get_all([listener.ask(0, block=False) for listener in listeners])
    assert len(heard) == count
    return timer.seconds


TASKS = {"fan, memory": fan}
