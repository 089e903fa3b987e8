"""The smallest proof of a live fact: the derivation that takes the fewest steps, counted as a tree.

1. A premise costs 1; any other fact costs 1 more than its evidence in sum, by the support for which that is least. What
   is used twice counts twice: with each fact counted once, the least would be NP-hard to find (Ausiello 1986).
2. Costs are settled in ascending order (Knuth 1977), so a proof is well founded whatever circles the supports make.
3. Only what stands behind the fact is looked at, and nothing at all where a fact has one derivation. Of equals, the one
   of the earliest round, and then by the names of agents and the ids of what it rests on: arrival decides nothing.
4. Where more stands behind a fact than anybody would read, its earliest derivation is taken instead, which takes no
   search. `is_exact` says which it was; that depends on the fact alone, and not on what was asked before.
"""

__all__ = ["Smallest"]

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any

from converge.context import Context
from converge.fact import id_of
from converge.support import OUTSIDE, Support

MOST_BEHIND = 1_000  # facts behind one whose smallest proof is looked for
_MOST = 2**62  # steps: a tree of more is as good as any other, and numbers stay small
_PREMISE = 1


class Smallest:
    """Chooses, for live facts of one context as of one round, the support that begins the smallest proof."""

    def __init__(self, context: Context, upto: int) -> None:
        self._context, self._upto = context, upto
        self._outside = context.supports.number(OUTSIDE)
        self._all_live = context.labelling.all_live(upto)
        self._options: dict[int, Sequence[int]] = {}
        self._behind: dict[int, frozenset[int]] = {}
        self._chosen: dict[int, int] = {}
        self._costs: dict[int, int] = {}

    def support(self, place: int) -> Support:
        """Return the support of the live fact at a position."""
        if place not in self._chosen:
            options = self.options(place)
            if len(options) == 1:
                self._chosen[place] = options[0]
            elif self.is_exact(place):
                _Search(self, self._context, self._chosen, self._costs).run(place)
            else:
                self._chosen[place] = self._earliest(place, options)
        return self._context.supports[self._chosen[place]]

    def is_exact(self, place: int) -> bool:
        """Whether no more stands behind a fact than is searched."""
        seen, waiting = {place}, [place]
        while waiting and len(seen) <= MOST_BEHIND:
            new = self._cited(waiting.pop()) - seen
            seen |= new
            waiting += new
        return len(seen) <= MOST_BEHIND

    def options(self, place: int) -> Sequence[int]:
        """Return the supports that a proof of a live fact may begin with; of a premise, the given one."""
        options = self._options.get(place)
        if options is None:
            options = self._options[place] = self._looked_up(place)
        return options

    def is_premise(self, place: int) -> bool:
        """Whether the fact at a position was given from outside."""
        return self._context.supports[self.options(place)[0]].source == self._outside

    # --- within -------------------------------------------------------------------------------------------------

    def _cited(self, place: int) -> frozenset[int]:
        """Return all that the options of a fact rest on."""
        cited = self._behind.get(place)
        if cited is None:
            supports = [self._context.supports[index] for index in self.options(place)]
            cited = frozenset().union(*(self._context.evidence_of(support) for support in supports))
            self._behind[place] = cited
        return cited

    def _looked_up(self, place: int) -> Sequence[int]:
        supports = self._context.supports
        options = list(supports.of(place))
        if len(options) == 1:
            return options  # it is live, so there is a proof, and no other
        given = [index for index in options if supports[index].source == self._outside]
        if given:
            return given[:1]
        return options if self._all_live else [index for index in options if self._may_prove(index)]

    def _may_prove(self, index: int) -> bool:
        context, upto = self._context, self._upto
        if not context.supports.counts(index, upto):
            return False
        return all(context.is_live(cited, upto) for cited in context.evidence_of(context.supports[index]))

    def _earliest(self, place: int, options: Sequence[int]) -> int:
        """Return a support that leads back to premises without a search."""
        if self._all_live:  # then whatever it rests on is of an earlier round
            return min(options, key=self._order)
        return self._context.labelling.reason(place, self._upto)

    def _order(self, index: int) -> tuple[Any, ...]:
        round, agent, version, ids = named(self._context, index)
        return (round, len(ids), agent, version, ids)


class _Search:
    """One search: backwards for what could matter, then forwards from premises in order of cost."""

    def __init__(self, rules: Smallest, context: Context, chosen: dict[int, int], costs: dict[int, int]) -> None:
        self._rules, self._context, self._chosen, self._costs = rules, context, chosen, costs
        self._uses: dict[int, list[int]] = {}  # a fact whose cost is not known -> the options that wait for it
        self._unmet: dict[int, int] = {}  # an option -> how many it waits for
        self._sums: dict[int, int] = {}  # an option -> what is known of its cost
        self._ready: list[tuple[int, str, Any, int]] = []

    def run(self, root: int) -> None:
        """Choose the support of a fact that has several options, and of all that this takes."""
        self._collect(root)
        costs, chosen, supports = self._costs, self._chosen, self._context.supports
        while root not in costs:
            cost, _, _, index = heappop(self._ready)
            place = supports[index].fact
            if place not in costs:
                costs[place], chosen[place] = cost, index
                self._pass_on(place, cost)

    def _collect(self, root: int) -> None:
        seen, waiting = {root}, [root]
        while waiting:
            for index in self._rules.options(waiting.pop()):
                for cited in self._open(index):
                    if cited not in seen:
                        seen.add(cited)
                        waiting.append(cited)

    def _open(self, index: int) -> list[int]:
        """Take in an option; return what it waits for."""
        costs, known, missing = self._costs, 1, []
        for cited in self._context.evidence_of(self._context.supports[index]):
            cost = costs.get(cited)
            if cost is None:
                if not self._rules.is_premise(cited):
                    missing.append(cited)
                    self._uses.setdefault(cited, []).append(index)
                    continue
                cost = costs[cited] = _PREMISE
            known += cost
        self._sums[index], self._unmet[index] = known, len(missing)
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
        place = self._context.supports[index].fact
        tie = named(self._context, index) if len(self._rules.options(place)) > 1 else ()
        heappush(self._ready, (min(self._sums[index], _MOST), id_of(self._context.facts[place]), tie, index))


def named(context: Context, index: int) -> tuple[int, str, str, list[str]]:
    """Return what tells a support from others of its fact, and does not depend on arrival."""
    support = context.supports[index]
    source = context.supports.sources[support.source]
    ids = sorted(id_of(context.facts[cited]) for cited in context.evidence_of(support))
    return (support.round, source.agent, source.version, ids)
