"""A fact: an immutable typed value whose id is made from its content, and the ways to say why it holds.

Two facts are equal when their ids are: the same kind and the same content in canonical form.
"""

__all__ = [
    "REVISED",
    "Assertion",
    "Fact",
    "Failure",
    "Invalidation",
    "Revision",
    "Suggestion",
    "Violation",
    "id_of",
    "identified",
    "kind_of",
    "remember",
    "stored_id",
]

import dataclasses
import inspect
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast, dataclass_transform

import pydantic
from pydantic.dataclasses import dataclass

from converge.errors import KindInvalid
from converge.kind import Kind, Policy

F = TypeVar("F", bound="Fact")


def _kind(
    cls: "type[Fact]",
    *,
    name: str | None = None,
    version: int = 1,
    key: str | tuple[str, ...] = (),
    policy: Policy = "contest",
    **unknown: object,
) -> Kind:
    if unknown:
        raise KindInvalid(cls.__name__, f"there is no option {next(iter(unknown))!r}: name, version, key, policy")
    return Kind(cls, name or cls.__name__, version, (key,) if isinstance(key, str) else tuple(key), policy)


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(dataclasses.field, pydantic.Field))
class FactMeta(type):
    """Makes every subclass of Fact a frozen, slotted pydantic dataclass with a Kind."""

    def __new__(mcls, cls_name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **options: Any) -> Any:
        """Build the class; adding slots makes the standard library call this a second time with the fields ready."""
        made = super().__new__(mcls, cls_name, bases, namespace)
        if not bases or "__dataclass_fields__" in namespace:
            return made
        _check_frozen(made)
        # The checker cannot follow a class through two decorators that make it anew; what comes out is a Fact class.
        cls: Any = dataclass(slots=True, eq=False, config=_config(made), **_inherited(made))(cast("Any", made))
        cls.__kind__ = _kind(cls, **options)
        if _is_ours(made):
            cls.__init__.__signature__ = _signature(cls)
        return cls

    def __init__(cls, cls_name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **options: Any) -> None:
        super().__init__(cls_name, bases, namespace)


class Fact(metaclass=FactMeta):
    """Subclass it to declare a kind: `class Risk(Fact, key=("name",)): name: str; severity: int`.

    Options: `key` (field names; default all), `policy` ("contest", "many", or "join" with a method
    `join(self, other)`), `version` (from 1), `name` (default the class's). Values are validated at construction,
    which raises pydantic's ValidationError.
    """

    __slots__ = ("_id",)  # not annotated: an annotation would make it a field

    def because(self: F, *evidence: "Fact") -> "Assertion":
        """Return this fact with the facts that, taken together, are the reason for it. Raises TypeError."""
        if not evidence:
            raise TypeError("because() names no fact: leave it out to rest on everything the view returned")
        for cited in evidence:
            if not isinstance(cited, Fact):
                raise TypeError(f"because() takes facts, as in because(a, b) or because(*facts), not {cited!r}")
        return Assertion(self, evidence)

    def invalidate(self, reason: str) -> "Invalidation":
        """Return the marker that this fact no longer holds. An agent must add `.because(...)`."""
        return Invalidation(target=id_of(self), reason=reason)

    def revise(self: F, **changes: Any) -> "Revision":
        """Return this fact with some fields changed and the marker that it takes the place of the old one.

        It must add `.because(...)`: both rest on the same evidence. Raises ValueError for a change of the key, or none.
        """
        kind = kind_of(self)
        revised = dataclasses.replace(self, **changes)
        if kind.keyed and kind.key_of(revised) != kind.key_of(self):
            raise ValueError(f"a revision is about the same thing: {kind.label}'s key {', '.join(kind.key)} must stay")
        if revised == self:
            raise ValueError(f"the revision changes nothing of {self!r}")
        return Revision(revised, self)

    def propose(self: F, confidence: float | None = None) -> "Suggestion":
        """Return this fact as a suggestion, to be judged by the agent's gate; `confidence` from 0 to 1.

        Raises ValueError.
        """
        given: object = confidence  # callers without a type checker exist
        if given is not None and not (isinstance(given, (int, float)) and 0 <= given <= 1):
            raise ValueError(f"confidence is a number from 0 to 1, not {given!r}")
        return Suggestion(self, confidence)

    def _repr_html_(self) -> str:
        """Return the fact as a notebook shows it: its kind, and its fields as rows."""
        from html import escape

        rows = [(name, getattr(self, name)) for name in type(self).__dataclass_fields__]
        cells = (f"<tr><td>{escape(name)}</td><td>{escape(repr(value))}</td></tr>" for name, value in rows)
        return f"<table><caption>{escape(kind_of(self).label)}</caption>{''.join(cells)}</table>"

    if not TYPE_CHECKING:  # checkers have it from the metaclass, and would think that these take anything

        def __setattr__(self, name, value):
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}: a fact cannot be changed")

        def __delattr__(self, name):
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}: a fact cannot be changed")

    def __getstate__(self) -> list[Any]:
        return [getattr(self, name) for name in type(self).__dataclass_fields__]

    def __setstate__(self, state: list[Any]) -> None:
        for name, value in zip(type(self).__dataclass_fields__, state, strict=True):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        fields = getattr(self, "__dataclass_fields__", {}).values()  # Fact itself has none
        shown = [f"{field.name}={getattr(self, field.name)!r}" for field in fields if field.repr]
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        """Whether kind and canonical content are equal."""
        return isinstance(other, Fact) and id_of(self) == id_of(other)

    def __hash__(self) -> int:
        return hash(id_of(self))


def _config(made: type) -> pydantic.ConfigDict:
    """Return what pydantic is told. Our own kinds wait for their first fact: most jobs have none of most of them."""
    return pydantic.ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=_is_ours(made))


def _is_ours(made: type) -> bool:
    return made.__module__.startswith("converge.")


def _signature(cls: Any) -> inspect.Signature:
    """Return how a kind is called: of one that waits for its first fact, pydantic does not know it, or knows less."""
    of = partial(inspect.Parameter, kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
    fields = cls.__pydantic_fields__.items()
    return inspect.Signature(
        [of("self"), *(of(name, default=_default(field), annotation=field.annotation) for name, field in fields)]
    )


def _default(field: Any) -> Any:
    return inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)


def _check_frozen(made: type) -> None:
    """Refuse a class whose facts could be changed all the same."""
    for method in ("__setattr__", "__delattr__"):
        owner = next(base for base in made.__mro__ if method in vars(base))
        frozen = getattr(vars(owner).get("__dataclass_params__"), "frozen", False)
        if owner is not Fact and not frozen:
            raise KindInvalid(made.__name__, f"{method} of {owner.__name__} would let a fact be changed: leave it out")


def _inherited(made: type) -> dict[str, Any]:
    """Return what is to be written for a kind: only what a plain dataclass, whose fields it takes over, has as well.

    How facts look and that they cannot be changed, Fact says once: written for each kind, that is half of making one.
    """
    plain = [vars(base)["__dataclass_params__"] for base in made.__mro__ if "__dataclass_params__" in vars(base)]
    return {option: any(getattr(params, option) for params in plain) for option in ("frozen", "repr")}


class Assertion(NamedTuple):
    """A fact and the evidence its author names."""

    fact: Fact
    evidence: tuple[Fact, ...]


REVISED = "revised to "  # how the reason of a revision's marker begins


class Revision(NamedTuple):
    """A fact that takes the place of another, and the evidence for both this and that."""

    fact: Fact
    predecessor: Fact
    evidence: tuple[Fact, ...] = ()

    def because(self, *evidence: Fact) -> "Revision":
        """Return this revision with the facts that, taken together, are the reason for it. Raises TypeError."""
        return self._replace(evidence=self.fact.because(*evidence).evidence)


class Suggestion(NamedTuple):
    """A fact that an agent with a gate proposes, how sure it is, and the evidence it names."""

    fact: Fact
    confidence: float | None = None
    evidence: tuple[Fact, ...] = ()

    def because(self, *evidence: Fact) -> "Suggestion":
        """Return this suggestion with the facts that, taken together, are the reason for it. Raises TypeError."""
        return self._replace(evidence=self.fact.because(*evidence).evidence)


class Invalidation(Fact, policy="many"):
    """A fact about a fact: the one with the id `target` no longer holds, for this reason."""

    target: str
    reason: str


class Failure(Fact, policy="many"):
    """Stated by the runtime when an activation fails: the agent, what it saw (a digest) and the error's name."""

    agent: str
    view: str
    error: str


class Violation(Fact, policy="many"):
    """Stated by the runtime when nothing is unread and a constraint of the root intent does not hold."""

    invariant: str
    text: str


def kind_of(fact: Fact | type[Fact]) -> Kind:
    """Return the kind of a fact or of a Fact class. Raises TypeError."""
    try:
        return fact.__kind__  # type: ignore[union-attr, no-any-return]  # set by the metaclass, not a field
    except AttributeError:  # Fact itself has none; callers without a type checker exist
        raise TypeError(f"a subclass of Fact is needed, or a fact, not {fact!r:.80}") from None


def id_of(fact: Fact) -> str:
    """Return the fact's id: its kind's label, a colon, and 32 hex digits made from its content."""
    try:
        return stored_id(fact)
    except AttributeError:
        return identified(fact)[1]


def identified(fact: F) -> tuple[F, str, bytes]:
    """Return the canonical form of `fact`, its id and its canonical JSON; the id is remembered on both forms."""
    try:
        kind: Kind = fact.__kind__  # type: ignore[attr-defined]  # as in `kind_of`, which every fact would pay for
    except AttributeError:
        kind = kind_of(fact)
    canonical, fact_id, body = kind.identify(fact)
    remember(fact, fact_id)
    if canonical is not fact:
        remember(canonical, fact_id)
    return canonical, fact_id, body


# Past the frozen __setattr__: an id is a function of the content, so setting it changes nothing.
remember: Callable[[Fact, str], None] = Fact.__dict__["_id"].__set__
stored_id: Callable[[Fact], str] = attrgetter("_id")  # of a fact that was identified; half the cost of id_of


# What went wrong on the way is not knowledge about the world: no digest may depend on it.
kind_of(Failure).digested = False
kind_of(Violation).digested = False
