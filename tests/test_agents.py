"""Every form an agent may take, and everything it may do wrong: its effect is whole, and its siblings go on."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest

from converge import Agent, Budget, Engine, Fact, Live, Outcome, Retry, RootIntent, StopReason, View, agent, id_of, run
from converge.clock import SystemClock
from converge.errors import AgentInvalid, ForeignEmission
from converge.testing import VirtualClock
from converge.trace import Activated, ActivationFailed


class Signal(Fact):
    n: int


class Risk(Fact):
    n: int


class Note(Fact):
    n: int


@agent(reads=Signal, writes=Note)
def sibling(view: View) -> Iterator[Any]:
    for signal in view.new(Signal):
        yield Note(signal.n).because(signal)


def failure(outcome: Outcome, name: str) -> ActivationFailed:
    (event,) = (event for event in outcome.trace if isinstance(event, ActivationFailed) and event.agent == name)
    return event


def declared(function: Callable[[View], Any], **options: Any) -> Agent:
    given: dict[str, Any] = {"reads": Signal, "writes": Risk, "name": "tested"} | options
    return agent(**given)(function)


# --- forms -----------------------------------------------------------------------------------------------------------


def plain(view: View):
    return Risk(1)


def plain_assertion(view: View):
    return Risk(1).because(*view.new(Signal))


def plain_list(view: View):
    return [Risk(1), Risk(1).because(*view.new(Signal))]


def plain_tuple(view: View):
    return (Risk(1),)


def plain_set(view: View):
    return {Risk(1)}


def generator(view: View):
    yield Risk(1)


def generator_expression(view: View):
    return (Risk(signal.n) for signal in view.new(Signal))


async def async_function(view: View):
    await asyncio.sleep(0)
    return Risk(1)


async def async_list(view: View):
    return [Risk(1).because(*view.new(Signal))]


async def async_generator(view: View):
    for signal in view.new(Signal):
        await asyncio.sleep(0)
        yield Risk(1).because(signal)


def returns_a_coroutine(view: View):
    return async_function(view)


def returns_an_async_generator(view: View):
    return async_generator(view)


class CallableObject:
    def __call__(self, view: View):
        return Risk(1)


FORMS: list[Callable[[View], Any]] = [
    plain,
    plain_assertion,
    plain_list,
    plain_tuple,
    plain_set,
    generator,
    generator_expression,
    async_function,
    async_list,
    async_generator,
    returns_a_coroutine,
    returns_an_async_generator,
    CallableObject(),
]
NAMES = [getattr(form, "__name__", "callable object") for form in FORMS]


@pytest.mark.parametrize("form", FORMS, ids=NAMES)
@pytest.mark.parametrize("threaded", [False, True], ids=["in place", "in a thread"])
def test_every_form_of_agent_emits_its_facts(form: Callable[[View], Any], threaded: bool):
    """Functions, generators, their asynchronous twins and callable objects, in place or in a thread."""
    outcome = run([declared(form, threaded=threaded), sibling], "law", [Signal(1)])
    assert outcome.converged
    assert outcome.context.live(Risk) == (Risk(1),)
    assert outcome.why(Risk(1)).agent == "tested"


async def async_none(view: View):
    return None


async def async_empty(view: View) -> AsyncIterator[Fact]:
    for _ in ():
        yield Risk(1)


@pytest.mark.parametrize(
    "form", [lambda view: None, lambda view: [], lambda view: iter(()), lambda view: set(), async_none, async_empty]
)
def test_an_agent_may_emit_nothing(form: Callable[[View], Any]):
    """Nothing is an answer: the activation is complete and the job converges."""
    outcome = run([declared(form)], "law", [Signal(1)])
    assert outcome.converged
    assert [event.facts for event in outcome.trace if isinstance(event, Activated)] == [0]
    assert outcome.context.all(Risk) == ()


class Assessor:
    reads = Signal
    writes = (Risk,)
    retry = 2

    def __init__(self, name: str = "assessor") -> None:
        self.name, self.tries = name, 0

    def run(self, view: View):
        self.tries += 1
        if self.tries < 2:
            raise ValueError("not yet")
        return [Risk(signal.n).because(signal) for signal in view.new(Signal)]


class Silent:
    reads = (Live(Signal),)

    async def run(self, view: View):
        return None


def test_an_object_with_run_is_an_agent_with_its_attributes_as_options():
    """The options are those of the decorator; what is not there has its default."""
    engine = Engine([Assessor()])
    (one,) = engine.agents
    assert (one.name, one.reads, one.writes, one.retry) == ("assessor", (Signal,), (Risk,), Retry(2))
    assert run(engine, "law", [Signal(1)]).context.live(Risk) == (Risk(1),)


def test_an_object_without_a_name_is_named_after_its_class():
    """And one class may serve under two names."""
    engine = Engine([Silent(), Assessor("a"), Assessor("b")])
    assert [one.name for one in engine.agents] == ["Silent", "a", "b"]


def test_a_decorated_function_can_be_called_as_one():
    """An agent is tested with a view and nothing else."""
    outcome = run([sibling], "law", [Signal(1)])
    assert [assertion.fact for assertion in sibling(outcome.context)] == [Note(1)]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (plain, "decorate the function"),
        (Assessor, "pass an object of it"),
        (3, "decorate the function"),
    ],
)
def test_what_is_no_agent_is_refused_with_the_remedy(given: object, reason: str):
    """When the engine is built, before any job runs."""
    with pytest.raises(AgentInvalid, match=reason):
        Engine([given])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"reads": int}, "reads takes subclasses of Fact"),
        ({"reads": Fact}, "reads takes subclasses of Fact"),
        ({"writes": Live(Risk)}, "writes takes subclasses of Fact"),
        ({"invalidates": "Risk"}, "invalidates takes subclasses of Fact"),
        ({"when": "later"}, "when='later'"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"retry": 0}, "at least 1"),
    ],
)
def test_a_declaration_that_says_nothing_sensible_is_refused(options: dict[str, Any], reason: str):
    """By the agent's name and the option."""
    with pytest.raises(AgentInvalid, match=reason):
        declared(plain, **options)


def test_an_agent_without_a_name_is_refused():
    """Its name says whose conclusions they are."""
    with pytest.raises(AgentInvalid, match="must be a text"):
        Agent(name="", run=plain)


# --- what agents do wrong --------------------------------------------------------------------------------------------


def raises(view: View):
    raise ValueError("no good")


async def raises_later(view: View):
    await asyncio.sleep(0)
    raise LookupError("no good")


def raises_after_yielding(view: View):
    yield Risk(1)
    raise KeyError("no good")


async def raises_after_yielding_later(view: View):
    yield Risk(1)
    await asyncio.sleep(0)
    raise TypeError("no good")


def raises_stop_iteration(view: View):
    raise StopIteration


async def raises_a_group(view: View):
    raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])


async def cancels_itself(view: View):
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)
    return Risk(1)


async def raises_cancellation(view: View):
    raise asyncio.CancelledError


async def cancels_a_scope_of_its_own_too_widely(view: View):
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anyio.sleep_forever()
    raise RuntimeError("cancelled inside")


def leaves(view: View):
    raise SystemExit(3)


def returns_a_number(view: View):
    return 3


def returns_text(view: View):
    return "Risk(1)"


def returns_a_mapping(view: View):
    return {"n": 1}


def returns_a_class(view: View):
    return Risk


def yields_a_number(view: View):
    yield Risk(1)
    yield 3


def yields_none(view: View):
    yield None


async def yields_text_later(view: View):
    yield "Risk(1)"


def writes_undeclared(view: View):
    return [Risk(1), Note(7)]


def reads_undeclared(view: View):
    return [Risk(note.n) for note in view.all(Note)]


def reads_liveness_undeclared(view: View):
    return Risk(view.count(Signal))


def cites_the_unknown(view: View):
    return Risk(1).because(Note(99))


def cites_itself(view: View):
    return Risk(1).because(Risk(1))


def invalidates_undeclared(view: View):
    (signal,) = view.new(Signal)
    return signal.invalidate("wrong").because(signal)


def emits_what_json_cannot_hold(view: View):
    return Risk(float("nan"))  # type: ignore[arg-type]  # the point of this form


BAD: list[tuple[Callable[[View], Any], str]] = [
    (raises, "ValueError"),
    (raises_later, "LookupError"),
    (raises_after_yielding, "KeyError"),
    (raises_after_yielding_later, "TypeError"),
    (raises_stop_iteration, "RuntimeError"),
    (raises_a_group, "ExceptionGroup"),
    (cancels_itself, "CancelledError"),
    (raises_cancellation, "CancelledError"),
    (cancels_a_scope_of_its_own_too_widely, "RuntimeError"),
    (leaves, "SystemExit"),
    (returns_a_number, "ForeignEmission"),
    (returns_text, "ForeignEmission"),
    (returns_a_mapping, "ForeignEmission"),
    (returns_a_class, "ForeignEmission"),
    (yields_a_number, "ForeignEmission"),
    (yields_none, "ForeignEmission"),
    (yields_text_later, "ForeignEmission"),
    (writes_undeclared, "UndeclaredWrite"),
    (reads_undeclared, "UndeclaredRead"),
    (reads_liveness_undeclared, "NonMonotoneRead"),
    (cites_the_unknown, "EvidenceInvalid"),
    (cites_itself, "EvidenceInvalid"),
    (invalidates_undeclared, "UndeclaredWrite"),
    (emits_what_json_cannot_hold, "ValidationError"),
]


@pytest.mark.parametrize(("bad", "error"), BAD, ids=[bad.__name__ for bad, _ in BAD])
def test_an_agent_that_does_wrong_contributes_nothing_and_its_siblings_go_on(bad, error):
    """The failure is recorded by agent and error; whatever had been emitted before counts for nothing."""
    outcome = run([declared(bad), sibling], "law", [Signal(1)])
    assert outcome.stop.reason is StopReason.AGENT_FAILED
    assert failure(outcome, "tested").error == error
    assert outcome.context.all(Risk) == ()
    assert outcome.context.live(Note) == (Note(1),)


def test_of_several_facts_that_cannot_be_cited_the_first_is_named():
    """It stands in the trace, which must not depend on how a set is ordered."""
    unknown = [Note(number) for number in range(90, 100)]

    @agent(reads=Signal, writes=Risk)
    def tested(view: View):
        return Risk(1).because(*unknown)

    outcome = run([tested], "law", [Signal(1)])
    assert f"it cites {id_of(unknown[0])}" in str(outcome.errors["tested"])


@pytest.mark.parametrize("bad", [cancels_itself, raises_cancellation])
def test_an_agent_that_cancels_itself_leaves_nothing_behind_in_its_worker(bad):
    """Who runs next in the same task is not about to be cancelled and may use scopes and groups of its own."""
    pending: list[int] = []

    @agent(reads=[Signal, Note], writes=Risk)
    async def next_one(view: View):
        task = asyncio.current_task()
        assert task is not None
        pending.append(task.cancelling())
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        return [Risk(note.n) for note in view.new(Note)]

    outcome = run([declared(bad, name="a", required=False), sibling, next_one], "law", [Signal(1)])
    assert outcome.converged
    assert (set(pending), outcome.missing) == ({0}, ("a",))


def test_the_error_of_a_foreign_emission_names_agent_and_type():
    """And says what may be emitted."""
    outcome = run([declared(returns_a_number)], "law", [Signal(1)])
    assert failure(outcome, "tested").text == str(ForeignEmission("tested", 3))
    assert "agent tested emitted a value of type int" in str(outcome.stop)


def test_an_agent_that_fails_once_may_succeed_on_growth():
    """Its sibling's conclusion is what it had been missing."""

    @agent(reads=[Signal, Note], writes=Risk)
    def needs_both(view: View):
        (note,) = view.all(Note)
        return Risk(note.n).because(note)

    outcome = run([needs_both, sibling], "law", [Signal(1)])
    assert outcome.converged
    assert outcome.context.live(Risk) == (Risk(1),)


def test_what_is_emitted_after_the_end_is_not_emitted():
    """A list that grows after it was returned, even while the job goes on, adds nothing to the effect."""
    kept: list[Fact] = [Risk(1)]

    async def returns_and_goes_on(view: View):
        asyncio.get_running_loop().call_soon(kept.append, Risk(2))
        return kept

    @agent(reads=Note, writes=Note)
    async def later(view: View):
        await asyncio.sleep(0)
        return [Note(note.n + 1).because(note) for note in view.new(Note) if note.n < 5]

    outcome = run([declared(returns_and_goes_on), sibling, later], "law", [Signal(1)])
    assert len(kept) == 2
    assert outcome.context.all(Risk) == (Risk(1),)


# --- without end -----------------------------------------------------------------------------------------------------


def yields_forever(view: View):
    n = 0
    while True:
        yield Risk(n)
        n += 1


def yields_one_fact_forever(view: View):
    while True:
        yield Risk(1)


async def yields_forever_later(view: View):
    n = 0
    while True:
        yield Risk(n)
        n += 1


@pytest.mark.parametrize("bad", [yields_forever, yields_one_fact_forever, yields_forever_later])
@pytest.mark.parametrize("threaded", [False, True], ids=["in place", "in a thread"])
def test_an_agent_that_yields_forever_is_capped(bad, threaded: bool):
    """The emissions of one activation have an end, whether they are new or not."""
    outcome = run(Engine([declared(bad, threaded=threaded), sibling], max_emissions=50), "law", [Signal(1)])
    assert failure(outcome, "tested").error == "TooManyEmissions"
    assert "more than 50" in failure(outcome, "tested").text
    assert outcome.context.all(Risk) == ()
    assert outcome.context.live(Note) == (Note(1),)


@pytest.mark.parametrize(("count", "kept"), [(50, 50), (51, 0)])
def test_as_many_emissions_as_the_cap_are_allowed(count: int, kept: int):
    """The cap is a limit, not the first thing beyond it."""
    outcome = run(Engine([declared(lambda view: map(Risk, range(count)))], max_emissions=50), "law", [Signal(1)])
    assert len(outcome.context.live(Risk)) == kept


def test_a_capped_generator_is_closed():
    """What it holds is let go of, whichever kind of generator it is."""
    closed: list[str] = []

    def held(view: View):
        try:
            yield from yields_forever(view)
        finally:
            closed.append("plain")

    async def held_later(view: View):
        try:
            while True:
                yield Risk(1)
        finally:
            await asyncio.sleep(0)
            closed.append("async")

    agents = [declared(held, name="plain"), declared(held_later, name="async")]
    assert run(Engine(agents, max_emissions=5), "law", [Signal(1)]).stop.reason is StopReason.AGENT_FAILED
    assert sorted(closed) == ["async", "plain"]


@pytest.mark.asyncio
async def test_an_agent_that_never_ends_is_ended_by_its_timeout():
    """Its siblings' round goes on without it, and the failure says how long it was waited for."""
    async with VirtualClock() as clock:
        engine = Engine([declared(lambda view: clock.sleep(1e9), timeout=5), sibling], clock=clock)
        outcome = await engine.run("law", [Signal(1)])
    assert failure(outcome, "tested").error == "AgentTimeout"
    assert "timeout of 5 s" in failure(outcome, "tested").text
    assert outcome.context.live(Note) == (Note(1),)
    assert clock.elapsed() == 5


@pytest.mark.asyncio
async def test_an_agent_that_never_ends_is_ended_by_the_budget_of_seconds():
    """What had been merged is there, and the stop says who had more to read."""
    async with VirtualClock() as clock:
        engine = Engine([declared(lambda view: clock.sleep(1e9)), sibling], clock=clock)
        outcome = await engine.run(RootIntent("law", budget=Budget(seconds=30)), [Signal(1)])
    assert (outcome.stop.reason, outcome.stop.detail) == (StopReason.BUDGET, ("seconds",))
    assert [item.agent for item in outcome.stop.unread] == ["tested"]
    assert outcome.context.live(Note) == (Note(1),)
    assert outcome.spend.seconds == pytest.approx(30)


@pytest.mark.asyncio
async def test_a_timed_out_generator_is_closed_and_counts_for_nothing():
    """What it had yielded in time is not half an effect."""
    closed: list[bool] = []

    async def slow(view: View):
        try:
            yield Risk(1)
            await clock.sleep(1e9)
            yield Risk(2)
        finally:
            closed.append(True)

    async with VirtualClock() as clock:
        outcome = await Engine([declared(slow, timeout=5)], clock=clock).run("law", [Signal(1)])
    assert failure(outcome, "tested").error == "AgentTimeout"
    assert closed == [True]
    assert outcome.context.all(Risk) == ()


@pytest.mark.asyncio
async def test_an_agent_that_ends_in_time_is_not_timed_out():
    """The limit counts for one attempt, and only until it has ended."""

    async def quick(view: View):
        await clock.sleep(4)
        return Risk(1)

    async with VirtualClock() as clock:
        outcome = await Engine([declared(quick, timeout=5)], clock=clock).run("law", [Signal(1)])
    assert outcome.converged
    (event,) = (event for event in outcome.trace if isinstance(event, Activated))
    assert event.seconds == 4


@pytest.mark.asyncio
async def test_a_timeout_of_its_own_inside_an_agent_is_its_own_affair():
    """The runtime tells its deadline from the agent's."""

    async def careful(view: View):
        with clock.move_on_after(1):
            await clock.sleep(1e9)
        return Risk(1)

    async with VirtualClock() as clock:
        outcome = await Engine([declared(careful, timeout=5)], clock=clock).run("law", [Signal(1)])
    assert outcome.context.live(Risk) == (Risk(1),)


@pytest.mark.asyncio
async def test_agents_of_one_round_run_side_by_side():
    """Ten that wait a minute each take a minute together."""

    async def slow(view: View):
        await clock.sleep(60)

    async with VirtualClock() as clock:
        agents = [declared(slow, name=f"slow {n}") for n in range(10)]
        assert (await Engine(agents, clock=clock).run("law", [Signal(1)])).converged
    assert clock.elapsed() == 60


# --- retries ---------------------------------------------------------------------------------------------------------


class Flaky:
    """Fails the first times it runs, noting when it was tried."""

    def __init__(self, clock: VirtualClock, failures: int, error: type[Exception] = ConnectionError) -> None:
        self.clock, self.failures, self.error, self.tried = clock, failures, error, list[float]()

    async def __call__(self, view: View):
        self.tried.append(self.clock.elapsed())
        signals = view.new(Signal)
        if len(self.tried) <= self.failures:
            raise self.error("not now")
        return [Risk(signal.n) for signal in signals]


@pytest.mark.asyncio
async def test_a_failed_attempt_is_tried_again_after_a_wait_that_doubles_up_to_a_limit():
    """The waits are the policy's, on the job's clock."""
    async with VirtualClock() as clock:
        flaky = Flaky(clock, failures=5)
        policy = Retry(attempts=6, wait_seconds=1, most_seconds=5)
        outcome = await Engine([declared(flaky, retry=policy)], clock=clock).run("law", [Signal(1)])
    assert outcome.converged
    assert flaky.tried == [0, 1, 3, 7, 12, 17]
    assert outcome.context.live(Risk) == (Risk(1),)


@pytest.mark.asyncio
async def test_after_the_last_attempt_the_last_error_is_the_activations():
    """The record says how many attempts were made; they are one activation together."""
    async with VirtualClock() as clock:
        flaky = Flaky(clock, failures=9)
        outcome = await Engine([declared(flaky, retry=3), sibling], clock=clock).run("law", [Signal(1)])
    assert (failure(outcome, "tested").error, failure(outcome, "tested").attempts) == ("ConnectionError", 3)
    assert outcome.spend.activations == 2
    assert len(flaky.tried) == 3


@pytest.mark.asyncio
async def test_what_the_policy_does_not_name_is_not_tried_again():
    """A programming error is not cured by waiting."""
    async with VirtualClock() as clock:
        flaky = Flaky(clock, failures=9, error=TypeError)
        policy = Retry(attempts=5, on=(ConnectionError, TimeoutError))
        outcome = await Engine([declared(flaky, retry=policy)], clock=clock).run("law", [Signal(1)])
    assert failure(outcome, "tested").attempts == len(flaky.tried) == 1


@pytest.mark.asyncio
async def test_each_attempt_has_the_whole_timeout():
    """And one that runs into it is tried again like one that raised."""
    tried: list[float] = []

    async def slow_at_first(view: View):
        tried.append(clock.elapsed())
        await clock.sleep(9 if len(tried) < 3 else 1)
        return Risk(1)

    async with VirtualClock() as clock:
        slow = declared(slow_at_first, timeout=2, retry=Retry(attempts=3, wait_seconds=1))
        outcome = await Engine([slow], clock=clock).run("law", [Signal(1)])
    assert outcome.context.live(Risk) == (Risk(1),)
    assert tried == [0, 3, 7]


@pytest.mark.asyncio
async def test_a_retried_activation_rests_on_what_its_last_attempt_read():
    """Evidence of an attempt that failed is not a reason for anything."""
    tries: list[int] = []

    def reads_less_and_less(view: View):
        tries.append(1)
        signals = view.all(Signal) if len(tries) == 1 else view.all(Signal, 2)
        if len(tries) == 1:
            raise ConnectionError
        return Risk(len(signals))

    async with VirtualClock() as clock:
        outcome = await Engine([declared(reads_less_and_less, retry=2)], clock=clock).run("law", [Signal(1), Signal(2)])
    assert outcome.why(Risk(1)).premises() == (Signal(2),)


@pytest.mark.asyncio
async def test_an_agent_that_cancels_itself_is_not_tried_again():
    """Cancellation is not an error to wait out."""
    async with VirtualClock() as clock:
        outcome = await Engine([declared(cancels_itself, retry=3)], clock=clock).run("law", [Signal(1)])
    assert failure(outcome, "tested").attempts == 1


# --- threads ---------------------------------------------------------------------------------------------------------


def test_a_threaded_agent_runs_in_another_thread_to_the_end_of_its_generator():
    """Blocking code between two emissions does not block the loop either."""
    threads: list[int] = []

    def blocking(view: View):
        threads.append(threading.get_ident())
        yield Risk(1)
        threads.append(threading.get_ident())

    outcome = run([declared(blocking, threaded=True)], "law", [Signal(1)])
    assert outcome.context.live(Risk) == (Risk(1),)
    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads


def test_a_plain_agent_runs_in_place():
    """A rule that computes for microseconds is not worth a thread."""
    threads: list[int] = []
    run([declared(lambda view: threads.append(threading.get_ident()))], "law", [Signal(1)])
    assert threads == [threading.get_ident()]


def test_threaded_agents_run_at_the_same_time():
    """Each of two waits for the other: one after the other they would never meet."""
    meeting = threading.Barrier(2, timeout=30)

    def meet(view: View):
        meeting.wait()
        return Risk(1)

    outcome = run([declared(meet, threaded=True, name=name) for name in ("a", "b")], "law", [Signal(1)])
    assert outcome.converged


class ToldClock(SystemClock):
    """A clock whose deadlines pass when it is told so: virtual time cannot know what a thread is doing."""

    def __init__(self) -> None:
        self.deadlines: dict[float, anyio.CancelScope] = {}

    def move_on_after(self, seconds: float) -> anyio.CancelScope:
        self.deadlines[seconds] = anyio.CancelScope()
        return self.deadlines[seconds]


@pytest.mark.asyncio
async def test_a_threaded_agent_that_never_returns_is_abandoned_after_its_timeout():
    """Its thread goes on by itself; what it returns one day is no longer wanted."""
    clock, loop = ToldClock(), asyncio.get_running_loop()
    release, left = threading.Event(), threading.Event()

    def stuck(view: View):
        loop.call_soon_threadsafe(clock.deadlines[5].cancel)
        release.wait(30)
        left.set()
        return Risk(1)

    engine = Engine([declared(stuck, threaded=True, timeout=5), sibling], clock=clock)
    outcome = await engine.run("law", [Signal(1)])
    assert not left.is_set()
    release.set()
    assert left.wait(30)
    assert failure(outcome, "tested").error == "AgentTimeout"
    assert outcome.context.all(Risk) == ()
    assert outcome.context.live(Note) == (Note(1),)
