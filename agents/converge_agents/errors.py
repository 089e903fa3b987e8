"""What can go wrong between us and a model server: one name for each, and nothing else leaves a `Model`.

`passing` says whether the same request may succeed later; only such failures are tried again. No error holds a header,
a key or an exception of the client library, whose request carries both.
"""

__all__ = [
    "AnswerCorrupt",
    "AnswerCut",
    "AnswerEmpty",
    "AnswerFiltered",
    "AnswerInvalid",
    "AnswerRefused",
    "AnswerTooLarge",
    "AnswerTooLong",
    "ApiUnknown",
    "ClientFailed",
    "DeadlinePassed",
    "KeyMissing",
    "KeyRefused",
    "ModelElsewhere",
    "ModelError",
    "ModelInvalid",
    "ModelUnknown",
    "NotRecorded",
    "PromptTooLong",
    "QuotaSpent",
    "RateLimited",
    "RequestRefused",
    "RequestsForbidden",
    "SchemaRefused",
    "ScriptSilent",
    "ServerDown",
    "ServerFailed",
    "ServerSilent",
    "ServerUnreachable",
    "ToolServerFailed",
    "ToolUnknown",
    "ToolWrites",
    "ToolsExceeded",
]

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from converge.errors import ConvergeError

if TYPE_CHECKING:
    from converge_agents.answer import Answer, Attempt


class ModelError(ConvergeError):
    """The root of what a model can fail with.

    passing: whether asking again may help. retry_after: seconds for which the server, or our circuit, wants no more.
    tried: what was tried in vain before, with what was received of it.
    """

    passing = False
    retry_after: float | None = None
    tried: "tuple[Attempt, ...]" = ()

    def __str__(self) -> str:
        sentence = super().__str__()
        return f"{sentence} ({len(self.tried)} attempts)" if len(self.tried) > 1 else sentence


# --- what the caller can mend -------------------------------------------------------------------------------------


class ModelInvalid(ModelError, ValueError):
    """Raised when a model is given an option that makes no sense."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"model {model}: {reason}")


class RequestsForbidden(ModelError):
    """Raised instead of a request while `forbid_model_requests()` holds."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"model {model} was asked while requests to models are forbidden: "
            "pass a ScriptedModel, or leave forbid_model_requests() first"
        )


class ModelElsewhere(ModelError):
    """Raised when a model is asked from a second event loop while a first one is asking it."""

    def __init__(self, model: str) -> None:
        super().__init__(f"model {model} is at work in another event loop: build one Model for each thread")


class KeyMissing(ModelError):
    """Raised before the first request where there is no key for the official server."""

    def __init__(self, model: str) -> None:
        super().__init__(f"model {model} has no key: set OPENAI_API_KEY, or pass api_key= or base_url= to Model")


class ClientFailed(ModelError):
    """Raised when the client library itself fails; `reason` names its error, never its content."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"the client of model {model} failed: {reason}")


class ScriptSilent(ModelError):
    """Raised when a script has no reply to a request."""

    def __init__(self, model: str, prompt: str) -> None:
        super().__init__(f"the script of model {model} has no reply to {prompt!r:.200}: add a line that matches it")


class NotRecorded(ModelError):
    """Raised when a RecordedModel without a model is asked what its file does not hold."""

    def __init__(self, model: str, path: str, prompt: str) -> None:
        super().__init__(
            f"{path} holds no answer of model {model} to {prompt!r:.200}: "
            "ask a real one once, as in RecordedModel(path, Model(...))"
        )


class DeadlinePassed(ModelError):
    """Raised when a call is given no more time; `last` is what it failed with before, if it did."""

    def __init__(self, model: str, seconds: float, last: ModelError | None) -> None:
        self.last = last
        before = f"; before that: {last}" if last else ""
        super().__init__(f"model {model} gave no answer within the deadline of {seconds:g} s{before}")


# --- what the server refuses, for good ----------------------------------------------------------------------------


class RequestRefused(ModelError):
    """Raised when the server refuses a request as it is. `status` is its HTTP status, `said` what it said."""

    problem = "refuses the request"

    def __init__(self, model: str, status: int, said: str) -> None:
        self.model, self.status, self.said = model, status, said
        super().__init__(f"model {model} {self.problem} ({status}): {said}")


class KeyRefused(RequestRefused):
    """Raised for 401 and 403."""

    problem = "refuses the key"


class ModelUnknown(RequestRefused):
    """Raised for 404."""

    problem = "is not there; check its name and base_url="


class ApiUnknown(ModelUnknown):
    """Raised for 404 and 405 where another API than chat completions was asked for."""

    def __init__(self, model: str, status: int, said: str, api: str) -> None:
        self.problem = (
            f"is not there, or its server has no /{api}: check its name and base_url=, or pass api='chat', "
            "which every server has"
        )
        super().__init__(model, status, said)


class SchemaRefused(RequestRefused):
    """Raised when a server that does know schemas cannot hold answers to this one."""

    problem = "cannot be held to this schema"


class PromptTooLong(RequestRefused):
    """Raised when prompt and answer together do not fit the model's context."""

    problem = "cannot take so long a prompt: shorten it, or lower max_tokens="


class QuotaSpent(RequestRefused):
    """Raised for a 429 that no waiting helps: the account has nothing left."""

    problem = "has no quota left: look at the account"


# --- what may pass ------------------------------------------------------------------------------------------------


class ServerFailed(ModelError):
    """Raised when a server failed (408, 409, 5xx, an error inside an answer) as often as it may be asked."""

    passing = True
    problem = "failed"

    def __init__(self, model: str, status: int, said: str, retry_after: float | None = None) -> None:
        self.status, self.said, self.retry_after = status, said, retry_after
        super().__init__(f"model {model} {self.problem} ({status}): {said}")


class RateLimited(ServerFailed):
    """Raised when a server said 429 as often as it may be asked, or wants a longer wait than we are ready for."""

    problem = "is asked too often"


class ServerUnreachable(ModelError):
    """Raised when there is no connection, or it broke before an answer came."""

    passing = True

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"model {model} cannot be reached: {reason}")


class ServerSilent(ModelError):
    """Raised when no answer, or nothing more of it, came in time."""

    passing = True

    def __init__(self, model: str, seconds: float) -> None:
        super().__init__(f"model {model} said nothing for {seconds:g} s")


class ServerDown(ModelError):
    """Raised without a request while a server that failed repeatedly is left alone; `until` in seconds of the epoch."""

    passing = True

    def __init__(self, model: str, failures: int, until: float, left: float) -> None:
        self.until, self.retry_after = until, left
        at = datetime.fromtimestamp(until, UTC).strftime("%H:%M:%S UTC")
        super().__init__(f"model {model} failed {failures} times in a row and is left alone until {at}")


# --- answers that came, and are no good ---------------------------------------------------------------------------


class AnswerInvalid(ModelError):
    """Raised by `judged` for an answer that was given, and cannot be used. `answer` is all that came of it."""

    problem = "cannot be used"

    def __init__(self, answer: "Answer") -> None:
        self.answer = answer
        super().__init__(f"the answer of model {answer.model} {self.problem}")


class AnswerCut(AnswerInvalid):
    """Raised for an answer that ends without a reason to end."""

    passing = True
    problem = "was cut off: it came without a finish reason"


class AnswerCorrupt(AnswerInvalid):
    """Raised for an answer that is no JSON as servers of this kind send it."""

    passing = True
    problem = "is corrupt: what the server sent is not JSON"


class AnswerEmpty(AnswerInvalid):
    """Raised for an answer without a choice, or with neither text nor tool calls."""

    problem = "is empty"


class AnswerTooLarge(AnswerInvalid):
    """Raised for an answer with more text than `max_bytes`."""

    problem = "has more text than max_bytes= allows"


class AnswerTooLong(AnswerInvalid):
    """Raised for an answer that ran into max_tokens."""

    problem = "ran into max_tokens= before it was complete"


class AnswerFiltered(AnswerInvalid):
    """Raised for an answer that the server's content filter stopped."""

    problem = "was stopped by the server's content filter"


class ToolsExceeded(ModelError):
    """Raised when a model calls more tools in one conversation than it may."""

    def __init__(self, agent: str, most: int) -> None:
        super().__init__(f"agent {agent}: its model called more than {most} tools for one answer: raise tool_calls=")


class ToolUnknown(ConvergeError, LookupError):
    """Raised when tools of a server are named and one of them is not there."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"the MCP server has no tool {name!r}: it has {', '.join(sorted(known)) or 'none'}")


class ToolWrites(ConvergeError):
    """Raised when a tool that writes is to be called inside a job."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"tool {name} writes, and inside a job nothing is written: state what should be done as a fact, and leave "
            "it to whoever acts on the outcome"
        )


class ToolServerFailed(ConvergeError):
    """Raised when an MCP server gives no answer; a call is made again when the agent is. name: None for its list."""

    def __init__(self, name: str | None, reason: str) -> None:
        what, then = ("the list of tools", "ask again") if name is None else (f"tool {name}", "resume the job")
        super().__init__(f"{what}: its MCP server did not answer ({reason}): see that it runs, then {then}")


class AnswerRefused(AnswerInvalid):
    """Raised when the model declines to answer."""

    def __init__(self, answer: "Answer") -> None:
        self.problem = f"is a refusal: {answer.refusal!r:.200}"
        super().__init__(answer)
