"""The panel: each hypothesis is a question about each document, and each judge answers each question with a vote.

A judge is asked once about each question, and cites the spans it names, or the document where nothing in it speaks of
the statement. When a cited span falls, its votes fall, and it is asked these questions again on what is left.
"""

__all__ = ["JUDGES", "ask", "conclude", "every_question_is_judged", "judge"]

from collections.abc import Iterator
from functools import partial
from itertools import product

from converge import Agent, Assertion, Fact, View, agent, invariant
from converge_agents.conversation import Asks
from converge_agents.llm import LLMAgent
from converge_agents.teams.contract.kinds import (
    Document,
    Finding,
    Hypothesis,
    Judgement,
    Question,
    Span,
    Vote,
)
from converge_agents.teams.contract.text import cited, shown, stands_on_the_text

JUDGES = {  # by name, how each of them reads
    "close_reader": "Go by what the words say, with the meanings that the document itself gives them.",
    "sceptic": "Read as the counsel of the other side would: look for the exception before you rely on the rule.",
}
_TASK = (
    "You judge what a document says. You are shown its spans by number, and a statement. Answer with exactly one "
    "finding: Entailment where the document says that the statement holds, Contradiction where it says that it does "
    "not, with the numbers of the spans that say so, no more than it takes; NotMentioned, without a span, where "
    "nothing in the document settles it. What is usual in such documents settles nothing."
)


@agent(reads=[Document, Hypothesis], writes=Question)
def ask(view: View) -> Iterator[Assertion]:
    """Ask each hypothesis about each document."""
    for document, hypothesis in product(view.all(Document), view.all(Hypothesis)):
        yield Question(document.doc, hypothesis.key).because(document, hypothesis)


def judge(name: str, model: Asks) -> Agent:
    """Return the judge of this name; its votes are believed where the spans that they cite are in the document."""
    return LLMAgent(
        name,
        model,
        _statement,
        reads=[Question, Document, Hypothesis, Span],
        writes=Vote,
        each=Question,
        system=f"{_TASK}\n{JUDGES[name]}",
        answers=Finding,
        conclude=partial(_vote, name),
        gate=stands_on_the_text,
    )


@agent(reads=Vote, writes=Judgement)
def conclude(view: View) -> Iterator[Assertion]:
    """Take over what the judges find: equal choices support one judgement, different ones contest each other."""
    for vote in view.new(Vote):
        yield Judgement(vote.doc, vote.hypothesis, vote.choice).because(vote)


@invariant
def every_question_is_judged(view: View) -> str | None:
    """Every question has a judgement that stands on the text: a success criterion of the intent."""
    open_ = [one for one in view.live(Question) if not view.live(Judgement, (one.doc, one.hypothesis))]
    return f"{open_[0].hypothesis} in {open_[0].doc} is not judged, one of {len(open_)}" if open_ else None


def _statement(question: Question, view: View) -> str:
    """Put the document first: questions that begin alike cost less where a server remembers how they begin."""
    statements = [f"Statement {one.key}: {one.text}" for one in view.all(Hypothesis, question.hypothesis)]
    return "\n\n".join([shown(view, question.doc), *statements])


def _vote(judge: str, finding: Finding, question: Question, view: View) -> Assertion:
    spans: tuple[Fact, ...] = cited(view, question.doc, finding.spans)
    vote = Vote(judge, question.doc, question.hypothesis, finding.choice, finding.spans)
    return vote.because(question, *(spans or view.all(Document, question.doc)))
