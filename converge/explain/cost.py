"""What a fact cost, and what a job spent on facts that hold, on facts that fell, and on nothing.

A call's cost is parted evenly among the facts that came of it, so that the parts add up to what was paid. What a fact
rests on was paid as well: its `total` counts each call behind it once, whole.
"""

__all__ = ["Cost", "Fate", "JobCost", "PricedFact", "brief", "cost_of_job"]

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from converge.capture import Captures, Question
from converge.context import Context
from converge.deciding import refusals
from converge.explain.call import Call, Calls
from converge.explain.content import content_of, data_of, label_of
from converge.explain.facts import fact_line
from converge.explain.outline import Line, Outline, Shown, Span, one_line
from converge.fact import Fact, id_of, kind_of
from converge.proposal import content_proposed, proposed_label
from converge.view import UNRESTRICTED, View


class Cost(NamedTuple):
    """What calls came to. unpriced: how many of them nobody has named a price for; `money` is then too little."""

    calls: float = 0
    requests: float = 0
    tokens: float = 0
    money: float = 0.0
    seconds: float = 0.0
    unpriced: float = 0

    @classmethod
    def of(cls, calls: Iterable[Call]) -> "Cost":
        """Return what calls came to, each once."""
        total = cls()
        for call in {call.question: call for call in calls}.values():
            priced = call.money is not None or not call.tokens
            total = total.plus(
                cls(1, call.requests, call.tokens, call.money or 0.0, call.seconds or 0.0, 0 if priced else 1)
            )
        return total

    def plus(self, other: "Cost") -> "Cost":
        """Return the sum of two costs."""
        return Cost(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def part(self, parts: int) -> "Cost":
        """Return one of so many equal parts."""
        return Cost(*(amount / parts for amount in self))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data; see `cost` in docs/explaining.schema.json."""
        return self._asdict()

    def __str__(self) -> str:
        if not self.calls:
            return "nothing was asked"
        said = [_counted(self.calls, "call"), _counted(self.tokens, "token")]
        if self.money:
            said.append(f"{self.money:.4g} in money")
        if self.seconds:
            said.append(f"{self.seconds:.2g} s of waiting")
        if self.unpriced:
            said.append(f"{self.unpriced} without a price")
        return ", ".join(said)


Fate = Literal["live", "dead", "disputed", "refused", "proposed", "nothing"]
_FATES: Mapping[Fate, str] = {
    "live": "on facts that hold",
    "dead": "on facts that fell",
    "disputed": "on facts in dispute",
    "refused": "on proposals that a gate refused",
    "proposed": "on proposals that nobody has decided on",
    "nothing": "on answers that led to no fact",
}


class PricedFact(NamedTuple):
    """A fact that calls led to: what became of it, its part of their cost, and how many facts it shares that with."""

    fact: Fact
    fate: Fate
    share: Cost
    among: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data; see `priced_fact` in docs/explaining.schema.json."""
        return {**data_of(self.fact), "fate": self.fate, "share": self.share.to_dict(), "among": self.among}


class JobCost(Shown):
    """What a job's calls came to, by what became of it, by agent and by fact; dearest first.

    spent: requests, tokens and money by the job's own ledger. other: what of that led to no answer that was kept:
    requests that failed, or were under way when a process ended. earlier: what answers came to that the job brought
    along from before it began anew, and has not paid for itself.
    """

    def __init__(
        self,
        spent: Cost,
        fates: Mapping[Fate, Cost],
        agents: Mapping[str, Cost],
        facts: tuple[PricedFact, ...],
        other: Cost,
        earlier: Cost,
    ) -> None:
        self.spent, self.fates, self.agents, self.facts = spent, fates, agents, facts
        self.other, self.earlier = other, earlier

    def __repr__(self) -> str:
        return f"<cost: {self.spent}>"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data; see `job_cost` in docs/explaining.schema.json."""
        return {
            "what": "cost",
            "spent": self.spent.to_dict(),
            "fates": {fate: cost.to_dict() for fate, cost in self.fates.items()},
            "agents": {agent: cost.to_dict() for agent, cost in self.agents.items()},
            "facts": [fact.to_dict() for fact in self.facts],
            "other": self.other.to_dict(),
            "earlier": self.earlier.to_dict(),
        }

    def outline(self) -> Outline:
        """Return it by what became of it, by agent and by fact."""
        parts = [Outline((Span("what became of it", "strong"),), parts=lambda: _rows(_fate_rows(self)))]
        if self.agents:
            parts.append(Outline((Span("by agent", "strong"),), parts=lambda: _rows(self.agents.items())))
        if self.facts:
            parts.append(Outline((Span("by fact, dearest first", "strong"),), parts=self._fact_rows))
        head = (Span("spent ", "strong"), Span(str(self.spent), "money"))
        return Outline(head, parts=lambda: parts if self.spent.calls or self.facts else ())

    def _fact_rows(self) -> list[Outline]:
        return [Outline(_priced(one)) for one in self.facts]


def _priced(one: PricedFact) -> Line:
    role = one.fate if one.fate in ("live", "dead", "disputed") else "warn"
    among = f"  (one of {one.among} from the same answer)" if one.among > 1 else ""
    return (
        Span(brief(one.share), "money"),
        Span("  "),
        Span(one.fate, role),
        Span(among, "dim"),
        Span("  "),
        *fact_line(one.fact),
    )


def _rows(costs: Iterable[tuple[str, Cost]]) -> list[Outline]:
    rows = [(one_line(name), cost) for name, cost in costs]
    widest = max((len(name) for name, _ in rows), default=0)
    return [Outline((Span(f"{name:<{widest}}  "), Span(brief(cost), "money"))) for name, cost in rows]


def _fate_rows(cost: JobCost) -> list[tuple[str, Cost]]:
    rows = [(_FATES[fate], spent) for fate, spent in cost.fates.items()]
    rows += [("on requests without an answer", cost.other)] if cost.other.calls or cost.other.tokens else []
    return rows + ([("paid before the job began anew", cost.earlier)] if cost.earlier.calls else [])


def brief(cost: Cost) -> str:
    """Return the most that is known of a cost in the fewest words."""
    money = f", {cost.money:.4g} in money" if cost.money else ""
    return f"{_counted(cost.tokens, 'token')}{money}" if cost.tokens or cost.money else _counted(cost.calls, "call")


def _counted(count: float, noun: str) -> str:
    number = f"{count:,.0f}" if float(count).is_integer() or count >= 10 else f"{count:.2g}"
    return f"{number} {noun}{'' if count == 1 else 's'}"


# --- from a job -------------------------------------------------------------------------------------------------------


def cost_of_job(context: Context, calls: Calls, captures: Captures) -> JobCost:
    """Return what a job's calls came to."""
    came: dict[Question, tuple[Call, dict[int, None]]] = {call.question: (call, {}) for call in calls}
    for index in calls.supports():
        support = context.supports[index]
        for call in calls.of(support):
            came[call.question][1].setdefault(support.fact)
    fates, agents, facts = _parted(context, came.values())
    answered, spent = Cost.of(call for call, _ in came.values()), _ledger(captures)
    other, earlier = _beyond(spent, answered), _beyond(answered, spent)
    own = sum(not call.requests for call, _ in came.values())  # calls that are no requests to a model
    spent = spent._replace(calls=spent.calls + own, seconds=answered.seconds, unpriced=answered.unpriced)
    return JobCost(spent, fates, agents, facts, other, earlier)


def _parted(
    context: Context, came: Iterable[tuple[Call, Mapping[int, None]]]
) -> tuple[dict[Fate, Cost], dict[str, Cost], tuple[PricedFact, ...]]:
    known, fates, agents = _Fates(context), dict[Fate, Cost](), dict[str, Cost]()
    shares: dict[int, tuple[Cost, int]] = {}
    for call, places in came:
        whole = Cost.of([call])
        agents[call.agent] = agents.get(call.agent, Cost()).plus(whole)
        if not places:
            fates["nothing"] = fates.get("nothing", Cost()).plus(whole)
        for place in places:
            part = whole.part(len(places))
            before, among = shares.get(place, (Cost(), 0))
            shares[place] = before.plus(part), max(among, len(places))
            fates[known.of(place)] = fates.get(known.of(place), Cost()).plus(part)
    facts = [PricedFact(context.facts[place], known.of(place), *share) for place, share in shares.items()]
    facts.sort(key=lambda one: (-one.share.money, -one.share.tokens, id_of(one.fact)))
    ordered = {fate: fates[fate] for fate in _FATES if fate in fates}
    return (
        ordered,
        dict(sorted(agents.items(), key=lambda item: (-item[1].money, -item[1].tokens, item[0]))),
        tuple(facts),
    )


def _ledger(captures: Captures) -> Cost:
    lines = list(captures.ledger)
    _, tokens, money = captures.ledger.spent
    return Cost(len(lines), len(lines), tokens, money)


def _beyond(one: Cost, other: Cost) -> Cost:
    """Return by how much one cost is more than another; what sums of parts differ by is nothing."""
    requests, tokens = max(0, one.requests - other.requests), max(0, one.tokens - other.tokens)
    money = one.money - other.money
    return Cost(requests, requests, tokens, money if money > 1e-9 else 0.0)


class _Fates:
    """What became of facts: of one that is proposed, of what came of it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._refused = refusals(View(context, context.highest, UNRESTRICTED))

    def of(self, place: int) -> Fate:
        """Return what became of the fact at a position."""
        context, fact = self._context, self._context.facts[place]
        label: Fate = label_of(context, place, context.highest)  # type: ignore[assignment]
        if label != "live" or content_proposed(id_of(fact), content_of(fact)) is None:
            return label
        if id_of(fact) in self._refused:
            return "refused"
        return self._promoted(place, proposed_label(kind_of(fact)))

    def _promoted(self, place: int, kind: str) -> Fate:
        """Return what became of the facts that rest on a proposal and are what it proposes, refined or not."""
        context, reliance = self._context, self._context.labelling.reliance
        reliance.update()
        heads = {context.supports[index].fact for index in reliance.users(place)}
        labels = {label_of(context, head, context.highest) for head in heads if _is_of(context, head, kind)}
        return next((label for label in _BEST if label in labels), "proposed")


_BEST: tuple[Fate, ...] = ("live", "disputed", "dead")


def _is_of(context: Context, place: int, kind: str) -> bool:
    return kind_of(context.facts[place]).label == kind
