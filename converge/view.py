"""A view: an agent's immutable picture of the context at one round, cheap to take, honest about what it was asked.

Positive reads (`new`, `all`, `get`, `conflicts`) only ever gain facts. The others (`live`, `dead`, `absent`,
`count`, `best`) can change their answer, so an agent declares them. Everything comes in id order: a prompt made
from a view must not depend on arrival. What the calls returned is remembered as the activation's evidence.
"""

__all__ = ["UNRESTRICTED", "Conflict", "View"]

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, TypeVar

from converge.capture import SAID, Bill, Captures, Note, Question, digest_of_arguments
from converge.context import Context, digest_of
from converge.effect import Given, Range, Source
from converge.errors import BudgetSpent, CaptureInvalid, KeyContested
from converge.fact import Fact, id_of, kind_of, stored_id
from converge.intent import RootIntent
from converge.join import least_upper_bound
from converge.liveness import DEAD, DISPUTED, LIVE
from converge.log import KindLog
from converge.lookup import ANY_KEY, Lookup, Reader
from converge.proof import Proof, joined, prove

F = TypeVar("F", bound=Fact)


class Conflict(NamedTuple):
    """Several facts of one contesting kind that share a key, in id order."""

    kind: str
    key: Any
    facts: tuple[Fact, ...]


UNRESTRICTED = Reader(Source("(outside)"), None)
_NOTHING: frozenset[int] = frozenset()


class View(Lookup):
    """What an agent sees: every fact of the kinds it reads, up to one round. Taking one costs the same at any size."""

    __slots__ = (
        "_again",
        "_captures",
        "_counts",
        "_lubs",
        "_mends",
        "_picks",
        "_ranges",
        "refused",
    )

    def __init__(
        self,
        context: Context,
        round: int,
        reader: Reader,
        after: int = -1,
        again: frozenset[int] = _NOTHING,
        captures: Captures | None = None,
        *,
        mends: bool = False,
    ) -> None:
        self._context, self.round, self._reader, self._after = context, round, reader, after
        # Labels are certain in the round that something is given again in, and to an ordinary agent in no other.
        self._again, self._captures, self._mends = again, captures, mends and bool(again)
        self._ranges: list[tuple[str, int, bool]] = []  # kinds, from which round on, whether live ones only
        self._picks: list[int] = []
        self._lubs: dict[str, tuple[str, ...]] = {}  # id of a join that is no fact -> the ids it was made of
        self._counts: dict[Question, int] = {}
        self.refused: BudgetSpent | None = None  # a call that this activation had no budget for

    def __repr__(self) -> str:
        return f"<view of round {self.round} for {self._reader.agent}>"

    @property
    def intent(self) -> RootIntent:
        """The job's root intent."""
        return self._context.intent

    # --- positive reads -----------------------------------------------------------------------------------------

    def new(self, kind: type[F]) -> tuple[F, ...]:
        """Return the facts this agent has not been given in a completed activation; all live ones if it replaces.

        What it was given once and concluded from, and has lost some evidence of since, is given again.
        """
        if self._reader.source.replaces:
            return self.live(kind)
        log = self._log(kind)
        if log.kind.policy == "join":
            return self._joined(kind, self._news_by_key(kind))
        facts: tuple[F, ...] = self._between(log, self._after)
        if not self._again:
            return facts
        again = tuple(fact for fact in self._given_again(kind) if fact not in facts)
        return tuple(sorted(facts + self._pick(again), key=id_of)) if again else facts

    def all(self, kind: type[F], key: Any = ANY_KEY) -> tuple[F, ...]:
        """Return all facts of a kind, or those of one key, whatever their label."""
        if self._joins(kind):
            return self._joined(kind, self._by_key(kind, key, live=self._mends))
        if key is not ANY_KEY:
            facts = self._about(kind, key)
            return self._pick(fact for fact in facts if not self._mends or self._is(fact, LIVE))
        return self._between(self._log(kind), -1)

    def get(self, kind: type[F], key: Any) -> F | None:
        """Return the fact of a key, or None; live ones only where the kind is read Live. Raises KeyContested."""
        if self._joins(kind):
            return next(iter(self.live(kind, key) if self._reads_liveness(kind) else self.all(kind, key)), None)
        facts = self._about(kind, key)
        if self._mends or self._reads_liveness(kind):
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
            self._pick(fact for fact in conflict.facts if not self._mends or self._is(fact, LIVE))
        return tuple(found)

    # --- reads whose answer can change --------------------------------------------------------------------------

    def live(self, kind: type[F], key: Any = ANY_KEY) -> tuple[F, ...]:
        """Return the live facts of a kind, or those of one key."""
        self._declared_live(kind, "live")
        if self._joins(kind):
            return self._joined(kind, self._by_key(kind, key, live=True))
        if key is ANY_KEY:
            return self._live(kind)
        return self._pick(tuple(fact for fact in self._about(kind, key) if self._is(fact, LIVE)))

    def current(self, kind: type[F], key: Any = ANY_KEY) -> tuple[F, ...]:
        """Return the live facts of a kind, or of one key, where it is read with its liveness; elsewhere all of them."""
        return self.live(kind, key) if self._reads_liveness(kind) else self.all(kind, key)

    def dead(self, kind: type[F]) -> tuple[F, ...]:
        """Return the facts of a kind that no longer hold."""
        self._declared_live(kind, "dead")
        return tuple(fact for fact in self._everything(kind) if self._is(fact, DEAD))

    def disputed(self, kind: type[F]) -> tuple[F, ...]:
        """Return the facts of a kind that are neither live nor dead, such as two that invalidate each other."""
        self._declared_live(kind, "disputed")
        return tuple(fact for fact in self._everything(kind) if self._is(fact, DISPUTED))

    def lost(self, kind: type[F]) -> tuple[F, ...]:
        """Return the facts of a kind that were live when this agent last completed, and are not any more."""
        self._declared_live(kind, "lost")
        return tuple(fact for fact in self._seen(kind) if self._was_live(fact) and not self._is(fact, LIVE))

    def revived(self, kind: type[F]) -> tuple[F, ...]:
        """Return the facts of a kind that were not live when this agent last completed, and are now."""
        self._declared_live(kind, "revived")
        return self._pick(fact for fact in self._seen(kind) if not self._was_live(fact) and self._is(fact, LIVE))

    def absent(self, kind: type[F], key: Any = ANY_KEY) -> bool:
        """Whether no live fact of a kind, or of one key, is known."""
        self._declared_live(kind, "absent")
        facts = self._everything(kind) if key is ANY_KEY else self._about(kind, key)
        return not any(self._is(fact, LIVE) for fact in facts)

    def count(self, kind: type[F]) -> int:
        """Return the number of live facts of a kind; of a joined one, of the keys that have any."""
        self._declared_live(kind, "count")
        if self._joins(kind):
            return len(self._by_key(kind, live=True))
        return sum(self._is(fact, LIVE) for fact in self._everything(kind))

    def best(self, kind: type[F], by: Callable[[F], Any]) -> F | None:
        """Return the live fact for which `by` is greatest, or None; of equals the one with the smallest id."""
        self._declared_live(kind, "best")
        if self._joins(kind):
            return self._best_join(kind, by)
        facts = [fact for fact in self._everything(kind) if self._is(fact, LIVE)]
        best = max(facts, key=by, default=None)  # max keeps the first of equals, and facts come in id order
        return None if best is None else self._pick((best,))[0]

    # --- calls that are not deterministic -----------------------------------------------------------------------

    async def capture(
        self,
        name: str,
        call: Callable[..., Any],
        *arguments: Any,
        parse: Callable[[Any], Any] | None = None,
        tries: int = 1,
        describe: Callable[[Any], Note] | None = None,
    ) -> Any:
        """Return what `call(*arguments)` returned when it was first made; it is recorded before it is returned.

        It is found again by agent, name and arguments (without any: by this view), so a resumed job asks nothing twice.
        The call may be plain or async and returns JSON data. `parse` makes of the answer what is returned: an answer
        that it raises for is kept, and the next one is asked for, at most `tries` of them in a row; a later attempt
        begins where this one ended. `describe` makes of it what the trace says. Raises CaptureInvalid, what the call
        raises, and in the end what `parse` raises.
        """
        captures = self._running(name)
        question = self._question(name, arguments)
        while True:
            is_new = not captures.knows(question)
            if is_new:
                made = captures.through(question, call)
                answer = await captures.record(question, await self._asked(made, arguments), describe)
            else:
                answer = captures.answer(question)
            tries -= is_new
            try:
                return answer if parse is None else parse(answer)
            except Exception:
                question = question._replace(attempt=question.attempt + 1)
                if (is_new and tries < 1) or not captures.asks_again(question):
                    raise

    def reserve(
        self, tokens: int = 0, money: float | None = 0.0, what: str = "call"
    ) -> AbstractAsyncContextManager[Bill]:
        """Hold room in the job's budget for one request that may come to so many tokens and so much money.

        `async with view.reserve(tokens=2_000) as bill: ...; bill(tokens=312)`; a bill that is not settled stays at the
        worst. money: None where its price is not known. Within the block, raises BudgetSpent or PriceUnknown.
        """
        return self._running(what).reserve(self._reader.agent, tokens, money, what)

    def hear(self, text: str, request: int = 1) -> None:
        """Pass on a piece of text that is on its way to those who follow the job; it is in no trace."""
        if self._captures is not None:
            self._captures.hear(self._reader.agent, text, request)

    # --- evidence and comparison --------------------------------------------------------------------------------

    def shown(self) -> tuple[Fact, ...]:
        """Return the facts that the calls made so far returned, in id order; the root intent is none of them."""
        places = self._context.members(self.given())
        return tuple(sorted((self._context.facts[place] for place in places if place), key=id_of))

    def given(self) -> Given:
        """Return what the calls made so far returned; the root intent where they returned nothing."""
        noted = (Range(label, after, self.round, live) for label, after, live in dict.fromkeys(self._ranges))
        ranges = tuple(filter(self._holds, noted))
        picks = tuple(sorted(set(self._picks)))
        return Given(ranges, picks) if ranges or picks else Given(picks=(0,))

    def fresh(self) -> "View":
        """Return the same view with nothing asked yet: each attempt of an activation has its own evidence."""
        given = self._context, self.round, self._reader, self._after, self._again, self._captures
        return type(self)(*given, mends=self._mends)

    def shown_to(self, reader: Reader, captures: Captures | None = None) -> "View":
        """Return this view as it would be shown to another reader, to whom everything in it is new."""
        return View(self._context, self.round, reader, captures=captures)

    def close(self) -> None:
        """End the activation: from now on the view can be read and captures nothing."""
        self._captures = None

    def saying(self) -> Question:
        """Return the question whose answer is all that this agent says on this view."""
        source, again = self._reader.source, sorted(id_of(self._context.facts[place]) for place in self._again)
        # What is new depends on what was there before, and in a job begun anew the facts may stand in other rounds.
        before = View(self._context, self._after, self._reader).digest()
        shown = digest_of([f"{self.round} after {self._after}", f"{self._mends}", before, self.digest(), *again])
        return Question(source.agent, source.version, SAID, shown)

    def cited(self, evidence: Collection[Fact]) -> tuple[str, ...]:
        """Return the ids that some facts stand for: citing a join of several facts cites these."""
        try:
            ids = tuple(map(stored_id, evidence))
        except AttributeError:  # one was just made
            ids = tuple(map(id_of, evidence))
        if not self._lubs:
            return ids
        return tuple(one for fact_id in ids for one in self._lubs.get(fact_id, (fact_id,)))

    def facts(self) -> tuple[Fact, ...]:
        """Return every fact this view may show, in id order of each kind."""
        labels = sorted(self._context.kinds if self._reader.reads is None else self._reader.reads)
        logs = [self._context.kinds[label] for label in labels if label in self._context.kinds]
        return tuple(fact for log in logs for fact in log.between(-1, self.round))

    def digest(self) -> str:
        """Return a digest of what this view may show: fact ids, and which are not live where that is read."""
        if self._reader.reads is None:
            return self._context.digest(self.round)
        known = self._context.view_digest(frozenset(self._reader.reads), self.round)
        gone = [place for kind, live in self._reader.reads.items() if live for place in self._gone(kind)]
        if not gone:
            return known
        verdicts = (f"{id_of(self._context.facts[f])} {self._context.label(f, self.round)}" for f in gone)
        return digest_of([known, *verdicts])

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
        if _is_fact(fact) and not self.knows(id_of(fact)) and (members := self._live_members(fact)):
            return joined([prove(self._context, member, self.round) for member in members], fact)
        return prove(self._context, fact, self.round)

    def is_live(self, fact: Fact) -> bool:
        """Whether a fact of this view is live. Needs the same declaration as `live`."""
        self._declared_live(type(fact), "is_live")
        if not self.knows(id_of(fact)):
            return bool(self._live_members(fact))
        return self._is(fact, LIVE)

    # --- within -------------------------------------------------------------------------------------------------

    def _between(self, log: KindLog, after: int) -> tuple[Any, ...]:
        if self._mends and after < 0:  # what rested on the fallen is to be concluded without them
            return self._live(log.kind.cls)
        # What reads liveness may be shown fallen facts; its conclusions must not rest on them.
        self._note(log.kind.label, after)
        return log.between(after, self.round)

    def _live(self, kind: type[F]) -> tuple[F, ...]:
        facts = self._log(kind).between(-1, self.round)
        self._note(kind_of(kind).label, -1, live=True)
        if not (gone := self._gone(kind_of(kind).label)):
            return facts  # type: ignore[return-value]
        return tuple(fact for fact in facts if self._position(fact) not in gone)  # type: ignore[misc]

    def _given_again(self, kind: type[F]) -> tuple[F, ...]:
        facts = (self._context.facts[place] for place in self._again)
        return tuple(sorted((fact for fact in facts if type(fact) is kind), key=id_of))

    # --- joins ----------------------------------------------------------------------------------------------------

    def _news_by_key(self, kind: type[F]) -> dict[Any, list[F]]:
        """Return the facts of each key whose join is another than when this agent last completed, or is due again."""
        again = {kind_of(kind).key_of(fact) for fact in self._given_again(kind)}
        due = again | {kind_of(kind).key_of(fact) for fact in self._log(kind).between(self._after, self.round)}
        found: dict[Any, list[F]] = {}
        for key in due:
            facts = list(self._about(kind, key))
            before = [fact for fact in facts if self._context.rounds[self._position(fact)] <= self._after]
            if key in again:
                found[key] = [fact for fact in facts if not self._mends or self._is(fact, LIVE)]
            elif not before or least_upper_bound(before) != least_upper_bound(facts):
                found[key] = facts
        return found

    def _joined(self, kind: type[F], by_key: Mapping[Any, list[F]]) -> tuple[F, ...]:
        """Return the join of each key's facts. A join that is one of them rests on that one, else on all of them."""
        found = []
        for facts in filter(None, by_key.values()):
            lub = least_upper_bound(facts)
            members = (lub,) if lub in facts else tuple(facts)
            self._pick(members)
            if lub not in members:
                self._lubs[id_of(lub)] = tuple(map(id_of, members))
            found.append(lub)
        return tuple(sorted(found, key=id_of))

    def _best_join(self, kind: type[F], by: Callable[[F], Any]) -> F | None:
        by_key = self._by_key(kind, live=True)
        lubs = sorted(map(least_upper_bound, by_key.values()), key=id_of)
        best = max(lubs, key=by, default=None)
        if best is None:
            return None
        key = kind_of(kind).key_of(best)
        return self._joined(kind, {key: by_key[key]})[0]

    async def _asked(self, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        try:
            value = call(*arguments)
            return await value if hasattr(value, "__await__") else value
        except BudgetSpent as refusal:
            self.refused = refusal  # whoever catches it has not concluded anything for all that
            raise

    def _running(self, name: str) -> Captures:
        if self._captures is None:
            raise CaptureInvalid(self._reader.agent, name, "only the view of an activation that is running captures")
        return self._captures

    def _question(self, name: str, arguments: tuple[Any, ...]) -> Question:
        source = self._reader.source
        if name == SAID:
            raise CaptureInvalid(source.agent, name, "this name is the runtime's own: choose another")
        try:
            asked = digest_of_arguments(arguments) if arguments else f"view {self.digest()}"
        except ValueError as error:
            raise CaptureInvalid(source.agent, name, f"an argument is no JSON data: {error}") from error
        question = Question(source.agent, source.version, name, asked)
        nth = self._counts[question] = self._counts.get(question, -1) + 1
        return question._replace(nth=nth)

    def _pick(self, facts: Iterable[F]) -> tuple[F, ...]:
        """Note single facts as given; of what is read with its liveness, only those that hold."""
        facts = tuple(facts)
        if self._reader.reads is not None:
            held = (fact for fact in facts if not self._reads_liveness(type(fact)) or self._is(fact, LIVE))
            self._picks.extend(map(self._position, held))
        return facts

    def _note(self, label: str, after: int, live: bool = False) -> None:
        reads = self._reader.reads
        if reads is not None:  # nobody concludes anything from an unrestricted view
            self._ranges.append((label, after, live or reads[label]))

    def _holds(self, part: Range) -> bool:
        log = self._context.kinds.get(part.kind)
        if log is None or (first := log.first_after(part.after)) is None or first > part.upto:
            return False
        if not part.live or not (gone := self._gone(part.kind)):
            return True
        return any(self._position(fact) not in gone for fact in log.between(part.after, part.upto))


def _is_fact(value: object) -> bool:
    return isinstance(value, Fact)
