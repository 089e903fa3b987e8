"""Tools of a model, and plain Python functions as such: their schema, and a call as the model wrote it.

What a tool returns is data to the model, and so is what goes wrong: only the model can do something about it.
"""

__all__ = ["FunctionTool", "Tool", "tools_of"]

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, get_type_hints, runtime_checkable

import pydantic
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from converge import View
from converge.errors import AgentInvalid
from converge.kind import problems_of
from converge_agents.answer import ToolCall


@runtime_checkable
class Tool(Protocol):
    """What a model may call. One that writes is not offered to it, and answers a call with the reason."""

    @property
    def name(self) -> str:
        """Its name, which no other tool of the agent has."""

    @property
    def writes(self) -> bool:
        """Whether it may change something outside the job."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """What a server is told of it."""

    async def called(self, view: View, call: ToolCall) -> str:
        """Return what a call comes to as text for the model; it is captured, and made once."""


class FunctionTool(NamedTuple):
    """A function that a model may call, and the model of its arguments."""

    name: str
    run: Callable[..., Any]
    arguments: type[BaseModel]
    writes: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """What a server is told of it, by the conversion of the OpenAI SDK."""
        from openai import pydantic_function_tool

        return dict(pydantic_function_tool(self.arguments, name=self.name, description=inspect.getdoc(self.run) or ""))

    async def called(self, view: View, call: ToolCall) -> str:
        """Return what a call comes to as text for the model; it is captured, and made once."""
        try:
            given = self.arguments.model_validate_json(call.arguments or "{}")
        except ValidationError as error:
            problems = "; ".join(f"{field}: {text}" for field, text in problems_of(error))
            return f"error: these arguments cannot be used: {problems}"
        arguments = {name: getattr(given, name) for name in type(given).model_fields}
        return str(await view.capture(f"tool {self.name}", self._made, arguments))

    async def _made(self, arguments: dict[str, Any]) -> str:
        try:
            value = self.run(**arguments)
            if hasattr(value, "__await__"):
                value = await value
            return value if isinstance(value, str) else json.dumps(to_jsonable_python(value), ensure_ascii=False)
        except PydanticSerializationError:
            return "error: what it returned is no JSON data"
        except Exception as error:
            return f"error: {type(error).__name__}: {error}"


def tools_of(agent: str, given: Iterable[Any]) -> dict[str, Tool]:
    """Return tools, and functions as tools, by name. Raises AgentInvalid for two of one name, and for what is none."""
    found: dict[str, Tool] = {}
    for one in given:
        tool = one if isinstance(one, Tool) else _of_function(agent, one)
        if tool.name in found:
            raise AgentInvalid(
                agent, f"two of its tools are called {tool.name}: rename one, or give mcp_tools a prefix="
            )
        found[tool.name] = tool
    return found


def _of_function(agent: str, function: Any) -> Tool:
    name = getattr(function, "__name__", "")
    if not callable(function) or not name or name == "<lambda>":
        raise AgentInvalid(agent, f"tools= takes functions with a name, not {function!r:.80}")
    try:
        hints = get_type_hints(function, include_extras=True)
        fields = {one.name: _field(one, hints) for one in inspect.signature(function).parameters.values()}
        model = pydantic.create_model(name, __config__=pydantic.ConfigDict(extra="forbid"), **fields)
    except (LookupError, NameError, TypeError, ValueError, pydantic.errors.PydanticUserError) as error:
        raise AgentInvalid(
            agent, f"tool {name}: give each argument a name and a type that JSON has: {error}"
        ) from error
    return FunctionTool(name, function, model)


def _field(parameter: inspect.Parameter, hints: dict[str, Any]) -> Any:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise ValueError(f"{parameter} cannot be called by name")
    return hints[parameter.name], ... if parameter.default is parameter.empty else parameter.default
