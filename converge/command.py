"""What the machine and the shell tell each other: activations to run, cycles to commit, and how activations ended."""

__all__ = ["Activate", "Activation", "Commit", "Done"]

from typing import NamedTuple

from converge.agent import Agent
from converge.effect import Effect
from converge.snapshot import Cycle
from converge.view import View


class Activation(NamedTuple):
    """One run of an agent on one view. `number` is the agent's place in the wiring.

    `error` is what its `accepts` raised: such an activation ends as failed without running.
    """

    number: int
    agent: Agent
    view: View
    error: Exception | None = None


class Done(NamedTuple):
    """The one envelope an activation sends: its effect, or the error that left it without one."""

    activation: Activation
    effect: Effect | None
    error: BaseException | None = None
    seconds: float = 0.0
    attempts: int = 1


class Activate(NamedTuple):
    """Command: run these. The machine is told when each is done."""

    activations: tuple[Activation, ...]


class Commit(NamedTuple):
    """Command: make this cycle durable before anything else is asked."""

    cycle: Cycle
