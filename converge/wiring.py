"""Agents put together by what they declare: who reads what, who waits for whom. Found when the engine is built."""

__all__ = ["STATED", "Wiring"]

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from converge.agent import Agent, kind_read
from converge.errors import KindUnknown, WiringInvalid
from converge.fact import Fact, Failure, Invalidation, Violation, kind_of
from converge.flow import Flow
from converge.gate import OpinionOf
from converge.intent import RootIntent
from converge.kind import Kind
from converge.promotion import gate_of, is_gate, judged_author, wavering_steps
from converge.proposal import ANSWERING, SAID_ABOUT, Decision, Opinion, proposed_by

STATED = (RootIntent, Invalidation, Failure, Violation)  # kinds that need no agent to write them


class Wiring:
    """The agents in name order, so that an agent's number is also its place in every written order.

    Raises WiringInvalid for two agents of one name, two classes of one kind, an input that `inputs` omits, or, unless
    disputes are allowed, a circle through an agent that replaces its conclusions.
    """

    def __init__(
        self, agents: Iterable[Agent], inputs: Iterable[type[Fact]] | None = None, *, allow_disputes: bool = False
    ) -> None:
        self.agents: Sequence[Agent] = _with_gates(agents)
        self._refuse_equal_names()
        self._refuse_forgeries()
        self._refuse_leaks()
        self._refuse_missing_judges()
        self.kinds: Mapping[str, Kind] = self._collect_kinds(inputs or ())
        self.written = frozenset(label for agent in self.agents for label in agent.written)
        read = {label for agent in self.agents for label in agent.reader.reads or ()}
        self.inputs = tuple(sorted(read - self.written - {kind_of(cls).label for cls in STATED} - SAID_ABOUT))
        if inputs is not None:
            self._refuse_undeclared_inputs({kind_of(cls).label for cls in inputs})
        self.agents, self.flow = _as_replacing_as_can_be(self.agents)
        self.allowances = {agent.name: agent.budget for agent in self.agents if agent.budget is not None}
        self.reads_liveness = any(agent.replacing for agent in self.agents)
        if not allow_disputes and (circle := self.flow.forbidden_circle()):
            raise WiringInvalid(self._describe(circle))

    def known(self, fact: Fact) -> None:
        """Raise KindUnknown for a fact of a kind that nobody here declares, or of another class with its name."""
        kind = kind_of(fact)
        if self.kinds.get(kind.label) is not kind and not isinstance(fact, Invalidation):
            raise KindUnknown(kind.label, self.kinds)

    def are_mutual(self, one: int, other: int) -> bool:
        """Whether two agents, by number, are one, or both settled and within reach of each other."""
        if one == other:
            return True
        flow = self.flow
        groups = flow.group_of[one], flow.group_of[other]
        settled = all(flow.groups[group].settled for group in groups)
        return settled and flow.circles[groups[0]] == flow.circles[groups[1]] and self._is_circle(groups[0])

    def _is_circle(self, group: int) -> bool:
        return group in self.flow.upstream[group]

    def _refuse_equal_names(self) -> None:
        for one, other in zip(self.agents, self.agents[1:], strict=False):
            if one.name == other.name:
                raise WiringInvalid(
                    f"two agents are named {one.name!r}: give one of them another name, as in @agent(name=...)"
                )

    def _refuse_forgeries(self) -> None:
        """Nobody proposes in the name of another, passes a verdict, or decides in the place of a person."""
        for agent in self.agents:
            for kind in () if is_gate(agent) else agent.writes:
                if reason := _why_not_stated(kind):
                    raise WiringInvalid(f"agent {agent.name} writes {kind_of(kind).label}, {reason}")

    def _refuse_leaks(self) -> None:
        """Only gates and validators read what is proposed: nobody concludes from what is not believed yet."""
        for agent in self.agents:
            read = [kind for kind in map(kind_read, agent.reads) if proposed_by(kind) is not None]
            leaked = [("writes", kind) for kind in agent.writes if kind not in ANSWERING]
            leaked += [("invalidates", kind) for kind in agent.invalidates]
            if read and leaked and not is_gate(agent):
                kinds = kind_of(read[0]).label, kind_of(proposed_by(read[0])).label  # type: ignore[arg-type]
                (verb, kind), *_ = leaked
                raise WiringInvalid(
                    f"agent {agent.name} reads {kinds[0]} and {verb} {kind_of(kind).label}: what is only proposed may "
                    f"be judged and nothing else; read {kinds[1]}, which is what passed, or write Opinion or SameAs"
                )

    def _refuse_missing_judges(self) -> None:
        judges = [agent.name for agent in self.agents if Opinion in agent.writes]
        for agent in self.agents:
            for step in agent.gate:
                if isinstance(step, OpinionOf) and step.agent not in judges:
                    known = f"those that do are {', '.join(judges)}" if judges else "no agent does"
                    raise WiringInvalid(
                        f"agent {agent.name} is {step}, and no agent of that name writes Opinion: {known}"
                    )

    def _collect_kinds(self, inputs: Iterable[type[Fact]]) -> dict[str, Kind]:
        kinds: dict[str, Kind] = {}
        for cls in [*(cls for agent in self.agents for cls in agent.kinds), *inputs]:
            kind = kind_of(cls)
            if cls not in STATED and kind.label in (kind_of(stated).label for stated in STATED):
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

    def _describe(self, circle: Sequence[int]) -> str:
        """Say how the conclusions of an agent that replaces come back to it."""
        first = self.agents[circle[0]]
        pairs = zip(circle, [*circle[1:], circle[0]], strict=True)
        way = "; ".join(self._handed(one, other) for one, other in pairs)
        return (
            f"{_called(first, 'agent ')} {_why_replacing(first)} and depends on its own conclusions ({way}), "
            "so what it reads could change for ever: break the circle, for instance by writing another kind, or accept "
            "that facts may end as disputed with Engine(allow_disputes=True)"
        )

    def _handed(self, one: int, other: int) -> str:
        """Say what one agent does that another waits for."""
        touched, way = self.flow.handed(one, other)
        steps = ", ".join([self._does(one, touched), *(f"from which {self._does(*step)}" for step in way)])
        return f"{steps}, which {_called(self.agents[other])} reads"

    def _does(self, number: int, touched: str) -> str:
        verb = "invalidates" if touched.startswith("!") or touched == _MARKER else "writes"
        return f"{_called(self.agents[number])} {verb} {touched.removeprefix('!')}"


_MARKER = kind_of(Invalidation).label


def _why_not_stated(kind: type[Fact]) -> str:
    """Say why no agent may write a kind that is about what is proposed; empty where one may."""
    if (proposed := proposed_by(kind)) is not None:
        label = kind_of(proposed).label
        return f"and a proposal is made of what an agent with a gate emits: write {label} and declare gate="
    if kind is Decision:
        return "and only people decide: give it to the job with engine.decide(...)"
    return "and only gates state that" if kind_of(kind).label in SAID_ABOUT and kind not in ANSWERING else ""


def _with_gates(agents: Iterable[Agent]) -> tuple[Agent, ...]:
    """Return the agents and those behind their gates, in name order."""
    declared = list(agents)
    gates = [gate_of(agent) for agent in declared if agent.gate]
    return tuple(sorted([*declared, *gates], key=lambda agent: agent.name))


def _as_replacing_as_can_be(agents: Sequence[Agent]) -> tuple[Sequence[Agent], Flow]:
    """Return the agents, those that leave it open replacing where they lie on no circle, and how growth travels."""
    open_ = {agent.name for agent in agents if agent.replaces is None}
    while True:
        settled = tuple(
            agent if agent.replaces is not None else dataclasses.replace(agent, replaces=agent.name in open_)
            for agent in agents
        )
        flow = Flow(settled)
        on_circle = {settled[number].name for number in flow.forbidden_circle()} & open_
        if not on_circle:
            return settled, flow
        open_ -= on_circle


def _called(agent: Agent, sort: str = "") -> str:
    """Return what an agent is called in a sentence: nobody has written an agent named "x.gate"."""
    return f"the gate of {sort}{judged_author(agent)}" if is_gate(agent) else f"{sort}{agent.name}"


def _why_replacing(agent: Agent) -> str:
    if is_gate(agent):
        return f"can change its mind ({', '.join(map(str, wavering_steps(agent)))})"
    if agent.settled:
        return 'is declared when="settled"'
    return "replaces its conclusions" if agent.replaces else "reads liveness"
