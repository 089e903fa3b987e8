"""Supports: every derivation of every fact, and which of them count in a round.

A support counts until a newer activation of a replacing agent, or the first one of a newer version, takes its place.
They are kept in columns: a million tuples would take more memory than the facts they derive, and a job that is
restored would make them one by one.
"""

__all__ = ["OUTSIDE", "Evidence", "Support", "Supports"]

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, overload

from converge.effect import Given, Source

OUTSIDE = Source("")
Evidence = tuple[int, ...] | Given


class Support(NamedTuple):
    """One derivation: the fact at `fact`, stated by source number `source` in `round`, resting on `evidence`."""

    fact: int
    source: int
    round: int
    evidence: Evidence

    @property
    def basis(self) -> Any:
        """What its evidence is told from other evidence by, however many supports share it."""
        return _named(self.evidence)


class Supports(Sequence[Support]):
    """The supports of one context in the order in which they were merged; facts are referred to by position."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self._facts, self._sources, self._rounds = (array("I") for _ in range(3))
        self._evidence: list[Evidence | int] = []  # one fact alone by itself: a tuple around it is half as much again
        self._lowest = array("I")  # fact -> its support of the lowest round; nearly all facts have no other
        self._more: dict[int, list[int]] = {}
        self._known: dict[tuple[int, int, Any, int], int] = {}  # of facts that have several
        self._numbers: dict[Source, int] = {}
        self._versions: dict[str, list[int]] = {}  # agent -> the source numbers of its versions
        self._completed: dict[int, tuple[array[int], array[int]]] = {}  # source -> what each activation wrote, and read
        self._noted = array("i")  # of activations that ended nothing, and are not filed yet: source, wrote, read
        self._written: dict[int, dict[int, list[int]]] = {}  # replacing source -> round -> the supports it added
        self._reigns: dict[str, list[tuple[int, int]]] = {}  # agent of several versions -> (round, version's number)

    @overload
    def __getitem__(self, index: int) -> Support: ...
    @overload
    def __getitem__(self, index: slice) -> list[Support]: ...
    def __getitem__(self, index: int | slice) -> Support | list[Support]:
        """Return one support, or a list of them."""
        if isinstance(index, slice):
            return list(self._within(index))
        return Support(self._facts[index], self._sources[index], self._rounds[index], self.evidence(index))

    def __iter__(self) -> Iterator[Support]:
        return self._within(slice(None))

    def __len__(self) -> int:
        return len(self._facts)

    def fact(self, index: int) -> int:
        """Return the position of the fact that a support derives."""
        return self._facts[index]

    def round(self, index: int) -> int:
        """Return the round of a support."""
        return self._rounds[index]

    def rounds(self, since: int, upto: int) -> Sequence[int]:
        """Return the rounds of a range of supports, as they are now."""
        return self._rounds[since:upto]

    def evidence(self, index: int) -> Evidence:
        """Return what a support rests on."""
        return _unpacked(self._evidence[index])

    def add(self, fact: int, source: Source, round: int, evidence: Evidence) -> int | None:
        """Add a derivation and return its index, or None where that changes nothing.

        A fact's first derivation comes with the fact; one that is known may be met again in a lower round.
        """
        number = self._numbers.get(source)
        if number is None:
            number = self.number(source)
        is_first = fact == len(self._lowest)
        if not is_first:
            # A replacing agent that draws the same conclusion again must be seen to have drawn it in this activation.
            same = self._find((fact, number, _named(evidence), round if source.replaces else -1))
            if same is not None:
                return self._lower(same, round)
        index = len(self._facts)
        self._facts.append(fact)
        self._sources.append(number)
        self._rounds.append(round)
        self._evidence.append(evidence[0] if len(evidence) == 1 else evidence)
        if is_first:
            self._lowest.append(index)
        else:
            self._known[self._name(index)] = index
            self._more.setdefault(fact, []).append(index)
            self._sift(index)
        if source.replaces:
            self._written.setdefault(number, {}).setdefault(round, []).append(index)
        return index

    def add_firsts(self, sources: Sequence[int], rounds: Sequence[int], evidence: Iterable[Evidence]) -> None:
        """Add one derivation each of the facts that come next, as `add` would; sources are given by number."""
        since, fact = len(self._facts), len(self._lowest)
        self._lowest.extend(range(since, since + len(rounds)))
        self._facts.extend(range(fact, fact + len(rounds)))
        self._sources.extend(sources)
        self._rounds.extend(rounds)
        self._evidence.extend(one[0] if len(one) == 1 else one for one in evidence)
        for number in filter(lambda number: self.sources[number].replaces, {*sources}):
            written = self._written.setdefault(number, {})
            for index in range(since, len(self._facts)):
                if self._sources[index] == number:
                    written.setdefault(self._rounds[index], []).append(index)

    def complete(self, source: Source, read: int, wrote: int) -> list[tuple[int, int]]:
        """Note that an activation of `source` that read one round and wrote another completed.

        Return which supports cease to count or count again, each as (the round from which on, its index): those of the
        activation before where the agent replaces, and those of every version where another one takes over.
        """
        number = self._numbers.get(source)
        if number is None:
            number = self.number(source)
        if not source.replaces and len(self._versions[source.agent]) == 1:  # as mostly: what it had said stays
            self._noted.extend((number, wrote, read))
            return []
        changed: list[tuple[int, int]] = []
        order, place = self._file(number, wrote, read)
        if source.replaces:  # also where it is met again: another part of the same effect may have come
            written = self._written.get(number, {})
            for before, after in pairwise(order[max(0, place - 1) : place + 2]):
                changed += [(after, index) for index in written.get(before, ())]
        if len(self._versions[source.agent]) > 1 and self._reign(source.agent, number, wrote):
            mine = (i for i, number in enumerate(self._sources) if self.sources[number].agent == source.agent)
            changed += [(wrote, index) for index in mine]
        return changed

    def completions(self) -> list[tuple[Source, int, int]]:
        """Return all that was noted by `complete`, in the order of rounds: source, the round read, the one written."""
        noted = (
            (wrote, self.sources[number], read)
            for number, (order, reads) in self._filed().items()
            for wrote, read in zip(order, reads, strict=True)
        )
        return [(source, read, wrote) for wrote, source, read in sorted(noted)]

    def read_before(self, support: Support) -> int:
        """Return the round that the same source had read before the activation that made a support; -1 for none."""
        order, reads = self._filed().get(support.source, ((), ()))
        place = bisect_left(order, support.round)
        return reads[place - 1] if place else -1

    def number(self, source: Source) -> int:
        """Return the number that stands for `source` in supports."""
        number = self._numbers.get(source)
        if number is None:
            number = self._numbers[source] = len(self.sources)
            self.sources.append(source)
            self._versions.setdefault(source.agent, []).append(number)
        return number

    @property
    def derived(self) -> int:
        """How many facts have a derivation: all before that position."""
        return len(self._lowest)

    def knows(self, fact: int) -> bool:
        """Whether a fact has a derivation already."""
        return fact < len(self._lowest)

    def of(self, fact: int) -> Iterator[int]:
        """Iterate over the derivations of a fact, the one of the lowest round first."""
        yield self._lowest[fact]
        yield from self._more.get(fact, ())

    def lowest(self, fact: int) -> int:
        """Return the derivation of a fact that has the lowest round."""
        return self._lowest[fact]

    def counts(self, index: int, upto: int) -> bool:
        """Whether a support counts in a view of round `upto`."""
        round, number = self._rounds[index], self._sources[index]
        if round > upto:
            return False
        source = self.sources[number]
        reigns = [version for since, version in self._reigns.get(source.agent, ()) if since <= upto]
        if reigns and reigns[-1] != number:
            return False
        if not source.replaces:
            return True
        order, _ = self._completed.get(number, ((), ()))
        place = bisect_right(order, upto)
        return not place or order[place - 1] <= round

    # --- within -------------------------------------------------------------------------------------------------

    def _file(self, number: int, wrote: int, read: int) -> tuple["array[int]", int]:
        """File a completed activation; return what all of its source wrote, in order, and its place there."""
        order, reads = self._completed.get(number) or self._completed.setdefault(number, (array("i"), array("i")))
        place = bisect_left(order, wrote)
        if place == len(order) or order[place] != wrote:
            order.insert(place, wrote)
            reads.insert(place, read)
        return order, place

    def _filed(self) -> dict[int, tuple["array[int]", "array[int]"]]:
        """Return all completed activations by source, once those that were only noted are filed."""
        numbers, self._noted = iter(self._noted), array("i")
        for number, wrote, read in zip(numbers, numbers, numbers, strict=True):
            self._file(number, wrote, read)
        return self._completed

    def _find(self, name: tuple[int, int, Any, int]) -> int | None:
        lowest = self._lowest[name[0]]
        return lowest if name == self._name(lowest) else self._known.get(name)

    def _lower(self, index: int, round: int) -> int | None:
        if round >= self._rounds[index]:
            return None
        self._rounds[index] = round
        self._sift(index)
        return index

    def _sift(self, index: int) -> None:
        """Keep a fact's derivation of the lowest round where it is found first."""
        fact = self._facts[index]
        lowest = self._lowest[fact]
        if self._rounds[index] < self._rounds[lowest]:
            self._known[self._name(lowest)] = lowest
            more = self._more[fact]
            more[more.index(index)], self._lowest[fact] = lowest, index

    def _name(self, index: int) -> tuple[int, int, Any, int]:
        number = self._sources[index]
        round = self._rounds[index] if self.sources[number].replaces else -1
        return (self._facts[index], number, _named(self.evidence(index)), round)

    def _within(self, part: slice) -> Iterator[Support]:
        evidence = map(_unpacked, self._evidence[part])
        return map(Support, self._facts[part], self._sources[part], self._rounds[part], evidence)

    def _reign(self, agent: str, number: int, round: int) -> bool:
        """Note which version of an agent speaks from `round` on; return whether it is another than before."""
        reigns = self._reigns.setdefault(agent, [])
        before = [version for since, version in reigns if since <= round]
        if before and before[-1] == number:
            return False
        insort(reigns, (round, number))
        return True


def _unpacked(evidence: Evidence | int) -> Evidence:
    return (evidence,) if isinstance(evidence, int) else evidence


def _named(evidence: Evidence) -> Any:
    """Return what evidence is compared by: a node may stand for very many facts and is one object."""
    return id(evidence) if isinstance(evidence, Given) else evidence
