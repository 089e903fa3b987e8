"""A proof: why a fact holds, down to what was given from outside, by the fewest steps (see `smallest`).

A proof is unfolded where it is looked at: asking for one costs nothing that depends on how much lies behind it.
"""

__all__ = ["Many", "Proof", "Proving", "joined", "path_between", "prove"]

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar, overload

from converge.context import Context
from converge.errors import FactNotLive
from converge.fact import Fact, id_of
from converge.smallest import Smallest
from converge.support import OUTSIDE, Support


class Proof:
    """One live fact with the proofs of the facts it rests on; `agent` is None for a fact given from outside.

    Printing it shows the tree; what was shown already is named and not unfolded again.
    """

    def __init__(self, fact: Fact, agent: str | None, round: int, because: Callable[[], Sequence[Any]]) -> None:
        self.fact, self.agent, self.round, self._reasons = fact, agent, round, because

    def __repr__(self) -> str:
        by = "given" if self.agent is None else f"by {self.agent}, because of {len(self.because)} facts"
        return f"<proof of {self.fact!r}, {by}; print it to see the tree>"

    @cached_property
    def because(self) -> Sequence["Proof"]:
        """The proofs of what this one rests on, in the order of their merging; many of them are made when looked at."""
        return self._reasons()

    def premises(self) -> tuple[Fact, ...]:
        """Return the given facts that this one rests on in the end, each once."""
        return tuple(proof.fact for proof in self.steps() if proof.agent is None)

    def steps(self) -> Iterator["Proof"]:
        """Iterate over the proof of each fact in the tree once, this one first."""
        seen: set[str] = set()
        waiting: list[Proof] = [self]
        while waiting:
            proof = waiting.pop()
            if id_of(proof.fact) not in seen:
                seen.add(id_of(proof.fact))
                yield proof
                waiting += reversed(proof.because)

    def __str__(self) -> str:
        lines: list[str] = []
        shown: set[int] = set()  # by identity: the proofs of one tree, and their reasons, are shared
        waiting: list[tuple[Proof, str, str]] = [(self, "", "")]
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


P = TypeVar("P")


class Proving(Generic[P]):
    """Makes proofs of one context as of one round, each once; `make` says what of.

    It is called with the proving itself, the position of a fact, and its support.
    """

    def __init__(self, context: Context, upto: int, make: "Callable[[Proving[P], int, Support], P]") -> None:
        self.context, self.upto, self.smallest = context, upto, Smallest(context, upto)
        self._make = make
        self._proofs: dict[int, P] = {}
        self._reasons: dict[Hashable, Sequence[P]] = {}  # by evidence: a node is shared, and so are the reasons

    def of(self, fact: Fact) -> P:
        """Return the proof of a fact. Raises FactNotLive for one that is unknown, dead or disputed."""
        position = self.context.position.get(id_of(fact))
        if position is None or not self.context.is_live(position, self.upto):
            raise FactNotLive(id_of(fact), known=position is not None)
        return self._of(position)

    def reasons(self, support: Support) -> Sequence[P]:
        """Return the proofs of what a support rests on."""
        shared = support.basis
        if shared not in self._reasons:
            evidence = self.context.evidence_of(support)
            self._reasons[shared] = (
                Many(evidence, self._of) if len(evidence) > _MANY else tuple(map(self._of, evidence))
            )
        return self._reasons[shared]

    def author(self, support: Support) -> str | None:
        """Return the agent that states a support; None for what was given."""
        source = self.context.supports.sources[support.source]
        return None if source == OUTSIDE else source.agent

    def _of(self, place: int) -> P:
        proof = self._proofs.get(place)
        if proof is None:
            proof = self._proofs[place] = self._make(self, place, self.smallest.support(place))
        return proof


_MANY = 100  # reasons; more are made when they are looked at


class Many(Sequence[P]):
    """A sequence whose items are made when somebody looks at them."""

    def __init__(self, items: Sequence[Any], make: Callable[[Any], P]) -> None:
        self._items, self._make = items, make

    @overload
    def __getitem__(self, index: int) -> P: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[P]: ...
    def __getitem__(self, index: int | slice) -> P | Sequence[P]:
        if isinstance(index, slice):
            return Many(self._items[index], self._make)
        return self._make(self._items[index])

    def __len__(self) -> int:
        return len(self._items)


def prove(context: Context, fact: Fact, upto: int) -> Proof:
    """Return the smallest proof of a live fact. Raises FactNotLive for one that is unknown, dead or disputed."""
    if not isinstance(fact, Fact):
        raise TypeError(f"why() takes a fact, not {fact!r:.80}")
    return Proving(context, upto, _proof).of(fact)


def _proof(proving: Proving[Proof], place: int, support: Support) -> Proof:
    return Proof(proving.context.facts[place], proving.author(support), support.round, lambda: proving.reasons(support))


def joined(members: Sequence[Proof], fact: Fact) -> Proof:
    """Return the proof of a join that is no fact itself: it rests on the facts it was made of."""
    return Proof(fact, "join", max(proof.round for proof in members), lambda: tuple(members))


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
