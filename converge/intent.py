"""The root intent: what a job is for, within which bounds, and what it may spend.

The intent is the first fact of every job. Its budget is not part of its content: more budget is not another intent.
"""

__all__ = ["Allowance", "Budget", "RootIntent", "Spend", "Tally"]

import dataclasses
from collections.abc import Mapping
from math import inf
from typing import Annotated, Any, NamedTuple, Self

import pydantic
from pydantic import BeforeValidator

from converge.errors import BudgetInvalid
from converge.fact import Fact


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """What a job may spend in all, resumes included; each is reserved before it is spent and never exceeded.

    rounds: rounds read; facts: facts derived (given ones are free); activations: agent runs,
    failed ones included; seconds: wall-clock time while running; churn: how often one set of live facts may be left
    and entered again; calls: requests to models; tokens: of prompts and answers; money: what they cost, in the unit of
    your prices, None for as much as they cost. 0 is allowed and stops at once. Raises BudgetInvalid.
    """

    rounds: int = 1_000
    facts: int = 1_000_000
    activations: int = 1_000_000
    seconds: float = 600.0
    churn: int = 1
    calls: int = 10_000
    tokens: int = 100_000_000
    money: float | None = None

    def __post_init__(self) -> None:
        _check(self, _UNITS)

    def with_limits(self, limits: Mapping[str, object]) -> Self:
        """Return this budget with some limits replaced by name. Raises BudgetInvalid for an unknown name."""
        for name, value in limits.items():
            if name not in _UNITS:
                raise BudgetInvalid(name, value, _UNITS)
        return dataclasses.replace(self, **limits)  # type: ignore[arg-type]


_UNITS = tuple(field.name for field in dataclasses.fields(Budget))
_BROKEN = ("seconds", "money")  # units of which there are parts


@dataclasses.dataclass(frozen=True, slots=True)
class Allowance:
    """What the calls of one agent may cost in one job, in the units of Budget; None: as much as the job has.

    Raises BudgetInvalid.
    """

    calls: int | None = None
    tokens: int | None = None
    money: float | None = None

    def __post_init__(self) -> None:
        _check(self, _CALLS, optional=_CALLS)


_CALLS = tuple(field.name for field in dataclasses.fields(Allowance))


def _check(limits: Budget | Allowance, units: tuple[str, ...], optional: tuple[str, ...] = ("money",)) -> None:
    for name in units:
        value = getattr(limits, name)
        if value is None and name in optional:
            continue
        sort = (int, float) if name in _BROKEN else int
        if isinstance(value, bool) or not isinstance(value, sort) or not 0 <= value < inf:
            raise BudgetInvalid(name, value, units)


class Spend(NamedTuple):
    """What a job has spent so far, in the units of Budget; of calls that are under way, what they may come to."""

    rounds: int = 0
    facts: int = 0
    activations: int = 0
    seconds: float = 0.0
    calls: int = 0
    tokens: int = 0
    money: float = 0.0

    def with_calls(self, calls: int, tokens: int, money: float) -> "Spend":
        """Return this spend with what was spent on calls."""
        return self._replace(calls=calls, tokens=tokens, money=money)


class Tally:
    """What a job spends, counted as it goes; calls are in its ledger."""

    __slots__ = ("activations", "facts", "rounds", "seconds")

    def __init__(self, before: Spend) -> None:
        self.rounds, self.facts = before.rounds, before.facts
        self.activations, self.seconds = before.activations, before.seconds

    def spend(self, calls: int, tokens: int, money: float) -> Spend:
        """Return what was spent, with what was spent on calls."""
        return Spend(self.rounds, self.facts, self.activations, self.seconds, calls, tokens, money)


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
