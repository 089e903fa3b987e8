"""A gate: the steps that a proposal must pass before what it proposes is believed, in the order given.

A step that looks at the proposed fact alone concludes once. One that compares proposals, or looks at other facts, can
change its mind when they do, so a gate with such a step replaces its conclusions.
"""

__all__ = [
    "Check",
    "Corroboration",
    "Gate",
    "Human",
    "MinConfidence",
    "OpinionOf",
    "Step",
    "Steps",
    "corroborated_by",
    "human",
    "judged_by",
    "min_confidence",
    "steps_of",
]

import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from converge.errors import GateInvalid

T = TypeVar("T")


class Check(NamedTuple):
    """A pure function of the proposed fact, or of it and a view of what its author reads.

    It returns True or None where it passes, False or the reason where it refuses.
    """

    test: Callable[..., object]
    looks_around: bool = False

    def __str__(self) -> str:
        return getattr(self.test, "__name__", type(self.test).__name__)


class MinConfidence(NamedTuple):
    """At least so much confidence; a proposal that names none is refused."""

    least: float

    def __str__(self) -> str:
        return f"min_confidence({self.least:g})"


class Corroboration(NamedTuple):
    """So many agents propose the same: facts that agree in the fields `on`, or that are SameAs each other."""

    agents: int
    on: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"corroborated_by({self.agents})"


class OpinionOf(NamedTuple):
    """A validating agent, by name, has the last word; until it has spoken, the proposal waits."""

    agent: str

    def __str__(self) -> str:
        return f"judged_by({self.agent!r})"


class Human(NamedTuple):
    """A person in this role decides."""

    role: str

    def __str__(self) -> str:
        return f"human({self.role!r})"


Step = Check | MinConfidence | Corroboration | OpinionOf | Human
Gate = Step | Callable[..., object] | Iterable[Step | Callable[..., object]]
Steps = tuple[Step, ...]


def min_confidence(least: float) -> MinConfidence:
    """Refuse proposals that are less sure than `least`, from 0 to 1, or do not say. Raises GateInvalid."""
    return MinConfidence(_checked(min_confidence, least, _is_share, "a number from 0 to 1"))


def corroborated_by(agents: int, on: str | Iterable[str] = ()) -> Corroboration:
    """Refuse what fewer than so many agents propose alike, for as long as it is so.

    Alike are facts of equal key, or equal in the fields `on`, and those that a live SameAs says are the same; never
    what only looks similar. Raises GateInvalid.
    """
    count = _checked(corroborated_by, agents, _is_several, "a number of agents from 2")
    given: Any = on  # callers without a type checker exist
    several = isinstance(given, Iterable) and not isinstance(given, str)
    fields = _checked(corroborated_by, tuple(given) if several else (given,), _are_names, "in on= the names of fields")
    return Corroboration(count, fields)


def judged_by(agent: str) -> OpinionOf:
    """Wait for the Opinion of a validating agent, by name, and follow it. Raises GateInvalid."""
    return OpinionOf(_checked(judged_by, agent, _is_name, "the name of an agent"))


def human(role: str = "anybody") -> Human:
    """Ask a person: the job stops as `waiting` until somebody decides. Raises GateInvalid."""
    return Human(_checked(human, role, _is_name, "the role of who is asked"))


def steps_of(gate: Any) -> Steps:
    """Return the steps of a gate: one, or several in order. Raises GateInvalid."""
    several = isinstance(gate, Iterable) and not isinstance(gate, (str, *_STEPS))
    steps = tuple(map(_step, gate if several else (gate,)))
    asked = [step for step in steps if isinstance(step, Human)]
    if len({step.role for step in asked}) < len(asked):
        raise GateInvalid(f"it asks {asked[0].role!r} twice")
    if asked and not all(isinstance(step, Human) for step in steps[-len(asked) :]):
        raise GateInvalid("people are asked last: put human() after what can be computed")
    return steps


def _checked(step: Callable[..., object], given: T, fits: Callable[[object], bool], wanted: str) -> T:
    if not fits(given):
        raise GateInvalid(f"{step.__name__} takes {wanted}, not {given!r}")
    return given


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _is_several(value: object) -> bool:
    return isinstance(value, int) and value > 1


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _are_names(values: object) -> bool:
    return isinstance(values, tuple) and all(map(_is_name, values))


_STEPS = (Check, MinConfidence, Corroboration, OpinionOf, Human)


def _step(given: object) -> Step:
    if isinstance(given, _STEPS):
        return given
    if not callable(given):
        raise GateInvalid(f"a step is a function of the proposed fact, or such as human(), not {given!r}")
    name = getattr(given, "__name__", type(given).__name__)
    if given in (human, min_confidence, corroborated_by, judged_by):
        raise GateInvalid(f"{name} stands there without its brackets: write {name}(...)")
    if _waits(given) or _waits(type(given).__call__):
        raise GateInvalid(f"{name} is asked where nothing can wait: write it as a plain function")
    takes = [count for count in (1, 2) if _takes(given, count)]
    if not takes:
        raise GateInvalid(f"{name} takes the proposed fact, or the fact and a view")
    return Check(given, looks_around=takes == [2])


def _waits(function: object) -> bool:
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    return any(is_kind(function) for is_kind in kinds)


def _takes(test: Callable[..., Any], arguments: int) -> bool:
    try:
        inspect.signature(test).bind(*range(arguments))
    except TypeError:
        return False
    except ValueError:  # a function that Python cannot look into
        return arguments == 1
    return True
