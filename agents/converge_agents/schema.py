"""What an LLM is asked to answer with: kinds of facts as one pydantic model and one strict JSON schema.

The answer is an object. For one kind it has a list `items`; for several it has one list per kind, named after it. An
item is the fact itself; where evidence or confidence is asked for, it is an object that holds the fact beside them, so
that no field of a kind can be in their way.
"""

__all__ = ["UNSENT", "AnswerForm"]

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import pydantic
from pydantic import BaseModel, Field
from pydantic.dataclasses import rebuild_dataclass
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from converge import Fact
from converge.fact import kind_of

# Annotations that bind no answer: no server needs them, and some refuse words they do not know.
UNSENT = frozenset({"default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"})


class AnswerForm:
    """The shape of an answer that states facts of `kinds`, in the order given.

    `evidence`: each item also cites the facts shown in the prompt that it rests on, as a list of references ("F1").
    `confidence`: each item also says how sure it is, from 0 to 1. Raises TypeError for what is not a kind. It does not
    ask whether a strict server would take the schema: that is `lint`.
    """

    def __init__(self, kinds: Iterable[type[Fact]], *, evidence: bool = False, confidence: bool = False) -> None:
        self.kinds = tuple(dict.fromkeys(kinds))
        self.evidence, self.confidence = evidence, confidence
        if not self.kinds:
            raise TypeError("an answer needs at least one kind to be an answer about")
        self.lists = dict(zip(_names([kind_of(kind).name for kind in self.kinds]), self.kinds, strict=True))

    @property
    def wrapped(self) -> bool:
        """Whether an item holds its fact in a field `fact`, instead of being the fact."""
        return self.evidence or self.confidence

    @cached_property
    def model(self) -> type[BaseModel]:
        """The pydantic model that an answer validates against; its facts come out as facts."""
        for kind in self.kinds:
            rebuild_dataclass(kind, raise_errors=True)  # type: ignore[arg-type]  # the metaclass made it a dataclass
        fields = {
            f"list_{place}": (list[self._item(kind)], Field(alias=name, description=_every(kind)))  # type: ignore[misc]
            for place, (name, kind) in enumerate(self.lists.items())
        }
        return _model("Answer", fields)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The strict JSON schema, by the conversion of the OpenAI SDK, which is imported here.

        Every field is required and every object closed; defaults, examples and the titles of fields are left out; a
        Decimal is asked for as text.
        """
        from openai import pydantic_function_tool  # the SDK's public way to its strict conversion

        return dict(pydantic_function_tool(self.model)["function"]["parameters"])

    @cached_property
    def written(self) -> dict[str, Any]:
        """The JSON schema as the authors of the kinds wrote it, before anything is left out; it imports no SDK."""
        return self.model.model_json_schema(schema_generator=_Written)

    @property
    def response_format(self) -> dict[str, Any]:
        """What `chat.completions.create(response_format=...)` takes."""
        return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": self.schema}}

    def node(self, kind_list: str) -> Any:
        """The node of `written` that describes the facts of a list."""
        node = self.written["properties"][kind_list]["items"]
        if not self.wrapped:
            return node
        return self.written["$defs"][node["$ref"].removeprefix("#/$defs/")]["properties"]["fact"]

    def _item(self, kind: type[Fact]) -> Any:
        if not self.wrapped:
            return kind
        fields: dict[str, Any] = {"fact": (kind, ...)}
        if self.evidence:  # asked for first: what is written before a conclusion can still shape it
            fields = {"evidence": (list[str], Field(description=_EVIDENCE)), **fields}
        if self.confidence:
            fields["confidence"] = (float, Field(ge=0, le=1, description=_CONFIDENCE))
        return _model(f"{kind.__name__}Item", fields)


_EVIDENCE = "The facts shown that this rests on, by their references, such as F1."
_CONFIDENCE = "How sure this is, from 0 to 1."


class _Written(GenerateJsonSchema):
    """The schema as the author of a kind wrote it, with what is left out of the one that is sent: for the lint."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Name a Decimal, for which pydantic's own schema differs from version to version."""
        return {"type": "string", "format": "decimal"}

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Say nothing: what is wrong becomes a problem, and a default that JSON cannot hold is not sent anyway."""


class _Sent(GenerateJsonSchema):
    """The schema without what binds no answer or what no server needs."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Leave the default out: beside `required` it says nothing, and strict servers refuse it."""
        return self.generate_inner(schema["schema"])

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Ask for a Decimal as text: pydantic's pattern looks ahead, which is refused, and a number may lose digits."""
        return {"type": "string"}

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Leave a field's title out: it repeats the name."""
        return False

    def generate(self, schema: Any, mode: Any = "validation") -> JsonSchemaValue:
        """Leave annotations out too."""
        sent: JsonSchemaValue = _sent(super().generate(schema, mode))
        return sent


class _Closed(BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        """Return the schema that is sent: the SDK asks for no options."""
        options = {"schema_generator": _Sent, **options}
        return super().model_json_schema(*args, **options)


def _model(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    return pydantic.create_model(name, __base__=_Closed, **fields)


def _every(kind: type[Fact]) -> str:
    return f"Every {kind_of(kind).name}; an empty list where there is none."


def _names(kinds: list[str]) -> list[str]:
    """Return one field name per kind, in the letters every server takes."""
    if len(kinds) == 1:
        return ["items"]
    names: list[str] = []
    for kind in kinds:
        name = stem = re.sub(r"[^A-Za-z0-9_-]", "_", kind)[:60]
        count = 1
        while name in names:
            name = f"{stem}_{(count := count + 1)}"
        names.append(name)
    return names


def _sent(node: Any) -> Any:
    """Return a schema without its annotations; a property may be called like one, so names are not looked at."""
    if isinstance(node, list):
        return [_sent(item) for item in node]
    if not isinstance(node, dict):
        return node
    named = {key: {name: _sent(item) for name, item in node[key].items()} for key in _NAMED if key in node}
    return {key: _sent(item) for key, item in node.items() if key not in UNSENT} | named


_NAMED = ("properties", "$defs")
