"""What the demo shows of an outcome: its rounds, the answer, a short proof, and what a late fact brought down."""

__all__ = ["Rounds", "answer", "counted", "difference", "proof"]

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby, repeat

from rich.console import Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from converge import Fact, Outcome, Proof
from converge.trace import Activated, Event, RoundMerged, RoundStarted
from converge_agents.teams.strategy.kinds import Approval, Optimum, Option, Plan, Recommendation, Score, Worth
from converge_agents.teams.strategy.words import points

FACTS_PER_BLOCK = 10
SPELLED_OUT = 2  # facts of one kind under one node of a proof; more are counted


class Rounds:
    """Turns events into one line per round: how many agents ran, and how few new facts were left to find."""

    heading = Text(f"round  agents  new facts (█ = {FACTS_PER_BLOCK})", style="dim")

    def __init__(self) -> None:
        self._agents = 0

    def lines(self, event: Event) -> Iterator[Text]:
        """Yield the line that an event completes, if it completes one."""
        if isinstance(event, RoundStarted):
            self._agents = event.agents
        elif isinstance(event, RoundMerged):
            blocks = "█" * -(-event.facts // FACTS_PER_BLOCK)
            growth = (blocks, "cyan") if blocks else (f"none, {event.supports} known ones drawn again", "dim")
            yield Text.assemble(f"{event.round:>5}{self._agents:>8}{event.facts:>6}  ", growth)


def answer(outcome: Outcome) -> Group:
    """Return the recommendation with its reasons and the approval, or why there is none."""
    lines = Table.grid("", "", padding=(0, 2, 0, 0))
    recommendations = outcome.context.live(Recommendation)
    for recommendation in recommendations:
        for word, reason in zip(chain(["because"], repeat("and")), recommendation.reasons, strict=False):
            lines.add_row(f"{word:>10}", reason)
        lines.add_row(f"{'beware':>10}", recommendation.caution)
    for approval in outcome.context.live(Approval):
        word, holder = ("approved", "for the") if approval.granted else ("referred", "to the")
        lines.add_row(f"{word:>10}", f"{holder} {approval.holder}: {approval.reason}")
    found = [recommendation.title for recommendation in recommendations] or ["none, see above"]
    return Group(*(Text.assemble("Recommendation: ", (title, "bold green")) for title in found), lines)


def proof(outcome: Outcome) -> Group:
    """Return why the optimum holds, as a tree that counts what it does not spell out."""
    trees = []
    for optimum in outcome.context.live(Optimum):
        root = outcome.why(optimum)
        trees.append(Tree(_node(root), guide_style="dim"))
        _grow(trees[-1], root, {optimum})
    return Group(*trees)


def difference(before: Outcome, after: Outcome) -> Table:
    """Return what was live in `before` and is dead in `after`, and which agents ran in between."""
    was_live = [fact for fact in before.context.facts() if before.context.is_live(fact)]
    late = [event.agent for event in after.trace[len(before.trace) :] if isinstance(event, Activated)]
    agents = {event.agent for event in after.trace if isinstance(event, Activated)}
    grid = Table.grid("", "", padding=(0, 2, 0, 0))
    grid.add_row("Fell", counted(fact for fact in was_live if not after.context.is_live(fact)))
    grid.add_row("Ran again", ", ".join(dict.fromkeys(late)))
    grid.add_row("Did not run", f"{', '.join(sorted(agents.difference(late)))}: nothing they read has changed")
    return grid


def counted(facts: Iterable[Fact]) -> str:
    """Return how many facts there are of each kind, in words."""
    numbers = Counter(type(fact).__name__ for fact in facts)
    parts = [f"{numbers[kind]} {words[numbers[kind] > 1]}" for kind, words in _WORDS.items() if numbers[kind]]
    return " and ".join(part for part in [", ".join(parts[:-1]), *parts[-1:]] if part)


_WORDS: Mapping[str, tuple[str, str]] = {  # from what is given to what is concluded
    "Option": ("option", "options"),
    "Criterion": ("criterion", "criteria"),
    "Estimate": ("estimate", "estimates"),
    "Risk": ("risk", "risks"),
    "Limit": ("limit", "limits"),
    "Regulation": ("regulation", "regulations"),
    "Mandate": ("mandate", "mandates"),
    "Value": ("value", "values"),
    "Worth": ("worth", "worths"),
    "Plan": ("plan", "plans"),
    "Score": ("score", "scores"),
    "Check": ("check", "checks"),
    "Feasible": ("feasibility", "feasibilities"),
    "Optimum": ("optimum", "optima"),
    "Rank": ("rank", "ranks"),
    "Recommendation": ("recommendation", "recommendations"),
    "Approval": ("approval", "approvals"),
}
_ORDER = tuple(_WORDS)
_UNFOLDED = {"Optimum", "Score", "Worth", "Plan", "Feasible", "Option"}


def _grow(tree: Tree, proof: Proof, shown: set[Fact]) -> None:
    for kind, group in groupby(sorted(proof.because, key=_place), key=_place):
        branches = [branch for branch in group if branch.fact not in shown]
        shown.update(branch.fact for branch in branches)
        if len(branches) > SPELLED_OUT or _ORDER[kind] not in _UNFOLDED:
            tree.add(Text(_folded(branches), style="dim"))
            continue
        for branch in branches:
            _grow(tree.add(_node(branch)), branch, shown)


def _place(proof: Proof) -> int:
    return _ORDER.index(type(proof.fact).__name__)


def _node(proof: Proof) -> Text:
    return Text.assemble(_described(proof.fact), (f"  [{proof.agent or 'given'}]", "dim"))


def _folded(proofs: list[Proof]) -> str:
    given = {premise for proof in proofs for premise in proof.premises()}
    return f"{counted(proof.fact for proof in proofs)}, from {counted(given)}"


def _described(fact: Fact) -> str:
    match fact:
        case Optimum():
            return f"it has the most points of {fact.feasible} feasible plans"
        case Score() | Worth():
            return f"{points(fact.points)} points: {fact.plan if isinstance(fact, Score) else fact.option}"
        case Plan() | Option():
            return f"{type(fact).__name__.lower()}: {fact.name}"
        case _:
            return "it keeps every limit"
