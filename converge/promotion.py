"""The agent behind a gate: it judges what one agent proposes, and states what passes.

A fact that passed rests on its proposal, on the verdict, and on what people decided: when one of these falls, it falls,
and when it returns, it returns. Nobody is asked again for that.
"""

__all__ = ["gate_of", "is_gate", "judged_author", "wavering_steps"]

import inspect
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, NamedTuple

from converge.agent import Agent, Live, kind_read
from converge.corroboration import Alike
from converge.errors import FactInvalid, FactTooLarge
from converge.fact import Assertion, Fact, id_of
from converge.gate import Check, Corroboration, Human, MinConfidence, OpinionOf, Step
from converge.mishap import legible, text_of
from converge.proposal import Decision, Opinion, Proposal, Request, SameAs, Verdict, refined
from converge.view import View


class Finding(NamedTuple):
    """What a step says of a proposal, and the facts besides the proposal that it says so for."""

    passed: bool
    reason: str = ""
    evidence: tuple[Fact, ...] = ()


def gate_of(agent: Agent) -> Agent:
    """Return the agent that judges what an agent with a gate proposes."""
    replaces = any(map(_wavers, agent.gate))
    kinds: list[type[Fact]] = [*agent.proposals, *_kinds_read(agent)]
    writes: list[type[Fact]] = [*agent.writes, Verdict, *([Request] if _asks(agent) else [])]
    return Agent(
        name=f"{agent.name}.gate",
        run=_Gate(agent, replaces=replaces),
        reads=tuple(Live(kind) if replaces else kind for kind in dict.fromkeys(kinds)),
        writes=tuple(writes),
        required=agent.required,
        version=agent.version,
    )


def is_gate(agent: Agent) -> bool:
    """Whether an agent judges what another one proposes."""
    return isinstance(agent.run, _Gate)


def judged_author(agent: Agent) -> str:
    """Return the name of the agent whose proposals a gate judges."""
    assert isinstance(agent.run, _Gate)
    return agent.run.author


def wavering_steps(agent: Agent) -> tuple[Step, ...]:
    """Return the steps by which a gate can change its mind."""
    assert isinstance(agent.run, _Gate)
    return tuple(filter(_wavers, agent.run.steps))


def _wavers(step: Step) -> bool:
    return isinstance(step, Corroboration) or _looks_around(step)


def _looks_around(step: Step) -> bool:
    return isinstance(step, Check) and step.looks_around


def _asks(agent: Agent) -> bool:
    return any(isinstance(step, Human) for step in agent.gate)


def _kinds_read(agent: Agent) -> Iterator[type[Fact]]:
    for step in agent.gate:
        if isinstance(step, Human):
            yield Decision
        elif isinstance(step, OpinionOf):
            yield Opinion
        elif isinstance(step, Corroboration):
            yield SameAs
        elif _looks_around(step):
            yield from map(kind_read, agent.reads)


class _Gate:
    """The behaviour of a gate, as a function of its view."""

    def __init__(self, agent: Agent, *, replaces: bool) -> None:
        self.author, self._kinds, self._replaces = agent.name, agent.proposals, replaces
        self.steps = [step for step in agent.gate if not isinstance(step, Human)]
        self._people = [step for step in agent.gate if isinstance(step, Human)]
        self._asks_opinion = any(isinstance(step, OpinionOf) for step in self.steps)

    def __call__(self, view: View) -> Iterator[Assertion]:
        alike = self._alike(view)
        for proposal in self._due(view):
            yield from self._judged(view, proposal, alike)

    # --- which proposals ----------------------------------------------------------------------------------------

    def _due(self, view: View) -> list[Proposal[Any]]:
        """Return the proposals that are new, and those about which somebody has spoken since."""
        due = self._of_author(view.new(kind) for kind in self._kinds)
        spoken_of = self._spoken_of(view)
        if spoken_of and not self._replaces:
            old = set(self._of_author(view.all(kind) for kind in self._kinds)).difference(due)
            due += [one for one in sorted(old, key=id_of) if spoken_of & {id_of(one), *self._requests(one)}]
        return due

    def _spoken_of(self, view: View) -> set[str]:
        found = {decision.request for decision in view.new(Decision)} if self._people else set()
        return found | ({opinion.proposal for opinion in view.new(Opinion)} if self._asks_opinion else set())

    def _of_author(self, several: Iterable[tuple[Fact, ...]]) -> list[Proposal[Any]]:
        return [one for facts in several for one in facts if isinstance(one, Proposal) and one.by == self.author]

    def _requests(self, proposal: Proposal[Any]) -> list[str]:
        return [id_of(Request(id_of(proposal), step.role)) for step in self._people]

    # --- what becomes of one ------------------------------------------------------------------------------------

    def _judged(
        self, view: View, proposal: Proposal[Any], alike: dict[Step, Alike], passed: tuple[Finding, ...] = ()
    ) -> Iterator[Assertion]:
        """Go on behind the steps that have `passed` it: what these said is evidence for whatever comes of it."""
        evidence = (proposal, *(fact for finding in passed for fact in finding.evidence))
        if len(passed) == len(self.steps):
            verdict = _passing(proposal, zip(self.steps, passed, strict=True))
            yield verdict.because(*evidence)
            yield from self._decided(view, proposal, verdict)
            return
        step = self.steps[len(passed)]
        for finding in self._findings(step, view, proposal, alike):
            if finding.passed:
                yield from self._judged(view, proposal, alike, (*passed, finding))
            else:
                yield _refusal(proposal, str(step), finding.reason).because(*evidence, *finding.evidence)

    def _decided(self, view: View, proposal: Proposal[Any], verdict: Verdict) -> Iterator[Assertion]:
        """Ask people, where the gate does, and follow them."""
        requests = [Request(id_of(proposal), step.role) for step in self._people]
        yield from (request.because(proposal, verdict) for request in requests)
        decided = [view.current(Decision, id_of(request)) for request in requests]
        for step, decisions in zip(self._people, decided, strict=True):
            for decision in decisions:
                if decision.choice == "reject":  # one is enough, whatever others may say
                    yield _refusal(proposal, str(step), _rejected(decision)).because(proposal, verdict, decision)
        for agreed in product(*([one for one in several if one.choice != "reject"] for several in decided)):
            yield self._approved(proposal, verdict, agreed)

    def _approved(self, proposal: Proposal[Any], verdict: Verdict, decisions: tuple[Decision, ...]) -> Assertion:
        try:
            fact = refined(proposal.fact, decisions)
        except (FactInvalid, FactTooLarge) as error:
            refusal = _refusal(proposal, ", ".join(map(str, self._people)), str(error))
            return refusal.because(proposal, verdict, *decisions)
        return fact.because(proposal, verdict, *decisions)

    # --- the steps ----------------------------------------------------------------------------------------------

    def _findings(self, step: Step, view: View, proposal: Proposal[Any], alike: dict[Step, Alike]) -> Iterable[Finding]:
        """Return what a step says: one thing, nothing yet, or one for each of several opinions."""
        match step:
            case MinConfidence():
                return (_sure_enough(step, proposal),)
            case Corroboration():
                return (_corroborated(step, *alike[step].to(proposal)),)
            case OpinionOf():
                # Where liveness is not read, each of them: what they lead to holds where they do.
                found = view.current(Opinion, (id_of(proposal), step.agent))
                return [Finding(one.passed, one.reason, (one,)) for one in found]
            case Check():
                return (_checked(step, view, proposal),)
        raise AssertionError(f"{step} is no step that can be computed")

    def _alike(self, view: View) -> dict[Step, Alike]:
        steps = [step for step in self.steps if isinstance(step, Corroboration)]
        if not steps:
            return {}
        proposals = [one for kind in self._kinds for one in view.live(kind) if isinstance(one, Proposal)]
        return {step: Alike(step, proposals, view.live(SameAs)) for step in steps}


def _passing(proposal: Proposal[Any], said: Iterable[tuple[Step, Finding]]) -> Verdict:
    reasons = (f"{step}: {finding.reason}" if finding.reason else str(step) for step, finding in said)
    return Verdict(id_of(proposal), True, "", legible("; ".join(reasons)))


def _refusal(proposal: Proposal[Any], step: str, reason: str) -> Verdict:
    return Verdict(id_of(proposal), False, step, legible(reason))


def _rejected(decision: Decision) -> str:
    return f"{decision.by} rejects it{f': {decision.reason}' if decision.reason else ''}"


def _sure_enough(step: MinConfidence, proposal: Proposal[Any]) -> Finding:
    if proposal.confidence is None:
        return Finding(False, "it does not say how sure it is")
    return Finding(proposal.confidence >= step.least, f"its confidence is {proposal.confidence:g}")


def _corroborated(step: Corroboration, alike: list[Proposal[Any]], same: list[SameAs]) -> Finding:
    authors = sorted({one.by for one in alike})
    return Finding(len(authors) >= step.agents, f"proposed by {', '.join(authors)}", (*alike, *same))


def _checked(step: Check, view: View, proposal: Proposal[Any]) -> Finding:
    around = view.fresh()
    said: object
    try:
        said = step.test(proposal.fact, around) if step.looks_around else step.test(proposal.fact)
    except Exception as error:  # what cannot be checked has not passed
        said = f"it raised {type(error).__name__}: {text_of(error)}"
    passed = said is True or said is None
    return Finding(passed, "" if passed else _reason(said), around.shown() if step.looks_around else ())


def _reason(said: object) -> str:
    """Return why something is refused, as text that can be kept, and that is the same whenever it is said."""
    if isinstance(said, str):
        return legible(said) or "does not hold"
    if said is False:
        return "does not hold"
    if inspect.iscoroutine(said):
        said.close()  # else Python warns that nobody awaited it
    return f"it returned a value of type {type(said).__name__}, and only True, None, False or a text is an answer"
