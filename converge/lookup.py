"""What one agent may look up in a context as of one round: facts by kind and key, their labels, the joins of some.

Nothing here says what an agent was given: that is the view's affair, which is built on this.
"""

__all__ = ["ANY_KEY", "Lookup", "Reader"]

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from converge.canonical import normalized
from converge.context import Context
from converge.effect import Source
from converge.errors import NonMonotoneRead, UndeclaredRead
from converge.fact import Fact, id_of, kind_of
from converge.join import least_upper_bound
from converge.kind import Kind
from converge.liveness import LIVE
from converge.log import KindLog

F = TypeVar("F", bound=Fact)
ANY_KEY: Any = object()


class Reader(NamedTuple):
    """What one agent may read: kind label -> whether it is read with its liveness. None allows everything."""

    source: Source
    reads: Mapping[str, bool] | None

    @property
    def agent(self) -> str:
        """The agent's name."""
        return self.source.agent

    @property
    def replaces(self) -> bool:
        """Whether only the agent's latest conclusions count."""
        return self.source.replaces


class Lookup:
    """Reads a context as of a round, within what a reader declares."""

    __slots__ = ("_after", "_context", "_reader", "round")

    _context: Context  # these are set by the view
    _reader: Reader
    _after: int
    round: int

    def knows(self, fact_id: str) -> bool:
        """Whether the fact with this id is in the view."""
        return not self.unknown((fact_id,))

    def unknown(self, ids: Iterable[str]) -> set[str]:
        """Return those of some ids that no fact of the view has."""
        context, reads = self._context, self._reader.reads
        found = set()
        for fact_id in ids:
            place = context.position.get(fact_id)
            if place is None or context.rounds[place] > self.round:
                found.add(fact_id)
            elif place and reads is not None:
                fact: Any = context.facts[place]
                if fact.__kind__.label not in reads:  # not `kind_of`: it is asked very often
                    found.add(fact_id)
        return found

    def known(self, fact_id: str) -> Fact | None:
        """Return the fact with this id, or None where it is not in the view."""
        return self._context.facts[self._context.position[fact_id]] if self.knows(fact_id) else None

    def members_of(self, fact: Fact) -> list[Fact]:
        """Return the live facts that a join which is none of them was made of; nothing for what is no such join."""
        return [] if self.knows(id_of(fact)) else self._live_members(fact)

    # --- what is declared ---------------------------------------------------------------------------------------

    def _log(self, kind: type[Fact]) -> KindLog:
        label, reads = kind_of(kind).label, self._reader.reads
        if reads is not None and label not in reads:
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

    # --- facts and labels ---------------------------------------------------------------------------------------

    def _about(self, kind: type[F], key: Any) -> tuple[F, ...]:
        log = self._log(kind)
        if log.kind.keyed:
            facts = [fact for fact in log.keys.get(_key(log.kind, key), ()) if self._is_visible(fact)]
        else:
            facts = [fact for fact in log.between(-1, self.round) if _whole(fact) == key]
        return tuple(sorted(facts, key=id_of))  # type: ignore[arg-type]

    def _gone(self, kind: str) -> set[int]:
        return self._context.labelling.fallen(kind, self.round)

    def _seen(self, kind: type[F]) -> tuple[F, ...]:
        """Return what was known of a kind when this agent last completed."""
        return self._log(kind).between(-1, self._after) if self._after >= 0 else ()  # type: ignore[return-value]

    def _was_live(self, fact: Fact) -> bool:
        return self._context.label(self._position(fact), self._after) == LIVE

    def _is(self, fact: Fact, label: int) -> bool:
        return self._context.label(self._position(fact), self.round) == label

    def _is_visible(self, fact: Fact) -> bool:
        return self._context.rounds[self._position(fact)] <= self.round

    def _position(self, fact: Fact) -> int:
        return self._context.position[id_of(fact)]

    # --- joins --------------------------------------------------------------------------------------------------

    def _joins(self, kind: type[Fact]) -> bool:
        return kind_of(kind).policy == "join"

    def _by_key(self, kind: type[F], key: Any = ANY_KEY, *, live: bool = False) -> dict[Any, list[F]]:
        facts = self._everything(kind) if key is ANY_KEY else self._about(kind, key)
        found: dict[Any, list[F]] = {}
        for fact in facts:
            if not live or self._is(fact, LIVE):
                found.setdefault(kind_of(kind).key_of(fact), []).append(fact)
        return found

    def _live_members(self, fact: Fact) -> list[Fact]:
        """Return the live facts that a join was made of; nothing for what is no join of theirs."""
        if not self._joins(type(fact)):
            return []
        members = self._by_key(type(fact), live=True).get(kind_of(fact).key_of(fact), [])
        return members if members and least_upper_bound(members) == fact else []


def _key(kind: Kind, key: Any) -> Any:
    """Return a key as facts have it: text in NFC, and the value itself where the kind's key is one field."""
    parts = tuple(normalized(part) for part in key) if isinstance(key, tuple) else normalized(key)
    return parts[0] if len(kind.key) == 1 and isinstance(parts, tuple) and len(parts) == 1 else parts


def _whole(fact: Fact) -> Any:
    values = tuple(getattr(fact, field) for field in type(fact).__dataclass_fields__)
    return values[0] if len(values) == 1 else values
