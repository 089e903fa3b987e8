"""What a captured call is to OpenTelemetry: a question to a model, a tool that one called, or an agent's own call.

Names are those of the GenAI semantic conventions. Words (prompts, answers, arguments) are told only where that was
asked for, and as they are kept: after whatever the engine's `redact` makes of them.
"""

__all__ = ["Call", "call_of"]

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from opentelemetry.trace import SpanKind
from pydantic_core import to_jsonable_python

from converge.capture import Question
from converge.telemetry.measures import Measures, error_name

Redact = Callable[[str], str] | None
_TOOL = "tool "  # how captures of tools are named


class Call(NamedTuple):
    """A call that is about to be made: the name and the kind of its span, and what is known of it.

    model: whom it asks; None for what asks no model.
    """

    span: str
    kind: SpanKind
    about: dict[str, Any]
    model: Any = None

    def asked(self, arguments: Sequence[Any], redact: Redact) -> dict[str, Any]:
        """Return what is known of it, its words included."""
        return {**self.about, **_words_before(self, arguments, redact)}

    def answered(self, value: Any, redact: Redact, *, words: bool) -> dict[str, Any]:
        """Return what its answer says of itself, by the conventions' names; Converge's own where they have none."""
        if self.model is not None:
            value = _answer_in(value)
        told = {} if self.model is None else _told(value, self.model)
        return {**told, **(_words_after(self, value, redact) if words else {})}

    def measure(
        self, measures: Measures, seconds: float, value: Any = None, error: BaseException | None = None
    ) -> None:
        """Note a call of a model: how long it took, and what it came to."""
        if self.model is None:
            return
        by = {name: self.about[name] for name in _MEASURED}
        if error is not None:
            measures.calls.record(seconds, {**by, "error.type": error_name(error)})
            return
        measures.calls.record(seconds, by)
        told = _told(_answer_in(value), self.model)
        for kind in ("input", "output"):
            if (tokens := told.get(f"gen_ai.usage.{kind}_tokens")) is not None:
                measures.tokens.record(tokens, {**by, "gen_ai.token.type": kind})
        if (money := told.get("converge.cost")) is not None:
            measures.cost.add(money, by)


def call_of(question: Question, call: Callable[..., Any]) -> Call:
    """Return what a call that is to be captured is."""
    model: Any = getattr(call, "model", None) or getattr(call, "__self__", None)
    if hasattr(model, "ask") and hasattr(model, "price") and hasattr(model, "name"):
        about = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": getattr(model, "provider", "openai"),
            "gen_ai.request.model": model.name,
            **({"gen_ai.request.max_tokens": model.max_tokens} if hasattr(model, "max_tokens") else {}),
        }
        return Call(f"chat {model.name}", SpanKind.CLIENT, about, model)
    if question.name.startswith(_TOOL):
        name = question.name.removeprefix(_TOOL)
        about = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.type": "function"}
        return Call(f"execute_tool {name}", SpanKind.INTERNAL, about)
    return Call(f"call {question.name}", SpanKind.INTERNAL, {"converge.call": question.name})


def _answer_in(value: Any) -> Any:
    """Return the answer in what a call of a model returned, which may hold more than that."""
    return value["answer"] if isinstance(value, Mapping) else value


def _told(answer: Any, model: Any) -> dict[str, Any]:
    said = {name: getattr(answer, field, None) for field, name in _SAID.items()}
    tokens = said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]
    if model.price is not None and None not in tokens:
        said["converge.cost"] = model.price.of(*tokens)
    if reason := said["gen_ai.response.finish_reasons"]:
        said["gen_ai.response.finish_reasons"] = [reason]
    return {name: value for name, value in said.items() if value not in (None, "")}


_MEASURED = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model")
_SAID = {
    "model": "gen_ai.response.model",
    "finish_reason": "gen_ai.response.finish_reasons",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "attempts": "converge.requests",
    "request_id": "converge.request_id",
}


# --- words ----------------------------------------------------------------------------------------------------------


def _words_before(call: Call, arguments: Sequence[Any], redact: Redact) -> dict[str, str]:
    """Return what is asked, as attributes."""
    if call.model is not None:
        messages = [*arguments[0]] if arguments and isinstance(arguments[0], Sequence) else []
        system = [part for one in messages if one["role"] == "system" for part in _parts(one)]
        others = [{"role": one["role"], "parts": _parts(one)} for one in messages if one["role"] != "system"]
        told = {"gen_ai.system_instructions": system, "gen_ai.input.messages": others}
        return {name: _written(value, redact) for name, value in told.items() if value}
    name = "gen_ai.tool.call.arguments" if call.span.startswith("execute_tool") else "converge.call.arguments"
    return {name: _written(arguments[0] if len(arguments) == 1 else arguments, redact)}


def _words_after(call: Call, value: Any, redact: Redact) -> dict[str, str]:
    """Return what came of it, as attributes."""
    if call.model is not None:
        parts = [{"type": "text", "content": value.text}] if value.text else []
        parts += [_tool_call(one.id, one.name, one.arguments) for one in value.tool_calls]
        message = {"role": "assistant", "parts": parts, "finish_reason": value.finish_reason or ""}
        return {"gen_ai.output.messages": _written([message], redact)}
    name = "gen_ai.tool.call.result" if call.span.startswith("execute_tool") else "converge.call.result"
    return {name: _written(value, redact)}


def _parts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a message of chat completions as the conventions write one."""
    content = message.get("content")
    if message["role"] == "tool":
        return [{"type": "tool_call_response", "id": message.get("tool_call_id"), "response": content}]
    calls = [one.get("function", {}) | {"id": one.get("id")} for one in message.get("tool_calls", ())]
    parts = [{"type": "text", "content": content}] if isinstance(content, str) and content else []
    parts += [dict(part) for part in content] if isinstance(content, list) else []
    return parts + [_tool_call(one["id"], one.get("name"), one.get("arguments")) for one in calls]


def _tool_call(call_id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}


def _written(value: Any, redact: Redact) -> str:
    text = json.dumps(to_jsonable_python(value, fallback=repr), ensure_ascii=False)
    return text if redact is None else redact(text)
