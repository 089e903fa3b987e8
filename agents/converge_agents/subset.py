"""The subset of JSON Schema that strict servers take, and what in a kind is outside it.

Strict servers refuse a whole request for one word they do not take. The subset is OpenAI's, of 2026; where servers
or models differ, the narrower one counts.
"""

__all__ = ["Problem", "problems"]

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from converge_agents.schema import UNSENT


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing in a kind that a strict server refuses or, where `refused` is false, that is sent in another form.

    `field` is the path from the kind, `[]` standing for a list's items; empty for the kind as a whole. `kind` is empty
    where all kinds together are meant.
    """

    kind: str
    field: str
    text: str
    remedy: str
    refused: bool = True

    def __str__(self) -> str:
        """One line."""
        where = ".".join(filter(None, (self.kind, self.field))) or "all kinds together"
        return f"{where}: {self.text}: {self.remedy}"


def problems(document: Any, root: Any, kind: str) -> list[Problem]:
    """Return what the schema at `root` has that is refused, or sent in another form, in the order of its fields.

    A definition is read once, where it is met first.
    """
    return [Problem(kind, path, *said) for path, said in _Reading(document).node(root, "", ())]


_Said = tuple[str, str, bool]  # what is wrong, the remedy, whether it is refused
_Found = Iterator[tuple[str, _Said]]


class _Reading:
    def __init__(self, document: Any) -> None:
        self.definitions = document.get("$defs", {})
        self.read: set[str] = set()

    def node(self, node: Any, path: str, above: tuple[str, ...]) -> _Found:
        if ref := node.get("$ref"):
            if ref in above:
                yield path, _RECURSIVE
            elif ref not in self.read:
                self.read.add(ref)
                yield from self.node(self._resolved(node), path, (*above, ref))
            return
        for said in (*_words(node), *_typed(node), *_values(node), *self._union(node)):
            yield path, said
        yield from self._fields(node, path, above)
        if isinstance(items := node.get("items"), dict):
            yield from self.node(items, f"{path}[]", above)
        for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
            for part in node.get(word, ()):
                yield from self.node(part, path, above)

    def _fields(self, node: Any, path: str, above: tuple[str, ...]) -> _Found:
        for name, part in node.get("properties", {}).items():
            inner = f"{path}.{name}" if path else name
            if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
                yield inner, _NAME
            if name not in node.get("required", ()) and part.get("default", "a factory makes it") is not None:
                yield inner, _DEFAULT
            yield from self.node(part, inner, above)

    def _union(self, node: Any) -> Iterator[_Said]:
        """Refuse objects that a server, which decides at the first field it reads, could not tell apart."""
        parts = [self._resolved(part) for part in node.get("anyOf", ())]
        firsts = [next(iter(part["properties"].items())) for part in parts if part.get("properties")]
        seen: set[tuple[str, str]] = set()
        for name, part in firsts:
            field = self._resolved(part)
            values = field.get("enum") or ([field["const"]] if "const" in field else [])
            marks = {(name, repr(value)) for value in values} or {(name, "")}
            if marks & seen or ((name, "") in seen | marks and name in {known for known, _ in seen}):
                yield _SAME_FIRST
                return
            seen |= marks

    def _resolved(self, node: Any) -> Any:
        while "$ref" in node:
            node = self.definitions[node["$ref"].removeprefix("#/$defs/")]
        return node


def _words(node: Any) -> Iterator[_Said]:
    for word in sorted(node.keys() - _TAKEN - UNSENT):
        if word != "discriminator":  # it only ever stands beside oneOf, which says it all
            yield _REMEDIES.get(word) or (f"the keyword {word!r} is refused", "leave it out and use a validator", True)
    if node.get("additionalProperties", False) is not False:
        yield _OPEN if "properties" in node else _FREE_DICT


def _typed(node: Any) -> Iterator[_Said]:
    if node.get("type") == "array" and "items" not in node and "prefixItems" not in node:
        yield _UNTYPED
    elif not node.keys() & {"type", "anyOf", "oneOf", "allOf", "not"}:
        yield _MIXED if node.keys() & {"enum", "const"} else _UNTYPED


def _values(node: Any) -> Iterator[_Said]:
    form = node.get("format")
    if form == "decimal":
        yield _DECIMAL
    elif form and form not in _FORMATS:
        yield f"the format {form!r} is refused", _FORMAT_REMEDIES.get(form, "use str and a validator"), True
    if re.search(r"\(\?<?[=!]|(?<!\\)(\\\\)*\\[1-9]", str(node.get("pattern", ""))):
        yield _PATTERN


_OBJECTS = {"type", "properties", "required", "additionalProperties", "anyOf", "$ref", "$defs", "title", "description"}
_NUMBERS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
_TEXTS = {"pattern", "format", "enum", "const", "minLength", "maxLength"}  # lengths: not documented, taken and kept to
_TAKEN = _OBJECTS | _NUMBERS | _TEXTS | {"items", "minItems", "maxItems"}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
_FORMAT_REMEDIES = {"binary": "bytes have no place in JSON: use str, or state an address and a digest"}

_FREE_DICT = ("a free dict, whose keys are not known", "use a list of a model with a field for the key", True)
_OPEN = ("an object that is open to further fields", 'use extra="forbid", and a field for what is expected', True)
_UNTYPED = ("no type is declared (Any, object or a bare list)", "declare the type of what is expected", True)
_MIXED = ("its values are of several types", "use values of one type, and `| None` in place of None among them", True)
_PATTERN = ("its pattern looks around or back", "write a plainer pattern, or use a validator", True)
_NAME = ("its name is refused by some servers", "use at most 64 of the letters a-z, A-Z, 0-9, _, . and -", True)
_SAME_FIRST = (
    "a union of objects that begin with the same field",
    'put a field first that tells them apart, as in `of: Literal["dog"]`',
    True,
)
_DEFAULT = (
    "its default is left out of the schema, where every field is required",
    "say in its description when to answer what",
    False,
)
_DECIMAL = ("a Decimal is asked for as text", "nothing need be done; int in the smallest unit is surer", False)
_RECURSIVE = ("it holds itself, which not every server takes", "a list with references to parents is surer", False)
_REMEDIES: dict[str, _Said] = {
    "oneOf": ("a discriminated union", "write a plain union A | B, without discriminator", True),
    "uniqueItems": ("a set", "use tuple[X, ...] or list[X]", True),
    "prefixItems": ("a tuple of fixed length", "use a model with a field for each place, or tuple[X, ...]", True),
    "allOf": ("an intersection (allOf)", "write one model with all the fields", True),
    "patternProperties": ("a free dict with a pattern for keys", _FREE_DICT[1], True),
    "propertyNames": ("a free dict with a type for keys", _FREE_DICT[1], True),
}
