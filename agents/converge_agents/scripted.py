"""A model that answers from a script, through the real client: only the network is played."""

__all__ = ["Reply", "Script", "ScriptedModel"]

import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

from converge.clock import SystemClock
from converge_agents.errors import ScriptSilent
from converge_agents.model import Model
from converge_agents.wire import Wire

if TYPE_CHECKING:
    import httpx2

Request = Mapping[str, Any]
Harm = Literal["unreachable", "cut", "unfinished", "corrupt", "stalled"]

_PIECE = 8  # characters of a piece of a streamed text
_FOREVER = 10.0**9


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


Answering = Reply | str | Mapping[str, Any] | Sequence[Any]  # a sequence: one after the other, the last for good
Script = Callable[[Request], Answering] | Sequence[tuple[str | Callable[[Request], bool], Answering]]


class ScriptedModel(Model):
    """A Model whose server is a script: retries, limits, streams and failures are the real ones, and cost nothing.

    script: a function from a request's JSON to a reply, or pairs of a matcher and a reply, the first that fits counts;
    a matcher is a text that occurs in the messages, or a function of the request. A reply is a Reply, a text, a mapping
    (sent as JSON), or a list of these, for one request after the other. `requests` is the journal of all that was
    asked. It may be asked while `forbid_model_requests()` holds.
    """

    _is_real = False

    def __init__(self, script: Script, name: str = "scripted", **options: Any) -> None:
        self.requests: list[dict[str, Any]] = []
        self._script, self._used = script, dict[int, int]()
        clock = options.setdefault("clock", SystemClock())
        self._played = _Played(name, clock.sleep, self._reply)
        super().__init__(name, api_key="none", transport=self._played.transport, **options)

    def _connect(self) -> Wire:
        from openai import _base_client

        wire = super()._connect()
        if hasattr(_base_client, "get_platform"):
            # Else the first request asks a thread for it, and on a virtual clock time would pass meanwhile.
            wire.client._platform = _base_client.get_platform()
        return wire

    def _reply(self, request: dict[str, Any]) -> Reply:
        self.requests.append(request)
        if callable(self._script):
            return _as_reply(self._script(request))
        text = json.dumps(request["messages"], ensure_ascii=False)
        for number, (matcher, answering) in enumerate(self._script):
            if matcher(request) if callable(matcher) else matcher in text:
                return _as_reply(self._next(number, answering))
        raise ScriptSilent(self.name, text)

    def _next(self, number: int, answering: Answering) -> Answering:
        if isinstance(answering, (Reply, str, Mapping)):
            return answering
        at = self._used.get(number, 0)
        self._used[number] = at + 1
        replies: Sequence[Answering] = answering
        return replies[min(at, len(replies) - 1)]


def _as_reply(answering: Answering) -> Reply:
    if isinstance(answering, Reply):
        return answering
    return Reply(text=answering) if isinstance(answering, str) else Reply(data=answering)


@dataclasses.dataclass(frozen=True)
class _Played:
    """The server's side: requests in, bytes out."""

    name: str
    sleep: Callable[[float], Any]
    reply: Callable[[dict[str, Any]], Reply]

    def transport(self) -> "httpx2.AsyncBaseTransport":
        import httpx2

        return httpx2.MockTransport(self._handle)

    async def _handle(self, http: "httpx2.Request") -> "httpx2.Response":
        import httpx2

        request = json.loads(http.content)
        reply = self.reply(request)
        if reply.delay:
            await self.sleep(reply.delay)
        if reply.harm == "unreachable":
            raise httpx2.ConnectError("as scripted")
        headers = {"x-request-id": f"req-{blake2b(http.content, digest_size=8).hexdigest()}", **reply.headers}
        if reply.status != 200:
            error = {"error": {"message": reply.error, "code": reply.code}}
            return httpx2.Response(reply.status, headers=headers, json=error)
        streamed = request.get("stream")
        kind = "text/event-stream" if streamed else "application/json"
        content = self._stream(request, reply) if streamed else self._whole(request, reply)
        return httpx2.Response(200, headers={"content-type": kind, **headers}, content=content)

    async def _whole(self, request: Request, reply: Reply) -> AsyncIterator[bytes]:
        message = {"role": "assistant", "content": reply.said or None, "refusal": reply.refusal, **_calls(reply)}
        finish = None if reply.harm == "unfinished" else reply.finish_reason
        body = self._body(request, [{"index": 0, "message": message, "finish_reason": finish}])
        body["usage"] = _usage(request, reply)
        encoded = json.dumps(body, ensure_ascii=False).encode()
        yield encoded[: len(encoded) // 2]
        await self._harm(reply)
        if reply.harm != "corrupt":
            yield encoded[len(encoded) // 2 :]

    async def _stream(self, request: Request, reply: Reply) -> AsyncIterator[bytes]:
        said = reply.said
        pieces = [{"content": said[at : at + _PIECE]} for at in range(0, len(said), _PIECE)]
        rest = ([{"refusal": reply.refusal}] if reply.refusal else []) + ([_calls(reply)] if reply.tool_calls else [])
        half = (len(pieces) + 1) // 2
        for delta in [{"role": "assistant"}, *pieces[:half]]:
            yield self._event(request, [{"index": 0, "delta": delta, "finish_reason": None}])
        await self._harm(reply)
        if reply.harm == "corrupt":
            yield b"data: {\n\n"
        if reply.harm == "unfinished":
            return
        for delta in [*pieces[half:], *rest]:
            yield self._event(request, [{"index": 0, "delta": delta, "finish_reason": None}])
        yield self._event(request, [{"index": 0, "delta": {}, "finish_reason": reply.finish_reason}])
        if (request.get("stream_options") or {}).get("include_usage"):
            yield self._event(request, [], usage=_usage(request, reply))
        yield b"data: [DONE]\n\n"

    async def _harm(self, reply: Reply) -> None:
        import httpx2

        if reply.harm == "stalled":
            await self.sleep(_FOREVER)
        if reply.harm == "cut":
            raise httpx2.RemoteProtocolError("as scripted")

    def _body(self, request: Request, choices: list[Any]) -> dict[str, Any]:
        kind = "chat.completion.chunk" if request.get("stream") else "chat.completion"
        return {"id": "scripted", "object": kind, "created": 0, "model": self.name, "choices": choices}

    def _event(self, request: Request, choices: list[Any], **more: Any) -> bytes:
        return b"data: " + json.dumps({**self._body(request, choices), **more}, ensure_ascii=False).encode() + b"\n\n"


def _calls(reply: Reply) -> dict[str, Any]:
    calls = [
        {"index": n, "id": f"call-{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
        for n, (name, given) in enumerate(reply.tool_calls)
    ]
    return {"tool_calls": calls} if calls else {}


def _usage(request: Request, reply: Reply) -> dict[str, int]:
    """Count four bytes as a token."""
    prompt, completion = (-(-len(text.encode()) // 4) for text in (json.dumps(request["messages"]), reply.said))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
