"""One request to a model server through the official client, and what came of it: an answer, or a named failure.

The raw body is read, not what the client makes of it: an answer that is malformed has been paid for all the same. It
is posted as it stands, too (`client.post`): what `create` makes of a request and of its answer is most of a call's CPU.
An error of the client holds its request, key included, so ours are raised outside of the `except` that caught it.
"""

__all__ = ["Scrub", "Wire", "scrubbing"]

import re
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from json import JSONDecodeError
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from converge.ports import Clock
from converge_agents.answer import Answer
from converge_agents.api import Api
from converge_agents.dialect import mentions_format
from converge_agents.errors import (
    ApiUnknown,
    ClientFailed,
    KeyRefused,
    ModelError,
    ModelUnknown,
    PromptTooLong,
    QuotaSpent,
    RateLimited,
    RequestRefused,
    ServerFailed,
    ServerSilent,
    ServerUnreachable,
)
from converge_agents.reading import Reading

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream

Scrub = Callable[[str], str]

_SAID = 300  # characters of what a server said about an error that are worth showing
_KEYS = re.compile(r"(?i)bearer\s+\S+|\bsk-[\w*-]{4,}")
_TOO_LONG = re.compile(r"context[_ ](length|window)|maximum context|prompt is too long|too many tokens", re.IGNORECASE)
_CODES = {"rate_limit_exceeded": 429, "insufficient_quota": 429}
_BESIDE = {"extra_headers": "headers", "extra_query": "params", "extra_body": "extra_json"}  # what is not in the body
_REFUSED: dict[int, type[RequestRefused]] = {401: KeyRefused, 403: KeyRefused, 404: ModelUnknown}


def scrubbing(key: str) -> Scrub:
    """Return what takes a key out of a text. A key of fewer than eight characters is no secret."""
    return lambda text: text.replace(key, "[key]") if len(key) >= 8 and key in text else text


class Wire(NamedTuple):
    """What one request needs. `client` makes no attempt of its own to try again."""

    model: str
    api: Api
    client: "AsyncOpenAI"
    clock: Clock
    timeout: float
    max_bytes: int
    scrub: Scrub

    async def send(self, request: dict[str, Any], on_text: Callable[[str], object] | None) -> Answer:
        """Return what the server answered, broken or not. Raises a ModelError, and what `on_text` raises."""
        started = self.clock.elapsed()
        reading = self.api.reading(self.max_bytes)
        if on_text is None:
            await self._guarded(partial(self._whole, request, reading))
        else:
            await self._streamed(request, reading, on_text)
        return reading.answer(self.scrub, self.clock.elapsed() - started)

    async def _whole(self, request: dict[str, Any], reading: Reading) -> None:
        import httpx2

        response = await self._post(request, cast_to=httpx2.Response)
        reading.request_id = response.headers.get("x-request-id")
        reading.whole(response.text)
        self._check(reading)

    async def _streamed(self, request: dict[str, Any], reading: Reading, on_text: Callable[[str], object]) -> None:
        from openai import AsyncStream

        pieces = {"cast_to": object, "stream": True, "stream_cls": AsyncStream[object]}
        stream = await self._guarded(partial(self._post, request, **pieces))
        reading.request_id = stream.response.headers.get("x-request-id")
        async with stream:
            while reading.broken is None and (chunk := await self._next(stream, reading)) is not None:
                if text := reading.chunk(chunk):
                    on_text(self.scrub(text))
        reading.end()
        self._check(reading)

    def _check(self, reading: Reading) -> None:
        """Raise the failure that came in place of an answer; after a part of one, it leaves that part."""
        if reading.error is not None and reading.is_empty:
            raise self._failure(500, reading.error, {})

    def _post(self, request: dict[str, Any], **how: Any) -> Awaitable[Any]:
        body = {name: value for name, value in request.items() if name not in _BESIDE}
        beside = {_BESIDE[name]: request[name] for name in _BESIDE if request.get(name) is not None}
        beside["security"] = {"bearer_auth": True}  # as `create` has it: by default an admin's key would do as well
        post: Callable[..., Awaitable[Any]] = self.client.post
        return post(self.api.path, body=body, options=beside, **how)

    async def _next(self, stream: "AsyncStream[object]", reading: Reading) -> object | None:
        """Return the next piece, None for the end. What came before a failure was paid for, and is not thrown away."""
        try:
            chunk: object | None = await self._guarded(partial(anext, stream, None))
            return chunk
        except _Corrupt:
            reading.broken = "corrupt"
        except (ServerSilent, ServerUnreachable, ServerFailed) as failure:
            if reading.is_empty:
                raise
            reading.broken = "stalled" if isinstance(failure, ServerSilent) else "cut"
        return None

    async def _guarded(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Await a call of the client, for so long. Raises a ModelError and nothing else."""
        with self.clock.move_on_after(self.timeout):
            try:
                return await call()
            except Exception as error:
                failure = self._named(error)
            raise failure  # not where the client's error is at hand: it would be our error's context
        raise ServerSilent(self.model, self.timeout)

    def _named(self, error: Exception) -> ModelError:
        import httpx2
        import openai

        if isinstance(error, ModelError):
            return error
        if isinstance(error, openai.APIStatusError):
            return self._failure(error.status_code, error.body, error.response.headers)
        if isinstance(error, (openai.APIConnectionError, httpx2.HTTPError)):
            return self._unreachable(error.__cause__ or error)
        if isinstance(error, openai.APIError):  # an event of a stream
            return self._failure(500, error.body, {})
        if isinstance(error, (JSONDecodeError, UnicodeDecodeError)):
            return _Corrupt(self.model)
        if type(error).__module__.startswith("aiohttp."):  # what is no HTTP; its transport hands that on as it is
            return self._unreachable(error)
        said = f": {self.scrub(str(error))[:_SAID]}" if isinstance(error, (TypeError, RuntimeError)) else ""
        return ClientFailed(self.model, f"{type(error).__name__}{said}")

    def _unreachable(self, cause: BaseException) -> ModelError:
        import httpx2

        if isinstance(cause, httpx2.PoolTimeout):
            return ClientFailed(self.model, "its pool of connections is smaller than concurrency= of the model")
        if isinstance(cause, httpx2.TimeoutException) and not isinstance(cause, httpx2.ConnectTimeout):
            return ServerSilent(self.model, self.timeout)
        if isinstance(cause, httpx2.ConnectTimeout):  # on aiohttp any trouble with a connection is called so
            cause = cause.__cause__ or cause
        url = self.client.base_url  # without user and password, which may stand in it
        return ServerUnreachable(self.model, f"{type(cause).__name__} at {url.scheme}://{url.netloc.decode()}")

    def _failure(self, status: int, body: object, headers: Mapping[str, str]) -> ModelError:
        """Return what a server's error is called here."""
        said, code = self._said(body)
        wait = _retry_after(headers, self.clock.now())
        if not headers:  # an error in place of an answer says itself what it is
            status = int(code) if code.isdecimal() else _CODES.get(code, status)
        if status == 429:
            return QuotaSpent(self.model, 429, said) if "insufficient_quota" in said else self._busy(said, wait)
        if mentions_format(said) and status in (400, 422, 500, 501):
            return RequestRefused(self.model, status, said)
        if status in (408, 409) or status >= 500:
            return ServerFailed(self.model, status, said, wait)
        if "context_length_exceeded" in said or _TOO_LONG.search(said):
            return PromptTooLong(self.model, status, said)
        if status in (404, 405) and self.api.name != "chat" and "model_not_found" not in said:
            return ApiUnknown(self.model, status, said, self.api.name)
        return _REFUSED.get(status, RequestRefused)(self.model, status, said)

    def _busy(self, said: str, wait: float | None) -> ModelError:
        return RateLimited(self.model, 429, said, wait)

    def _said(self, body: object) -> tuple[str, str]:
        """Return what a server said of an error in one line, without a key, and its code."""
        parts = [body]
        if isinstance(body, Mapping):
            named = [f"{name} {body[name]}" for name in ("code", "type", "param") if body.get(name)]
            parts = [body["message"], *named] if isinstance(body.get("message"), str) else [dict(body)]
        text = _KEYS.sub("[key]", self.scrub(", ".join(map(str, parts))))
        code = body.get("code") if isinstance(body, Mapping) else ""
        return " ".join(text.split())[:_SAID], str(code)


class _Corrupt(ModelError):
    """Raised within for a piece of a stream that is no JSON."""


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return for how many seconds the server wants no more, if it says so in any of the usual ways."""
    for header, per_second in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers[header]) / per_second
        except (KeyError, ValueError):
            continue
        return seconds if isfinite(seconds) and seconds > 0 else None
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - now) or None
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
