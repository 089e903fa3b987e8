"""Captures: what non-deterministic calls returned, found by what was asked and never by when.

The key of a capture is agent, version, name, digest of the arguments (without any: of the view), how many equal calls
the activation has made before, and how many answers to it were refused. A call that is captured is not made again.
What a finished activation said is captured too, where it must wait before it can be merged.
"""

__all__ = ["SAID", "Bill", "Captures", "Note", "Question", "Reserve", "asked_about", "digest_of_arguments"]

import dataclasses
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Set
from contextlib import AbstractAsyncContextManager, nullcontext
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, from_json, to_jsonable_python

from converge.canonical import normalized
from converge.errors import CaptureInvalid
from converge.fact import Fact, id_of
from converge.ledger import Ledger

SAID = "(effect)"  # the name under which what an activation said is captured


class Question(NamedTuple):
    """What identifies a call.

    nth: how many equal calls the same activation has made before; attempt: how many answers were refused.
    """

    agent: str
    version: str
    name: str
    arguments: str
    nth: int = 0
    attempt: int = 0


Note = Mapping[str, Any] | None  # what the trace says of a capture besides its question
Keep = Callable[[Question, str, Note], Awaitable[None]]
Call = Callable[..., Any]


class Bill(Protocol):
    """Says what a request came to; one that nobody settles stays at what it may have cost."""

    def __call__(self, tokens: int, money: float = 0.0) -> None:
        """Settle it."""


Reserve = Callable[[str, int, float | None, str], AbstractAsyncContextManager[Bill]]


async def _in_memory(question: Question, text: str, note: Note) -> None:
    """Do nothing: what is not to outlive the process is kept already."""


def _for_free(agent: str, tokens: int, money: float | None, what: str) -> AbstractAsyncContextManager[Bill]:
    return nullcontext(_unbilled)


def _unbilled(tokens: int, money: float = 0.0) -> None:
    """Do nothing: what no budget holds needs no bill."""


class Captures:
    """The captured calls of one job. `keep` makes a capture durable, and returns when it is; nobody uses it before.

    reserve: holds room for one request in the job's budget. hear: is told text that is on its way. redact: takes out of
    a text what is not to be kept; an answer is used as it is kept. through: makes of a call the one that is made.
    """

    def __init__(self, keep: Keep = _in_memory) -> None:
        self.keep = keep
        self.reserve: Reserve = _for_free
        self.hear: Callable[[str, str, int], object] = lambda agent, text, request: None
        self.redact: Callable[[str], str] | None = None
        self.through: Callable[[Question, Call], Call] = lambda question, call: call
        self.ledger = Ledger()
        self._answers: dict[Question, str] = {}
        self._notes: dict[Question, Note] = {}
        self._asked: set[str] = set()
        self.said: set[str] = set()  # agents that finished an activation which had to wait
        self.untold: dict[str, dict[Question, None]] = {}  # by agent, what the trace does not have yet

    def __len__(self) -> int:
        return len(self._answers)

    def __iter__(self) -> Iterator[tuple[Question, str]]:
        return iter(self._answers.items())

    def has_asked(self, agent: str) -> bool:
        """Whether any call of an agent was captured."""
        return agent in self._asked

    def knows(self, question: Question) -> bool:
        """Whether the call was captured."""
        return question in self._answers

    def asks_again(self, question: Question) -> bool:
        """Whether a question whose last answer was refused may be asked once more, if only of the record."""
        return True

    def answer(self, question: Question) -> Any:
        """Return what a captured call returned, each time anew."""
        return from_json(self._answers[question])

    def text(self, question: Question) -> str:
        """Return what a captured call returned, as JSON."""
        return self._answers[question]

    def note(self, question: Question) -> Note:
        """Return what is said of a captured call besides its question."""
        return self._notes.get(question)

    async def record(self, question: Question, value: object, describe: Callable[[Any], Note] | None = None) -> Any:
        """Capture what a call returned; return it, once it is durable, as it will be read back.

        Raises CaptureInvalid, and what `keep` raises.
        """
        try:
            data = to_jsonable_python(value)
            if self.redact is not None:
                data = _redacted(data, self.redact)
            text = json.dumps(data, allow_nan=False, ensure_ascii=False)
            text.encode()  # half of a character is no text
        except (PydanticSerializationError, RecursionError, ValueError) as error:
            raise CaptureInvalid(question.agent, question.name, f"what it returned is no JSON data: {error}") from error
        note = None if describe is None else describe(data)
        self.restore(question, text, note)
        await self.keep(question, text, note)
        return self.answer(question)

    def restore(self, question: Question, text: str, note: Note = None) -> None:
        """Take over a capture as it was recorded."""
        self._answers.setdefault(question, text)
        if note is not None:
            self._notes.setdefault(question, note)
        (self.said if question.name == SAID else self._asked).add(question.agent)
        if question.name != SAID:
            self.untold.setdefault(question.agent, {})[question] = None

    def unpaid(self) -> "Captures":
        """Return the same captures for a job that begins anew: it has paid for none of them, nor told of any."""
        other = Captures()
        for question, text in self._answers.items():
            other.restore(question, text, self._notes.get(question))
        return other

    def tell(self, question: Question) -> None:
        """Note that the trace has a capture."""
        self.untold.get(question.agent, {}).pop(question, None)

    def take_untold(self, agent: str) -> list[Question]:
        """Return the captures of an agent that the trace does not have yet, in the order of their answers."""
        return list(self.untold.pop(agent, ()))


def digest_of_arguments(arguments: tuple[object, ...]) -> str:
    """Return a digest of arguments by content; a fact stands for its id. Raises ValueError for what is no JSON data."""
    try:
        return blake2b(_encoded(arguments).encode(), digest_size=16).hexdigest()
    except RecursionError as error:
        raise ValueError("it holds itself") from error


def asked_about(question: Question, before: tuple[object, ...], facts: Iterable[Fact]) -> Fact | None:
    """Return the fact that was the last argument of a question, after those `before`; None if it is none of these."""
    asked = blake2b(("[" + "".join(f"{_encoded(argument)}," for argument in before)).encode(), digest_size=16)
    for fact in facts:
        digest = asked.copy()
        digest.update(f"{_encoded(fact)}]".encode())
        if digest.hexdigest() == question.arguments:
            return fact
    return None


def _redacted(data: Any, redact: Callable[[str], str]) -> Any:
    match data:
        case str():
            return redact(data)
        case list():
            return [_redacted(item, redact) for item in data]
        case dict():
            return {redact(key): _redacted(item, redact) for key, item in data.items()}
        case _:
            return data


def _encoded(value: object) -> str:
    if isinstance(value, str):
        return _as_json(normalized(value))
    if isinstance(value, Fact):
        return f"fact {id_of(value)}"
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{_encoded(key)}:{_encoded(item)}" for key, item in value.items())) + "}"
    if isinstance(value, Set):
        return "set(" + ",".join(sorted(map(_encoded, value))) + ")"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_encoded, value)) + "]"
    if isinstance(value, BaseModel):
        return f"{type(value).__name__} {_encoded(value.model_dump())}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return f"{type(value).__name__} {_encoded(fields)}"
    if isinstance(value, Iterator):
        raise ValueError(f"{value!r:.80} could be read only once")
    try:
        plain = to_jsonable_python(value)
    except PydanticSerializationError as error:
        raise ValueError(str(error)) from error
    return _as_json(normalized(plain))


_as_json = json.JSONEncoder(sort_keys=True, allow_nan=False).encode
