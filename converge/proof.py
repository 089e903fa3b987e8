"""A proof: why a fact holds, down to what was given from outside."""

__all__ = ["Proof", "joined", "path_between", "prove"]

import dataclasses
from collections.abc import Iterator, Sequence

from converge.context import Context
from converge.errors import FactNotLive
from converge.fact import Fact, id_of
from converge.support import OUTSIDE


@dataclasses.dataclass(frozen=True, slots=True, eq=False, repr=False)
class Proof:
    """One live fact with the proofs of the facts it rests on; `agent` is None for a fact given from outside.

    Printing it shows the tree; what was shown already is named and not unfolded again.
    """

    fact: Fact
    agent: str | None
    round: int
    because: tuple["Proof", ...]

    def __repr__(self) -> str:
        by = "given" if self.agent is None else f"by {self.agent}, because of {len(self.because)} facts"
        return f"<proof of {self.fact!r}, {by}; print it to see the tree>"

    def premises(self) -> tuple[Fact, ...]:
        """Return the given facts that this one rests on in the end, each once."""
        return tuple(proof.fact for proof in self.steps() if proof.agent is None)

    def steps(self) -> Iterator["Proof"]:
        """Iterate over the proof of each fact in the tree once, this one first."""
        seen: set[str] = set()
        waiting = [self]
        while waiting:
            proof = waiting.pop()
            if id_of(proof.fact) not in seen:
                seen.add(id_of(proof.fact))
                yield proof
                waiting += reversed(proof.because)

    def __str__(self) -> str:
        lines: list[str] = []
        shown: set[int] = set()  # by identity: the proofs of one tree, and their reasons, are shared
        waiting = [(self, "", "")]
        while waiting:
            proof, first, rest = waiting.pop()
            by = "given" if proof.agent is None else f"{proof.agent}, round {proof.round}"
            again = id(proof) in shown and bool(proof.because)
            lines.append(f"{first}{proof.fact!r}  [{by}]{' (see above)' if again else ''}")
            shown.add(id(proof))
            if not again and len(proof.because) > 1 and id(proof.because) in shown:
                lines.append(f"{rest}└─ the same {len(proof.because)} facts as above")
            elif not again:
                shown.add(id(proof.because))
                waiting += reversed(list(_branches(proof, rest)))
        return "\n".join(lines)


def prove(context: Context, fact: Fact, upto: int) -> Proof:
    """Return a proof of a live fact. Raises FactNotLive for one that is unknown, dead or disputed."""
    if not isinstance(fact, Fact):
        raise TypeError(f"why() takes a fact, not {fact!r:.80}")
    position = context.position.get(id_of(fact))
    if position is None or not context.is_live(position, upto):
        raise FactNotLive(id_of(fact), known=position is not None)
    proofs: dict[int, Proof] = {}
    reasons: dict[object, tuple[Proof, ...]] = {}  # by evidence, so that facts that share a node share their reasons
    waiting = [position]
    while waiting:  # a stack instead of recursion: chains may be thousands of facts long
        support = context.reason(waiting[-1], upto)
        evidence = context.evidence_of(support)
        missing = [place for place in evidence if place not in proofs]
        if missing:
            waiting += missing
            continue
        place = waiting.pop()
        source = context.supports.sources[support.source]
        author = None if source == OUTSIDE else source.agent
        because = reasons.setdefault(support.basis, tuple(proofs[rests_on] for rests_on in evidence))
        proofs[place] = Proof(context.facts[place], author, support.round, because)
    return proofs[position]


def joined(members: Sequence[Proof], fact: Fact) -> Proof:
    """Return the proof of a join that is no fact itself: it rests on the facts it was made of."""
    return Proof(fact, "join", max(proof.round for proof in members), tuple(members))


def path_between(context: Context, evidence: Sequence[int], target: int) -> tuple[str, ...]:
    """Return the ids on a way from a fact to some evidence that rests on it, the fact first; empty if none does."""
    since = context.rounds[target]
    came_from: dict[int, int | None] = dict.fromkeys(evidence)
    front = list(evidence)
    for place in front:
        if place == target:
            path = [place]
            while (after := came_from[path[-1]]) is not None:
                path.append(after)
            return tuple(id_of(context.facts[step]) for step in path)
        for support in context.supports_of(place):
            # What rests on the target is of a later round, but for what the same effect states.
            earlier = [cited for cited in context.evidence_of(support) if context.rounds[cited] >= since]
            more = [cited for cited in earlier if cited not in came_from]
            came_from |= dict.fromkeys(more, place)
            front += more
    return ()


def _branches(proof: Proof, rest: str) -> Iterator[tuple[Proof, str, str]]:
    for number, reason in enumerate(proof.because, start=1):
        last = number == len(proof.because)
        yield reason, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  ")
