"""What is shown of a review: what each document says on each position, and the words that counsel is asked about."""

__all__ = ["findings", "wording"]

from rich.console import Group
from rich.table import Table
from rich.text import Text

from converge import Fact, Outcome, View
from converge_agents.teams.contract.kinds import (
    Deviation,
    Document,
    Hypothesis,
    Judgement,
    Position,
    Question,
    Redline,
    Span,
    Vote,
)


def findings(outcome: Outcome) -> Group:
    """Return a line for each question: whether we can sign what the document says, and where it says so."""
    known = outcome.context
    documents = sorted(known.live(Document), key=lambda document: document.doc)
    return Group(*(part for document in documents for part in (document.title, _lines(known, document.doc))))


def wording(outcome: Outcome, redline: Redline) -> Table:
    """Return the words that are proposed, beside those whose place they take."""
    known = outcome.context
    old = [span.text for number in redline.spans for span in known.live(Span, (redline.doc, number))]
    grid = Table.grid("", "", padding=(0, 2, 0, 0))
    grid.add_row("", Text(_short(known, redline.hypothesis), style="bold"))
    grid.add_row("now", Text("\n".join(old) or "nothing on this", style="dim"))
    grid.add_row("rather", Text(redline.text, style="green"))
    return grid


def _lines(known: View, doc: str) -> Table:
    grid = Table.grid("", "", "", "", padding=(0, 2, 0, 0))
    for key in _positions(known):
        if known.live(Question, (doc, key)):
            grid.add_row(*_line(known, doc, key))
    return grid


def _positions(known: View) -> list[str]:
    """Return the hypotheses in the order of their names, those of the playbook first."""
    ours = {position.hypothesis for position in known.live(Position)}
    return sorted((one.key for one in known.live(Hypothesis)), key=lambda key: (key not in ours, key))


def _line(known: View, doc: str, key: str) -> tuple[Text | str, ...]:
    judged = known.live(Judgement, (doc, key))
    found = " or ".join(sorted(judgement.choice for judgement in judged)) or "not judged"
    numbers = sorted({number for vote in known.live(Vote, (doc, key)) for number in vote.spans})
    where = [span.text.split(" ")[0] for number in numbers for span in known.live(Span, (doc, number))]
    return _mark(judged, known.live(Deviation, (doc, key))), _short(known, key), found, ", ".join(where)


def _mark(judged: tuple[Fact, ...], deviations: tuple[Fact, ...]) -> Text:
    if len(judged) != 1:
        return Text("open" if not judged else "contested", style="bold")
    return Text("departs", style="yellow") if deviations else Text("fits", style="green")


def _short(known: View, key: str) -> str:
    return next((one.short for one in known.live(Hypothesis, key)), key)
