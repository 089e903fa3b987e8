"""Churn: a set of facts that hold, or are in dispute, is left and entered again and again while facts still grow.

It is looked for in rounds that are closed, so that it is found in the same round whatever the timing. Facts from
outside begin a new count: whoever gives and takes back a premise may bring back the same set as often as they like.
"""

__all__ = ["Churn"]

from hashlib import blake2b

from converge.context import Context
from converge.fact import id_of, kind_of
from converge.liveness import DEAD
from converge.support import OUTSIDE

_NAMED = 5


class Churn:
    """Follows the live set of one context from round to round."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._looked: int | None = None  # the last round that was looked at
        self._signature = 0  # of the set of facts that are not dead, but for those that never changed
        self._entered: dict[int, list[int]] = {0: [0]}  # signature -> the rounds in which its set was entered

    def found(self, closed: int, allowed: int) -> tuple[str, ...]:
        """Return facts of a loop by id, once a set was entered again more often than allowed; else nothing."""
        labelling = self._context.labelling
        if labelling.all_live(closed):
            return ()
        if self._looked is None:
            self._looked, self._signature, self._entered = self._last_settled(), 0, {0: [0]}
        for round in range(self._looked + 1, closed + 1):
            self._looked = round
            if not self._follow(round):
                continue
            entered = self._entered.setdefault(self._signature, [])
            entered.append(round)
            if len(entered) > allowed + 1:
                return self._changed_between(entered[-2], round)
        return ()

    def _follow(self, round: int) -> bool:
        """Bring the signature to a round; return whether it changed."""
        before, context = self._signature, self._context
        born = (context.position[id_of(fact)] for log in context.kinds.values() for fact in log.of_round(round))
        flipped = [fact for fact in born if context.label(fact, round) != DEAD]
        changed = context.labelling.changed(round)
        flipped += [f for f in changed if DEAD in (context.label(f, round), context.label(f, round - 1))]
        for fact in flipped:
            named = blake2b(id_of(context.facts[fact]).encode(), digest_size=16)
            self._signature ^= int.from_bytes(named.digest(), "big")
        return self._signature != before

    def _last_settled(self) -> int:
        """Return the round before the first one that counts: all was live, or something came from outside."""
        context = self._context
        given = (one for one in context.supports if context.supports.sources[one.source] == OUTSIDE)
        last_given = max(one.round for one in given if kind_of(context.facts[one.fact]).digested)
        return max(last_given, context.labelling.since - 1)

    def _changed_between(self, first: int, last: int) -> tuple[str, ...]:
        labelling, facts = self._context.labelling, self._context.facts
        rounds = [round for round in labelling.rounds(first) if round <= last]
        changed = {id_of(facts[fact]) for round in rounds for fact in labelling.changed(round)}
        return tuple(sorted(changed))[:_NAMED]
