"""One question on its way to an answer: what is asked, how often it was sent, and what came of it so far."""

__all__ = ["Asking", "Meter", "OnText"]

import dataclasses
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from hashlib import blake2b
from typing import Any, Self

from pydantic_core import PydanticSerializationError, to_jsonable_python

from converge.capture import Bill
from converge_agents.answer import Answer, Attempt
from converge_agents.api import Rung
from converge_agents.errors import AnswerInvalid, ClientFailed, ModelError
from converge_agents.price import Price

OnText = Callable[[str, int], object]  # a piece of text, and the number of the request it comes from
Meter = Callable[[int, float | None, str], AbstractAsyncContextManager[Bill]]  # tokens, money, of what


@dataclasses.dataclass(slots=True)
class Asking:
    """One question on its way. `worst`: the tokens it may come to."""

    asked: dict[str, Any]
    schema: Mapping[str, Any] | None
    on_text: OnText | None
    ends: float | None
    worst: int
    digest: str
    meter: Meter | None = None
    rung: Rung | None = None
    requests: int = 0
    last: ModelError | None = None
    tried: list[Attempt] = dataclasses.field(default_factory=list)

    @classmethod
    def of(
        cls,
        asked: dict[str, Any],
        schema: Mapping[str, Any] | None,
        on_text: OnText | None,
        ends: float | None,
        meter: Meter | None = None,
    ) -> Self:
        """Return the question; `ends` is when its time is over. Raises ClientFailed for what is no JSON data."""
        text = _encoded(asked["model"], {**asked, "extra_headers": None, "schema": schema})
        if on_text is not None:
            asked["stream"] = True
        digest = blake2b(text, digest_size=16).hexdigest()
        return cls(asked, schema, on_text, ends, len(text) + asked["max_tokens"], digest, meter)

    def next(self) -> Callable[[str], object] | None:
        """Count a request; return who is told its text."""
        self.requests += 1
        on_text, number = self.on_text, self.requests
        return None if on_text is None else lambda text: on_text(text, number)

    def spent(self, answer: Answer) -> int:
        """Return the tokens an answer cost; the worst, where the server does not say."""
        if answer.input_tokens is None or answer.output_tokens is None:
            return self.worst
        return answer.input_tokens + answer.output_tokens

    def money(self, price: Price | None, answer: Answer | None = None) -> float | None:
        """Return what an answer cost, or what one may cost at the worst; None where the price is not known."""
        if price is None:
            return None
        most = self.asked["max_tokens"]
        given, said = (None, None) if answer is None else (answer.input_tokens, answer.output_tokens)
        return price.of(self.worst - most if given is None else given, most if said is None else said)

    def failed(self, failure: ModelError, seconds: float) -> None:
        """Note an attempt that came to nothing."""
        self.last = failure
        attempt = Attempt(type(failure).__name__, round(seconds, 6))
        if isinstance(failure, AnswerInvalid):
            kept = ("text", "request_id", "input_tokens", "output_tokens")
            attempt = dataclasses.replace(attempt, **{name: getattr(failure.answer, name) for name in kept})
        self.tried.append(attempt)

    def answered(self, answer: Answer) -> Answer:
        """Return an answer with how it was asked for."""
        return dataclasses.replace(
            answer, attempts=self.requests, tried=tuple(self.tried), prompt_digest=self.digest, rung=self.rung
        )

    def ended(self, failure: ModelError) -> ModelError:
        """Return a failure with what was tried before it."""
        failure.tried = tuple(self.tried)
        return failure


def _encoded(model: str, asked: Mapping[str, Any]) -> bytes:
    try:
        plain = to_jsonable_python(asked)
        return json.dumps(plain, sort_keys=True, ensure_ascii=False).encode(errors="surrogatepass")
    except (PydanticSerializationError, ValueError, RecursionError):
        raise ClientFailed(model, "what it was asked is no JSON data") from None
