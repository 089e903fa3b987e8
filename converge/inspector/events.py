"""Events of a trace as one line each, and as they are sent to a page that follows a job."""

__all__ = ["as_data", "said", "time_of"]

from typing import Any

from converge.explain.outline import clipped, one_line
from converge.inspector.words import counted, duration
from converge.trace import (
    Activated,
    ActivationFailed,
    Captured,
    Event,
    FactsArrived,
    JobResumed,
    JobStarted,
    JobStopped,
    RoundMerged,
    RoundStarted,
    Warned,
)

_LONG = 300


def said(event: Event) -> str:
    """Return what happened, in one line."""
    match event:
        case JobStarted(facts=facts):
            text = f"the job began with {counted(facts, 'given fact')}"
        case JobResumed(facts=facts):
            text = f"the job went on, with {counted(facts, 'new fact')} given"
        case FactsArrived(facts=facts):
            text = f"a letter brought {counted(facts, 'fact')}"
        case RoundStarted(round=round, agents=agents):
            text = f"round {round}: {counted(agents, 'agent')} began to read"
        case Activated(agent=agent, facts=facts, seconds=seconds):
            text = f"{agent} stated {counted(facts, 'fact')} in {duration(seconds)}"
        case ActivationFailed(agent=agent, error=error, text=why):
            text = f"{agent} failed: {error}: {why}"
        case Captured(agent=agent, name=name, note=note):
            model = (note or {}).get("model")
            text = f"{agent} was answered by {model or name}"
        case RoundMerged(round=round, facts=facts, supports=supports):
            more = f"{counted(facts, 'fact')} and {counted(supports, 'derivation')}"
            text = f"round {round} grew by {more}" if facts or supports else f"round {round} added nothing new"
        case Warned(agent=agent, text=why):
            text = f"warning: {f'agent {agent} ' if agent else ''}{why}"
        case JobStopped(reason=reason, text=why):
            text = f"stopped ({reason.replace('_', ' ')}): {why}"
        case _:
            text = type(event).__name__
    return clipped(one_line(text), _LONG)


def time_of(event: Event) -> float | None:
    """Return when it was, in seconds since the epoch, where the event says so."""
    return getattr(event, "at", None)


def as_data(event: Event) -> dict[str, Any]:
    """Return what a page that follows a job is told.

    {"type", "said": text, "at": float | null, "round": int | null}
    """
    round = getattr(event, "round", None)
    return {"type": type(event).__name__, "said": said(event), "at": time_of(event), "round": round}
