"""The machine that decides: who runs next and on what round, whether this is the fixed point, and why to stop.

1. It is told what happened and answers with commands; it never waits, reads no clock and does no I/O.
2. Who may read what is the schedule's affair. What has ended is merged in the order of rounds and names.
3. Nothing open, nothing unread: that is the only test for a fixed point. Then what lost evidence is given again, and
   violations are stated for those who mend them; only when neither wakes anybody is it over.
"""

__all__ = ["Machine"]

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from converge.capture import Question
from converge.churn import Churn
from converge.command import Activate, Activation, Commit, Done
from converge.deciding import check_decision
from converge.effect import Effect, Given
from converge.errors import BudgetSpent, ForeignPremise
from converge.fact import Fact, Failure, Violation, kind_of
from converge.intent import RootIntent, Spend, Tally
from converge.invariant import Invariants
from converge.loss import losses
from converge.merge import NOTHING, Growth, fresh, merge, premises
from converge.mishap import described
from converge.progress import Progress
from converge.proposal import Decision
from converge.recall import recall, remark
from converge.schedule import Ready, Schedule
from converge.snapshot import Cycle, Snapshot
from converge.stop import Stop, StopReason, Unread
from converge.support import Evidence
from converge.trace import (
    Activated,
    ActivationFailed,
    Captured,
    FactsArrived,
    JobResumed,
    JobStarted,
    JobStopped,
    RoundMerged,
    RoundStarted,
    Warned,
)
from converge.verdict import verdict
from converge.view import UNRESTRICTED, View
from converge.warning import Warnings
from converge.wiring import Wiring

Command = Activate | Commit | Stop


class Machine:
    """One job's context under one schedule."""

    def __init__(self, wiring: Wiring, schedule: Schedule, invariants: Invariants, job: Snapshot) -> None:
        self.wiring, self.schedule, self.invariants, self.job = wiring, schedule, invariants, job
        self.context, self.trace = job.context, job.trace
        self.budget = job.budget
        self.ledger = job.captures.ledger
        self.ledger.limits, self.ledger.allowances = job.budget, wiring.allowances
        if self.context.intent.budget != job.budget:  # as agents are to see it
            self.context.intent = dataclasses.replace(self.context.intent, budget=job.budget)
        self.first_event = len(job.trace)
        self.stop: Stop | None = None
        self.errors: dict[str, BaseException] = {}  # of this run, by agent, as they were raised
        self.progress = Progress(wiring, self.context, job.watermarks, job.captures)
        self._tally = Tally(job.spend)
        self._open: dict[int, Activation] = {}
        self._landed: dict[int, Done] = {}
        self._rounds = {event.round for event in self.trace.of(RoundStarted)}
        self._refusals: dict[int, Exception] = {}  # what an agent's `accepts` raised
        self._exhausted: tuple[str, ...] = ()
        self._churn = Churn(self.context)
        self._stated = (0, 0)  # how much was known when violations were last stated
        self._mends = kind_of(Violation).label in wiring.flow.readers
        self._due: list[Commit] = []  # what was given from outside, before anything is made of it
        self._warnings = Warnings(self.context, self.trace)
        self._remarked: set[int] = set()
        self._is_underway = False  # whether this run has committed anything
        self._commits = job.cycles
        # The intent is in the job's header; where a job begins anew, the next row holds all the rest.
        self._committed = self._lengths() if job.cycles and not job.anew else (1, 1, 0)
        self._kept = self._lengths()  # how much there was when the store last had all of it, in whatever words

    # --- what the shell tells the machine -----------------------------------------------------------------------

    def start(self, facts: Iterable[Fact], now: float, *, ahead: bool = False) -> None:
        """Begin from the root intent and some facts; `ahead` allows markers on what has yet to be concluded."""
        growth = premises(self.context, self._checked(facts, ahead=True), 0, ahead=ahead)
        objective = self.context.intent.objective
        self.trace.record(JobStarted, now, self.job.job_id, objective, growth.facts, self.schedule.name)
        self.progress.begin()
        self._wake(growth._replace(grown=growth.grown | {(kind_of(RootIntent).label, 0)}))
        self._due.append(self._commit(growth, now))

    def resume(self, facts: Iterable[Fact], now: float, *, letters: bool = False) -> None:
        """Go on from the snapshot, with facts given late one round above the highest so far; `letters` may follow."""
        self.context.labelling.take_stirs()  # who has not read them is woken by the watermarks
        self.progress.restore()
        for round in self.progress.offered():
            self.progress.offer_again(self._losses(round - 1), round)
        if isinstance(self.context.facts[self.context.supports[-1].fact], Violation):
            self._stated = len(self.context.supports), self.context.labelling.notes
        # What a fact marks may be in a letter that was written before, and is yet to be read.
        growth = premises(self.context, self._checked(facts, ahead=letters), self.context.highest + 1, ahead=letters)
        if not growth and self.progress.idle and not letters:
            return
        self.trace.record(JobResumed, now, self.job.job_id, self._commits, growth.facts, self.schedule.name)
        self._wake(growth)
        self._due.append(self._commit(growth, now))

    def arrive(self, letter: int, facts: Iterable[Fact], now: float) -> None:
        """Take facts that a letter brought while the job runs, one round above the highest so far.

        Whoever has stopped at rest goes on. What a marker is about may have yet to be concluded, once more: whoever
        gave it may have seen what was never kept. Raises KindUnknown; nothing is taken then.
        """
        round = self.context.highest + 1
        growth = premises(self.context, self._checked(facts, ahead=True), round, ahead=True)
        self.job.letter = letter
        if self.stop is not None and self.stop.at_rest:
            self.stop = None
        self.trace.record(FactsArrived, now, letter, round, growth.facts)
        self._wake(growth)
        self._due.append(self._commit(growth, now))

    def turn_away(self, letter: int, reason: str) -> None:
        """Note that a letter brought nothing that this job can take."""
        self.job.letter = letter
        self.trace.record(Warned, "", f"letter {letter} is left out: {reason}")

    def remarks(self) -> Iterator[tuple[Question, str, None]]:
        """Iterate, once each, over what finished activations said that must wait before it can be merged."""
        for number, done in self._landed.items():
            if done.effect is not None and number not in self._remarked:
                self._remarked.add(number)
                yield done.activation.view.saying(), remark(done.effect, self.context), None

    def recall(self, activation: Activation) -> Effect | None:
        """Return what an activation said in a run that ended before it was merged, if it is known."""
        if activation.agent.name not in self.job.captures.said:
            return None
        return recall(activation.agent, activation.view, self.context, self.job.captures)

    def receive(self, done: Done) -> None:
        """Take the end of one activation; it is merged when the schedule says so."""
        self._open.pop(done.activation.number)
        self._landed[done.activation.number] = done

    def interrupt(self, reason: StopReason, detail: str = "") -> None:
        """Stop as soon as what has ended is merged; whatever is open or unread stays unread."""
        self.progress.release(self._open)
        for number, activation in self._open.items():
            self.progress.wake_one(number, activation.view.round)
        self._open.clear()
        self.stop = Stop(reason, (detail,) if detail else ())

    def spent(self, seconds: float) -> None:
        """Account for wall-clock time that has passed."""
        self._tally.seconds += seconds

    # --- what the machine decides -------------------------------------------------------------------------------

    @property
    def cycles(self) -> int:
        """How many commits there have been."""
        return self._commits

    @property
    def spending(self) -> Spend:
        """What the job has spent so far, calls included."""
        return self._tally.spend(*self.ledger.spent)

    @property
    def seconds_left(self) -> float:
        """How much wall-clock time the budget still allows."""
        return max(0.0, self.budget.seconds - self._tally.seconds)

    def next(self, now: float) -> Sequence[Command]:
        """Return what is to be done now; nothing while all there is to do is wait."""
        commits, self._due = self._due, []
        if self._landed and not (self._open and self.schedule.waits(self.progress)) and (landed := self._mergeable()):
            commits.append(self._merge(landed, now))
        started: list[Activation] = []
        if self.stop is None:
            started = self._start(now)
            while not started and not self._open and not self._exhausted and (growth := self._stir()) is not None:
                commits.append(self._commit(growth, now))
                started = self._start(now)
        if commits:  # what is reserved is durable before it is spent: a crash gives nothing back
            commits[-1].cycle.spend = self.spending
        if started:
            return (*commits, Activate(tuple(started)))
        if self._open:
            return commits
        return (*commits, *self._end(now))

    def _end(self, now: float) -> Iterator[Command]:
        unread = tuple(Unread(*item) for item in self.progress.unread())
        assert self.stop or self._exhausted or self.progress.idle, f"nobody may read, yet there is more: {unread}"
        self.stop = dataclasses.replace(self.stop or self._verdict(), unread=unread)
        if not self._is_known(self.stop):
            self.trace.record(JobStopped, now, self.stop.reason.value, str(self.stop))
            yield self._commit(None, now)
        yield self.stop

    def view(self) -> View:
        """Return everything known, readable without restriction."""
        return View(self.context, self.context.highest, UNRESTRICTED)

    def missing(self) -> tuple[str, ...]:
        """Return the optional agents whose last activation failed."""
        return self.progress.failing(required=False)

    def doubts(self) -> tuple[str, ...]:
        """Return what of the schedule makes the outcome depend on timing, in a sentence each."""
        found = []
        resumed = [*self.trace.of(JobResumed)]
        schedules = {event.schedule for event in self.trace.of(JobStarted)} | {event.schedule for event in resumed}
        doubtful = self._doubtful() if "stream" in schedules else []
        if doubtful:
            found.append(f"it ran as a stream, and these agents are not known to be monotone: {', '.join(doubtful)}")
        limit = self.stop.detail[0] if self.stop and self.stop.reason is StopReason.BUDGET else ""
        # Rounds of a resumed job may leave some out, and those of a stream are merges.
        loose = self.schedule.name == "stream" or bool(resumed)
        if limit in ("calls", "tokens", "money"):
            found.append(f"its budget of {limit} ended it: whose calls it was spent on is timing")
        if self.schedule.name != "lockstep" and (limit in ("activations", "facts", "churn") or (limit and loose)):
            found.append(f"its budget of {limit} ended it: how far each agent had come by then is timing")
        return tuple(found)

    def _doubtful(self) -> list[str]:
        """Name those whose conclusions can depend on what came together: they replace, choose, or cite nothing."""
        supports = self.context.supports
        forgetful = {supports.sources[one.source].agent for one in supports if _is_a_batch(one.evidence)}
        agents = self.wiring.agents
        return [one.name for one in agents if one.replacing or one.accepts is not None or one.name in forgetful]

    # --- starting -----------------------------------------------------------------------------------------------

    def _start(self, now: float) -> list[Activation]:
        """Begin all that the schedule lets begin; who turns out to have no use for its round may let others begin."""
        started: list[Activation] = []
        moved = True
        while moved and self._exhausted[:1] in ((), ("rounds",)) and self._is_calm():
            moved = False
            ready, chosen = self.schedule.ready(self.progress, self.context.highest), list[Ready]()
            for one in ready:
                round, number = one
                agent = self.wiring.agents[number]
                if (agent.replacing or agent.accepts is not None) and self._passes(one):
                    moved = True
                    continue
                together = self._left_with(one, ready) if agent.settled else 1
                if self._reserve(round, together, len(started) + len(chosen)):
                    chosen.append(one)
            self.progress.take(chosen)
            started += [self._begin(one) for one in chosen]
        if started:
            self._tally.activations += len(started)
            rounds = [*map(_read, started)]
            for round in sorted({*rounds}):
                self.trace.record(RoundStarted, now, round, rounds.count(round))
        return started

    def _passes(self, one: Ready) -> bool:
        """Whether an agent has no use for a round; then that is noted."""
        round, number = one
        if not self.progress.stirs(number, round):
            self.progress.overlook(number, round)
            return True
        accepts = self.wiring.agents[number].accepts
        try:
            if accepts is None or accepts(self.progress.view(number, round)):
                return False
        except Exception as error:
            self._refusals[number] = error
            return False
        self.progress.pass_by(number, round)
        return True

    def _begin(self, one: Ready) -> Activation:
        round, number = one
        agent, view = self.wiring.agents[number], self.progress.view(number, round)
        refusal = self._refusals.pop(number, None) if self._refusals else None
        activation = self._open[number] = Activation(number, agent, view, refusal)
        return activation

    def _left_with(self, one: Ready, ready: list[Ready]) -> int:
        """Return how many activations must find room: settled agents that reach each other read one round together.

        One that came later would see what the other had concluded.
        """
        return sum(other >= one and self.wiring.are_mutual(one[1], other[1]) for other in ready)

    def _reserve(self, round: int, activations: int, reserved: int) -> bool:
        """Whether there is room for an activation, and for its round if it is the first to read it.

        `reserved` counts those that found room in this turn already; what finds none stays unread.
        """
        if self._exhausted == ("activations",) or (
            self._tally.activations + reserved + activations > self.budget.activations
        ):
            self._exhausted = ("activations",)
            return False
        if round not in self._rounds:
            if self._tally.rounds >= self.budget.rounds:
                # The rounds that are paid for go on, so that it does not matter who was fast.
                self._exhausted = ("rounds",)
                return False
            self._tally.rounds += 1
            self._rounds.add(round)
        return True

    def _is_calm(self) -> bool:
        """Whether no set of live facts has come back too often by the last round that nobody can add to."""
        if not self.wiring.reads_liveness or self.context.labelling.all_live(self.context.highest):
            return True
        closed = min(self.progress.stamps().values(), default=self.context.highest)
        loop = self._churn.found(closed, self.budget.churn)
        if loop:
            self._exhausted = ("churn", *loop)
        return not loop

    # --- when nothing is unread ---------------------------------------------------------------------------------

    def _stir(self) -> Growth | None:
        """Give again what lost evidence, else state what is violated; None where nobody has a use for either."""
        lost = self._losses(self.context.highest)
        lost = {number: facts for number, facts in lost.items() if self._is_unoffered(number, facts)}
        if lost:
            self.context.reach(self.context.highest + 1)
            for number, facts in lost.items():
                self.progress.offer(number, facts, self.context.highest)
            return NOTHING
        if not self._mends or self.progress.failing(required=True):
            return None
        known = len(self.context.supports), self.context.labelling.notes
        if known == self._stated:  # nobody has added anything since: to say it in other words changes nothing
            return None
        found = [Violation(breach.invariant, breach.text) for breach in self.invariants.violations(self.view())]
        growth = premises(self.context, found, self.context.highest + 1)
        self._wake(growth)
        self._stated = len(self.context.supports), self.context.labelling.notes
        return growth or None

    def _losses(self, upto: int) -> dict[int, frozenset[int]]:
        return losses(self.context, self.wiring.agents, self.progress.watermarks, self.job.captures, upto)

    def _is_unoffered(self, number: int, facts: frozenset[int]) -> bool:
        """Whether an agent that would not take, or failed on, what it was given again is now to be given more."""
        return self.progress.watermarks[number].offered <= self.progress.watermarks[number].mended or bool(
            facts - self.progress.given_again(number)
        )

    def _wake(self, growth: Growth) -> None:
        self.progress.wake(growth.grown)
        self.progress.wake_stirred()

    # --- merging ------------------------------------------------------------------------------------------------

    def _merge(self, landed: list[Done], now: float) -> Commit:
        numbers = [done.activation.number for done in landed]
        for number in numbers:
            del self._landed[number]
        self._remarked.difference_update(numbers)
        self.progress.release(numbers)
        wrote = {round: self.schedule.writes(round, self.context.highest) for round in {*map(_round, landed)}}
        if self.job.captures.untold or self.ledger.unpriced:
            self._tell_captures(landed)
        before = len(self.context.facts), len(self.context.supports)
        merged, growth = self._merge_affordable(landed, wrote)
        self._tally.facts += growth.facts
        for done in merged:
            self._completed(done, wrote)
        if len(merged) < len(landed):
            self._leave_unpaid(landed)
            growth = self._with_failures(growth, [done for done in landed if not _is_unpaid(done)], wrote)
        self._record_merged(sorted({*wrote.values()}), before, now)
        self._wake(growth)
        return self._commit(growth, now)

    def _mergeable(self) -> list[Done]:
        """Return what has ended and may be merged now, in the order in which it is written down."""
        landed: Iterable[Done] = self._landed.values()
        if self._open and self.stop is None:
            landed = (done for done in landed if not self._has_mutual_open(done))
        return sorted(landed, key=_written_order)

    def _has_mutual_open(self, done: Done) -> bool:
        """Whether a settled agent that it reaches and is reached by is still reading: they are merged together."""
        number, agent = done.activation.number, done.activation.agent
        return agent.settled and any(self.wiring.are_mutual(number, other) for other in self._open)

    def _merge_affordable(self, landed: list[Done], wrote: Mapping[int, int]) -> tuple[list[Done], Growth]:
        """Merge the effects that the budget of facts can hold; return whose they are, and what grew."""
        several = [done for done in landed if done.effect is not None]
        room = self.budget.facts - self._tally.facts
        if sum(len(done.effect.emissions) for done in several if done.effect) <= room:
            return several, self._merge_effects(several, wrote)
        merged, growth = list[Done](), NOTHING
        for done in several:
            if self._is_too_much(done, landed, room - growth.facts):
                self._exhausted = ("facts",)
                self.progress.wake_one(done.activation.number, done.activation.view.round)
                continue
            merged.append(done)
            growth = growth.and_then(self._merge_effects([done], wrote))
        return merged, growth

    def _merge_effects(self, several: list[Done], wrote: Mapping[int, int]) -> Growth:
        effects: list[tuple[Effect, int]] = []
        for done in several:
            effect, (number, agent, _, _) = done.effect, done.activation
            assert effect is not None
            if (ran := self.progress.watermarks[number].ran) >= 0:
                self._warnings.if_unstable(agent, effect, ran, self.progress.given_again(number))
            effects.append((effect, wrote[effect.round]))
        return self._add(effects)

    def _add(self, effects: Sequence[tuple[Effect, int]]) -> Growth:
        return merge(self.context, effects)

    def _is_too_much(self, done: Done, landed: list[Done], left: int) -> bool:
        """Whether an effect, and those that are merged with it or not at all, find no room."""
        number, mutual = done.activation.number, [done]
        if done.activation.agent.settled:
            mutual = [one for one in landed if self.wiring.are_mutual(number, one.activation.number)]
        effects = [one.effect for one in mutual if one.effect is not None]
        return sum(len(effect.emissions) for effect in effects) > left < len(fresh(self.context, effects))

    def _completed(self, done: Done, wrote: Mapping[int, int]) -> None:
        number, agent, view, _ = done.activation
        assert done.effect is not None
        self.progress.completed(number, view.round, wrote[view.round])
        if self.errors:
            self.errors.pop(agent.name, None)
        self.trace.record(Activated, agent.name, view.round, len(done.effect.emissions), done.seconds)
        if done.effect.given is not None:
            self._warnings.if_uncited(agent, done.effect.given)
        if agent.invalidates:
            self._warnings.if_self_defeating(agent, done.effect)
            self._warnings.if_revised_twice(agent, done.effect)

    def _leave_unpaid(self, landed: list[Done]) -> None:
        """Leave unread what was read by those whose calls found no room in a budget; nobody else begins then."""
        for done in filter(_is_unpaid, landed):
            assert isinstance(done.error, BudgetSpent)
            self._exhausted = self._exhausted if self._exhausted[:1] not in ((), ("rounds",)) else done.error.detail
            self.progress.wake_one(done.activation.number, done.activation.view.round)

    def _tell_captures(self, landed: list[Done]) -> None:
        captures = self.job.captures
        for done in landed:
            for question in captures.take_untold(done.activation.agent.name):
                agent, *rest = question
                self.trace.record(Captured, agent, done.activation.view.round, *rest, captures.note(question))
        for what in sorted(self.ledger.unpriced):
            self._warnings.if_unpriced(what)

    def _with_failures(self, growth: Growth, landed: list[Done], wrote: Mapping[int, int]) -> Growth:
        for round, failed in groupby((done for done in landed if done.error is not None), key=_round):
            several = list(failed)
            stated = premises(self.context, map(self._fail, several), wrote[round])
            # An agent that reads failures is not woken by its own, or it would fail on that one next.
            alone = several[0].activation.number if len(several) == 1 else None
            self.progress.wake(stated.grown, besides=alone)
            growth = growth.and_then(stated._replace(grown=frozenset()))
        return growth

    def _fail(self, done: Done) -> Failure:
        number, agent, view, _ = done.activation
        assert done.error is not None
        error = type(done.error).__name__
        self.progress.failed(number, view.round)
        self.errors[agent.name] = done.error
        text = described(done.error, agent)
        self.trace.record(ActivationFailed, agent.name, view.round, error, text, done.attempts)
        return Failure(agent=agent.name, view=view.digest(), error=error)

    def _record_merged(self, rounds: list[int], before: tuple[int, int], now: float) -> None:
        size = len(self.context.supports)
        if len(rounds) == 1:  # as mostly: then all of it is of that round
            self.trace.record(RoundMerged, now, rounds[0], len(self.context.facts) - before[0], size - before[1])
            return
        facts, supports = self.context.rounds[before[0] :], self.context.supports.rounds(before[1], size)
        for round in rounds:
            self.trace.record(RoundMerged, now, round, facts.count(round), supports.count(round))

    # --- the end ------------------------------------------------------------------------------------------------

    def _verdict(self) -> Stop:
        if self._exhausted:
            return Stop(StopReason.BUDGET, self._exhausted)
        self._warnings.if_empty(self.wiring.inputs)
        self._warnings.if_unjudged()
        return verdict(self.context, self.trace, self.progress.failing(required=True), self.invariants)

    def _is_known(self, stop: Stop) -> bool:
        """Whether the store says so already: resuming a job with nothing to do adds nothing to it."""
        last = self.trace[-1] if self.trace else None
        same = isinstance(last, JobStopped) and last.text == self.trace.redacted(str(stop))
        return same and self._lengths() == self._kept and not self.progress.moved

    # --- checkpoints --------------------------------------------------------------------------------------------

    def _commit(self, growth: Growth | None, now: float) -> Commit:
        since, upto = self._committed, self._lengths()
        self._commits += 1
        moved = self.progress.collect(everybody=self.job.anew is not None)
        cycle = Cycle(
            context=self.context,
            trace=self.trace,
            cycle=self._commits,
            at=now,
            round=self.context.highest,
            facts=upto[0] - 1,
            stop=self.stop.reason.value if self.stop else None,
            since=since,
            upto=upto,
            watermarks=moved,
            spend=self.spending,
            budget=None if self._is_underway else self.budget,
            letter=self.job.letter,
            anew=self.job.anew,
            bodies=None if self.job.anew or growth is None else growth.bodies,
        )
        self.job.anew, self._is_underway = None, True
        self._committed = self._kept = upto
        return Commit(cycle)

    def _lengths(self) -> tuple[int, int, int]:
        return len(self.context.facts), len(self.context.supports), len(self.trace)

    def _checked(self, facts: Iterable[Fact], *, ahead: bool) -> list[Fact]:
        checked = []
        for fact in facts:
            if not isinstance(fact, Fact):
                raise ForeignPremise(fact)
            self.wiring.known(fact)
            if isinstance(fact, Decision):
                check_decision(self.view(), fact, self.job.job_id, ahead=ahead)
            checked.append(fact)
        return checked


_read: Callable[[Activation], int] = attrgetter("view.round")
_round: Callable[[Done], int] = attrgetter("activation.view.round")  # the one that was read
_written_order = attrgetter("activation.view.round", "activation.number")


def _is_unpaid(done: Done) -> bool:
    return isinstance(done.error, BudgetSpent)


def _is_a_batch(evidence: Evidence) -> bool:
    """Whether a conclusion rests on whatever an activation was given."""
    return isinstance(evidence, Given) and evidence.picks != (0,)
