"""An outcome on stdout: the stop reason, the answer and the spend as text, or everything as JSON.

The answer is what the job was for: the live facts of the kinds that agents write and none of them reads.
"""

__all__ = ["hint_of", "outcome_data", "show_outcome", "spent"]

import shlex
from typing import Any

from rich.console import Console

from converge.cli.asked import asked_data, content_of, short, show_asked
from converge.cli.console import as_line, counted, one_line, write_line
from converge.cli.exit_codes import code_of_stop
from converge.cli.place import DEFAULT_STORE
from converge.engine import Engine
from converge.fact import Fact, Failure, Invalidation, id_of, kind_of
from converge.intent import Budget, Spend
from converge.kind import Kind
from converge.outcome import Outcome
from converge.proposal import SAID_ABOUT
from converge.stop import StopReason

_SHOWN = 20  # facts of the answer


def outcome_data(outcome: Outcome, engine: Engine, store: str) -> dict[str, Any]:
    """Return an outcome as JSON data, of this shape.

    {"job_id", "objective", "store": text, "exit_code", "cycles": int, "converged": bool,
    "stop": {"reason", "text": text, "detail": [text], "unread": [{"agent": text, "round": int}]},
    "spend": {"rounds", "facts", "activations", "calls", "tokens": int, "seconds", "money": float},
    "kinds": {kind: {"live", "dead", "disputed": int}}, "answer": [{"id", "kind": text, "fact": object}],
    "asked": [{"request", "role", "kind", "by": text, "confidence": float | null, "fact": object}],
    "missing": [agent], "warnings": [text], "digest", "live_digest", "proof_digest": text}
    """
    stop = outcome.stop
    return {
        "job_id": outcome.job_id,
        "objective": outcome.context.intent.objective,
        "store": store,
        "exit_code": int(code_of_stop(stop.reason)),
        "converged": outcome.converged,
        "stop": {
            "reason": stop.reason.value,
            "text": str(stop),
            "detail": list(stop.detail),
            "unread": [unread._asdict() for unread in stop.unread],
        },
        "cycles": outcome.cycles,
        "spend": outcome.spend._asdict(),
        "kinds": _counts(outcome, engine),
        "answer": [
            {"id": id_of(fact), "kind": kind_of(fact).label, "fact": content_of(fact)}
            for fact in _answer(outcome, engine)
        ],
        "asked": [asked_data(one) for one in outcome.asked],
        "missing": list(outcome.missing),
        "warnings": list(outcome.warnings),
        "digest": outcome.digest,
        "live_digest": outcome.live_digest,
        "proof_digest": outcome.proof_digest,
    }


def show_outcome(console: Console, outcome: Outcome, engine: Engine) -> None:
    """Print an outcome as text."""
    style = "bold green" if outcome.converged else "bold yellow"
    said = f"a decision is awaited on {counted(len(outcome.asked), 'request')}" if _waits(outcome) else outcome.stop
    write_line(console, (one_line(said), style))
    answer = _answer(outcome, engine)
    for fact in answer[:_SHOWN]:
        write_line(console, "  ", (kind_of(fact).label, "bold"), " ", as_line(content_of(fact)))
    if len(answer) > _SHOWN:
        write_line(console, f"  and {len(answer) - _SHOWN:,} more")
    for one in outcome.asked:
        show_asked(console, one)
    if outcome.missing:
        write_line(console, f"optional agents that failed: {', '.join(outcome.missing)}")
    write_line(console, (_summary(outcome, engine), "dim"))


def _waits(outcome: Outcome) -> bool:
    return outcome.stop.reason is StopReason.WAITING


def hint_of(outcome: Outcome, budget: Budget, target: str, store: str) -> str:
    """Return the command to type next."""
    place = [] if store == DEFAULT_STORE else ["--store", store]
    if outcome.stop.reason is StopReason.FIXED_POINT:
        return f"to see why: {shlex.join(['converge', 'why', outcome.job_id, *place])}"
    more = shlex.join(["converge", "resume", target, outcome.job_id, *place])
    match outcome.stop.reason:
        case StopReason.BUDGET:
            return f"to go on: {more} {_more_budget(budget, *outcome.stop.detail)}".rstrip()
        case StopReason.CANCELLED:
            return f"to go on: {more}"
        case StopReason.WAITING:
            said = [short(outcome.asked[0].id), "--approve", "--by", "NAME"]
            answer = shlex.join(["converge", "decide", outcome.job_id, *said, *place])
            return f"to decide: {answer}; then: {more}"
        case StopReason.AGENT_FAILED:
            return f"when the agent is mended: {more}"
        case _:
            return f"to go on with more facts: {more} --facts FILE"


def _more_budget(budget: Budget, unit: str, *whose: str) -> str:
    """Return the option that doubles a limit; an agent's own allowance is its author's affair."""
    limit = getattr(budget, unit)
    if limit is None or (whose and unit != "churn"):
        return ""
    return f"--budget {unit}={max(1, round(2 * limit))}"


def _answer(outcome: Outcome, engine: Engine) -> list[Fact]:
    read = {label for agent in engine.agents for label in agent.reader.reads or ()}
    kinds = {label: kind for label, kind in engine.kinds.items() if label not in read}
    written = {label for agent in engine.agents for label in agent.written}
    answer: list[Fact] = []
    for label in sorted(kinds.keys() & written - SAID_ABOUT):  # how an answer came about is no part of it
        answer += outcome.context.live(kinds[label].cls)
    return answer


def _counts(outcome: Outcome, engine: Engine) -> dict[str, dict[str, int]]:
    built_in = [kind_of(Invalidation), kind_of(Failure)]
    counts = {kind.label: _count(outcome, kind) for kind in [*engine.kinds.values(), *built_in]}
    return {label: count for label, count in sorted(counts.items()) if any(count.values())}


def _count(outcome: Outcome, kind: Kind) -> dict[str, int]:
    cls: type[Fact] = kind.cls
    view = outcome.context
    known, live, dead = len(view.all(cls)), len(view.live(cls)), len(view.dead(cls))
    return {"live": live, "dead": dead, "disputed": known - live - dead}


def _summary(outcome: Outcome, engine: Engine) -> str:
    counts = _counts(outcome, engine).values()
    labels = {label: sum(count[label] for count in counts) for label in ("live", "dead", "disputed")}
    known = ", ".join(f"{count:,} {label}" for label, count in labels.items() if count) or "none"
    return f"job {outcome.job_id}: facts {known}; {spent(outcome.spend)}"


def spent(spend: Spend) -> str:
    """Return a spend as text."""
    whole = ((spend.rounds, "round"), (spend.facts, "fact"), (spend.activations, "activation"))
    paid = ((spend.calls, "call"), (spend.tokens, "token")) if spend.calls else ()
    said = [counted(value, unit) for value, unit in (*whole, *paid)]
    money = [f"{spend.money:.4g} in money"] if spend.money else []
    return f"spent {', '.join([*said, *money])}, {spend.seconds:.3g} s"
