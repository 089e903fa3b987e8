"""What agents can reach besides their views and change: lists, objects and variables that their functions hold.

Such a thing is no part of any view, so a job can depend on who touched it first. It is found in a function's closure,
globals and defaults, in the functions it calls of the same package, and in the object a method is bound to.
"""

__all__ = ["CONTAINERS", "Finds", "Held", "Variable", "is_full"]

import dis
from collections import deque
from collections.abc import Mapping
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from converge.agent import Agent
from converge.fact import Fact

CONTAINERS = (list, dict, set, bytearray, deque)
_CHANGES = frozenset(
    {
        *("add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove"),
        *("reverse", "setdefault", "sort", "update"),
    }
)
_CHANCE = frozenset({"os", "random", "secrets", "socket", "time", "uuid"})
_NOW = frozenset({"now", "today", "utcnow"})  # what of datetime is a clock
_DEPTH = 3  # of things within things
_LOOKED_AT = 100  # of the things in one container


class Held(NamedTuple):
    """One thing that can be changed: what the function calls it, and a word for what it is.

    Of an object it is the attributes that can be changed.
    """

    name: str
    what: str
    is_object: bool = False

    def __str__(self) -> str:
        return f"`{self.name}`, {'an' if self.what[0] in 'aeiou' else 'a'} {self.what}"


class Variable(NamedTuple):
    """A name in a namespace that code assigns to."""

    space: dict[str, Any]
    name: str


class Finds:
    """What one agent holds, by identity, found by walking what its function refers to."""

    def __init__(self, agent: Agent) -> None:
        self.names: dict[int, Held] = {}
        self.things: dict[int, Any] = {}
        self.modules: set[str] = set()
        self.changing: set[int] = set()
        self._written: set[str] = set()  # names on which the code calls what changes them
        self._set: set[str] = set()  # attributes that the code assigns to
        self._seen: set[int] = set()
        run = agent.run
        self._package = _home(run.__func__ if isinstance(run, MethodType) else run)
        self._walk(agent.name, run, _DEPTH)
        if agent.accepts is not None:
            self._walk(agent.name, agent.accepts, _DEPTH)
        self.changing |= {place for place, held in self.names.items() if self._is_changed(place, held)}

    def _is_changed(self, place: int, held: Held) -> bool:
        """Whether code calls what changes a thing, or assigns to an attribute of it."""
        thing = self.things[place]
        return held.name.rpartition(".")[2] in self._written or (
            held.is_object and isinstance(thing, dict) and not self._set.isdisjoint(thing)
        )

    def _walk(self, name: str, value: Any, depth: int) -> None:
        if id(value) in self._seen or isinstance(value, (type, Fact, str, bytes, int, float)):
            return
        home = _home(value)
        self._seen.add(id(value))
        if home in _CHANCE:
            self.modules.add(home)
        elif isinstance(value, partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self._walk(name, part, depth)
        elif isinstance(value, MethodType):
            self._walk("self", value.__self__, depth)
            self._walk(name, value.__func__, depth)
        elif isinstance(value, FunctionType):
            self._function(value, depth)
        elif isinstance(value, Agent):
            self._walk(name, value.run, depth)
        elif isinstance(value, (*CONTAINERS, tuple, frozenset)):
            self._container(name, value, depth)
        elif home == self._package and hasattr(value, "__dict__"):
            self._object(name, value, depth)

    def _function(self, function: FunctionType, depth: int) -> None:
        if _home(function) != self._package:
            return
        named, assigned = self._read(function.__code__)
        if named & _NOW and any(_home(function.__globals__.get(name)) == "datetime" for name in named):
            self.modules.add("datetime")
        for name in sorted(named & function.__globals__.keys()):
            if name in assigned:
                variable = Variable(function.__globals__, name)
                self._note(hash((id(function.__globals__), name)), name, variable, "variable")
            self._walk(name, function.__globals__[name], depth)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if name in assigned:
                self._note(id(cell), name, cell, "variable")
            if is_full(cell):
                self._walk(name, cell.cell_contents, depth)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._walk("a default argument", value, depth)

    def _read(self, code: CodeType) -> tuple[set[str], set[str]]:
        """Return the names that code refers to and those it assigns to, inner functions included."""
        named, assigned = {*code.co_names}, set()
        before = None
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("STORE_GLOBAL", "STORE_DEREF", "DELETE_GLOBAL"):
                assigned.add(str(instruction.argval))
            elif instruction.opname == "STORE_ATTR":
                self._set.add(str(instruction.argval))
            if before is not None and instruction.argval in _CHANGES and "LOAD" in before.opname:
                self._written.add(str(before.argval))
            before = instruction
        for inner in code.co_consts:
            if isinstance(inner, CodeType):
                more, also = self._read(inner)
                named, assigned = named | more, assigned | also
        return named, assigned - {*code.co_cellvars}

    def _container(self, name: str, value: Any, depth: int) -> None:
        if isinstance(value, CONTAINERS):
            self._note(id(value), name, value, type(value).__name__)
        if depth and not isinstance(value, bytearray):
            within = value.values() if isinstance(value, Mapping) else value
            for _, item in zip(range(_LOOKED_AT), list(within), strict=False):
                self._walk(f"{name}[...]", item, depth - 1)

    def _object(self, name: str, value: Any, depth: int) -> None:
        self._note(id(vars(value)), name, vars(value), type(value).__name__, is_object=True)
        if depth:
            for own, item in [*vars(type(value)).items(), *vars(value).items()]:
                self._walk(f"{name}.{own}", item, depth - 1)

    def _note(self, place: int, name: str, thing: Any, what: str, *, is_object: bool = False) -> None:
        self.things[place] = thing
        self.names.setdefault(place, Held(name, what, is_object))
        if isinstance(thing, (Variable, CellType)):
            self.changing.add(place)


def _home(value: Any) -> str:
    """Return the top package that something comes from: its own, or that of its class, or of what it is bound to."""
    if isinstance(value, ModuleType):
        return value.__name__.partition(".")[0]
    try:
        for one in (value, getattr(value, "__self__", None), type(value)):
            module = getattr(one, "__module__", None)
            if isinstance(module, str) and module not in ("", "builtins"):
                return module.partition(".")[0]
    except Exception:  # a stand-in for something else may answer as it likes
        return ""
    return ""


def is_full(cell: CellType) -> bool:
    """Whether a variable that inner functions share has a value yet."""
    try:
        cell.cell_contents  # noqa: B018 -- asking is the only way to know
    except ValueError:
        return False
    return True
