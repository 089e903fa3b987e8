"""A part of a context labelled anew while the rest keeps its labels: what a round's changes can reach."""

__all__ = ["Around", "Part"]

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from converge.effect import Given
from converge.liveness import DEAD, DISPUTED, LIVE, label
from converge.reliance import Known, Reliance


class Around(Protocol):
    """What stands around a part."""

    reliance: Reliance

    @property
    def known(self) -> Known:
        """What labels are computed from."""

    @property
    def fallen_now(self) -> Mapping[int, int]:
        """The labels of facts that are not live."""

    def current(self, fact: int) -> int:
        """Return the label of a fact."""

    def markers_on(self, fact: int, round: int) -> list[int]:
        """Return the markers on a fact that are known in a round."""


class Part:
    """Some facts of a context to be labelled in a round while the others keep the labels they have."""

    def __init__(self, around: Around, round: int, facts: Sequence[int], barred: Iterable[int] = ()) -> None:
        self._around, self._known, self._round = around, around.known, round
        self._facts, self._barred = facts, frozenset(barred)
        self._number = {fact: number for number, fact in enumerate(facts)}
        self._doubt = len(facts)  # stands for everything outside that is disputed
        self._supports: list[tuple[int, Sequence[int]]] = [(self._doubt, ())]
        self._origins = [-1]
        self._markers = [(self._doubt, self._doubt)]
        self._nodes: dict[int, int | None] = {}  # node -> its number here; None where it has a dead member

    def solve(self) -> Iterator[tuple[int, int, int]]:
        """Yield each fact with its label and the support that proves it, or -1."""
        for fact in self._facts:
            if not self._is_blocked(fact) and fact not in self._barred:
                for index in self._known.supports.of(fact):
                    if self._known.supports.counts(index, self._round):
                        self._add(fact, index)
        found = label(self._doubt + 1 + len(self._nodes), self._supports, self._markers)
        for fact, number in self._number.items():
            verdict = found.of[number]
            yield fact, verdict, self._origins[found.reason[number]] if verdict == LIVE else -1

    def _is_blocked(self, fact: int) -> bool:
        """Whether a live marker outside marks a fact; other markers on it are taken in."""
        for marker in self._around.markers_on(fact, self._round):
            if marker in self._number:
                self._markers.append((self._number[marker], self._number[fact]))
            elif self._around.current(marker) == LIVE:
                return True
            elif self._around.current(marker) == DISPUTED:
                self._markers.append((self._doubt, self._number[fact]))
        return False

    def _add(self, fact: int, index: int) -> None:
        evidence = self._known.supports.evidence(index)
        if isinstance(evidence, Given):
            node = self._node(self._around.reliance.node(evidence))
            needs: tuple[int, ...] | None = None if node is None else (node,)
        else:
            needs = self._needs(evidence)
        if needs is not None:
            self._supports.append((self._number[fact], needs))
            self._origins.append(index)

    def _node(self, node: int) -> int | None:
        if node not in self._nodes:
            needs = self._needs(self._around.reliance.members_among(node, self._facts, self._around.fallen_now))
            self._nodes[node] = None
            if needs is not None:
                self._nodes[node] = self._doubt + len(self._nodes)
                self._supports.append((self._doubt + len(self._nodes), needs))
                self._origins.append(-1)
        return self._nodes[node]

    def _needs(self, evidence: Iterable[int]) -> tuple[int, ...] | None:
        """Return what of some evidence is to be labelled here, doubt included; None where part of it is dead."""
        needs = set()
        for cited in evidence:
            number = self._number.get(cited)
            if number is None:
                current = self._around.current(cited)
                if current == DEAD:
                    return None
                if current == LIVE:
                    continue
                number = self._doubt
            needs.add(number)
        return tuple(needs)
