"""What the demo shows of an outcome: its rounds, the answer, what models suggested, a short proof, what has fallen."""

__all__ = ["Rounds", "answer", "counted", "difference", "ending", "proof", "suggested", "suggestions"]

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby, repeat

from rich.console import Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from converge import Fact, Opinion, Outcome, Proof, Proposal, StopReason, Verdict, id_of
from converge.trace import Activated, Captured, Event, RoundMerged, RoundStarted
from converge_agents.teams.strategy.kinds import (
    Approval,
    Optimum,
    Option,
    Plan,
    Recommendation,
    Referral,
    Risk,
    Score,
    Worth,
)
from converge_agents.teams.strategy.words import money, points

FACTS_PER_BLOCK = 10
SPELLED_OUT = 2  # facts of one kind under one node of a proof; more are counted


class Rounds:
    """Adds up events to one line per round: how many agents ran, what they asked a model, what new facts were left."""

    def __init__(self) -> None:
        self._agents, self._asked = Counter[int](), Counter[int]()
        self._facts, self._known = Counter[int](), Counter[int]()

    def see(self, event: Event) -> None:
        """Count an event; who read a round writes the next one."""
        match event:
            case RoundStarted(round=round, agents=agents):
                self._agents[round + 1] += agents
            case Captured(round=round):
                self._asked[round + 1] += 1
            case RoundMerged(round=round, facts=facts, supports=supports):
                self._facts[round] += facts
                self._known[round] += supports

    @property
    def lines(self) -> Iterator[Text]:
        """The lines, with a heading, in the order of rounds, which need not be the order they were merged in."""
        yield Text(f"round  agents  asked  new facts (█ = {FACTS_PER_BLOCK})", style="dim")
        for round, agents in sorted(self._agents.items()):
            blocks = "█" * -(-self._facts[round] // FACTS_PER_BLOCK)
            growth = (blocks, "cyan") if blocks else (f"none, {self._known[round]} known ones drawn again", "dim")
            asked = self._asked[round] or ""
            yield Text.assemble(f"{round:>5}{agents:>8}{asked:>7}{self._facts[round]:>6}  ", growth)


def ending(outcome: Outcome) -> str:
    """Return why the job stopped, in one line where a person is awaited."""
    if outcome.stop.reason is not StopReason.WAITING:
        return str(outcome.stop)
    roles = " and the ".join(sorted({one.role for one in outcome.asked}))
    return f"waiting for the {roles}: no agent would add anything"


def answer(outcome: Outcome) -> Group:
    """Return the recommendation with its reasons and whether it is approved, or why there is none."""
    lines = Table.grid("", "", padding=(0, 2, 0, 0))
    recommendations = outcome.context.live(Recommendation)
    for recommendation in recommendations:
        for word, reason in zip(chain(["because"], repeat("and")), recommendation.reasons, strict=False):
            lines.add_row(f"{word:>10}", reason)
        lines.add_row(f"{'beware':>10}", recommendation.caution)
    for word, said in _standing(outcome):
        lines.add_row(Text(f"{word:>10}", style="bold"), said)
    found = [recommendation.title for recommendation in recommendations] or ["none, see above"]
    return Group(*(Text.assemble("Recommendation: ", (title, "bold green")) for title in found), lines)


def _standing(outcome: Outcome) -> Iterator[tuple[str, str]]:
    for approval in outcome.context.live(Approval):
        yield "approved", f"for the {approval.holder}: {money(approval.capital)} of capital"
    for one in outcome.asked:
        wanted = one.fact
        yield (
            "waiting",
            f"for the {one.role}: {money(wanted.capital)} of capital, which the {wanted.holder} may approve",
        )
    for referral in outcome.context.live(Referral):
        yield "referred", f"{money(referral.capital)} of capital is beyond the mandate of the {referral.holder}"


def suggestions(outcome: Outcome) -> Table:
    """Return what models suggested, and what became of it at which step of a gate."""
    verdicts = {verdict.proposal: verdict for verdict in outcome.context.live(Verdict)}
    proposals: list[Proposal[Option] | Proposal[Risk]] = [
        *outcome.context.live(Proposal[Option]),
        *outcome.context.live(Proposal[Risk]),
    ]
    grid = Table.grid("", "", "", padding=(0, 2, 0, 0))
    for proposal in sorted(proposals, key=lambda one: _place_of(one, verdicts.get(id_of(one)))):
        fact, verdict = proposal.fact, verdicts.get(id_of(proposal))
        named = fact.title if isinstance(fact, Option) else fact.name
        grid.add_row(_fate(verdict), type(fact).__name__.lower(), Text.assemble(named, _against(verdict)))
    return grid


def _place_of(proposal: Proposal[Option] | Proposal[Risk], verdict: Verdict | None) -> tuple[bool, str, str]:
    """What was let in comes first."""
    return verdict is None or not verdict.passed, type(proposal.fact).__name__, proposal.fact.name


def _fate(verdict: Verdict | None) -> Text:
    if verdict is None:  # a sceptic may fail, or answer with nothing
        return Text("open", "yellow")
    return Text("let in", "green") if verdict.passed else Text("refused", "yellow")


def _against(verdict: Verdict | None) -> tuple[str, str]:
    if verdict is None:
        return ": nobody has judged it, so nobody believes it", "dim"
    return ("", "") if verdict.passed else (f": {verdict.reason}  [{verdict.step}]", "dim")


def proof(outcome: Outcome) -> Group:
    """Return why the optimum holds, as a tree that counts what it does not spell out."""
    return Group(*(_tree(outcome, optimum) for optimum in outcome.context.live(Optimum)))


def suggested(outcome: Outcome) -> Group:
    """Return why the options that were suggested and are now recommended are on the table."""
    entries = {entry for recommendation in outcome.context.live(Recommendation) for entry in recommendation.entries}
    options = [option for entry in sorted(entries) for option in outcome.context.live(Option, entry)]
    return Group(*(_tree(outcome, option) for option in options if outcome.why(option).agent))


def _tree(outcome: Outcome, fact: Fact) -> Tree:
    root = outcome.why(fact)
    tree = Tree(_node(root), guide_style="dim")
    _grow(tree, root, {fact})
    return tree


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
    "Lead": ("lead", "leads"),
    "Observation": ("observation", "observations"),
    "Value": ("value", "values"),
    "Worth": ("worth", "worths"),
    "Plan": ("plan", "plans"),
    "Score": ("score", "scores"),
    "Check": ("check", "checks"),
    "Feasible": ("feasibility", "feasibilities"),
    "Optimum": ("optimum", "optima"),
    "Rank": ("rank", "ranks"),
    "Recommendation": ("recommendation", "recommendations"),
    "Proposal[Approval]": ("proposal to the board", "proposals to the board"),
    "Proposal[Option]": ("proposal", "proposals"),
    "Proposal[Risk]": ("proposal of a risk", "proposals of risks"),
    "Opinion": ("opinion", "opinions"),
    "Verdict": ("verdict", "verdicts"),
    "Request": ("request", "requests"),
    "Approval": ("approval", "approvals"),
    "Referral": ("referral", "referrals"),
}
_ORDER = tuple(_WORDS)
_UNFOLDED = {"Optimum", "Score", "Worth", "Plan", "Feasible", "Option", "Proposal[Option]", "Verdict", "Opinion"}


def _grow(tree: Tree, proof: Proof, shown: set[Fact]) -> None:
    for kind, group in groupby(sorted(proof.because, key=_place), key=_place):
        branches = [branch for branch in group if branch.fact not in shown]
        shown.update(branch.fact for branch in branches)
        if not branches:
            continue
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
    several = counted(proof.fact for proof in proofs)
    if not any(proof.agent for proof in proofs):
        return f"{several}  [given]"
    return f"{several}, from {counted({premise for proof in proofs for premise in proof.premises()})}"


def _described(fact: Fact) -> str:
    match fact:
        case Optimum():
            return f"it has the most points of {fact.feasible} feasible plans"
        case Score() | Worth():
            return f"{points(fact.points)} points: {fact.plan if isinstance(fact, Score) else fact.option}"
        case Plan() | Option():
            return f"{type(fact).__name__.lower()}: {fact.name}"
        case Proposal():
            return "it is proposed"
        case Verdict():
            return "it has passed the gate"
        case Opinion():
            return fact.reason
        case _:
            return "it keeps every limit"
