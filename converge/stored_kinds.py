"""Stored facts as the engine's kinds are today: found by label, brought forward from earlier versions, or refused.

Nothing is guessed and nothing is left out. Where no kinds are given, every fact is read as plain JSON.
"""

__all__ = ["BUILT_IN", "STATED", "StoredKinds", "is_plain"]

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from difflib import get_close_matches
from functools import cached_property, lru_cache
from itertools import groupby
from types import new_class
from typing import Any

from pydantic_core import from_json

from converge.errors import FactInvalid, FactTooLarge, KindInvalid, StoredFactInvalid
from converge.fact import REVISED, Fact, Failure, Invalidation, Violation, identified, kind_of, remember
from converge.intent import RootIntent
from converge.kind import Kind
from converge.proposal import Decision, Opinion, Request, SameAs, Verdict, content_proposed

STATED: tuple[type[Fact], ...] = (RootIntent, Failure, Violation)  # by the runtime
# Facts about facts, and their fields that name one.
_NAMES: dict[type[Fact], tuple[str, ...]] = {
    Invalidation: ("target",),
    Verdict: ("proposal",),
    Request: ("proposal",),
    Opinion: ("proposal",),
    Decision: ("request",),
    SameAs: ("one", "other"),
}
BUILT_IN: dict[str, Kind] = {kind_of(cls).label: kind_of(cls) for cls in [*STATED, *_NAMES]}
_NAMING = {kind_of(cls).label for cls in _NAMES}


class StoredKinds:
    """Finds the kind of a stored fact, brings older facts forward, or makes a plain kind where any will do."""

    def __init__(
        self,
        job_id: str,
        kinds: Mapping[str, Kind] | None,
        contents: Callable[[], Mapping[str, Any]] = dict,
        renamed: Mapping[str, str] | None = None,
    ) -> None:
        self.job_id, self.plain = job_id, kinds is None
        self.by_label: dict[str, Kind] = {**(kinds or {}), **BUILT_IN}
        self.labels: dict[str, str] = {}  # of facts that were brought forward -> what they are now
        self.renamed = dict(renamed or {})  # as above, of ids
        self._kept: set[str] = set()  # facts about facts that are what they were
        self._checked = set(BUILT_IN)  # labels of which a fact has shown that its class makes the same ids still
        self._find_contents = contents

    def facts(self, ids: Sequence[str], contents: Sequence[Any]) -> list[Fact]:
        """Return stored facts in order. Raises StoredFactInvalid."""
        found: list[Fact] = []
        for label, run in groupby([fact_id[:_COLON] for fact_id in ids]):
            found.append(self.fact(ids[len(found)], contents[len(found)]))
            if rest := len([*run]) - 1:
                part = slice(len(found), len(found) + rest)
                found += self._alike(label, ids[part], contents[part])
        return found

    def _alike(self, label: str, ids: Sequence[str], contents: Sequence[Any]) -> Sequence[Fact]:
        """Return facts of one label: all at once, where the label means what it did and each of them fits."""
        if label in self._checked and label not in _NAMING:
            with suppress(ValueError):  # one by one it is known which does not
                facts = self.by_label[label].load_all(contents)
                deque(map(remember, facts, ids), maxlen=0)
                return facts
        return [*map(self.fact, ids, contents)]

    def fact(self, fact_id: str, content: Any) -> Fact:
        """Return a stored fact. Raises StoredFactInvalid."""
        label = fact_id[:_COLON]
        kind = self.by_label.get(label)
        try:
            if kind is None:
                if not self.plain:
                    return self._upgraded(fact_id, label, content)
                kind = self.by_label[label] = _plain_kind(label)
            fact = kind.load({"content": content} if self.plain and label not in BUILT_IN else content)
        except FactInvalid as error:
            raise StoredFactInvalid(self.job_id, fact_id, str(error)) from error
        if label in _NAMING and not self.plain:
            return self._redirected(fact, fact_id)
        if not self.plain and label not in self._checked:
            self._check(fact, fact_id, kind)
        remember(fact, fact_id)
        return fact  # type: ignore[no-any-return]

    def _check(self, fact: Fact, fact_id: str, kind: Kind) -> None:
        """Refuse what reads as something else now; one fact shows it, since the fields of all are the same."""
        if identified(fact)[1] != fact_id:
            reason = f"it would have another id: its class was changed and is still of version {kind.version}: {_HOW}"
            raise StoredFactInvalid(self.job_id, fact_id, reason)
        self._checked.add(kind.label)

    def _upgraded(self, fact_id: str, label: str, content: Any) -> Fact:
        kind, today = self._today(fact_id, label, content)
        try:
            fact, found, _ = identified(kind.load(today))
        except (FactInvalid, FactTooLarge, KindInvalid) as error:
            reason = f"{kind.cls.__name__}.upgrade made of it what is no {kind.label}: {error}: mend it"
            raise StoredFactInvalid(self.job_id, fact_id, reason) from error
        self.labels[label], self.renamed[fact_id] = kind.label, found
        return fact  # type: ignore[no-any-return]

    def _today(self, fact_id: str, label: str, content: Any) -> tuple[Kind, Any]:
        """Return the kind that a label of before has become, and what content of it is of that one."""
        name, version = _split(label)
        kind = max((kind for kind in self.by_label.values() if kind.name == name), key=_version, default=None)
        if kind is None:
            raise StoredFactInvalid(self.job_id, fact_id, self._unknown(name))
        if kind.version < version:
            reason = f"it is of version {version} and kind {name} here of version {kind.version}: use newer agents"
            raise StoredFactInvalid(self.job_id, fact_id, reason)
        if kind.upgrade is None:
            reason = f"it is of version {version} and kind {name} here of version {kind.version}: {_HOW}"
            raise StoredFactInvalid(self.job_id, fact_id, reason)
        try:
            return kind, kind.upgrade(deepcopy(content), version)  # what it is given is its own
        except Exception as error:
            reason = f"{kind.cls.__name__}.upgrade raised {type(error).__name__}: {error}: mend it"
            raise StoredFactInvalid(self.job_id, fact_id, reason) from error

    def _unknown(self, name: str) -> str:
        near = get_close_matches(name, {kind.name for kind in self.by_label.values()} - BUILT_IN.keys(), n=1)
        perhaps = f" (did you mean {near[0]}?)" if near else ""
        return f"no agent of this engine declares kind {name}{perhaps}: add one that does"

    def _redirected(self, about: Fact, fact_id: str) -> Fact:
        """Return a fact about facts, such as a marker, with what those are now."""
        today: dict[str, Any] = {field: self._now(getattr(about, field)) for field in _NAMES[type(about)]}
        if isinstance(about, Invalidation) and about.reason.startswith(REVISED):
            today["reason"] = REVISED + self._now(about.reason.removeprefix(REVISED))
        if all(getattr(about, field) == now for field, now in today.items()):
            remember(about, fact_id)
            self._kept.add(fact_id)
            return about
        if isinstance(about, Decision):
            today["changes"] = self._changes_today(about)
        if isinstance(about, SameAs):
            today["one"], today["other"] = sorted(today.values())
        moved, self.renamed[fact_id], _ = identified(dataclasses.replace(about, **today))
        return moved

    def _changes_today(self, decision: Decision) -> dict[str, Any]:
        """Return the changes of a refinement as fields of the kind as it is now: what they make of what is proposed."""
        request = self._contents.get(decision.request)
        proposal = request["proposal"] if request else ""
        found = content_proposed(proposal, self._contents.get(proposal))
        if found is None or not decision.changes:
            return decision.changes
        fact_id, content = found
        contents = content, {**content, **decision.changes}
        try:
            before, after = (self._content_today(fact_id, content) for content in contents)
        except StoredFactInvalid:  # they have never fitted: the gate says so
            return decision.changes
        return {name: value for name, value in after.items() if before.get(name) != value} or after

    def _content_today(self, fact_id: str, content: Any) -> dict[str, Any]:
        kind, today = self._today(fact_id, fact_id[:_COLON], content)
        try:
            return from_json(identified(kind.load(today))[2])  # type: ignore[no-any-return]
        except (FactInvalid, FactTooLarge, KindInvalid) as error:
            raise StoredFactInvalid(self.job_id, fact_id, str(error)) from error

    def _now(self, fact_id: str) -> str:
        """Return the id that a fact has now, even where it stands in a later row."""
        label = fact_id.rpartition(":")[0]
        is_known = label in self.by_label and (label not in _NAMING or fact_id in self._kept)
        if not is_known and fact_id not in self.renamed and fact_id in self._contents:
            self.fact(fact_id, self._contents[fact_id])
        return self.renamed.get(fact_id, fact_id)

    @cached_property
    def _contents(self) -> Mapping[str, Any]:
        """The content of every stored fact, and of what is only proposed, by id."""
        stored = self._find_contents()
        return {**dict(filter(None, map(content_proposed, stored, stored.values()))), **stored}


_COLON = -33  # where an id's digest of 32 digits is parted from the kind's label
_HOW = "give its class a higher version and a classmethod upgrade(cls, content, version), returning today's content"


def _version(kind: Kind) -> int:
    return kind.version


def _split(label: str) -> tuple[str, int]:
    name, _, version = label.partition("@")
    return name, int(version or 1)


def is_plain(fact: Fact) -> bool:
    """Whether a fact was read without its class: its field `content` holds its JSON."""
    return getattr(type(fact), "__plain__", False)


def _as_its_kind(fact: Any) -> str:
    """Write a fact that was read as plain JSON as one of its own class is written."""
    return f"{kind_of(fact).label}({', '.join(f'{name}={value!r}' for name, value in fact.content.items())})"


@lru_cache(maxsize=1_000)  # a class costs a thousand times what reading a fact does
def _plain_kind(label: str) -> Kind:
    name, version = _split(label)
    options = {"name": name, "version": version, "policy": "many"}
    body = {
        "__annotations__": {"content": dict[str, Any]},
        "__module__": __name__,
        "__repr__": _as_its_kind,
        "__plain__": True,
    }
    return kind_of(new_class("Plain", (Fact,), options, lambda namespace: namespace.update(body)))
