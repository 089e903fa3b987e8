"""What came through Temporal as what an engine takes: values checked, facts of its kinds, a root intent."""

__all__ = ["chosen_kinds", "facts_of", "intent_of", "read", "read_all"]

import dataclasses
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from converge.errors import FactInvalid, IntentInvalid, KindUnknown
from converge.fact import Fact, Invalidation, kind_of
from converge.intent import RootIntent
from converge.kind import Kind
from converge.temporal.failure import refused
from converge.temporal.values import FactLine, IntentLine, JobInput

V = TypeVar("V", bound=BaseModel)


def read(cls: type[V], given: Any) -> V:
    """Return what was given as a value of its class. Raises a failure that is not retried."""
    try:
        return cls.model_validate(given)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'all of it'}: {one['msg']}" for one in error.errors())
        raise refused(f"{cls.__name__}Invalid", f"a {cls.__name__} was given that is none: {told}") from error


def read_all(cls: type[V], given: Any) -> list[V]:
    """Return what was given as a list of such values. Raises a failure that is not retried."""
    if not isinstance(given, (list, tuple)):
        raise refused(f"{cls.__name__}Invalid", f"a list of {cls.__name__} values is needed, not {given!r:.80}")
    return [read(cls, one) for one in given]


def facts_of(lines: Iterable[FactLine], kinds: Mapping[str, Kind]) -> list[Fact]:
    """Return lines as facts of the engine's kinds, by label. Raises KindUnknown, FactInvalid or FactTooLarge.

    A workflow outlives its workers: facts of a kind's earlier versions are brought forward, as stored ones are.
    """
    known = {**kinds, "Invalidation": kind_of(Invalidation)}
    return [_fact(line, _today(line.label, known)) for line in lines]


def chosen_kinds(labels: Iterable[str], kinds: Mapping[str, Kind]) -> list[Kind]:
    """Return kinds by their labels, or what has become of them since. Raises KindUnknown."""
    return [_today(label, kinds) for label in labels]


def intent_of(given: JobInput, default: RootIntent | None) -> RootIntent:
    """Return the root intent of a job, with its budget. Raises IntentInvalid, FactInvalid or BudgetInvalid."""
    intent = _named(given, default)
    return dataclasses.replace(intent, budget=intent.budget.with_limits(given.budget))


def _named(given: JobInput, default: RootIntent | None) -> RootIntent:
    if isinstance(given.intent, IntentLine):
        intent: RootIntent = kind_of(RootIntent).load(given.intent.model_dump())
        return intent
    if given.intent is not None:
        return RootIntent(given.intent)
    if default is None:
        raise IntentInvalid(
            "the input", 'there is none, and the worker has none: give "intent", as a text or an object'
        )
    return default


def _today(label: str, kinds: Mapping[str, Kind]) -> Kind:
    """Return the kind of a label, or the latest version of it that can be made of it."""
    name = label.partition("@")[0]
    later = [kind for kind in kinds.values() if kind.name == name and kind.upgrade is not None]
    found = kinds.get(label) or max(later, key=lambda kind: kind.version, default=None)
    if found is None:
        raise KindUnknown(label, kinds)
    return found


def _fact(line: FactLine, kind: Kind) -> Fact:
    content: Any = line.fact
    if line.version < kind.version and kind.upgrade is not None:
        try:
            content = kind.upgrade(deepcopy(content), line.version)  # what it is given is its own
        except Exception as error:
            problem = f"{kind.cls.__name__}.upgrade raised {type(error).__name__}: {error}"
            raise FactInvalid(line.label, [("", problem)]) from error
    elif line.version != kind.version:
        raise KindUnknown(line.label, [kind.label])
    fact: Fact = kind.load(content)
    return fact
