"""The engine: agents, wired once, and a store. It runs any number of jobs, at once or one after the other."""

__all__ = ["Engine", "run"]

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import partial
from importlib import import_module
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import anyio

from converge.agent import Agent, as_agent
from converge.clock import SystemClock
from converge.errors import EngineInvalid, ForeignPremise, JobUnknown, LoopRunning
from converge.fact import Fact
from converge.intent import RootIntent
from converge.invariant import Invariant, invariant
from converge.kind import Kind
from converge.ports import Clock, Lease, Store
from converge.running import Running
from converge.schedule import ScheduleName, schedule_named
from converge.wiring import Wiring

if TYPE_CHECKING:  # what runs a job is loaded with the first one, and what looks into one when somebody does
    from converge.beginning import Beginning, Begun, Limits
    from converge.checking.certificate import Certificate
    from converge.checking.performing import Bench
    from converge.checking.verify import Report
    from converge.explain.explained import Explained
    from converge.job import Begin, Job
    from converge.outcome import Outcome
    from converge.plan import Plan
    from converge.writer import Checkpoints

Facts = Iterable[Fact] | Fact


class Watches(Protocol):
    """What makes jobs that are watched while they run: a Telemetry."""

    def job(self, *begun_with: Any) -> "Job":
        """Return a job; it takes what a Job takes."""


CapturesOfBefore = Literal["reuse", "fresh"]
_MAX_EMISSIONS = 100_000  # of one activation: far above any honest one, far below what fills a machine


class Engine:
    """Runs jobs with these agents. Raises AgentInvalid or WiringInvalid for what cannot work, before any job runs.

    agents: functions declared with @agent, or objects with `run(view)`. store: where jobs are kept; None keeps them
    in this engine's memory. invariants: what root intents may name. inputs: if given, every kind that no agent
    writes must be among them. schedule: "frontier" and "lockstep" give the same facts, rounds and views, whatever
    takes how long; "stream" does so for monotone agents only. allow_disputes: accept a circle through an agent that
    replaces its conclusions. checkpoints: after how many cycles what they added is kept; "end": once, at the job's end;
    "manual": when `await job.checkpoint()` says so. What a job was given and what was captured is always kept at once.
    lease_seconds: how long another process must wait for a job whose holder, on another machine, has fallen silent.
    redact: takes out of a text what is not to be kept, before what a call answered is used, and an event is recorded;
    text that is on its way is not passed on then. telemetry: what OpenTelemetry is told, see `converge.telemetry`.
    `async with engine` keeps the store open between jobs.
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
        checkpoints: "Checkpoints" = 1,
        lease_seconds: float = 30.0,
        clock: Clock | None = None,
        max_emissions: int = _MAX_EMISSIONS,
        redact: Callable[[str], str] | None = None,
        telemetry: Watches | None = None,
    ) -> None:
        _refuse_foreign(agents, store)
        _refuse_unknown(checkpoints, lease_seconds, redact, telemetry)
        declared = [inputs] if isinstance(inputs, type) else inputs
        self.wiring = Wiring(map(as_agent, agents), declared, allow_disputes=allow_disputes)
        self.schedule = schedule_named(schedule)
        self.invariants = tuple(rule if isinstance(rule, Invariant) else invariant(rule) for rule in invariants)
        self.clock: Clock = SystemClock() if clock is None else clock
        self._checkpoints, self._lease_seconds, self._max_emissions = checkpoints, lease_seconds, max_emissions
        self._redact, self._telemetry = redact, telemetry
        self._keep_in(_memory() if store is None else store)

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

    def explain(self) -> "Plan":
        """Return how the agents are wired: who reads and writes what, in which order. Print it; nothing runs."""
        from converge.plan import Plan

        return Plan.of(self.wiring)

    async def explained(self, job_id: str, cycle: int | None = None) -> "Explained":
        """Return a stored job that can be asked why, as an outcome can, also while somebody runs it.

        cycle: as it stood when that was complete. Raises JobUnknown, CycleUnknown or StoredFactInvalid.
        """
        from converge.archive.explaining import explained

        async with self._running.opening:
            return await explained(self.store, job_id, cycle, self.wiring)

    def with_store(self, store: Store, *, lease_seconds: float | None = None) -> "Engine":
        """Return an engine with the same agents that keeps its jobs in another store, under other leases if named."""
        other = copy(self)
        if lease_seconds is not None:
            _refuse_lease(lease_seconds)
            other._lease_seconds = lease_seconds
        other._keep_in(store)
        return other

    async def __aenter__(self) -> Self:
        for name in ("converge.beginning", "converge.job"):  # now, and not while somebody waits for a first job
            import_module(name)
        await self._running.opening.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._running.opening.__aexit__()

    async def run(self, intent: RootIntent | str, facts: Facts = (), *, job_id: str | None = None) -> "Outcome":
        """Run a job from a root intent and some facts to its outcome.

        Cancelling the task that awaits it commits what is merged and re-raises. Raises KindUnknown, FactInvalid,
        InvariantUnknown, JobExists, or an OperatorError of the store.
        """
        return await self.start(intent, facts, job_id=job_id).run()

    def start(self, intent: RootIntent | str, facts: Facts = (), *, job_id: str | None = None) -> "Job":
        """Return a job to be entered with `async with`, whose events can be followed while it runs."""
        intent = RootIntent(intent) if isinstance(intent, str) else intent
        if not isinstance(intent, RootIntent):
            raise EngineInvalid("intent", "a RootIntent or its objective as text", intent)
        name = job_id or _made_up()
        return self._job(name, partial(self._beginning.new, name, intent, _listed(facts)), is_new=True)

    async def knows(self, job_id: str, intent: RootIntent | str, facts: Facts = ()) -> bool:
        """Whether the store has this job, begun with this root intent and these facts, whatever came of it since.

        For callers who may ask twice: a request that is repeated begins no second job. Raises IntentMismatch or
        FactsMismatch for a job of this id that was begun otherwise.
        """
        from converge.archive.begun import check_begun
        from converge.reading import read

        intent = RootIntent(intent) if isinstance(intent, str) else intent
        given = self._known(facts)
        async with self._running.opening:
            await self._running.is_kept(job_id)
            try:
                stored = await self.store.load(job_id, 1)
            except JobUnknown:
                return False
            await read(stored, partial(check_begun, wiring=self.wiring, intent=intent, facts=given))
            return True

    async def resume(
        self,
        job_id: str,
        facts: Facts = (),
        *,
        budget: "Limits" = None,
        intent: RootIntent | None = None,
    ) -> "Outcome":
        """Go on from the job's last snapshot, with late facts or another budget; also for one that had converged.

        budget: a Budget, or limits by name that replace those of the job's own, as in {"rounds": 50}. Raises
        JobUnknown, EngineBusy, StoredFactInvalid, IntentMismatch, and what `run` raises.
        """
        return await self.reopen(job_id, facts, budget=budget, intent=intent).run()

    def reopen(
        self,
        job_id: str,
        facts: Facts = (),
        *,
        budget: "Limits" = None,
        intent: RootIntent | None = None,
    ) -> "Job":
        """Return a job that goes on from its last snapshot, to be entered with `async with`; see `resume`."""
        return self._job(job_id, partial(self._beginning.again, job_id, _listed(facts), budget, intent))

    async def restart(self, job_id: str, *, captures: CapturesOfBefore = "reuse", budget: "Limits" = None) -> "Outcome":
        """Begin a job again from its root intent and all it was ever given; what it had concluded becomes history.

        What was captured is not asked again, unless captures="fresh". Raises as `resume` does.
        """
        return await self.begin_again(job_id, captures=captures, budget=budget).run()

    def begin_again(self, job_id: str, *, captures: CapturesOfBefore = "reuse", budget: "Limits" = None) -> "Job":
        """Return a job that begins again, to be entered with `async with`; see `restart`."""
        _refuse_captures(captures)
        return self._job(job_id, partial(self._beginning.anew, job_id, captures, budget))

    async def fork(
        self,
        job_id: str,
        cycle: int | None = None,
        facts: Facts = (),
        *,
        captures: CapturesOfBefore = "reuse",
        budget: "Limits" = None,
        new_id: str | None = None,
    ) -> "Outcome":
        """Run a new job from where another one stood when `cycle` was complete; default: from where it stands now.

        The other job stays as it is. What it captured after that cycle is not asked again, unless captures="fresh".
        Raises CycleUnknown, JobExists, and as `resume` does.
        """
        return await self.branch(job_id, cycle, facts, captures=captures, budget=budget, new_id=new_id).run()

    def branch(
        self,
        job_id: str,
        cycle: int | None = None,
        facts: Facts = (),
        *,
        captures: CapturesOfBefore = "reuse",
        budget: "Limits" = None,
        new_id: str | None = None,
    ) -> "Job":
        """Return a new job that goes on from where another one stood, to be entered with `async with`; see `fork`."""
        from converge.archive.copying import copy_job

        _refuse_captures(captures)
        name, given = new_id or _made_up(), self._known(facts)  # a copy for nothing would keep its id

        async def begin(lease: Lease) -> "Begun":
            await copy_job(self.store, job_id, name, cycle, self.clock.now(), all_captures=captures == "reuse")
            return await self._beginning.again(name, given, budget, None, lease)

        return self._job(name, begin, is_new=True)

    async def give(self, job_id: str, facts: Facts) -> bool:
        """Give facts to a job, whoever runs it: they are merged in its next round, or when it is next resumed.

        Return whether somebody is running it now; a run that is just ending may leave them to the next one. Raises
        KindUnknown, FactInvalid or JobUnknown.
        """
        given = self._known(facts)
        async with self._running.opening:
            await self._running.is_kept(job_id)
            return await self._post(job_id, given)

    async def decide(
        self,
        job_id: str,
        request: str,
        choice: Literal["approve", "reject", "refine"],
        *,
        by: str,
        reason: str = "",
        changes: Mapping[str, Any] | None = None,
    ) -> bool:
        """State what a person decided on a request of a job, from any process, whoever runs it; see `outcome.asked`.

        request: its id, or the first digits of it. changes: with "refine", the fields that differ from what is
        proposed. Return whether somebody is running the job now; if not, resume it to go on. Raises RequestUnknown,
        RequestStale for one that is decided, refused or has fallen, DecisionInvalid, FactInvalid or JobUnknown.
        """
        from converge.archive.deciding import decision_on

        if not isinstance(request, str):
            raise EngineInvalid("decide(request=...)", "the id of a request, as in outcome.asked[0].id", request)
        content = {"choice": choice, "by": by, "reason": reason, "changes": changes or {}}
        async with self._running.opening:
            await self._running.is_kept(job_id)
            decision = await decision_on(self.store, job_id, request, self.wiring.kinds, content)
            return await self._post(job_id, (decision,))

    async def _post(self, job_id: str, facts: Sequence[Fact]) -> bool:
        from converge.archive.deciding import post

        is_run = await post(self.store, job_id, self.clock.now(), facts)
        self._running.look(job_id)
        return is_run

    # --- testing a job ------------------------------------------------------------------------------------------

    async def certify(self, outcome: "Outcome") -> "Certificate":
        """Say whether an outcome's fixed point can be relied on: asked once more, no agent adds anything.

        No model is asked and the job stays as it is. Raises JobUnknown, CycleUnknown where the policy of checkpoints
        has not kept that position, EngineBusy or StoredFactInvalid.
        """
        from converge.checking.certificate import certify

        async with self._running.alone(outcome.job_id):
            stored = await self.store.load(outcome.job_id, outcome.cycles)
            return await certify(self._bench, stored, outcome)

    async def verify(self, job_id: str, schedules: int | None = None, *, stream: bool = False) -> "Report":
        """Run a job that has come to rest again under other schedules, at most so many, and compare what comes out.

        From captures alone, and on a copy; what its agents hold besides their views is put back between the runs, so
        they must not be at work meanwhile. `stream` asks as well whether arrival could matter. Raises JobUnknown,
        JobUnsettled, JobForeign, EngineBusy or StoredFactInvalid.
        """
        from converge.checking.history import history_of
        from converge.checking.verify import verify

        if schedules is not None and schedules < 1:
            raise EngineInvalid("verify(schedules=...)", "a whole number above 0", schedules)
        async with self._running.alone(job_id):
            job = history_of(await self.store.load(job_id), self.wiring)
            return await verify(self._bench, job, schedules, stream=stream)

    @property
    def _bench(self) -> "Bench":
        from converge.checking.performing import Bench

        return Bench(self.wiring, self.invariants, self._max_emissions)

    # --- beginning a job ----------------------------------------------------------------------------------------

    def _known(self, facts: Facts) -> tuple[Fact, ...]:
        """Return facts that the engine can merge. Raises ForeignPremise, KindUnknown or FactInvalid."""
        given = _listed(facts)
        for fact in given:
            if not isinstance(fact, Fact):
                raise ForeignPremise(fact)
            self.wiring.known(fact)
        return given

    def _job(self, job_id: str, begin: "Begin", *, is_new: bool = False) -> "Job":
        from converge.job import Job

        made: Callable[..., Job] = Job if self._telemetry is None else self._telemetry.job
        leased = partial(self._running.leased, is_new=is_new)
        return made(job_id, begin, leased, self.store, self.clock, self._max_emissions)

    @property
    def _beginning(self) -> "Beginning":
        from converge.beginning import Beginning

        policy, redact = self._checkpoints, self._redact
        return Beginning(self.wiring, self.schedule, self.invariants, self.store, self.clock, policy, redact)

    def _keep_in(self, store: Store) -> None:
        self.store = store
        self._running = Running(store, self.clock, self._lease_seconds)


def run(engine: Engine | Iterable[object], intent: RootIntent | str, facts: Facts = ()) -> "Outcome":
    """Run a job from a script, with its own event loop. Raises LoopRunning where one runs already."""
    import asyncio  # it takes a tenth of what importing all of this does

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


def _refuse_unknown(checkpoints: object, lease_seconds: object, redact: object, telemetry: object) -> None:
    is_count = isinstance(checkpoints, int) and not isinstance(checkpoints, bool) and checkpoints > 0
    if not is_count and checkpoints not in ("end", "manual"):
        raise EngineInvalid("Engine(checkpoints=...)", 'a number of cycles above 0, "end" or "manual"', checkpoints)
    _refuse_lease(lease_seconds)
    if redact is not None and not callable(redact):
        raise EngineInvalid("Engine(redact=...)", "a function of a text", redact)
    if telemetry is not None and (isinstance(telemetry, type) or not hasattr(telemetry, "job")):
        raise EngineInvalid("Engine(telemetry=...)", "a Telemetry, as in Telemetry()", telemetry)


def _refuse_lease(seconds: object) -> None:
    if not isinstance(seconds, (int, float)) or not seconds > 0:
        raise EngineInvalid("Engine(lease_seconds=...)", "a number above 0", seconds)


def _refuse_captures(captures: object) -> None:
    if captures not in ("reuse", "fresh"):
        raise EngineInvalid("captures", '"reuse" or "fresh"', captures)


def _made_up() -> str:
    return f"job-{token_hex(4)}"


def _listed(facts: Facts) -> tuple[Fact, ...]:
    if isinstance(facts, Fact):
        return (facts,)
    if isinstance(facts, (str, bytes, Mapping)) or not isinstance(facts, Iterable):
        raise ForeignPremise(facts)
    return tuple(facts)


def _memory() -> Store:
    from converge_stores.memory import MemoryStore  # here: whoever imports the stores first needs this module whole

    return MemoryStore()
