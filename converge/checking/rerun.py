"""A job once more from the start, on a machine of its own, in an order of one's choosing.

1. One activation at a time, each to its end: what an order shows can be shown again.
2. What was given is given again at the same points; an activation that had failed fails; nothing new is asked.
3. It stops where something fails that had not failed, or asks what was never captured.
"""

__all__ = ["rerun"]

import dataclasses
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from converge.checking.history import Arrival, History, Stretch
from converge.checking.performing import Bench, Perform, Recorded, performing
from converge.checking.trial import Act, Rerun, Starving, Trial, TrialMachine, singles
from converge.checking.watched import Watched
from converge.command import Activate, Activation, Commit, Done
from converge.context import Context
from converge.effect import Effect
from converge.intent import Budget, Spend
from converge.machine import Machine
from converge.ports import StoredJob
from converge.restore import restore
from converge.schedule import Schedule, schedule_named
from converge.snapshot import Snapshot
from converge.stop import StopReason
from converge.trace import ActivationFailed, Trace


async def rerun(bench: Bench, job: History, trial: Trial, forget: Callable[[], None]) -> Rerun:
    """Run a job again to its end. `forget` makes what agents hold besides their views as it is in a new process."""
    forget()
    captures = Recorded(job.end.captures)
    async with performing(bench, job.end.context.intent, captures) as perform:
        driver = _Driver(bench, job, trial, captures, perform, forget)
        for stretch in job.stretches:
            await driver.play(stretch)
            if driver.given_up:
                break
    return driver.told()


class _Step(NamedTuple):
    """An activation that is open, and what of its effect has yet to be merged where it is merged in parts."""

    activation: Activation
    done: Done | None = None
    parts: tuple[Effect, ...] = ()


class _Driver:
    """Performs a machine's commands, one activation after the other."""

    def __init__(
        self,
        bench: Bench,
        job: History,
        trial: Trial,
        captures: Recorded,
        perform: Perform,
        forget: Callable[[], None],
    ) -> None:
        self._bench, self._job, self._trial = bench, job, trial
        self._captures, self._perform, self._forget = captures, perform, forget
        self._machine: TrialMachine | None = None
        self._acts: list[Act] = []
        self._commits = 0
        self._bodies: list[str] = []
        self._letters: deque[Arrival] = deque()  # that are yet to come in the stretch being played
        self._read = 0  # the last letter before that stretch
        self.given_up = False

    def told(self) -> Rerun:
        assert self._machine is not None
        stop = None if self.given_up else self._machine.stop
        return Rerun(self._trial, self._machine.context, self._acts, stop, self._commits)

    async def play(self, stretch: Stretch) -> None:
        """Run one stretch to its end, or to where it was cut short."""
        if self._machine is None:
            self._machine = self._built(self._beginning(), stretch)
            self._machine.start(stretch.facts, 0.0, ahead=True)
        else:
            self._machine = self._built(self._position(self._machine), stretch)
            self._machine.resume(stretch.facts, 0.0, letters=bool(stretch.letters))
        self._letters, self._read = deque(stretch.letters), self._machine.job.letter
        self._bring_at_once()
        open_: list[_Step] = []
        while not self.given_up and (self._machine.stop is None or self._letters):
            if self._machine.stop is None:
                self._command(open_, stretch)
            if open_:
                await self._step(open_, stretch)
            elif self._letters:
                self._bring()

    def _bring(self) -> None:
        """Have the next letter arrive, and those that came with it."""
        assert self._machine is not None
        self._machine.arrive(self._machine.job.letter + 1, self._letters.popleft().facts, 0.0)
        self._bring_at_once()

    def _bring_at_once(self) -> None:
        if self._letters and self._letters[0].at_once:
            self._bring()

    # --- machines -----------------------------------------------------------------------------------------------

    def _beginning(self) -> Snapshot:
        intent = self._job.end.context.intent
        return Snapshot(self._job.end.job_id, Context(intent), Trace(), {}, Spend(), intent.budget, 0, self._captures)

    def _position(self, machine: Machine) -> Snapshot:
        watermarks = {watermark.source.agent: watermark for watermark in machine.progress.watermarks}
        old = machine.job
        return dataclasses.replace(old, watermarks=watermarks, spend=machine.spending, cycles=machine.cycles)

    def _built(self, job: Snapshot, stretch: Stretch) -> TrialMachine:
        """Return a machine with room enough; what agents see of the budget is what they saw."""
        intent = self._job.end.context.intent
        most, spend = _MOST_TIMES, self._job.end.spend
        facts, activations = most * spend.facts + 100 * _MORE, most * spend.activations + _MORE
        job.budget = Budget(activations, facts, activations, churn=stretch.budget.churn)
        name = "stream" if self._trial.stream else stretch.schedule
        schedule: Schedule = schedule_named(name)
        if self._trial.family == "starve" and not schedule.exact:  # else it would not matter when it begins
            names = [agent.name for agent in self._bench.wiring.agents]
            schedule = Starving(schedule, names.index(self._trial.agent))
        machine = TrialMachine(self._bench.wiring, schedule, self._bench.invariants(intent), job)
        machine.vary(self._trial.family)
        machine.context.intent = dataclasses.replace(intent, budget=stretch.budget)
        machine.progress.view_type = Watched
        return machine

    def _command(self, open_: list[_Step], stretch: Stretch) -> None:
        """Ask the machine what is to be done, and note it."""
        assert self._machine is not None
        for command in self._machine.next(0.0):
            if isinstance(command, Activate):
                open_ += map(_Step, command.activations)
            elif isinstance(command, Commit) and self._is_gone(command):
                open_.clear()
                self._machine = self._restored(stretch)
                return

    def _is_gone(self, commit: Commit) -> bool:
        """Whether the process is gone after this commit."""
        self._commits += 1
        if self._trial.crash >= self._commits:
            self._bodies.append(commit.cycle.body())
        return self._trial.crash == self._commits

    def _restored(self, stretch: Stretch) -> TrialMachine:
        self._forget()
        stored = StoredJob(self._job.stored.header, self._bodies)
        snapshot = restore(stored, self._bench.wiring.kinds)
        snapshot.captures = self._captures
        machine = self._built(snapshot, stretch)
        self._letters = deque(stretch.letters[machine.job.letter - self._read :])  # those that came are in the rows
        machine.resume((), 0.0, letters=bool(self._letters))
        return machine

    # --- activations --------------------------------------------------------------------------------------------

    async def _step(self, open_: list[_Step], stretch: Stretch) -> None:
        """Perform one activation, or merge one more part of what it emitted."""
        assert self._machine is not None
        step = self._chosen(open_, stretch)
        if step is None and self._letters:
            self._bring()
            return
        if step is None:
            self._machine.interrupt(StopReason.CANCELLED)  # the job did not come to these before it was cut short
            open_.clear()
            self._command(open_, stretch)
            return
        open_.remove(step)
        if step.done is None:
            step = self._parted(await self._ended(step.activation, stretch))
        if self.given_up:
            return
        assert step.done is not None
        if len(step.parts) > 1:
            self._machine.take(step.parts[0])
            open_.append(step._replace(parts=step.parts[1:]))
        else:
            self._machine.receive(step.done._replace(effect=step.parts[0]) if step.parts else step.done)

    def _chosen(self, open_: Sequence[_Step], stretch: Stretch) -> _Step | None:
        steps = [step for step in open_ if self._may_end(step.activation, stretch)]
        if not steps:
            return None
        if self._trial.family == "reversed":
            return steps[-1]
        starves = self._trial.family == "starve"
        first = (step for step in steps if (step.activation.agent.name == self._trial.agent) is not starves)
        return next(first, steps[0])

    def _may_end(self, activation: Activation, stretch: Stretch) -> bool:
        ended = activation.agent.name, activation.view.round
        if not stretch.exact or self._trial.stream:
            return True
        if self._letters:  # who was still at work when a letter came is to be so again
            return ended in self._letters[0].after
        if stretch.rests:
            return True
        return ended in stretch.completed or ended in stretch.failed

    async def _ended(self, activation: Activation, stretch: Stretch) -> Done:
        failure = self._failure(activation, stretch)
        if failure is not None:
            return Done(activation, None, failure)
        done = await self._perform(activation)
        view = activation.view
        assert isinstance(view, Watched)
        emissions = done.effect.emissions if done.effect else ()
        act = Act(activation.agent.name, view.round, view.calls, emissions)
        if done.error is not None and not self._may_fail(activation.agent.name):
            act, self.given_up = act._replace(error=done.error), True
        self._acts.append(act)
        return done

    def _failure(self, activation: Activation, stretch: Stretch) -> BaseException | None:
        """Return what an activation is to fail with, because it did."""
        ended = activation.agent.name, activation.view.round
        if self._trial.stream or not stretch.exact or ended in stretch.completed or ended not in stretch.failed:
            return None
        return _named_error(stretch.failed[ended])

    def _may_fail(self, agent: str) -> bool:
        """Whether it is no news that an agent fails: rounds tell nothing where they depend on timing."""
        by_rounds = not self._trial.stream and not self._trial.crash and self._job.repeatable
        return agent in self._job.failing and not by_rounds

    def _parted(self, done: Done) -> _Step:
        """Return an ended activation, its effect in parts where the trial has agents see parts of it."""
        effect = done.effect
        replaces = effect is None or effect.source.replaces  # only its latest effect counts, so it must be one
        if effect is None or replaces or not (self._trial.stream and self._trial.family == "singles"):
            return _Step(done.activation, done)
        return _Step(done.activation, done, tuple(singles(effect)))


_MOST_TIMES, _MORE = 20, 1_000  # a trial may spend that many times what the job did, and some more


def _named_error(failure: ActivationFailed) -> BaseException:
    """Return an error of the recorded name: a Failure is made of that."""
    error: type[Exception] = type(failure.error, (Exception,), {})
    return error(failure.text)
