"""The labels of one context in every round: kept as changes, and brought forward only for what a change can reach.

1. Nothing is recorded while everything known is live: until the first marker, replaced support or circle.
2. From then on each round keeps the facts whose supports or markers it changed. When somebody asks about a round, the
   rounds before it are worked through in order; each labels anew what its changes can reach, the rest staying fixed.
3. What arrives for a round that was worked through already takes the labels back to before it.
"""

__all__ = ["Labelling"]

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from converge.effect import Given
from converge.fact import kind_of
from converge.liveness import DEAD, LIVE
from converge.part import Part
from converge.reliance import Known, Reliance
from converge.support import Evidence


class Change(NamedTuple):
    """A fact has this label from `round` on, a live one through the support numbered `reason`."""

    round: int
    label: int
    reason: int


class Labelling:
    """Answers which facts of a context are live, dead or disputed in a round, and through which support."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self.notes = 0  # how many changes were noted
        self._since: int | None = None  # the first round in which something may not be live
        self._events: dict[int, set[int]] = {}  # round -> the facts whose supports or markers it changed
        self._rounds: list[int] = []  # of the events, ascending
        self._done = -1  # the round that labels have been brought forward to
        self._history: dict[int, list[Change]] = {}  # of facts that are not simply live through their lowest support
        self._changed: dict[int, list[int]] = {}  # round -> facts whose history it added to
        self._fallen: dict[int, int] = {}  # fact -> its label, where that is not live in the round `_done`
        self._of_kind: dict[str, set[int]] = {}  # kind -> its facts with a history
        self._stirred: dict[str, list[int]] = {}  # kind -> rounds in which its supports or markers changed
        self._stirs: set[tuple[str, int]] = set()  # of those, what nobody has taken yet
        self._marks: dict[int, int] = {}  # marker -> its target
        self._marked: dict[int, list[int]] = {}  # target -> its markers
        self.reliance = Reliance(known)

    # --- what changes -------------------------------------------------------------------------------------------

    def mark(self, marker: int, target: int) -> None:
        """Note a marker and what it marks."""
        self._marks[marker] = target
        self._marked.setdefault(target, []).append(marker)
        self._meet(marker)

    def support(self, fact: int, round: int, evidence: Evidence, *, is_new_fact: bool) -> None:
        """Note a support that was added, or met again in a lower round."""
        earlier = not evidence or isinstance(evidence, Given) or evidence[-1] < fact  # positions ascend
        if is_new_fact and earlier:
            if self._since is None:  # as nearly always
                return
        elif self._may_circle(round, evidence):
            self._unsettle(round)
        if not is_new_fact and round == self._known.rounds[fact]:  # it may be known earlier than it was thought to be
            for marker in (fact, *self._marked.get(fact, ())):
                self._meet(marker)
        if self._since is None:
            return
        self._note(fact, round)
        if not is_new_fact:
            for other in self._known.supports.of(fact):  # a lower round can change what holds in the later ones
                if (later := self._known.supports.round(other)) > round:
                    self._stir(fact, later)
            self._stir(fact, round)

    def cease(self, index: int, round: int) -> None:
        """Note that a support does not count from a round on."""
        self._unsettle(round)
        self._stir(self._known.supports.fact(index), round)

    # --- what is asked ------------------------------------------------------------------------------------------

    def all_live(self, upto: int) -> bool:
        """Whether nothing known in round `upto` can be anything but live."""
        return self._since is None or upto < self._since

    @property
    def since(self) -> int:
        """The first round in which something may not be live; -1 where everything is."""
        return -1 if self._since is None else self._since

    def label(self, fact: int, upto: int) -> int:
        """Return the label of a fact in a round in which it is known."""
        return self._at(fact, upto).label

    def reason(self, fact: int, upto: int) -> int:
        """Return the index of a support that proves a live fact; following reasons ends in given facts."""
        return self._at(fact, upto).reason

    def fallen(self, kind: str, upto: int) -> set[int]:
        """Return the facts of a kind known in round `upto` that are not live in it."""
        if self.all_live(upto):
            return set()
        self._advance(upto)
        rounds = self._known.rounds
        return {f for f in self._of_kind.get(kind, ()) if rounds[f] <= upto and self._find(f, upto).label != LIVE}

    def stirred_after(self, kind: str, round: int) -> int | None:
        """Return the first round after `round` in which labels of other facts may have changed because of a kind's."""
        rounds = self._stirred.get(kind, ())
        place = bisect_right(rounds, round)
        return rounds[place] if place < len(rounds) else None

    def last_change(self, kinds: frozenset[str], after: int) -> int:
        """Return the last round after `after` in which a label of some kinds changed; -1 if there was none."""
        for round in reversed(self.rounds(after)):
            if any(kind_of(self._known.facts[fact]).label in kinds for fact in self.changed(round)):
                return round
        return -1

    def take_stirs(self) -> set[tuple[str, int]]:
        """Return the kinds and rounds in which labels may have changed, each once."""
        stirs, self._stirs = self._stirs, set()
        return stirs

    def changed(self, round: int) -> set[int]:
        """Return the facts known before `round` whose label is another in it than in the round before."""
        if self.all_live(round):
            return set()
        self._advance(round)
        rounds = self._known.rounds
        facts = (fact for fact in self._changed.get(round, ()) if rounds[fact] < round)
        return {fact for fact in facts if self._find(fact, round).label != self._find(fact, round - 1).label}

    def rounds(self, after: int) -> list[int]:
        """Return the rounds after `after` whose changes labels are computed from."""
        return self._rounds[bisect_right(self._rounds, after) :]

    def weakened(self, upto: int) -> list[int]:
        """Return the supports of rounds up to one, by index, that rest on a fact that is dead in it."""
        self._advance(upto)
        rounds, supports = self._known.rounds, self._known.supports
        dead = (fact for fact in self._history if rounds[fact] <= upto and self._find(fact, upto).label == DEAD)
        used = {index for fact in dead for index in self.reliance.users(fact)}
        return sorted(index for index in used if supports.round(index) <= upto)

    def without(self, kind: str, upto: int) -> dict[int, int]:
        """Return what all labels would be in a round if no fact of one kind had a support."""
        facts = self._known.facts
        visible = [fact for fact, round in enumerate(self._known.rounds) if round <= upto]
        self.reliance.update()
        barred = {fact for fact in visible if kind_of(facts[fact]).label == kind}
        return {fact: verdict for fact, verdict, _ in Part(self, upto, visible, barred).solve()}

    # --- bringing labels forward --------------------------------------------------------------------------------

    def _at(self, fact: int, upto: int) -> Change:
        if self.all_live(upto):
            return self._plain(fact)
        self._advance(upto)
        return self._find(fact, upto)

    def _find(self, fact: int, upto: int) -> Change:
        for change in reversed(self._history.get(fact, ())):
            if change.round <= upto:
                return change
        return self._plain(fact)

    def _plain(self, fact: int) -> Change:
        return Change(-1, LIVE, self._known.supports.lowest(fact))

    def _advance(self, upto: int) -> None:
        self.reliance.update()
        if upto <= self._done:
            return
        for round in self._rounds[bisect_right(self._rounds, self._done) : bisect_right(self._rounds, upto)]:
            part = self._reached(self._events[round], round)
            for fact, verdict, reason in Part(self, round, part).solve():
                self._record(fact, Change(round, verdict, reason))
            self._done = round
        self._done = upto

    def _go_back(self, round: int) -> None:
        """Take the labels back to before a round."""
        for later in [later for later in self._changed if later >= round]:
            for fact in self._changed.pop(later):
                history = [change for change in self._history[fact] if change.round < round]
                self._history[fact] = history
                self._set_current(fact, history[-1].label if history else LIVE)
        self._done = round - 1

    def _record(self, fact: int, change: Change) -> None:
        history = self._history.get(fact)
        if (self.current(fact), self._reason(fact)) == (change.label, change.reason):
            return
        if history is None:
            history = self._history[fact] = []
            self._of_kind.setdefault(kind_of(self._known.facts[fact]).label, set()).add(fact)
        history.append(change)
        self._changed.setdefault(change.round, []).append(fact)
        self._set_current(fact, change.label)

    def _set_current(self, fact: int, verdict: int) -> None:
        if verdict == LIVE:
            self._fallen.pop(fact, None)
        else:
            self._fallen[fact] = verdict

    # --- what a round's changes can reach -----------------------------------------------------------------------

    def _reached(self, seeds: Iterable[int], round: int) -> list[int]:
        """Return the facts whose label a round may change, given those whose supports or markers it changed.

        A live fact is reached only through the support that proves it, one that is not through any of its supports.
        """
        reached = {fact for fact in seeds if self._known.rounds[fact] <= round and not self._stands(fact, round)}
        waiting = sorted(reached)
        while waiting:
            for fact in self._next(waiting.pop(), round):
                if fact not in reached:
                    reached.add(fact)
                    waiting.append(fact)
        return sorted(reached)

    def _next(self, fact: int, round: int) -> Iterator[int]:
        supports = self._known.supports
        for index in self.reliance.users(fact):
            head = supports.fact(index)
            if (head in self._fallen or self._reason(head) == index) and supports.counts(index, round):
                yield head
        target = self._marks.get(fact)
        if target is not None and self._known.rounds[target] <= round:
            yield target

    def _stands(self, fact: int, round: int) -> bool:
        """Whether a fact is plainly live: what proves it counts and is live, and every marker on it is dead."""
        if fact in self._fallen:
            return False
        rounds, marked = self._known.rounds, self._marked.get(fact)
        if marked and any(rounds[marker] <= round and self.current(marker) != DEAD for marker in marked):
            return False
        reason = self._reason(fact)
        if not self._known.supports.counts(reason, round):
            return False
        evidence = self._known.supports.evidence(reason)
        if isinstance(evidence, Given):
            return not self.reliance.members_among(self.reliance.node(evidence), (), self._fallen)
        # Evidence of the same effect may rest on this fact in turn.
        return all(rounds[cited] < round and cited not in self._fallen for cited in evidence)

    def _reason(self, fact: int) -> int:
        """Return the support that proves a fact in the round that labels have been brought forward to, or -1."""
        history = self._history.get(fact)
        return history[-1].reason if history else self._known.supports.lowest(fact)

    # --- evidence -----------------------------------------------------------------------------------------------

    def current(self, fact: int) -> int:
        """Return the label of a fact in the round that labels have been brought forward to."""
        return self._fallen.get(fact, LIVE)

    def markers_on(self, fact: int, round: int) -> list[int]:
        """Return the markers on a fact that are known in a round."""
        return [marker for marker in self._marked.get(fact, ()) if self._known.rounds[marker] <= round]

    @property
    def known(self) -> Known:
        """What labels are computed from."""
        return self._known

    @property
    def fallen_now(self) -> Mapping[int, int]:
        """The labels of facts that are not live in the round that labels have been brought forward to."""
        return self._fallen

    # --- keeping ------------------------------------------------------------------------------------------------

    def _may_circle(self, round: int, evidence: Evidence) -> bool:
        """Whether a support may rest on its own fact in the end: an effect may cite what it states itself."""
        return not isinstance(evidence, Given) and any(self._known.rounds[cited] >= round for cited in evidence)

    def _unsettle(self, round: int) -> None:
        """Note that something may not be live from a round on; what is known of later rounds may rest on it."""
        before, self._since = self._since, round if self._since is None else min(round, self._since)
        if self._since == before:
            return
        for support in self._known.supports:
            if support.round > round and (before is None or support.round <= before):
                self._note(support.fact, support.round)
                if support.round > self._known.rounds[support.fact]:
                    self._stir(support.fact, support.round)

    def _meet(self, marker: int) -> None:
        """Note the first round in which both a marker and what it marks are known."""
        target = self._marks.get(marker)
        if target is not None:
            round = max(self._known.rounds[marker], self._known.rounds[target])
            self._unsettle(round)
            self._stir(target, round)

    def _stir(self, fact: int, round: int) -> None:
        """Note a change to a fact that is known already, and to what it marks."""
        for touched in (fact, self._marks.get(fact)):
            if touched is not None:
                self._note(touched, round)
                kind = kind_of(self._known.facts[touched]).label
                rounds = self._stirred.setdefault(kind, [])
                self._stirs.add((kind, round))  # though it was taken before: more of the round may come to be known
                if round not in rounds:
                    insort(rounds, round)

    def _note(self, fact: int, round: int) -> None:
        events = self._events.get(round)
        if events is None:
            events = self._events[round] = set()
            insort(self._rounds, round)
        events.add(fact)
        self.notes += 1
        if round <= self._done:
            self._go_back(round)
