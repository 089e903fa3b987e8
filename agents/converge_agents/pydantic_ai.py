"""Agents and models of pydantic-ai as what an LLM agent asks, with the providers, instructions and tools they have.

Each request of its model, retries and turns with its own tools included, is a call of the job's budget; the run's
answer is captured, so a run that has ended is not made again, and one that was cut off is made from its beginning.
"""

__all__ = ["PydanticAI"]

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from converge.capture import Bill
from converge.errors import ConvergeError, ExtraMissing
from converge_agents.answer import Answer, ToolCall
from converge_agents.asking import Meter, OnText
from converge_agents.errors import ClientFailed, DeadlinePassed, ModelInvalid, RequestsForbidden
from converge_agents.forbidding import are_forbidden
from converge_agents.price import Price, Prices, price_of

try:
    from pydantic_ai import Agent, DeferredToolRequests, ModelSettings, StructuredDict
    from pydantic_ai.exceptions import ModelHTTPError, RunTimedOut
    from pydantic_ai.messages import (
        ModelMessage,
        ModelMessagesTypeAdapter,
        ModelRequest,
        ModelResponse,
        TextPart,
        ToolCallPart,
        ToolReturnPart,
        UserPromptPart,
    )
    from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse, infer_model
    from pydantic_ai.models.function import FunctionModel
    from pydantic_ai.models.test import TestModel
    from pydantic_ai.models.wrapper import WrapperModel
    from pydantic_ai.tools import ToolDefinition
    from pydantic_ai.toolsets import ExternalToolset
    from pydantic_ai.usage import RequestUsage
except ModuleNotFoundError as error:
    raise ExtraMissing("converge_agents.pydantic_ai", "pydantic-ai") from error

_PLAYED = (FunctionModel, TestModel)  # no requests leave the process


class PydanticAI:
    """An agent, a model, or the name of a model of pydantic-ai: `LLMAgent("assess", PydanticAI(agent), ...)`.

    The agent answers in the form that the LLM agent asks for, in place of its own `output_type`; its instructions,
    tools and settings are its own, and its tools are not captured one by one: they must only read. deps: for its tools.
    max_tokens: of one response, where neither agent nor model says. price: of its tokens, see Model. Raises
    ModelInvalid.
    """

    def __init__(
        self,
        agent: "Agent[Any, Any] | Model | str",
        *,
        deps: Any = None,
        max_tokens: int = 1024,
        price: Prices | None = None,
    ) -> None:
        self._agent: Agent[Any, Any] = agent if isinstance(agent, Agent) else Agent(agent)
        model = self._agent.model
        if model is None:
            raise ModelInvalid(str(self._agent.name), "it has no model: give it one, as in Agent('openai:gpt-…')")
        self._model = infer_model(model) if isinstance(model, str) else _whole(model)
        self._deps, self.max_tokens = deps, max_tokens
        self.name, self.provider = self._model.model_name, self._model.system
        self.price: Price | None = price_of(self.name, price)

    def __repr__(self) -> str:
        return f"PydanticAI({self.name!r})"

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
        """Return what the agent answered, or which of the `tools` it wants called.

        Raises ClientFailed, which names the error of pydantic-ai, DeadlinePassed, RequestsForbidden, and BudgetSpent.
        """
        if are_forbidden() and not isinstance(self._model, _PLAYED):
            raise RequestsForbidden(self.name)
        metered = _Metered(self._model, self, meter)
        asked: dict[str, Any] = {**_asked(messages), **_offered(schema, tools)}
        try:
            result = await self._agent.run(model=metered, deps=self._deps, timeout=deadline, infer_name=False, **asked)
        except ConvergeError:
            raise
        except RunTimedOut as error:
            raise DeadlinePassed(self.name, deadline or 0.0, None) from error
        except Exception as error:
            failure = ClientFailed(self.name, _named(error))
        else:
            return metered.answer(result.output, on_text)
        raise failure  # not where the client's error is at hand: it would be our error's context


class _Metered(WrapperModel):
    """The model of one run: each of its requests finds room in the budget before it is made."""

    def __init__(self, model: Model, whose: PydanticAI, meter: Meter | None) -> None:
        super().__init__(model)
        self._whose, self._meter = whose, meter
        self._requests, self._spent = 0, RequestUsage()
        self._last: ModelResponse | StreamedResponse | None = None

    async def request(
        self, messages: list[ModelMessage], model_settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> ModelResponse:
        settings = self._bounded(model_settings)
        async with self._reserved(messages, settings, parameters) as bill:
            try:
                response = await super().request(messages, settings, parameters)
            except ModelHTTPError:
                if bill is not None:
                    bill(0)  # what a server refuses costs nothing
                raise
            self._settle(bill, response.usage)
        self._last = response
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        parameters: ModelRequestParameters,
        run_context: Any = None,
    ) -> AsyncGenerator[StreamedResponse]:
        settings = self._bounded(model_settings)
        async with self._reserved(messages, settings, parameters) as bill:
            async with super().request_stream(messages, settings, parameters, run_context) as stream:
                yield stream
                self._last = stream
            self._settle(bill, stream.usage)

    def answer(self, output: Any, on_text: OnText | None) -> Answer:
        """Return what a run came to as an Answer."""
        calls: tuple[ToolCall, ...] = ()
        if isinstance(output, DeferredToolRequests):
            calls = tuple(ToolCall(one.tool_call_id, one.tool_name, one.args_as_json_str()) for one in output.calls)
        text = "" if calls else output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
        if on_text is not None and text:
            on_text(text, 1)
        is_counted = not self._spent.unmeasured_requests
        return Answer(
            text=text,
            finish_reason="tool_calls" if calls else "stop",
            tool_calls=calls,
            input_tokens=self._spent.input_tokens if is_counted else None,
            output_tokens=self._spent.output_tokens if is_counted else None,
            model=(self._last and self._last.model_name) or self.model_name,
            request_id=getattr(self._last, "provider_response_id", None),
            attempts=self._requests,
        )

    def _bounded(self, settings: ModelSettings | None) -> ModelSettings:
        known = {**(self.settings or {}), **(settings or {})}
        return ModelSettings(**{"max_tokens": self._whose.max_tokens, **known})  # type: ignore[typeddict-item]

    def _reserved(
        self, messages: list[ModelMessage], settings: ModelSettings, parameters: ModelRequestParameters
    ) -> AbstractAsyncContextManager[Bill | None]:
        self._requests += 1
        if self._meter is None:
            return nullcontext()
        # Every token has at least one byte.
        described = [one.parameters_json_schema for one in (*parameters.function_tools, *parameters.output_tools)]
        asked = len(ModelMessagesTypeAdapter.dump_json(messages)) + len(json.dumps(described, default=repr))
        most, price = settings["max_tokens"], self._whose.price
        money = None if price is None else price.of(asked, most)
        return self._meter(asked + most, money, f"model {self.model_name}")

    def _settle(self, bill: Bill | None, usage: RequestUsage) -> None:
        """Say what a request came to; one that does not say stays at the worst."""
        self._spent += usage
        if bill is not None and not usage.unmeasured_requests:
            price, given, said = self._whose.price, usage.input_tokens, usage.output_tokens
            bill(given + said, 0.0 if price is None else price.of(given, said))


def _whole(model: Any) -> Model:
    if not isinstance(model, Model):
        raise ModelInvalid(str(model), "a model that can be asked for text is needed")
    return model


# --- messages and schemas, from one library's words to the other's ---------------------------------------------------


def _asked(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return messages of chat completions as what a run takes: the last of the user as its prompt."""
    told = [str(one["content"]) for one in messages if one["role"] == "system"]
    history: list[ModelMessage] = []
    names: dict[str, str] = {}
    for message in messages:
        match message["role"]:
            case "user":
                history.append(ModelRequest([UserPromptPart(_content(message["content"]))]))
            case "assistant":
                calls = [_call(one) for one in message.get("tool_calls", ())]
                names |= {call.tool_call_id: call.tool_name for call in calls}
                said = [TextPart(message["content"])] if message.get("content") else []
                history.append(ModelResponse([*said, *calls]))
            case "tool":
                call_id = message["tool_call_id"]
                part = ToolReturnPart(names.get(call_id, ""), message["content"], call_id)
                history.append(ModelRequest([part]))
    asked: dict[str, Any] = {"instructions": "\n\n".join(told) or None}
    if history and messages[-1]["role"] == "user":
        history.pop()
        asked["user_prompt"] = _content(messages[-1]["content"])
    return {**asked, "message_history": history}


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if part.get("type") == "text")


def _call(call: Mapping[str, Any]) -> ToolCallPart:
    function = call["function"]
    return ToolCallPart(function["name"], function["arguments"], call["id"])


def _offered(schema: Mapping[str, Any] | None, tools: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """Return the form of an answer, and the tools that a run may end with a call of."""
    form: list[Any] = [str if schema is None else StructuredDict(dict(schema), name="answer")]
    if not tools:
        return {"output_type": form}
    offered = [_tool(one["function"]) for one in tools]
    return {"output_type": [*form, DeferredToolRequests], "toolsets": [ExternalToolset(offered)]}


def _tool(function: Mapping[str, Any]) -> ToolDefinition:
    schema = function.get("parameters", {})
    return ToolDefinition(name=function["name"], description=function.get("description"), parameters_json_schema=schema)


def _named(error: Exception) -> str:
    """Return what an error is called, and never what it says: that may hold a prompt, or a key."""
    status = f" {error.status_code}" if isinstance(error, ModelHTTPError) else ""
    return f"{type(error).__name__}{status}"
