"""The kinds of the contract job: texts and a playbook, given from outside, and what the agents make of them.

A document is a number of spans, counted from 0 in the order in which they are read. A hypothesis is a statement about
a contract, which a document entails, contradicts, or does not mention.
"""

__all__ = [
    "Choice",
    "Deviation",
    "Document",
    "Finding",
    "Hypothesis",
    "Judgement",
    "Position",
    "Question",
    "Redline",
    "Span",
    "Vote",
    "Wording",
]

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from converge import Fact

Choice = Literal["Entailment", "Contradiction", "NotMentioned"]
Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]


# Given from outside.


class Document(Fact, key="doc"):
    """A text to be judged, and of how many spans it is made."""

    doc: str
    title: str
    spans: Count


class Span(Fact, key=("doc", "number")):
    """A piece of a document. Two texts for one number contest each other, until one of them is invalidated."""

    doc: str
    number: Count
    text: str


class Hypothesis(Fact, key="key"):
    """A statement that every document is held against."""

    key: str
    short: str
    text: str


class Position(Fact, key="hypothesis"):
    """What the playbook says on a hypothesis: the choices that we can sign, and what we ask for where it is another."""

    hypothesis: str
    accepted: tuple[Choice, ...]
    ask: str


# What a model answers with: it names neither document nor hypothesis, so it can speak about no other.


class Finding(Fact, policy="many"):
    """What the document says of the statement, and the numbers of the spans that say so; NotMentioned has none."""

    choice: Choice
    spans: tuple[Count, ...]

    @model_validator(mode="after")
    def _is_shown(self) -> Self:
        if (self.choice == "NotMentioned") is bool(self.spans):
            raise ValueError("Entailment and Contradiction name the spans that say so, and NotMentioned names none")
        return self


class Wording(Fact, policy="many"):
    """Words for the document, and the numbers of the spans they take the place of; none where they are added."""

    spans: tuple[Count, ...]
    text: Text


# Made by agents.


class Question(Fact):
    """One hypothesis about one document."""

    doc: str
    hypothesis: str


class Vote(Fact, key=("doc", "hypothesis"), policy="many"):
    """What one judge finds. Judges may differ, and name different spans for the same choice."""

    judge: str
    doc: str
    hypothesis: str
    choice: Choice
    spans: tuple[Count, ...]


class Judgement(Fact, key=("doc", "hypothesis")):
    """What holds of a hypothesis in a document, by every vote there is; judges who differ make it contested."""

    doc: str
    hypothesis: str
    choice: Choice


class Deviation(Fact, key=("doc", "hypothesis")):
    """A judgement that the playbook does not accept."""

    doc: str
    hypothesis: str
    found: Choice


class Redline(Fact, key=("doc", "hypothesis")):
    """Words that mend a deviation, and the spans they take the place of; none where they are added."""

    doc: str
    hypothesis: str
    spans: tuple[Count, ...]
    text: Text
