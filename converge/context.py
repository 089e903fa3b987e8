"""The context: a job's append-only knowledge. Facts, supports and markers are added; nothing is edited or removed.

Only the merge actor, and whoever restores a job, calls `add`, `support` and `complete`; others read through a View.
Facts stand in one list in the order they were merged, and per kind in a log by round, since a later round may be merged
before an earlier one. A fact's round is the lowest of its supports.
"""

__all__ = ["Context", "digest_of"]

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import count, groupby
from typing import Any

from converge.effect import Given, Source
from converge.fact import Fact, Invalidation, id_of, kind_of, stored_id
from converge.intent import RootIntent
from converge.kind import Kind
from converge.labelling import Labelling
from converge.liveness import DEAD, LIVE
from converge.log import KindLog
from converge.support import OUTSIDE, Evidence, Support, Supports


class Context:
    """The knowledge of one job. Its first fact is the root intent."""

    def __init__(self, intent: RootIntent) -> None:
        self.intent = intent
        self.facts: list[Fact] = []
        self.rounds: list[int] = []
        self.position: dict[str, int] = {}
        self.supports = Supports()
        self.labelling = Labelling(self)
        self.kinds: dict[str, KindLog] = {}
        self.highest = 0
        self._nodes: dict[Given, Given] = {}
        self._awaited: dict[str, list[int]] = {}  # target that an effect has yet to add -> its markers
        self._view_digests: dict[tuple[frozenset[str], int], str] = {}
        self.add(intent, 0)
        self.support(0, OUTSIDE, 0, ())

    # --- growing ------------------------------------------------------------------------------------------------

    def add(self, fact: Fact, round: int) -> bool:
        """Add a fact and say whether it is new. The caller adds a support right after."""
        fact_id = id_of(fact)
        if fact_id in self.position:
            return False
        place = self.position[fact_id] = len(self.facts)
        self.facts.append(fact)
        self.rounds.append(round)
        kind: Kind = fact.__kind__  # type: ignore[attr-defined]  # it has an id, so it is a fact
        (self.kinds.get(kind.label) or self.log(kind)).add(fact, round)
        if round > self.highest:
            self.highest = round
        if self._view_digests:
            self._view_digests.clear()
        if isinstance(fact, Invalidation):
            self._mark(place, fact.target)
        if self._awaited:
            for marker in self._awaited.pop(fact_id, ()):
                self._mark(marker, fact_id)
        return True

    def extend(self, facts: Sequence[Fact], rounds: Sequence[int]) -> bool:
        """Add facts that are all new, as `add` would one after another; where one is known, add none and say no."""
        new = dict(zip(map(stored_id, facts), count(len(self.facts)), strict=False))
        if len(new) < len(facts) or not self.position.keys().isdisjoint(new):
            return False
        self.position.update(new)
        self.facts += facts
        self.rounds += rounds
        self.highest = max([self.highest, *rounds])
        self._view_digests.clear()
        markers: list[Any] = []
        for round, places in groupby(range(len(facts)), rounds.__getitem__):
            for cls, several in groupby([facts[place] for place in places], type):
                run = [*several]
                self.log(kind_of(cls)).extend(run, round)
                markers += run if cls is Invalidation else ()
        self._mark_all(new, markers)
        return True

    def node(self, given: Given) -> Given:
        """Return the one evidence node that stands for everything equal to `given`."""
        return self._nodes.setdefault(given, given)

    def support(self, fact: int, source: Source, round: int, evidence: Evidence) -> None:
        """Add one derivation of the fact at a position, unless it is known. A Given comes from `node`."""
        is_new_fact = not self.supports.knows(fact)
        if self.supports.add(fact, source, round, evidence) is None:
            return
        if round < self.rounds[fact]:
            self._lower(fact, round)
        if round > self.highest:
            self.highest = round
        self.labelling.support(fact, round, evidence, is_new_fact=is_new_fact)

    def derive(
        self, facts: Sequence[int], sources: Sequence[int], rounds: Sequence[int], evidence: Sequence[Evidence]
    ) -> None:
        """Add derivations as `support` would one after another; sources are given by number."""
        if not self._are_plain(facts, rounds, evidence):
            for fact, source, round, cited in zip(facts, sources, rounds, evidence, strict=True):
                self.support(fact, self.supports.sources[source], round, cited)
            return
        self.supports.add_firsts(sources, rounds, evidence)
        if self.labelling.since >= 0:
            for fact, round, cited in zip(facts, rounds, evidence, strict=True):
                self.labelling.support(fact, round, cited, is_new_fact=True)

    def complete(self, source: Source, read: int, wrote: int) -> None:
        """Note that an activation of `source` that read one round and wrote another completed.

        Older supports of it may cease to count then.
        """
        for since, index in self.supports.complete(source, read, wrote):
            self.reach(since)  # what fell is part of this round, even if nothing was added
            self.labelling.cease(index, since)

    def reach(self, round: int) -> None:
        """Note that a round is in use, though nothing may come to stand in it."""
        if round > self.highest:
            self.highest = round

    def log(self, kind: Kind) -> KindLog:
        """Return the log of a kind, empty if nothing of it is known."""
        log = self.kinds.get(kind.label)
        if log is None:
            log = self.kinds[kind.label] = KindLog(kind)
        return log

    # --- reading ------------------------------------------------------------------------------------------------

    def supports_of(self, fact: int) -> Iterator[Support]:
        """Iterate over the derivations of the fact at a position, the one of the lowest round first."""
        return (self.supports[index] for index in self.supports.of(fact))

    def evidence_of(self, support: Support) -> tuple[int, ...]:
        """Return the positions a support rests on, an evidence node spelled out."""
        evidence = support.evidence
        return self.members(evidence) if isinstance(evidence, Given) else evidence

    def members(self, given: Given) -> tuple[int, ...]:
        """Return the positions an evidence node stands for, ascending."""
        members = set(given.picks)
        for kind, after, upto, live in given.ranges:
            log = self.kinds.get(kind)
            found = {self.position[id_of(fact)] for fact in (log.between(after, upto) if log else ())}
            members |= found - self.labelling.fallen(kind, upto) if live else found
        return tuple(sorted(members))

    def size(self, given: Given) -> int:
        """Return how many facts an evidence node stands for; one met in two calls counts twice."""
        logs = ((self.kinds.get(part.kind), part) for part in given.ranges)
        picked = {self._item(place) for place in given.picks}
        return len(picked) + sum(len(log.between(part.after, part.upto)) for log, part in logs if log)

    def live_only_through(self, kind: str, upto: int) -> list[Fact]:
        """Return the live facts that would not be live without the facts of one kind, those of the kind left out."""
        if kind not in self.kinds:
            return []
        labels = self.labelling.without(kind, upto)
        changed = (place for place, label in labels.items() if label != LIVE and self.is_live(place, upto))
        return [self.facts[place] for place in changed if kind_of(self.facts[place]).label != kind]

    def label(self, fact: int, upto: int) -> int:
        """Return the label of the fact at a position in a round in which it is known."""
        return self.labelling.label(fact, upto)

    def is_live(self, fact: int, upto: int) -> bool:
        """Whether the fact at a position is known and live in round `upto`."""
        return self.rounds[fact] <= upto and self.labelling.label(fact, upto) == LIVE

    def reason(self, fact: int, upto: int) -> Support:
        """Return a support that proves the live fact at a position; following reasons ends in given facts."""
        return self.supports[self.labelling.reason(fact, upto)]

    # --- digests ------------------------------------------------------------------------------------------------

    def digest(self, upto: int) -> str:
        """Return the digest of all fact ids."""
        return digest_of(id_of(fact) for fact in self._digested(upto))

    def view_digest(self, kinds: frozenset[str], upto: int) -> str:
        """Return the digest of the facts of some kinds; many agents that fail on one round share it."""
        if (kinds, upto) not in self._view_digests:
            logs = [self.kinds[label] for label in kinds if label in self.kinds]
            ids = (id_of(fact) for log in logs for fact in log.between(-1, upto))
            self._view_digests[kinds, upto] = digest_of([id_of(self.intent), *ids])
        return self._view_digests[kinds, upto]

    def live_digest(self, upto: int) -> str:
        """Return the digest of the ids of live and disputed facts.

        A marker on what would not hold without it either is left out: who never drew that conclusion never met it.
        """
        return digest_of(id_of(fact) for fact in self._digested(upto) if self._matters(fact, upto))

    def proof_digest(self, upto: int) -> str:
        """Return the digest of all fact ids and all supports."""
        nodes: dict[Any, str] = {}
        return digest_of(
            f"{id_of(fact)} {self._support_digest(support, nodes)}"
            for fact in self._digested(upto)
            for support in self.supports_of(self.position[id_of(fact)])
            if support.round <= upto
        )

    def _digested(self, upto: int) -> Iterator[Fact]:
        for fact, round in zip(self.facts, self.rounds, strict=True):
            if round <= upto and kind_of(fact).digested:
                yield fact

    def _support_digest(self, support: Support, nodes: dict[Any, str]) -> str:
        source, shared = self.supports.sources[support.source], support.basis
        if shared not in nodes:
            nodes[shared] = digest_of(id_of(self.facts[position]) for position in self.evidence_of(support))
        return f"{source.agent}@{source.version} {nodes[shared]}"

    # --- within -------------------------------------------------------------------------------------------------

    def _item(self, fact: int) -> object:
        """Return what a fact is given as: itself, or one of the facts of a join."""
        kind = kind_of(self.facts[fact])
        return (kind.label, kind.key_of(self.facts[fact])) if kind.policy == "join" else fact

    def _are_plain(self, facts: Sequence[int], rounds: Sequence[int], evidence: Sequence[Evidence]) -> bool:
        """Whether derivations are one each of the newest facts, in their rounds, and rest on what stood before them."""
        first = self.supports.derived
        if list(facts) != list(range(first, len(self.facts))) or list(rounds) != self.rounds[first:]:
            return False
        for fact, cited in zip(facts, evidence, strict=True):
            if cited and not isinstance(cited, Given) and cited[-1] >= fact:  # positions ascend
                return False
        return True

    def _mark_all(self, new: Mapping[str, int], markers: Iterable[Invalidation]) -> None:
        """Note what new facts mark, and first who has waited for them."""
        for target in self._awaited.keys() & new.keys():
            for marker in self._awaited.pop(target):
                self._mark(marker, target)
        for fact in markers:
            self._mark(new[stored_id(fact)], fact.target)

    def _mark(self, marker: int, target: str) -> None:
        place = self.position.get(target)
        if place is None:
            self._awaited.setdefault(target, []).append(marker)
        else:
            self.labelling.mark(marker, place)

    def _lower(self, fact: int, round: int) -> None:
        self._view_digests.clear()
        self.log(kind_of(self.facts[fact])).move(self.facts[fact], self.rounds[fact], round)
        self.rounds[fact] = round

    def _matters(self, fact: Fact, upto: int) -> bool:
        if self.label(self.position[id_of(fact)], upto) == DEAD:
            return False
        while isinstance(fact, Invalidation):  # a marker on a marker on … what somebody concludes
            target = self.position.get(fact.target)
            if target is None or self.rounds[target] > upto or not self._is_supported(target, upto):
                return False
            fact = self.facts[target]
        return True

    def _is_supported(self, fact: int, upto: int) -> bool:
        """Whether a fact has a support that counts and no part of which is dead."""
        counted = (self.supports[index] for index in self.supports.of(fact) if self.supports.counts(index, upto))
        return any(all(self.label(cited, upto) != DEAD for cited in self.evidence_of(one)) for one in counted)


def digest_of(lines: Iterable[str]) -> str:
    """Return a digest of a set of lines, whatever their order."""
    total = blake2b(digest_size=16)
    for line in sorted(set(lines)):
        total.update(line.encode())
        total.update(b"\n")
    return total.hexdigest()
