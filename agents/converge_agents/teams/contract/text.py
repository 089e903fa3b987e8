"""The text of a document: as a model is shown it, and whether what is said of it stands on it."""

__all__ = ["cited", "shown", "stands_on_the_text"]

import json

from converge import View
from converge_agents.teams.contract.kinds import Document, Redline, Span, Vote


def shown(view: View, doc: str) -> str:
    """Return a document as a model is shown it: its title, and a line for each span with its number.

    Texts are JSON, so that nothing in one can look like the end of it.
    """
    documents = view.current(Document, doc)
    spans = cited(view, doc, tuple(range(max((document.spans for document in documents), default=0))))
    titles = [f"Document {doc}: {_quoted(document.title)}" for document in documents]
    return "\n".join([*titles, *(f"{span.number} {_quoted(span.text)}" for span in spans)])


def cited(view: View, doc: str, numbers: tuple[int, ...]) -> tuple[Span, ...]:
    """Return the spans of a document that have these numbers; for a number that it lacks, none."""
    return tuple(span for number in numbers for span in view.current(Span, (doc, number)))


def stands_on_the_text(said: Vote | Redline, view: View) -> str | None:
    """Refuse, as a step of a gate, what cites a span that its document does not have."""
    missing = [number for number in said.spans if not cited(view, said.doc, (number,))]
    return f"document {said.doc} has no span {', '.join(map(str, missing))}" if missing else None


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
