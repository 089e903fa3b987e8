"""Chat completions: the API that every server of this kind has."""

__all__ = ["CHAT"]

from collections.abc import Mapping
from typing import Any

from converge_agents.api import Api, Form, Spoken
from converge_agents.reading import Json, Reading, count_in, list_in, object_in, text_in


def _request(asked: Mapping[str, Any], spoken: Spoken, form: Form | None) -> dict[str, Any]:
    request = dict(asked)
    request[spoken.limit] = request.pop("max_tokens")
    if request.get("stream") and spoken.counts_streams:
        request["stream_options"] = {"include_usage": True}
    if form is not None:
        request["response_format"] = _format(form)
    return request


def _format(form: Form) -> dict[str, Any]:
    kind, schema = form["type"], {name: value for name, value in form.items() if name != "type"}
    return {"type": kind, kind: schema} if schema else {"type": kind}


class _ChatReading(Reading):
    """An answer as chat completions send it: the first choice counts."""

    counts = ("prompt_tokens", "completion_tokens")

    def _whole(self, data: Json) -> None:
        self._read(data, "message")
        if not self.has_begun:
            self.error = data.get("error")

    def _piece(self, data: Json) -> None:
        self._read(data, "delta")

    def _read(self, data: Json, part: str) -> None:
        self._name(data)
        choices = list_in(data.get("choices"))
        if not choices:
            return
        choice = object_in(choices[0])
        self.has_begun = True
        self.finish = text_in(choice.get("finish_reason")) or self.finish
        said = object_in(choice.get(part))
        self._say(_words(said.get("content")))
        self._refuse(text_in(said.get("refusal")))
        for position, call in enumerate(list_in(said.get("tool_calls"))):
            self._one_call(position, object_in(call))

    def _one_call(self, position: int, call: Json) -> None:
        index, function = count_in(call.get("index")), object_in(call.get("function"))
        given = [text_in(part) for part in (call.get("id"), function.get("name"), function.get("arguments"))]
        self._call(position if index is None else index, *given)


def _words(content: object) -> str:
    """Return content that is a text, or a list of parts of which some are."""
    return text_in(content) or "".join(text_in(object_in(part).get("text")) for part in list_in(content))


CHAT = Api("chat", "/chat/completions", lambda client: client.chat.completions.create, _request, _ChatReading)
