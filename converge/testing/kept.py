"""A job that was run to be looked at: in memory, to its end, with what its agents held before it put back."""

__all__ = ["Facts", "KeptJob", "check_rest", "kept_job", "why_it_depends"]

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

from converge.checking.history import AT_REST
from converge.checking.holdings import Holdings
from converge.engine import Engine
from converge.fact import Fact
from converge.intent import RootIntent
from converge.outcome import Outcome
from converge_stores.memory import MemoryStore

Facts = Iterable[Fact] | Fact
_MANY = 1_000_000


class KeptJob(NamedTuple):
    """A job that has come to rest, the engine that can go on with it, and what its agents hold besides their views."""

    engine: Engine
    outcome: Outcome
    holdings: Holdings


@asynccontextmanager
async def kept_job(engine: Engine, intent: RootIntent | str, facts: Facts) -> AsyncIterator[KeptJob]:
    """Run a job in a store of its own. Raises AssertionError for one that does not come to rest.

    What its agents hold is as it was before when the block ends; within, `holdings.put_back()` makes a new process.
    """
    holdings = Holdings(engine.agents)
    holdings.keep()
    try:
        kept = engine.with_store(MemoryStore(keep=_MANY))
        outcome = await kept.run(intent, facts)
        check_rest(outcome)
        yield KeptJob(kept, outcome, holdings)
    finally:
        holdings.put_back()


def check_rest(outcome: Outcome, where: str = "the job") -> None:
    """Raise AssertionError for a job that did not come to rest."""
    if outcome.stop.reason in AT_REST:
        return
    raised = "".join(f"; agent {name} raised {error!r:.300}" for name, error in outcome.errors.items())
    remedy = "mend the agent" if outcome.errors else "give its root intent the budget to end"
    raise AssertionError(
        f"{where} did not come to rest, so there is nothing to compare ({outcome.stop}{raised}): {remedy}"
    )


def why_it_depends(holdings: Holdings, agent: str) -> str:
    """Say what an agent depends on besides its view, as far as its code shows it, and the remedy."""
    if shared := holdings.shared_by(agent):
        held, others = shared
        return f"it reads {held}, which {', '.join(others)} holds too: make that a fact, or record it with view.capture"
    if kept := holdings.kept_by(agent):
        return f"it keeps {kept}, from one activation to the next: make that a fact it reads"
    if modules := holdings.chance_of(agent):
        return f"its code asks {', '.join(modules)}: record what that returns with view.capture"
    return "it reads something besides its view: make that a fact it reads, or record it with view.capture"
