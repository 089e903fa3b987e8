"""Invariants: named pure predicates. The list of the root intent that names one decides when it is checked.

`scope` is structural: checked on each effect with the view it was made from; a violation rejects it whole.
`constraints` are semantic: checked on live facts whenever nothing is unread. `success` is acceptance: checked when a
fixed point is claimed.
"""

__all__ = ["Breach", "Invariant", "Invariants", "invariant"]

import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from converge.effect import Effect
from converge.errors import InvariantBroken, InvariantInvalid, InvariantUnknown
from converge.intent import RootIntent
from converge.view import View


class Invariant(NamedTuple):
    """A predicate and its name. It returns True or None where it holds, False or what is wrong where it does not."""

    name: str
    check: Callable[..., object]


class Breach(NamedTuple):
    """An invariant that does not hold, and why."""

    invariant: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.text}"


def invariant(check: Callable[..., object]) -> Invariant:
    """Make an invariant of a function of a view (as scope: of a view and the facts of one effect).

    Raises InvariantInvalid for an async function: invariants are pure, and checked where nothing can wait.
    """
    if inspect.iscoroutinefunction(check) or inspect.isasyncgenfunction(check):
        raise InvariantInvalid(check.__name__, "it is checked where nothing can wait: write it as a plain def")
    return Invariant(check.__name__, check)


class Invariants:
    """The invariants a root intent names, by moment. Raises InvariantUnknown for a name that was not given."""

    def __init__(self, intent: RootIntent, known: Iterable[Invariant]) -> None:
        named = {item.name: item for item in known}
        self.scope = _resolve(intent.scope, named, arguments=2)
        self.constraints = _resolve(intent.constraints, named, arguments=1)
        self.success = _resolve(intent.success, named, arguments=1)

    def reject(self, view: View, effect: Effect) -> None:
        """Raise InvariantBroken for the first scope rule that an effect breaks, given the view it was made from."""
        if self.scope and effect.emissions:
            facts = tuple(emission.fact for emission in effect.emissions)
            for breach in _breaches(self.scope, view.fresh(), facts):
                raise InvariantBroken(breach.invariant, effect.source.agent, breach.text)

    def violations(self, view: View) -> tuple[Breach, ...]:
        """Return the constraints that do not hold."""
        return tuple(_breaches(self.constraints, view))

    def unaccepted(self, view: View) -> tuple[Breach, ...]:
        """Return the success criteria that are not met."""
        return tuple(_breaches(self.success, view))


def _resolve(names: Iterable[str], known: dict[str, Invariant], *, arguments: int) -> tuple[Invariant, ...]:
    found = []
    for name in names:
        if name not in known:
            raise InvariantUnknown(name, known)
        found.append(known[name])
        if not _takes(known[name].check, arguments):
            takes = "(view, facts)" if arguments == 2 else "(view)"
            moment = "scope" if arguments == 2 else "a constraint or success criterion"
            raise InvariantInvalid(name, f"used as {moment} it takes {takes}")
    return tuple(found)


def _takes(check: Callable[..., Any], arguments: int) -> bool:
    try:
        inspect.signature(check).bind(*range(arguments))
    except TypeError:
        return False
    return True


def _breaches(rules: Iterable[Invariant], *arguments: Any) -> Iterable[Breach]:
    for rule in rules:
        try:
            verdict = rule.check(*arguments)
        except Exception as error:  # a rule that cannot be computed has not been kept
            verdict = f"it raised {type(error).__name__}: {error}"
        if verdict is True or verdict is None:
            continue
        if verdict is not False and not isinstance(verdict, str):  # nor one whose answer could mean anything
            verdict = f"it returned {verdict!r:.80}, and only True, None, False or a text is an answer"
        yield Breach(rule.name, verdict or "does not hold")
