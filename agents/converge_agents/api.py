"""One API of model servers: where its requests go, how they are put, and how what comes back is read.

Everywhere else questions and answers have one form, that of chat completions; an API puts them into its own words.
"""

__all__ = ["RUNGS", "Api", "Form", "Rung", "Spoken"]

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from converge_agents.reading import Reading

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Rung = Literal["json_schema", "json_object", "text"]
RUNGS: tuple[Rung, ...] = ("json_schema", "json_object", "text")

Form = Mapping[str, Any]  # {"type": "json_schema", "name": ..., "schema": ..., "strict": True}, or a type alone


class Spoken(NamedTuple):
    """How one request was put."""

    rung: Rung
    limit: str = "max_tokens"
    counts_streams: bool = True


class Api(NamedTuple):
    """An API that a server may speak.

    create: the client's method for it, whose parameters are the options there are. request: puts a question into its
    words. reading: reads an answer of at most so many bytes. remembers: options that would leave at the server what an
    answer depends on; they are refused, since a capture is found by its prompt alone.
    """

    name: str
    path: str
    create: "Callable[[AsyncOpenAI], Callable[..., Any]]"
    request: Callable[[Mapping[str, Any], Spoken, Form | None], dict[str, Any]]
    reading: Callable[[int], Reading]
    remembers: frozenset[str] = frozenset()
