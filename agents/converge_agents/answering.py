"""Whom an LLM agent may ask besides a Model: any awaitable function, and agents and models of pydantic-ai.

They are captured and paid for as a Model is: a function answers one call; of an agent each request of its model is one.
"""

__all__ = ["CallableModel", "answering"]

import dataclasses
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from converge.errors import AgentInvalid
from converge_agents.answer import Answer
from converge_agents.asking import Meter, OnText
from converge_agents.conversation import Asks
from converge_agents.errors import DeadlinePassed, ModelInvalid
from converge_agents.price import Price, Prices, price_of
from converge_agents.pydantic_ai import PydanticAI

Function = Callable[..., Awaitable[Any]]


class CallableModel:
    """An awaitable function as what an agent asks: `LLMAgent("assess", CallableModel(answer, tokens=2_000), ...)`.

    It is called with the messages, or with the messages and the JSON schema an answer is to fit, and returns the
    answer: a text, JSON data, or an `Answer`, which says what it cost. tokens: how many one call may come to at most, 0
    where it costs none; one that does not say what it cost stands at that. price: of its tokens, see Model. Raises
    ModelInvalid.
    """

    provider = "function"

    def __init__(
        self, function: Function, name: str | None = None, *, tokens: int = 0, price: Prices | None = None
    ) -> None:
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        self.price: Price | None = price_of(self.name, price)
        self._function, self._tokens = function, tokens
        self._takes_schema = _takes_schema(self.name, function)

    def __repr__(self) -> str:
        return f"CallableModel({self.name!r})"

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
        """Return what the function answered. Raises what it raises, ModelInvalid for tools, and DeadlinePassed."""
        import anyio

        if tools:
            raise ModelInvalid(self.name, "a function cannot be offered tools: let it call what it needs")
        arguments = (messages, schema) if self._takes_schema else (messages,)
        if deadline is None:
            return await self._paid(arguments, on_text, meter)
        with anyio.move_on_after(deadline):
            return await self._paid(arguments, on_text, meter)
        raise DeadlinePassed(self.name, deadline, None)

    async def _paid(self, arguments: tuple[Any, ...], on_text: OnText | None, meter: Meter | None) -> Answer:
        if meter is None:
            return self._told(await self._function(*arguments), on_text)
        most = 0.0 if not self._tokens else None if self.price is None else self._money(self._tokens, self._tokens)
        async with meter(self._tokens, most, f"model {self.name}") as bill:
            answer = self._told(await self._function(*arguments), on_text)
            given, said = answer.input_tokens, answer.output_tokens
            if given is not None and said is not None:
                bill(given + said, 0.0 if self.price is None else self.price.of(given, said))
            return answer

    def _money(self, given: int, said: int) -> float:
        """Return what a call may cost at the worst: that all its tokens are of the dearer sort."""
        assert self.price is not None
        return max(self.price.of(given, 0), self.price.of(0, said))

    def _told(self, value: Any, on_text: OnText | None) -> Answer:
        answer = value if isinstance(value, Answer) else Answer(text=_text(self.name, value), finish_reason="stop")
        if on_text is not None:
            on_text(answer.text, 1)
        return answer if answer.model else dataclasses.replace(answer, model=self.name)


def answering(agent: str, given: Any) -> Asks:
    """Return whom an agent asks: a model as it is, an agent or a model of pydantic-ai, or a function as one.

    Raises AgentInvalid for what is none of these.
    """
    if hasattr(given, "ask") and not isinstance(given, type):
        return given  # type: ignore[no-any-return]
    if any(cls.__module__.partition(".")[0] == "pydantic_ai" for cls in type(given).__mro__):
        return PydanticAI(given)
    if callable(given) and not isinstance(given, type):
        return CallableModel(given)
    raise AgentInvalid(
        agent, f"model= takes a Model, an agent of pydantic-ai, or an awaitable function, not {given!r:.80}"
    )


def _takes_schema(name: str, function: Function) -> bool:
    signature = inspect.signature(function)
    for arguments in (2, 1):
        try:
            signature.bind(*range(arguments))
        except TypeError:
            continue
        return arguments == 2
    raise ModelInvalid(name, "it takes the messages, or the messages and a JSON schema")


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(to_jsonable_python(value), ensure_ascii=False)
    except PydanticSerializationError as error:
        raise ModelInvalid(name, f"it returns a text, JSON data or an Answer, not {value!r:.80}") from error
