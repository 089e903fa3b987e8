"""What is found where two runs of one job part, and the facts by which they do."""

__all__ = ["Case", "Finding", "missing", "shown", "standing_otherwise"]

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from converge.agent import Agent
from converge.checking.holdings import Holdings
from converge.checking.trial import Act, Rerun
from converge.context import Context
from converge.fact import Fact, id_of, kind_of
from converge.liveness import DEAD

_SIDES = {
    "job": "is in the job, and not under this schedule",
    "schedule": "is not in the job, and is under this schedule",
    "": "holds on one side and not on the other",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One difference between a job and a schedule it was run again under.

    schedule: which, and `number` its place among those tried; differs: "digest", "live_digest" or "proof_digest",
    "failure", "capture" or "end"; agent and round: the activation that parts the two, by the round it read; read: what
    it asked or looked at; fact: the first one that differs, by id and as text, and the side it is `only_in`: "job",
    "schedule", or empty where it is in both. Texts are empty, and round is -1, where there is nothing to name.
    """

    schedule: str
    number: int
    differs: str
    what: str
    remedy: str
    agent: str = ""
    round: int = -1
    read: str = ""
    fact: str = ""
    text: str = ""
    only_in: str = ""

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """Iterate over what there is to say, a line for each thing."""
        yield f"shown by schedule {self.number}: {self.schedule}"
        if self.fact:
            yield f"first fact that differs: {self.text} {_SIDES[self.only_in]}"
        yield f"agent {self.agent} {self.what}" if self.agent else self.what
        yield f"remedy: {self.remedy}"


@dataclasses.dataclass
class Case:
    """What is known of a difference while it is looked into.

    `known` is the job as it is stored, `good` how its agents acted when it was run again as it is; nothing if that was
    the run that differs.
    """

    agents: Mapping[str, Agent]
    holdings: Holdings
    known: Context
    good: Sequence[Act]
    bad: Rerun
    differs: str

    def found(self, what: str, remedy: str, act: tuple[str, int] = ("", -1), **more: Any) -> Finding:
        """Return a finding; the first fact that differs is looked for unless one is named."""
        agent, round = act
        named = self._first_fact() if "fact" not in more else {}
        return Finding(str(self.bad.trial), 0, self.differs, what, remedy, agent, round, **named, **more)

    def _first_fact(self) -> dict[str, str]:
        """Name the fact of the lowest round, then id, that is on one side only, or else stands otherwise on one."""
        ours, theirs = self.known, self.bad.context
        found = [(theirs.rounds[theirs.position[one]], one, "schedule") for one in missing(theirs, ours)]
        if self.bad.broken is None:  # else what is missing may only not have come yet
            found += [(ours.rounds[ours.position[one]], one, "job") for one in missing(ours, theirs)]
            found = found or [(ours.rounds[ours.position[one]], one, "") for one in standing_otherwise(ours, theirs)]
        if not found:
            return {}
        _, fact_id, only_in = min(found)
        context = theirs if only_in == "schedule" else ours
        return {"fact": fact_id, "text": shown(context.facts[context.position[fact_id]]), "only_in": only_in}


def missing(one: Context, other: Context) -> list[str]:
    """Return the ids that one has and the other lacks, by round and id."""
    facts = ((one.rounds[place], id_of(fact)) for place, fact in enumerate(one.facts) if kind_of(fact).digested)
    return [fact_id for _, fact_id in sorted(facts) if fact_id not in other.position]


def standing_otherwise(one: Context, other: Context) -> list[str]:
    """Return the ids of facts that hold or are disputed in one and not in the other, by round and id."""
    found = []
    for place, fact in enumerate(one.facts):
        there = other.position.get(id_of(fact))
        if there is not None:
            dead = one.label(place, one.highest) == DEAD, other.label(there, other.highest) == DEAD
            if dead[0] != dead[1]:
                found.append((one.rounds[place], id_of(fact)))
    return [fact_id for _, fact_id in sorted(found)]


def shown(fact: Fact) -> str:
    """Return a fact as a text of bounded length."""
    return f"{fact!r:.160}"
