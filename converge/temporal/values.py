"""What goes through Temporal: JSON that a client in any language can write and read, and small.

A job itself never does: it is in the store, and what is here names it.
"""

__all__ = ["AskedLine", "DecisionInput", "FactLine", "IntentLine", "JobInput", "JobOutcome"]

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from converge.fact import Fact, identified, kind_of
from converge.intent import RootIntent

F = TypeVar("F", bound=Fact)


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")  # a name that is misspelt is refused


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # a newer worker may say more


class FactLine(_Given):
    """A fact by its kind, as in facts files: {"kind": "Risk", "fact": {...}}, "version" where it is not the first."""

    kind: str
    version: Annotated[int, Field(ge=1)] = 1
    fact: dict[str, Any]

    @classmethod
    def of(cls, fact: Fact) -> Self:
        """Return a fact as a line."""
        kind = kind_of(fact)
        return cls(kind=kind.name, version=kind.version, fact=from_json(identified(fact)[2]))

    @property
    def label(self) -> str:
        """The label of the kind."""
        return self.kind if self.version == 1 else f"{self.kind}@{self.version}"


class IntentLine(_Given):
    """A root intent: its objective, and the names of invariants of the engine."""

    objective: str
    scope: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    success: tuple[str, ...] = ()


class JobInput(_Given):
    """What a job is started with, or found again by.

    job_id: of the job in the store. Given again, the job goes on from where it stands; with another intent or other
    facts it is refused. intent: an objective, a whole intent, or None for the one the worker has. budget: limits by
    name, as in {"rounds": 50}; a higher one takes a job further. chosen: labels of the kinds whose live facts come back
    with the outcome. heartbeat_seconds: how long a worker may be silent before another one goes on with the job.
    """

    job_id: Annotated[str, Field(min_length=1)]
    intent: IntentLine | str | None = None
    facts: tuple[FactLine, ...] = ()
    budget: dict[str, int | float | None] = {}
    chosen: tuple[str, ...] = ()
    heartbeat_seconds: Annotated[float, Field(gt=0)] = 30.0

    @classmethod
    def of(
        cls,
        job_id: str,
        intent: RootIntent | str | None = None,
        facts: Iterable[Fact] = (),
        *,
        chosen: Iterable[type[Fact]] = (),
        heartbeat_seconds: float = 30.0,
    ) -> Self:
        """Return the input of a job from an intent, facts and kinds as they are in Python."""
        return cls(
            job_id=job_id,
            intent=IntentLine(**from_json(identified(intent)[2])) if isinstance(intent, RootIntent) else intent,
            facts=tuple(map(FactLine.of, facts)),
            budget=dataclasses.asdict(intent.budget) if isinstance(intent, RootIntent) else {},
            chosen=tuple(kind_of(kind).label for kind in chosen),
            heartbeat_seconds=heartbeat_seconds,
        )


class AskedLine(_Told):
    """What a person is asked: the request to decide on, whose role it is, and the fact that an agent proposes."""

    request: str
    role: str
    by: str
    kind: str
    fact: dict[str, Any]
    confidence: float | None = None


class DecisionInput(_Given):
    """What a person decided on a request; `changes` with "refine": the fields that differ from what is proposed."""

    request: str
    choice: Literal["approve", "reject", "refine"]
    by: str
    reason: str = ""
    changes: dict[str, Any] = {}


class JobOutcome(_Told):
    """How a job stands: why it stopped, its digests, the chosen live facts, and what it asks people.

    stop: one of the stop reasons, as in "fixed_point"; sentence: what is behind it.
    """

    job_id: str
    stop: str
    sentence: str
    digest: str
    live_digest: str
    proof_digest: str
    cycles: int
    spend: dict[str, int | float]
    facts: tuple[FactLine, ...] = ()
    asked: tuple[AskedLine, ...] = ()

    @property
    def converged(self) -> bool:
        """Whether the answer stands."""
        return self.stop == "fixed_point"

    def live(self, kind: type[F]) -> list[F]:
        """Return the live facts of a chosen kind."""
        wanted = kind_of(kind)
        return [wanted.load(line.fact) for line in self.facts if line.label == wanted.label]
