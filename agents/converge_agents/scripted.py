"""A model that answers from a script, through the real client: only the network is played."""

__all__ = ["Script", "ScriptedModel"]

import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from converge.clock import SystemClock
from converge_agents.errors import ScriptSilent
from converge_agents.model import Model
from converge_agents.reply import PLAYED, Played, Reply, Request
from converge_agents.wire import Wire

if TYPE_CHECKING:
    import httpx2

_FOREVER = 10.0**9

Answering = Reply | str | Mapping[str, Any] | Sequence[Any]  # a sequence: one after the other, the last for good
Script = Callable[[Request], Answering] | Sequence[tuple[str | Callable[[Request], bool], Answering]]


class ScriptedModel(Model):
    """A Model whose server is a script: retries, limits, streams and failures are the real ones, and cost nothing.

    script: a function from a request's JSON to a reply, or pairs of a matcher and a reply, the first that fits
    counts; a matcher is a text that occurs in the messages (or the input, with api="responses"), or a function of
    the request. A reply is a Reply, a text, a mapping (sent as JSON), or a list of these, for one request after the
    other. `requests` is the journal of all that was asked. It may be asked while `forbid_model_requests()` holds.
    """

    _is_real = False

    def __init__(self, script: Script, name: str = "scripted", **options: Any) -> None:
        self.requests: list[dict[str, Any]] = []
        self._script, self._used = script, dict[int, int]()
        clock = options.setdefault("clock", SystemClock())
        self._played = _Server(name, clock.sleep, self._reply)
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
        text = json.dumps(request.get("messages", request.get("input")), ensure_ascii=False)
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
class _Server:
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
        played = next(played for path, played in PLAYED.items() if http.url.path.endswith(path))
        streamed = request.get("stream")
        kind = "text/event-stream" if streamed else "application/json"
        content = self._stream(played, request, reply) if streamed else self._whole(played, request, reply)
        return httpx2.Response(200, headers={"content-type": kind, **headers}, content=content)

    async def _whole(self, played: Played, request: Request, reply: Reply) -> AsyncIterator[bytes]:
        encoded = json.dumps(played.whole(self.name, request, reply), ensure_ascii=False).encode()
        yield encoded[: len(encoded) // 2]
        await self._harm(reply)
        if reply.harm != "corrupt":
            yield encoded[len(encoded) // 2 :]

    async def _stream(self, played: Played, request: Request, reply: Reply) -> AsyncIterator[bytes]:
        for event in played.begun(self.name, request, reply):
            yield event
        await self._harm(reply)
        if reply.harm == "corrupt":
            yield b"data: {\n\n"
        if reply.harm != "unfinished":
            for event in played.ended(self.name, request, reply):
                yield event

    async def _harm(self, reply: Reply) -> None:
        import httpx2

        if reply.harm == "stalled":
            await self.sleep(_FOREVER)
        if reply.harm == "cut":
            raise httpx2.RemoteProtocolError("as scripted")
