"""The machine that decides: who runs next and on what round, whether this is the fixed point, and why to stop.

1. It is told what happened and answers with commands; it never waits, reads no clock and does no I/O.
2. In lockstep a round is a barrier: everyone with something unread up to the lowest unread round reads exactly that
   round, and what they emit is merged together, in name order, into the next one.
3. Nothing open, nothing unread: that is the only test for a fixed point.
"""

__all__ = ["Activate", "Activation", "Commit", "Done", "Lockstep"]

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from posixpath import basename
from traceback import walk_tb
from typing import NamedTuple

from pydantic import ValidationError

from converge.agent import Agent
from converge.effect import Effect
from converge.errors import FactInvalid, ForeignPremise
from converge.fact import Fact, Failure, kind_of
from converge.invariant import Invariants
from converge.kind import problems_of
from converge.merge import Growth, fresh, merge, premises
from converge.progress import Eligible, Progress
from converge.snapshot import Cycle, Snapshot
from converge.stop import Stop, StopReason, Unread
from converge.trace import (
    Activated,
    ActivationFailed,
    JobResumed,
    JobStarted,
    JobStopped,
    RoundMerged,
    RoundStarted,
    Warned,
)
from converge.verdict import verdict
from converge.view import UNRESTRICTED, View
from converge.wiring import Wiring


class Activation(NamedTuple):
    """One run of an agent on one view. `number` is the agent's place in the wiring.

    `error` is what its `accepts` raised: such an activation ends as failed without running.
    """

    number: int
    agent: Agent
    view: View
    error: Exception | None = None


class Done(NamedTuple):
    """The one envelope an activation sends: its effect, or the error that left it without one."""

    activation: Activation
    effect: Effect | None
    error: BaseException | None = None
    seconds: float = 0.0
    attempts: int = 1


class Activate(NamedTuple):
    """Command: run these. The machine waits until each has been received as done."""

    activations: tuple[Activation, ...]


class Commit(NamedTuple):
    """Command: make this cycle durable before anything else is asked."""

    cycle: Cycle


Command = Activate | Commit | Stop
_TEXT_LIMIT = 4_000  # characters of an error kept in the trace


class Lockstep:
    """The lockstep schedule over one job's context."""

    def __init__(self, wiring: Wiring, invariants: Invariants, job: Snapshot) -> None:
        self.wiring, self.invariants, self.job = wiring, invariants, job
        self.context, self.trace = job.context, job.trace
        self.spend, self.budget = job.spend, job.budget
        self.context.intent = dataclasses.replace(self.context.intent, budget=job.budget)  # as agents are to see it
        self.first_event = len(job.trace)
        self.stop: Stop | None = None
        self.errors: dict[str, BaseException] = {}  # of this run, by agent, as they were raised
        self._progress = Progress(wiring, self.context, job.watermarks)
        self._open: dict[int, Activation] = {}
        self._landed: dict[int, Done] = {}
        self._refusals: dict[int, Exception] = {}  # what an agent's `accepts` raised
        self._reading, self._whole = 0, False
        self._exhausted: str | None = None
        self._first: Commit | None = None
        self._warned = {event.agent or event.text for event in self.trace if isinstance(event, Warned)}
        self._commits = job.cycles
        self._committed = self._lengths() if job.cycles else (1, 1, 0)  # the intent is in the job's header

    # --- what the shell tells the machine -----------------------------------------------------------------------

    def start(self, facts: Iterable[Fact], now: float) -> None:
        """Begin from the root intent and some facts."""
        growth = premises(self.context, self._checked(facts), 0)
        self.trace.record(JobStarted, now, self.job.job_id, self.context.intent.objective, growth.facts)
        self._progress.begin()
        self._progress.wake(growth.kinds | {kind_of(self.context.intent).label}, 0)
        self._first = self._commit(growth, (), now)

    def resume(self, facts: Iterable[Fact], now: float) -> None:
        """Go on from the snapshot, with facts given late one round above the highest so far."""
        self._progress.restore()
        round = self.context.highest + 1
        growth = premises(self.context, self._checked(facts), round)
        if not growth and not self._progress:
            return
        self.trace.record(JobResumed, now, self.job.job_id, self._commits, growth.facts)
        relabelled = self._progress.wake_relabelled(growth)
        self._progress.wake(growth.kinds, round)
        self._first = self._commit(growth, relabelled, now)

    def receive(self, done: Done) -> None:
        """Take the end of one activation; it is merged when its round is complete."""
        self._open.pop(done.activation.number)
        self._landed[done.activation.number] = done

    def interrupt(self, reason: StopReason, detail: str = "") -> None:
        """Stop as soon as what has ended is merged; whatever is open or unread stays unread."""
        for number, activation in self._open.items():
            self._progress.wake_one(number, activation.view.round)
        self._open.clear()
        self.stop = Stop(reason, (detail,) if detail else ())

    def spent(self, seconds: float) -> None:
        """Account for wall-clock time that has passed."""
        self.spend = self.spend.plus(seconds=seconds)

    # --- what the machine decides -------------------------------------------------------------------------------

    @property
    def cycles(self) -> int:
        """How many commits there have been."""
        return self._commits

    @property
    def seconds_left(self) -> float:
        """How much wall-clock time the budget still allows."""
        return max(0.0, self.budget.seconds - self.spend.seconds)

    def next(self, now: float) -> Sequence[Command]:
        """Return what is to be done now; nothing while the round is open."""
        if self._open:
            return ()
        commit, self._first = self._first, None
        if self._landed:
            commit = self._merge_round(now)
        commands: list[Command] = [] if commit is None else [commit]
        if self.stop is None:
            started = self._start_round(now)
            if commit is not None:  # what is reserved is durable before it is spent: a crash gives nothing back
                commit.cycle.spend = self.spend
            if started:
                return (*commands, Activate(started))
        unread = tuple(Unread(*item) for item in self._progress.unread())
        self.stop = dataclasses.replace(self.stop or self._verdict(), unread=unread)
        if not self._is_known(self.stop):
            self.trace.record(JobStopped, now, self.stop.reason.value, str(self.stop))
            commands.append(self._commit(None, (), now))
        return (*commands, self.stop)

    def view(self) -> View:
        """Return everything known, readable without restriction."""
        return View(self.context, self.context.highest, UNRESTRICTED)

    def missing(self) -> tuple[str, ...]:
        """Return the optional agents whose last activation failed."""
        return self._progress.failing(required=False)

    # --- a round ------------------------------------------------------------------------------------------------

    def _start_round(self, now: float) -> tuple[Activation, ...]:
        while self._exhausted is None:
            eligible = self._progress.eligible()
            if not eligible.numbers:
                return ()
            accepted = [number for number in eligible.numbers if self._accepts(number, eligible.round)]
            if accepted and (started := self._reserve(eligible._replace(numbers=accepted))):
                self._reading, self._whole = eligible.round, eligible.whole
                self.spend = self.spend.plus(rounds=1, activations=len(started))
                self.trace.record(RoundStarted, now, eligible.round, len(started))
                return started
        return ()

    def _accepts(self, number: int, round: int) -> bool:
        agent = self.wiring.agents[number]
        if agent.accepts is None:
            return True
        try:
            accepted = bool(agent.accepts(self._progress.view(number, round)))
        except Exception as error:
            self._refusals[number] = error
            return True
        if not accepted:
            self._progress.refused(number, round)
        return accepted

    def _reserve(self, eligible: Eligible) -> tuple[Activation, ...]:
        """Reserve the round and the activations; those beyond the budget stay unread, the last in name order."""
        left = max(0, self.budget.activations - self.spend.activations)
        if self.spend.rounds >= self.budget.rounds:
            self._exhausted = "rounds"
        elif not left or (eligible.whole and left < len(eligible.numbers)):
            self._exhausted = "activations"
        else:
            for number in eligible.numbers[:left]:
                self._progress.take(number)
                view = self._progress.view(number, eligible.round)
                error = self._refusals.pop(number, None)
                self._open[number] = Activation(number, self.wiring.agents[number], view, error)
        return tuple(self._open.values())

    def _merge_round(self, now: float) -> Commit:
        round = self._reading + 1
        landed = [self._landed[number] for number in sorted(self._landed)]
        self._landed.clear()
        merged: list[Done] = []
        growth = merge(self.context, self._affordable(landed, merged), round)
        self.spend = self.spend.plus(facts=growth.facts)
        for done in merged:
            self._completed(done)
        growth = self._with_failures(growth, landed, round)
        relabelled = self._progress.wake_relabelled(growth)
        self.trace.record(RoundMerged, now, round, growth.facts, growth.supports)
        self._progress.wake(growth.kinds, round)
        return self._commit(growth, relabelled, now)

    def _affordable(self, landed: list[Done], merged: list[Done]) -> Iterator[Effect]:
        """Yield the effects that the budget of facts can hold, while the merge takes them one by one."""
        before, room = len(self.context.facts), self.budget.facts - self.spend.facts
        effects = [done.effect for done in landed if done.effect is not None]
        refuse_all = self._whole and len(fresh(self.context, effects)) > room
        for done in landed:
            if (effect := done.effect) is None:
                continue
            left = room - (len(self.context.facts) - before)
            if refuse_all or (len(effect.emissions) > left and len(fresh(self.context, [effect])) > left):
                self._exhausted = "facts"
                self._progress.wake_one(done.activation.number, effect.round)
                continue
            merged.append(done)
            yield effect

    def _completed(self, done: Done) -> None:
        number, agent, view, _ = done.activation
        assert done.effect is not None
        self._progress.completed(number, view.round)
        self.errors.pop(agent.name, None)
        self.trace.record(Activated, agent.name, view.round, len(done.effect.emissions), done.seconds)
        self._warn_uncited(agent, done.effect)

    def _with_failures(self, growth: Growth, landed: list[Done], round: int) -> Growth:
        failed = [done for done in landed if done.error is not None]
        if not failed:
            return growth
        stated = premises(self.context, [self._fail(done, round - 1) for done in failed], round)
        # An agent that reads failures is not woken by its own, or it would fail on that one next.
        alone = failed[0].activation.number if len(failed) == 1 else None
        self._progress.wake(stated.kinds, round, besides=alone)
        return growth._replace(
            facts=growth.facts + stated.facts,
            supports=growth.supports + stated.supports,
            bodies=growth.bodies + stated.bodies,
        )

    def _fail(self, done: Done, round: int) -> Failure:
        number, agent, view, _ = done.activation
        assert done.error is not None
        error = type(done.error).__name__
        self._progress.failed(number, round)
        self.errors[agent.name] = done.error
        text = _text(done.error) + _place(done.error, agent)
        self.trace.record(ActivationFailed, agent.name, round, error, text, done.attempts)
        return Failure(agent=agent.name, view=view.digest(), error=error)

    def _warn_uncited(self, agent: Agent, effect: Effect) -> None:
        uncited = any(emission.evidence is None for emission in effect.emissions)
        if agent.replacing or not uncited or agent.name in self._warned or self.context.size(effect.given) < 2:
            return
        self._warn(agent.name, "was given several facts and cited none: what it emits rests on all of them")

    def _warn(self, agent: str, text: str) -> None:
        self._warned.add(agent or text)
        self.trace.record(Warned, agent, text)

    # --- the end ------------------------------------------------------------------------------------------------

    def _verdict(self) -> Stop:
        if self._exhausted is not None:
            return Stop(StopReason.BUDGET, (self._exhausted,))
        self._warn_empty_inputs()
        return verdict(self.context, self.trace, self._progress.failing(required=True), self.invariants)

    def _is_known(self, stop: Stop) -> bool:
        """Whether the store says so already: resuming a job with nothing to do adds nothing to it."""
        last = self.trace[-1] if self.trace else None
        same = isinstance(last, JobStopped) and last.text == str(stop)
        return same and self._lengths() == self._committed and not self._progress.moved

    def _warn_empty_inputs(self) -> None:
        for label in self.wiring.inputs:
            log = self.context.kinds.get(label)
            text = f"no fact of kind {label} was given and no agent writes it"
            if (log is None or not log.rounds) and text not in self._warned:
                self._warn("", text)

    # --- checkpoints --------------------------------------------------------------------------------------------

    def _commit(self, growth: Growth | None, relabelled: tuple[tuple[int, str], ...], now: float) -> Commit:
        since, upto = self._committed, self._lengths()
        self._commits += 1
        cycle = Cycle(
            context=self.context,
            trace=self.trace,
            number=self._commits,
            at=now,
            round=self.context.highest if growth is None else growth.round,
            facts=upto[0] - 1,
            stop=self.stop.reason.value if self.stop else None,
            since=since,
            upto=upto,
            watermarks=self._progress.collect(),
            relabelled=relabelled,
            spend=self.spend,
            budget=self.budget,
            bodies=growth.bodies if growth is not None else (),
        )
        self._committed = upto
        return Commit(cycle)

    def _lengths(self) -> tuple[int, int, int]:
        return len(self.context.facts), len(self.context.supports), len(self.trace)

    def _checked(self, facts: Iterable[Fact]) -> list[Fact]:
        checked = []
        for fact in facts:
            if not isinstance(fact, Fact):
                raise ForeignPremise(fact)
            self.wiring.known(fact)
            checked.append(fact)
        return checked


def _text(error: BaseException) -> str:
    """Return an error's text as something that can be written down, whatever a foreign library put into it."""
    said = FactInvalid(error.title, problems_of(error)) if isinstance(error, ValidationError) else error
    try:
        text = str(said)
    except Exception:
        text = "an error whose text cannot be had"
    return text.encode("utf-8", "backslashreplace").decode()[:_TEXT_LIMIT]


def _place(error: BaseException, agent: Agent) -> str:
    """Return where in the agent's own file an error came from, if it came from there."""
    file = getattr(getattr(agent.run, "__code__", None), "co_filename", None)
    frames = [frame for frame in walk_tb(error.__traceback__) if frame[0].f_code.co_filename == file]
    if not frames:
        return ""
    frame, line = frames[-1]
    return f" ({basename(str(file))}, line {line}, in {frame.f_code.co_name})"
