"""Where growth can travel: from what agents declare, who can hand something new to whom, in how many hops.

Agents of equal reads and writes are one group. A group *touches* a kind by writing it and a kind's markers by
invalidating it; it *minds* the kinds it reads. One that reads liveness minds more: what its kinds are derived from,
and the markers on all of that, since any of it can change a label. Whoever touches what another minds is one hop away.
"""

__all__ = ["Flow", "Group"]

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from converge.agent import Agent, kind_read
from converge.fact import Failure, Invalidation, kind_of
from converge.proposal import Request, Verdict, proposed_by

_FAILURE, _MARKER = kind_of(Failure).label, kind_of(Invalidation).label
_OF_GATES = frozenset(kind_of(cls).label for cls in (Request, Verdict))


class Group(NamedTuple):
    """Agents, by number, of the same declaration: what they touch and mind; markers on a kind are written "!kind".

    An effect may cite what it states itself, so what an agent states is minded by who reads anything else it states.
    That is possible rather than meant: `waits_for` leaves it out; circles are refused, and strata made, by that.
    """

    members: tuple[int, ...]
    reads: frozenset[str]
    touches: frozenset[str]
    minds: frozenset[str]
    waits_for: frozenset[str]
    replaces: bool
    settled: bool


class Flow:
    """The graph of groups. Numbers of agents are their places in the wiring."""

    def __init__(self, agents: Sequence[Agent]) -> None:
        fails = any(_FAILURE in _reads(agent) for agent in agents)
        shapes: dict[tuple[_Shape, bool, bool], list[int]] = {}
        for number, agent in enumerate(agents):
            shape = _Shape(_reads(agent), _touches(agent, fails), _beside(agent))
            shapes.setdefault((shape, agent.replacing, agent.settled), []).append(number)
        declared = [shape for shape, _, _ in shapes]
        wide, self._cones = _Cones(declared, own=True), _Cones(declared, own=False)
        self.groups = tuple(
            Group(
                members=tuple(members),
                reads=shape.reads,
                touches=shape.touches,
                minds=wide.of(shape.reads) if replaces else shape.reads,
                waits_for=self._cones.of(shape.reads) if replaces else shape.reads,
                replaces=replaces,
                settled=settled,
            )
            for (shape, replaces, settled), members in shapes.items()
        )
        self.group_of = [0] * len(agents)
        for place, group in enumerate(self.groups):
            for number in group.members:
                self.group_of[number] = place
        self.readers = _index((place, group.reads) for place, group in enumerate(self.groups))
        self._mind = _index((place, group.minds) for place, group in enumerate(self.groups))
        self.successors = tuple(_next(self._mind, group.touches) for group in self.groups)
        waiting = _index((place, group.waits_for) for place, group in enumerate(self.groups))
        self._strict = tuple(_next(waiting, group.touches - {_FAILURE}) for group in self.groups)
        self.circles = _components(self.successors)
        settled = [place for place, group in enumerate(self.groups) if group.settled]
        self.upstream = {place: self._upstream(place) for place in settled}
        self.fellows = {place: self._fellows(place) for place in settled if place in self.upstream[place]}
        # Of a settled group: the kinds that it or anything upstream reads, and those of them read with their liveness.
        self.read_upstream = {place: self._read_upstream(place) for place in settled}

    def minders(self, touched: str) -> tuple[int, ...]:
        """Return the groups that mind a kind, or the markers on one."""
        return self._mind.get(touched, ())

    def arrivals(self, stamps: Mapping[int, int]) -> dict[int, int]:
        """Return per group the earliest round in which something new can reach it.

        `stamps` holds per group the lowest round it is reading or has yet to read: what it writes is one round later.
        """
        found: dict[int, int] = {}
        starts = sorted(stamps.items(), key=lambda item: -item[1])
        front: list[int] = []
        round = starts[-1][1] if starts else 0
        while front or starts:
            if not front:
                round = starts[-1][1]
            while starts and starts[-1][1] == round:
                front.append(starts.pop()[0])
            reached = []
            for group in front:
                for other in self.successors[group]:
                    if other not in found:
                        found[other] = round + 1
                        reached.append(other)
            front, round = reached, round + 1
        return found

    def forbidden_circle(self) -> tuple[int, ...]:
        """Return, by agent number, a circle through an agent that replaces; empty where there is none.

        Failures are left out: that an agent may fail is not something it declares.
        """
        successors = self._strict
        circles = _components(successors)
        for place, group in enumerate(self.groups):
            if group.replaces:
                path = _way_back(place, successors, circles)
                if path:
                    return tuple(self.groups[step].members[0] for step in path)
        return ()

    def handed(self, one: int, other: int) -> tuple[str, list[tuple[int, str]]]:
        """Return what one agent touches that another waits for, and by whom it becomes what that one reads.

        The way is a shortest one: agents by number, each with what it touches in turn; empty where it is read itself.
        """
        group, reader = self.groups[self.group_of[one]], self.groups[self.group_of[other]]
        handed = sorted((group.touches & reader.waits_for) - {_FAILURE})
        ways = {touched: self._cones.way(reader.reads, touched) if reader.replaces else [] for touched in handed}
        touched = min(handed, key=lambda touched: len(ways[touched]))
        return touched, [(self.groups[place].members[0], touches) for place, touches in ways[touched]]

    def strata(self) -> list[int]:
        """Return per agent its stratum: one above all that it must find complete, at least that of what it reads."""
        circles = _components(self._strict)
        level = dict.fromkeys(circles, 0)
        pairs = {
            (circles[one], circles[other], self.groups[other].replaces)
            for one in range(len(self.groups))
            for other in self._strict[one]
            if circles[one] != circles[other]
        }
        for _ in level:  # as often as a longest path can be long, and mostly far less
            before = dict(level)
            for lower, upper, replaces in pairs:
                level[upper] = max(level[upper], level[lower] + replaces)
            if level == before:
                break
        return [level[circles[group]] for group in self.group_of]

    def _fellows(self, place: int) -> tuple[int, ...]:
        """Return by number the agents of other groups on a settled group's circle."""
        others = (other for other in range(len(self.groups)) if other != place)
        on_circle = (self.groups[other] for other in others if self.circles[other] == self.circles[place])
        return tuple(number for group in on_circle for number in group.members)

    def _read_upstream(self, place: int) -> tuple[frozenset[str], frozenset[str]]:
        groups = [self.groups[place], *(self.groups[other] for other in self.upstream[place])]
        reads = frozenset().union(*(group.reads for group in groups))
        return reads, frozenset().union(*(group.reads for group in groups if group.replaces))

    def _upstream(self, place: int) -> frozenset[int]:
        before = _index((one, others) for one, others in enumerate(self.successors))
        found: set[int] = set()
        front = [place]
        while front:
            more = set(before.get(front.pop(), ())) - found
            found |= more
            front += more
        return frozenset(found)


class _Shape(NamedTuple):
    """What an agent reads, what it touches, and what of its own it may cite that others can change."""

    reads: frozenset[str]
    touches: frozenset[str]
    beside: frozenset[str]


class _Cones:
    """What the labels of some kinds can depend on."""

    def __init__(self, shapes: Sequence[_Shape], *, own: bool) -> None:
        self._shapes, self._own = shapes, own
        self._touching = _index((place, shape.touches) for place, shape in enumerate(shapes))
        self._known: dict[frozenset[str], dict[str, tuple[int, str] | None]] = {}

    def of(self, reads: frozenset[str]) -> frozenset[str]:
        """Return the kinds, and the markers on kinds, that can change what is live of `reads`."""
        return frozenset(self._of(reads))

    def way(self, reads: frozenset[str], item: str) -> list[tuple[int, str]]:
        """Return through which shapes an item changes what is live of `reads`, each with what it touches."""
        way = []
        step = self._of(reads)[item]
        while step is not None:
            way.append(step)
            step = self._of(reads)[step[1]]
        return way

    def _of(self, reads: frozenset[str]) -> dict[str, tuple[int, str] | None]:
        if reads not in self._known:
            self._known[reads] = self._spread(reads)
        return self._known[reads]

    def _spread(self, reads: frozenset[str]) -> dict[str, tuple[int, str] | None]:
        """Return what can change `reads`, each with the shape that hands it on and what that touches; breadth first."""
        found: dict[str, tuple[int, str] | None] = dict.fromkeys(_with_markers(sorted(reads)))
        front = list(found)
        for item in front:
            steps = [*self._next(item)]
            if item.startswith("!"):
                steps.append((f"!{_MARKER}", found[item]))  # a marker may be marked in turn
            for more, step in steps:
                if more not in found:
                    found[more] = step
                    front.append(more)
        return found

    def _next(self, item: str) -> Iterator[tuple[str, tuple[int, str] | None]]:
        if item == _FAILURE:  # it is stated without evidence: nothing else can change it
            return
        for place in self._touching.get(item, ()):
            shape = self._shapes[place]
            own = sorted(shape.beside) if self._own else ()
            yield from ((more, (place, item)) for more in (*_with_markers(sorted(shape.reads)), *own))


def _with_markers(labels: Iterable[str]) -> list[str]:
    return [item for label in labels for item in (label, f"!{label}")]


def _reads(agent: Agent) -> frozenset[str]:
    return frozenset(agent.reader.reads or ())


def _touches(agent: Agent, fails: bool) -> frozenset[str]:
    marks = {f"!{label}" for label in agent.invalidated}
    return agent.written | marks | ({_MARKER} if marks else set()) | ({_FAILURE} if fails else set())


def _beside(agent: Agent) -> frozenset[str]:
    """Return what an agent may cite of its own, and the markers on it.

    What a gate says of a proposal is said by no other gate, and rests on what this one reads: only markers change it.
    """
    is_gate = any(proposed_by(kind_read(item)) is not None for item in agent.reads) and agent.written & _OF_GATES
    return frozenset(_with_markers(agent.written)) - (_OF_GATES if is_gate else frozenset())


def _index(pairs: Iterable[tuple[int, Iterable[object]]]) -> dict[object, tuple[int, ...]]:
    found: dict[object, list[int]] = {}
    for place, items in pairs:
        for item in items:
            found.setdefault(item, []).append(place)
    return {item: tuple(places) for item, places in found.items()}


def _next(minders: Mapping[object, tuple[int, ...]], touches: Iterable[str]) -> tuple[int, ...]:
    return tuple(sorted({group for label in touches for group in minders.get(label, ())}))


def _components(successors: Sequence[Sequence[int]]) -> list[int]:
    """Return per node the number of its strongly connected component (Kosaraju's two passes)."""
    order: list[int] = []
    seen: set[int] = set()
    for start in range(len(successors)):
        order += _finished(start, successors, seen)
    before = _index(enumerate(successors))
    component = [-1] * len(successors)
    for number, start in enumerate(reversed(order)):
        front = [start] if component[start] < 0 else []
        while front:
            node = front.pop()
            if component[node] < 0:
                component[node] = number
                front += before.get(node, ())
    return component


def _finished(start: int, successors: Sequence[Sequence[int]], seen: set[int]) -> Iterator[int]:
    """Yield the nodes that a walk from `start` meets for the first time, each after all that it leads to."""
    if start in seen:
        return
    seen.add(start)
    open_ = [(start, iter(successors[start]))]
    while open_:
        other = next((one for one in open_[-1][1] if one not in seen), None)
        if other is None:
            yield open_.pop()[0]
        else:
            seen.add(other)
            open_.append((other, iter(successors[other])))


def _way_back(start: int, successors: Sequence[Sequence[int]], component: Sequence[int]) -> list[int]:
    """Return a shortest way from a node back to itself, the node first; empty where there is none."""
    came_from: dict[int, int] = {}
    front = [start]
    for node in front:
        for other in successors[node]:
            if other == start:
                path = [node]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if component[other] == component[start] and other not in came_from:
                came_from[other] = node
                front.append(other)
    return []
