"""The spans of one job: itself, the rounds that agents are reading, and their activations.

A round's span covers a stretch in which somebody is reading it: under `frontier` there may be more than one for the
same round, and stretches of several rounds at once. Times are those of the job's clock.
"""

__all__ = ["JobSpans", "failed"]

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanContext, Status, StatusCode, Tracer, set_span_in_context

from converge.agent import Agent
from converge.command import Activation, Done
from converge.context import Context as Knowledge
from converge.fact import id_of
from converge.mishap import text_of
from converge.ports import Clock
from converge.telemetry.late import LateSpan
from converge.telemetry.measures import error_name

Words = Callable[[str], str] | None
_QUICK = 0.001  # seconds
_MOST_LINKS = 128  # what SDKs keep of them, unless they are told otherwise
_MOST_LOOKED_AT = 1_000  # facts of one kind that links are looked for
(_CURRENT,) = set_span_in_context(INVALID_SPAN, Context())  # under which a context has its span


class Stretch(LateSpan):
    """A stretch of a round. `open`: how many activations are under way in it; `quick`: those without a span."""

    __slots__ = ("open", "quick", "round", "spans", "started")

    def __init__(self, spans: "JobSpans", round: int, started: float) -> None:
        self.span = self.over = None
        self.spans, self.round, self.started = spans, round, started
        self.open = self.quick = 0

    def made(self) -> Span:
        """Return its span."""
        return self.spans.begun("converge.round", self.spans.context, self.started, {"converge.round": self.round})


class Reading(LateSpan):
    """One activation under way."""

    __slots__ = ("_agent", "started", "stretch")

    def __init__(self, stretch: Stretch, agent: Agent, started: float) -> None:
        self.span = self.over = None
        self.stretch, self._agent, self.started = stretch, agent, started

    def made(self) -> Span:
        """Return its span."""
        return self.told({}, ())

    def told(self, how_it_ended: Mapping[str, Any], links: Sequence[Link]) -> Span:
        """Return its span, with what is known of its end."""
        agent = self._agent
        about = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": agent.name,
            "gen_ai.agent.version": agent.version,
            "converge.round": self.stretch.round,
            **how_it_ended,
        }
        spans = self.stretch.spans
        parent = set_span_in_context(self.stretch, spans.context)
        return spans.begun(f"invoke_agent {agent.name}", parent, self.started, about, links)


class JobSpans:
    """What is under way in one job. `quick`: how many quick activations may yet have spans of their own.

    words: makes of a text what may be told of it; None lets no text be told. are_seen: whether anybody records them;
    where nobody does, as in a trace that is not sampled, rounds and activations need not be told of.
    """

    def __init__(self, tracer: Tracer, job: Span, clock: Clock, *, quick: int, words: Words) -> None:
        self._tracer, self._clock, self._quick, self.words = tracer, clock, quick, words
        self.context, self.are_seen = set_span_in_context(job), job.is_recording()
        self.knowledge: Knowledge | None = None
        self._began = clock.now() - clock.elapsed()
        self._stretches: dict[int, Stretch] = {}
        self._open: dict[str, Reading] = {}  # by agent: each has one activation under way
        self._sources: dict[str, list[SpanContext]] = {}  # by fact id, the activations that stated it
        self._links: dict[int, Link] = {}  # by the number of a span: making one takes as long as finding it

    # --- what happens; of an activation this is all that must be cheap -----------------------------------------------

    def ready(self, round: int, count: int, now: float) -> None:
        """Note that so many activations are to read a round."""
        stretch = self._stretches.get(round)
        if stretch is None:
            stretch = self._stretches[round] = Stretch(self, round, now)
        stretch.open += count

    def begin(self, activation: Activation, started: float) -> Context:
        """Return the context that an activation runs in."""
        agent = activation.agent
        reading = self._open[agent.name] = Reading(self._stretches[activation.view.round], agent, started)
        current: Any = {**self.context, _CURRENT: reading}  # a Context takes as long as a third of all this
        return current  # type: ignore[no-any-return]

    def end(self, done: Done) -> None:
        """Note how an activation ended."""
        reading = self._open.pop(done.activation.agent.name)
        stretch, ended = reading.stretch, reading.started + done.seconds
        if reading.span is None and self._quick <= 0 and done.seconds < _QUICK and done.error is None:
            stretch.quick += 1
            reading.over = self._began + ended
        else:
            self._tell(reading, done, self.at(ended))
        stretch.open -= 1
        if not stretch.open:
            del self._stretches[stretch.round]
            self._close(stretch, ended)

    def end_all(self) -> None:
        """End what was under way when the job was cancelled."""
        now = self._clock.elapsed()
        for reading in self._open.values():
            failed(reading.real(), None)
            reading.end(self.at(now))
        for stretch in self._stretches.values():
            self._close(stretch, now)

    def begun(
        self, name: str, parent: Context, started: float, about: Mapping[str, Any], links: Sequence[Link] = ()
    ) -> Span:
        """Return a span that began at some moment of the job's clock."""
        return self._tracer.start_span(name, parent, attributes=about, links=links, start_time=self.at(started))

    def at(self, moment: float) -> int:
        """Return a moment of the job's clock in nanoseconds since the epoch."""
        return int((self._began + moment) * 1e9)

    # --- within -------------------------------------------------------------------------------------------------

    def _tell(self, reading: Reading, done: Done, ended: int) -> None:
        """End an activation's span with what is known of it; said at once where nobody needed it before."""
        emissions = () if done.effect is None else done.effect.emissions
        about = {"converge.facts": len(emissions), **({"converge.attempts": done.attempts} if done.error else {})}
        links = self._links_of(done)
        if reading.span is None:
            self._quick -= 1
            span = reading.span = reading.told(about, links)
        else:
            span = reading.span
            span.set_attributes(about)
            for link in links:
                span.add_link(link.context)
        if done.error is not None:
            failed(span, done.error, self.words)
        for emission in emissions:
            self._sources.setdefault(emission.fact_id, []).append(span.get_span_context())
        span.end(ended)

    def _links_of(self, done: Done) -> list[Link]:
        """Return links to the activations whose facts one was shown, or cites."""
        if not self._sources:
            return []
        read = {one.span_id: one for fact_id in self._shown(done) for one in self._sources.get(fact_id, ())}
        return [
            self._links.get(number) or self._links.setdefault(number, Link(source))
            for number, source in islice(read.items(), _MOST_LINKS)
        ]

    def _shown(self, done: Done) -> Iterator[str]:
        assert self.knowledge is not None
        emissions = () if done.effect is None else done.effect.emissions
        yield from (cited for emission in emissions for cited in emission.evidence or ())
        given = done.activation.view.given()
        if done.effect is not None and done.effect.given is not None:
            given = done.effect.given  # where it was tried again, the view that counted was another
        for part in given.ranges:
            log = self.knowledge.kinds[part.kind]
            yield from map(id_of, islice(log.between(part.after, part.upto), _MOST_LOOKED_AT))
        yield from (id_of(self.knowledge.facts[place]) for place in given.picks[:_MOST_LOOKED_AT])

    def _close(self, stretch: Stretch, now: float) -> None:
        if stretch.span is not None and stretch.quick:
            stretch.span.set_attribute("converge.quick_activations", stretch.quick)
        stretch.end(self.at(now))


def failed(span: Span, error: BaseException | None, words: Words = None) -> None:
    """Say on a span what it ended with; None, or what is no Exception: it was called off, and that is no error."""
    span.set_attribute("error.type", error_name(error))
    if isinstance(error, Exception):
        span.set_status(Status(StatusCode.ERROR, None if words is None else words(text_of(error))))
