"""A job that tells what happens in it, and its pool. They add to what they inherit, and change nothing of it."""

__all__ = ["WatchedJob"]

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from opentelemetry import context as current
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from converge.capture import Question
from converge.command import Activation, Done
from converge.job import Job
from converge.machine import Machine
from converge.pool import Pool
from converge.snapshot import Cycle
from converge.stop import StopReason
from converge.telemetry.calls import call_of
from converge.telemetry.measures import Tally, error_name
from converge.telemetry.spans import JobSpans, failed
from converge.writer import Writer

if TYPE_CHECKING:
    from converge.telemetry import Telemetry

_ROUND = attrgetter("view.round")


class WatchedJob(Job):
    """A Job of an engine that has a Telemetry."""

    def __init__(self, telemetry: "Telemetry", *begun_with: Any) -> None:
        super().__init__(*begun_with)
        self._telemetry = telemetry

    async def _live(self) -> None:
        clock, measures = self._clock, self._telemetry.measures
        began = clock.elapsed()
        about = {"converge.job.id": self.job_id, "gen_ai.operation.name": "invoke_workflow"}
        span = self._telemetry.tracer.start_span("converge.job", attributes=about, start_time=int(clock.now() * 1e9))
        self._tally = Tally(measures, began)
        quick, words = self._telemetry.quick_spans, str if self._telemetry.content else None
        self._spans = JobSpans(self._telemetry.tracer, span, clock, quick=quick, words=words)
        token = current.attach(set_span_in_context(span))
        try:
            await super()._live()
        finally:
            current.detach(token)
            self._spans.end_all()
            self._tally.tell(clock.elapsed())
            measures.jobs.record(clock.elapsed() - began, {"converge.stop": self._tell_end(span)})
            span.end(int(clock.now() * 1e9))

    async def _drive(self, machine: Machine, writer: Writer) -> None:
        self._spans.knowledge, redact = machine.context, machine.job.captures.redact
        if self._telemetry.content and redact is not None:
            self._spans.words = redact
        self._pooled = partial(WatchedPool, self._spans, self._tally)
        # Of these two alone: nobody else's job asks whether it is watched.
        machine.receive = self._receiving(machine.receive)  # type: ignore[assignment, method-assign]
        writer.commit = partial(self._committed, writer.commit, durable=writer.durable)  # type: ignore[method-assign]
        machine.job.captures.through = self._through
        await super()._drive(machine, writer)

    def _receiving(self, receive: Callable[[Done], None]) -> Callable[[Done], None]:
        tally, spans, failures = self._tally, self._spans, self._telemetry.measures.failures

        def received(done: Done) -> None:
            tally.activations += 1
            if done.error is not None:
                about = {"gen_ai.agent.name": done.activation.agent.name, "error.type": type(done.error).__name__}
                failures.add(1, about)
            if spans.are_seen:
                spans.end(done)
            receive(done)

        return received

    async def _committed(self, commit: Callable[..., Awaitable[None]], *cycles: Cycle, durable: bool) -> None:
        began = self._clock.elapsed()
        await commit(*cycles)
        now = self._clock.elapsed()
        if durable:  # memory keeps nobody waiting
            self._telemetry.measures.commits.record(now - began)
        self._tally.committed(cycles, now)

    def _through(self, question: Question, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that is to be captured as one with a span of its own."""
        what, words, measures = call_of(question, call), self._spans.words, self._telemetry.measures

        async def made(*arguments: Any) -> Any:
            began = self._clock.elapsed()
            about = {**what.about, **what.words_before(arguments, words)} if words else what.about
            span = self._telemetry.tracer.start_span(
                what.span, kind=what.kind, attributes=about, start_time=self._spans.at(began)
            )
            token = current.attach(set_span_in_context(span))
            try:
                value = call(*arguments)
                value = await value if hasattr(value, "__await__") else value
            except BaseException as error:
                failed(span, error, words)
                what.measure(measures, self._clock.elapsed() - began, {}, error_name(error))
                raise
            else:
                told = what.told(value)
                what.measure(measures, self._clock.elapsed() - began, told)
                if span.is_recording():
                    span.set_attributes({**told, **what.words_after(value, words)} if words else told)
                return value
            finally:
                current.detach(token)
                span.end(self._spans.at(self._clock.elapsed()))

        return made

    def _tell_end(self, span: Span) -> str:
        """Say on the job's span how it ended, and return that in one word."""
        if self._outcome is None:
            if self._error is None:
                span.set_attribute("converge.stop", StopReason.CANCELLED.value)
                return StopReason.CANCELLED.value
            failed(span, self._error, self._spans.words)
            return type(self._error).__name__
        outcome, spend = self._outcome, self._outcome.spend._asdict()
        reason = outcome.stop.reason
        span.set_attributes({f"converge.spend.{name}": value for name, value in spend.items()})
        span.set_attributes({"converge.stop": reason.value, "converge.cycles": outcome.cycles})
        if self._spans.words is not None:
            span.set_attribute("converge.objective", self._spans.words(outcome.context.intent.objective))
        if reason is StopReason.AGENT_FAILED:
            span.set_status(Status(StatusCode.ERROR))
        return reason.value


class WatchedPool(Pool):
    """A Pool whose agents run in the context of their activation's span."""

    def __init__(self, spans: JobSpans, tally: Tally, *made_with: Any) -> None:
        super().__init__(*made_with)
        self._spans, self._tally = spans, tally
        self._last: dict[str, float] = {}  # of those made ready together, by agent, and since when it waits

    def submit(self, activations: Iterable[Activation]) -> None:
        """Note that activations are ready."""
        activations, now = tuple(activations), self._clock.elapsed()
        for round, count in Counter(map(_ROUND, activations)).items():
            self._tally.begun(round)
            if self._spans.are_seen:
                self._spans.ready(round, count, now)
        if activations:
            self._last[activations[-1].agent.name] = now
        super().submit(activations)

    def _perform(self, activation: Activation, started: float) -> Coroutine[Any, Any, float | None]:
        """Enter the activation's context: its agent runs in a copy of it, and the next activation enters another."""
        if self._last and activation.agent.name in self._last:
            self._tally.waited(started - self._last.pop(activation.agent.name))
        if self._spans.are_seen:
            current.attach(self._spans.begin(activation, started))
        return Pool._perform(self, activation, started)  # `super()` is a call more

    async def _attend(self) -> None:
        """Leave the context of the last activation: what follows is the job's."""
        if self._spans.are_seen:
            current.attach(self._spans.context)
        await super()._attend()
