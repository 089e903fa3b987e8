"""What is counted and timed over all jobs, in as few calls as will do: an instrument costs microseconds."""

__all__ = ["Measures", "Tally", "error_name"]

from collections.abc import Sequence
from typing import Any

from opentelemetry.metrics import Meter

from converge.snapshot import Cycle

_SECONDS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300]
# These two are what the GenAI conventions ask for.
_CALL_SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
_TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]


class Measures:
    """The instruments of one meter."""

    def __init__(self, meter: Meter) -> None:
        def timed(name: str, text: str, bounds: list[float]) -> Any:
            return meter.create_histogram(name, "s", text, explicit_bucket_boundaries_advisory=bounds)

        self.jobs = timed("converge.job.duration", "How long jobs ran, by why they stopped.", _SECONDS)
        self.commits = timed("converge.commit.duration", "How long jobs waited for a commit.", _SECONDS)
        self.queue = timed(
            "converge.queue.duration",
            "How long activations of a job waited to begin, at most, in a second.",
            _SECONDS,
        )
        self.calls = timed("gen_ai.client.operation.duration", "How long calls of models took.", _CALL_SECONDS)
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens of calls of models.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self.cost = meter.create_counter("converge.cost", "1", "What calls of models cost, in the currency of prices.")
        self.activations = meter.create_counter("converge.activations", "{activation}", "Activations that ended.")
        self.failures = meter.create_counter("converge.failures", "{activation}", "Those that failed, by agent.")
        self.facts = meter.create_counter("converge.facts", "{fact}", "Facts that were new to their context.")
        self.rounds = meter.create_counter("converge.rounds", "{round}", "Rounds that were begun.")


class Tally:
    """What one job adds to the counters, put together until it is told: at most once a second, and at its end."""

    def __init__(self, measures: Measures, now: float) -> None:
        self.measures, self._told = measures, now
        self.activations = self.rounds = self.facts = 0
        self._waited: float | None = None
        self._begun: set[int] = set()

    def begun(self, round: int) -> None:
        """Note that somebody is to read a round."""
        if round not in self._begun:
            self._begun.add(round)
            self.rounds += 1

    def waited(self, seconds: float) -> None:
        """Note how long the last of those that were made ready together waited to begin."""
        if self._waited is None or seconds > self._waited:
            self._waited = seconds

    def committed(self, cycles: Sequence[Cycle], now: float) -> None:
        """Note a commit, and tell what has come together if that was not done for a second."""
        self.facts += cycles[-1].upto[0] - cycles[0].since[0]
        if now - self._told > 1:
            self.tell(now)

    def tell(self, now: float) -> None:
        """Add what has come together to the counters."""
        self._told = now
        if self._waited is not None:
            self.measures.queue.record(self._waited)
            self._waited = None
        for name in ("activations", "rounds", "facts"):
            if count := getattr(self, name):
                getattr(self.measures, name).add(count)
                setattr(self, name, 0)


def error_name(error: BaseException | None) -> str:
    """Return what an error is called; "cancelled" for what is no Exception, or where there is none."""
    return type(error).__name__ if isinstance(error, Exception) else "cancelled"
