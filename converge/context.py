"""The context: a job's append-only knowledge. Facts, supports and markers are added; nothing is edited or removed.

Only the merge actor, and whoever restores a job, calls `add`, `support` and `complete`; others read through a View.
Facts stand in one list in the order they were merged, and per kind in a log by round, since a later round may be merged
before an earlier one.
"""

__all__ = ["OUTSIDE", "Context", "Support", "digest_of"]

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

from converge.effect import Given, Source
from converge.fact import Fact, Invalidation, id_of, kind_of
from converge.intent import RootIntent
from converge.kind import Kind
from converge.liveness import DEAD, LIVE, Labels, label
from converge.log import KindLog

OUTSIDE = Source("")
_REMEMBERED_LABELLINGS = 4  # the round read now, the one before it, and what a caller looks back at


class Support(NamedTuple):
    """One derivation: the fact at `fact`, stated by source number `source` in `round`, resting on `evidence`."""

    fact: int
    source: int
    round: int
    evidence: tuple[int, ...] | Given


class Context:
    """The knowledge of one job. Its first fact is the root intent."""

    def __init__(self, intent: RootIntent) -> None:
        self.intent = intent
        self.facts: list[Fact] = []
        self.rounds: list[int] = []
        self.position: dict[str, int] = {}
        self.supports: list[Support] = []
        self.markers: list[tuple[int, str]] = []  # where a marker stands, and the id of what it marks
        self.kinds: dict[str, KindLog] = {}
        self.sources: list[Source] = []
        self.highest = 0
        self._source_numbers: dict[Source, int] = {}
        self._versions: dict[str, list[int]] = {}  # agent -> the source numbers of its versions
        self._completed: dict[int, list[int]] = {}  # source number -> rounds its activations wrote
        self._reigns: dict[str, list[tuple[int, int]]] = {}  # agent of several versions -> (round, version's number)
        self._first: list[int] = []  # fact -> its first support; nearly all facts have no other
        self._more: dict[int, list[int]] = {}
        self._known_supports: dict[tuple[int, int, Any, int], int] = {}  # of facts that have several
        self._nodes: dict[Given, Given] = {}
        self._view_digests: dict[tuple[frozenset[str], int], str] = {}
        self._labels: dict[int, Labels] = {}
        self.unsettling: list[int] = []  # the rounds that hold a marker, a replaced support or a circle
        self.add(intent, 0)
        self.support(0, OUTSIDE, 0, ())

    # --- growing ------------------------------------------------------------------------------------------------

    def add(self, fact: Fact, round: int) -> bool:
        """Add a fact and say whether it is new; its round is the lowest one. The caller adds a support right after."""
        fact_id = id_of(fact)
        known = self.position.get(fact_id)
        if known is not None:
            if round < self.rounds[known]:
                self._view_digests.clear()
                self.log(kind_of(fact)).move(self.facts[known], self.rounds[known], round)
                self.rounds[known] = round
            return False
        self._view_digests.clear()
        self.position[fact_id] = len(self.facts)
        self.facts.append(fact)
        self.rounds.append(round)
        self._first.append(-1)
        self.log(kind_of(fact)).add(fact, round)
        self.highest = max(self.highest, round)
        if isinstance(fact, Invalidation):
            self.markers.append((len(self.facts) - 1, fact.target))
            self._unsettle(round)
        return True

    def node(self, given: Given) -> Given:
        """Return the one evidence node that stands for everything equal to `given`."""
        return self._nodes.setdefault(given, given)

    def support(self, fact: int, source: Source, round: int, evidence: tuple[int, ...] | Given) -> bool:
        """Add one derivation of the fact at a position and say whether it is new. A Given comes from `node`."""
        number = self.number(source)
        # A replacing agent that draws the same conclusion again must be seen to have drawn it in this activation.
        known = (fact, number, _named(evidence), round if source.replaces else -1)
        first = self._first[fact]
        if first < 0:
            self._first[fact] = len(self.supports)
            if evidence and not isinstance(evidence, Given) and evidence[-1] >= fact:  # positions ascend
                self._unsettle(round)  # it may rest on itself in the end
        else:
            same = first if known == self._name(self.supports[first]) else self._known_supports.get(known)
            if same is not None:
                self.supports[same] = self.supports[same]._replace(round=min(round, self.supports[same].round))
                return False
            self._known_supports[known] = len(self.supports)
            self._more.setdefault(fact, []).append(len(self.supports))
        self.supports.append(Support(fact, number, round, evidence))
        self.highest = max(self.highest, round)
        self._forget_labels(round)
        return True

    def complete(self, source: Source, round: int) -> bool:
        """Note that an activation of `source` that wrote `round` completed; say whether older supports cease to count.

        They do where the agent replaces, and where a newer version of it completes for the first time.
        """
        number = self.number(source)
        replaced = False
        if source.replaces:
            completed = self._completed.setdefault(number, [])
            if round not in completed:
                replaced = bool(completed)
                insort(completed, round)
        if len(self._versions[source.agent]) > 1:
            reigns = self._reigns.setdefault(source.agent, [])
            before = [version for since, version in reigns if since <= round]
            if not before or before[-1] != number:
                insort(reigns, (round, number))
                replaced = True
        if replaced:
            self.highest = max(self.highest, round)  # what fell is part of this round, even if nothing was added
            self._unsettle(round)
        return replaced

    def number(self, source: Source) -> int:
        """Return the number that stands for `source` in supports."""
        number = self._source_numbers.get(source)
        if number is None:
            number = self._source_numbers[source] = len(self.sources)
            self.sources.append(source)
            self._versions.setdefault(source.agent, []).append(number)
        return number

    def log(self, kind: Kind) -> KindLog:
        """Return the log of a kind, empty if nothing of it is known."""
        log = self.kinds.get(kind.label)
        if log is None:
            log = self.kinds[kind.label] = KindLog(kind)
        return log

    # --- reading ------------------------------------------------------------------------------------------------

    def supports_of(self, fact: int) -> Iterator[Support]:
        """Iterate over the derivations of the fact at a position, first one first."""
        yield self.supports[self._first[fact]]
        for index in self._more.get(fact, ()):
            yield self.supports[index]

    def evidence_of(self, support: Support) -> tuple[int, ...]:
        """Return the positions a support rests on, an evidence node spelled out."""
        evidence = support.evidence
        return self._members(evidence) if isinstance(evidence, Given) else evidence

    def size(self, given: Given) -> int:
        """Return how many facts an evidence node stands for; one met in two calls counts twice."""
        logs = ((self.kinds.get(part.kind), part) for part in given.ranges)
        parts = (len(log.between(part.after, part.upto)) - len(part.without) for log, part in logs if log)
        return len(given.picks) + sum(parts)

    def counts(self, support: Support, upto: int) -> bool:
        """Whether a support counts in a view of round `upto`: not after a newer activation or version replaced it."""
        if support.round > upto:
            return False
        source = self.sources[support.source]
        reigns = [number for round, number in self._reigns.get(source.agent, ()) if round <= upto]
        if reigns and reigns[-1] != support.source:
            return False
        if not source.replaces:
            return True
        completed = self._completed.get(support.source, ())
        return not completed or completed[bisect_right(completed, upto) - 1] == support.round

    def labels(self, upto: int) -> Labels | None:
        """Return the labelling as of round `upto`, or None where everything known by then is live."""
        if not self.unsettling or upto < self.unsettling[0]:
            return None
        if upto not in self._labels:
            while len(self._labels) >= _REMEMBERED_LABELLINGS:
                del self._labels[next(iter(self._labels))]
            self._labels[upto] = self._label(upto)
        return self._labels[upto]

    def live_only_through(self, kind: str, upto: int) -> list[Fact]:
        """Return the live facts that would not be live without the facts of one kind, those of the kind left out."""
        if kind not in self.kinds:
            return []
        now, without = self.labels(upto), self._label(upto, without=kind)
        return [
            fact
            for place, (fact, round) in enumerate(zip(self.facts, self.rounds, strict=True))
            if round <= upto and kind_of(fact).label != kind and _label(now, place) == LIVE != without.of[place]
        ]

    def is_live(self, fact: int, upto: int) -> bool:
        """Whether the fact at a position is live as of round `upto`."""
        labels = self.labels(upto)
        return self.rounds[fact] <= upto if labels is None else labels.of[fact] == LIVE

    def reason(self, fact: int, upto: int) -> Support:
        """Return a support that proves the live fact at a position; following reasons ends in given facts."""
        labels = self.labels(upto)
        return self.supports[self._first[fact] if labels is None else labels.reason[fact]]

    def relabelled(self, before: int, now: int) -> set[str]:
        """Return the kinds with a fact known by round `before` whose label is another in round `now`."""
        old, new = self.labels(before), self.labels(now)
        if old is new:
            return set()
        changed = set()
        for fact, round in enumerate(self.rounds):
            if round <= before and _label(old, fact) != _label(new, fact):
                changed.add(kind_of(self.facts[fact]).label)
        return changed

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
        """Return the digest of the ids of live and disputed facts."""
        labels = self.labels(upto)
        return digest_of(
            id_of(fact)
            for fact in self._digested(upto)
            if labels is None or labels.of[self.position[id_of(fact)]] != DEAD
        )

    def proof_digest(self, upto: int) -> str:
        """Return the digest of all fact ids and all supports."""
        nodes: dict[int, str] = {}
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

    def _support_digest(self, support: Support, nodes: dict[int, str]) -> str:
        source, shared = self.sources[support.source], id(support.evidence)
        if shared not in nodes:
            nodes[shared] = digest_of(id_of(self.facts[position]) for position in self.evidence_of(support))
        return f"{source.agent}@{source.version} {nodes[shared]}"

    # --- within -------------------------------------------------------------------------------------------------

    def _name(self, support: Support) -> tuple[int, int, Any, int]:
        replaces = self.sources[support.source].replaces
        return (support.fact, support.source, _named(support.evidence), support.round if replaces else -1)

    def _members(self, given: Given) -> tuple[int, ...]:
        members = set(given.picks)
        for part in given.ranges:
            log = self.kinds.get(part.kind)
            facts = log.between(part.after, part.upto) if log else ()
            members.update({self.position[id_of(fact)] for fact in facts}.difference(part.without))
        return tuple(sorted(members))

    def _unsettle(self, round: int) -> None:
        if round not in self.unsettling:
            insort(self.unsettling, round)
        self._forget_labels(round)

    def _forget_labels(self, round: int) -> None:
        if self._labels:
            self._labels = {upto: labels for upto, labels in self._labels.items() if upto < round}

    def _label(self, upto: int, without: str | None = None) -> Labels:
        """Label with each evidence node as one more fact, so that a node shared by a thousand facts is met once."""
        nodes: dict[int, tuple[int, Given]] = {}  # by identity: an activation's emissions share one node
        supports: list[tuple[int, tuple[int, ...]]] = []
        counted = [index for index, support in enumerate(self.supports) if self.counts(support, upto)]
        if without is not None:
            counted = [i for i in counted if kind_of(self.facts[self.supports[i].fact]).label != without]
        for index in counted:
            support = self.supports[index]
            evidence = support.evidence
            if isinstance(evidence, Given):
                node, _ = nodes.setdefault(id(evidence), (len(self.facts) + len(nodes), evidence))
                evidence = (node,)
            supports.append((support.fact, evidence))
        for node, given in nodes.values():
            supports.append((node, self._members(given)))
        markers = [(place, self.position[target]) for place, target in self.markers if self.rounds[place] <= upto]
        labels = label(len(self.facts) + len(nodes), supports, markers)
        reason = [counted[index] if 0 <= index < len(counted) else -1 for index in labels.reason]
        return labels._replace(reason=reason)


def _named(evidence: tuple[int, ...] | Given) -> Any:
    """Return what evidence is compared by: a node may stand for very many facts and is one object."""
    return id(evidence) if isinstance(evidence, Given) else evidence


def _label(labels: Labels | None, fact: int) -> int:
    return LIVE if labels is None else labels.of[fact]


def digest_of(lines: Iterable[str]) -> str:
    """Return a digest of a set of lines, whatever their order."""
    total = blake2b(digest_size=16)
    for line in sorted(set(lines)):
        total.update(line.encode())
        total.update(b"\n")
    return total.hexdigest()
