"""The certificate: whether a fixed point can be relied on, found by asking every agent once more and no model at all.

1. Nothing is unread.
2. An agent that has asked no model and does not replace its conclusions is run on everything, as if it had read
   nothing: it must add no fact and change no label.
3. The others are run on the last view they completed on: they must find every call captured and conclude the same.
Each is run twice: one that emits other facts on the same view has no fixed point.
"""

__all__ = ["Certificate", "Problem", "certify"]

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

from converge.agent import Agent
from converge.checking.history import AT_REST
from converge.checking.performing import Bench, Perform, Recorded, performing
from converge.command import Activation, Done
from converge.context import Context
from converge.effect import Effect
from converge.errors import CaptureMissing
from converge.fact import Fact, id_of, kind_of
from converge.merge import merge
from converge.outcome import Outcome
from converge.ports import StoredJob
from converge.restore import restore
from converge.snapshot import Snapshot, Watermark
from converge.stop import StopReason
from converge.support import Support
from converge.trace import Activated
from converge.view import View


class Problem(NamedTuple):
    """What stands against a fixed point, and what to do about it. `agent` is empty where it is the job as a whole."""

    agent: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{f'agent {self.agent} ' if self.agent else ''}{self.what}: {self.remedy}"


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Whether an outcome is a fixed point that stands; true if it is.

    `asked` counts the agents that were run once more; `left_out` names optional ones whose last activation failed.
    """

    holds: bool
    problems: tuple[Problem, ...]
    asked: int
    left_out: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        but = f" (left out, as they failed: {', '.join(self.left_out)})" if self.left_out else ""
        agents = f"{self.asked} agent{'' if self.asked == 1 else 's'}"
        if self.holds:
            return f"the fixed point holds: {agents} asked again, and nothing is added{but}"
        return "\n".join([f"no fixed point to rely on: {agents} asked again{but}", *map("  {}".format, self.problems)])


async def certify(bench: Bench, stored: StoredJob, outcome: Outcome) -> Certificate:
    """Ask every agent once more. `stored` is the job as it was when the outcome was returned."""
    snapshot, copy = restore(stored, bench.wiring.kinds), restore(stored, bench.wiring.kinds)
    captures = Recorded(snapshot.captures)
    async with performing(bench, snapshot.context.intent, captures) as perform:
        examiner = _Examiner(snapshot, copy.context, captures, perform, at_rest=_is_at_rest(outcome))
        for number, agent in enumerate(bench.wiring.agents):
            await examiner.examine(number, agent)
    problems = (*_unfinished(outcome), *examiner.problems)
    return Certificate(not problems, problems, examiner.asked, tuple(examiner.left_out))


def _is_at_rest(outcome: Outcome) -> bool:
    return outcome.stop.reason in AT_REST and not outcome.stop.unread


def _unfinished(outcome: Outcome) -> Iterator[Problem]:
    stop = outcome.stop
    for name, round in stop.unread:
        yield Problem(name, f"has yet to read round {round}", "resume the job")
    if stop.reason is StopReason.AGENT_FAILED:
        yield Problem("", str(stop), "mend the agent and resume the job")
    elif stop.reason not in AT_REST:
        yield Problem("", str(stop), "resume the job, with more budget where that is what it lacked")


class _Asked(NamedTuple):
    """What an agent is asked once more: on which view, into which round it wrote, and what it had concluded there."""

    view: View
    wrote: int
    concluded: frozenset[str]


class _Examiner:
    """Runs agents once more on the end of a job and collects what is wrong. `trial` is a copy to merge into."""

    def __init__(self, end: Snapshot, trial: Context, captures: Recorded, perform: Perform, *, at_rest: bool) -> None:
        self._end, self._trial, self._captures, self._perform = end, trial, captures, perform
        self._at_rest = at_rest
        self._labels: list[int] | None = None
        self.problems: list[Problem] = []
        self.left_out: list[str] = []
        self.asked = 0

    async def examine(self, number: int, agent: Agent) -> None:
        """Ask one agent."""
        watermark = self._end.watermarks.get(agent.name)
        if watermark is None or watermark.source != agent.source:
            self._blame(agent, "has not run in this job", "resume the job with it")
        elif watermark.failed:
            if not agent.required:
                self.left_out.append(agent.name)
        elif (question := self._question(agent, watermark)) is not None:
            self.asked += 1
            first, second = [await self._run(number, agent, question.view) for _ in range(2)]
            self._judge(agent, question, first, second)

    async def _run(self, number: int, agent: Agent, view: View) -> Done:
        return await self._perform(Activation(number, agent, view.fresh()))

    # --- which view ---------------------------------------------------------------------------------------------

    def _question(self, agent: Agent, watermark: Watermark) -> _Asked | None:
        context = self._end.context
        if not agent.replacing and not self._end.captures.has_asked(agent.name):
            view = View(context, context.highest, agent.reader, captures=self._captures)
            return _Asked(view, context.highest + 1, frozenset()) if _accepts(agent, view) else None
        read = self._read(agent, watermark)
        if not read:
            return None  # it never had any use for what it was shown
        before = read[-2] if len(read) > 1 else -1
        view = View(context, read[-1], agent.reader, before, captures=self._captures)
        wrote = watermark.wrote if read[-1] == watermark.ran else read[-1] + 1
        return _Asked(view, wrote, self._concluded(agent, wrote))

    def _read(self, agent: Agent, watermark: Watermark) -> list[int]:
        """Return the rounds that an agent read in completed activations, in order, from its version's last spell on.

        One that was given something again is left out at the end: what it was given then is not known any more.
        """
        trace = self._end.trace
        read = [event.round for event in trace if isinstance(event, Activated) and event.agent == agent.name]
        supports = self._end.context.supports
        if supports.read_before(Support(0, supports.number(agent.source), watermark.wrote, ())) < 0:
            read = read[-1:] if self._has_versions(agent) else read
        if read and not agent.replacing and watermark.mended == read[-1]:
            read.pop()
        return read

    def _has_versions(self, agent: Agent) -> bool:
        return len({source for source in self._end.context.supports.sources if source.agent == agent.name}) > 1

    def _concluded(self, agent: Agent, wrote: int) -> frozenset[str]:
        context = self._end.context
        number = context.supports.number(agent.source)
        mine = (support for support in context.supports if (support.source, support.round) == (number, wrote))
        return frozenset(id_of(context.facts[support.fact]) for support in mine)

    # --- what is wrong ------------------------------------------------------------------------------------------

    def _judge(self, agent: Agent, asked: _Asked, first: Done, second: Done) -> None:
        for done in (first, second):
            if done.effect is None:
                self._blame_error(agent, asked, done.error)
                return
        assert first.effect is not None
        assert second.effect is not None
        one, other = _ids(first.effect), _ids(second.effect)
        if one != other:
            shown = _shown(first.effect if one - other else second.effect, (one ^ other))
            self._blame(
                agent,
                f"is unstable, it mints new ids from the same view: {shown} comes up in one run and not in the next",
                "take clock, chance and counters out of what it emits, or record them with view.capture",
            )
        elif self._at_rest:
            self._judge_effect(agent, asked, first.effect)

    def _judge_effect(self, agent: Agent, asked: _Asked, effect: Effect) -> None:
        ids = _ids(effect)
        where = f"the view of round {asked.view.round}"
        if new := ids - self._end.context.position.keys():
            self._blame(
                agent,
                f"would add {_shown(effect, new)} on {where}",
                "let it conclude per fact, or declare when='settled', so that it does not matter what comes together",
            )
        elif missing := asked.concluded - ids:
            self._blame(
                agent,
                f"does not conclude {min(missing)} any more on {where}",
                "let it be a function of its view: it reads or remembers something else",
            )
        elif self._changes_labels(effect, asked.wrote):
            self._blame(
                agent,
                f"would change which facts hold, run on {where}",
                "name the evidence of each conclusion with because(...)",
            )

    def _changes_labels(self, effect: Effect, wrote: int) -> bool:
        before = self._labels if self._labels is not None else _labels(self._trial)
        grown = merge(self._trial, [(effect, wrote)])
        self._labels = _labels(self._trial) if grown else before
        return self._labels != before

    def _blame_error(self, agent: Agent, asked: _Asked, error: BaseException | None) -> None:
        if isinstance(error, CaptureMissing):
            self._blame(
                agent,
                f"asks {error.name!r} what was never captured, on the view of round {asked.view.round}",
                "let what it asks depend on its view alone",
            )
        else:
            self._blame(
                agent,
                f"fails with {type(error).__name__} on the view of round {asked.view.round} ({error})",
                "let it take every view that its reads= allow",
            )

    def _blame(self, agent: Agent, what: str, remedy: str) -> None:
        self.problems.append(Problem(agent.name, what, remedy))


def _accepts(agent: Agent, view: View) -> bool:
    try:
        return agent.accepts is None or agent.accepts(view.fresh())
    except Exception:
        return True  # running it will say what is wrong


def _ids(effect: Effect) -> frozenset[str]:
    return frozenset(emission.fact_id for emission in effect.emissions)


def _shown(effect: Effect, ids: frozenset[str]) -> str:
    facts: list[Fact] = [emission.fact for emission in effect.emissions if emission.fact_id in ids]
    return f"{facts[0]!r:.120}" if facts else min(ids)


def _labels(context: Context) -> list[int]:
    facts = enumerate(context.facts)
    return [context.label(place, context.highest) for place, fact in facts if kind_of(fact).digested]
