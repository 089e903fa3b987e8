"""What the playbook does not accept, and the words that would mend it, for counsel to decide on one by one."""

__all__ = ["compare", "every_deviation_is_mended", "redliner"]

from collections.abc import Iterator

from converge import Agent, Assertion, View, agent, human, invariant
from converge_agents.conversation import Asks
from converge_agents.llm import LLMAgent
from converge_agents.teams.contract.kinds import (
    Deviation,
    Document,
    Hypothesis,
    Judgement,
    Position,
    Redline,
    Span,
    Wording,
)
from converge_agents.teams.contract.text import cited, shown, stands_on_the_text

_TASK = (
    "You mend contracts. You are shown a document, its spans by number, and where it departs from what we can sign. "
    "Answer with exactly one wording: the words that are to stand in the document, in its own terms and numbering, "
    "and the numbers of the spans that they take the place of, none where they are added. Change no more than it takes."
)


@agent(reads=[Judgement, Position], writes=Deviation)
def compare(view: View) -> Iterator[Assertion]:
    """Hold each judgement against the playbook."""
    for judgement in view.all(Judgement):
        for position in view.all(Position, judgement.hypothesis):
            if judgement.choice not in position.accepted:
                deviation = Deviation(judgement.doc, judgement.hypothesis, judgement.choice)
                yield deviation.because(judgement, position)


def redliner(model: Asks) -> Agent:
    """Return the agent that words what would mend a deviation; counsel decides on each."""
    return LLMAgent(
        "redliner",
        model,
        _deviation,
        reads=[Deviation, Position, Hypothesis, Document, Span],
        writes=Redline,
        each=Deviation,
        system=_TASK,
        answers=Wording,
        conclude=_redline,
        gate=(stands_on_the_text, human("counsel")),
    )


@invariant
def every_deviation_is_mended(view: View) -> str | None:
    """Every deviation has words that counsel approved: a success criterion of the intent."""
    open_ = [one for one in view.live(Deviation) if not view.live(Redline, (one.doc, one.hypothesis))]
    return f"{open_[0].hypothesis} in {open_[0].doc} is not mended, one of {len(open_)}" if open_ else None


def _deviation(deviation: Deviation, view: View) -> str:
    statements = [f"Departure {one.key}: {one.text}" for one in view.all(Hypothesis, deviation.hypothesis)]
    asks = [one.ask for one in view.all(Position, deviation.hypothesis)]
    found = f"The document was found to say of this: {deviation.found}. We ask for: {' '.join(asks)}"
    return "\n\n".join([shown(view, deviation.doc), *statements, found])


def _redline(wording: Wording, deviation: Deviation, view: View) -> Assertion:
    spans = cited(view, deviation.doc, wording.spans)
    redline = Redline(deviation.doc, deviation.hypothesis, wording.spans, wording.text)
    return redline.because(deviation, *view.all(Position, deviation.hypothesis), *spans)
