"""The one way to ask a model server: one policy for trying again, one set of limits, one name for each failure."""

__all__ = ["Model"]

import asyncio
import os
import random as chance
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import SecretStr

from converge.clock import SystemClock
from converge.ports import Clock
from converge_agents.answer import Answer, judged
from converge_agents.api import RUNGS, Api, Rung
from converge_agents.asking import Asking, Meter, OnText
from converge_agents.chat import CHAT
from converge_agents.dialect import Dialect
from converge_agents.errors import (
    AnswerInvalid,
    ClientFailed,
    DeadlinePassed,
    KeyMissing,
    ModelError,
    ModelInvalid,
    RequestRefused,
    RequestsForbidden,
    ServerSilent,
)
from converge_agents.forbidding import are_forbidden
from converge_agents.limits import LONGEST_WAIT, Limits, Place
from converge_agents.price import Prices, price_of
from converge_agents.responses import RESPONSES
from converge_agents.wire import Wire, scrubbing

if TYPE_CHECKING:
    from httpx2 import AsyncBaseTransport, Timeout
    from openai import AsyncOpenAI
    from tenacity import RetryCallState

_MAY_COME_WHOLE = ("cut", "stalled", "corrupt", "empty")  # how an answer came, where another may come better
_APIS = {api.name: api for api in (CHAT, RESPONSES)}
_CONNECT = 5.0  # seconds; a server that is there accepts a connection at once
_FIRST_WAIT, _LONGEST_BACK_OFF = 0.5, 30.0


class Model:
    """A model on a server that speaks an API of OpenAI; agents that share one share its limits.

    name: as the server knows it. api: "chat" for chat completions, which every such server has, or "responses",
    where nothing stays at the server unless `store=True` says so; what is asked and answered is the same. base_url,
    api_key: as AsyncOpenAI takes them; a server at a `base_url` may do without a key. client: an AsyncOpenAI of
    your own, which stays yours to close. timeout: seconds for one answer, or between two pieces of a streamed one.
    attempts: how often one question is asked at most, while it fails in passing. failures: after so many in a row
    the server is left alone for a while. concurrency, requests_per_minute, tokens_per_minute: never more than that,
    of all who share the model. max_tokens, max_bytes: the size of an answer. price: what its tokens cost, or a
    table of prices, or the path of a JSON file with one; without it, its cost is unknown. rungs: the ways to ask
    for JSON of a schema, best first. transport: makes an httpx2 transport for the client, for proxies and the like;
    without one aiohttp is used where it is installed (the extra `aiohttp`), which bears many connections better.
    Whatever else is named goes into each request. Raises ModelInvalid.

    A model serves one event loop at a time. Use it as `async with`, or `aclose` it where you are done with it; else it
    closes with its loop.
    """

    provider = "openai"  # whose API it speaks, as telemetry tells it

    _is_real = True  # else it may be asked even where requests are forbidden

    def __init__(
        self,
        name: str,
        *,
        api: Literal["chat", "responses"] = "chat",
        base_url: str | None = None,
        api_key: str | None = None,
        client: "AsyncOpenAI | None" = None,
        transport: "Callable[[], AsyncBaseTransport] | None" = None,
        timeout: float = 60.0,
        attempts: int = 5,
        concurrency: int = 32,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        max_tokens: int = 1024,
        max_bytes: int = 1_000_000,
        failures: int = 10,
        price: Prices | None = None,
        rungs: Sequence[Rung] = RUNGS,
        clock: Clock | None = None,
        random: Callable[[], float] = chance.random,
        **request_options: Any,
    ) -> None:
        counts = {"attempts": attempts, "concurrency": concurrency, "max_tokens": max_tokens, "max_bytes": max_bytes}
        rates = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute}
        _check(name, {**counts, **rates, "failures": failures, "timeout": timeout})
        self.name, self.max_tokens, self.price = name, max_tokens, price_of(name, price)
        self._base_url, self._key = base_url, None if api_key is None else SecretStr(api_key)
        self._given, self._transport, self._timeout, self._max_bytes = client, transport, timeout, max_bytes
        self._attempts, self._concurrency, self._options = attempts, concurrency, request_options
        self._clock, self._random = clock or SystemClock(), random
        self._api = _api_of(name, api, request_options)
        self._dialect = Dialect(name, self._api, rungs)
        self._limits = Limits(
            name,
            self._clock,
            random,
            concurrency=concurrency,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            failures=failures,
        )
        self._wire: Wire | None = None
        self._open: AsyncGenerator[None] | None = None
        self._loop: Callable[[], object] = lambda: None

    def __repr__(self) -> str:
        return f"Model({self.name!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; asked again, the model makes new ones. A client that was passed in stays open."""
        still_open, self._wire, self._open = self._open, None, None
        if still_open is not None and self._loop() is asyncio.get_running_loop():
            await still_open.aclose()

    async def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        schema: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        on_text: OnText | None = None,
        deadline: float | None = None,
        meter: Meter | None = None,
    ) -> Answer:
        """Return what the model answered, good or not: `judged` says which. Raises a ModelError where none came.

        schema: a JSON schema the answer is to fit. on_text: called with each piece of text as it comes, and the number
        of the attempt, for with another attempt the text begins anew. deadline: seconds for everything, waits included.
        meter: `view.reserve`, which holds room in a job's budget for each request, and raises BudgetSpent without one.
        """
        if self._is_real and are_forbidden():
            raise RequestsForbidden(self.name)
        self._limits.enter_loop()
        await self._connected()  # before the clock runs: the first time, the client has to be imported
        asked = {"model": self.name, "messages": list(messages), "max_tokens": self.max_tokens, **self._options}
        if tools:
            asked["tools"] = list(tools)
        ends = None if deadline is None else self._clock.elapsed() + deadline
        asking = Asking.of(asked, schema, on_text, ends, meter)
        if deadline is None:
            return await self._insistently(asking)
        with self._clock.move_on_after(deadline):
            return await self._insistently(asking)
        raise asking.ended(DeadlinePassed(self.name, deadline, asking.last))

    async def _insistently(self, asking: Asking) -> Answer:
        try:
            return asking.answered(await self._attempt(asking))
        except ModelError as failure:
            first = failure
        return await self._again(asking, first)

    async def _again(self, asking: Asking, first: ModelError) -> Answer:
        """Ask for as long as it may help. Tenacity is told how the first attempt ended: most calls need no second."""
        from tenacity import AsyncRetrying

        ended: list[ModelError] = [first]

        async def attempt() -> Answer:
            if ended:
                raise ended.pop()
            return await self._attempt(asking)

        retrying = AsyncRetrying(
            retry=_may_pass,
            wait=self._wait,
            stop=partial(self._is_enough, asking),
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            return asking.answered(await retrying(attempt))
        except AnswerInvalid as broken:
            asking.tried.pop()
            return asking.answered(broken.answer)
        except ModelError as failure:
            raise asking.ended(failure) from None

    async def _attempt(self, asking: Asking) -> Answer:
        started = self._clock.elapsed()
        try:
            answer = await self._understood(asking)
            return judged(answer) if answer.broken in _MAY_COME_WHOLE else answer
        except ModelError as failure:
            asking.failed(failure, self._clock.elapsed() - started)
            raise

    async def _understood(self, asking: Asking) -> Answer:
        """Return an answer, after as many requests as it takes to learn how the server wants to be asked."""
        while True:
            spoken = self._dialect.now
            request = self._dialect.request(spoken, asking.asked, asking.schema)
            try:
                async with self._limits.place(asking.worst) as place:
                    answer = await self._paid(asking, place, request)
                    place.spent = asking.spent(answer)
            except RequestRefused as refusal:
                self._dialect.concede(refusal, spoken)
            else:
                asking.rung = None if asking.schema is None else spoken.rung
                return answer

    async def _paid(self, asking: Asking, place: Place, request: dict[str, Any]) -> Answer:
        """Send one request, for which there is room in a budget; a failure costs nothing, but silence may."""
        if asking.meter is None:
            return await (await self._connected()).send(request, asking.next())
        place.spent = 0  # of the tokens per minute, until there is a request
        async with asking.meter(asking.worst, asking.money(self.price), f"model {self.name}") as bill:
            place.spent = asking.worst
            try:
                answer = await (await self._connected()).send(request, asking.next())
            except ModelError as failure:
                if not isinstance(failure, ServerSilent):
                    bill(0)
                raise
            bill(asking.spent(answer), asking.money(self.price, answer) or 0.0)
            return answer

    def _wait(self, state: "RetryCallState") -> float:
        """Return for how long the next attempt waits: as long as it was told, or ever longer; never quite as long."""
        failure = _failure_of(state)
        told = failure.retry_after if isinstance(failure, ModelError) else None
        least = max(told or 0.0, self._limits.left_alone) * (1 + 0.1 * self._random())
        back_off: float = min(_FIRST_WAIT * 2 ** (state.attempt_number - 1), _LONGEST_BACK_OFF)
        return least if told else max(least, back_off * (0.75 + 0.5 * self._random()))

    def _is_enough(self, asking: Asking, state: "RetryCallState") -> bool:
        if state.attempt_number >= self._attempts:
            return True
        return asking.ends is not None and self._clock.elapsed() + state.upcoming_sleep >= asking.ends

    async def _connected(self) -> Wire:
        loop = asyncio.get_running_loop()
        if self._wire is None or self._loop() is not loop:
            self._wire, self._loop = self._named_connect(), weakref.ref(loop)
            if self._given is None:
                self._open = _open(self._wire.client)
                await anext(self._open)
        return self._wire

    def _named_connect(self) -> Wire:
        try:
            return self._connect()
        except ModelError:
            raise
        except Exception as error:
            failure = ClientFailed(self.name, f"{type(error).__name__}; check base_url= and client=")
        raise failure  # not where the client's error is at hand: it would be our error's context

    def _connect(self) -> Wire:
        import httpx2

        timeout = httpx2.Timeout(self._timeout, connect=min(_CONNECT, self._timeout))
        client = self._own_client(timeout) if self._given is None else self._given
        client = client.with_options(max_retries=0, timeout=timeout)
        self._check_options(client)
        return Wire(
            self.name, self._api, client, self._clock, self._timeout, self._max_bytes, scrubbing(client.api_key)
        )

    def _check_options(self, client: "AsyncOpenAI") -> None:
        known = signature(self._api.create(client)).parameters
        for option in self._options.keys() - known.keys():
            raise ClientFailed(self.name, f"it knows no option {option}=: mend its name, or pass it in extra_body=")

    def _own_client(self, timeout: "Timeout") -> "AsyncOpenAI":
        from httpx2 import Limits as PoolLimits
        from openai import AsyncOpenAI, DefaultAioHttpClient, DefaultAsyncHttpxClient

        options: dict[str, Any] = {
            "limits": PoolLimits(max_connections=self._concurrency, max_keepalive_connections=self._concurrency),
            "timeout": timeout,
            "transport": None if self._transport is None else self._transport(),
        }
        try:
            pool = DefaultAioHttpClient(**options)
        except RuntimeError:  # aiohttp is not installed
            pool = DefaultAsyncHttpxClient(**options)
        return AsyncOpenAI(api_key=self._secret(), base_url=self._base_url, http_client=pool)

    def _secret(self) -> str:
        if self._key is not None:
            return self._key.get_secret_value()
        known = os.environ.get("OPENAI_API_KEY")
        if not known and not (self._base_url or os.environ.get("OPENAI_BASE_URL")):
            raise KeyMissing(self.name)
        return known or "none"


async def _open(client: "AsyncOpenAI") -> AsyncGenerator[None]:
    """Keep a client open until this is closed; a loop that ends closes the generators that nobody else has."""
    try:
        yield
    finally:
        await client.close()


def _check(model: str, options: Mapping[str, float | None]) -> None:
    for option, value in options.items():
        if value is not None and not value > 0:
            raise ModelInvalid(model, f"{option}= takes a number above 0, not {value!r}")


def _api_of(model: str, name: str, options: Mapping[str, Any]) -> Api:
    if name not in _APIS:
        raise ModelInvalid(model, f"api= takes one of {', '.join(_APIS)}, not {name!r}")
    for option in _APIS[name].remembers & options.keys():
        raise ModelInvalid(model, f"{option}= would leave at the server what an answer depends on: leave it out")
    return _APIS[name]


def _failure_of(state: "RetryCallState") -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _may_pass(state: "RetryCallState") -> bool:
    failure = _failure_of(state)
    if not isinstance(failure, ModelError):
        return False
    return isinstance(failure, AnswerInvalid) or (failure.passing and (failure.retry_after or 0) <= LONGEST_WAIT)
