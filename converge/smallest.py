"""The smallest proof of a live fact: the derivation that takes the fewest steps, counted as a tree.

1. A premise costs 1; any other fact costs 1 more than its evidence in sum, by the support for which that is least. What
   is used twice counts twice: with each fact counted once, the least would be NP-hard to find (Ausiello 1986).
2. Costs are settled in ascending order (Knuth 1977), so a proof is well founded whatever circles the supports make.
3. Only what stands behind the fact is looked at, and nothing at all where a fact has one derivation. Of equals, the one
   of the earliest round, and then by the names of agents and the ids of what it rests on: arrival decides nothing.
"""

__all__ = ["Smallest"]

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any

from converge.context import Context
from converge.fact import id_of
from converge.support import OUTSIDE, Support

_MOST = 2**62  # steps: a tree of more is as good as any other, and numbers stay small


class Smallest:
    """Chooses, for live facts of one context as of one round, the support that begins the smallest proof."""

    def __init__(self, context: Context, upto: int) -> None:
        self._context, self._upto = context, upto
        self._chosen: dict[int, int] = {}
        self._costs: dict[int, int] = {}

    def support(self, place: int) -> Support:
        """Return the support of the live fact at a position."""
        if place not in self._chosen:
            first, *others = self._context.supports.of(place)
            if not others:
                self._chosen[place] = first  # it is live, so there is a proof, and no other
            else:
                _Settling(self._context, self._upto, self._chosen, self._costs).run(place)
        return self._context.supports[self._chosen[place]]

    def options(self, place: int) -> list[int]:
        """Return the supports that could prove a live fact: they count, and all they rest on is live."""
        return list(_options(self._context, place, self._upto))


class _Settling:
    """One search: backwards for what could matter, then forwards from premises in order of cost."""

    def __init__(self, context: Context, upto: int, chosen: dict[int, int], costs: dict[int, int]) -> None:
        self._context, self._upto, self._chosen, self._costs = context, upto, chosen, costs
        self._uses: dict[int, list[int]] = {}  # a fact whose cost is not known -> the options that wait for it
        self._unmet: dict[int, int] = {}  # an option -> how many it waits for
        self._sums: dict[int, int] = {}  # an option -> what is known of its cost
        self._ready: list[tuple[int, str, Any, int]] = []
        self._rivals: set[int] = set()  # facts of which several options are left

    def run(self, root: int) -> None:
        self._collect(root)
        while root not in self._costs:
            cost, _, _, index = heappop(self._ready)
            place = self._context.supports[index].fact
            if place not in self._costs:
                self._costs[place] = cost
                self._chosen[place] = index
                self._pass_on(place, cost)

    def _collect(self, root: int) -> None:
        seen, waiting = {root}, [root]
        while waiting:
            place = waiting.pop()
            options = list(_options(self._context, place, self._upto))
            if len(options) > 1:
                self._rivals.add(place)
            for index in options:
                missing = self._open(index)
                waiting += [cited for cited in missing if cited not in seen]
                seen.update(missing)

    def _open(self, index: int) -> list[int]:
        """Take in an option; return what it waits for."""
        evidence = self._context.evidence_of(self._context.supports[index])
        missing = [cited for cited in evidence if cited not in self._costs]
        self._unmet[index] = len(missing)
        self._sums[index] = 1 + sum(self._costs[cited] for cited in evidence if cited in self._costs)
        for cited in missing:
            self._uses.setdefault(cited, []).append(index)
        if not missing:
            self._meet(index)
        return missing

    def _pass_on(self, place: int, cost: int) -> None:
        for index in self._uses.pop(place, ()):
            self._sums[index] += cost
            self._unmet[index] -= 1
            if not self._unmet[index]:
                self._meet(index)

    def _meet(self, index: int) -> None:
        place, cost = self._context.supports[index].fact, min(self._sums[index], _MOST)
        tie = self._named(index) if place in self._rivals else ()
        heappush(self._ready, (cost, id_of(self._context.facts[place]), tie, index))

    def _named(self, index: int) -> tuple[Any, ...]:
        support, context = self._context.supports[index], self._context
        source = context.supports.sources[support.source]
        ids = sorted(id_of(context.facts[cited]) for cited in context.evidence_of(support))
        return (support.round, source.agent, source.version, ids)


def _options(context: Context, place: int, upto: int) -> Iterator[int]:
    supports = context.supports
    counted = [index for index in supports.of(place) if supports.counts(index, upto)]
    given = [index for index in counted if supports.sources[supports[index].source] == OUTSIDE]
    for index in given[:1] or counted:
        evidence = context.evidence_of(supports[index])
        if all(context.is_live(cited, upto) for cited in evidence):
            yield index
