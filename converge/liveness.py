"""Which facts hold: the well-founded labelling of supports and invalidations (Van Gelder, Ross and Schlipf 1991).

Let G(S) be the facts derivable through supports when every fact invalidated by a member of S is blocked. `live` is
the least fixed point of G∘G, `dead` is what G(live) cannot reach, `disputed` is the rest. So circular support is
dead, what rested only on a dead fact is dead, and two facts that invalidate each other are disputed.

Facts are plain numbers here. Each pass of G is linear: a support counts down its unmet evidence.
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
    graph = _Graph(count, supports)
    targets: dict[int, list[int]] = {}
    for marker, target in markers:
        targets.setdefault(marker, []).append(target)
    live = bytearray(count)
    while True:
        possible, _ = graph.reach(_blocked(targets, live, count))
        grown, reason = graph.reach(_blocked(targets, possible, count))
        if grown == live:
            return Labels(_labels(live, possible), reason)
        live = grown


class _Graph:
    def __init__(self, count: int, supports: Sequence[tuple[int, Sequence[int]]]) -> None:
        self.count = count
        self.heads = [head for head, _ in supports]
        self.needs = [len(evidence) for _, evidence in supports]
        self.waiting: list[list[int]] = [[] for _ in range(count)]
        for index, (_, evidence) in enumerate(supports):
            for fact in evidence:
                self.waiting[fact].append(index)

    def reach(self, blocked: bytearray) -> tuple[bytearray, list[int]]:
        """G: what can be derived with some facts blocked, and the first support that derived each."""
        derived, reason = bytearray(self.count), [-1] * self.count
        unmet = self.needs.copy()
        ready = deque(index for index, need in enumerate(unmet) if not need)
        while ready:
            index = ready.popleft()
            head = self.heads[index]
            if derived[head] or blocked[head]:
                continue
            derived[head], reason[head] = 1, index
            for waiting in self.waiting[head]:
                unmet[waiting] -= 1
                if not unmet[waiting]:
                    ready.append(waiting)
        return derived, reason


def _blocked(targets: dict[int, list[int]], markers: bytearray, count: int) -> bytearray:
    blocked = bytearray(count)
    for marker, marked in targets.items():
        if markers[marker]:
            for target in marked:
                blocked[target] = 1
    return blocked


def _labels(live: bytearray, possible: bytearray) -> bytearray:
    return bytearray(LIVE if live[fact] else DISPUTED if possible[fact] else DEAD for fact in range(len(live)))
