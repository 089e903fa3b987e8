"""What the agents of one job hold besides their views, all together: who shares what, and the way it was.

A thing counts as changing where code that reaches it calls what changes it, or where it was found changed.
"""

__all__ = ["Holdings"]

from collections import deque
from collections.abc import Iterable, Iterator
from types import CellType
from typing import Any

from converge.agent import Agent
from converge.checking.held import CONTAINERS, Finds, Held, Variable, is_full


class Holdings:
    """What some agents hold. `keep` remembers it all as it is, `put_back` makes it so again."""

    def __init__(self, agents: Iterable[Agent]) -> None:
        self._finds = {agent.name: Finds(agent) for agent in agents}
        self._things: dict[int, Any] = {
            place: thing for finds in self._finds.values() for place, thing in finds.things.items()
        }
        self._kept: dict[int, Any] = {}
        self._changed = {place for finds in self._finds.values() for place in finds.changing}

    def keep(self) -> None:
        """Remember how everything is."""
        self._kept = {place: _copied(thing) for place, thing in self._things.items()}

    def put_back(self) -> None:
        """Make everything as it was kept, and note what had changed."""
        for place, before in self._kept.items():
            if not _is_same(_copied(self._things[place]), before):
                self._changed.add(place)
                _restore(self._things[place], before)

    def empty(self) -> None:
        """Make the containers that several agents share, and change, as if none of them had run yet."""
        for container in self._containers():
            container.clear()

    @property
    def filled(self) -> bool:
        """Whether there is something to empty."""
        return any(map(bool, self._containers()))

    @property
    def sharers(self) -> tuple[str, ...]:
        """The agents that share something that at least one of them changes, in name order."""
        shared = self._shared()
        return tuple(name for name, finds in self._finds.items() if not shared.isdisjoint(finds.things))

    def shared_by(self, agent: str) -> tuple[Held, tuple[str, ...]] | None:
        """Return a thing that an agent shares with others and that changes, and who they are."""
        finds, shared = self._finds[agent], self._shared()
        place = next((place for place in finds.things if place in shared), None)
        if place is None:
            return None
        others = (name for name, other in self._finds.items() if name != agent and place in other.things)
        return finds.names[place], tuple(others)

    def kept_by(self, agent: str) -> Held | None:
        """Return a thing that an agent holds alone, and that changes."""
        finds = self._finds[agent]
        return next((finds.names[place] for place in finds.names if place in self._changed), None)

    def chance_of(self, agent: str) -> tuple[str, ...]:
        """Return the modules an agent's code names whose answers are clock, chance or environment."""
        return tuple(sorted(self._finds[agent].modules))

    def _containers(self) -> Iterator[Any]:
        objects = {place for finds in self._finds.values() for place, held in finds.names.items() if held.is_object}
        things = (self._things[place] for place in self._shared() - objects)
        return (thing for thing in things if isinstance(thing, CONTAINERS))

    def _shared(self) -> set[int]:
        """Return what changes and is held by several agents."""
        holders: dict[int, int] = {}
        for finds in self._finds.values():
            for place in finds.things:
                holders[place] = holders.get(place, 0) + 1
        return {place for place, number in holders.items() if number > 1 and place in self._changed}


def _copied(thing: Any) -> Any:
    if isinstance(thing, Variable):
        return (thing.space[thing.name],) if thing.name in thing.space else ()
    if isinstance(thing, CellType):
        return (thing.cell_contents,) if is_full(thing) else ()
    if isinstance(thing, dict):
        return dict(thing)
    return set(thing) if isinstance(thing, set) else list(thing)


def _is_same(one: Any, other: Any) -> bool:
    """Whether two copies hold the same things: the very same, as what they hold may compare as it likes."""
    if len(one) != len(other):
        return False
    if isinstance(one, set):
        return bool(one == other)
    return all(a is b for a, b in zip(_items(one), _items(other), strict=True))


def _items(copied: Any) -> Iterator[Any]:
    if isinstance(copied, dict):
        for key, value in copied.items():
            yield key
            yield value
    else:
        yield from copied


def _restore(thing: Any, before: Any) -> None:
    if isinstance(thing, Variable):
        if before:
            thing.space[thing.name] = before[0]
        else:
            thing.space.pop(thing.name, None)
    elif isinstance(thing, CellType):
        if before:
            thing.cell_contents = before[0]
        else:
            del thing.cell_contents
    else:
        thing.clear()
        if isinstance(thing, (list, deque, bytearray)):
            thing.extend(before)
        else:
            thing.update(before)
