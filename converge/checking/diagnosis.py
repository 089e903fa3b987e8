"""Why a job came to something else when it was run again under its own schedule.

Views depend on no timing there. So the first activation that concludes something else had the same view as in the job,
and reads something besides: what that can be is looked for in what its function holds.
"""

__all__ = ["diagnosed", "outside", "why_broken"]

from converge.checking.finding import Case, Finding
from converge.checking.trial import Act
from converge.context import Context
from converge.errors import CaptureMissing
from converge.fact import id_of
from converge.support import OUTSIDE
from converge.view import View

_REPORT = "this is a defect of Converge itself: report it with the job"
Conclusions = dict[tuple[int, str], set[tuple[str, frozenset[str]]]]  # round and agent -> facts, and what they rest on


def diagnosed(case: Case) -> Finding:
    """Name what made the difference."""
    parted, broken = _parting(case), case.bad.broken
    if parted is None:
        return _unparted(case)
    if broken is not None and (broken.agent, broken.round) == parted:
        return why_broken(case, broken)
    agent, round = parted
    if not _is_same_view(case, agent, round):
        return case.found(f"is shown another view of round {round}", _REPORT, parted)
    if not any((act.agent, act.round) == parted for act in case.bad.acts):
        what = f"does not run on round {round}, which it read in the job"
        return case.found(what, "let its `accepts` look at nothing but the view", parted)
    return outside(case, parted, f"emits other facts from the same view of round {round}")


def _unparted(case: Case) -> Finding:
    if case.differs == "end":
        stop = case.bad.stop
        remedy = "let the invariants of its root intent look at nothing but the view"
        return case.found(f"it ends otherwise: {stop}", _REPORT if stop is not None and stop.unread else remedy)
    return case.found("every activation concluded the same from the same view, and yet something differs", _REPORT)


def _parting(case: Case) -> tuple[str, int] | None:
    """Return the agent and the round it read where the two first conclude something else, by round and name."""
    ours, theirs = _conclusions(case.known), _conclusions(case.bad.context)
    differing = {place for place in ours.keys() | theirs.keys() if ours.get(place) != theirs.get(place)}
    broken = case.bad.broken
    if broken is not None:  # who had not run yet when it was given up is not to blame
        differing &= {(act.round + 1, act.agent) for act in case.bad.acts}
        differing.add((broken.round + 1, broken.agent))
    if not differing:
        return None
    round, agent = min(differing)
    return agent, round - 1


def _conclusions(context: Context) -> Conclusions:
    found: Conclusions = {}
    evidence: dict[object, frozenset[str]] = {}  # what is shared stands for many facts
    for support in context.supports:
        source, shared = context.supports.sources[support.source], support.basis
        if source == OUTSIDE:
            continue
        if shared not in evidence:
            evidence[shared] = frozenset(id_of(context.facts[place]) for place in context.evidence_of(support))
        concluded = id_of(context.facts[support.fact]), evidence[shared]
        found.setdefault((support.round, source.agent), set()).add(concluded)
    return found


def _is_same_view(case: Case, agent: str, round: int) -> bool:
    reader = case.agents[agent].reader
    return View(case.known, round, reader).digest() == View(case.bad.context, round, reader).digest()


def outside(case: Case, act: tuple[str, int], what: str, read: str = "") -> Finding:
    """Say what an activation that did so read besides its view."""
    agent, _ = act
    if shared := case.holdings.shared_by(agent):
        held, others = shared
        who = f"agent {others[0]} holds too" if len(others) == 1 else f"agents {', '.join(others)} hold too"
        remedy = f"make it a fact that {others[0]} writes and {agent} reads, or record it with view.capture"
        return case.found(f"{what}: it reads {held} that {who}", remedy, act, read=read or held.name)
    if kept := case.holdings.kept_by(agent):
        remedy = "what it is to remember is a fact that it reads, or is recorded with view.capture"
        said = f"{what}: it keeps {kept}, from one activation to the next"
        return case.found(said, remedy, act, read=read or kept.name)
    if modules := case.holdings.chance_of(agent):
        remedy = "record what that returns with view.capture"
        return case.found(f"{what}: its code asks {', '.join(modules)}", remedy, act, read=read or modules[0])
    remedy = "make that a fact it reads, or record it with view.capture"
    return case.found(
        f"{what}: it reads something besides, such as a file, a service or a clock", remedy, act, read=read
    )


def why_broken(case: Case, act: Act) -> Finding:
    """Say why an activation failed where it had not, or asked what was never captured."""
    error, place = act.error, (act.agent, act.round)
    if isinstance(error, CaptureMissing):
        what = f"asks {error.name!r} what was never captured, from the same view of round {act.round}"
        return outside(case, place, what, read=f"capture {error.name!r}")
    if isinstance(error, TimeoutError):
        what = f"does not end when it runs alone on round {act.round}: it waits for something outside its view"
        remedy = "let it wait for its own calls only: what another agent concludes is a fact that it reads"
        return case.found(what, remedy, place)
    return outside(case, place, f"fails on round {act.round}, where it did not ({type(error).__name__}: {error})")
