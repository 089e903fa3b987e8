"""Why a job came to something else when its facts arrived otherwise.

Under the stream schedule views differ by design. What counts is the first activation that concludes what nobody else
did, or not what it did, and of what it asked the call whose answer could make it do so.
"""

__all__ = ["diagnosed"]

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from converge.agent import Agent
from converge.checking.diagnosis import outside, why_broken
from converge.checking.finding import Case, Finding, missing, shown, standing_otherwise
from converge.checking.trial import Act
from converge.checking.watched import Call
from converge.context import Context
from converge.effect import Emission
from converge.errors import CaptureMissing, KeyContested, UndeclaredRead


class _Apart(NamedTuple):
    """Where two runs part: the activation, its like in the other run, and what only one of them emitted, and where."""

    act: Act
    like: Act | None
    emission: Emission | None = None
    only_in: str = ""


class _Reason(NamedTuple):
    """What an agent does that makes arrival matter, and what to do about it."""

    what: str
    remedy: str


def diagnosed(case: Case) -> Finding:
    """Name what made the difference."""
    apart = next(_partings(case), None)
    if apart is None:
        what = "facts hold otherwise when they arrive in another order"
        return case.found(what, "run it under frontier, where arrival does not matter")
    act, place = apart.act, (apart.act.agent, apart.act.round)
    call = _blamed(apart)
    if call is None:
        if act.error is not None:
            return why_broken(case, act)
        return outside(case, place, "emits other facts from what its view shows alike")
    what, remedy = _reason(case.agents[act.agent], act, call)
    emission = apart.emission
    if emission is None:
        return case.found(what, remedy, place, read=str(call))
    fact = {"fact": emission.fact_id, "text": shown(emission.fact), "only_in": apart.only_in}
    return case.found(what, remedy, place, read=str(call), **fact)


# --- where they part --------------------------------------------------------------------------------------------------


def _partings(case: Case) -> Iterator[_Apart]:
    """Iterate over where the two part, what came first first."""
    known, other = case.known, case.bad.context
    for act in case.bad.acts:
        if act.error is not None:
            yield _Apart(act, _last(case.good, act.agent))
        for emission in act.emissions:
            if emission.fact_id not in known.position:
                yield _Apart(act, _like(case.good, act.agent, emission, known), emission, "schedule")
    for fact_id in missing(known, other):
        for act, emission in _authors(case.good, fact_id):
            like = _like(case.bad.acts, act.agent, emission, other)
            yield _Apart(like or act, act if like else None, emission, "job")
    for fact_id in standing_otherwise(known, other):
        authors = sorted(_authors(case.bad.acts, fact_id), key=lambda one: not case.agents[one[0].agent].replacing)
        for act, emission in authors:
            yield _Apart(act, _like(case.good, act.agent, emission, known), emission)


def _authors(acts: Sequence[Act], fact_id: str) -> Iterator[tuple[Act, Emission]]:
    return ((act, emission) for act in acts for emission in act.emissions if emission.fact_id == fact_id)


def _like(acts: Sequence[Act], agent: str, emission: Emission, context: Context) -> Act | None:
    """Return the first activation of an agent that could draw the same conclusion: all its evidence was there."""
    places = (context.position.get(cited) for cited in emission.evidence or ())
    since = max((context.rounds[place] for place in places if place is not None), default=0)
    return next((act for act in acts if act.agent == agent and act.round >= since), _last(acts, agent))


def _last(acts: Sequence[Act], agent: str) -> Act | None:
    return next((act for act in reversed(acts) if act.agent == agent), None)


# --- the call that did it ---------------------------------------------------------------------------------------------


def _blamed(apart: _Apart) -> Call | None:
    """Return the call that made the difference: one that was refused, else one that was answered otherwise.

    Of these, one about what the conclusion does not cite comes first, and `new`, which is per fact, last.
    """
    acts = [act for act in (apart.act, apart.like) if act is not None]
    answers: dict[tuple[str, str, str], list[set[int]]] = {}
    for number, act in enumerate(acts):
        for call in act.calls:
            answers.setdefault(call.question, [set() for _ in acts])[number].add(call.answer)
    evidence = (apart.emission.evidence if apart.emission is not None else None) or ()
    cited = {fact_id.rpartition(":")[0] for fact_id in evidence}

    def rank(call: Call) -> tuple[bool, ...]:
        return call.refused is None, call.name == "new", call.kind in cited, not all(answers[call.question])

    def is_suspect(call: Call) -> bool:
        first, *others = answers[call.question]
        return call.refused is not None or not others or first != others[0]

    return min((call for act in acts for call in act.calls if is_suspect(call)), key=rank, default=None)


def _reason(agent: Agent, act: Act, call: Call) -> _Reason:
    """Say what it is about a call that makes arrival matter."""
    if isinstance(act.error, CaptureMissing):
        what = f"asks {act.error.name!r} what was never captured: that depends on the answer of {call}"
        return _Reason(what, "ask about one item at a time, with the item as argument, or declare when='settled'")
    if call.refused is not None:
        goes_on = "catches that and goes on" if act.error is None else "and fails"
        return _Reason(f"calls {call}, is refused, {goes_on}", _cure(call))
    if act.error is not None:
        what = f"fails ({type(act.error).__name__}: {act.error}), depending on the answer of {call}"
        return _Reason(what, "let it take whatever its reads= may hold at any moment")
    if agent.replacing:
        what = f"reads {call.kind} with {call}, and concludes from what is known at each moment"
        return _Reason(what, "declare when='settled', or run it under frontier")
    if call.name == "new":
        what = f"reads {call.kind} with {call}; what it concludes depends on which of them arrive together"
        return _Reason(what, "let it conclude per fact, or declare when='settled'")
    what = f"reads {call.kind} with {call}; what it concludes depends on how much of it has arrived"
    return _Reason(what, f"declare reads=[Live({call.kind})] or when='settled', or let it conclude per fact")


def _cure(call: Call) -> str:
    if isinstance(call.refused, UndeclaredRead):
        return f"add {call.kind} to its reads="
    if isinstance(call.refused, KeyContested):
        return f"read them with view.all({call.kind}, key), or see view.conflicts({call.kind})"
    return f"declare reads=[Live({call.kind})] or when='settled'"
