"""The facts of one kind, in buckets by round, with an index by key.

A round that is closed gains nothing more, so a bucket is sorted once, and what a view shows is a range of buckets.
"""

__all__ = ["KindLog"]

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from typing import Any

from converge.fact import Fact, stored_id
from converge.kind import Kind


class KindLog:
    """All facts of one kind: buckets by round, and an index by key."""

    __slots__ = ("_keyed", "_whole", "buckets", "contested", "keys", "kind", "rounds")

    def __init__(self, kind: Kind) -> None:
        self.kind, self._keyed = kind, kind.keyed
        self.buckets: dict[int, _Bucket] = {}
        self.rounds: list[int] = []
        self.keys: dict[Any, list[Fact]] = {}
        self.contested: set[Any] = set()
        self._whole: tuple[int, tuple[Fact, ...]] | None = None

    def add(self, fact: Fact, round: int) -> None:
        """File a fact that is new to the context."""
        self._bucket(round).unsorted.append(fact)
        if self._keyed:
            self._index((fact,))

    def extend(self, facts: Sequence[Fact], round: int) -> None:
        """File facts of one round that are new to the context, as `add` would one after another."""
        self._bucket(round).unsorted += facts
        if self._keyed:
            self._index(facts)

    def move(self, fact: Fact, old: int, new: int) -> None:
        """File a fact under a lower round than it was met in."""
        self.buckets[old].remove(fact)
        if not self.buckets[old].facts():
            del self.buckets[old]
            self.rounds.remove(old)
        self._bucket(new).unsorted.append(fact)

    def between(self, after: int, upto: int) -> tuple[Fact, ...]:
        """Return the facts with `after` < round <= `upto`, in id order."""
        if after < 0 and self._whole is not None and self._whole[0] == upto:
            return self._whole[1]
        rounds = self.rounds[bisect_right(self.rounds, after) : bisect_right(self.rounds, upto)]
        if len(rounds) == 1:
            facts = self.buckets[rounds[0]].facts()
        else:  # the buckets are sorted runs, which the standard sort merges in linear time
            facts = tuple(sorted((fact for r in rounds for fact in self.buckets[r].facts()), key=stored_id))
        if after < 0:
            self._whole = (upto, facts)
        return facts

    def of_round(self, round: int) -> tuple[Fact, ...]:
        """Return the facts of one round, in id order."""
        bucket = self.buckets.get(round)
        return bucket.facts() if bucket else ()

    def first_after(self, round: int) -> int | None:
        """Return the first round after `round` that added a fact, if there is one."""
        if not self.rounds or self.rounds[-1] <= round:  # as mostly
            return None
        return self.rounds[bisect_right(self.rounds, round)]

    def _index(self, facts: Iterable[Fact]) -> None:
        key_of, contests = self.kind.key_of, self.kind.policy == "contest"
        for fact in facts:
            key = key_of(fact)
            if (about := self.keys.get(key)) is None:
                self.keys[key] = [fact]
            else:
                about.append(fact)
                if contests:
                    self.contested.add(key)

    def _bucket(self, round: int) -> "_Bucket":
        """Return the bucket of a round that a fact is filed in."""
        bucket = self.buckets.get(round)
        if bucket is None:
            bucket = self.buckets[round] = _Bucket()
            insort(self.rounds, round)
        bucket.sorted = None  # a round that is still open may have been looked at already
        self._whole = None
        return bucket


class _Bucket:
    """The facts of one kind and one round; sorted by id once, on first read."""

    __slots__ = ("sorted", "unsorted")

    def __init__(self) -> None:
        self.unsorted: list[Fact] = []
        self.sorted: tuple[Fact, ...] | None = None

    def remove(self, fact: Fact) -> None:
        """Take a fact out."""
        self.unsorted.remove(fact)
        self.sorted = None

    def facts(self) -> tuple[Fact, ...]:
        """Return the facts in id order."""
        if self.sorted is None:
            self.unsorted.sort(key=stored_id)
            self.sorted = tuple(self.unsorted)
        return self.sorted
