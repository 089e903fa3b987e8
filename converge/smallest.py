"""The smallest proof of a live fact: the derivation that takes the fewest steps, counted as a tree.

1. A premise costs 1; any other fact costs 1 more than its evidence in sum, by the support for which that is least. What
   is used twice counts twice: with each fact counted once, the least would be NP-hard to find (Ausiello 1986).
2. Costs are settled in ascending order (Knuth 1977), so a proof is well founded whatever circles the supports make.
3. Only what stands behind the fact is looked at, and nothing at all where a fact has one derivation. Of equals, the one
   of the earliest round, and then by the names of agents and the ids of what it rests on: arrival decides nothing.
"""

__all__ = ["Smallest"]

from collections.abc import Sequence
from functools import cached_property
from heapq import heappop, heappush
from typing import Any

from converge.context import Context
from converge.fact import id_of
from converge.support import OUTSIDE, Support

_MOST = 2**62  # steps: a tree of more is as good as any other, and numbers stay small
_PREMISE = 1


class Smallest:
    """Chooses, for live facts of one context as of one round, the support that begins the smallest proof."""

    def __init__(self, context: Context, upto: int) -> None:
        self._context, self._upto = context, upto
        self._outside = context.supports.number(OUTSIDE)
        self._chosen: dict[int, int] = {}
        self._costs: dict[int, int] = {}

    def support(self, place: int) -> Support:
        """Return the support of the live fact at a position."""
        if place not in self._chosen:
            options = self.options(place)
            if len(options) == 1:
                self._chosen[place] = options[0]
            else:
                _Search(self, self._context, self._chosen, self._costs).run(place, options)
        return self._context.supports[self._chosen[place]]

    def options(self, place: int) -> Sequence[int]:
        """Return the supports that the smallest proof of a live fact may begin with; of a premise, the given one."""
        supports = self._context.supports
        options = list(supports.of(place))
        if len(options) == 1:
            return options  # it is live, so there is a proof, and no other
        if place in self.premises:
            return [index for index in options if supports[index].source == self._outside][:1]
        if not self._context.labelling.all_live(self._upto):
            options = [index for index in options if self._may_prove(index)]
        return self._worthwhile(options) if len(options) > 1 else options

    @cached_property
    def premises(self) -> frozenset[int]:
        """The facts that were given from outside."""
        return frozenset(one.fact for one in self._context.supports if one.source == self._outside)

    def _may_prove(self, index: int) -> bool:
        context, upto = self._context, self._upto
        if not context.supports.counts(index, upto):
            return False
        return all(context.is_live(cited, upto) for cited in context.evidence_of(context.supports[index]))

    def _worthwhile(self, options: list[int]) -> list[int]:
        """Leave out what costs more than another option whatever lies behind it."""
        sizes = {index: len(self._context.evidence_of(self._context.supports[index])) for index in options}
        smallest = min(options, key=sizes.__getitem__)
        evidence = self._context.evidence_of(self._context.supports[smallest])
        if not self.premises.issuperset(evidence):
            return options
        return [index for index in options if sizes[index] <= sizes[smallest]]


class _Search:
    """One search: backwards for what could matter, then forwards from premises in order of cost."""

    def __init__(self, rules: Smallest, context: Context, chosen: dict[int, int], costs: dict[int, int]) -> None:
        self._rules, self._context, self._chosen, self._costs = rules, context, chosen, costs
        self._uses: dict[int, list[int]] = {}  # a fact whose cost is not known -> the options that wait for it
        self._unmet: dict[int, int] = {}  # an option -> how many it waits for
        self._sums: dict[int, int] = {}  # an option -> what is known of its cost
        self._ready: list[tuple[int, str, Any, int]] = []
        self._rivals: set[int] = set()  # options of facts that have several

    def run(self, root: int, options: Sequence[int]) -> None:
        """Choose the support of a fact that has several options, and of all that this takes."""
        self._collect(root, options)
        costs, chosen, supports = self._costs, self._chosen, self._context.supports
        while root not in costs:
            cost, _, _, index = heappop(self._ready)
            place = supports[index].fact
            if place not in costs:
                costs[place], chosen[place] = cost, index
                self._pass_on(place, cost)

    def _collect(self, root: int, options: Sequence[int]) -> None:
        seen, waiting = {root}, [(root, options)]
        while waiting:
            _, options = waiting.pop()
            if len(options) > 1:
                self._rivals.update(options)
            for index in options:
                for cited in self._open(index):
                    if cited not in seen:
                        seen.add(cited)
                        waiting.append((cited, self._rules.options(cited)))

    def _open(self, index: int) -> list[int]:
        """Take in an option; return what it waits for."""
        costs, known, missing = self._costs, 1, []
        for cited in self._context.evidence_of(self._context.supports[index]):
            cost = costs.get(cited)
            if cost is None:
                if cited not in self._rules.premises:
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
        fact = self._context.facts[self._context.supports[index].fact]
        tie = self._named(index) if index in self._rivals else ()
        heappush(self._ready, (min(self._sums[index], _MOST), id_of(fact), tie, index))

    def _named(self, index: int) -> tuple[Any, ...]:
        support, context = self._context.supports[index], self._context
        source = context.supports.sources[support.source]
        ids = sorted(id_of(context.facts[cited]) for cited in context.evidence_of(support))
        return (support.round, source.agent, source.version, ids)
