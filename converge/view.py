"""A view: an agent's immutable picture of the context at one round, cheap to take, honest about what it was asked.

Positive reads (`new`, `all`, `get`, `conflicts`) only ever gain facts. The others (`live`, `dead`, `absent`,
`count`, `best`) can change their answer, so an agent declares them. Everything comes in id order: a prompt made
from a view must not depend on arrival. What the calls returned is remembered as the activation's evidence.
"""

__all__ = ["UNRESTRICTED", "Conflict", "Reader", "View"]

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from converge.canonical import normalized
from converge.context import Context
from converge.effect import Given, Range
from converge.errors import KeyContested, NonMonotoneRead, UndeclaredRead
from converge.fact import Fact, id_of, kind_of
from converge.intent import RootIntent
from converge.kind import Kind
from converge.liveness import DEAD, DISPUTED, LIVE
from converge.log import KindLog
from converge.proof import Proof, prove

F = TypeVar("F", bound=Fact)
_ANY: Any = object()


class Conflict(NamedTuple):
    """Several facts of one contesting kind that share a key, in id order."""

    kind: str
    key: Any
    facts: tuple[Fact, ...]


class Reader(NamedTuple):
    """What one agent may read: kind label -> whether it is read with its liveness. None allows everything."""

    agent: str
    reads: Mapping[str, bool] | None
    replaces: bool = False


UNRESTRICTED = Reader("(outside)", None)


class View:
    """What an agent sees: every fact of the kinds it reads, up to one round. Taking one costs the same at any size."""

    __slots__ = ("_after", "_context", "_picks", "_ranges", "_reader", "round")

    def __init__(self, context: Context, round: int, reader: Reader, after: int = -1) -> None:
        self._context, self._reader, self._after = context, reader, after
        self.round = round
        self._ranges: list[Range] = []
        self._picks: list[int] = []

    def __repr__(self) -> str:
        return f"<view of round {self.round} for {self._reader.agent}>"

    @property
    def intent(self) -> RootIntent:
        """The job's root intent."""
        return self._context.intent

    # --- positive reads -----------------------------------------------------------------------------------------

    def new(self, kind: type[F]) -> tuple[F, ...]:
        """Return the facts this agent has not been given in a completed activation; all live ones if it replaces."""
        if self._reader.replaces:
            return self._live(kind)
        return self._between(kind, self._after)

    def all(self, kind: type[F], key: Any = _ANY) -> tuple[F, ...]:
        """Return all facts of a kind, or those of one key, whatever their label."""
        if key is not _ANY:
            return self._pick(self._about(kind, key))
        return self._between(kind, -1)

    def get(self, kind: type[F], key: Any) -> F | None:
        """Return the fact of a key, or None; live ones only where the kind is read Live. Raises KeyContested."""
        facts = self._about(kind, key)
        if self._reads_liveness(kind):
            facts = tuple(fact for fact in facts if self._is(fact, LIVE))
        if len(facts) > 1:
            raise KeyContested(self._reader.agent, kind_of(kind).label, key, len(facts))
        return self._pick(facts)[0] if facts else None

    def conflicts(self, kind: type[F]) -> tuple[Conflict, ...]:
        """Return the keys of a contesting kind with more than one fact, computed over all facts of this view."""
        log = self._log(kind)
        found = [Conflict(kind_of(kind).label, key, self._about(kind, key)) for key in log.contested]
        found = sorted((c for c in found if len(c.facts) > 1), key=lambda c: id_of(c.facts[0]))
        for conflict in found:
            self._pick(conflict.facts)
        return tuple(found)

    # --- reads whose answer can change --------------------------------------------------------------------------

    def live(self, kind: type[F], key: Any = _ANY) -> tuple[F, ...]:
        """Return the live facts of a kind, or those of one key."""
        self._declared_live(kind, "live")
        if key is _ANY:
            return self._live(kind)
        return self._pick(tuple(fact for fact in self._about(kind, key) if self._is(fact, LIVE)))

    def dead(self, kind: type[F]) -> tuple[F, ...]:
        """Return the facts of a kind that no longer hold."""
        self._declared_live(kind, "dead")
        return tuple(fact for fact in self._everything(kind) if self._is(fact, DEAD))

    def disputed(self, kind: type[F]) -> tuple[F, ...]:
        """Return the facts of a kind that are neither live nor dead, such as two that invalidate each other."""
        self._declared_live(kind, "disputed")
        return tuple(fact for fact in self._everything(kind) if self._is(fact, DISPUTED))

    def absent(self, kind: type[F], key: Any = _ANY) -> bool:
        """Whether no live fact of a kind, or of one key, is known."""
        self._declared_live(kind, "absent")
        facts = self._everything(kind) if key is _ANY else self._about(kind, key)
        return not any(self._is(fact, LIVE) for fact in facts)

    def count(self, kind: type[F]) -> int:
        """Return the number of live facts of a kind."""
        self._declared_live(kind, "count")
        return sum(self._is(fact, LIVE) for fact in self._everything(kind))

    def best(self, kind: type[F], by: Callable[[F], Any]) -> F | None:
        """Return the live fact for which `by` is greatest, or None; of equals the one with the smallest id."""
        self._declared_live(kind, "best")
        facts = [fact for fact in self._everything(kind) if self._is(fact, LIVE)]
        best = max(facts, key=by, default=None)  # max keeps the first of equals, and facts come in id order
        return None if best is None else self._pick((best,))[0]

    # --- evidence and comparison --------------------------------------------------------------------------------

    def given(self) -> Given:
        """Return what the calls made so far returned; the root intent where they returned nothing."""
        ranges = tuple(part for part in dict.fromkeys(self._ranges) if self._holds(part))
        picks = tuple(sorted(set(self._picks)))
        return Given(ranges, picks) if ranges or picks else Given(picks=(0,))

    def fresh(self) -> "View":
        """Return the same view with nothing asked yet: each attempt of an activation has its own evidence."""
        return View(self._context, self.round, self._reader, self._after)

    def facts(self) -> tuple[Fact, ...]:
        """Return every fact this view may show, in id order of each kind."""
        labels = sorted(self._context.kinds if self._reader.reads is None else self._reader.reads)
        logs = [self._context.kinds[label] for label in labels if label in self._context.kinds]
        return tuple(fact for log in logs for fact in log.between(-1, self.round))

    def digest(self) -> str:
        """Return a digest of what this view may show, by fact ids."""
        if self._reader.reads is None:
            return self._context.digest(self.round)
        return self._context.view_digest(frozenset(self._reader.reads), self.round)

    def live_digest(self) -> str:
        """Return a digest of the facts that hold or are disputed, of every kind."""
        self._unrestricted("live_digest")
        return self._context.live_digest(self.round)

    def proof_digest(self) -> str:
        """Return a digest of every fact and every support."""
        self._unrestricted("proof_digest")
        return self._context.proof_digest(self.round)

    def depending_on(self, kind: type[Fact]) -> tuple[Fact, ...]:
        """Return the live facts of other kinds that would not be live without the facts of this one."""
        self._unrestricted("depending_on")
        return tuple(self._context.live_only_through(kind_of(kind).label, self.round))

    def why(self, fact: Fact) -> Proof:
        """Return a proof of a live fact, down to given facts. Raises FactNotLive."""
        self._unrestricted("why")
        return prove(self._context, fact, self.round)

    def knows(self, fact_id: str) -> bool:
        """Whether the fact with this id is in the view."""
        position = self._context.position.get(fact_id)
        if position is None or self._context.rounds[position] > self.round:
            return False
        reads = self._reader.reads
        return reads is None or position == 0 or kind_of(self._context.facts[position]).label in reads

    def is_live(self, fact: Fact) -> bool:
        """Whether a fact of this view is live. Needs the same declaration as `live`."""
        self._declared_live(type(fact), "is_live")
        return self.knows(id_of(fact)) and self._is(fact, LIVE)

    # --- within -------------------------------------------------------------------------------------------------

    def _log(self, kind: type[Fact]) -> KindLog:
        label = kind_of(kind).label
        if self._reader.reads is not None and label not in self._reader.reads:
            raise UndeclaredRead(self._reader.agent, label)
        return self._context.kinds.get(label) or KindLog(kind_of(kind))

    def _unrestricted(self, call: str) -> None:
        if self._reader.reads is not None:
            raise UndeclaredRead(self._reader.agent, f"everything (view.{call})")

    def _reads_liveness(self, kind: type[Fact]) -> bool:
        return self._reader.reads is None or self._reader.reads.get(kind_of(kind).label, False)

    def _declared_live(self, kind: type[Fact], call: str) -> None:
        self._log(kind)
        if not self._reads_liveness(kind):
            raise NonMonotoneRead(self._reader.agent, call, kind_of(kind).label)

    def _everything(self, kind: type[F]) -> tuple[F, ...]:
        return self._log(kind).between(-1, self.round)  # type: ignore[return-value]  # a log holds its own kind

    def _between(self, kind: type[F], after: int) -> tuple[F, ...]:
        facts = self._log(kind).between(after, self.round)
        # What reads liveness may be shown fallen facts; its conclusions must not rest on them.
        fallen = self._fallen(facts) if self._reads_liveness(kind) else ()
        self._note(Range(kind_of(kind).label, after, self.round, fallen))
        return facts  # type: ignore[return-value]  # a log holds the facts of its own kind

    def _live(self, kind: type[F]) -> tuple[F, ...]:
        facts = self._log(kind).between(-1, self.round)
        fallen = self._fallen(facts)
        self._note(Range(kind_of(kind).label, -1, self.round, fallen))
        if not fallen:
            return facts  # type: ignore[return-value]
        gone = set(fallen)
        return tuple(fact for fact in facts if self._position(fact) not in gone)  # type: ignore[misc]

    def _fallen(self, facts: tuple[Fact, ...]) -> tuple[int, ...]:
        labels = self._context.labels(self.round)
        if labels is None:
            return ()
        return tuple(place for place in map(self._position, facts) if labels.of[place] != LIVE)

    def _about(self, kind: type[F], key: Any) -> tuple[F, ...]:
        log = self._log(kind)
        if log.kind.keyed:
            facts = [fact for fact in log.keys.get(_key(log.kind, key), ()) if self._is_visible(fact)]
        else:
            facts = [fact for fact in log.between(-1, self.round) if _whole(fact) == key]
        return tuple(sorted(facts, key=id_of))  # type: ignore[arg-type]

    def _pick(self, facts: tuple[F, ...]) -> tuple[F, ...]:
        if self._reader.reads is not None:
            self._picks.extend(map(self._position, facts))
        return facts

    def _note(self, part: Range) -> None:
        if self._reader.reads is not None:  # nobody concludes anything from an unrestricted view
            self._ranges.append(part)

    def _is(self, fact: Fact, label: int) -> bool:
        labels = self._context.labels(self.round)
        return label == LIVE if labels is None else labels.of[self._position(fact)] == label

    def _is_visible(self, fact: Fact) -> bool:
        return self._context.rounds[self._position(fact)] <= self.round

    def _position(self, fact: Fact) -> int:
        return self._context.position[id_of(fact)]

    def _holds(self, part: Range) -> bool:
        log = self._context.kinds.get(part.kind)
        if log is None or (first := log.first_after(part.after)) is None or first > part.upto:
            return False
        return not part.without or len(part.without) < len(log.between(part.after, part.upto))


def _key(kind: Kind, key: Any) -> Any:
    """Return a key as facts have it: text in NFC, and the value itself where the kind's key is one field."""
    parts = tuple(normalized(part) for part in key) if isinstance(key, tuple) else normalized(key)
    return parts[0] if len(kind.key) == 1 and isinstance(parts, tuple) and len(parts) == 1 else parts


def _whole(fact: Fact) -> Any:
    values = tuple(getattr(fact, field) for field in type(fact).__dataclass_fields__)
    return values[0] if len(values) == 1 else values
