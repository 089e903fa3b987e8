"""Reading what a server sent as an answer, whole or in pieces, whatever shape it has."""

__all__ = ["Reading"]

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import from_json

from converge_agents.answer import Answer, Broken, ToolCall

_Json = Mapping[str, Any]


class Reading:
    """An answer as far as it has come. `error` is one that the server sent in place of an answer."""

    def __init__(self, max_bytes: int) -> None:
        self.request_id: str | None = None
        self.broken: Broken | None = None
        self.error: object = None
        self._max_bytes, self._bytes = max_bytes, 0
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self._finish: str | None = None
        self._usage: _Json = {}
        self._model, self._chosen = "", False

    @property
    def is_empty(self) -> bool:
        """Whether nothing of an answer has come yet."""
        return not (self._text or self._refusal or self._calls)

    def whole(self, body: str) -> None:
        """Read an answer that came in one piece."""
        try:
            data = from_json(body)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            self._say(body)
            self.broken = "corrupt"
            return
        self._read(data, "message")
        if not self._chosen:
            self.error = data.get("error")
        self.end()

    def chunk(self, data: object) -> str:
        """Read a piece of an answer; return the text in it."""
        before = len(self._text)
        self._read(_object(data), "delta")
        return "".join(self._text[before:])

    def end(self) -> None:
        """Note that nothing more will come."""
        if self.broken is None and self._finish is None:
            self.broken = "cut" if self._chosen else "empty"

    def answer(self, scrub: Callable[[str], str], seconds: float) -> Answer:
        """Return what has come."""
        return Answer(
            text=scrub(_sound("".join(self._text))),
            finish_reason=self._finish,
            refusal=scrub(_sound("".join(self._refusal))) or None,
            tool_calls=tuple(
                ToolCall(call, name, scrub(_sound(arguments)))
                for _, (call, name, arguments) in sorted(self._calls.items())
            ),
            input_tokens=_count(self._usage.get("prompt_tokens")),
            output_tokens=_count(self._usage.get("completion_tokens")),
            model=self._model,
            request_id=self.request_id,
            broken=self.broken,
            seconds=round(seconds, 6),
        )

    def _read(self, data: _Json, part: str) -> None:
        self._model = _string(data.get("model")) or self._model
        self._usage = _object(data.get("usage")) or self._usage
        choice = _first(data.get("choices"))
        if choice is None:
            return
        self._chosen = True
        self._finish = _string(choice.get("finish_reason")) or self._finish
        said = _object(choice.get(part))
        self._say(_words(said.get("content")))
        if refusal := self._fitting(_string(said.get("refusal"))):
            self._refusal.append(refusal)
        for position, call in enumerate(_list(said.get("tool_calls"))):
            self._call(position, _object(call))

    def _say(self, text: str) -> None:
        if text := self._fitting(text):
            self._text.append(text)

    def _fitting(self, text: str) -> str:
        """Return as much of a text as there is room for."""
        encoded = text.encode(errors="replace")
        room, self._bytes = max(0, self._max_bytes - self._bytes), self._bytes + len(encoded)
        if len(encoded) <= room:
            return text
        self.broken = "too large"
        return encoded[:room].decode(errors="ignore")

    def _call(self, position: int, call: _Json) -> None:
        index = _count(call.get("index"))
        parts = self._calls.setdefault(position if index is None else index, ["", "", ""])
        function = _object(call.get("function"))
        parts[0] = parts[0] or _string(call.get("id"))
        parts[1] += self._fitting(_string(function.get("name")))
        parts[2] += self._fitting(_string(function.get("arguments")))


def _object(value: object) -> _Json:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _first(choices: object) -> _Json | None:
    return next((_object(choice) for choice in _list(choices)), None)


def _words(content: object) -> str:
    """Return content that is a text, or a list of parts of which some are."""
    return _string(content) or "".join(_string(_object(part).get("text")) for part in _list(content))


def _sound(text: str) -> str:
    """Put characters together that were sent in halves; half of one that stays alone is no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
