"""What one fact cost: its own part of the calls that led to it, and all that was paid for what it rests on."""

__all__ = ["FactCost"]

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from converge.explain.content import data_of
from converge.explain.cost import Cost, PricedFact, brief
from converge.explain.explanation import Explanation
from converge.explain.facts import fact_line
from converge.explain.outline import Outline, Shown, Span, one_line
from converge.fact import Fact


class FactCost(Shown):
    """What a fact cost. own: its part of the calls that led to it, if any did; proof: why it holds, if it does."""

    def __init__(self, fact: Fact, label: str, own: PricedFact | None, proof: Explanation | None) -> None:
        self.fact, self.label, self.own, self.proof = fact, label, own, proof

    def __repr__(self) -> str:
        return f"<cost of {self.fact!r:.80}: {self.total}>"

    @property
    def share(self) -> Cost:
        """Its own part: a call that led to several facts is parted evenly among them."""
        return self.own.share if self.own else Cost()

    @cached_property
    def total(self) -> Cost:
        """What all calls in its proof came to, each once and whole; of a fact that does not hold, its own part."""
        return self.proof.cost if self.proof else self.share

    def steps(self) -> Iterator[tuple[Explanation, Cost]]:
        """Iterate over the steps of its proof that calls led to, with what these came to."""
        for step in self.proof.steps() if self.proof else ():
            if step.calls:
                yield step, Cost.of(step.calls)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data; see `fact_cost` in docs/explaining.schema.json."""
        steps = [{**data_of(step.fact), "agent": step.agent, "cost": cost.to_dict()} for step, cost in self.steps()]
        among = self.own.among if self.own else 0
        told = {"what": "fact_cost", "fact": data_of(self.fact), "label": self.label, "among": among}
        return {**told, "share": self.share.to_dict(), "total": self.total.to_dict(), "steps": steps}

    def outline(self) -> Outline:
        """Return its part, and each step that was paid for."""
        head = Span(str(self.total), "money"), Span("  "), *fact_line(self.fact)
        among = f", one of {self.own.among} facts of the same answer" if self.own and self.own.among > 1 else ""
        own = (
            Span("its own part: ", "dim"),
            Span(brief(self.share) if self.own else "nothing", "money"),
            Span(among, "dim"),
        )
        return Outline(head, notes=(own,), parts=lambda: [_paid(step, cost) for step, cost in self.steps()], tall=3)


def _paid(step: Explanation, cost: Cost) -> Outline:
    return Outline(
        (Span(brief(cost), "money"), Span("  "), Span(one_line(step.agent), "agent"), Span("  "), *fact_line(step.fact))
    )
