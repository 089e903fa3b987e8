"""A plan: how agents are wired, before anything runs. Who reads and writes what, in which order, and where it closes.

It holds values only, so two plans can be compared. It has three faces: text for a terminal of 100 columns, a Mermaid
flowchart, and JSON data.
"""

__all__ = ["Circle", "Plan", "PlannedAgent", "PlannedKind", "Read"]

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from textwrap import TextWrapper
from typing import Any, Literal

from converge.agent import Agent, Live
from converge.fact import Failure, kind_of
from converge.flow import Group
from converge.kind import Kind, Policy
from converge.proposal import SAID_ABOUT
from converge.wiring import STATED, Wiring

_FAILURE = kind_of(Failure).label
_STATED = frozenset(kind_of(cls).label for cls in STATED)


@dataclass(frozen=True, slots=True)
class Read:
    """A kind that an agent reads. `live`: with its liveness, so that a fact which falls or returns is news to it."""

    kind: str
    live: bool


@dataclass(frozen=True, slots=True)
class PlannedAgent:
    """An agent as declared. `replaces` says why only its latest conclusions count, and is None where all do."""

    name: str
    version: str
    reads: tuple[Read, ...]
    writes: tuple[str, ...]
    invalidates: tuple[str, ...]
    when: Literal["new", "settled"]
    replaces: str | None
    required: bool
    stratum: int


@dataclass(frozen=True, slots=True)
class PlannedKind:
    """A kind and the agents, by name, that have to do with it.

    given: it can come from outside only; stated: the runtime states it; unread: no agent reads it.
    """

    label: str
    key: tuple[str, ...]
    policy: Policy
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    invalidated_by: tuple[str, ...]
    given: bool
    stated: bool
    unread: bool


@dataclass(frozen=True, slots=True)
class Circle:
    """Agents that can all reach each other, and what goes round among them: kinds, and markers on kinds.

    disputed: one of them replaces its conclusions, so facts may end as disputed, or the job by its budget of churn.
    """

    agents: tuple[str, ...]
    kinds: tuple[str, ...]
    invalidated: tuple[str, ...]
    disputed: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """How an engine is wired: agents by name, and kinds, those given from outside first.

    strata: names of agents, lowest first; who reads liveness stands above all that can change what it reads. inputs:
    kinds that are read and no agent writes; unread: kinds that are written and no agent reads, the answer or a mistake.
    """

    agents: tuple[PlannedAgent, ...]
    kinds: tuple[PlannedKind, ...]
    strata: tuple[tuple[str, ...], ...]
    inputs: tuple[str, ...]
    unread: tuple[str, ...]
    circles: tuple[Circle, ...]

    @classmethod
    def of(cls, wiring: Wiring) -> "Plan":
        """Return the plan of agents that are wired."""
        agents = tuple(_agent(*both) for both in zip(wiring.agents, wiring.flow.strata(), strict=True))
        kinds = tuple(sorted((_kind(kind, agents) for kind in wiring.kinds.values()), key=_order(agents)))
        return cls(
            agents,
            kinds,
            strata=tuple(tuple(agent.name for agent in members) for members in _by_stratum(agents)),
            inputs=wiring.inputs,
            # What is said about proposals is for people to read.
            unread=tuple(kind.label for kind in kinds if kind.writers and kind.unread and kind.label not in SAID_ABOUT),
            circles=tuple(_circles(wiring)),
        )

    def __str__(self) -> str:
        return "\n".join(_text(self))

    def mermaid(self) -> str:
        """Return a Mermaid flowchart: agents as boxes by stratum, kinds rounded; dashed: liveness and markers."""
        return "\n".join(_flowchart(self))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data: the fields of Plan and, in lists, those of what it holds."""
        data: dict[str, Any] = _data(self)
        return data


# --- from the wiring -------------------------------------------------------------------------------------------------


def _agent(agent: Agent, stratum: int) -> PlannedAgent:
    return PlannedAgent(
        name=agent.name,
        version=agent.version,
        reads=tuple(Read(label, live) for label, live in (agent.reader.reads or {}).items()),
        writes=_labels(agent.states),
        invalidates=_labels(agent.invalidates),
        when=agent.when,
        replaces=_why_replacing(agent),
        required=agent.required,
        stratum=stratum,
    )


def _why_replacing(agent: Agent) -> str | None:
    live = _labels(item.kind for item in agent.reads if isinstance(item, Live))
    if agent.settled:
        return 'when="settled"'
    if live:
        return f"reads {', '.join(f'Live({label})' for label in live)}"
    return "replaces=True" if agent.replaces else None


def _labels(kinds: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(kind_of(kind).label for kind in kinds))


def _kind(kind: Kind, agents: Sequence[PlannedAgent]) -> PlannedKind:
    label = kind.label
    writers = tuple(agent.name for agent in agents if label in agent.writes)
    readers = tuple(agent.name for agent in agents if label in (read.kind for read in agent.reads))
    invalidated_by = tuple(agent.name for agent in agents if label in agent.invalidates)
    stated = label in _STATED
    given = not writers and not stated
    return PlannedKind(label, kind.key, kind.policy, writers, readers, invalidated_by, given, stated, not readers)


def _order(agents: Sequence[PlannedAgent]) -> Callable[[PlannedKind], tuple[int, str]]:
    """Kinds go from what is given to the answer: by the lowest stratum that writes them, then by name."""
    strata = {agent.name: agent.stratum for agent in agents}
    return lambda kind: (min((strata[name] for name in kind.writers), default=-1), kind.label)


def _by_stratum(agents: Sequence[PlannedAgent]) -> list[list[PlannedAgent]]:
    count = max((agent.stratum for agent in agents), default=-1) + 1
    return [[agent for agent in agents if agent.stratum == stratum] for stratum in range(count)]


def _circles(wiring: Wiring) -> Iterator[Circle]:
    """Yield the circles by the name of their first agent. That an agent may fail is not something it declares."""
    groups = wiring.flow.groups
    touches = [group.touches - {_FAILURE} for group in groups]
    after = [[place for place, group in enumerate(groups) if group.minds & touched] for touched in touches]
    reached = [_reached(following, after) for following in after]
    mutual = {frozenset(other for other in reached[one] if one in reached[other]) for one in range(len(groups))}
    found = [_circle(wiring, [groups[place] for place in sorted(places)]) for places in mutual if places]
    yield from sorted(found, key=lambda circle: circle.agents)


def _reached(start: Iterable[int], after: Sequence[Sequence[int]]) -> set[int]:
    reached: set[int] = set()
    front = list(start)
    while front:
        place = front.pop()
        if place not in reached:
            reached.add(place)
            front += after[place]
    return reached


def _circle(wiring: Wiring, groups: Sequence[Group]) -> Circle:
    touches = frozenset[str]().union(*(group.touches for group in groups))
    handed = sorted(touches.intersection(frozenset[str]().union(*(group.minds for group in groups))) - {_FAILURE})
    return Circle(
        agents=tuple(wiring.agents[number].name for number in sorted(n for group in groups for n in group.members)),
        kinds=tuple(label for label in handed if not label.startswith("!")),
        invalidated=tuple(label[1:] for label in handed if label.startswith("!")),
        disputed=any(group.replaces for group in groups),
    )


# --- as text ---------------------------------------------------------------------------------------------------------

_WIDTH, _WIDEST = 100, 30  # columns of the terminal, and of a cell that others are aligned with
_NAMED = 6  # of many agents of one kind

Row = tuple[str, ...]
_NOTHING: Row = ("", "", "")


def _text(plan: Plan) -> Iterator[str]:
    yield ", ".join((_counted(plan.agents, "agent"), _counted(plan.kinds, "kind"), _counted(plan.strata, "stratum")))
    yield from _aligned(_agent_rows(plan.agents))
    if plan.kinds:
        yield from _aligned([_NOTHING, ("kinds", "key", "written by → read by"), *map(_kind_row, plan.kinds)])
    yield from _aligned([("", ""), *_endings(plan)])


def _counted(several: Sequence[object], noun: str) -> str:
    many = "strata" if noun == "stratum" else f"{noun}s"
    return f"{len(several)} {noun if len(several) == 1 else many}"


def _agent_rows(agents: Sequence[PlannedAgent]) -> list[Row]:
    rows: list[Row] = []
    for stratum, members in enumerate(_by_stratum(agents)):
        rows += [_NOTHING, (f"stratum {stratum}", "", ""), *map(_agent_row, members)]
    return rows


def _agent_row(agent: PlannedAgent) -> Row:
    reads, writes = ", ".join(read.kind for read in agent.reads), ", ".join(agent.writes)
    flows = f"{reads} → {writes}" if writes else reads or "reads nothing"
    marks = f"invalidates {', '.join(agent.invalidates)}" if agent.invalidates else ""
    return f"  {_one_line(agent.name)}", _manner(agent), "; ".join(filter(None, (flows.strip(), marks)))


def _manner(agent: PlannedAgent) -> str:
    """What sets an agent apart, in a word each."""
    replaces = agent.replaces or ""
    said = (
        "settled" if agent.when == "settled" else "Live" if replaces.startswith("reads") else replaces and "replaces",
        "" if agent.version == "1" else f"version {_one_line(agent.version)}",
        "" if agent.required else "optional",
    )
    return ", ".join(filter(None, said))


def _kind_row(kind: PlannedKind) -> Row:
    source = "runtime" if kind.stated else _names(kind.writers) or "given"
    flows = f"{source} → {_names(kind.readers) or 'nobody'}"
    marks = f"invalidated by {_names(kind.invalidated_by)}" if kind.invalidated_by else ""
    about = ", ".join(kind.key) or "whole"
    return (
        f"  {kind.label}",
        about if kind.policy == "contest" else f"{about} ({kind.policy})",
        "; ".join(filter(None, (flows, marks))),
    )


def _endings(plan: Plan) -> Iterator[Row]:
    """What comes from outside, what nobody reads and what goes round."""
    yield "given from outside", ", ".join(plan.inputs) or "nothing"
    yield "read by nobody", ", ".join(plan.unread) or "nothing"
    for place, circle in enumerate(plan.circles):
        through = [*circle.kinds, *(f"markers on {label}" for label in circle.invalidated)]
        warning = "; facts may end as disputed" if circle.disputed else ""
        yield "" if place else "circles", f"{_names(circle.agents)} through {', '.join(through)}{warning}"
    if not plan.circles:
        yield "circles", "none"


def _names(names: Sequence[str]) -> str:
    several = len(names) > _NAMED + 1
    shown = ", ".join(map(_one_line, names[:_NAMED] if several else names))
    return f"{shown} and {len(names) - _NAMED} more" if several else shown


def _one_line(name: str) -> str:
    """Return a name as one word to the wrapping, with what could steer a terminal spelled out."""
    words = " ".join(name.split())
    spelled = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in words)
    return spelled.replace(" ", _JOINED) or repr(name)


_JOINED = "\N{NO-BREAK SPACE}"


def _aligned(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of rows: columns as wide as they need, up to a limit, and the last one wrapped."""
    columns = [*zip(*rows, strict=True)][:-1]
    widths = [max(len(cell) for cell in column if len(cell) <= _WIDEST) for column in columns]
    starts = [width + 2 if width else 0 for width in widths]
    rest = " " * sum(starts)
    for *cells, last in rows:
        first = "".join(f"{cell:{start - 2}}  " if start else cell for cell, start in zip(cells, starts, strict=True))
        if len(first) > len(rest):  # too long a name stands above its row
            yield first.rstrip().replace(_JOINED, " ")
            first = rest
        yield from _wrapped(last, first, rest) or [first.rstrip()]


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    wrapper = TextWrapper(_WIDTH, initial_indent=first, subsequent_indent=rest)
    wrapper.break_long_words = wrapper.break_on_hyphens = False
    return [line.replace(_JOINED, " ") for line in wrapper.wrap(text)]


# --- as a flowchart --------------------------------------------------------------------------------------------------


def _flowchart(plan: Plan) -> Iterator[str]:
    agents = {agent.name: f"a{number}" for number, agent in enumerate(plan.agents)}
    kinds = {kind.label: f"k{number}" for number, kind in enumerate(plan.kinds)}
    yield "flowchart TD"
    for number, names in enumerate(plan.strata):
        yield f'    subgraph s{number}["stratum {number}"]'
        yield from (f"        {agents[name]}[{_quoted(name)}]" for name in names)
        yield "    end"
    yield from (f"    {node}({_quoted(label)})" for label, node in kinds.items())
    for agent in plan.agents:
        node = agents[agent.name]
        yield from (f"    {kinds[read.kind]} {'-.->' if read.live else '-->'} {node}" for read in agent.reads)
        yield from (f"    {node} --> {kinds[label]}" for label in agent.writes)
        yield from (f"    {node} -. invalidates .-> {kinds[label]}" for label in agent.invalidates)


# What means nothing to Mermaid nor to the Markdown in its labels: words, joined by single signs.
_PLAIN = re.compile(r"([^\W_]+(?:[ ._-][^\W_]+)*)")


def _quoted(name: str) -> str:
    """Return a label in which every sign that could mean something is written as its number."""
    parts = enumerate(_PLAIN.split(name))
    return (
        '"' + "".join(part if place % 2 else "".join(f"#{ord(sign)};" for sign in part) for place, part in parts) + '"'
    )


# --- as data ---------------------------------------------------------------------------------------------------------


def _data(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _data(getattr(value, field.name)) for field in fields(value)}
    return [_data(item) for item in value] if isinstance(value, tuple) else value
