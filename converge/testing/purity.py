"""Whether an agent is a function of its view: run again on the same view, it says the same."""

__all__ = ["assert_pure"]

from collections.abc import Iterable

from converge.agent import Agent, as_agent
from converge.capture import Captures
from converge.checking.finding import shown
from converge.checking.holdings import Holdings
from converge.checking.performing import Bench, Recorded, performing
from converge.command import Activation
from converge.effect import Effect, Emission, Given
from converge.engine import Engine
from converge.errors import CaptureMissing
from converge.fact import Fact, Invalidation
from converge.intent import RootIntent
from converge.testing.kept import why_it_depends
from converge.view import View
from converge.wiring import Wiring

_MOST = 100_000  # emissions
_Said = frozenset[tuple[str, frozenset[str] | Given | None]]  # ids, and what each rests on


async def assert_pure(agent: object, view: View | Iterable[Fact] | Fact) -> None:
    """Run an agent three times on one view: it must say the same, for the same reasons, each time.

    view: that of an outcome (`outcome.context`), or facts that it is to see, all of them new to it. The second run
    follows the first; before the third, what the agent holds besides its view is put back, as in a new process. Calls
    are made in the first run only. Raises AssertionError naming the agent, what differs, what it reads, and the remedy.
    """
    one = as_agent(agent)
    holdings = Holdings([one])
    holdings.keep()
    seen = view if isinstance(view, View) else await _stating(view)
    try:
        captures = Captures()
        first = await _said(one, seen, captures, holdings)
        for when in ("at once", "as in a new process"):
            again = await _said(one, seen, Recorded(captures), holdings)
            if differing := _statements(first) ^ _statements(again):
                fact_id, _ = min(differing, key=lambda statement: statement[0])
                raise AssertionError(_parted(one, holdings, when, fact_id, first, again))
            holdings.put_back()
    finally:
        holdings.put_back()


async def _stating(facts: Iterable[Fact] | Fact) -> View:
    """Return a view in which these facts are all that is known."""
    stated = [facts] if isinstance(facts, Fact) else list(facts)
    kinds = dict.fromkeys(type(fact) for fact in stated if not isinstance(fact, Invalidation))
    return (await Engine([], inputs=kinds).run("show some facts", stated)).context


async def _said(agent: Agent, view: View, captures: Captures, holdings: Holdings) -> Effect:
    """Run an agent once. Raises AssertionError where it does not run, or fails."""
    seen = view.shown_to(agent.reader, captures)
    if agent.accepts is not None and not agent.accepts(seen.fresh()):
        raise AssertionError(f"agent {agent.name} does not accept this view: give one on which it runs")
    recorded = captures if isinstance(captures, Recorded) else Recorded(Captures())
    bench = Bench(Wiring([]), (), _MOST)
    async with performing(bench, RootIntent("run one agent"), recorded) as perform:
        done = await perform(Activation(0, agent, seen))
    if isinstance(done.error, CaptureMissing):
        asks = f"agent {agent.name} asks {done.error.name!r} otherwise when it is run again on the same view"
        raise AssertionError(f"{asks}: {why_it_depends(holdings, agent.name)}")
    if done.effect is None:
        raise AssertionError(f"agent {agent.name} fails on this view: {done.error!r:.300}") from done.error
    return done.effect


def _statements(effect: Effect) -> _Said:
    rests = [effect.given if one.evidence is None else frozenset(one.evidence) for one in effect.emissions]
    return frozenset((one.fact_id, basis) for one, basis in zip(effect.emissions, rests, strict=True))


def _parted(agent: Agent, holdings: Holdings, when: str, fact_id: str, first: Effect, again: Effect) -> str:
    before, then = _of(first, fact_id), _of(again, fact_id)
    fact = (before or then)[0].fact
    said = "for other reasons" if before and then else "no more" if before else "only then"
    differs = f"agent {agent.name}, run again {when} on the same view, states {shown(fact)} {said}"
    return f"{differs}: {why_it_depends(holdings, agent.name)}"


def _of(effect: Effect, fact_id: str) -> list[Emission]:
    return [emission for emission in effect.emissions if emission.fact_id == fact_id]
