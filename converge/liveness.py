"""Which facts hold: the well-founded labelling of supports and invalidations (Van Gelder, Ross and Schlipf 1991).

Let G(S) be the facts derivable through supports when every fact invalidated by a member of S is blocked. `live` is
the least fixed point of G∘G, `dead` is what G(live) cannot reach, `disputed` is the rest. So circular support is
dead, what rested only on a dead fact is dead, and two facts that invalidate each other are disputed.

Facts are plain numbers here. What is certain is propagated with counters, each support and marker met once; what is
left is searched for circles that nothing certain feeds, and only if some are found does it start again.
"""

__all__ = ["DEAD", "DISPUTED", "LIVE", "Labels", "label"]

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

DEAD, LIVE, DISPUTED = 0, 1, 2


class Labels(NamedTuple):
    """The label of each fact by number, and for live facts the support through which each was first derived.

    Following `reason` from a live fact never comes back to it: the supports are met in order of derivation.
    """

    of: bytearray
    reason: Sequence[int]


def label(count: int, supports: Sequence[tuple[int, Sequence[int]]], markers: Iterable[tuple[int, int]]) -> Labels:
    """Label `count` facts. A support is (fact, its evidence, each once); a marker is (marking fact, its target)."""
    propagation = _Propagation(count, supports, markers)
    propagation.settle()
    while unfounded := propagation.unfounded():
        for fact in unfounded:
            propagation.decide(fact, DEAD)
        propagation.settle()
    return Labels(propagation.of, propagation.reason)


class _Propagation:
    """Labels that are certain so far; what is not decided is disputed until it is."""

    def __init__(
        self, count: int, supports: Sequence[tuple[int, Sequence[int]]], markers: Iterable[tuple[int, int]]
    ) -> None:
        self.of = bytearray([DISPUTED]) * count
        self.reason = [-1] * count  # the first support that was met, whether or not a marker still threatens
        self._heads = [head for head, _ in supports]
        self._unmet = [len(evidence) for _, evidence in supports]
        self._failed = bytearray(len(supports))
        self._hopes = [0] * count  # supports that have not failed
        self._uses: list[list[int]] = [[] for _ in range(count)]
        for index, (head, evidence) in enumerate(supports):
            self._hopes[head] += 1
            for fact in evidence:
                self._uses[fact].append(index)
        self._threats = [0] * count  # markers that are not dead
        self._targets: dict[int, list[int]] = {}
        for marker, target in set(markers):
            self._threats[target] += 1
            self._targets.setdefault(marker, []).append(target)
        self._decided: deque[int] = deque()
        for index, unmet in enumerate(self._unmet):
            if not unmet:
                self._meet(index)
        for fact, hopes in enumerate(self._hopes):
            if not hopes:
                self.decide(fact, DEAD)

    def decide(self, fact: int, verdict: int) -> None:
        """Label a fact for good, unless it is labelled already."""
        if self.of[fact] == DISPUTED:
            self.of[fact] = verdict
            self._decided.append(fact)

    def settle(self) -> None:
        """Propagate what is decided until nothing more follows."""
        while self._decided:
            fact = self._decided.popleft()
            if self.of[fact] == LIVE:
                self._stands(fact)
            else:
                self._falls(fact)

    def unfounded(self) -> list[int]:
        """Return the undecided facts that even the best case cannot derive: they rest on each other only."""
        unmet, reached = self._unmet.copy(), bytearray(len(self.of))
        ready = [i for i, need in enumerate(unmet) if not need and not self._failed[i]]
        while ready:
            head = self._heads[ready.pop()]
            if reached[head] or self.of[head] != DISPUTED:
                continue
            reached[head] = 1
            for index in self._uses[head]:
                unmet[index] -= 1
                if not unmet[index] and not self._failed[index]:
                    ready.append(index)
        return [fact for fact, verdict in enumerate(self.of) if verdict == DISPUTED and not reached[fact]]

    def _meet(self, index: int) -> None:
        head = self._heads[index]
        if self.reason[head] < 0 and self.of[head] == DISPUTED:
            self.reason[head] = index
            if not self._threats[head]:
                self.decide(head, LIVE)

    def _stands(self, fact: int) -> None:
        for target in self._targets.get(fact, ()):
            self.decide(target, DEAD)
        for index in self._uses[fact]:
            self._unmet[index] -= 1
            if not self._unmet[index] and not self._failed[index]:
                self._meet(index)

    def _falls(self, fact: int) -> None:
        for index in self._uses[fact]:
            if not self._failed[index]:
                self._failed[index] = 1
                head = self._heads[index]
                self._hopes[head] -= 1
                if not self._hopes[head]:
                    self.decide(head, DEAD)
        for target in self._targets.get(fact, ()):
            self._threats[target] -= 1
            if not self._threats[target] and self.reason[target] >= 0:
                self.decide(target, LIVE)
