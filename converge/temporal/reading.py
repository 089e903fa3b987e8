"""What came through Temporal as what an engine takes: values checked, facts of its kinds, a root intent."""

__all__ = ["chosen_kinds", "facts_of", "intent_of", "read"]

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from converge.errors import IntentInvalid, KindUnknown
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


def facts_of(lines: Iterable[FactLine], kinds: Mapping[str, Kind]) -> list[Fact]:
    """Return lines as facts of the engine's kinds, by label. Raises KindUnknown, FactInvalid or FactTooLarge."""
    known = {**kinds, "Invalidation": kind_of(Invalidation)}
    return [_kind(line.label, known).load(line.fact) for line in lines]


def chosen_kinds(labels: Iterable[str], kinds: Mapping[str, Kind]) -> list[Kind]:
    """Return kinds by their labels. Raises KindUnknown."""
    return [_kind(label, kinds) for label in labels]


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


def _kind(label: str, kinds: Mapping[str, Kind]) -> Kind:
    if label not in kinds:
        raise KindUnknown(label, kinds)
    return kinds[label]
