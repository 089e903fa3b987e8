"""Random small jobs, and a way to drive one by hand, without an event loop, for the tests that state laws.

A plan says how one agent is made; a list of them prints as it is when a law fails. Kinds stand in layers: what
reads liveness writes only into higher layers, and what invalidates strikes no lower layer than its evidence, so that
every job ends by structure. Of the shapes in MORE, an agent that would close a circle through one that replaces is
left out. A net has no layers: its agents may read what they reach in turn.
"""

__all__ = [
    "CELLS",
    "EVERY",
    "ITEMWISE",
    "KINDS",
    "LAYERS",
    "MORE",
    "PURE",
    "SHAPES",
    "VALUES",
    "Plan",
    "Play",
    "agents_of",
    "begin",
    "cells",
    "digests",
    "facts_of",
    "go_on",
    "nets",
    "perform",
    "plans",
    "play",
    "premises",
    "restored",
    "wirable",
]

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from hypothesis import strategies as st

from converge.activation import seal
from converge.agent import Agent, Live, agent
from converge.chain import JobHeader
from converge.command import Activate, Activation, Commit, Done
from converge.context import Context
from converge.effect import Effect
from converge.fact import Assertion, Fact, Failure, Invalidation, Revision, id_of
from converge.intent import Budget, RootIntent, Spend
from converge.invariant import Invariant, Invariants
from converge.machine import Machine
from converge.ports import StoredJob
from converge.restore import restore
from converge.schedule import schedule_named
from converge.snapshot import Snapshot
from converge.stop import Stop
from converge.trace import Activated, Trace
from converge.view import View
from converge.wiring import Wiring


class Number(Fact):
    """What all kinds here have in common, so that an agent can be made for any of them."""

    n: int


class North(Number):
    pass


class East(Number):
    pass


class South(Number):
    pass


class Middle(Number):
    pass


class Top(Number):
    pass


class One(Number):
    pass


class Two(Number):
    pass


class Three(Number):
    pass


class Four(Number):
    pass


class Five(Number):
    pass


class Six(Number):
    pass


class Seven(Number):
    pass


class Eight(Number):
    pass


KINDS: tuple[type[Number], ...] = (North, East, South, Middle, Top)
CELLS: tuple[type[Number], ...] = (One, Two, Three, Four, Five, Six, Seven, Eight)
EVERY = KINDS + CELLS
LAYERS = (0, 0, 0, 1, 2)  # of each kind
VALUES = 4  # numbers are counted modulo this, so that every job is finite


class Plan(NamedTuple):
    """How one agent is made: its shape, the kinds it reads and writes by place in EVERY, and a number of its own."""

    shape: str
    reads: tuple[int, ...]
    writes: int
    n: int


# --- what random agents do -------------------------------------------------------------------------------------------

Emitted = Iterator[Fact | Assertion]
Make = Callable[[Plan], Callable[[View], Emitted]]


def _seed(plan: Plan) -> Callable[[View], Emitted]:
    def run(view: View) -> Emitted:
        yield EVERY[plan.writes](plan.n)

    return run


def _each(plan: Plan) -> Callable[[View], Emitted]:
    def run(view: View) -> Emitted:
        for place in plan.reads:
            for fact in view.new(EVERY[place]):
                yield from _concluded(EVERY[plan.writes]((fact.n + plan.n) % VALUES), fact)

    return run


def _pair(plan: Plan) -> Callable[[View], Emitted]:
    def run(view: View) -> Emitted:
        for one, other in _joined(view, plan):
            yield from _concluded(EVERY[plan.writes]((one.n * other.n + plan.n) % VALUES), one, other)

    return run


def _batch(plan: Plan) -> Callable[[View], Emitted]:
    """Depends on which facts come together, and cites none of them."""

    def run(view: View) -> Emitted:
        if given := [fact.n for place in plan.reads for fact in view.new(EVERY[place])]:
            yield EVERY[plan.writes]((sum(given) + plan.n) % VALUES)

    return run


def _strike(plan: Plan) -> Callable[[View], Emitted]:
    def run(view: View) -> Emitted:
        for one, other in _joined(view, plan):
            if one != other and (one.n + plan.n) % 2 == 0:
                yield other.invalidate(f"there is a {type(one).__name__} {one.n}").because(one)

    return run


def _sum(plan: Plan) -> Callable[[View], Emitted]:
    def run(view: View) -> Emitted:
        yield EVERY[plan.writes](sum(fact.n for place in plan.reads for fact in view.live(EVERY[place])) % VALUES)

    return run


def _count(plan: Plan) -> Callable[[View], Emitted]:
    def run(view: View) -> Emitted:
        for place in plan.reads:
            yield EVERY[plan.writes]((view.count(EVERY[place]) + plan.n) % VALUES)

    return run


def _none(plan: Plan) -> Callable[[View], Emitted]:
    """Concludes something only where nothing is found: its conclusion falls when something is."""

    def run(view: View) -> Emitted:
        if all(view.absent(EVERY[place]) for place in plan.reads):
            yield EVERY[plan.writes](plan.n)

    return run


# --- and what some do that have less in common -----------------------------------------------------------------------


def _whole(plan: Plan) -> Callable[[View], Emitted]:
    """Looks at everything it may see and answers by all of it: what it says of more is not what it says of less."""

    def run(view: View) -> Emitted:
        seen = [fact.n + place for place in plan.reads for fact in view.all(EVERY[place])]
        yield EVERY[plan.writes]((sum(seen) * len(seen) + plan.n) % VALUES)

    return run


def _loose(plan: Plan) -> Callable[[View], Emitted]:
    """Says of each what it says, and cites nothing: all of it rests on all that came with it."""
    each = _each(plan)
    return lambda view: (assertion[0] for assertion in each(view) if isinstance(assertion, Assertion))


def _mixture(plan: Plan) -> Callable[[View], Emitted]:
    """Says of each pair what it says, and cites nothing."""
    pair = _pair(plan)
    return lambda view: (assertion[0] for assertion in pair(view) if isinstance(assertion, Assertion))


def _fragile(plan: Plan) -> Callable[[View], Emitted]:
    """Fails on some views, after it has said something."""
    each = _each(plan)

    def run(view: View) -> Emitted:
        yield from each(view)
        if sum(fact.n for place in plan.reads for fact in view.new(EVERY[place])) % 3 == plan.n % 3:
            raise ValueError("not this one")

    return run


def _fickle(plan: Plan) -> Callable[[View], Emitted]:
    """Counts, and fails on some counts."""

    def run(view: View) -> Emitted:
        count = sum(view.count(EVERY[place]) for place in plan.reads)
        if count % 2 == plan.n % 2:
            raise ValueError(f"not {count}")
        yield EVERY[plan.writes]((count + plan.n) % VALUES)

    return run


def _nurse(plan: Plan) -> Callable[[View], Emitted]:
    def run(view: View) -> Emitted:
        for failure in view.new(Failure):
            yield EVERY[plan.writes]((int(failure.agent[0]) + plan.n) % VALUES).because(failure)

    return run


def _unmark(plan: Plan) -> Callable[[View], Emitted]:
    """Marks markers, its own included, twice deep."""

    def run(view: View) -> Emitted:
        for marker in view.all(Invalidation):
            for fact in view.all(EVERY[plan.reads[0]]):
                if marker.reason.count("against") < 2 and (int(marker.target[-1], 16) + fact.n + plan.n) % 2 == 0:
                    yield marker.invalidate(f"against {marker.reason}").because(fact)

    return run


def _revise(plan: Plan) -> Callable[[View], Emitted]:
    def run(view: View) -> Emitted:
        for one, other in _joined(view, plan):
            if one != other and (one.n + other.n + plan.n) % 2 == 0:
                revised = other.revise(n=(other.n + 1) % VALUES)
                if revised.fact != one:
                    yield revised.because(one)  # type: ignore[misc]

    return run


def _again(plan: Plan) -> Callable[[View], Emitted]:
    """Says what changed since it last spoke."""

    def run(view: View) -> Emitted:
        for place in plan.reads:
            kind = EVERY[place]
            yield EVERY[plan.writes]((len(view.lost(kind)) + 2 * len(view.revived(kind)) + plan.n) % VALUES)

    return run


def _best(plan: Plan) -> Callable[[View], Emitted]:
    def run(view: View) -> Emitted:
        for place in plan.reads:
            if best := view.best(EVERY[place], by=lambda fact: (fact.n + plan.n) % VALUES):
                yield EVERY[plan.writes]((best.n + plan.n) % VALUES).because(best)

    return run


def _concluded(fact: Number, *evidence: Number) -> Emitted:
    if fact not in evidence:
        yield fact.because(*evidence)


def _joined(view: View, plan: Plan) -> Iterator[tuple[Number, Number]]:
    """Every pair of one fact of the first kind and one of the last, in which at least one is new."""
    first, last = EVERY[plan.reads[0]], EVERY[plan.reads[-1]]
    old = set(view.all(first)) - set(view.new(first))
    for one in view.all(first):
        for other in view.new(last) if one in old else view.all(last):
            yield one, other


def _patient(plan: Plan, view: View) -> bool:
    return len([fact for place in plan.reads for fact in view.new(EVERY[place])]) > 1


SHAPES: dict[str, Make] = {
    "seed": _seed,
    "each": _each,
    "pair": _pair,
    "batch": _batch,
    "strike": _strike,
    "patient": _each,
    "sum": _sum,
    "count": _count,
    "none": _none,
}
MORE: dict[str, Make] = {
    "whole": _whole,
    "loose": _loose,
    "mixture": _mixture,
    "fragile": _fragile,
    "fickle": _fickle,
    "faint": _fickle,
    "nurse": _nurse,
    "unmark": _unmark,
    "revise": _revise,
    "again": _again,
    "best": _best,
    "choosy": _count,
    "replace": _each,
}
ITEMWISE = ("seed", "each", "pair", "strike")  # they say of more facts what they say of fewer, and cite what they mean
PURE = ("seed", "each", "pair", "strike", "sum", "count", "none")  # what they conclude does not depend on arrival


def agents_of(plans: Iterable[Plan]) -> list[Agent]:
    """Return one agent for each plan, named by its place and shape."""
    return [_agent(place, plan) for place, plan in enumerate(plans)]


def wirable(plans: Iterable[Plan]) -> list[Plan]:
    """Leave out, one by one, the plans that would close a circle through an agent that replaces."""
    drawn, kept = list(plans), list[Plan]()
    if not _is_circular(drawn):
        return drawn
    for plan in drawn:
        if not _is_circular([*kept, plan]):
            kept.append(plan)
    return kept


def _is_circular(plans: Iterable[Plan]) -> bool:
    return bool(Wiring(agents_of(plans), allow_disputes=True).flow.forbidden_circle())


def _agent(place: int, plan: Plan) -> Agent:
    kinds = [EVERY[place] for place in plan.reads]
    options: dict[str, Any] = {"reads": kinds, "writes": EVERY[plan.writes], "name": f"{place}-{plan.shape}"}
    if plan.shape == "seed":
        options["reads"] = ()
    elif plan.shape == "strike":
        options |= {"writes": (), "invalidates": kinds[-1]}
    elif plan.shape == "patient":
        options["accepts"] = lambda view: _patient(plan, view)
    elif plan.shape == "sum":
        options["reads"] = [Live(kind) for kind in kinds]
    elif plan.shape in ("count", "none", "best", "choosy", "fickle"):
        options["when"] = "settled"
    return agent(**{**options, **_more_options(plan, kinds)})((SHAPES | MORE)[plan.shape](plan))


def _more_options(plan: Plan, kinds: list[type[Number]]) -> dict[str, Any]:
    more: dict[str, dict[str, Any]] = {
        "fragile": {"required": plan.n % 2 == 0},
        "faint": {"reads": [Live(kind) for kind in kinds]},
        "nurse": {"reads": Failure},
        "unmark": {"reads": [kinds[0], Invalidation], "writes": (), "invalidates": Invalidation},
        "revise": {"writes": kinds[-1], "invalidates": kinds[-1]},
        "again": {"reads": [Live(kind) for kind in kinds]},
        "choosy": {"accepts": lambda view: view.count(kinds[0]) % 2 == plan.n % 2},
        "replace": {"replaces": True},
    }
    return more.get(plan.shape, {})


# --- drawing them ----------------------------------------------------------------------------------------------------


@st.composite
def plans(draw: st.DrawFn, shapes: Sequence[str] = (*SHAPES, "each", "sum", "sum"), most: int = 6) -> list[Plan]:
    """Draw the agents of a job."""
    return [draw(_plan(draw(st.sampled_from(shapes)))) for _ in range(draw(st.integers(2, most)))]


_REPLACING = ("sum", "count", "none", "again", "best", "choosy", "replace", "fickle", "faint")
_READ = (0, 0, 1, 1, 2, 3, 4)  # places in KINDS, the low ones more often: facts are given there


@st.composite
def _plan(draw: st.DrawFn, shape: str) -> Plan:
    number = draw(st.integers(0, VALUES - 1))
    replacing = shape in _REPLACING
    readable = [place for place in _READ if not replacing or LAYERS[place] < LAYERS[-1]]
    reads = draw(st.lists(st.sampled_from(readable), min_size=1, max_size=2, unique=True))
    reads.sort()  # so that what a strike may target, its last kind, is in no lower layer than its evidence
    lowest = max(LAYERS[place] for place in reads) + replacing
    writable = [place for place in range(len(KINDS)) if LAYERS[place] >= lowest]
    return Plan(shape, tuple(reads), draw(st.sampled_from(writable)), number)


@st.composite
def nets(draw: st.DrawFn, shapes: Sequence[str], most: int = 9, *, disputes: bool = False) -> list[Plan]:
    """Draw agents over some of CELLS: anybody may read what it reaches, but for those that replace, unless disputed."""
    cells = range(len(KINDS), len(KINDS) + draw(st.integers(2, 5 if disputes else len(CELLS))))
    knots = st.sampled_from(shapes).flatmap(partial(_knot, cells, disputes))
    drawn = draw(st.lists(knots, min_size=2, max_size=most))
    return drawn if disputes else wirable(drawn)


def _knot(cells: Sequence[int], disputes: bool, shape: str) -> st.SearchStrategy[Plan]:
    """Draw an agent of a net: one that replaces writes one of KINDS, unless it may lie on a circle."""
    replacing = shape in _REPLACING and not disputes
    reads = st.lists(st.sampled_from((*cells, 0, 1) if replacing else cells), min_size=1, max_size=2, unique=True)
    writes = st.sampled_from(range(len(KINDS)) if replacing else cells)
    return st.builds(Plan, st.just(shape), reads.map(tuple), writes, st.integers(0, VALUES - 1))


def cells() -> st.SearchStrategy[list[Fact]]:
    """Draw facts to be given to a net from outside."""
    fact = st.builds(lambda kind, n: kind(n), st.sampled_from(CELLS[:4]), st.integers(0, VALUES - 1))
    return st.lists(fact, min_size=1, max_size=4, unique=True)


def premises() -> st.SearchStrategy[list[Fact]]:
    """Draw facts of the lowest layer, to be given from outside."""
    return st.integers(0, 2 ** len(_GIVEN) - 1).map(_chosen)


def _chosen(bits: int) -> list[Fact]:
    return [fact for place, fact in enumerate(_GIVEN) if bits >> place & 1]


_GIVEN: list[Fact] = [kind(n) for n in range(VALUES) for kind in KINDS[:3]]


# --- driving one -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Play:
    """A job driven by hand up to its stop: its machine, the rows it committed and the effects it was told."""

    machine: Machine
    header: JobHeader
    bodies: list[str]
    effects: list[Effect] = dataclasses.field(default_factory=list)
    stop: Stop | None = None

    @property
    def context(self) -> Context:
        """The job's context."""
        return self.machine.context

    @property
    def view(self) -> View:
        """Everything known at the stop."""
        return self.machine.view()

    @property
    def spend(self) -> Spend:
        """What was spent."""
        return self.machine.spending

    @property
    def rounds(self) -> dict[str, int]:
        """The round of every fact by id."""
        return {id_of(fact): round for fact, round in zip(self.context.facts, self.context.rounds, strict=True)}

    @property
    def activations(self) -> Counter[tuple[str, int]]:
        """How often each agent completed an activation on each round, over the whole life of the job."""
        events = (event for event in self.machine.trace if isinstance(event, Activated))
        return Counter((event.agent, event.round) for event in events)

    def ran(self, name: str) -> list[int]:
        """Return the rounds that one agent read, in order."""
        return [event.round for event in self.machine.trace if isinstance(event, Activated) and event.agent == name]


Ends = Callable[[Sequence[Activation]], Iterable[Activation]]  # in which order activations end


def play(agents: Iterable[Agent], facts: Iterable[Fact] = (), *, ends: Ends = reversed, **options: Any) -> Play:
    """Run a job to its stop; `begin` says with which options."""
    return _perform_all(begin(agents, facts, **options), ends)


def begin(
    agents: Iterable[Agent],
    facts: Iterable[Fact] = (),
    *,
    intent: RootIntent | str = "a law",
    budget: Budget | None = None,
    invariants: Sequence[Invariant] = (),
    inputs: Iterable[type[Fact]] = EVERY,
    schedule: str = "lockstep",
    allow_disputes: bool = False,
) -> Play:
    """Return a job that has been started and has not yet been asked what to do."""
    intent = RootIntent(intent) if isinstance(intent, str) else intent
    wiring = Wiring(agents, [*_outside(agents), *inputs], allow_disputes=allow_disputes)
    snapshot = Snapshot("law", Context(intent), Trace(), {}, Spend(), budget or intent.budget, 0)
    machine = Machine(wiring, schedule_named(schedule), Invariants(intent, invariants), snapshot)
    machine.start(facts, 0.0)
    return Play(machine, JobHeader("law", 0.0, _content(intent)), [])


def go_on(before: Play, facts: Iterable[Fact] = (), *, ends: Ends = reversed, **options: Any) -> Play:
    """Restore a job from its rows, as another process would, and run it to its next stop; options as of `restored`."""
    return _perform_all(restored(before, facts, **options), ends)


def restored(
    before: Play,
    facts: Iterable[Fact] = (),
    *,
    budget: Budget | None = None,
    agents: Iterable[Agent] | None = None,
    invariants: Sequence[Invariant] = (),
    schedule: str | None = None,
) -> Play:
    """Restore a job from its rows and resume it; it has not yet been asked what to do."""
    following = before.machine.schedule if schedule is None else schedule_named(schedule)
    wiring = before.machine.wiring if agents is None else Wiring(agents, [*_outside(agents), *KINDS])
    snapshot = restore(StoredJob(before.header, before.bodies), wiring.kinds)
    if budget is not None:
        snapshot.budget = budget
    machine = Machine(wiring, following, Invariants(snapshot.context.intent, invariants), snapshot)
    machine.resume(facts, 0.0)
    return Play(machine, before.header, list(before.bodies), list(before.effects))


def digests(view: View) -> tuple[str, str, str]:
    """Return the three digests."""
    return view.digest(), view.live_digest(), view.proof_digest()


def facts_of(view: View) -> set[str]:
    """Return the ids of everything in an unrestricted view."""
    return {id_of(fact) for fact in view.facts()}


def perform(activation: Activation) -> Done:
    """Run one activation in place."""
    if activation.error is not None:
        return Done(activation, None, activation.error)
    view = activation.view.fresh()
    try:
        return Done(activation, seal(activation.agent, view, _listed(activation.agent.run(view))))
    except Exception as error:
        return Done(activation, None, error)


def _perform_all(job: Play, ends: Ends) -> Play:
    while job.stop is None:
        for command in job.machine.next(0.0):
            if isinstance(command, Commit):
                job.bodies.append(command.cycle.body())
            elif isinstance(command, Activate):
                for done in map(perform, ends(command.activations)):
                    if done.effect is not None:
                        job.effects.append(done.effect)
                    job.machine.receive(done)
            else:
                job.stop = command
    return job


def _listed(produced: Any) -> list[Any]:
    if produced is None:
        return []
    return [produced] if isinstance(produced, (Fact, Assertion, Revision)) else list(produced)


def _outside(agents: Iterable[Agent]) -> list[type[Fact]]:
    return [kind for agent in agents for kind in agent.kinds]


def _content(intent: RootIntent) -> str:
    from converge.fact import identified

    return identified(intent)[2].decode()
