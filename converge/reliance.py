"""Who rests on whom: for each fact the supports that use it, with an evidence node met once however many share it."""

__all__ = ["Known", "Reliance"]

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol

from converge.effect import Given
from converge.fact import Fact
from converge.support import Supports


class Known(Protocol):
    """What labels are computed from."""

    facts: list[Fact]
    rounds: list[int]
    supports: Supports

    def members(self, given: Given) -> tuple[int, ...]:
        """Return the positions an evidence node stands for."""


class Reliance:
    """An index of one context's supports by what they rest on; brought up to date when it is asked for."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._indexed = 0  # how many supports it knows
        self._uses: dict[int, list[int]] = {}  # fact -> supports that rest on it; evidence nodes as ~number
        self._nodes: dict[int, int] = {}  # identity of an evidence node -> its number
        self._members: list[tuple[int, ...]] = []  # node -> its facts
        self._node_uses: list[list[int]] = []  # node -> supports that rest on it

    def update(self) -> None:
        """Take in the supports that came since the last time, those last whose evidence is what was live in a round."""
        supports, of_live = self._known.supports, []
        new, self._indexed = range(self._indexed, len(supports)), len(supports)
        for index in new:
            evidence = supports.evidence(index)
            if isinstance(evidence, Given) and any(part.live for part in evidence.ranges):
                of_live.append((max(part.upto for part in evidence.ranges), index))
            else:
                self._use(index)
        for _, index in sorted(of_live):  # what was live in a round is known by what was used before it
            self._use(index)

    def users(self, fact: int) -> Iterator[int]:
        """Iterate over the supports that rest on a fact."""
        for user in self._uses.get(fact, ()):
            if user >= 0:
                yield user
            else:
                yield from self._node_uses[~user]

    def node(self, given: Given) -> int:
        """Return the number of an evidence node."""
        return self._nodes[id(given)]

    def members_among(self, node: int, some: Sequence[int], others: Collection[int]) -> list[int]:
        """Return the members of an evidence node that are among some facts, which ascend, or some others."""
        members = self._members[node]
        if len(members) < len(some) + len(others):
            return [member for member in members if member in others or _holds(some, member)]
        return [fact for fact in {*some, *others} if _holds(members, fact)]

    def _use(self, index: int) -> None:
        evidence: Iterable[int] | Given = self._known.supports.evidence(index)
        if not isinstance(evidence, Given):
            for cited in evidence:
                self._uses.setdefault(cited, []).append(index)
            return
        number = self._nodes.get(id(evidence))
        if number is None:
            number = self._nodes[id(evidence)] = len(self._members)
            self._members.append(self._known.members(evidence))
            self._node_uses.append([])
            for member in self._members[number]:
                self._uses.setdefault(member, []).append(~number)
        self._node_uses[number].append(index)


def _holds(ascending: Sequence[int], value: int) -> bool:
    place = bisect_left(ascending, value)
    return place < len(ascending) and ascending[place] == value
