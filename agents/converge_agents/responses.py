"""The Responses API, for servers that have it.

Each request holds the whole conversation and asks for nothing to be kept at the server (`store` is false, unless an
option says otherwise): what an answer depends on is what was sent, and a capture is found by that.
"""

__all__ = ["RESPONSES"]

from collections.abc import Iterator, Mapping
from typing import Any

from converge_agents.api import Api, Form, Spoken
from converge_agents.reading import Json, Reading, list_in, object_in, text_in


def _request(asked: Mapping[str, Any], spoken: Spoken, form: Form | None) -> dict[str, Any]:
    request = {"store": False, **asked}
    request["input"] = [item for message in request.pop("messages") for item in _items(message)]
    request["max_output_tokens"] = request.pop("max_tokens")
    if "tools" in request:
        request["tools"] = [_tool(tool) for tool in request["tools"]]
    if form is not None:
        request["text"] = {**(request.get("text") or {}), "format": dict(form)}
    return request


def _items(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a message of chat completions is here; what is an item already stays as it is."""
    if "role" not in message:
        yield dict(message)
    elif message["role"] == "tool":
        yield {"type": "function_call_output", "call_id": message["tool_call_id"], "output": message["content"]}
    else:
        calls = message.get("tool_calls") or ()
        if message.get("content") or not calls:
            yield {"role": message["role"], "content": _content(message["role"], message.get("content"))}
        for call in calls:
            # Without an id of its own: the reasoning that a call came with is then not missed, and was not kept.
            yield {"type": "function_call", "call_id": call["id"], **call["function"]}


def _content(role: str, content: Any) -> Any:
    if not isinstance(content, list):
        return content or ""
    return [_part("output_text" if role == "assistant" else "input_text", part) for part in content]


def _part(text: str, part: Any) -> Any:
    match part:
        case {"type": "text"}:
            return {**part, "type": text}
        case {"type": "image_url", "image_url": {**image}}:
            return {"type": "input_image", "image_url": image["url"], "detail": image.get("detail", "auto")}
        case _:
            return part


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", **tool["function"]} if "function" in tool else dict(tool)


_ENDED = {"max_output_tokens": "length"}  # why a response is incomplete, as chat completions call it
_LAST = {"response.completed", "response.incomplete", "response.failed"}


class _ResponsesReading(Reading):
    """An answer as the Responses API sends it: items, of which messages and calls of functions count."""

    counts = ("input_tokens", "output_tokens")

    def _whole(self, data: Json) -> None:
        for number, item in enumerate(list_in(data.get("output"))):
            self._item(number, object_in(item))
        self._response(data)

    def _piece(self, data: Json) -> None:
        kind = text_in(data.get("type"))
        if kind == "response.output_text.delta":
            self._say(text_in(data.get("delta")))
        elif kind == "response.refusal.delta":
            self._refuse(text_in(data.get("delta")))
        elif kind == "response.output_item.done":
            self._item_done(data)
        elif kind in _LAST:
            self._last(object_in(data.get("response")))
        elif kind == "error":
            self.error = data
        self.has_begun = self.has_begun or kind.startswith("response.")

    def _item_done(self, data: Json) -> None:
        """Read a call, whose arguments are of no use in pieces; a message was read in its pieces."""
        item = object_in(data.get("item"))
        if item.get("type") == "function_call":
            self._item(len(self.calls), item)

    def _last(self, response: Json) -> None:
        if self.is_empty:
            self._whole(response)
        else:
            self._response(response)

    def _response(self, data: Json) -> None:
        """Read what is said of a response besides its items."""
        self._name(data)
        self.error = data.get("error")
        self.has_begun = self.has_begun or bool(list_in(data.get("output")))
        if data.get("status") == "completed":
            self.finish = "tool_calls" if self.calls else "stop"
        elif data.get("status") == "incomplete":
            reason = text_in(object_in(data.get("incomplete_details")).get("reason"))
            self.finish = _ENDED.get(reason, reason) or None

    def _item(self, number: int, item: Json) -> None:
        if item.get("type") == "function_call":
            given = (text_in(item.get(name)) for name in ("call_id", "name", "arguments"))
            self._call(number, *given)
        elif item.get("type") == "message":
            for part in map(object_in, list_in(item.get("content"))):
                self._say(text_in(part.get("text")))
                self._refuse(text_in(part.get("refusal")))


RESPONSES = Api(
    "responses",
    "/responses",
    lambda client: client.responses.create,
    _request,
    _ResponsesReading,
    frozenset({"background", "conversation", "previous_response_id"}),
)
