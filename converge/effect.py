"""An effect: all that one activation of an agent emitted, merged whole or not at all."""

__all__ = ["Effect", "Emission", "Given", "Range", "Source"]

from typing import NamedTuple

from converge.fact import Fact


class Source(NamedTuple):
    """Who states a support: an agent by name and version. Given facts have the source OUTSIDE.

    `replaces` says that only the latest completed activation counts (law 7).
    """

    agent: str
    version: str = "1"
    replaces: bool = False


class Range(NamedTuple):
    """The facts of one kind with `after` < round <= `upto`; where `live`, those that were live in round `upto`."""

    kind: str
    after: int
    upto: int
    live: bool = False


class Given(NamedTuple):
    """Everything an activation was given: what its view's calls returned, as ranges and single positions.

    One such evidence node serves all uncited emissions of an activation, so citing nothing costs no memory.
    """

    ranges: tuple[Range, ...] = ()
    picks: tuple[int, ...] = ()


class Emission(NamedTuple):
    """One fact of an effect, in canonical form; `evidence` holds ids, or is None where the author cited nothing."""

    fact: Fact
    fact_id: str
    body: bytes
    evidence: tuple[str, ...] | None


class Effect(NamedTuple):
    """What the activation of `source` that read `round` emitted, in order.

    `given` is what emissions that name no evidence rest on: None where all of them name theirs.
    """

    source: Source
    round: int
    emissions: tuple[Emission, ...]
    given: Given | None
