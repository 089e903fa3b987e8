"""Reading what a server sent as an answer, whole or in pieces, whatever shape it has."""

__all__ = ["Json", "Reading", "count_in", "list_in", "object_in", "text_in"]

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydantic_core import from_json

from converge_agents.answer import Answer, Broken, ToolCall

Json = Mapping[str, Any]


class Reading(ABC):
    """An answer as far as it has come; each API has its own, which knows where things stand.

    error: one that the server sent in place of an answer. has_begun: whether anything came that belongs to an answer.
    """

    counts: ClassVar[tuple[str, str]]  # what the tokens of prompt and answer are called

    def __init__(self, max_bytes: int) -> None:
        self.request_id: str | None = None
        self.broken: Broken | None = None
        self.error: object = None
        self.has_begun = False
        self.finish: str | None = None
        self.calls: dict[int, list[str]] = {}
        self._max_bytes, self._bytes = max_bytes, 0
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._usage: Json = {}
        self._model = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing of an answer has come yet."""
        return not (self._text or self._refusal or self.calls)

    def whole(self, body: str) -> None:
        """Read an answer that came in one piece."""
        try:
            data = from_json(body)
        except ValueError:
            data = None
        if isinstance(data, dict):
            self._whole(data)
            self.end()
        else:
            self._say(body)
            self.broken = "corrupt"

    def chunk(self, data: object) -> str:
        """Read a piece of an answer; return the text in it."""
        before = len(self._text)
        self._piece(object_in(data))
        return "".join(self._text[before:])

    def end(self) -> None:
        """Note that nothing more will come."""
        if self.broken is None and self.finish is None:
            self.broken = "cut" if self.has_begun else "empty"

    def answer(self, scrub: Callable[[str], str], seconds: float) -> Answer:
        """Return what has come."""
        given, said = (count_in(self._usage.get(name)) for name in self.counts)
        return Answer(
            text=scrub(_sound("".join(self._text))),
            finish_reason=self.finish,
            refusal=scrub(_sound("".join(self._refusal))) or None,
            tool_calls=tuple(
                ToolCall(scrub(call), scrub(name), scrub(_sound(arguments)))
                for _, (call, name, arguments) in sorted(self.calls.items())
            ),
            input_tokens=given,
            output_tokens=said,
            model=self._model,
            request_id=self.request_id,
            broken=self.broken,
            seconds=round(seconds, 6),
        )

    @abstractmethod
    def _whole(self, data: Json) -> None:
        """Read a whole answer."""

    @abstractmethod
    def _piece(self, data: Json) -> None:
        """Read a piece of an answer."""

    def _name(self, data: Json) -> None:
        """Read who answers, and what it came to."""
        self._model = text_in(data.get("model")) or self._model
        self._usage = object_in(data.get("usage")) or self._usage

    def _say(self, text: str) -> None:
        if text := self._fitting(text):
            self._text.append(text)

    def _refuse(self, text: str) -> None:
        if text := self._fitting(text):
            self._refusal.append(text)

    def _call(self, number: int, call: str, name: str, arguments: str) -> None:
        """Add to a call of a tool; its id is said once."""
        parts = self.calls.setdefault(number, ["", "", ""])
        parts[0] = parts[0] or call
        parts[1] += self._fitting(name)
        parts[2] += self._fitting(arguments)

    def _fitting(self, text: str) -> str:
        """Return as much of a text as there is room for."""
        encoded = text.encode(errors="replace")
        room, self._bytes = max(0, self._max_bytes - self._bytes), self._bytes + len(encoded)
        if len(encoded) <= room:
            return text
        self.broken = "too large"
        return encoded[:room].decode(errors="ignore")


def object_in(value: object) -> Json:
    """Return what is an object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def list_in(value: object) -> list[Any]:
    """Return what is a list; an empty one for anything else."""
    return value if isinstance(value, list) else []


def text_in(value: object) -> str:
    """Return what is a text; an empty one for anything else."""
    return value if isinstance(value, str) else ""


def count_in(value: object) -> int | None:
    """Return what is a number of things; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _sound(text: str) -> str:
    """Put characters together that were sent in halves; half of one that stays alone is no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
