"""How a job begins: new, again from where it stands, or anew from its root intent."""

__all__ = ["Beginning", "Begun", "Limits"]

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from converge.capture import Captures
from converge.chain import JobHeader
from converge.context import Context
from converge.errors import IntentMismatch
from converge.fact import Fact, id_of, identified
from converge.intent import Budget, RootIntent, Spend
from converge.invariant import Invariant, Invariants
from converge.letter import deliver
from converge.machine import Machine
from converge.ports import Clock, Lease, Store, StoredJob
from converge.reading import read
from converge.restore import given_to, restore
from converge.schedule import Schedule
from converge.snapshot import Anew, Snapshot
from converge.trace import Trace
from converge.wiring import Wiring
from converge.writer import Checkpoints, Writer

Begun = tuple[Machine, Writer]
Limits = Budget | Mapping[str, object] | None


class Beginning(NamedTuple):
    """What every job of an engine begins with."""

    wiring: Wiring
    schedule: Schedule
    rules: Sequence[Invariant]
    store: Store
    clock: Clock
    checkpoints: Checkpoints
    redact: Callable[[str], str] | None = None

    async def new(self, job_id: str, intent: RootIntent, facts: Sequence[Fact], lease: Lease) -> Begun:
        """Begin a job that is not in the store yet."""
        canonical, _, body = identified(intent)
        machine = self._machine(Snapshot(job_id, Context(canonical), Trace(), {}, Spend(), intent.budget, 0))
        machine.start(facts, self.clock.now())
        header = JobHeader(job_id, self.clock.now(), body.decode())
        return machine, self._writer(machine, lease, header=header)

    async def again(
        self, job_id: str, facts: Sequence[Fact], budget: Limits, intent: RootIntent | None, lease: Lease
    ) -> Begun:
        """Go on from the last snapshot, with the letters that came meanwhile."""
        stored = await self.store.load(job_id)
        snapshot = await read(stored, partial(restore, kinds=self.wiring.kinds))
        known = snapshot.context.intent
        if intent is not None and id_of(intent) != id_of(known):
            raise IntentMismatch(job_id, known.objective, intent.objective)
        snapshot.budget = _changed(snapshot.budget, budget)
        letters = await self.store.letters(job_id, snapshot.letter)
        machine = self._machine(snapshot)
        machine.resume(facts, self.clock.now(), letters=bool(letters))
        for letter in letters:
            deliver(letter, machine, self.clock.now())
        return machine, self._writer(machine, lease, head=len(stored.bodies))

    async def anew(self, job_id: str, captures: Anew, budget: Limits, lease: Lease) -> Begun:
        """Begin once more from the root intent and all that was ever given."""
        stored = await self.store.load(job_id)
        before, given = await read(stored, self._given)
        snapshot = Snapshot(
            job_id=job_id,
            context=Context(before.context.intent),
            trace=Trace(),
            watermarks={},
            spend=Spend(),
            budget=_changed(before.budget, budget),
            cycles=before.cycles,
            captures=before.captures.unpaid() if captures == "reuse" else Captures(),
            letter=before.letter,
            anew=captures,
        )
        machine = self._machine(snapshot)
        machine.start(given, self.clock.now(), ahead=True)
        for letter in await self.store.letters(job_id, snapshot.letter):
            deliver(letter, machine, self.clock.now())
        return machine, self._writer(machine, lease, head=len(stored.bodies))

    def _given(self, stored: StoredJob) -> tuple[Snapshot, list[Fact]]:
        """Return where a job stands, and what it was ever given."""
        before = restore(stored, None)
        return before, given_to(stored, self.wiring.kinds, before)

    def _writer(self, machine: Machine, lease: Lease, *, head: int = 0, header: JobHeader | None = None) -> Writer:
        ledger = machine.job.captures.ledger
        return Writer(self.store, lease, self.clock, self.checkpoints, head=head, header=header, ledger=ledger)

    def _machine(self, snapshot: Snapshot) -> Machine:
        snapshot.captures.redact = snapshot.trace.redact = self.redact
        return Machine(self.wiring, self.schedule, Invariants(snapshot.context.intent, self.rules), snapshot)


def _changed(budget: Budget, by: Limits) -> Budget:
    """Return another budget, or this one with some limits replaced by name. Raises BudgetInvalid."""
    return by if isinstance(by, Budget) else budget.with_limits(by or {})
