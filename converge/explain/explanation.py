"""An explanation: the smallest proof of a fact, with the calls that led to each step and what they cost."""

__all__ = ["Explanation", "explaining", "joined_explanation"]

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from converge.context import Context
from converge.explain.call import Call, Calls
from converge.explain.content import data_of
from converge.explain.cost import Cost
from converge.explain.facts import fact_line
from converge.explain.outline import Block, Line, Outline, Shown, Span, clipped, one_line
from converge.explain.standing import Mark, standing
from converge.fact import Fact, id_of, kind_of
from converge.proof import Many, Proof, Proving
from converge.support import Support


class Explanation(Shown, Proof):
    """One live fact with the explanations of what it rests on, down to premises.

    calls: what models were asked and answered for it, if anything. marks: who says that it does not hold, though that
    does not hold itself. cost: of all calls behind it.
    """

    because: Sequence["Explanation"]

    def __init__(
        self,
        fact: Fact,
        agent: str | None,
        round: int,
        because: Callable[[], Sequence[Any]],
        calls: Callable[[], tuple[Call, ...]] = tuple,
        marks: Callable[[], tuple[Mark, ...]] = tuple,
        smallest: Callable[[], bool] = bool,
    ) -> None:
        super().__init__(fact, agent, round, because)
        self._calls, self._marks, self._smallest = calls, marks, smallest

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """The calls that this step came of, the last one being its answer; refused answers included."""
        return self._calls()

    @cached_property
    def marks(self) -> tuple[Mark, ...]:
        """The markers on the fact; none of them is live."""
        return self._marks()

    @cached_property
    def smallest(self) -> bool:
        """Whether no proof takes fewer steps; else too much stands behind the fact, and this is the earliest one."""
        return self._smallest()

    @property
    def cost(self) -> Cost:
        """What all calls in the proof came to, each once."""
        return Cost.of(call for step in self.steps() for call in step.calls)

    def steps(self) -> Iterator["Explanation"]:
        """Iterate over the explanation of each fact in the tree once, this one first."""
        return super().steps()  # type: ignore[return-value]

    def to_dict(self, most: int | None = 10_000) -> dict[str, Any]:
        """Return JSON data, at most so many steps; see `why` in docs/explaining.schema.json.

        Steps stand in a list, each once, and name each other by id: proofs share what they rest on.
        """
        steps, left = _nearest(self, most)
        data = [step._step() for step in steps]
        whole = {"complete": not left, "smallest": self.smallest, "cost": None if left else self.cost.to_dict()}
        return {"what": "why", "fact": data_of(self.fact), "steps": data, **whole}

    def outline(self) -> Outline:
        """Return the tree."""
        return replace(_outline(self), tall=4)

    def __str__(self) -> str:
        return Shown.__str__(self)

    def _step(self) -> dict[str, Any]:
        return {
            **data_of(self.fact),
            "agent": self.agent,
            "round": self.round,
            "because": [id_of(reason.fact) for reason in self.because],
            "calls": [call.to_dict() for call in self.calls],
            "marks": [mark.to_dict() for mark in self.marks],
        }


def explaining(context: Context, upto: int, calls: Calls) -> Proving[Explanation]:
    """Return what makes explanations of one context as of one round, each once."""

    def make(proving: Proving[Explanation], place: int, support: Support) -> Explanation:
        return Explanation(
            context.facts[place],
            proving.author(support),
            support.round,
            lambda: proving.reasons(support),
            lambda: calls.of(support),
            lambda: standing(context, place, upto).marks if context.labelling.markers_on(place, upto) else (),
            lambda: proving.smallest.is_exact(place),
        )

    return Proving(context, upto, make)


def joined_explanation(members: Sequence[Explanation], fact: Fact) -> Explanation:
    """Return the explanation of a join that is no fact itself: it rests on the facts it was made of."""
    return Explanation(fact, "join", max(one.round for one in members), lambda: tuple(members), smallest=lambda: True)


def _nearest(root: Explanation, most: int | None) -> tuple[list[Explanation], bool]:
    """Return the steps that are nearest to the root, and whether there are more."""
    seen, found = {id_of(root.fact)}, [root]
    for step in found:
        for reason in step.because:
            if id_of(reason.fact) in seen:
                continue
            if most is not None and len(found) >= most:
                return found, True
            seen.add(id_of(reason.fact))
            found.append(reason)
    return found, False


# --- as an outline ----------------------------------------------------------------------------------------------------


def _outline(step: Explanation) -> Outline:
    return Outline(
        _head(step),
        notes=(*map(_asked, step.calls), *map(_marked, step.marks)),
        blocks=tuple(block for call in step.calls for block in _blocks(call)),
        parts=lambda: _parts(step),
        ref=id_of(step.fact),
    )


def _head(step: Explanation) -> Line:
    kind, *said = fact_line(step.fact)
    by = Span("given", "dim") if step.agent is None else Span(f"{one_line(step.agent)}, round {step.round}", "agent")
    return kind, Span(" ["), by, Span("]"), *said


_MANY = {True: 5, False: 8}  # of one kind from one source, given or concluded: more stand under one line
_LOOKED_THROUGH = 1_000


def _parts(step: Explanation) -> Sequence[Outline]:
    """Return what a step rests on: what was concluded first, and many facts of one kind under one line."""
    reasons = step.because
    if len(reasons) > _LOOKED_THROUGH:
        return Many(reasons, _outline)
    groups: dict[tuple[bool, str, str], list[Explanation]] = {}
    for reason in reasons:
        group = (reason.agent is None, reason.agent or "", kind_of(reason.fact).label)
        groups.setdefault(group, []).append(reason)
    ordered = sorted(groups.items(), key=lambda item: item[0][0])  # what was given comes last
    return [outline for group, several in ordered for outline in _grouped(*group, several)]


def _grouped(is_given: bool, agent: str, kind: str, several: Sequence[Explanation]) -> list[Outline]:
    if len(several) <= _MANY[is_given]:
        return [_outline(one) for one in several]
    by = Span("[given]", "dim") if is_given else Span(f"[{one_line(agent)}]", "agent")
    line = Span(f"{len(several):,} "), Span(kind, "kind"), Span(" "), by
    ref = " ".join([agent, *(id_of(one.fact) for one in several)])
    return [Outline(line, parts=lambda: [_outline(one) for one in several], ref=ref, folded=True)]


def _asked(call: Call) -> Line:
    """Say of a call what it was and what it came to."""
    who = f"model {one_line(call.model)}" if call.model else one_line(call.question.name)
    verb = "answered, and was asked again" if call.refused else "answered"
    said = clipped(one_line(call.text or _tools(call) or call.answer), _QUOTED)
    sure = "" if call.exact else "  (one of several calls)"
    return (
        Span(f"{who} {verb}: ", "agent"),
        Span(said),
        Span(f"  {Cost.of([call])}" if call.tokens else "", "money"),
        Span(sure, "dim"),
    )


_QUOTED = 300


def _tools(call: Call) -> str:
    return "; ".join(f"call {one['name']}({one['arguments']})" for one in call.tools)


def _marked(mark: Mark) -> Line:
    who = one_line(mark.agent or "somebody outside")
    return Span("challenged: ", "warn"), Span(
        f"{who} said it does not hold ({one_line(mark.reason)}), which fell", "dim"
    )


def _blocks(call: Call) -> Iterator[Block]:
    titled = f"{call.model or call.question.name}, try {call.question.attempt + 1}"
    for message in call.prompt:
        content = message.get("content")
        yield Block(
            f"{titled}: {message.get('role', 'message')}", content if isinstance(content, str) else repr(content)
        )
    if call.prompt:
        yield Block(f"{titled}: answer", call.text or _tools(call))
