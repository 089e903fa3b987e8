"""The lint of what an LLM is asked to answer with: asked when an agent is built, so that no request fails of it."""

__all__ = ["Problem", "SchemaInvalid", "check", "lint"]

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from converge import Fact
from converge.errors import AuthorError
from converge.fact import kind_of
from converge_agents.schema import AnswerForm
from converge_agents.sizes import exceeded
from converge_agents.subset import Problem, problems


class SchemaInvalid(AuthorError, TypeError):
    """Raised for kinds that an LLM cannot be held to; `problems` has each thing, the message a line for it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"a strict server would refuse the schema of these kinds:{lines}")


def check(kinds: Iterable[type[Fact]], *, evidence: bool = False, confidence: bool = False) -> AnswerForm:
    """Return the form of an answer about `kinds`. Raises SchemaInvalid, naming all that strict servers would refuse."""
    kinds = tuple(kinds)
    found = lint(kinds, evidence=evidence, confidence=confidence)
    if refused := [problem for problem in found if problem.refused]:
        raise SchemaInvalid(refused)
    return AnswerForm(kinds, evidence=evidence, confidence=confidence)


def lint(kinds: Iterable[Any], *, evidence: bool = False, confidence: bool = False) -> list[Problem]:
    """Return all that a strict server would refuse in `kinds`, and all that it is sent in another form, kind by kind.

    It takes anything (what is not a kind is a problem too) and imports no SDK.
    """
    found: list[Problem] = []
    fit: list[type[Fact]] = []
    for kind in dict.fromkeys(kinds):
        unfit = _foreign(kind) or _unwritable(kind)
        found += unfit
        fit += [] if unfit else [kind]
    return found + (_within(AnswerForm(fit, evidence=evidence, confidence=confidence)) if fit else [])


def _within(form: AnswerForm) -> list[Problem]:
    found: list[Problem] = []
    for name, kind in form.lists.items():
        found += problems(form.written, form.node(name), kind_of(kind).label)
    return found + exceeded(form.written, kind_of(form.kinds[0]).label if len(form.kinds) == 1 else "")


def _foreign(kind: Any) -> list[Problem]:
    try:
        kind_of(kind)
    except TypeError:
        remedy = "declare a subclass of Fact with a field for it, since the root of an answer must be an object"
        return [Problem(getattr(kind, "__name__", repr(kind)[:80]), "", "this is not a kind", remedy)]
    return []


def _unwritable(kind: type[Fact]) -> list[Problem]:
    """Name the fields that have no JSON schema at all."""
    try:
        assert AnswerForm([kind]).written
    except _NO_SCHEMA as error:
        fields = {name: field.annotation for name, field in kind.__pydantic_fields__.items()}  # type: ignore[attr-defined]
        text = f"there is no JSON schema for its type ({type(error).__name__})"
        remedy = "use types that JSON can hold and that are defined where the kind is"
        at_fault = [name for name, annotation in fields.items() if not _has_schema(annotation)]
        return [Problem(kind_of(kind).label, name, text, remedy) for name in at_fault or [""]]
    return []


def _has_schema(annotation: Any) -> bool:
    try:
        TypeAdapter(annotation).json_schema()
    except _NO_SCHEMA:
        return False
    return True


_NO_SCHEMA = (PydanticUserError, PydanticSchemaGenerationError, NameError, RecursionError)
