"""An agent's declaration: what it reads, writes and invalidates, when it runs, and its function."""

__all__ = ["Agent", "Live", "Retry", "agent", "as_agent", "gate_steps", "kind_read", "kinds_listed"]

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from converge.effect import Source
from converge.errors import AgentInvalid, GateInvalid
from converge.fact import Fact, Failure, Invalidation, Violation, kind_of
from converge.gate import Corroboration, Gate, Steps, steps_of
from converge.intent import Allowance, RootIntent
from converge.lookup import Reader
from converge.proposal import Opinion, Proposal
from converge.view import View

F = TypeVar("F", bound=Fact)


class Live(Generic[F]):
    """In `reads=`: this kind is read with its liveness, so `view.live`, `count` and the like may be asked of it."""

    __slots__ = ("kind",)

    def __init__(self, kind: type[F]) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"Live({self.kind.__name__})"


class Retry(NamedTuple):
    """How often an activation is tried, and the wait before each new attempt, doubling up to `most_seconds`."""

    attempts: int = 3
    wait_seconds: float = 0.1
    most_seconds: float = 30.0
    on: tuple[type[Exception], ...] = (Exception,)


@dataclasses.dataclass(frozen=True, repr=False)
class Agent:
    """A declared agent. Calling it calls its function, so that it can be tested as one."""

    name: str
    run: Callable[[View], Any]
    reads: tuple[type[Fact] | Live[Any], ...] = ()
    writes: tuple[type[Fact], ...] = ()
    invalidates: tuple[type[Fact], ...] = ()
    when: Literal["new", "settled"] = "new"
    required: bool = True
    timeout: float | None = None
    retry: Retry | None = None
    threaded: bool = False
    version: str = "1"
    accepts: Callable[[View], bool] | None = None
    replaces: bool | None = False
    gate: Steps = ()
    budget: Allowance | None = None

    def __post_init__(self) -> None:
        for option in ("reads", "writes", "invalidates"):
            for item in getattr(self, option):
                self._check_kind(option, item)
        for problem in self._problems(self.name, self.timeout, self.retry, self.run):
            raise AgentInvalid(str(self.name), problem)
        for problem in self._problems_of_gate():
            raise AgentInvalid(self.name, f"gate: {problem}")

    def _problems(self, name: object, timeout: object, retry: object, run: object) -> Iterator[str]:
        """Say what is wrong with the declaration; the arguments may be anything, since not everybody checks types."""
        if not isinstance(name, str) or not name:
            yield "its name must be a text that is not empty"
        if self.when not in ("new", "settled"):
            yield f"when={self.when!r} is neither 'new' nor 'settled'"
        if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
            yield f"timeout={timeout!r} is not a number of seconds above 0"
        if retry is not None and not isinstance(retry, Retry):
            yield f"retry={retry!r} is neither a number of attempts nor a Retry"
        if isinstance(retry, Retry) and retry.attempts < 1:
            yield f"retry of {retry.attempts} attempts: at least 1 is needed"
        if inspect.iscoroutinefunction(self.accepts):
            yield "accepts is asked where nothing can wait: write it as a plain function"
        if not callable(run):
            yield f"a function of a view is needed, not {run!r}"
        elif not _takes_a_view(run):
            yield "its function must take one argument, the view"

    def _problems_of_gate(self) -> Iterator[str]:
        if self.gate and self.invalidates:
            yield "what it invalidates would pass by the gate: let an agent without one invalidate because of a fact"
        if self.gate and not self.writes:
            yield "it proposes nothing: name the kinds in writes="
        if self.gate and Opinion in self.writes:
            yield "an opinion of what is proposed is not proposed in turn: let an agent without a gate state it"
        fields = [(step, field) for step in self.gate if isinstance(step, Corroboration) for field in step.on]
        for step, field in fields:
            for kind in self.writes:
                if field not in kind.__dataclass_fields__:
                    yield f"{step} compares {field!r}, which is no field of {kind_of(kind).label}"

    def __call__(self, view: View) -> Any:
        """Call the agent's function."""
        return self.run(view)

    def __repr__(self) -> str:
        return f"<agent {self.name}>"

    @cached_property
    def settled(self) -> bool:
        """Whether it runs only when everything it depends on is quiet."""
        return self.when == "settled"

    @cached_property
    def replacing(self) -> bool:
        """Whether only its latest conclusions count: settled agents, those with a Live read, and those that say so."""
        return self.settled or self.replaces is True or any(isinstance(item, Live) for item in self.reads)

    @cached_property
    def proposals(self) -> tuple[type[Fact], ...]:
        """The kinds of what it proposes, if it has a gate."""
        return tuple(Proposal[kind] for kind in self.writes) if self.gate else ()  # type: ignore[valid-type]

    @cached_property
    def states(self) -> tuple[type[Fact], ...]:
        """The kinds of what it states itself: with a gate, proposals only."""
        return self.proposals or self.writes

    @cached_property
    def source(self) -> Source:
        """Under which name and version its supports stand."""
        return Source(self.name, self.version, self.replacing)

    @cached_property
    def reader(self) -> Reader:
        """What its views allow."""
        reads = {kind_of(kind_read(item)).label: self.replacing or isinstance(item, Live) for item in self.reads}
        return Reader(self.source, reads)

    @property  # asked for once, when an engine is built, and 216 bytes an agent if kept
    def written(self) -> frozenset[str]:
        """The labels of the kinds it may state: with a gate, of proposals only."""
        return frozenset(kind_of(kind).label for kind in self.states)

    @cached_property
    def invalidated(self) -> frozenset[str]:
        """The labels of the kinds it may invalidate."""
        return frozenset(kind_of(kind).label for kind in self.invalidates)

    @cached_property
    def kinds(self) -> tuple[type[Fact], ...]:
        """Every kind it declares, in order of declaration."""
        declared = [*map(kind_read, self.reads), *self.writes, *self.proposals, *self.invalidates]
        return tuple(dict.fromkeys(declared))

    def _check_kind(self, option: str, item: object) -> None:
        kind = item.kind if isinstance(item, Live) and option == "reads" else item
        if not (isinstance(kind, type) and issubclass(kind, Fact)) or kind is Fact:
            raise AgentInvalid(self.name, f"{option} takes subclasses of Fact, not {item!r}")
        if option != "reads" and kind in (Failure, Invalidation, RootIntent, Violation) and not _marks(option, kind):
            raise AgentInvalid(
                self.name,
                f"{kind.__name__} cannot be in {option}: name the kinds it invalidates in invalidates="
                if kind is Invalidation
                else f"{kind.__name__} is stated by the runtime only",
            )


Kinds = type[Fact] | Live[Any] | Iterable[type[Fact] | Live[Any]]


def agent(
    bare: object = None,
    /,
    *,
    reads: Kinds = (),
    writes: Kinds = (),
    invalidates: Kinds = (),
    when: Literal["new", "settled"] = "new",
    required: bool = True,
    timeout: float | None = None,
    retry: Retry | int | None = None,
    threaded: bool = False,
    version: str = "1",
    accepts: Callable[[View], bool] | None = None,
    replaces: bool | None = False,
    gate: Gate = (),
    budget: Allowance | None = None,
    name: str | None = None,
) -> Callable[[Callable[[View], Any]], Agent]:
    """Declare a function of one view an agent. It returns or yields facts, `fact.because(...)`, or nothing.

    timeout: seconds for one attempt; retry: attempts in all, or a Retry; threaded: run a blocking function in a
    thread (after a timeout it is abandoned); accepts: a pure test of the view before it runs; replaces: only its latest
    conclusions count (None: where it lies on no circle); gate: the steps that what it writes must pass before it is
    believed; budget: what its calls may cost in one job. Raises AgentInvalid.
    """
    if bare is not None:
        raise AgentInvalid(getattr(bare, "__name__", repr(bare)), "declare it as @agent(reads=..., writes=...)")

    def declare(run: Callable[[View], Any]) -> Agent:
        return Agent(
            name=name or str(getattr(run, "__name__", type(run).__name__)),
            run=run,
            reads=kinds_listed(reads),
            writes=kinds_listed(writes),
            invalidates=kinds_listed(invalidates),
            when=when,
            required=required,
            timeout=timeout,
            retry=Retry(retry) if isinstance(retry, int) else retry,
            threaded=threaded,
            version=version,
            accepts=accepts,
            replaces=replaces,
            gate=gate_steps(name or str(getattr(run, "__name__", type(run).__name__)), gate),
            budget=budget,
        )

    return declare


def as_agent(given: object) -> Agent:
    """Return `given` as an Agent: one already, or an object with `run(view)` and the options as attributes."""
    if isinstance(given, Agent):
        return given
    run = getattr(given, "run", None)
    if isinstance(given, type) or not callable(run):
        name = getattr(given, "__name__", type(given).__name__)
        if isinstance(given, type):
            raise AgentInvalid(name, f"it is a class: pass an object of it, as in {name}()")
        raise AgentInvalid(
            name, "decorate the function with @agent(reads=..., writes=...), or pass an object with run(view)"
        )
    options = {option: getattr(given, option) for option in _OPTIONS if hasattr(given, option)}
    options["name"] = options.get("name") or type(given).__name__
    return agent(**options)(run)


_OPTIONS = tuple(field.name for field in dataclasses.fields(Agent) if field.name != "run")


def kinds_listed(kinds: Kinds) -> tuple[Any, ...]:
    """Return what `reads=`, `writes=` or `invalidates=` names: one kind, or several."""
    several = isinstance(kinds, Iterable) and not isinstance(kinds, (type, str))
    return tuple(kinds) if several else (kinds,)  # type: ignore[arg-type]


def _takes_a_view(run: Callable[..., Any]) -> bool:
    try:
        inspect.signature(run).bind(None)
    except TypeError:
        return False
    except ValueError:  # a function that Python cannot look into
        return True
    return True


def gate_steps(name: str, gate: Gate) -> Steps:
    """Return the steps of an agent's gate. Raises AgentInvalid."""
    try:
        return steps_of(gate)
    except GateInvalid as error:
        raise AgentInvalid(str(name), f"gate: {error}") from error


def _marks(option: str, kind: type[Fact]) -> bool:
    return option == "invalidates" and kind is Invalidation  # a marker may be marked in turn


def kind_read(item: type[Fact] | Live[Any]) -> type[Fact]:
    """Return the kind that an item of `reads=` names."""
    return item.kind if isinstance(item, Live) else item
