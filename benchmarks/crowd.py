"""Agents that several cases employ, and their functions, which the floors run without a runtime."""

__all__ = ["bystanders", "listener", "listening", "walker", "walking"]

from collections.abc import AsyncIterator
from functools import cache
from typing import Any

from benchmarks.floors import Echo, Function, Tick
from converge import Agent, Assertion, Fact, View, agent

_KINDS = 100  # for the bystanders: agents of equal declarations would be one group, which is cheaper

Facts = list[Fact]  # once, for an annotation of each agent's function would be a part of what an idle agent takes


def listening(number: int) -> Function:
    async def listen(view: View) -> AsyncIterator[Assertion]:
        for tick in view.new(Tick):
            yield Echo(number, tick.n).because(tick)

    return listen


def listener(number: int) -> Agent:
    return agent(name=f"listener-{number}", reads=Tick, writes=Echo)(listening(number))


def walking(upto: int) -> Function:
    async def walk(view: View) -> AsyncIterator[Assertion]:
        for last in view.new(Echo):
            if last.n < upto:
                yield Echo(0, last.n + 1).because(last)

    return walk


def walker(upto: int) -> Agent:
    return agent(reads=Echo, writes=Echo)(walking(upto))


def bystanders(count: int) -> list[Agent]:
    """Return agents that nothing ever concerns."""

    def idle(number: int) -> Agent:
        kind = _kinds()[number % _KINDS]

        @agent(name=f"bystander-{number}", reads=kind, writes=kind)
        def wait(view: View) -> Facts:
            return [kind(fact.n + 1) for fact in view.new(kind)]

        return wait

    return list(map(idle, range(count)))


@cache
def _kinds() -> list[Any]:
    make: Any = type(Fact)
    return [make(f"Other{number}", (Fact,), {"__annotations__": {"n": int}}) for number in range(_KINDS)]
