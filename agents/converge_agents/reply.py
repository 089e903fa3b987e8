"""What a scripted server says, and the bytes that say it in chat completions and in the Responses API."""

__all__ = ["PLAYED", "Harm", "Played", "Reply", "Request"]

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

Request = Mapping[str, Any]
Harm = Literal["unreachable", "cut", "unfinished", "corrupt", "stalled"]

_PIECE = 8  # characters of a piece of a streamed text


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a scripted server does with a request.

    text: said as it is; data: said as JSON. delay: seconds before anything is said. harm: the connection is refused
    (`unreachable`), breaks halfway (`cut`), ends halfway as if all were well (`unfinished`), carries what is no JSON
    (`corrupt`), or falls silent halfway (`stalled`). error: the body of a status other than 200.
    """

    text: str = ""
    data: Any = None
    finish_reason: str | None = "stop"
    refusal: str | None = None
    tool_calls: Sequence[tuple[str, Mapping[str, Any]]] = ()
    status: int = 200
    error: str = "as scripted"
    code: str | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    delay: float = 0.0
    harm: Harm | None = None

    @property
    def said(self) -> str:
        """The text as it is sent."""
        return self.text if self.data is None else json.dumps(self.data, ensure_ascii=False)

    @property
    def pieces(self) -> list[str]:
        """The text in the pieces that it is streamed in."""
        return [self.said[at : at + _PIECE] for at in range(0, len(self.said), _PIECE)]


class Played(Protocol):
    """The server's side of one API."""

    def whole(self, name: str, request: Request, reply: Reply) -> dict[str, Any]:
        """Return the body that says a reply."""

    def begun(self, name: str, request: Request, reply: Reply) -> Iterator[bytes]:
        """Yield the events of a stream up to the half of its text."""

    def ended(self, name: str, request: Request, reply: Reply) -> Iterator[bytes]:
        """Yield the others."""


def _event(data: Mapping[str, Any]) -> bytes:
    kind = f"event: {data['type']}\n" if "type" in data else ""
    return f"{kind}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _half(reply: Reply) -> int:
    return (len(reply.pieces) + 1) // 2


def _calls(reply: Reply) -> list[tuple[str, str]]:
    return [(name, json.dumps(given)) for name, given in reply.tool_calls]


def _tokens(prompt: object, reply: Reply) -> tuple[int, int]:
    """Count four bytes as a token."""
    given, said = (-(-len(text.encode()) // 4) for text in (json.dumps(prompt), reply.said))
    return given, said


# --- chat completions ------------------------------------------------------------------------------------------------


class _Chat:
    def whole(self, name: str, request: Request, reply: Reply) -> dict[str, Any]:
        message = {"role": "assistant", "content": reply.said or None, "refusal": reply.refusal, **self._calls(reply)}
        finish = None if reply.harm == "unfinished" else reply.finish_reason
        body = self._body(name, request, [{"index": 0, "message": message, "finish_reason": finish}])
        return {**body, "usage": self._usage(request, reply)}

    def begun(self, name: str, request: Request, reply: Reply) -> Iterator[bytes]:
        for delta in [{"role": "assistant"}, *({"content": piece} for piece in reply.pieces[: _half(reply)])]:
            yield self._piece(name, request, delta)

    def ended(self, name: str, request: Request, reply: Reply) -> Iterator[bytes]:
        for piece in reply.pieces[_half(reply) :]:
            yield self._piece(name, request, {"content": piece})
        for delta in ({"refusal": reply.refusal} if reply.refusal else {}, self._calls(reply)):
            if delta:
                yield self._piece(name, request, delta)
        yield self._piece(name, request, {}, reply.finish_reason)
        if (request.get("stream_options") or {}).get("include_usage"):
            yield _event({**self._body(name, request, []), "usage": self._usage(request, reply)})
        yield b"data: [DONE]\n\n"

    def _piece(self, name: str, request: Request, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        return _event(self._body(name, request, [{"index": 0, "delta": delta, "finish_reason": finish}]))

    def _body(self, name: str, request: Request, choices: list[Any]) -> dict[str, Any]:
        kind = "chat.completion.chunk" if request.get("stream") else "chat.completion"
        return {"id": "scripted", "object": kind, "created": 0, "model": name, "choices": choices}

    def _calls(self, reply: Reply) -> dict[str, Any]:
        calls = [
            {"index": n, "id": f"call-{n}", "type": "function", "function": {"name": name, "arguments": given}}
            for n, (name, given) in enumerate(_calls(reply))
        ]
        return {"tool_calls": calls} if calls else {}

    def _usage(self, request: Request, reply: Reply) -> dict[str, int]:
        given, said = _tokens(request["messages"], reply)
        return {"prompt_tokens": given, "completion_tokens": said, "total_tokens": given + said}


# --- the Responses API -----------------------------------------------------------------------------------------------

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class _Responses:
    def whole(self, name: str, request: Request, reply: Reply) -> dict[str, Any]:
        body = {"id": "scripted", "object": "response", "created_at": 0, "model": name, "error": None}
        given, said = _tokens(request["input"], reply)
        usage = {"input_tokens": given, "output_tokens": said, "total_tokens": given + said}
        return {**body, **self._status(reply), "output": self._items(reply), "usage": usage}

    def begun(self, name: str, request: Request, reply: Reply) -> Iterator[bytes]:
        begun = {"id": "scripted", "object": "response", "status": "in_progress", "model": name, "output": []}
        yield _event({"type": "response.created", "response": begun})
        for piece in reply.pieces[: _half(reply)]:
            yield self._text(piece)

    def ended(self, name: str, request: Request, reply: Reply) -> Iterator[bytes]:
        for piece in reply.pieces[_half(reply) :]:
            yield self._text(piece)
        if reply.refusal:
            yield _event({"type": "response.refusal.delta", "output_index": 0, "delta": reply.refusal})
        for number, item in enumerate(self._items(reply)):
            yield _event({"type": "response.output_item.done", "output_index": number, "item": item})
        response = self.whole(name, request, reply)
        yield _event({"type": f"response.{response['status']}", "response": response})

    def _text(self, piece: str) -> bytes:
        return _event({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": piece})

    def _status(self, reply: Reply) -> dict[str, Any]:
        if reply.harm == "unfinished" or reply.finish_reason is None:
            return {"status": "in_progress"}
        if reply.finish_reason in ("stop", "tool_calls"):
            return {"status": "completed", "incomplete_details": None}
        reason = _INCOMPLETE.get(reply.finish_reason, reply.finish_reason)
        return {"status": "incomplete", "incomplete_details": {"reason": reason}}

    def _items(self, reply: Reply) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        if reply.said:
            parts.append({"type": "output_text", "text": reply.said, "annotations": []})
        if reply.refusal:
            parts.append({"type": "refusal", "refusal": reply.refusal})
        message = {"type": "message", "id": "msg-0", "role": "assistant", "status": "completed", "content": parts}
        calls = [
            {"type": "function_call", "id": f"fc-{n}", "call_id": f"call-{n}", "name": name, "arguments": given}
            for n, (name, given) in enumerate(_calls(reply))
        ]
        return [*([message] if parts else []), *calls]


PLAYED: Mapping[str, Played] = {"/chat/completions": _Chat(), "/responses": _Responses()}
