"""How a server wants to be asked: what it refused once it is not sent again.

Servers that call themselves compatible differ in what they take. The ladder for schemas goes down only when a server
refuses the rung above by name, never because an answer was bad; so does the handful of other things they differ in.
"""

__all__ = ["Dialect", "mentions_format"]

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from converge_agents.api import RUNGS, Api, Form, Rung, Spoken
from converge_agents.errors import ModelInvalid, RequestRefused, SchemaRefused

_FORMAT = re.compile(
    r"response[_ ]?format|json_?schema|json_?object|structured[ _]outputs?|guided_json|text\.format|param text\b",
    re.IGNORECASE,
)
_BAD_SCHEMA = re.compile(r"invalid schema|invalid_json_schema", re.IGNORECASE)
_INSTRUCTION = "Answer with one JSON object and nothing else. It must fit this JSON schema:\n"


def mentions_format(said: str) -> bool:
    """Whether a server complains of how the answer's format was asked for."""
    return _FORMAT.search(said) is not None


class Dialect:
    """What one server takes, learnt from what it refuses and shared by all who ask it."""

    def __init__(self, model: str, api: Api, rungs: Sequence[Rung] = RUNGS) -> None:
        if not rungs or any(rung not in RUNGS for rung in rungs):
            raise ModelInvalid(model, f"rungs= takes some of {', '.join(RUNGS)}, not {rungs!r}")
        self._api, self._rungs = api, tuple(rungs)
        self.now = Spoken(self._rungs[0])

    def request(self, spoken: Spoken, asked: Mapping[str, Any], schema: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return a request as it is sent."""
        if schema is None:
            return self._api.request(asked, spoken, None)
        if spoken.rung != "json_schema":
            told = _told(asked["messages"], _INSTRUCTION + json.dumps(schema, ensure_ascii=False))
            asked = {**asked, "messages": told}
        return self._api.request(asked, spoken, _form(spoken.rung, schema))

    def concede(self, refusal: RequestRefused, spoken: Spoken) -> None:
        """Learn from a refusal. Raises it, or SchemaRefused, where there is nothing left to concede."""
        if _BAD_SCHEMA.search(refusal.said):
            raise SchemaRefused(refusal.model, refusal.status, refusal.said)
        if self.now == spoken:  # else somebody has learnt it already
            self.now = self._conceded(refusal, spoken)

    def _conceded(self, refusal: RequestRefused, spoken: Spoken) -> Spoken:
        if "max_completion_tokens" in refusal.said and spoken.limit == "max_tokens":
            return spoken._replace(limit="max_completion_tokens")
        if "stream_options" in refusal.said and spoken.counts_streams:
            return spoken._replace(counts_streams=False)
        below = self._rungs[self._rungs.index(spoken.rung) + 1 :]
        if not below or not mentions_format(refusal.said):
            raise refusal
        return spoken._replace(rung=below[0])


def _form(rung: Rung, schema: Mapping[str, Any]) -> Form | None:
    if rung == "json_schema":
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", str(schema.get("title", "answer")))[:64]
        return {"type": "json_schema", "name": name, "schema": dict(schema), "strict": True}
    return {"type": "json_object"} if rung == "json_object" else None


def _told(messages: Sequence[Mapping[str, Any]], instruction: str) -> list[Mapping[str, Any]]:
    """Say it at the end of the last message of the user: the one place that every chat template has."""
    told = list(messages)
    at = max((n for n, message in enumerate(told) if message.get("role") == "user"), default=None)
    if at is None:
        return [*told, {"role": "user", "content": instruction}]
    content = told[at].get("content") or ""
    if isinstance(content, str):
        told[at] = {**told[at], "content": f"{content}\n\n{instruction}".lstrip()}
    else:
        told[at] = {**told[at], "content": [*content, {"type": "text", "text": instruction}]}
    return told
