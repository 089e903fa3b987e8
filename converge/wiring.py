"""Agents put together by what they declare: who reads what, who waits for whom. Found when the engine is built."""

__all__ = ["Wiring"]

from collections.abc import Iterable, Mapping, Sequence

from converge.agent import Agent
from converge.errors import KindUnknown, WiringInvalid
from converge.fact import Fact, Failure, Invalidation, kind_of
from converge.intent import RootIntent
from converge.kind import Kind

_STATED = (RootIntent, Invalidation, Failure)  # kinds that need no agent to write them


class Wiring:
    """The agents in name order, so that an agent's number is also its place in every written order.

    Raises WiringInvalid for two agents of one name, two classes of one kind, or an input that `inputs` omits.
    """

    def __init__(self, agents: Iterable[Agent], inputs: Iterable[type[Fact]] | None = None) -> None:
        self.agents: Sequence[Agent] = tuple(sorted(agents, key=lambda agent: agent.name))
        self._refuse_equal_names()
        self.kinds: Mapping[str, Kind] = self._collect_kinds(inputs or ())
        self.written = frozenset(label for agent in self.agents for label in agent.written)
        read = {label for agent in self.agents for label in agent.reader.reads or ()}
        self.inputs = tuple(sorted(read - self.written - {kind_of(cls).label for cls in _STATED}))
        if inputs is not None:
            self._refuse_undeclared_inputs({kind_of(cls).label for cls in inputs})
        self.readers: Mapping[str, tuple[int, ...]] = self._index_readers()
        self.relabel_readers: Mapping[str, tuple[int, ...]] = {
            label: found
            for label, numbers in self.readers.items()
            if (found := tuple(number for number in numbers if self.agents[number].replacing))
        }
        self.levels: Mapping[int, int] = self._settled_levels()

    def known(self, fact: Fact) -> None:
        """Raise KindUnknown for a fact of a kind that nobody here declares, or of another class with its name."""
        kind = kind_of(fact)
        if self.kinds.get(kind.label) is not kind and not isinstance(fact, Invalidation):
            raise KindUnknown(kind.label, self.kinds)

    def _refuse_equal_names(self) -> None:
        for one, other in zip(self.agents, self.agents[1:], strict=False):
            if one.name == other.name:
                raise WiringInvalid(
                    f"two agents are named {one.name!r}: give one of them another name, as in @agent(name=...)"
                )

    def _collect_kinds(self, inputs: Iterable[type[Fact]]) -> dict[str, Kind]:
        kinds: dict[str, Kind] = {}
        for cls in [*(cls for agent in self.agents for cls in agent.kinds), *inputs]:
            kind = kind_of(cls)
            if cls not in _STATED and kind.label in (kind_of(stated).label for stated in _STATED):
                raise WiringInvalid(
                    f"kind {kind.label} is stated by the runtime: name yours otherwise, as in "
                    f"class {kind.name}(Fact, name='my-{kind.name.lower()}')"
                )
            if kinds.setdefault(kind.label, kind) is not kind:
                raise WiringInvalid(
                    f"two classes are the kind {kind.label}: {cls.__module__}.{cls.__qualname__} and another; "
                    "import the same class everywhere, or name one of them, as in class X(Fact, name=...)"
                )
        return kinds

    def _refuse_undeclared_inputs(self, declared: set[str]) -> None:
        if missing := [label for label in self.inputs if label not in declared]:
            raise WiringInvalid(
                f"kind {missing[0]} is read and no agent writes it: "
                "add it to Engine(inputs=[...]) if it is given from outside, or mend the writes= of its author"
            )

    def _index_readers(self) -> dict[str, tuple[int, ...]]:
        readers: dict[str, list[int]] = {}
        for number, agent in enumerate(self.agents):
            for label in agent.reader.reads or ():
                readers.setdefault(label, []).append(number)
        return {label: tuple(numbers) for label, numbers in readers.items()}

    def _settled_levels(self) -> dict[int, int]:
        """Give each settled agent a level above every settled agent whose conclusions can reach it.

        Two that reach each other wait for neither: a level for both would have no beginning.
        """
        settled = {number: agent for number, agent in enumerate(self.agents) if agent.settled}
        shapes = {number: _shape(agent) for number, agent in settled.items()}
        reach = {shape: self._reach(shape) for shape in set(shapes.values())}
        before = {shape: [s for s in reach if reach[s] & shape[0] and not reach[shape] & s[0]] for shape in reach}
        heights: dict[tuple[frozenset[str], frozenset[str]], int] = {}
        for shape in sorted(before, key=lambda shape: len(before[shape])):  # "before" is transitive: fewer come first
            heights[shape] = 1 + max((heights[s] for s in before[shape] if s in heights), default=-1)
        return {number: heights[shape] for number, shape in shapes.items()}

    def _reach(self, shape: tuple[frozenset[str], frozenset[str]]) -> frozenset[str]:
        """Return every kind that what is written from here can lead to."""
        reached, front = set(shape[1]), list(shape[1])
        while front:
            for number in self.readers.get(front.pop(), ()):
                more = _shape(self.agents[number])[1] - reached
                reached |= more
                front += more
        return frozenset(reached)


def _shape(agent: Agent) -> tuple[frozenset[str], frozenset[str]]:
    """Return what an agent reads and what it can change: agents of one shape wait for the same others."""
    return frozenset(agent.reader.reads or ()), agent.written | agent.invalidated
