"""Agents that several cases employ: one that walks a chain, and any number that nothing ever concerns."""

__all__ = ["bystanders", "walker"]

from benchmarks.floors import Echo
from converge import Agent, Fact, View, agent

_KINDS = 100  # for the bystanders: agents of equal declarations would be one group, which is cheaper


def walker(upto: int) -> Agent:
    @agent(reads=Echo, writes=Echo)
    async def walk(view: View):
        for last in view.new(Echo):
            if last.n < upto:
                yield Echo(0, last.n + 1).because(last)

    return walk


def bystanders(count: int) -> list[Agent]:
    kinds = [type(Fact)(f"Other{number}", (Fact,), {"__annotations__": {"n": int}}) for number in range(_KINDS)]

    def idle(number: int) -> Agent:
        kind = kinds[number % _KINDS]

        @agent(name=f"bystander-{number}", reads=kind, writes=kind)
        def wait(view: View):
            return [kind(fact.n + 1) for fact in view.new(kind)]

        return wait

    return list(map(idle, range(count)))
