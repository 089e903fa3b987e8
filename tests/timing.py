"""A job driven by hand under virtual time: who ends when is decided by given durations, and nothing ever waits.

Every view is noted when its activation begins and read again when it ends, since an agent reads all that while. An
agent runs when its activation ends: what it is shown must not depend on what was merged meanwhile.
"""

__all__ = ["JOBS", "TIMINGS", "Duration", "Seen", "Timed", "any_durations", "even", "timed", "timed_on"]

import dataclasses
import heapq
import os
import random
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from converge.agent import Agent
from converge.command import Activate, Activation, Commit
from converge.fact import Fact, id_of
from converge.view import View
from tests.jobs import Play, begin, perform, restored

_NIGHTLY = os.environ.get("CONVERGE_NIGHTLY") == "1"
JOBS, TIMINGS = (2_000, 8) if _NIGHTLY else (100, 4)

Duration = Callable[[str], float]  # seconds that the next activation of the agent of this name takes


class Seen(NamedTuple):
    """What one activation was shown; `labels` of everything shown, where the agent reads it with its liveness."""

    agent: str
    round: int
    after: int
    shown: tuple[str, ...]
    again: tuple[str, ...]
    labels: tuple[int, ...]


@dataclasses.dataclass
class Timed(Play):
    """A job driven under virtual time: every activation's view, and when each fact and the end were reached."""

    seen: list[Seen] = dataclasses.field(default_factory=list)
    known_at: dict[str, float] = dataclasses.field(default_factory=dict)
    ended_at: float = 0.0


def timed(agents: Iterable[Agent], facts: Iterable[Fact], duration: Duration, **options: Any) -> Timed:
    """Run a job to its stop; `tests.jobs.begin` says with which options."""
    return _drive(begin(agents, facts, **options), duration)


def timed_on(before: Play, facts: Iterable[Fact], duration: Duration, **options: Any) -> Timed:
    """Restore a job from its rows, as another process would, and run it to its next stop."""
    return _drive(restored(before, facts, **options), duration)


def even(agent: str) -> float:
    """Return one second for everybody."""
    return 1.0


def any_durations(order: random.Random) -> Duration:
    """Return durations of 0.05 to 0.2 s, but for one agent in about six of 10 s, each time multiplied by 0.3 to 3."""
    usual: dict[str, float] = {}

    def duration(agent: str) -> float:
        usual.setdefault(agent, 10.0 if order.random() < 1 / 6 else order.uniform(0.05, 0.2))
        return usual[agent] * order.uniform(0.3, 3.0)

    return duration


def seen(activation: Activation) -> Seen:
    """Return what an activation is shown."""
    view: View = activation.view.fresh()
    facts, context = view.facts(), view._context
    places = [context.position[id_of(fact)] for fact in facts]
    labels = [context.label(place, view.round) for place in places] if activation.agent.replacing else []
    again = sorted(id_of(context.facts[place]) for place in view._again)
    return Seen(activation.agent.name, view.round, view._after, tuple(map(id_of, facts)), tuple(again), tuple(labels))


def _drive(begun: Play, duration: Duration) -> Timed:
    job = Timed(begun.machine, begun.header, begun.bodies, begun.effects)
    ends: list[tuple[float, int, Activation, Seen]] = []
    now = 0.0
    while job.stop is None:
        for command in job.machine.next(now):
            if isinstance(command, Commit):
                job.bodies.append(command.cycle.body())
                for fact in job.context.facts[len(job.known_at) :]:
                    job.known_at[id_of(fact)] = now
            elif isinstance(command, Activate):
                for activation in command.activations:
                    job.seen.append(seen(activation))
                    end = now + duration(activation.agent.name)
                    heapq.heappush(ends, (end, len(job.seen), activation, job.seen[-1]))
            else:
                job.stop, job.ended_at = command, now
        if job.stop is None:
            now, _, activation, before = heapq.heappop(ends)
            assert seen(activation) == before, "a view changed while its agent was reading"
            done = perform(activation)
            if done.effect is not None:
                job.effects.append(done.effect)
            job.machine.receive(done)
    return job
