"""(k) What it costs to be watched: a job in many rounds, and agents that ask a model, with telemetry and without.

The time is that of the CPU, of all threads; where a server is waited for, what passes, as many at once as wait for it
without being in each other's way. Beside it stands how many functions are called for an activation, which other work on
the machine disturbs little: it may let more or fewer effects be merged together. Spans go to a batch processor that
throws them away, metrics to a reader that keeps them: the SDK's part is in it, an exporter's is not.
"""

__all__ = ["cases"]

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from cProfile import Profile
from functools import partial
from importlib.util import find_spec
from time import perf_counter, process_time
from typing import Any

from benchmarks.case import Case, Figures, Plan, Setting, Variant
from benchmarks.cases.calls import asking
from benchmarks.crowd import Facts
from benchmarks.floors import SLEEP, Echo, Tick
from benchmarks.jobs import STORES, engine_on, run
from benchmarks.stub import loopback
from converge import Agent, Engine, View, agent
from converge_agents.model import Model

_AGENTS, _ASKING = 100, 5
_WORKED, _PASSED = "µs of CPU an activation", "µs an activation"


def cases(setting: Setting) -> Iterator[Plan]:
    """Without an SDK as well, where spans and instruments of the API do nothing."""
    for store in setting.of(("memory", "process"), STORES):
        yield Plan(f"watched, {store}", partial(_rounds, setting, store))
    yield Plan("watched, calls", partial(_calls, setting))


@asynccontextmanager
async def _rounds(setting: Setting, store: str) -> AsyncIterator[Case]:
    rounds = setting.of(20, 50)
    agents = [stepping(number, rounds) for number in range(_AGENTS)]
    async with AsyncExitStack() as stack:
        engines = await _engines(stack, setting, store, agents)
        title = f"(k) {_AGENTS} agents in {rounds} rounds, watched, {store}"
        yield _case(title, _WORKED, engines, _AGENTS * rounds, setting.of(1, 15))


@asynccontextmanager
async def _calls(setting: Setting) -> AsyncIterator[Case]:
    async with loopback(SLEEP) as base_url, AsyncExitStack() as stack:
        model = await stack.enter_async_context(Model("loopback", base_url=base_url, api_key="none"))
        engines = await _engines(stack, setting, "memory", [asking(model, number) for number in range(_ASKING)])
        title = f"(k) {_ASKING} agents that ask a server 50 ms away, watched"
        yield _case(title, _PASSED, engines, _ASKING, setting.of(3, 30))


def stepping(number: int, upto: int) -> Agent:
    """Return an agent that says once a round that it is there."""

    @agent(name=f"stepper-{number}", reads=(Tick, Echo), writes=Echo)
    def step(view: View) -> Facts:
        heard = view.new(Echo) or view.new(Tick)
        return [Echo(number, heard[0].n + 1)] if heard and heard[0].n < upto else []

    return step


async def _engines(stack: AsyncExitStack, setting: Setting, store: str, agents: list[Agent]) -> dict[str, Engine]:
    async def engine(telemetry: Any = None) -> Engine:
        return await stack.enter_async_context(engine_on(store, setting.folder, agents, telemetry=telemetry))

    engines = {"off": await engine()}
    if find_spec("opentelemetry") is not None:
        from converge.telemetry import Telemetry

        engines["on, no SDK"] = await engine(Telemetry())
    if find_spec("opentelemetry.sdk") is not None:
        engines["on"] = await engine(_kept(stack))
    return engines


def _kept(stack: AsyncExitStack) -> Any:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    from converge.telemetry import Telemetry

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider, meters = TracerProvider(), MeterProvider([InMemoryMetricReader()])
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    stack.callback(provider.shutdown)
    stack.callback(meters.shutdown)
    return Telemetry(provider, meters)


def _case(title: str, unit: str, engines: dict[str, Engine], activations: int, rounds: int) -> Case:
    variants = [Variant(name, _Measuring(engine, activations).measure) for name, engine in engines.items()]
    return Case(title, unit, variants, base="off", rounds=rounds, patience=60.0)


class _Measuring:
    """One engine's jobs. Functions are counted once."""

    def __init__(self, engine: Engine, activations: int) -> None:
        self._engine, self._activations = engine, activations
        self._calls = 0.0

    async def measure(self) -> Figures:
        self._calls = self._calls or await self._count()
        started, worked = perf_counter(), process_time()
        await run(self._engine, [Tick(0)])
        figures = {_PASSED: perf_counter() - started, _WORKED: process_time() - worked}
        return {
            **{unit: seconds / self._activations * 1e6 for unit, seconds in figures.items()},
            "function calls": self._calls,
        }

    async def _count(self) -> float:
        await run(self._engine, [Tick(0)])  # what is made once is made by now
        profile = Profile()
        profile.enable()
        await run(self._engine, [Tick(0)])
        profile.disable()
        counted: Any = profile.getstats()
        return sum(entry.callcount for entry in counted) / self._activations
