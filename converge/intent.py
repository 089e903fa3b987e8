"""The root intent: what a job is for, within which bounds, and what it may spend.

The intent is the first fact of every job. Its budget is not part of its content: more budget is not another intent.
"""

__all__ = ["Budget", "RootIntent", "Spend"]

import dataclasses
from collections.abc import Mapping
from math import inf
from typing import Annotated, Any, Self

import pydantic
from pydantic import BeforeValidator

from converge.errors import BudgetInvalid
from converge.fact import Fact


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """What a job may spend in all, resumes included; each is reserved before it is spent and never exceeded.

    rounds: rounds read; facts: facts derived (given ones are free); activations: agent runs,
    failed ones included; seconds: wall-clock time while running; churn: how often one set of live facts may be left
    and entered again. 0 is allowed and stops at once. Raises BudgetInvalid.
    """

    rounds: int = 1_000
    facts: int = 1_000_000
    activations: int = 1_000_000
    seconds: float = 600.0
    churn: int = 1

    def __post_init__(self) -> None:
        for name in _UNITS:
            value = getattr(self, name)
            whole = name != "seconds"
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not 0 <= value < inf:
                raise BudgetInvalid(name, value, _UNITS)

    def with_limits(self, limits: Mapping[str, object]) -> Self:
        """Return this budget with some limits replaced by name. Raises BudgetInvalid for an unknown name."""
        for name, value in limits.items():
            if name not in _UNITS:
                raise BudgetInvalid(name, value, _UNITS)
        return dataclasses.replace(self, **limits)  # type: ignore[arg-type]


_UNITS = tuple(field.name for field in dataclasses.fields(Budget))


@dataclasses.dataclass(frozen=True, slots=True)
class Spend:
    """What a job has spent so far, in the units of Budget."""

    rounds: int = 0
    facts: int = 0
    activations: int = 0
    seconds: float = 0.0

    def plus(self, *, rounds: int = 0, facts: int = 0, activations: int = 0, seconds: float = 0.0) -> "Spend":
        """Return this spend with more added."""
        return Spend(
            self.rounds + rounds,
            self.facts + facts,
            self.activations + activations,
            self.seconds + seconds,
        )


def _names(value: Any) -> Any:
    """Take one name or several, or the invariants themselves, whose names are meant."""
    single = isinstance(value, str) or callable(getattr(value, "check", None))
    return tuple(getattr(item, "name", item) for item in ((value,) if single else value))


_Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class RootIntent(Fact):
    """What a job starts from. `scope`, `constraints` and `success` name invariants the engine was given.

    scope: checked on each effect; constraints: on live facts when nothing is unread; success: when a fixed point is
    claimed. Agents read all of it as `view.intent`.
    """

    objective: str
    scope: _Names = ()
    constraints: _Names = ()
    success: _Names = ()
    budget: Budget = pydantic.Field(default=Budget(), exclude=True, repr=False)
