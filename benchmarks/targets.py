"""What must be reached: ratios within one run, so that they hold on any machine of this kind."""

__all__ = ["TARGETS", "Reached", "Target"]

from enum import Enum
from typing import NamedTuple

from benchmarks.figure import Figure, fastest, largest, median, ratio, spread, through


class Reached(Enum):
    """How a figure stands against its target."""

    STRETCH = "stretch"
    YES = "reached"
    NO = "missed"
    UNKNOWN = "not measured"


class Target(NamedTuple):
    """One line: `figure` takes it from the results. sign: whether it is to be at least or at most so much."""

    case: str
    what: str
    figure: Figure
    sign: str
    must: float
    stretch: float | None = None
    unit: str = "×"

    def reached(self, figure: float | None) -> Reached:
        """Return how a figure stands."""
        if figure is None:
            return Reached.UNKNOWN
        if self.stretch is not None and self._holds(figure, self.stretch):
            return Reached.STRETCH
        return Reached.YES if self._holds(figure, self.must) else Reached.NO

    def _holds(self, figure: float, bound: float) -> bool:
        return figure >= bound if self.sign == "≥" else figure <= bound


def _fan(count: int) -> tuple[Target, ...]:
    """The peers are those that run agents within a job, as the targets were set against; pykka passes messages."""
    case, n = f"fan {count}, memory", f"N = {count:,}, memory"
    peers = ("LangGraph", "pydantic-graph", "AutoGen core", "Burr", "llama-index-workflows")
    return (
        Target("b", f"{n}: the fastest peer", fastest(case, "converge", *peers), "≥", 10, 20),
        Target("b", f"{n}: pykka, which merges nothing", ratio(case, "pykka", "converge"), "≥", 10, 20),
        Target("b", f"{n}: against the direct loop", ratio(case, "converge", "direct loop"), "≤", 5, 3),
    )


def _langgraph(letter: str, case: str, must: float, stretch: float) -> Target:
    return Target(letter, f"{case}: LangGraph", ratio(case, "LangGraph", "converge"), "≥", must, stretch)


_small_fan, _large_fan = "converge, N = 100", "converge, N = 10,000"
_closure, _one_more_edge = "closure, chain of 500", "closure, one more edge after 500"
_by_agents = ("converge, 1 agent, reads by key", "converge, 1 agent, an index of its own")
_sleep, _anyio = "sleep 1000", "anyio group"
_calls, _cpu = "calls 1000", "ms of CPU a call"
_bare, _on_aiohttp = "bare client, aiohttp transport", "converge, aiohttp transport"
_share = through(median(_calls, "converge, asking nothing", _cpu), median(_calls, "converge", _cpu), 100)
_resume, _late = "resume 100000", "one late fact: first agent at work"
_few, _many = "1,000 facts", "100,000 facts"
_million, _whole = "memory, 1000000 facts", "a whole process"

TARGETS = (
    *_fan(100),
    *_fan(1_000),
    Target("b", "N = 10,000 against N = 100, memory", ratio("fan, memory", _large_fan, _small_fan), "≤", 2, 1.6),
    Target("b", "10,001 agents, one eligible: a cycle", median("eligible", "10,001 agents"), "≤", 100, 50, "µs"),
    _langgraph("b", "fan 100, process", 20, 30),
    _langgraph("b", "fan 100, power", 15, 20),
    _langgraph("a", "chain, memory", 12, 20),
    _langgraph("a", "chain, process", 6, 10),
    _langgraph("a", "chain, power", 3, 4),
    Target("c", "bytes a cycle, most through least", spread("growth", "bytes a cycle"), "≤", 1.3),
    Target("c", "ms a cycle, most through least", spread("growth", "ms a cycle"), "≤", 1.3),
    Target("c", "file through encoded facts", largest("growth", "file / facts"), "≤", 2, 1.3),
    Target("d", "chain of 500: against sets", fastest(_closure, "semi-naive sets", *_by_agents), "≤", 16, 12),
    Target("d", "chain of 500: against CLIPS", fastest(_closure, "CLIPS (clipspy)", *_by_agents), "≤", 2, 1),
    Target("d", "one more edge, a path: from nothing", ratio(_one_more_edge, "one more edge", "from nothing"), "≤", 2),
    Target("e", "1,000 sleeps, memory: anyio group", ratio(_sleep, "converge, memory", _anyio), "≤", 1.35, 1.15),
    Target("e", "1,000 sleeps, process: anyio group", ratio(_sleep, "converge, process", _anyio), "≤", 1.7),
    Target("e", "1,000 calls: bare client", ratio(_calls, "converge", "bare client"), "≤", 1.1, 1),
    Target("e", "1,000 calls: bare client, aiohttp", ratio(_calls, _on_aiohttp, _bare), "≤", 1.1, 1),
    Target("e", "1,000 calls: CPU that is the runtime's", _share, "≤", 5, unit="%"),
    Target(
        "f", "resume of 100,000: facts a second", median(_resume, "resume", "facts a second"), "≥", 150e3, 300e3, ""
    ),
    Target("f", "100,000 facts: first agent at work", median(_resume, _late, "seconds"), "≤", 1, unit="s"),
    Target("g", "one more fact: 100,000 against 1,000", ratio("one more, memory", _many, _few), "≤", 1.5),
    Target("h", "a million facts with supports", median(_million, _whole), "≤", 700, 400, "MiB"),
    Target("h", "that run, last tenth: the first", median(_million, _whole, "last tenth / first"), "≤", 1.3, 1.1),
    Target("h", "an idle agent", median("memory", "an idle agent"), "≤", 2_000, unit="bytes"),
    Target("j", "import converge", median("import", "converge"), "≤", 250, unit="ms"),
    Target("j", "import: anyio and pydantic", ratio("import", "converge", "anyio, pydantic"), "≤", 1.3),
)
