"""Agents that suggest, and what became of what they suggested: for the tests of gates, corroboration and decisions."""

__all__ = [
    "Ban",
    "Note",
    "Risk",
    "Signal",
    "activations",
    "moody",
    "proposer",
    "refusals",
    "risks",
    "speaker",
    "verdicts",
]

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from converge import Agent, Fact, Live, Opinion, Outcome, Proposal, Verdict, View, agent, id_of
from converge.trace import Activated


class Signal(Fact):
    """What an analyst reads: one risk is proposed for each."""

    text: str


class Risk(Fact, key=("name",)):
    name: str
    severity: int = 1


class Ban(Fact):
    """A name that a gate may look for."""

    name: str


class Note(Fact):
    text: str


def proposer(
    gate: Any,
    name: str = "analyst",
    *,
    severity: int = 1,
    confidence: float | None = 0.8,
    called: Callable[[str], str] = str,
    **options: Any,
) -> Agent:
    """Return an agent that proposes, for each signal, a risk of that name, or of what it is `called`."""

    @agent(**{"reads": Signal, "writes": Risk, "gate": gate, "name": name, **options})
    def propose(view: View):
        for signal in view.new(Signal):
            yield Risk(called(signal.text), severity).propose(confidence).because(signal)

    return propose


def speaker(name: str, passes: Callable[[Risk], bool] = lambda risk: True) -> Agent:
    """Return a validating agent that gives its opinion of each proposed risk."""

    @agent(name=name, reads=Proposal[Risk], writes=Opinion)
    def speak(view: View):
        for proposal in view.new(Proposal[Risk]):
            passed = passes(proposal.fact)
            yield Opinion(id_of(proposal), name, passed, "fine" if passed else "poor").because(proposal)

    return speak


def moody(name: str = "sceptic") -> Agent:
    """Return a validating agent that changes its mind with what it knows: it is against what is banned."""

    @agent(name=name, reads=[Live(Proposal[Risk]), Live(Ban)], writes=Opinion)
    def speak(view: View):
        for proposal in view.live(Proposal[Risk]):
            banned = view.live(Ban, proposal.fact.name)
            yield Opinion(id_of(proposal), name, not banned, "banned" if banned else "fine").because(proposal, *banned)

    return speak


def risks(outcome: Outcome) -> set[str]:
    """Return the names of the risks that are believed."""
    return {risk.name for risk in outcome.context.live(Risk)}


def verdicts(outcome: Outcome) -> set[tuple[bool, str, str]]:
    """Return whether each live verdict passed, by which step it refused, and why."""
    return {(verdict.passed, verdict.step, verdict.reason) for verdict in outcome.context.live(Verdict)}


def refusals(outcome: Outcome) -> set[str]:
    """Return the reasons of the live verdicts that refuse."""
    return {reason for passed, _, reason in verdicts(outcome) if not passed}


def activations(outcome: Outcome, *names: str) -> Counter[str]:
    """Return how often agents, or those of these names, completed an activation in the life of a job."""
    ran: Iterable[str] = (event.agent for event in outcome.trace if isinstance(event, Activated))
    return Counter(name for name in ran if not names or name in names)
