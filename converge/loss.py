"""What an agent is given again: facts it concluded from together with others that no longer hold.

An agent that does not replace its conclusions is not run again merely because one falls. But a batch that it cited
nothing of may support a conclusion without the part that fell, and an item from which nothing it concluded holds any
more may lead to something else: what is live of them is given to it again.
"""

__all__ = ["losses"]

from collections.abc import Iterable, Mapping

from converge.agent import Agent
from converge.context import Context
from converge.effect import Given
from converge.fact import kind_of
from converge.liveness import DEAD, LIVE
from converge.snapshot import Watermark
from converge.support import Support


def losses(context: Context, agents: Iterable[Agent], watermarks: Iterable[Watermark]) -> dict[int, frozenset[int]]:
    """Return by agent number the live rest of each evidence that lost a part since the agent was last given any."""
    if context.labelling.all_live(context.highest):
        return {}
    concerned = {
        context.supports.number(agent.source): (number, agent, watermark.mended)
        for number, (agent, watermark) in enumerate(zip(agents, watermarks, strict=True))
        if not agent.replacing and watermark.ran >= 0
    }
    found: dict[int, set[int]] = {}
    for index in context.labelling.weakened(context.highest):
        support = context.supports[index]
        number, agent, mended = concerned.get(support.source, (-1, None, -1))
        if agent is not None and _is_lost(context, support, mended):
            found.setdefault(number, set()).update(_rest(context, support, agent.reader.reads or {}))
    return {number: frozenset(rest) for number, rest in found.items() if rest}


def _is_lost(context: Context, support: Support, mended: int) -> bool:
    """Whether a support lost evidence, and had not yet when its agent was last given such evidence again."""
    evidence = context.evidence_of(support)
    if all(context.label(cited, context.highest) != DEAD for cited in evidence):
        return False
    return support.round > mended or all(context.label(cited, mended) != DEAD for cited in evidence)


def _rest(context: Context, support: Support, reads: Mapping[str, bool]) -> set[int]:
    """Return what is live of what the activation was given as new; of what it was given again, where nothing was new."""
    evidence = [cited for cited in context.evidence_of(support) if kind_of(context.facts[cited]).label in reads]
    before = context.supports.read_before(support)
    new = [cited for cited in evidence if context.rounds[cited] > before]
    live = {cited for cited in new or evidence if context.label(cited, context.highest) == LIVE}
    if isinstance(support.evidence, Given):
        return live
    return {cited for cited in live if not _serves(context, cited, support.source)}


def _serves(context: Context, fact: int, source: int) -> bool:
    """Whether anything that a source concluded from a fact still has all its evidence."""
    supports, upto = context.supports, context.highest
    for index in context.labelling.users(fact):
        if supports[index].source == source and supports.counts(index, upto):
            if all(context.label(cited, upto) != DEAD for cited in context.evidence_of(supports[index])):
                return True
    return False
