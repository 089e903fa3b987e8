"""The machine that decides: who runs next and on what round, whether this is the fixed point, and why to stop.

1. It is told what happened and answers with commands; it never waits, reads no clock and does no I/O.
2. In lockstep a round is a barrier: everyone with something unread up to the lowest unread round reads exactly that
   round, and what they emit is merged together, in name order, into the next one.
3. Nothing open, nothing unread: that is the only test for a fixed point.
"""

__all__ = ["Activate", "Activation", "Commit", "Done", "Lockstep"]

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from converge.agent import Agent
from converge.effect import Effect
from converge.errors import ForeignPremise
from converge.fact import Fact, Failure, id_of, kind_of
from converge.invariant import Invariants
from converge.merge import Growth, fresh, merge, premises
from converge.snapshot import Cycle, Mark, Snapshot
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
_BEFORE = -1


class Lockstep:
    """The lockstep schedule over one job's context."""

    def __init__(self, wiring: Wiring, invariants: Invariants, job: Snapshot) -> None:
        self.wiring, self.invariants, self.job = wiring, invariants, job
        self.context, self.trace = job.context, job.trace
        self.spend, self.budget = job.spend, job.budget
        self.first_event = len(job.trace)
        self.stop: Stop | None = None
        self._marks: list[Mark] = [self._known_mark(agent) for agent in wiring.agents]
        # Agents whose mark a commit has yet to hold; a new one is noted at once, so that a resume knows it.
        self._moved = {number for number, agent in enumerate(wiring.agents) if self._is_new(agent)}
        self._unread: dict[int, int] = {}
        self._settled_unread: set[int] = set()
        self._open: dict[int, Activation] = {}
        self._landed: dict[int, Done] = {}
        self._refused: dict[int, Exception] = {}
        self._reading = 0
        self._overtaken = False  # whether facts above the round being read exist already
        self._exhausted: str | None = None
        self._warned: set[str] = set()
        self._commits = job.cycles
        self._committed = self._lengths() if job.cycles else (1, 1, 0)  # the intent is in the job's header

    # --- what the shell tells the machine -----------------------------------------------------------------------

    def start(self, facts: Iterable[Fact], now: float) -> Commit:
        """Begin from the root intent and some facts."""
        growth = premises(self.context, self._checked(facts), 0)
        self.trace.record(JobStarted, now, self.job.job_id, self.context.intent.objective, growth.facts)
        self._wake_everyone_new()
        self._wake(growth.kinds | {kind_of(self.context.intent).label}, 0)
        return self._commit(growth, (), now)

    def resume(self, facts: Iterable[Fact], now: float) -> Commit | None:
        """Go on from the snapshot, with facts given late one round above the highest so far."""
        self._wake_unfinished()
        round = self.context.highest + 1
        growth = premises(self.context, self._checked(facts), round)
        if not growth and not self._unread and not self._settled_unread:
            return None
        self.trace.record(JobResumed, now, self.job.job_id, self._commits, growth.facts)
        relabelled = self._relabel(growth)
        self._wake(growth.kinds, round)
        return self._commit(growth, relabelled, now)

    def receive(self, done: Done) -> None:
        """Take the end of one activation; it is merged when its round is complete."""
        self._open.pop(done.activation.number)
        self._landed[done.activation.number] = done

    def interrupt(self, reason: StopReason, detail: str = "") -> None:
        """Stop as soon as what has ended is merged; whatever is open or unread stays unread."""
        for number, activation in self._open.items():
            self._unread_again(number, activation.view.round)
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
        commands: list[Command] = []
        if self._landed:
            commands.append(self._merge_round(now))
        if self.stop is None:
            started = self._start_round(now)
            if started:
                return (*commands, Activate(started))
        self.stop = self._explained(self.stop or self._verdict())
        if not self._is_known(self.stop):
            self.trace.record(JobStopped, now, self.stop.reason.value, str(self.stop))
            commands.append(self._commit(None, (), now))
        return (*commands, self.stop)

    def view(self) -> View:
        """Return everything known, readable without restriction."""
        return View(self.context, self.context.highest, UNRESTRICTED)

    def missing(self) -> tuple[str, ...]:
        """Return the optional agents whose last activation failed."""
        agents = zip(self.wiring.agents, self._marks, strict=True)
        return tuple(agent.name for agent, mark in agents if mark.failed and not agent.required)

    # --- a round ------------------------------------------------------------------------------------------------

    def _start_round(self, now: float) -> tuple[Activation, ...]:
        while self._exhausted is None:
            numbers, round = self._eligible()
            if not numbers:
                return ()
            self._overtaken = self.context.highest > round
            accepted = [number for number in numbers if self._accepts(number, round)]
            if accepted and (started := self._reserve(accepted, round)):
                self._reading = round
                self.spend = self.spend.plus(rounds=1, activations=len(started))
                self.trace.record(RoundStarted, now, round, len(started))
                return started
        return ()

    def _eligible(self) -> tuple[list[int], int]:
        """Return who reads next, in name order, and which round: the lowest unread one, so that none is overtaken."""
        if self._unread:
            round = min(self._unread.values())
            return sorted(number for number, unread in self._unread.items() if unread <= round), round
        if not self._settled_unread:
            return [], 0
        level = min(self.wiring.levels[number] for number in self._settled_unread)
        ready = (number for number in self._settled_unread if self.wiring.levels[number] == level)
        return sorted(ready), self.context.highest

    def _accepts(self, number: int, round: int) -> bool:
        agent = self.wiring.agents[number]
        if agent.accepts is None:
            return True
        try:
            accepted = agent.accepts(self._view(number, round))
        except Exception as error:
            self._refused[number] = error
            return True
        if not accepted:  # read, as far as the fixed point goes; view.new goes on accumulating
            self._mark(number, self._marks[number]._replace(seen=round))
        return bool(accepted)

    def _reserve(self, numbers: list[int], round: int) -> tuple[Activation, ...]:
        """Reserve the round and the activations; those beyond the budget stay unread, the last in name order."""
        if self.spend.rounds >= self.budget.rounds:
            self._exhausted = "rounds"
            return ()
        left = self.budget.activations - self.spend.activations
        if not left:
            self._exhausted = "activations"
        started = []
        for number in numbers[:left]:
            self._unread.pop(number, None)
            self._settled_unread.discard(number)
            agent, error = self.wiring.agents[number], self._refused.pop(number, None)
            activation = Activation(number, agent, self._view(number, round), error)
            self._open[number] = activation
            started.append(activation)
        return tuple(started)

    def _view(self, number: int, round: int) -> View:
        return View(self.context, round, self.wiring.agents[number].reader, self._marks[number].ran)

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
        relabelled = self._relabel(growth)
        self.trace.record(RoundMerged, now, round, growth.facts, growth.supports)
        self._wake(growth.kinds, round)
        return self._commit(growth, relabelled, now)

    def _affordable(self, landed: list[Done], merged: list[Done]) -> Iterator[Effect]:
        """Yield the effects that the budget of facts can hold, while the merge takes them one by one."""
        before = len(self.context.facts)
        for done in landed:
            if (effect := done.effect) is None:
                continue
            room = self.budget.facts - self.spend.facts - (len(self.context.facts) - before)
            if len(effect.emissions) > room and fresh(self.context, effect) > room:
                self._exhausted = "facts"
                self._unread_again(done.activation.number, effect.round)
                continue
            merged.append(done)
            yield effect

    def _completed(self, done: Done) -> None:
        number, agent, view, _ = done.activation
        assert done.effect is not None
        self._mark(number, Mark(agent.source, view.round, view.round))
        self.trace.record(Activated, agent.name, view.round, len(done.effect.emissions), done.seconds)
        self._warn_uncited(agent, done.effect)

    def _with_failures(self, growth: Growth, landed: list[Done], round: int) -> Growth:
        failures = [self._fail(done, round - 1) for done in landed if done.error is not None]
        if not failures:
            return growth
        stated = premises(self.context, failures, round)
        return growth._replace(
            facts=growth.facts + stated.facts,
            supports=growth.supports + stated.supports,
            kinds=growth.kinds | stated.kinds,
            bodies=growth.bodies + stated.bodies,
        )

    def _fail(self, done: Done, round: int) -> Failure:
        number, agent, view, _ = done.activation
        error = type(done.error).__name__
        self._mark(number, self._marks[number]._replace(seen=round, failed=True))
        self.trace.record(ActivationFailed, agent.name, round, error, str(done.error), done.attempts)
        return Failure(agent=agent.name, view=view.digest(), error=error)

    def _warn_uncited(self, agent: Agent, effect: Effect) -> None:
        uncited = any(emission.evidence is None for emission in effect.emissions)
        if agent.replacing or not uncited or agent.name in self._warned or self.context.size(effect.given) < 2:
            return
        self._warn(agent.name, "was given several facts and cited none: what it emits rests on all of them")

    def _warn(self, agent: str, text: str) -> None:
        self._warned.add(agent or text)
        self.trace.record(Warned, agent, text)

    # --- who has something unread -------------------------------------------------------------------------------

    def _wake(self, kinds: Iterable[str], round: int) -> None:
        for label in kinds:
            for number in self.wiring.readers.get(label, ()):
                self._unread_again(number, round)

    def _unread_again(self, number: int, round: int) -> None:
        if number in self.wiring.levels:
            self._settled_unread.add(number)
        else:
            self._unread[number] = min(round, self._unread.get(number, round))

    def _wake_everyone_new(self) -> None:
        """Agents that read nothing, or replace, have the root intent as unread: they run at least once."""
        for number, agent in enumerate(self.wiring.agents):
            if not agent.reads or agent.replacing:
                self._unread_again(number, 0)

    def _wake_unfinished(self) -> None:
        """After a restore: what the marks say was not read yet.

        A new agent and one that failed read the highest round: a lower one has been passed by others already.
        """
        for number, (agent, mark) in enumerate(zip(self.wiring.agents, self._marks, strict=True)):
            round = self._first_unread(agent, mark.seen)
            if mark.seen == _BEFORE and (not agent.reads or agent.replacing):
                round = 0
            if mark.failed or (self._is_new(agent) and round is not None):
                round = self.context.highest
            if round is not None:
                self._unread_again(number, round)

    def _first_unread(self, agent: Agent, seen: int) -> int | None:
        rounds: list[int] = []
        for label in agent.reader.reads or ():
            if (log := self.context.kinds.get(label)) is None:
                continue
            if (round := log.first_after(seen)) is not None:
                rounds.append(round)
            if agent.replacing:
                rounds += [round for round in log.relabelled if round > seen]
        return min(rounds, default=None)

    def _relabel(self, growth: Growth) -> tuple[str, ...]:
        """Wake the readers of labels that this merge changed and return the kinds concerned."""
        if not growth.relabels or not self.wiring.relabel_readers:
            return ()
        changed = sorted(self.context.relabelled(growth.round - 1, growth.round))
        for label in changed:
            self.context.kinds[label].relabelled.append(growth.round)
            for number in self.wiring.relabel_readers.get(label, ()):
                self._unread_again(number, growth.round)
        return tuple(changed)

    def _mark(self, number: int, mark: Mark) -> None:
        """Set an agent's mark; in a round that a budget cut short, facts above it may be waiting already."""
        self._marks[number] = mark
        self._moved.add(number)
        self._unread.pop(number, None)
        self._settled_unread.discard(number)
        if self._overtaken and (unread := self._first_unread(self.wiring.agents[number], mark.seen)) is not None:
            self._unread_again(number, unread)

    def _known_mark(self, agent: Agent) -> Mark:
        return Mark(agent.source) if self._is_new(agent) else self.job.marks[agent.name]

    def _is_new(self, agent: Agent) -> bool:
        mark = self.job.marks.get(agent.name)
        return mark is None or mark.source.version != agent.version

    # --- the end ------------------------------------------------------------------------------------------------

    def _verdict(self) -> Stop:
        if self._exhausted is not None:
            return Stop(StopReason.BUDGET, (self._exhausted,))
        agents = zip(self.wiring.agents, self._marks, strict=True)
        failed = tuple(agent.name for agent, mark in agents if mark.failed and agent.required)
        if failed:
            return Stop(StopReason.AGENT_FAILED, tuple(self._failure(name) for name in failed))
        self._warn_empty_inputs()
        view = self.view()
        if violations := self.invariants.violations(view):
            return Stop(StopReason.INVARIANT, tuple(map(str, violations)))
        if contested := self._contested():
            return Stop(StopReason.CONTESTED, contested)
        if unaccepted := self.invariants.unaccepted(view):
            return Stop(StopReason.UNACCEPTED, tuple(map(str, unaccepted)))
        return Stop(StopReason.FIXED_POINT)

    def _is_known(self, stop: Stop) -> bool:
        """Whether the store says so already: resuming a job with nothing to do adds nothing to it."""
        last = self.trace[-1] if self.trace else None
        same = isinstance(last, JobStopped) and last.text == str(stop)
        return same and self._lengths() == self._committed and not self._moved

    def _explained(self, stop: Stop) -> Stop:
        unread = dict.fromkeys(self._settled_unread, self.context.highest) | self._unread
        agents = self.wiring.agents
        listed = tuple(Unread(agents[number].name, round) for number, round in sorted(unread.items()))
        return dataclasses.replace(stop, unread=listed)

    def _failure(self, name: str) -> str:
        for event in reversed(self.trace):
            if isinstance(event, ActivationFailed) and event.agent == name:
                return f"{name} ({event.error}: {event.text})"
        return name

    def _contested(self) -> tuple[str, ...]:
        found = []
        for label, log in sorted(self.context.kinds.items()):
            for key in sorted(log.contested, key=repr):
                live = [
                    f
                    for f in log.keys[key]
                    if self.context.is_live(self.context.position[id_of(f)], self.context.highest)
                ]
                if len(live) > 1:
                    found.append(f"{label} {key!r} has {len(live)} live facts")
        return tuple(found)

    def _warn_empty_inputs(self) -> None:
        for label in self.wiring.inputs:
            log = self.context.kinds.get(label)
            text = f"no fact of kind {label} was given and no agent writes it"
            if (log is None or not log.rounds) and text not in self._warned:
                self._warn("", text)

    # --- checkpoints --------------------------------------------------------------------------------------------

    def _commit(self, growth: Growth | None, relabelled: tuple[str, ...], now: float) -> Commit:
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
            marks=tuple(self._marks[number] for number in sorted(self._moved)),
            relabelled=relabelled,
            spend=self.spend,
            budget=self.budget,
            bodies=growth.bodies if growth is not None else (),
        )
        self._committed = upto
        self._moved.clear()
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
