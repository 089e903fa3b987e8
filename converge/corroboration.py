"""Which proposals are alike: of equal key, or said to be the same. Never similar: similarity is not transitive."""

__all__ = ["Alike"]

import json
from collections.abc import Iterable
from typing import Any

from pydantic_core import from_json

from converge.fact import Fact, id_of, identified, kind_of
from converge.gate import Corroboration
from converge.proposal import Proposal, SameAs


class Alike:
    """Classes of proposals, by union-find over what is equal and the closure of what is said to be the same."""

    def __init__(self, step: Corroboration, proposals: Iterable[Proposal[Any]], same: Iterable[SameAs]) -> None:
        self._on, self._parents = step.on, dict[object, object]()
        self._proposals, self._same = tuple(proposals), tuple(same)
        for proposal in self._proposals:
            self._join(id_of(proposal.fact), self._key(proposal.fact))
        for pair in self._same:
            self._join(pair.one, pair.other)
        self._classes: dict[object, list[Proposal[Any]]] = {}
        for proposal in self._proposals:
            self._classes.setdefault(self._root(id_of(proposal.fact)), []).append(proposal)
        self._bonds: dict[object, list[SameAs]] = {}
        for pair in self._same:
            self._bonds.setdefault(self._root(pair.one), []).append(pair)

    def to(self, proposal: Proposal[Any]) -> tuple[list[Proposal[Any]], list[SameAs]]:
        """Return the proposals that are alike, this one among them, and what says so where they are not equal."""
        root = self._root(id_of(proposal.fact))
        alike = self._classes[root]
        keys = {self._key(other.fact) for other in alike}
        return alike, self._bonds.get(root, []) if len(keys) > 1 else []

    def _key(self, fact: Fact) -> object:
        kind = kind_of(fact)
        if self._on:  # as JSON: what a field holds need not be hashable, and True is not 1
            content = from_json(identified(fact)[2])
            return kind.label, json.dumps([content[field] for field in self._on])
        return (kind.label, kind.key_of(fact)) if kind.keyed else id_of(fact)

    def _root(self, item: object) -> object:
        while (parent := self._parents.get(item, item)) != item:
            grand = self._parents.get(parent, parent)
            self._parents[item], item = grand, parent  # halves the way each time
        return item

    def _join(self, one: object, other: object) -> None:
        first, second = self._root(one), self._root(other)
        if first != second:
            self._parents[second] = first
