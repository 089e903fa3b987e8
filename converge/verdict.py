"""Nothing is unread: is it the fixed point, or what stands against it? The reasons in their order of precedence."""

__all__ = ["verdict"]

from converge.context import Context
from converge.deciding import asked
from converge.fact import id_of
from converge.invariant import Invariants
from converge.stop import Stop, StopReason
from converge.support import OUTSIDE
from converge.trace import ActivationFailed, Trace
from converge.view import UNRESTRICTED, View


def verdict(context: Context, trace: Trace, failing: tuple[str, ...], invariants: Invariants) -> Stop:
    """Return why a job with nothing unread stops. `failing` names the required agents that failed."""
    view = View(context, context.highest, UNRESTRICTED)
    if failing:
        return Stop(StopReason.AGENT_FAILED, tuple(_failure(name, trace) for name in failing))
    if violations := invariants.violations(view):
        return Stop(StopReason.INVARIANT, tuple(map(str, violations)))
    if waiting := asked(view):
        return Stop(StopReason.WAITING, tuple(map(str, waiting)))
    if contested := _contested(context):
        return Stop(StopReason.CONTESTED, contested)
    if unaccepted := invariants.unaccepted(view):
        return Stop(StopReason.UNACCEPTED, tuple(map(str, unaccepted)))
    return Stop(StopReason.FIXED_POINT)


def _failure(name: str, trace: Trace) -> str:
    for event in reversed(trace):
        if isinstance(event, ActivationFailed) and event.agent == name:
            return f"{name} ({event.error}: {event.text})"
    return name


def _contested(context: Context) -> tuple[str, ...]:
    """Name each key of a contesting kind that has several live facts."""
    found = []
    for label, log in sorted(context.kinds.items()):
        for key in sorted(log.contested, key=repr):
            places = (context.position[id_of(fact)] for fact in log.keys[key])
            live = [place for place in places if context.is_live(place, context.highest)]
            if len(live) > 1:
                said = " against ".join(
                    _stated(context, place) for place in sorted(live, key=lambda p: _id(context, p))
                )
                found.append(f"{label} {key!r} has {len(live)} live facts: {said}")
    return tuple(found)


def _stated(context: Context, place: int) -> str:
    """Return a fact and who says so."""
    sources = {context.supports.sources[support.source] for support in context.supports_of(place)}
    authors = sorted("given" if source == OUTSIDE else f"by {source.agent}" for source in sources)
    return f"{context.facts[place]!r:.200} ({', '.join(dict.fromkeys(authors))})"


def _id(context: Context, place: int) -> str:
    return id_of(context.facts[place])
