"""What somebody means by a fact they name: an id or the first digits of it, or a kind and what is known of the fact."""

__all__ = ["Wanted", "found", "named", "no_such_kind"]

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from operator import attrgetter
from typing import Any

from pydantic_core import to_jsonable_python

from converge.context import Context
from converge.errors import FactUnknown
from converge.explain.content import content_of, described
from converge.fact import Fact, id_of, kind_of
from converge.lookup import ANY_KEY
from converge.stored_kinds import is_plain

_LEAST = 4  # digits that an id may be shortened to
_ID = re.compile(r"(?:(?P<kind>[\w.@-]+):)?(?P<digits>[0-9a-f]{4,32})")


class Wanted:
    """Facts of a kind, of one key, or with some fields. key: a value, or several where the key has several fields.

    fact_id: where one fact is meant, whose content the fields are.
    """

    def __init__(
        self, kind: str, key: Any = ANY_KEY, fields: Mapping[str, Any] | None = None, fact_id: str | None = None
    ) -> None:
        self.kind, self.key, self.fields, self.fact_id = kind, key, dict(fields or {}), fact_id

    @classmethod
    def exactly(cls, fact: Fact) -> "Wanted":
        """Return what names one fact."""
        return cls(kind_of(fact).label, fields=content_of(fact), fact_id=id_of(fact))

    @classmethod
    def of(cls, words: Sequence[str]) -> "Wanted":
        """Return what words name: a kind, then values of its key, or field=value."""
        kind, *rest = words
        pairs = [word.partition("=") for word in rest]
        fields = {name: value for name, equals, value in pairs if equals and name.isidentifier()}
        values = [
            word for word, (name, equals, _) in zip(rest, pairs, strict=True) if not (equals and name.isidentifier())
        ]
        return cls(kind, ANY_KEY if not values else values[0] if len(values) == 1 else tuple(values), fields)

    @property
    def has_key(self) -> bool:
        """Whether a key is wanted."""
        return self.key is not ANY_KEY

    def among(self, facts: Sequence[Fact]) -> list[Fact]:
        """Return those that are meant of facts of the kind. Text stands for what is written so: "3" for 3."""
        if self.fact_id is not None:
            return [fact for fact in facts if id_of(fact) == self.fact_id]
        if not facts or is_plain(facts[0]):  # nobody knows its key then: any field may have these values
            return [fact for fact in facts if self.fits_content(content_of(fact))]
        names = type(facts[0]).__dataclass_fields__
        key = kind_of(facts[0]).key or tuple(names)
        wanted = {**dict(zip(key, self._values, strict=False)), **self.fields} if self.has_key else self.fields
        if not wanted.keys() <= names.keys() or (self.has_key and len(key) != len(self._values)):
            return []
        several = [(attrgetter(name), value) for name, value in wanted.items()]
        return [fact for fact in facts if all(_same(get(fact), value) for get, value in several)]

    def fits_content(self, content: Mapping[str, Any]) -> bool:
        """Whether a fact with this content, of whose class nothing is known, may be meant."""
        if any(name not in content or not _same(content[name], value) for name, value in self.fields.items()):
            return False
        return not self.has_key or all(any(_same(value, one) for value in content.values()) for one in self._values)

    @property
    def _values(self) -> tuple[Any, ...]:
        return self.key if isinstance(self.key, tuple) else (self.key,)

    def __str__(self) -> str:
        said = [f"{name}={value!r}" for name, value in self.fields.items()]
        keys = ([*map(repr, self.key)] if isinstance(self.key, tuple) else [repr(self.key)]) if self.has_key else []
        return f"{self.kind}({', '.join([*keys, *said])})" if keys or said else self.kind


def found(context: Context, wanted: Wanted) -> list[int]:
    """Return the positions of the facts that are meant, in id order."""
    log = context.kinds.get(wanted.kind)
    if wanted.fact_id is not None or log is None:
        place = context.position.get(wanted.fact_id or "")
        return [] if place is None else [place]
    facts = wanted.among(log.between(-1, context.highest))
    return [context.position[id_of(fact)] for fact in facts]


def named(context: Context, words: Sequence[str], *, most: int = 8) -> Fact:
    """Return the one fact that words name; of several, the live one. Raises FactUnknown, which lists what there is."""
    if len(words) == 1 and (match := _ID.fullmatch(words[0])):
        if facts := _by_digits(context, match["kind"], match["digits"]):
            return _only(context, words, facts, most)
        if match["kind"] or words[0] not in context.kinds:
            raise FactUnknown(words[0], "no fact of this job has an id that begins so")
    wanted = Wanted.of(words)
    if wanted.kind not in context.kinds:
        raise FactUnknown(wanted.kind, no_such_kind(wanted.kind, context.kinds))
    facts = [context.facts[place] for place in found(context, wanted)]
    if not facts:
        raise FactUnknown(str(wanted), f"no {wanted.kind} is so; there are {_listed(_all(context, wanted.kind), most)}")
    return _only(context, words, facts, most)


def _by_digits(context: Context, kind: str | None, digits: str) -> list[Fact]:
    labels = [kind] if kind else list(context.kinds)
    logs = [context.kinds[label] for label in labels if label in context.kinds]
    facts = (fact for log in logs for fact in log.between(-1, context.highest))
    return [fact for fact in facts if id_of(fact).rpartition(":")[2].startswith(digits)]


def _only(context: Context, words: Sequence[str], facts: Sequence[Fact], most: int) -> Fact:
    live = [fact for fact in facts if context.is_live(context.position[id_of(fact)], context.highest)]
    if len(facts) == 1 or len(live) == 1:
        return (live or facts)[0]
    raise FactUnknown(" ".join(words), f"it may be one of {len(live or facts)}: {_listed(live or facts, most)}")


def _all(context: Context, kind: str) -> Sequence[Fact]:
    return context.kinds[kind].between(-1, context.highest)


def _listed(facts: Sequence[Fact], most: int) -> str:
    several = [f"{id_of(fact).rpartition(':')[2][:8]} ({described(fact):.60})" for fact in facts[:most]]
    more = f" and {len(facts) - most} more" if len(facts) > most else ""
    return ", ".join(several) + more


def no_such_kind(kind: str, kinds: Iterable[str], *, declared: bool = False) -> str:
    """Return why a kind is not known, and which one may be meant."""
    known = sorted(kinds)
    near = get_close_matches(kind, known, n=1, cutoff=0.5)
    of = "no agent declares such a kind" if declared else "the job has no fact of such a kind"
    return f"{of}: did you mean {near[0]}?" if near else f"{of}: there are {', '.join(known) or 'none at all'}"


def _same(value: Any, wanted: Any) -> bool:
    if value == wanted:
        return True
    if isinstance(value, str):
        return False
    written = to_jsonable_python(value)
    return bool(written == wanted) or wanted in (str(value), json.dumps(written, ensure_ascii=False))
