"""From what an agent emitted to an effect: every rule an emission must keep, checked before anything is merged.

An effect is whole: the first emission that breaks a rule makes the activation fail, and nothing of it counts.
"""

__all__ = ["seal"]

from collections.abc import Iterable, Iterator
from typing import Any

from converge.agent import Agent
from converge.effect import Effect, Emission
from converge.errors import (
    EvidenceInvalid,
    ForeignEmission,
    NotSuggested,
    OpinionForeign,
    UndeclaredWrite,
    Ungated,
)
from converge.fact import REVISED, Assertion, Fact, Invalidation, Revision, Suggestion, id_of, identified, kind_of
from converge.proposal import Opinion, Proposal
from converge.view import View


def seal(agent: Agent, view: View, emitted: Iterable[object]) -> Effect:
    """Return the effect of an activation. Raises the AuthorError of the first emission that breaks a rule."""
    emissions: list[Emission] = []
    plain = None if agent.gate else Assertion  # what stands for itself, and is not to be looked into
    for value in emitted:
        for fact, cited in (value,) if type(value) is plain else _split(agent, value):
            if type(fact) not in agent.states and not isinstance(fact, Invalidation):
                label = kind_of(fact).label
                raise UndeclaredWrite(agent.name, label, namesake=label in agent.written)
            canonical, fact_id, body = identified(fact)
            emissions.append(Emission(canonical, fact_id, body, None if cited is None else view.cited(cited)))
    said = tuple(_news(agent, view, emissions))
    rests_on_all = None in [emission.evidence for emission in said]
    return Effect(agent.source, view.round, said, view.given() if rests_on_all else None)


def _split(agent: Agent, value: object) -> tuple[tuple[Fact, tuple[Fact, ...] | None], ...]:
    if agent.gate:
        return (_proposed(agent, value),)
    if isinstance(value, Fact):
        return ((value, None),)
    if isinstance(value, Assertion):
        return (value,)
    if isinstance(value, Suggestion):
        raise Ungated(agent.name, kind_of(value.fact).label)
    if isinstance(value, Revision):
        marker = value.predecessor.invalidate(REVISED + id_of(value.fact))
        return (value.fact, value.evidence or None), (marker, value.evidence or None)
    raise ForeignEmission(agent.name, value)


def _proposed(agent: Agent, value: object) -> tuple[Fact, tuple[Fact, ...] | None]:
    """Return what an agent with a gate suggests, as its proposal: whatever it emits, nothing is believed yet."""
    if what := _unsuggestible(value):
        raise NotSuggested(agent.name, what)
    if isinstance(value, Fact):
        value = Suggestion(value)
    elif isinstance(value, Assertion):
        value = Suggestion(value.fact, None, value.evidence)
    if not isinstance(value, Suggestion):
        raise ForeignEmission(agent.name, value)
    if type(value.fact) not in agent.writes:
        label = kind_of(value.fact).label
        raise UndeclaredWrite(agent.name, label, namesake=label in map(_label, agent.writes))
    kind: Any = Proposal[type(value.fact)]  # type: ignore[misc]  # a class, made while the program runs
    proposal: Fact = kind(fact=identified(value.fact)[0], by=agent.name, confidence=value.confidence)
    return proposal, value.evidence or None


def _unsuggestible(value: object) -> str:
    """Say what of facts cannot be judged as a fact; empty for all else."""
    fact = value.fact if isinstance(value, (Assertion, Revision, Suggestion)) else value
    if isinstance(value, Revision):
        return f"a revision of {kind_of(value.fact).label}"
    if isinstance(fact, Invalidation):
        return f"an invalidation of {fact.target}"
    return f"a {kind_of(fact).label}" if isinstance(fact, Proposal) else ""


def _label(cls: type[Fact]) -> str:
    return kind_of(cls).label


def _news(agent: Agent, view: View, emissions: list[Emission]) -> Iterator[Emission]:
    """Check emissions, and iterate over those that say anything: that a known fact rests on itself is nothing new."""
    unknown = view.unknown({cited for emission in emissions for cited in emission.evidence or ()})
    own = {emission.fact_id for emission in emissions}
    for emission in emissions:
        fact, fact_id, _, evidence = emission
        if isinstance(fact, (Opinion, Invalidation)):
            _check_word(agent, view, emission, own)
        if evidence is None:
            yield emission
            continue
        if unknown:
            _check_cited(agent, emission, unknown, own)
        if fact_id not in evidence:
            yield emission


def _check_cited(agent: Agent, emission: Emission, unknown: set[str], own: set[str]) -> None:
    """Check what is cited and is not in the view: it must be of the same effect, and another fact."""
    for cited in emission.evidence or ():
        if cited not in unknown:
            continue
        if cited == emission.fact_id:
            raise EvidenceInvalid(agent.name, cited, "a fact cannot be its own reason")
        if cited not in own:
            raise EvidenceInvalid(agent.name, emission.fact_id, f"it cites {cited}, which is not in the view it read")


def _check_word(agent: Agent, view: View, emission: Emission, own: set[str]) -> None:
    """Check what speaks of other facts."""
    if isinstance(emission.fact, Opinion) and emission.fact.by != agent.name:
        raise OpinionForeign(agent.name, emission.fact.by)
    if isinstance(emission.fact, Invalidation):
        _check_marker(agent, view, emission, emission.fact.target, own)


def _check_marker(agent: Agent, view: View, emission: Emission, target: str, own: set[str]) -> None:
    label = target.partition(":")[0]
    if label not in agent.invalidated:
        raise UndeclaredWrite(agent.name, label, invalidates=True)
    if target not in own and not view.knows(target):
        problem: str | None = f"its target {target} is not in the view it read"
    elif emission.evidence is None:
        problem = "an invalidation or a revision must name its reason: add .because(...)"
    elif target in emission.evidence:
        problem = "what an invalidation or a revision is about cannot be its reason: cite what speaks against it"
    else:
        problem = None
    if problem:
        raise EvidenceInvalid(agent.name, emission.fact_id, problem)
