"""Labels brought forward round by round are those of the whole graph as of every round, however it came to be known.

A small model keeps what was merged as it was merged and knows law 6 and law 7 by their words only; the reference
labels it anew for each question. Rounds come in any order, but what a range of an evidence node covers is closed.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge.context import Context
from converge.effect import Effect, Emission, Given, Range, Source
from converge.fact import Fact, Invalidation, id_of, identified, kind_of
from converge.intent import RootIntent
from converge.liveness import DEAD, DISPUTED, LIVE
from converge.merge import merge, premises
from tests.jobs import CELLS
from tests.oracles import reference
from tests.timing import JOBS

WORLDS = (CELLS[:2], CELLS[2:4])  # what stands in the first is not changed by anything in the second
SPAN = 5  # rounds that are open at a time
ROOT = RootIntent("a law")
Labels = dict[str, int]


@pytest.fixture(scope="module")
def oracle() -> ModuleType:
    return reference("labelling")


class Derived(NamedTuple):
    """One support as it was merged."""

    fact: str
    source: Source
    wrote: int
    evidence: frozenset[str]


class World:
    """A context and, beside it, all that was merged into it in plain words."""

    def __init__(self, oracle: ModuleType) -> None:
        self.oracle, self.context = oracle, Context(ROOT)
        self.facts: dict[str, Fact] = {id_of(ROOT): self.context.intent}
        self.derived = [Derived(id_of(ROOT), Source(""), 0, frozenset())]
        self.completed: dict[str, dict[int, Source]] = {}  # agent -> round written -> source
        self.versions: dict[str, int] = {}
        self.floors = [0, 0]  # per world, the last round that is closed
        self.closed = dict.fromkeys(CELLS, 0)  # per kind

    # --- by the words of the laws -------------------------------------------------------------------------------

    def round_of(self, fact: str) -> int:
        return min(one.wrote for one in self.derived if one.fact == fact)

    def known(self, upto: int) -> list[str]:
        return [fact for fact in self.facts if self.round_of(fact) <= upto]

    def of_kind(self, kind: type[Fact], after: int, upto: int) -> list[str]:
        return [fact for fact in self.known(upto) if type(self.facts[fact]) is kind and self.round_of(fact) > after]

    def counts(self, one: Derived, upto: int) -> bool:
        """Whether a support counts: of the version that completed last, and where it replaces, of its last one."""
        if one.wrote > upto:
            return False
        completed = {wrote: by for wrote, by in self.completed.get(one.source.agent, {}).items() if wrote <= upto}
        if not completed:
            return True
        last = max(completed)
        return completed[last] == one.source and (not one.source.replaces or one.wrote == last)

    def labels(self, upto: int) -> Labels:
        known = self.known(upto)
        supports = [(one.fact, tuple(one.evidence)) for one in self.derived if self.counts(one, upto)]
        markers = ((fact, self.facts[fact]) for fact in known)
        marked = [(fact, marker.target) for fact, marker in markers if isinstance(marker, Invalidation)]
        live, dead, _ = self.oracle.label(known, supports, [mark for mark in marked if mark[1] in known])
        return {fact: LIVE if fact in live else DEAD if fact in dead else DISPUTED for fact in known}

    # --- what happens ---------------------------------------------------------------------------------------------

    def merge(self, effect: Effect, wrote: int) -> None:
        members = frozenset(self._members(effect.given)) if effect.given else frozenset()
        merge(self.context, [(effect, wrote)])
        self.completed.setdefault(effect.source.agent, {})[wrote] = effect.source
        for emission in effect.emissions:
            self.facts[emission.fact_id] = emission.fact
            evidence = members if emission.evidence is None else frozenset(emission.evidence)
            self.derived.append(Derived(emission.fact_id, effect.source, wrote, evidence))

    def state(self, facts: list[Fact], round: int) -> None:
        premises(self.context, facts, round)
        for fact in facts:
            self.facts[id_of(fact)] = fact
            self.derived.append(Derived(id_of(fact), Source(""), round, frozenset()))

    def _members(self, given: Given) -> set[str]:
        found = {id_of(self.context.facts[place]) for place in given.picks}
        for kind, after, upto, live in given.ranges:
            (cls,) = [cell for cell in CELLS if kind_of(cell).label == kind]
            members = self.of_kind(cls, after, upto)
            labels = self.labels(upto) if live else {}
            found |= {fact for fact in members if not live or labels[fact] == LIVE}
        return found

    # --- what is asked --------------------------------------------------------------------------------------------

    def check(self, upto: int) -> None:
        """Compare all that can be asked about a round with the reference."""
        labelling, position = self.context.labelling, self.context.position
        expected, before = self.labels(upto), self.labels(upto - 1) if upto else {}
        assert {fact: self.context.label(position[fact], upto) for fact in expected} == expected
        for kind in {kind_of(self.facts[fact]).label for fact in expected}:
            fallen = {fact for fact in expected if expected[fact] != LIVE and fact.startswith(f"{kind}:")}
            assert {id_of(self.context.facts[place]) for place in labelling.fallen(kind, upto)} == fallen
        changed = {fact for fact in before if expected[fact] != before[fact]}
        assert {id_of(self.context.facts[place]) for place in labelling.changed(upto)} == changed
        for fact in expected:
            if expected[fact] == LIVE:
                self._check_proof(position[fact], upto, set())

    def _check_proof(self, place: int, upto: int, above: set[int]) -> None:
        assert place not in above
        support = self.context.reason(place, upto)
        assert support.fact == place
        assert support.round <= upto
        for cited in self.context.evidence_of(support):
            assert self.context.is_live(cited, upto)
            self._check_proof(cited, upto, above | {place})


# --- drawing what happens --------------------------------------------------------------------------------------------


class Happening:
    """Draws what happens next in a world. What a law forbids is not drawn: nobody adds to a round that is closed."""

    def __init__(self, world: World, data: st.DataObject) -> None:
        self.world = world
        self.draw: Callable[[st.SearchStrategy[Any]], Any] = data.draw
        self.effects: list[tuple[Effect, int]] = []

    def any(self) -> None:
        which = self.draw(st.sampled_from("eeeeepqqqd"))
        if which == "e":
            self.effect()
        elif which == "p":
            place, round = self.place_and_round()
            self.world.state(self.facts(place, round, self.world.known(SPAN * 100)), round)
        elif which == "d" and self.effects:
            self.world.merge(*self.draw(st.sampled_from(self.effects)))
        else:
            self.world.check(self.draw(st.integers(0, self.world.context.highest + 1)))

    def effect(self) -> None:
        place, wrote = self.place_and_round()
        source = self.source(place, wrote)
        visible = [fact for fact in self.world.known(wrote - 1) if self.place_of(fact) <= place]
        facts = self.facts(place, wrote, visible)
        citable = [*visible, *map(id_of, facts)]
        emissions = tuple(self.emission(fact, citable) for fact in facts)
        given = self.given(place, wrote - 1, visible)
        self.effects.append((Effect(source, wrote - 1, emissions, given), wrote))
        if any(emission.evidence is None for emission in emissions):
            self.close(given)
        self.world.merge(*self.effects[-1])

    def place_and_round(self) -> tuple[int, int]:
        place = self.draw(st.integers(0, 1))
        return place, self.world.floors[place] + self.draw(st.integers(1, SPAN))

    def source(self, place: int, wrote: int) -> Source:
        """Draw an agent: one of two, one that has versions, or one that replaces and has not yet written this round."""
        name = self.draw(st.sampled_from("abvr")) + str(place)
        done = self.world.completed.get(name, {})
        if name[0] == "r":
            return Source("a" if wrote in done else name, replaces=wrote not in done)
        if name[0] != "v":
            return Source(name)
        newest = max((int(by.version) for by in done.values()), default=1)
        if any(wrote <= round for round, by in done.items() if int(by.version) < newest):
            return Source("a")  # what an older version began is over before a newer one begins
        newer = bool(done) and wrote > max(done) and self.draw(st.booleans())
        return Source(name, str(newest + newer))

    def facts(self, place: int, round: int, markable: list[str]) -> list[Any]:
        """Draw facts and markers of one world that a round may gain."""
        kind, n = st.sampled_from(WORLDS[place]), st.integers(0, 2)
        drawn = self.draw(st.lists(st.builds(lambda kind, n: kind(n), kind, n), max_size=2, unique=True))
        facts = [fact for fact in drawn if round > self.world.closed[type(fact)] or self.is_known(fact, round)]
        targets = [self.world.facts[fact] for fact in markable if self.place_of(fact) == place] + facts
        targets = [fact for fact in targets if not isinstance(fact, RootIntent)]
        marks = self.draw(st.booleans())
        if targets and marks:
            marker = self.draw(st.sampled_from(targets)).invalidate(self.draw(st.sampled_from("xy")))
            facts.insert(self.draw(st.integers(0, len(facts))), marker)
        return facts

    def emission(self, fact: Fact, citable: list[str]) -> Emission:
        canonical, fact_id, body = identified(fact)
        about = {fact_id, fact.target} if isinstance(fact, Invalidation) else {fact_id}
        evidence = self.draw(st.lists(st.sampled_from(citable), max_size=3, unique=True))
        cited = tuple(one for one in evidence if one not in about)
        return Emission(canonical, fact_id, body, cited or (None if len(about) == 1 else (id_of(ROOT),)))

    def given(self, place: int, read: int, visible: list[str]) -> Given:
        picks = self.draw(st.lists(st.sampled_from(visible), max_size=2, unique=True))
        places = tuple(sorted(self.world.context.position[fact] for fact in picks))
        ranges = [self.range(place, read) for _ in range(self.draw(st.integers(0, 2)))]
        return Given(tuple(dict.fromkeys(ranges)), places) if ranges or places else Given(picks=(0,))

    def range(self, place: int, read: int) -> Range:
        kind = self.draw(st.sampled_from([kind for world in WORLDS[: place + 1] for kind in world]))
        return Range(kind_of(kind).label, self.draw(st.integers(-1, max(-1, read - 1))), read, self.draw(st.booleans()))

    def close(self, given: Given) -> None:
        """What an evidence node covers is complete: of a kind, or, for what was live of it, all that could matter."""
        for place, kinds in enumerate(WORLDS):
            for kind in kinds:
                for part in given.ranges:
                    if part.kind == kind_of(kind).label:
                        self.world.closed[kind] = max(self.world.closed[kind], part.upto)
                        if part.live:
                            self.world.floors[place] = max(self.world.floors[place], part.upto)

    def is_known(self, fact: Fact, round: int) -> bool:
        return id_of(fact) in self.world.facts and self.world.round_of(id_of(fact)) <= round

    def place_of(self, fact: str) -> int:
        known = self.world.facts[fact]
        return self.place_of(known.target) if isinstance(known, Invalidation) else type(known) in WORLDS[1]


@given(st.data())
@settings(max_examples=JOBS * 2)
def test_labels_asked_for_at_any_time_are_those_of_the_whole_graph_as_of_every_round(oracle, data):
    """Supports out of order, lowered rounds, replaced conclusions, circles, markers on markers, between questions."""
    world = World(oracle)
    happening = Happening(world, data)
    for _ in range(data.draw(st.integers(1, 10))):
        happening.any()
    for round in range(world.context.highest + 2):
        world.check(round)
