"""The trace: what happened in a job, as an ordered list of event values; for audit and explanation, never for replay.

`sequence` counts from 1 over the whole life of a job. Times are provenance: `at` is seconds since the epoch,
`seconds` a duration; no digest depends on them.
"""

__all__ = [
    "Activated",
    "ActivationFailed",
    "Captured",
    "Event",
    "FactsArrived",
    "JobResumed",
    "JobStarted",
    "JobStopped",
    "RoundMerged",
    "RoundStarted",
    "TextArrived",
    "Trace",
    "Warned",
    "decode_event",
]

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, get_args, overload


class JobStarted(NamedTuple):
    """A job began from its root intent with this many given facts."""

    sequence: int
    at: float
    job_id: str
    objective: str
    facts: int
    schedule: str = "frontier"


class JobResumed(NamedTuple):
    """A job went on from its last snapshot, with this many facts given late."""

    sequence: int
    at: float
    job_id: str
    cycle: int
    facts: int
    schedule: str = "frontier"


class FactsArrived(NamedTuple):
    """A letter brought facts while the job ran: so many new ones, stated in `round`."""

    sequence: int
    at: float
    letter: int
    round: int
    facts: int


class RoundStarted(NamedTuple):
    """This many agents began to read `round`."""

    sequence: int
    at: float
    round: int
    agents: int


class Activated(NamedTuple):
    """An agent that read `round` finished with an effect of this many facts; it took `seconds`."""

    sequence: int
    agent: str
    round: int
    facts: int
    seconds: float


class Captured(NamedTuple):
    """A call of an agent that read `round` was captured; its question, and what whoever made it says of it.

    Of a model's answer, `note` holds its model, rung, requests, tokens, money and the like.
    """

    sequence: int
    agent: str
    round: int
    version: str
    name: str
    arguments: str
    nth: int
    attempt: int
    note: Mapping[str, Any] | None


class ActivationFailed(NamedTuple):
    """An agent that read `round` contributed nothing: the error's name, its text, and the attempts made."""

    sequence: int
    agent: str
    round: int
    error: str
    text: str
    attempts: int


class RoundMerged(NamedTuple):
    """What the merge into `round` really added; both zero means it added nothing new."""

    sequence: int
    at: float
    round: int
    facts: int
    supports: int


class Warned(NamedTuple):
    """Something that is allowed and probably not meant; said once. `agent` is empty where no agent is at fault."""

    sequence: int
    agent: str
    text: str


class TextArrived(NamedTuple):
    """A piece of an answer that an agent's model is giving, of its request with this number. It is in no trace."""

    agent: str
    text: str
    request: int
    sequence: int = 0


class JobStopped(NamedTuple):
    """The job ended for this reason, said in one sentence."""

    sequence: int
    at: float
    reason: str
    text: str


Event = (
    JobStarted
    | JobResumed
    | FactsArrived
    | RoundStarted
    | Captured
    | Activated
    | ActivationFailed
    | RoundMerged
    | Warned
    | TextArrived
    | JobStopped
)
_TYPES: dict[str, Any] = {cls.__name__: cls for cls in get_args(Event)}


E = TypeVar("E", bound=Event)
_SAID = frozenset({"objective", "text"})  # fields in anybody's words; names, ids and digests are looked up again


class Trace(Sequence[Event]):
    """The events of a job in order. Only the merge actor records. `redact` is applied to what they say in words.

    An event is kept as its type's name and its values, and made when somebody asks: there are as many as facts.
    """

    def __init__(self) -> None:
        self._events: list[tuple[Any, ...]] = []
        self.redact: Callable[[str], str] | None = None

    def record(self, event: type[Any], *values: Any) -> None:
        """Append an event, giving it the next sequence number."""
        if self.redact is not None:
            fields = zip(event._fields[1:], values, strict=False)
            values = tuple(self.redact(value) if name in _SAID else value for name, value in fields)
        self._events.append((event.__name__, *values))

    def redacted(self, text: str) -> str:
        """Return a text as it is kept."""
        return text if self.redact is None else self.redact(text)

    def of(self, *types: type[E]) -> Iterator[E]:
        """Iterate over the events of some types; no other is made for it."""
        names = {event.__name__ for event in types}
        places = (place for place, event in enumerate(self._events) if event[0] in names)
        return map(self._event, places)  # type: ignore[arg-type]

    def restore(self, event: Event) -> None:
        """Append an event that a snapshot holds."""
        self._events.append((type(event).__name__, *event[1:]))

    def encoded(self, since: int, upto: int) -> list[list[Any]]:
        """Return a range of events as JSON data: of each its type's name and its values."""
        return [[name, number, *values] for number, (name, *values) in enumerate(self._events[since:upto], since + 1)]

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        """Return one event, or a list of them."""
        places = range(len(self._events))[index]
        return [*map(self._event, places)] if isinstance(places, range) else self._event(places)

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return map(self._event, range(len(self._events)))

    def __repr__(self) -> str:
        return f"<trace of {len(self)} events>"

    def _event(self, place: int) -> Event:
        name, *values = self._events[place]
        return _TYPES[name](place + 1, *values)  # type: ignore[no-any-return]


def decode_event(data: Sequence[Any]) -> Event:
    """Return the event that JSON data describes."""
    return _TYPES[data[0]](*data[1:])  # type: ignore[no-any-return]
