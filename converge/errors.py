"""Every error Converge raises, divided by who must act; each builds its sentence from the data it is given.

`CallerError`: whoever called the library passed something it cannot use.
`AuthorError`: an agent, kind or invariant is written in a way its declaration does not allow.
`OperatorError`: the place where jobs are kept is missing, damaged, busy or foreign.
"""

__all__ = [
    "AgentInvalid",
    "AgentTimeout",
    "AuthorError",
    "BudgetInvalid",
    "BudgetSpent",
    "CallerError",
    "CaptureInvalid",
    "CaptureMissing",
    "ConvergeError",
    "CycleUnknown",
    "DecisionInvalid",
    "EngineBusy",
    "EngineElsewhere",
    "EngineInvalid",
    "EvidenceInvalid",
    "ExtraMissing",
    "FactFileUnreadable",
    "FactHolds",
    "FactInvalid",
    "FactLineInvalid",
    "FactNotLive",
    "FactTooLarge",
    "FactUnknown",
    "FactsMismatch",
    "ForeignEmission",
    "ForeignPremise",
    "FrameInvalid",
    "GateInvalid",
    "IntentInvalid",
    "IntentMismatch",
    "InvariantBroken",
    "InvariantInvalid",
    "InvariantUnknown",
    "JobAbandoned",
    "JobExists",
    "JobFileInvalid",
    "JobForeign",
    "JobLeased",
    "JobNotEntered",
    "JobUnknown",
    "JobUnsettled",
    "JobUpgraded",
    "JoinInvalid",
    "KeyContested",
    "KindInvalid",
    "KindUnknown",
    "LeaseLost",
    "LibraryMissing",
    "LoopRunning",
    "NonMonotoneRead",
    "NotSuggested",
    "OperatorError",
    "OpinionForeign",
    "PriceUnknown",
    "RequestStale",
    "RequestUnknown",
    "StoreConflict",
    "StoreForeign",
    "StoreTooNew",
    "StoreUnavailable",
    "StoredFactInvalid",
    "TargetInvalid",
    "TooManyEmissions",
    "UndeclaredRead",
    "UndeclaredWrite",
    "Ungated",
    "WiringInvalid",
]

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any


class ConvergeError(Exception):
    """The root of every error this library raises on purpose."""


class CallerError(ConvergeError):
    """Raised for what the caller can mend: arguments, input files, names."""


class AuthorError(ConvergeError):
    """Raised for what the author of an agent, a kind or an invariant can mend."""


class OperatorError(ConvergeError):
    """Raised for what whoever runs the store can mend."""


# --- the caller ---------------------------------------------------------------------------------------------------


class FactInvalid(CallerError, ValueError):
    """Raised when content does not fit its kind."""

    def __init__(self, kind: str, problems: Iterable[tuple[str, str]]) -> None:
        self.kind, self.problems = kind, tuple(problems)
        listed = "; ".join(f"{field}: {text}" if field else text for field, text in self.problems)
        super().__init__(f"a fact of kind {kind} is not valid: {listed}")


class FactTooLarge(CallerError, ValueError):
    """Raised when one fact's canonical JSON passes the limit."""

    def __init__(self, kind: str, size: int, limit: int) -> None:
        super().__init__(
            f"a fact of kind {kind} has {size:,} bytes of JSON and {limit:,} is the limit: "
            "keep the bulk elsewhere and state its address and digest"
        )


class FactFileUnreadable(CallerError, OSError):
    """Raised when a facts file cannot be opened."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"facts file {path} cannot be read: {reason}")


class FactLineInvalid(CallerError, ValueError):
    """Raised when a line of a facts file cannot be read."""

    def __init__(self, path: str, line: int, reason: str) -> None:
        self.path, self.line, self.reason = path, line, reason
        super().__init__(f"{path}, line {line}: {reason}")


class FrameInvalid(CallerError, ValueError):
    """Raised when facts of a kind and a table do not fit each other; `row` counts from 0."""

    def __init__(self, kind: str, reason: str, row: int | None = None) -> None:
        self.kind, self.reason, self.row = kind, reason, row
        where = "" if row is None else f", row {row}"
        super().__init__(f"a frame of kind {kind}{where}: {reason}")


class FactNotLive(CallerError, LookupError):
    """Raised when a proof is asked of a fact that does not hold."""

    def __init__(self, fact_id: str, *, known: bool) -> None:
        state = "is known and not live" if known else "is not in the context"
        super().__init__(f"{fact_id} {state}, so there is no proof of it")


class FactHolds(CallerError, ValueError):
    """Raised when it is asked why a fact does not hold, and it does."""

    def __init__(self, fact_id: str) -> None:
        self.fact_id = fact_id
        super().__init__(f"{fact_id} holds: ask why it does, as in `outcome.why(fact)` or `converge why`")


class FactUnknown(CallerError, LookupError):
    """Raised for words that name no fact of a job, or several."""

    def __init__(self, words: str, reason: str) -> None:
        self.words, self.reason = words, reason
        super().__init__(f"{words!r}: {reason}")


class ForeignPremise(CallerError, TypeError):
    """Raised when something given as a fact is not one."""

    def __init__(self, value: object) -> None:
        super().__init__(f"facts= takes facts, not a {type(value).__name__}: {value!r:.80}")


class KindUnknown(CallerError, LookupError):
    """Raised for a fact whose kind no agent of the engine declares."""

    def __init__(self, kind: str, known: Iterable[str]) -> None:
        self.kind = kind
        known = tuple(known)
        super().__init__(
            f"the fact is of another class named {kind} than the one the agents declare: import the same class "
            "everywhere, and in a notebook run the cells of the agents again"
            if kind in known
            else f"kind {kind} is read or written by no agent of this engine{_perhaps(kind, known)}; "
            "declare it with Engine(inputs=[...]) if it is meant to be kept unread"
        )


class BudgetInvalid(CallerError, ValueError):
    """Raised for a budget that is unknown or not a number of that unit."""

    def __init__(self, name: str, value: object, known: Iterable[str]) -> None:
        known = tuple(known)
        if name in known:
            sort = "a number" if name in ("seconds", "money") else "a whole number"
            text = f"budget {name}={value!r} is not {sort} of 0 or more"
        else:
            text = f"there is no budget {name!r}{_perhaps(name, known)}"
        super().__init__(f"{text}; budgets are {', '.join(known)}")


class IntentInvalid(CallerError, ValueError):
    """Raised when a root intent cannot be read."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"the root intent in {source} cannot be used: {reason}")


class IntentMismatch(CallerError):
    """Raised when a job is resumed with another root intent than it was started with."""

    def __init__(self, job_id: str, stored: str, given: str) -> None:
        super().__init__(
            f"job {job_id!r} was started with the intent {stored!r}, not {given!r}: "
            "resume it without an intent, or run a new job"
        )


class FactsMismatch(CallerError):
    """Raised where a job is said to have begun with other facts than it did."""

    def __init__(self, job_id: str, fact: object, *, given: bool) -> None:
        self.job_id = job_id
        differs = "without" if given else "with"
        super().__init__(
            f"job {job_id!r} was begun {differs} {fact!r:.200}: choose another id for other facts, "
            "or give them to this job with engine.give"
        )


class InvariantUnknown(CallerError, LookupError):
    """Raised when a root intent names an invariant the engine was not given."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = tuple(known)
        super().__init__(
            f"the root intent names the invariant {name!r}, which this engine does not have"
            f"{_perhaps(name, known)}; pass it with Engine(invariants=[...])"
        )


class JobUnknown(CallerError, LookupError):
    """Raised for a job id that is not in the store."""

    def __init__(self, job_id: str, store: str, known: Iterable[str] = ()) -> None:
        self.job_id = job_id
        super().__init__(f"there is no job {job_id!r} in {store}{_perhaps(job_id, known)}")


class JobAbandoned(CallerError):
    """Raised when an outcome is asked of a job whose own task was cancelled."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id!r} was cancelled from outside and has no outcome: resume it to go on")


class JobExists(CallerError):
    """Raised when a job id is taken."""

    def __init__(self, job_id: str, store: str) -> None:
        self.job_id = job_id
        super().__init__(f"job {job_id!r} is in {store} already: resume it, or choose another id")


class CycleUnknown(CallerError, LookupError):
    """Raised for a cycle that a stored job does not have."""

    def __init__(self, job_id: str, cycle: int, last: int) -> None:
        super().__init__(f"job {job_id!r} has no cycle {cycle}: its cycles are 1 to {last}")


class JobFileInvalid(CallerError, ValueError):
    """Raised when a file does not hold a job as it was exported, whole and unchanged."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} cannot be imported: {reason}")


class JobUnsettled(CallerError):
    """Raised where a job that has not come to rest is to be verified."""

    def __init__(self, job_id: str, stop: str) -> None:
        super().__init__(f"job {job_id!r} has not come to rest ({stop}): resume it first, and verify it then")


class JobForeign(CallerError):
    """Raised where a job is to be verified with other agents than those that ran it."""

    def __init__(self, job_id: str, agent: str, *, here: bool) -> None:
        super().__init__(
            f"agent {agent} has not run in job {job_id!r} yet: resume it first, and verify it then"
            if here
            else f"agent {agent}, which ran job {job_id!r}, is not in this engine as it was then: "
            "verify the job with the agents that ran it"
        )


class JobUpgraded(CallerError):
    """Raised where a job is to be verified whose facts were brought forward from earlier versions of their kinds."""

    def __init__(self) -> None:
        super().__init__(
            "the job's facts were brought forward from earlier versions of their kinds, so that what it was given and "
            "when is no longer told apart: restart it, and verify it then"
        )


class RequestUnknown(CallerError, LookupError):
    """Raised for a decision on what a job has not asked."""

    def __init__(self, job_id: str, request: str, asked: Iterable[str]) -> None:
        self.job_id, self.request, self.asked = job_id, request, tuple(asked)
        known = f"it asks {', '.join(self.asked)}" if self.asked else "it asks nothing"
        super().__init__(f"job {job_id!r} has no request {request!r}{_perhaps(request, self.asked) or f': {known}'}")


class RequestStale(CallerError):
    """Raised for a decision on a request that is not open any more; `reason` says why."""

    def __init__(self, job_id: str, request: str, reason: str) -> None:
        self.job_id, self.request, self.reason = job_id, request, reason
        super().__init__(f"request {request} of job {job_id!r} is not open: {reason}")


class DecisionInvalid(CallerError, ValueError):
    """Raised for a decision that says nothing that can be followed."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the decision cannot be used: {reason}")


class PriceUnknown(CallerError, LookupError):
    """Raised where money is limited and nobody has said what a model costs."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"the budget limits money and the price of {what} is not known: "
            "name it with Model(price=...), or leave money out of the budget"
        )


class TargetInvalid(CallerError):
    """Raised when `package.module:name` does not lead to an engine."""

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(f"target {target!r}: {reason}")


class EngineBusy(CallerError):
    """Raised when a job that is still running in this engine is resumed."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id!r} is running in this engine: await its outcome before resuming it")


class LoopRunning(CallerError, RuntimeError):
    """Raised when the synchronous `run` is called where an event loop runs already."""

    def __init__(self) -> None:
        super().__init__("converge.run() starts an event loop and one is running here: await engine.run(...) instead")


class EngineInvalid(CallerError, TypeError):
    """Raised when an engine or a job is given something of the wrong sort."""

    def __init__(self, option: str, wanted: str, value: object) -> None:
        super().__init__(f"{option} takes {wanted}, not {value!r:.80}")


class JobNotEntered(CallerError, RuntimeError):
    """Raised when a job is used outside of its `async with`, or entered a second time."""

    def __init__(self, job_id: str, *, twice: bool = False) -> None:
        problem = "has been entered before: start another one" if twice else "is not running yet"
        super().__init__(f"job {job_id!r} {problem}; use it as in `async with engine.start(...) as job:`")


class LibraryMissing(CallerError, ImportError):
    """Raised where an optional library is needed that is not installed."""

    def __init__(self, what: str, library: str) -> None:
        super().__init__(f"{what} needs {library}, which is not installed: pip install {library}", name=library)


class EngineElsewhere(CallerError, RuntimeError):
    """Raised when an engine is used from a second event loop while it is at work in a first one."""

    def __init__(self) -> None:
        super().__init__("this engine is at work in another event loop: build one engine for each thread")


# --- no more to spend ---------------------------------------------------------------------------------------------


class BudgetSpent(ConvergeError):
    """Raised within an agent whose call finds no room in a budget; its activation stays unread.

    unit: calls, tokens or money; agent: whose own allowance it is, or None where it is the job's budget.
    """

    def __init__(self, unit: str, agent: str | None = None) -> None:
        self.unit, self.agent = unit, agent
        whose = f"agent {agent}" if agent else "the job"
        super().__init__(f"{whose} has no {unit} left to make this call")

    @property
    def detail(self) -> tuple[str, ...]:
        """What a stop says of it: the unit, and whose."""
        return (self.unit, f"of agent {self.agent}") if self.agent else (self.unit,)


# --- the author of an agent, a kind or an invariant ---------------------------------------------------------------


class KindInvalid(AuthorError, TypeError):
    """Raised when a Fact class cannot be a kind."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"kind {kind}: {reason}")


class AgentInvalid(AuthorError, TypeError):
    """Raised when something given as an agent cannot be one, or its declaration says nothing sensible."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"agent {name}: {reason}")


class GateInvalid(AuthorError, TypeError):
    """Raised for a step that a gate cannot have."""


class Ungated(AuthorError):
    """Raised inside an agent that proposes a fact, and has no gate to judge it."""

    def __init__(self, agent: str, kind: str) -> None:
        super().__init__(
            f"agent {agent} proposes a {kind} and has no gate: "
            "say who is to judge it, as in @agent(gate=human()), or emit the fact itself"
        )


class NotSuggested(AuthorError, TypeError):
    """Raised inside an agent with a gate that emits what cannot be judged."""

    def __init__(self, agent: str, what: str) -> None:
        super().__init__(
            f"agent {agent} has a gate and emits {what}: it suggests facts, and its gate makes proposals of them; "
            "let an agent without a gate revise or invalidate because of what passed"
        )


class WiringInvalid(AuthorError, ValueError):
    """Raised when agents that are fine alone do not fit together in one engine."""


class UndeclaredRead(AuthorError):
    """Raised inside an agent that reads a kind it does not declare."""

    def __init__(self, agent: str, kind: str) -> None:
        super().__init__(f"agent {agent} reads {kind} without declaring it: add {kind} to its reads=")


class NonMonotoneRead(AuthorError):
    """Raised inside an agent that asks what is live, dead, absent, counted or best without declaring it."""

    def __init__(self, agent: str, call: str, kind: str) -> None:
        super().__init__(
            f"agent {agent} calls view.{call}({kind}), whose answer can change as facts are added: "
            f"declare reads=[Live({kind})] or when='settled'"
        )


class KeyContested(AuthorError, LookupError):
    """Raised by `view.get` when several facts share the key."""

    def __init__(self, agent: str, kind: str, key: object, count: int) -> None:
        super().__init__(
            f"agent {agent} asks for the one {kind} of key {key!r} and there are {count}: "
            f"read them with view.all({kind}, {key!r}), or see view.conflicts({kind})"
        )


class UndeclaredWrite(AuthorError):
    """Raised when an agent emits a kind, or invalidates one, that it does not declare."""

    def __init__(self, agent: str, kind: str, *, invalidates: bool = False, namesake: bool = False) -> None:
        verb, option = ("invalidates", "invalidates=") if invalidates else ("emits", "writes=")
        super().__init__(
            f"agent {agent} emits a fact of another class named {kind} than the one it declares: import the same class"
            if namesake
            else f"agent {agent} {verb} {kind} without declaring it: add {kind} to its {option}"
        )


class ForeignEmission(AuthorError, TypeError):
    """Raised when an agent emits something that is neither a fact nor a fact with its evidence."""

    def __init__(self, agent: str, value: object) -> None:
        super().__init__(
            f"agent {agent} emitted a value of type {type(value).__name__}: an agent emits facts, fact.because(...), "
            f"or nothing{' (is an await missing?)' if hasattr(value, '__await__') else ''}"
        )


class EvidenceInvalid(AuthorError, ValueError):
    """Raised when an emission cites what it may not cite, or cites nothing where it must."""

    def __init__(self, agent: str, fact_id: str, reason: str) -> None:
        super().__init__(f"agent {agent}, emission {fact_id}: {reason}")


class OpinionForeign(AuthorError, ValueError):
    """Raised when an agent states the opinion of another."""

    def __init__(self, agent: str, by: str) -> None:
        super().__init__(f"agent {agent} states an opinion by {by!r}: it speaks for itself only, as in by={agent!r}")


class TooManyEmissions(AuthorError):
    """Raised when one activation passes the cap on emissions."""

    def __init__(self, agent: str, limit: int) -> None:
        super().__init__(
            f"agent {agent} emitted more than {limit:,} facts in one activation: "
            "let it end, or raise Engine(max_emissions=...)"
        )


class AgentTimeout(AuthorError, TimeoutError):
    """Raised when an activation takes longer than its agent's timeout."""

    def __init__(self, agent: str, seconds: float, *, in_place: bool = False) -> None:
        hint = ", and runs in place, where nothing can stop it: make it async, or declare it threaded=True"
        super().__init__(f"agent {agent} did not finish within its timeout of {seconds:g} s{hint if in_place else ''}")


class JoinInvalid(AuthorError, TypeError):
    """Raised for a join that does not stay within its kind and key, or breaks a law of joins."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind}.join: {reason}")


class CaptureInvalid(AuthorError, TypeError):
    """Raised for a call that cannot be captured."""

    def __init__(self, agent: str, name: str, reason: str) -> None:
        super().__init__(f"agent {agent}, capture {name!r}: {reason}")


class CaptureMissing(AuthorError, LookupError):
    """Raised where only captured calls may be answered and this one was never made."""

    def __init__(self, agent: str, name: str) -> None:
        self.agent, self.name = agent, name
        super().__init__(
            f"agent {agent}, capture {name!r}: this call was never captured: the agent asks something else"
        )


class InvariantInvalid(AuthorError, TypeError):
    """Raised when a function cannot be the invariant it is used as."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"invariant {name}: {reason}")


class InvariantBroken(AuthorError):
    """Raised for an effect that the root intent's scope forbids."""

    def __init__(self, name: str, agent: str, text: str) -> None:
        super().__init__(f"invariant {name} forbids what agent {agent} emitted: {text}")


# --- whoever runs the store ---------------------------------------------------------------------------------------


class StoreUnavailable(OperatorError):
    """Raised when the store cannot be opened, read or written."""

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(f"{store} cannot be used: {reason}")


class StoreForeign(OperatorError):
    """Raised when the file is not one that Converge wrote."""

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(f"{store} is not a Converge store ({reason}): choose another path")


class StoreTooNew(OperatorError):
    """Raised when the store was written by a newer version."""

    def __init__(self, store: str, found: int, known: int) -> None:
        super().__init__(
            f"{store} has schema {found} and this version of Converge knows up to {known}: upgrade converge-runtime"
        )


class StoreConflict(OperatorError):
    """Raised when a row is not the next one of its job; nothing of the refused commit is kept."""

    def __init__(self, job_id: str, number: int) -> None:
        super().__init__(
            f"row {number} is not the next row of job {job_id!r}: somebody else has written to it or taken rows away; "
            "audit the job, then resume it to go on from what is there"
        )


class JobLeased(OperatorError):
    """Raised when a job is run by another process, which has not let go of it and is not known to have ended."""

    def __init__(self, job_id: str, holder: Any, expires: float) -> None:
        self.job_id, self.holder, self.expires = job_id, holder, expires
        super().__init__(
            f"job {job_id!r} is run by process {holder.process} on {holder.host}, which holds it until "
            f"{_clock(expires)}: wait for that process or end it; meanwhile the job can be given facts, with "
            "engine.give(...) or `converge give`"
        )


class LeaseLost(OperatorError):
    """Raised when a job was taken over by another process; nothing of the refused commit is kept."""

    def __init__(self, job_id: str, epoch: int) -> None:
        super().__init__(
            f"job {job_id!r} was taken over by another process while this one did not answer, so its lease (epoch "
            f"{epoch}) no longer lets it write: what it had not committed is lost, and the job goes on elsewhere"
        )


class ExtraMissing(OperatorError, ModuleNotFoundError):
    """Raised when something is used that needs an extra of the distribution which is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra {extra}: pip install 'converge-runtime[{extra}]'")


class StoredFactInvalid(OperatorError):
    """Raised when a stored fact's kind is unknown to the engine or no longer fits; the stored row stays as it is."""

    def __init__(self, job_id: str, fact_id: str, reason: str) -> None:
        super().__init__(f"job {job_id!r} holds {fact_id}, which cannot be read: {reason}")


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _perhaps(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(near)}?)" if near else ""
