"""One run of an agent of pydantic-ai, of which each request finds room in a job's budget; nothing else imports that.

Messages, schemas and tools are put from the words of chat completions into its own, and what comes of a run back again.
"""

__all__ = ["Asked", "agent_of", "is_played", "run"]

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, NamedTuple

from converge.capture import Bill
from converge.errors import ConvergeError, ExtraMissing
from converge_agents.answer import Answer, ToolCall
from converge_agents.asking import Meter
from converge_agents.errors import ClientFailed, DeadlinePassed, ModelInvalid
from converge_agents.price import Price

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
    raise ExtraMissing("PydanticAI", "pydantic-ai") from error


class Asked(NamedTuple):
    """Whom a run asks: an agent and its model, with what its requests may come to.

    max_tokens: of a response, where neither agent nor model says.
    """

    agent: Agent[Any, Any]
    model: Model
    deps: Any
    max_tokens: int
    price: Price | None


def agent_of(given: "Agent[Any, Any] | Model | str") -> tuple[Agent[Any, Any], Model]:
    """Return an agent and its model; a model, or the name of one, has an agent made for it. Raises ModelInvalid."""
    agent: Agent[Any, Any] = given if isinstance(given, Agent) else Agent(given)
    if agent.model is None:
        raise ModelInvalid(str(agent.name), "it has no model: give it one, as in Agent('openai:gpt-…')")
    model = infer_model(agent.model) if isinstance(agent.model, str) else agent.model
    if not isinstance(model, Model):
        raise ModelInvalid(str(model), "a model that can be asked for text is needed")
    return agent, model


def is_played(model: Model) -> bool:
    """Whether no request of a model leaves the process."""
    return isinstance(model, (FunctionModel, TestModel))


async def run(
    asked: Asked,
    messages: Sequence[Mapping[str, Any]],
    schema: Mapping[str, Any] | None,
    tools: Sequence[Mapping[str, Any]] | None,
    deadline: float | None,
    meter: Meter | None,
) -> Answer:
    """Return what a run came to. Raises ClientFailed, DeadlinePassed, and BudgetSpent."""
    metered = _Metered(asked, meter)
    told: dict[str, Any] = {**_asked(messages), **_offered(schema, tools)}
    try:
        result = await asked.agent.run(model=metered, deps=asked.deps, timeout=deadline, infer_name=False, **told)
    except ConvergeError:
        raise
    except RunTimedOut as error:
        raise DeadlinePassed(metered.model_name, deadline or 0.0, None) from error
    except Exception as error:
        failure = ClientFailed(metered.model_name, _named(error))
    else:
        return metered.answer(result.output)
    raise failure  # not where the client's error is at hand: it would be our error's context


class _Metered(WrapperModel):
    """The model of one run: each of its requests finds room in the budget before it is made."""

    def __init__(self, whose: Asked, meter: Meter | None) -> None:
        super().__init__(whose.model)
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

    def answer(self, output: Any) -> Answer:
        """Return what a run came to as an Answer."""
        calls: tuple[ToolCall, ...] = ()
        if isinstance(output, DeferredToolRequests):
            calls = tuple(ToolCall(one.tool_call_id, one.tool_name, one.args_as_json_str()) for one in output.calls)
        text = "" if calls else output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
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
