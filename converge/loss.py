"""What an agent is given again: facts it concluded from together with others that no longer hold.

Nobody is run again merely because a conclusion falls. A monotone agent that cites its reasons has drawn every
conclusion that the rest allows already. But a batch of which nothing was cited may support a conclusion without the
part that fell, and an agent that asks a model may be answered otherwise: what is live of their evidence is given to
them again.
"""

__all__ = ["losses"]

from collections.abc import Iterable, Mapping

from converge.agent import Agent
from converge.capture import Captures
from converge.context import Context
from converge.effect import Given
from converge.fact import id_of, kind_of
from converge.liveness import DEAD, LIVE
from converge.snapshot import Watermark
from converge.support import Support


def losses(
    context: Context, agents: Iterable[Agent], watermarks: Iterable[Watermark], captures: Captures, upto: int
) -> dict[int, frozenset[int]]:
    """Return by agent number the live rest of each evidence that lost a part since the agent was last given any.

    As of round `upto`: what was offered once is the same to whoever restores the job in the middle of it.
    """
    if context.labelling.all_live(upto):
        return {}
    concerned = {
        context.supports.number(agent.source): (number, agent, watermark.mended)
        for number, (agent, watermark) in enumerate(zip(agents, watermarks, strict=True))
        if not agent.replacing and watermark.ran >= 0
    }
    found: dict[int, set[int]] = {}
    for index in context.labelling.weakened(upto):
        support = context.supports[index]
        number, agent, mended = concerned.get(support.source, (-1, None, -1))
        if agent is None:
            continue
        forgets = isinstance(support.evidence, Given) or captures.has_asked(agent.name)
        if forgets or _cites_join(context, support):
            rest = _rest(context, support, agent.reader.reads or {}, upto)
            if _is_due(context, support, rest, mended, upto):
                found.setdefault(number, set()).update(rest)
    return {number: frozenset(rest) for number, rest in found.items() if rest}


def _is_due(context: Context, support: Support, rest: set[int], mended: int, upto: int) -> bool:
    """Whether a support lost evidence, and when its agent was last given any again had not, or less of it was live."""
    evidence = context.evidence_of(support)
    if all(context.label(cited, upto) != DEAD for cited in evidence):
        return False
    if support.round > mended or all(context.label(cited, mended) != DEAD for cited in evidence):
        return True
    return any(not context.is_live(place, mended) for place in rest)


def _rest(context: Context, support: Support, reads: Mapping[str, bool], upto: int) -> set[int]:
    """Return what is live of what the activation was given as new, or again where nothing was new."""
    evidence = [cited for cited in context.evidence_of(support) if kind_of(context.facts[cited]).label in reads]
    before = context.supports.read_before(support)
    new = [cited for cited in evidence if context.rounds[cited] > before]
    rest = {cited for cited in new or evidence if context.label(cited, upto) == LIVE}
    dead = (cited for cited in evidence if context.label(cited, upto) == DEAD)
    return rest.union(*(_of_one_join(context, cited, upto) for cited in dead))


def _cites_join(context: Context, support: Support) -> bool:
    return any(kind_of(context.facts[cited]).policy == "join" for cited in context.evidence_of(support))


def _of_one_join(context: Context, fact: int, upto: int) -> set[int]:
    """Return the live facts that are joined with a fact: without it, their join is another one."""
    kind = kind_of(context.facts[fact])
    if kind.policy != "join":
        return set()
    about = context.log(kind).keys[kind.key_of(context.facts[fact])]
    places = (context.position[id_of(other)] for other in about)
    return {place for place in places if context.is_live(place, upto)}
