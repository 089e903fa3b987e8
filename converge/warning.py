"""Warnings: what is allowed and probably not meant. Each is said once in the life of a job."""

__all__ = ["Warnings"]

from collections.abc import Container, Iterable, Iterator

from converge.agent import Agent
from converge.context import Context
from converge.effect import Effect, Emission, Given
from converge.fact import REVISED, Fact, Invalidation, id_of, kind_of
from converge.proof import path_between
from converge.proposal import Proposal, Verdict, proposed_by
from converge.trace import Trace, Warned

_UNCITED = "was given several facts and cited none: what it emits rests on all of them"
_UNSTABLE = "is unstable: "
_SELF_DEFEATING = "invalidates what its own reason rests on, so both may end as disputed: "

_UNJUDGED = "proposes what nobody has judged, such as "


class Warnings:
    """Looks at what agents emit and writes into the trace what its author should know."""

    def __init__(self, context: Context, trace: Trace) -> None:
        self._context, self._trace = context, trace
        events = [*trace.of(Warned)]
        self._said = {(event.agent, start) for event in events for start in _STARTS if event.text.startswith(start)}
        self._said |= {(event.agent, event.text) for event in events if not event.agent}

    def if_uncited(self, agent: Agent, given: Given) -> None:
        """Name an agent that leaves open which of several facts that it was given its conclusions rest on."""
        if not agent.replacing and self._context.size(given) > 1:
            self._say(agent.name, _UNCITED)

    def if_unstable(self, agent: Agent, effect: Effect, ran: int, again: Container[int]) -> None:
        """Name an agent that draws new conclusions from what it had read in full by round `ran`; before a merge.

        What it is given `again` counts as new.
        """
        if agent.replacing or (agent.name, _UNSTABLE) in self._said:
            return
        about: dict[str, str] = {}
        if agent.invalidates:
            markers = [one.fact for one in effect.emissions if isinstance(one.fact, Invalidation)]
            about = {marker.reason: marker.target for marker in markers}
        for fact, fact_id, _, evidence in effect.emissions:
            if not evidence or fact_id in self._context.position or not self._were_read(evidence, ran, again):
                continue
            target = fact.target if isinstance(fact, Invalidation) else about.get(REVISED + fact_id)
            if not target or self._were_read((target,), ran, again):
                text = f"it emits {fact_id} because of facts that it had all read before"
                self._say(agent.name, _UNSTABLE, text + "; the same view gives other facts, or it cites too little")

    def if_revised_twice(self, agent: Agent, effect: Effect) -> None:
        """Name an agent that puts two facts in the place of one, for the same reason; after a merge."""
        for emission in effect.emissions:
            if isinstance(emission.fact, Invalidation) and _is_revision(emission.fact):
                target = self._context.position[emission.fact.target]
                kind = kind_of(self._context.facts[target])
                contests = kind.keyed and kind.policy == "contest"
                if contests and self._is_revised_twice(agent, emission, target):
                    text = f"it revised {emission.fact.target} for one reason to facts that contest each other"
                    self._say(agent.name, _UNSTABLE, text)

    def if_self_defeating(self, agent: Agent, effect: Effect) -> None:
        """Name an agent whose marker rests, in the end, on what it marks; after a merge."""
        if (agent.name, _SELF_DEFEATING) in self._said:
            return
        for emission in effect.emissions:
            if path := self._path_to_target(emission):
                self._say(agent.name, _SELF_DEFEATING, " -> ".join(path))

    def if_empty(self, inputs: Iterable[str]) -> None:
        """Name kinds that agents wait for in vain."""
        for label in inputs:
            log = self._context.kinds.get(label)
            if log is None or not log.rounds:
                self._say("", f"no fact of kind {label} was given and no agent writes it")

    def if_unjudged(self) -> None:
        """Name those whose proposals have no verdict, since whoever is to give an opinion of them gives none."""
        judged = {fact.proposal for fact in self._live(Verdict) if isinstance(fact, Verdict)}
        kinds = [log.kind.cls for _, log in sorted(self._context.kinds.items())]
        for kind in filter(proposed_by, kinds):
            for fact in self._live(kind):
                if isinstance(fact, Proposal) and id_of(fact) not in judged:
                    self._say(fact.by, _UNJUDGED, f"{fact!r:.200}")

    def if_unpriced(self, what: str) -> None:
        """Name what costs something that nobody can add up."""
        self._say("", f"the price of {what} is not known: what it cost is not in the money spent")

    def _live(self, kind: type[Fact]) -> Iterator[Fact]:
        log, upto = self._context.kinds.get(kind_of(kind).label), self._context.highest
        facts = log.between(-1, upto) if log else ()
        return (fact for fact in facts if self._context.is_live(self._context.position[id_of(fact)], upto))

    def _were_read(self, ids: Iterable[str], ran: int, again: Container[int]) -> bool:
        for fact_id in ids:
            place = self._context.position.get(fact_id)
            if place is None or self._context.rounds[place] > ran or place in again:
                return False
        return True

    def _is_revised_twice(self, agent: Agent, emission: Emission, target: int) -> bool:
        context = self._context
        number = context.supports.number(agent.source)
        evidence = tuple(sorted({context.position[cited] for cited in emission.evidence or ()}))
        found = {
            marker
            for marker in context.labelling.markers_on(target, context.highest)
            if _is_revision(context.facts[marker])
            and any((one.source, one.evidence) == (number, evidence) for one in context.supports_of(marker))
        }
        return len(found) > 1

    def _path_to_target(self, emission: Emission) -> tuple[str, ...]:
        if not isinstance(emission.fact, Invalidation) or not emission.evidence:
            return ()
        places = [self._context.position[cited] for cited in emission.evidence]
        return path_between(self._context, places, self._context.position[emission.fact.target])

    def _say(self, agent: str, start: str, rest: str = "") -> None:
        if (agent, start) not in self._said:
            self._said.add((agent, start))
            self._trace.record(Warned, agent, start + rest)


_STARTS = (_UNCITED, _UNSTABLE, _SELF_DEFEATING, _UNJUDGED)


def _is_revision(fact: object) -> bool:
    return isinstance(fact, Invalidation) and fact.reason.startswith(REVISED)
