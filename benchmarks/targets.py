"""What must be reached: ratios within one run, so that they hold on any machine of this kind."""

__all__ = ["TARGETS", "Reached", "Target"]

from enum import Enum
from typing import NamedTuple

from benchmarks.figure import Figure, fastest, largest, median, ratio, share, spread


class Reached(Enum):
    """How a figure stands against its target."""

    STRETCH = "stretch"
    YES = "reached"
    NO = "missed"
    UNKNOWN = "not measured"
    TOLD = "no bound"  # it is there to be seen


class Target(NamedTuple):
    """One line: `figure` takes it from the results. sign: whether it is to be at least or at most so much.

    must, stretch: None where nobody set one.
    """

    case: str
    what: str
    figure: Figure
    sign: str = "≤"
    must: float | None = None
    stretch: float | None = None
    unit: str = "×"

    def reached(self, figure: float | None) -> Reached:
        """Return how a figure stands."""
        if figure is None:
            return Reached.UNKNOWN
        if self.stretch is not None and self._holds(figure, self.stretch):
            return Reached.STRETCH
        if self.must is None:
            return Reached.TOLD if self.stretch is None else Reached.NO
        return Reached.YES if self._holds(figure, self.must) else Reached.NO

    def _holds(self, figure: float, bound: float) -> bool:
        return figure >= bound if self.sign == "≥" else figure <= bound


def _fan(count: int) -> tuple[Target, ...]:
    """The peers are those that run agents within a job, as the targets were set against; pykka passes messages."""
    case = f"fan {count}, memory"
    peers = ("LangGraph", "pydantic-graph", "AutoGen core", "Burr", "llama-index-workflows")
    return (
        Target("b", f"{count:,} agents, memory: the fastest peer", fastest(case, "converge", *peers), "≥", 10, 20),
        Target("b", f"{count:,} agents, memory: pykka, no merge", ratio(case, "pykka", "converge"), "≥", 10, 20),
        Target("b", f"{count:,} agents, memory: the direct loop", ratio(case, "converge", "direct loop"), "≤", 5, 3),
    )


def _langgraph(letter: str, what: str, case: str, must: float, stretch: float) -> Target:
    return Target(letter, f"{what}: LangGraph", ratio(case, "LangGraph", "converge"), "≥", must, stretch)


_small_fan, _large_fan = "converge, N = 100", "converge, N = 10,000"
_closure, _edge = "closure, chain of 500", "closure, one more edge"
_clips_read = "CLIPS, read into Python"
_by_agents = ("converge, 1 agent, reads by key", "converge, 1 agent, its own index")
_sleep, _anyio = "sleep 1000", "anyio group"
_calls, _cpu = "calls 1000", "ms of CPU a call"
_bare, _on_httpx = "bare client, aiohttp", "bare client, httpx2 (its default)"
_resume, _late = "resume 100000", "one late fact: first agent at work"
_per_second = median(_resume, "resume", "facts a second")
_few, _many = "1,000 facts", "100,000 facts"
_million, _whole = "memory, 1000000 facts", "a whole process"

TARGETS = (
    *_fan(100),
    *_fan(1_000),
    Target("b", "10,000 agents against 100, memory", ratio("fan, memory", _large_fan, _small_fan), "≤", 2, 1.6),
    Target("b", "1 of 10,001 agents eligible: a cycle", median("eligible", "10,001 agents"), "≤", 100, 50, "µs"),
    _langgraph("b", "100 agents, process", "fan 100, process", 20, 30),
    _langgraph("b", "100 agents, power", "fan 100, power", 15, 20),
    _langgraph("a", "chain, memory", "chain, memory", 12, 20),
    _langgraph("a", "chain, process", "chain, process", 6, 10),
    _langgraph("a", "chain, power", "chain, power", 3, 4),
    Target("c", "bytes a cycle, most through least", spread("growth", "bytes a cycle"), "≤", 1.3),
    Target("c", "ms a cycle, most through least", spread("growth", "ms a cycle"), "≤", 1.3),
    Target("c", "file through encoded facts", largest("growth", "file / facts"), "≤", 2, 1.3),
    Target("d", "chain of 500: sets", fastest(_closure, "semi-naive sets", *_by_agents), "≤", 16, 12),
    Target("d", "chain of 500: CLIPS, read by Python", fastest(_closure, _clips_read, *_by_agents), "≤", stretch=1),
    Target("d", "chain of 500: CLIPS by itself", fastest(_closure, "CLIPS", *_by_agents)),
    Target("d", "one more edge, a path: from nothing", ratio(_edge, "one more, after 500", "from nothing, 250")),
    Target("d", "one more edge: 4 × as many paths", ratio(_edge, "one more, after 500", "one more, after 250")),
    Target("e", "1,000 sleeps, memory: anyio group", ratio(_sleep, "converge, memory", _anyio), "≤", 1.35, 1.15),
    Target("e", "1,000 sleeps, process: anyio group", ratio(_sleep, "converge, process", _anyio), "≤", 1.7),
    Target("e", "1,000 calls: bare client, aiohttp", ratio(_calls, "converge", _bare), "≤", 1.1, 1),
    Target("e", "1,000 calls: bare client, its default", ratio(_calls, "converge", _on_httpx), "≤", 1.1, 1),
    Target("e", "1,000 calls: CPU beyond bare aiohttp", share(_calls, "converge", _bare, _cpu), "≤", 5, unit="%"),
    Target("f", "resume of 100,000: facts a second", _per_second, "≥", 150e3, 300e3, ""),
    Target("f", "100,000 facts: first agent at work", median(_resume, _late, "seconds"), "≤", 1, unit="s"),
    Target("g", "one more fact: 100,000 against 1,000", ratio("one more, memory", _many, _few), "≤", 1.5),
    Target("h", "a million facts with supports", median(_million, _whole), "≤", 700, 400, "MiB"),
    Target("h", "that run, last tenth: the first", median(_million, _whole, "last tenth / first"), "≤", 1.3, 1.1),
    Target("h", "an idle agent", median("memory", "an idle agent"), "≤", 2_000, unit="B"),
    Target("k", "watched, in memory", ratio("watched, memory", "on", "off"), "≤", 1.15, 1.1),
    Target("k", "watched, on SQLite", ratio("watched, process", "on", "off"), "≤", 1.15, 1.1),
    Target("k", "watched, asking a model", ratio("watched, calls", "on", "off"), "≤", 1.15, 1.1),
    Target("j", "import converge", median("import", "converge"), "≤", 250, unit="ms"),
    Target("j", "import: anyio and pydantic", ratio("import", "converge", "anyio, pydantic"), "≤", 1.3),
    # The first is lazy: it has loaded nothing that a fact could be made with.
    Target(
        "j",
        "import: the same, able to make a fact",
        ratio("import", "converge", "anyio, pydantic.dataclasses"),
        "≤",
        1.3,
    ),
)
