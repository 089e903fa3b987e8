"""What a model server answered: kept as it came, and judged afterwards.

An answer that was paid for is data whatever it is worth, so `Model.ask` returns it and `judged` says what is wrong.
"""

__all__ = ["Answer", "Attempt", "ToolCall", "judged"]

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, Self

from converge_agents.errors import (
    AnswerCorrupt,
    AnswerCut,
    AnswerEmpty,
    AnswerFiltered,
    AnswerInvalid,
    AnswerRefused,
    AnswerTooLarge,
    AnswerTooLong,
)

Broken = Literal["cut", "stalled", "corrupt", "empty", "too large"]


@dataclasses.dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool the model wants called; `arguments` is JSON as the model wrote it, valid or not."""

    id: str
    name: str
    arguments: str


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """A request that came to nothing: the name of its failure, and what was received of an answer."""

    failure: str
    seconds: float
    text: str = ""
    request_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came; dumped it is plain JSON data, and `Answer.of` takes that back.

    model: as the server names it. broken: what was wrong with the way it came. seconds: from request to last byte.
    attempts: how many requests were made; `tried` says what became of the earlier ones, which may have been billed.
    prompt_digest: of all that was asked, and of nothing else. rung: how the schema was asked for, if there was one.
    Tokens are None where the server does not count them.
    """

    text: str = ""
    finish_reason: str | None = None
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    model: str = ""
    request_id: str | None = None
    broken: Broken | None = None
    seconds: float = 0.0
    attempts: int = 1
    tried: tuple[Attempt, ...] = ()
    prompt_digest: str = ""
    rung: str | None = None

    @classmethod
    def of(cls, data: "Answer | Mapping[str, Any]") -> Self:
        """Return an answer from what it was dumped as."""
        if isinstance(data, cls):
            return data
        assert isinstance(data, Mapping)
        calls = tuple(ToolCall(**call) for call in data.get("tool_calls", ()))
        tried = tuple(Attempt(**attempt) for attempt in data.get("tried", ()))
        return cls(**{**data, "tool_calls": calls, "tried": tried})

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message, to be put before what is asked next."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.tool_calls
            ]
        return message


_BROKEN: dict[Broken, type[AnswerInvalid]] = {
    "cut": AnswerCut,
    "stalled": AnswerCut,
    "corrupt": AnswerCorrupt,
    "empty": AnswerEmpty,
    "too large": AnswerTooLarge,
}
_ENDED = {"stop", "tool_calls", "function_call", "eos", "eos_token", "stop_sequence", "end_turn"}
_UNFINISHED: dict[str, type[AnswerInvalid]] = {"length": AnswerTooLong, "content_filter": AnswerFiltered}


def judged(answer: Answer | Mapping[str, Any]) -> Answer:
    """Return an answer that came whole. Raises the AnswerInvalid that says why it cannot be used.

    Pure, and content with what a capture gives back: `await view.capture("ask", model.ask, messages, parse=judged)`.
    """
    answer = Answer.of(answer)
    wrong = _wrong(answer)
    if wrong is not None:
        raise wrong(answer)
    return answer


def _wrong(answer: Answer) -> type[AnswerInvalid] | None:
    if answer.broken is not None:
        return _BROKEN[answer.broken]
    if answer.refusal:
        return AnswerRefused
    if answer.finish_reason not in _ENDED:
        return _UNFINISHED.get(answer.finish_reason or "", AnswerCut)
    return None if answer.text.strip() or answer.tool_calls else AnswerEmpty
