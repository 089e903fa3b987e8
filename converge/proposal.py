"""Proposals: facts that are suggested and not yet believed, and what is said about them.

A proposal is a fact of a kind of its own, made for each kind: `Proposal[Risk]`. Only gates and validators read it. What
lets it through, or does not, are facts as well, so an approval falls, and returns, with what was approved.
"""

__all__ = [
    "ANSWERING",
    "SAID_ABOUT",
    "Decision",
    "Opinion",
    "Proposal",
    "Request",
    "SameAs",
    "Verdict",
    "content_proposed",
    "proposed_by",
    "proposed_label",
    "refined",
    "same_as",
]

from collections.abc import Iterable
from functools import cache
from types import new_class
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

import pydantic
from pydantic_core import from_json, to_json

from converge.errors import FactInvalid
from converge.fact import Fact, id_of, identified, kind_of
from converge.kind import Kind, named

F = TypeVar("F", bound=Fact)

if TYPE_CHECKING:

    class Proposal(Fact, Generic[F]):
        """A fact that `by` suggests, and how sure it is. Two agents that suggest the same make two proposals."""

        fact: F
        by: str
        confidence: float | None

else:

    class _Proposals(type):
        def __instancecheck__(cls, instance):
            return cls.__subclasscheck__(type(instance))

        def __subclasscheck__(cls, subclass):
            return getattr(subclass, "__proposed__", None) is not None

    class Proposal(metaclass=_Proposals):
        """A fact that `by` suggests, and how sure it is. Two agents that suggest the same make two proposals."""

        def __class_getitem__(cls, kind):
            """Return the kind of the proposals of a kind, the same class each time. Raises TypeError."""
            if kind is Any or isinstance(kind, TypeVar):
                return cls  # in an annotation
            kind_of(kind)
            return _proposals_of(kind)


class Verdict(Fact, name="converge.Verdict", policy="many"):
    """Stated by a gate: a proposal, by id, passed all that can be computed, or `step` refuses it for this reason."""

    proposal: str
    passed: bool
    step: str
    reason: str


class Request(Fact, name="converge.Request", policy="many"):
    """Stated by a gate: somebody in this role is to decide on a proposal (an id). Undecided, it keeps a job waiting."""

    proposal: str
    role: str


class Decision(Fact, name="converge.Decision", key="request"):
    """What a person decided on a request (an id); given from outside. Two of one request contest each other.

    `changes` holds the fields that a refined fact has instead of those proposed.
    """

    request: str
    choice: Literal["approve", "reject", "refine"]
    by: str
    reason: str = ""
    changes: dict[str, Any] = pydantic.Field(default_factory=dict)


class Opinion(Fact, name="converge.Opinion", key=("proposal", "by")):
    """What a validating agent holds of a proposal (an id); a gate that asks for it waits until it is there."""

    proposal: str
    by: str
    passed: bool
    reason: str


class SameAs(Fact, name="converge.SameAs", policy="many"):
    """Two facts, by id, say the same in other words: one corroborates the other. Make it with `same_as`."""

    one: str
    other: str


ANSWERING = (Opinion, SameAs)  # all that who reads proposals may write
SAID_ABOUT = frozenset(kind_of(cls).label for cls in (Verdict, Request, Decision, Opinion, SameAs))


def same_as(one: Fact, other: Fact) -> SameAs:
    """Return the fact that two facts, or what two proposals propose, say the same in other words."""
    first, second = sorted(id_of(fact.fact if isinstance(fact, Proposal) else fact) for fact in (one, other))
    return SameAs(first, second)


def proposed_by(cls: type[Fact]) -> type[Fact] | None:
    """Return the kind that facts of a kind of proposals propose; None for what is no kind of proposals."""
    return getattr(cls, "__proposed__", None)


def refined(fact: Fact, decisions: Iterable[Decision]) -> Fact:
    """Return a fact with the changes that people decided on.

    Raises FactInvalid where it would not be one then, or where two want different things, and FactTooLarge.
    """
    wanted: dict[str, Decision] = {}
    for decision in decisions:
        for name, value in decision.changes.items():
            first = wanted.setdefault(name, decision)
            if first.changes[name] != value:
                problem = f"{first.by} wants {first.changes[name]!r:.80}, and {decision.by} wants {value!r:.80}"
                raise FactInvalid(kind_of(fact).label, [(name, problem)])
    if not wanted:
        return fact
    changes = {name: decision.changes[name] for name, decision in wanted.items()}
    changed: Fact = kind_of(fact).load({**from_json(identified(fact)[2]), **changes})
    return identified(changed)[0]


def proposed_label(kind: Kind) -> str:
    """Return the label of the kind that a kind of proposals proposes."""
    return kind.label.removeprefix(_PROPOSALS)


def content_proposed(proposal: str, content: Any) -> tuple[str, Any] | None:
    """Return id and content of what a stored proposal proposes, given its own; None for what is no proposal."""
    label = proposal.rpartition(":")[0]
    if not label.startswith(_PROPOSALS) or not isinstance(content, dict) or "fact" not in content:
        return None
    return named(label.removeprefix(_PROPOSALS), to_json(content["fact"])), content["fact"]


_PROPOSALS = "Proposal."
_Share = Annotated[float, pydantic.Field(ge=0, le=1)]


@cache
def _proposals_of(kind: type[Fact]) -> type[Fact]:
    known = kind_of(kind)

    def body(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"] = {"fact": kind, "by": str, "confidence": _Share | None}
        namespace["__module__"], namespace["__qualname__"] = __name__, f"Proposal[{kind.__qualname__}]"
        namespace["__doc__"] = f"A {known.name} that is suggested, by whom, and how sure that one is."
        if known.upgrade is not None:
            namespace["upgrade"] = classmethod(_upgraded)

    options = {"name": f"{_PROPOSALS}{known.name}", "version": known.version, "policy": "many"}
    made: Any = new_class(f"Proposal[{kind.__name__}]", (Fact,), options, body)
    made.__proposed__ = kind
    return made  # type: ignore[no-any-return]


def _upgraded(cls: Any, content: dict[str, Any], version: int) -> dict[str, Any]:
    """Bring what is proposed forward."""
    upgrade: Any = kind_of(cls.__proposed__).upgrade
    return {**content, "fact": upgrade(content["fact"], version)}
