"""The engine: agents, wired once, and a store. It runs any number of jobs, at once or one after the other."""

__all__ = ["Engine", "run"]

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from copy import copy
from functools import partial
from secrets import token_hex
from typing import Self

import anyio

from converge.agent import Agent, as_agent
from converge.checking.certificate import Certificate, certify
from converge.checking.history import history_of
from converge.checking.performing import Bench
from converge.checking.verify import Report, verify
from converge.clock import SystemClock
from converge.context import Context
from converge.errors import (
    EngineBusy,
    EngineInvalid,
    ForeignPremise,
    IntentMismatch,
    LoopRunning,
)
from converge.fact import Fact, id_of, identified
from converge.intent import Budget, RootIntent, Spend
from converge.invariant import Invariant, Invariants, invariant
from converge.job import Job
from converge.kind import Kind
from converge.machine import Machine
from converge.opening import Opening
from converge.outcome import Outcome
from converge.plan import Plan
from converge.ports import Clock, JobHeader, Store
from converge.schedule import ScheduleName, schedule_named
from converge.snapshot import Snapshot, restore
from converge.trace import Trace
from converge.wiring import Wiring
from converge.writer import Writer

Facts = Iterable[Fact] | Fact
_MAX_EMISSIONS = 100_000  # of one activation: far above any honest one, far below what fills a machine


class Engine:
    """Runs jobs with these agents. Raises AgentInvalid or WiringInvalid for what cannot work, before any job runs.

    agents: functions declared with @agent, or objects with `run(view)`. store: where jobs are kept; None keeps them
    in this engine's memory. invariants: what root intents may name. inputs: if given, every kind that no agent
    writes must be among them. schedule: "frontier" and "lockstep" give the same facts, rounds and views, whatever
    takes how long; "stream" does so for monotone agents only. allow_disputes: accept a circle through an agent that
    replaces its conclusions. `async with engine` keeps the store open between jobs.
    """

    def __init__(
        self,
        agents: Iterable[object],
        *,
        store: Store | None = None,
        invariants: Iterable[Invariant | Callable[..., object]] = (),
        inputs: Iterable[type[Fact]] | type[Fact] | None = None,
        schedule: ScheduleName = "frontier",
        allow_disputes: bool = False,
        clock: Clock | None = None,
        max_emissions: int = _MAX_EMISSIONS,
    ) -> None:
        _refuse_foreign(agents, store)
        declared = [inputs] if isinstance(inputs, type) else inputs
        self.wiring = Wiring(map(as_agent, agents), declared, allow_disputes=allow_disputes)
        self.schedule = schedule_named(schedule)
        self.invariants = tuple(rule if isinstance(rule, Invariant) else invariant(rule) for rule in invariants)
        self.store: Store = _memory() if store is None else store
        self.clock: Clock = SystemClock() if clock is None else clock
        self._max_emissions = max_emissions
        self._running: set[str] = set()
        self._opening = Opening(self.store)

    def __repr__(self) -> str:
        return f"<engine of {len(self.wiring.agents)} agents, {self.store!r}>"

    @property
    def agents(self) -> tuple[Agent, ...]:
        """The agents in name order."""
        return tuple(self.wiring.agents)

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Every kind the agents declare, by label."""
        return self.wiring.kinds

    def explain(self) -> Plan:
        """Return how the agents are wired: who reads and writes what, in which order. Print it; nothing runs."""
        return Plan.of(self.wiring)

    def with_store(self, store: Store) -> "Engine":
        """Return an engine with the same agents that keeps its jobs in another store."""
        other = copy(self)
        other.store, other._running, other._opening = store, set(), Opening(store)
        return other

    async def __aenter__(self) -> Self:
        await self._opening.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opening.__aexit__()

    async def run(self, intent: RootIntent | str, facts: Facts = (), *, job_id: str | None = None) -> Outcome:
        """Run a job from a root intent and some facts to its outcome.

        Cancelling the task that awaits it commits what is merged and re-raises. Raises KindUnknown, FactInvalid,
        InvariantUnknown, JobExists, or an OperatorError of the store.
        """
        async with self.start(intent, facts, job_id=job_id) as job:
            return await job.outcome()

    def start(self, intent: RootIntent | str, facts: Facts = (), *, job_id: str | None = None) -> Job:
        """Return a job to be entered with `async with`, whose events can be followed while it runs."""
        intent = RootIntent(intent) if isinstance(intent, str) else intent
        if not isinstance(intent, RootIntent):
            raise EngineInvalid("intent", "a RootIntent or its objective as text", intent)
        name = job_id or f"job-{token_hex(4)}"
        return self._job(name, partial(self._begin_new, name, intent, _listed(facts)))

    async def resume(
        self,
        job_id: str,
        facts: Facts = (),
        *,
        budget: Budget | None = None,
        intent: RootIntent | None = None,
    ) -> Outcome:
        """Go on from the job's last snapshot, with late facts or another budget; also for one that had converged.

        Raises JobUnknown, EngineBusy, StoredFactInvalid, IntentMismatch, and what `run` raises.
        """
        async with self.reopen(job_id, facts, budget=budget, intent=intent) as job:
            return await job.outcome()

    def reopen(
        self,
        job_id: str,
        facts: Facts = (),
        *,
        budget: Budget | None = None,
        intent: RootIntent | None = None,
    ) -> Job:
        """Return a job that goes on from its last snapshot, to be entered with `async with`."""
        return self._job(job_id, partial(self._begin_again, job_id, _listed(facts), budget, intent))

    # --- testing a job ------------------------------------------------------------------------------------------

    async def certify(self, outcome: Outcome) -> Certificate:
        """Say whether an outcome's fixed point can be relied on: asked once more, no agent adds anything.

        No model is asked and the job stays as it is. Raises JobUnknown, EngineBusy or StoredFactInvalid.
        """
        async with self._occupied(outcome.job_id):
            stored = await self.store.load(outcome.job_id)
            return await certify(self._bench, stored, outcome)

    async def verify(self, job_id: str, schedules: int | None = None, *, stream: bool = False) -> Report:
        """Run a job that has come to rest again under other schedules, at most so many, and compare what comes out.

        From captures alone, and on a copy; what its agents hold besides their views is put back between the runs, so
        they must not be at work meanwhile. `stream` asks as well whether arrival could matter. Raises JobUnknown,
        JobUnsettled, JobForeign, EngineBusy or StoredFactInvalid.
        """
        if schedules is not None and schedules < 1:
            raise EngineInvalid("verify(schedules=...)", "a whole number above 0", schedules)
        async with self._occupied(job_id):
            job = history_of(await self.store.load(job_id), self.wiring)
            return await verify(self._bench, job, schedules, stream=stream)

    @property
    def _bench(self) -> Bench:
        return Bench(self.wiring, self.invariants, self._max_emissions)

    # --- beginning a job ----------------------------------------------------------------------------------------

    def _job(self, job_id: str, begin: Callable[[], Awaitable[tuple[Machine, Writer]]]) -> Job:
        return Job(job_id, begin, partial(self._occupied, job_id), self.clock, self._max_emissions)

    async def _begin_new(self, job_id: str, intent: RootIntent, facts: tuple[Fact, ...]) -> tuple[Machine, Writer]:
        canonical, _, body = identified(intent)
        snapshot = Snapshot(job_id, Context(canonical), Trace(), {}, Spend(), intent.budget, 0)
        machine = Machine(self.wiring, self.schedule, Invariants(intent, self.invariants), snapshot)
        machine.start(facts, self.clock.now())
        header = JobHeader(job_id, self.clock.now(), body.decode())
        return machine, Writer(self.store, header, is_new=True)

    async def _begin_again(
        self, job_id: str, facts: tuple[Fact, ...], budget: Budget | None, intent: RootIntent | None
    ) -> tuple[Machine, Writer]:
        stored = await self.store.load(job_id)
        snapshot = restore(stored, self.kinds)
        known = snapshot.context.intent
        if intent is not None and id_of(intent) != id_of(known):
            raise IntentMismatch(job_id, known.objective, intent.objective)
        if budget is not None:
            snapshot.budget = budget
        machine = Machine(self.wiring, self.schedule, Invariants(known, self.invariants), snapshot)
        machine.resume(facts, self.clock.now())
        return machine, Writer(self.store, stored.header, is_new=False)

    # --- the store, shared --------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _occupied(self, job_id: str) -> AsyncIterator[None]:
        """Hold the store open and the job id taken."""
        if job_id in self._running:
            raise EngineBusy(job_id)
        self._running.add(job_id)
        try:
            async with self._opening:
                yield
        finally:
            self._running.discard(job_id)


def run(engine: Engine | Iterable[object], intent: RootIntent | str, facts: Facts = ()) -> Outcome:
    """Run a job from a script, with its own event loop. Raises LoopRunning where one runs already."""
    chosen = engine if isinstance(engine, Engine) else Engine(engine)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return anyio.run(chosen.run, intent, _listed(facts))
    raise LoopRunning


def _refuse_foreign(agents: object, store: object) -> None:
    """Answer those who do not check types with a sentence of ours. Raises EngineInvalid."""
    if isinstance(agents, Agent) or not isinstance(agents, Iterable):
        raise EngineInvalid("Engine(...)", "a list of agents, as in Engine([...])", agents)
    if store is not None and (isinstance(store, type) or not isinstance(store, Store)):
        raise EngineInvalid("Engine(store=...)", "a store, such as SQLiteStore('jobs.db')", store)


def _listed(facts: Facts) -> tuple[Fact, ...]:
    if isinstance(facts, Fact):
        return (facts,)
    if isinstance(facts, (str, bytes, Mapping)) or not isinstance(facts, Iterable):
        raise ForeignPremise(facts)
    return tuple(facts)


def _memory() -> Store:
    from converge_stores.memory import MemoryStore  # here: whoever imports the stores first needs this module whole

    return MemoryStore()
