"""A kind is the type of a fact: a stable name and version, a key, a policy, and the identity of its content.

An id is the kind's label and a digest of the canonical content. Nothing else may enter it: no clock, no counter,
no author, no arrival order.
"""

__all__ = ["MAX_FACT_BYTES", "Kind", "Policy", "named", "problems_of"]

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from hashlib import blake2b
from inspect import getattr_static, iscoroutinefunction, signature
from operator import attrgetter
from re import fullmatch
from typing import Any, Literal, get_args

from pydantic import ValidationError
from pydantic.dataclasses import rebuild_dataclass
from pydantic_core import PydanticSerializationError, from_json

from converge.canonical import CanonicalSerializer, is_normal, normalized
from converge.errors import FactInvalid, FactTooLarge, KindInvalid
from converge.frozen import frozen

Policy = Literal["contest", "join", "many"]

# Large enough for a contract's full text, small enough that a thousand of them fit in memory.
MAX_FACT_BYTES = 4 * 1024 * 1024


_HASHED = frozenset({bool, bytes, float, int, str})


class Kind:
    """What all facts of one class share. `label` is the name, followed by `@version` from version 2 on."""

    def __init__(self, cls: type, name: str, version: int, key: tuple[str, ...], policy: Policy) -> None:
        self.cls, self.name, self.version, self.key, self.policy = cls, name, version, key, policy
        self.label = name if version == 1 else f"{name}@{version}"
        self.digested = True
        self._fields: dict[str, Any] = cls.__dataclass_fields__  # type: ignore[attr-defined]
        self._reads_back = False
        self._check()
        self.upgrade = self._checked_upgrade()

    def __repr__(self) -> str:
        return f"<kind {self.label}>"

    @property
    def keyed(self) -> bool:
        """Whether the key is less than the whole content, so that two facts can be about the same thing."""
        return bool(self.key)

    @cached_property
    def key_of(self) -> Any:
        """A function from a fact to its key: the field's value, or a tuple where the key has several fields."""
        return attrgetter(*self.key)

    def identify(self, fact: Any) -> tuple[Any, str, bytes]:
        """Return the fact in canonical form, its id, and its canonical JSON.

        Raises FactTooLarge, or FactInvalid for content that JSON cannot hold.
        """
        serializer = self._serializer
        try:
            body = serializer.encode(fact)
            if not is_normal(body):
                fact = self.load(normalized(from_json(body)))
                body = serializer.encode(fact)
        except FactInvalid:  # a ValueError as well, and worded already
            raise
        except (PydanticSerializationError, ValueError) as error:
            raise FactInvalid(self.label, [self._unwritable(fact, error)]) from error
        if len(body) > MAX_FACT_BYTES:
            raise FactTooLarge(self.label, len(body), MAX_FACT_BYTES)
        if self._may_not_hash:
            self._check_key(fact)
        if not self._reads_back:
            self._check_reads_back(fact, body)
        if serializer.loose:
            fact = self.load(from_json(body))
        return fact, named(self.label, body), body

    def load(self, content: object) -> Any:
        """Return the fact that decoded JSON describes. Raises FactInvalid naming each field that does not fit."""
        if not isinstance(content, dict):
            raise FactInvalid(self.label, [("", f"an object of fields is needed, not {type(content).__name__}")])
        try:
            fact = self.cls.__pydantic_validator__.validate_python(content)  # type: ignore[attr-defined]
        except ValidationError as error:
            raise FactInvalid(self.label, problems_of(error)) from error
        self._freeze([fact])
        return fact

    def load_all(self, contents: Sequence[object]) -> list[Any]:
        """Return the facts that `load` would, in half the time. Raises ValueError where it would raise for one."""
        facts = [*map(self.cls.__pydantic_validator__.validate_python, contents)]  # type: ignore[attr-defined]
        self._freeze(facts)
        return facts

    def json_schema(self, mode: Literal["validation", "serialization"] = "validation") -> dict[str, Any]:
        """Return the JSON Schema of what `load` takes, or of what the content of a fact looks like when written."""
        from pydantic import TypeAdapter

        return TypeAdapter(self.cls).json_schema(mode=mode)

    def _freeze(self, facts: Iterable[Any]) -> None:
        """Make unchangeable what facts hold, before anybody else has seen them."""
        if self._serializer.loose:
            for fact in facts:
                for name in self._written:
                    object.__setattr__(fact, name, frozen(getattr(fact, name)))

    @cached_property
    def _serializer(self) -> CanonicalSerializer:
        rebuild_dataclass(self.cls, raise_errors=True)
        return CanonicalSerializer(self.cls.__pydantic_core_schema__)  # type: ignore[attr-defined]

    def _unwritable(self, fact: Any, error: Exception) -> tuple[str, str]:
        """Name the field that JSON cannot hold, in words that are not the encoder's own."""
        for name in self._fields:
            value = getattr(fact, name)
            if isinstance(value, str) and not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
                return name, "its text holds half of a character (a lone surrogate), which UTF-8 cannot write"
        return "", str(error).rpartition("ValueError: ")[2].removeprefix("Error serializing to JSON: ")

    def _check_reads_back(self, fact: Any, body: bytes) -> None:
        """Refuse, at its first fact, a kind that a store could not give back: its content would change or be lost."""
        try:
            again = self.load(from_json(body))
            lost = [] if self._serializer.loose else [f for f in self._written if getattr(again, f) != getattr(fact, f)]
            same = self._serializer.encode(again) == body
        except FactInvalid as error:
            raise KindInvalid(self.label, f"it does not read back from its own JSON ({error}): {_LEAVE_OUT}") from error
        if lost or not same:
            where = f"field {lost[0]}" if lost else "a validator changes it again"
            raise KindInvalid(self.label, f"it does not read back from its own JSON as it was ({where}): {_LEAVE_OUT}")
        self._reads_back = True

    def _check_key(self, fact: Any) -> None:
        try:
            hash(self.key_of(fact))
        except TypeError as error:
            raise KindInvalid(
                self.label, f"its key {self.key} is not hashable: use str, int, tuple ... there"
            ) from error

    def _check(self) -> None:
        fields = self._fields
        self._written = [name for name, field in self.cls.__pydantic_fields__.items() if not field.exclude]  # type: ignore[attr-defined]
        excluded = [name for name in fields if name not in self._written]
        if excluded and self.cls.__module__ != "converge.intent":
            raise KindInvalid(self.label, f"field {excluded[0]!r} is excluded from its JSON and would be lost")
        if unknown := [field for field in self.key if field not in fields]:
            raise KindInvalid(self.label, f"key names {unknown[0]!r}, which is not a field: it has {', '.join(fields)}")
        declared = self.cls.__pydantic_fields__  # type: ignore[attr-defined]
        self._may_not_hash = any(declared[name].annotation not in _HASHED for name in self.key)
        if self.policy not in get_args(Policy):
            raise KindInvalid(self.label, f"policy {self.policy!r} is not one of {', '.join(get_args(Policy))}")
        if self.policy == "join":
            self._check_join()
        if taken := [field for field in ("because", "invalidate", "revise", "propose") if field in fields]:
            raise KindInvalid(self.label, f"a field cannot be named {taken[0]!r}, a word every fact understands")
        if not fullmatch(r"[\w.-]+", self.name):
            raise KindInvalid(self.name, "a name is made of letters, digits, '.', '-' and '_'")

        version: object = self.version  # callers without a type checker exist
        if not isinstance(version, int) or version < 1:
            raise KindInvalid(self.name, f"version {version!r} is not a whole number from 1")

    def _checked_upgrade(self) -> Callable[[Any, int], Any] | None:
        """Return what brings the content of earlier versions forward, if the class can; a field may be called so."""
        if "upgrade" in self._fields or (found := getattr_static(self.cls, "upgrade", None)) is None:
            return None
        upgrade: Any = getattr(self.cls, "upgrade")  # noqa: B009  # the checker knows of no such attribute
        if (
            not isinstance(found, (classmethod, staticmethod))
            or iscoroutinefunction(upgrade)
            or not _takes_two(upgrade)
        ):
            raise KindInvalid(
                self.label, "upgrade must be a plain classmethod: def upgrade(cls, content, version): ..."
            )
        return upgrade  # type: ignore[no-any-return]

    def _check_join(self) -> None:
        if not self.key:
            raise KindInvalid(self.label, 'policy "join" needs a key: facts of one key are joined')
        if not callable(getattr(self.cls, "join", None)):
            raise KindInvalid(self.label, 'policy "join" needs a method: def join(self, other): ...')


def named(label: str, body: bytes) -> str:
    """Return the id of the fact of a kind that has this canonical JSON."""
    return f"{label}:{blake2b(body, digest_size=16).hexdigest()}"


_LEAVE_OUT = "leave out aliases, computed fields, own serializers, secrets and validators that change valid values"


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        signature(function).bind({}, 1)
    except TypeError:
        return False
    return True


def problems_of(error: ValidationError) -> list[tuple[str, str]]:
    """Return each field that does not fit and why, in a few words."""
    return [(".".join(map(str, item["loc"])), _problem(item)) for item in error.errors(include_url=False)]


def _problem(item: Any) -> str:
    match item["type"]:
        case "missing":
            return "is missing"
        case "unexpected_keyword_argument":
            return "there is no such field"
        case _:
            return str(item["msg"])
