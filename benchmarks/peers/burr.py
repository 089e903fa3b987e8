"""Burr: MapStates, its documented fan-out, asynchronous (asyncio.gather inside) and without a tracker or persister.

The alternative for N branches, TaskBasedParallelAction, is what MapStates is made of.
"""

__all__ = ["PACKAGES", "TASKS"]

from collections.abc import AsyncGenerator
from typing import Any

from burr.core import Application, ApplicationBuilder, State, action
from burr.core.parallelism import MapStates

from benchmarks.peers.echo import Echo, Timer

PACKAGES = ("apache-burr", "pydantic")


@action(reads=[], writes=["n"])
async def hub(state: State) -> State:
    return state.update(n=0)


@action(reads=["listener", "n"], writes=["echo"])
async def listen(state: State) -> State:
    return state.update(echo=Echo(state["listener"], state["n"]))


class Everybody(MapStates):
    """Runs `listen` once for each listener."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def action(self, state: State, inputs: dict[str, Any]) -> Any:
        """Return what runs for each state."""
        return listen

    async def states(self, state: State, context: Any, inputs: dict[str, Any]) -> AsyncGenerator[State, None]:
        """Yield a state for each listener."""
        for listener in range(self._count):
            yield state.update(listener=listener)

    async def reduce(self, state: State, states: AsyncGenerator[State, None]) -> State:
        """Put what came of them together."""
        return state.update(echoes=[done["echo"] async for done in states])

    def is_async(self) -> bool:
        """Have the branches run by asyncio."""
        return True

    reads, writes = ["n"], ["echoes"]  # as the base class declares them


@action(reads=["echoes"], writes=["heard"])
async def back(state: State) -> State:
    return state.update(heard=len(state["echoes"]))


async def application(count: int) -> Application:
    builder = ApplicationBuilder().with_actions(hub=hub, everybody=Everybody(count), back=back)
    builder = builder.with_transitions(("hub", "everybody"), ("everybody", "back")).with_entrypoint("hub")
    return await builder.abuild()


async def fan(count: int) -> float:
    built = await application(count)  # one application is one run
    with Timer() as timer:
        _, _, state = await built.arun(halt_after=["back"])
    assert state["heard"] == count
    return timer.seconds


TASKS = {"fan, memory": fan}
