"""Jobs as OpenTelemetry sees them: spans of jobs, rounds, activations and calls, and what is counted and timed.

Only the API is needed (the extra `otel`): without an SDK every span and every instrument does nothing. An engine that
is given no Telemetry runs jobs that know nothing of it: what is here is put in when a job is made, and nowhere else.
"""

__all__ = ["Telemetry"]

from typing import TYPE_CHECKING, Any

from converge.errors import ExtraMissing

try:
    from opentelemetry import metrics, trace
except ModuleNotFoundError as error:
    raise ExtraMissing("converge.telemetry", "otel") from error

from converge.job import Job
from converge.telemetry.measures import Measures
from converge.telemetry.watched import WatchedJob

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

_QUICK_SPANS = 10


class Telemetry:
    """What an engine tells OpenTelemetry: `Engine(agents, telemetry=Telemetry())`.

    tracer_provider, meter_provider: where spans and metrics go; by default the global ones, as an application sets them
    up. content: also what models are asked and answer, objectives, and the texts of errors; else no word of them leaves
    the process. What the engine's `redact` takes out is in no span. quick_spans: an activation that took less than a
    millisecond, called nothing and did not fail has a span of its own only among the first so many of its job; the rest
    are counted on the span of their round. One Telemetry serves any number of engines.
    """

    def __init__(
        self,
        tracer_provider: "TracerProvider | None" = None,
        meter_provider: "MeterProvider | None" = None,
        *,
        content: bool = False,
        quick_spans: int = _QUICK_SPANS,
    ) -> None:
        self.content, self.quick_spans = content, quick_spans
        self.tracer = trace.get_tracer("converge", tracer_provider=tracer_provider)
        self.measures = Measures(metrics.get_meter("converge", meter_provider=meter_provider))

    def job(self, *begun_with: Any) -> Job:
        """Return a job that tells what happens in it; it takes what a Job takes."""
        return WatchedJob(self, *begun_with)
