"""A span that is there for whoever asks, and begun at the time it had to begin only when somebody does.

Most activations take less time than a span. They are current all the same while their agent runs, so that whatever it
begins has the right parent; but nobody pays for a span that nobody needs.
"""

__all__ = ["LateSpan"]

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span, SpanContext, Status, StatusCode


class LateSpan(Span):
    """Passes everything on to a span that is made when it is first needed.

    span: None until then. over: when it ended unmade, in seconds since the epoch.
    """

    __slots__ = ("over", "span")

    span: Span | None
    over: float | None

    @abstractmethod
    def made(self) -> Span:
        """Return the span, begun when it had to begin."""

    def real(self) -> Span:
        """Return the span itself."""
        if self.span is None:
            self.span = self.made()
            if self.over is not None:  # somebody asks for it after its end, as a task that outlives its agent may
                self.span.end(int(self.over * 1e9))
        return self.span

    def end(self, end_time: int | None = None) -> None:
        """End it; one that nobody needed stays unmade."""
        if self.span is not None:
            self.span.end(end_time)
        elif end_time is not None:
            self.over = end_time / 1e9

    def get_span_context(self) -> SpanContext:
        """Return what a child needs to know."""
        return self.real().get_span_context()

    def is_recording(self) -> bool:
        """Whether anything said to it is kept."""
        return self.over is None and self.real().is_recording()

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Pass it on."""
        self.real().set_attributes(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        """Pass it on."""
        self.real().set_attribute(key, value)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Pass it on."""
        self.real().add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        """Pass it on."""
        self.real().add_link(context, attributes)

    def update_name(self, name: str) -> None:
        """Pass it on."""
        self.real().update_name(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Pass it on."""
        self.real().set_status(status, description)

    def record_exception(
        self, exception: BaseException, attributes: Any = None, timestamp: int | None = None, escaped: bool = False
    ) -> None:
        """Pass it on."""
        self.real().record_exception(exception, attributes, timestamp, escaped)
