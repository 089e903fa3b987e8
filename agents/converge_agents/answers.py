"""Reading an answer's text: facts, what they cite and how sure they are; or one error that can be sent back.

An answer is data from outside. It is bounded in bytes and items, and one part that is wrong makes the whole wrong.
"""

__all__ = ["MAX_ANSWER_BYTES", "MAX_ITEMS", "AnswerUnfit", "Item", "object_in", "read", "references", "write"]

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from converge import Fact
from converge.errors import FactInvalid, FactTooLarge
from converge.fact import identified
from converge.kind import problems_of
from converge_agents.schema import AnswerForm

MAX_ANSWER_BYTES = 1024 * 1024  # twice what 128,000 tokens of English are
MAX_ITEMS = 1_000
_NAMED = 10  # so many problems are named in a message; the others are counted


class Item(NamedTuple):
    """One fact an answer states, the facts it cites for it, and how sure it is (None where that was not asked)."""

    fact: Fact
    evidence: tuple[Fact, ...] = ()
    confidence: float | None = None


class AnswerUnfit(ValueError):
    """Raised for an answer that cannot be used; `problems` has the path of each field and what is wrong with it."""

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = tuple((path[:100], text[:300]) for path, text in problems)
        listed = "; ".join(f"{path}: {text}" if path else text for path, text in self.problems[:_NAMED])
        more = f"; and {len(self.problems) - _NAMED} more" if len(self.problems) > _NAMED else ""
        super().__init__(f"the answer is not valid: {listed}{more}")

    @property
    def repair(self) -> str:
        """What to send back to the model, so that it can answer again."""
        return f"This cannot be used: {self}. Answer again with the whole JSON object, mended, and with nothing else."


def references(facts: Iterable[Fact]) -> dict[str, Fact]:
    """Return the facts by the references they are shown under in a prompt: F1, F2, ... in the order given."""
    return {f"F{place}": fact for place, fact in enumerate(facts, start=1)}


def read(
    text: str,
    form: AnswerForm,
    shown: Mapping[str, Fact] | None = None,
    *,
    max_items: int = MAX_ITEMS,
    max_bytes: int = MAX_ANSWER_BYTES,
) -> list[Item]:
    """Return the items of an answer, kind by kind in the form's order, each fact in canonical form.

    `shown` has the facts that may be cited, by reference. A field with a default may be missing, whatever the schema
    asks. Raises AnswerUnfit for whatever text is no such answer; a kind that cannot be read back from its own JSON
    remains its author's KindInvalid, which no answer could mend.
    """
    _check_bytes(text, max_bytes)
    _check_items(text, max_items)
    answer = _validated(text, form)
    return [_item(path, item, form, shown or {}) for path, item in _stated(answer, form)]


def write(items: Iterable[Item | Fact], form: AnswerForm, shown: Mapping[str, Fact] | None = None) -> str:
    """Return the text of an answer that states these items: for examples in prompts and for scripted models.

    Raises KeyError for a fact whose kind is not the form's, and for evidence that is not among the facts shown.
    """
    lists: dict[str, list[Any]] = {name: [] for name in form.lists}
    names = {kind: name for name, kind in form.lists.items()}
    known = {fact: reference for reference, fact in (shown or {}).items()}
    for given in items:
        item = given if isinstance(given, Item) else Item(given)
        lists[names[type(item.fact)]].append(_written(item, form, known))
    return json.dumps(lists, ensure_ascii=False)


def object_in(text: str, *, max_bytes: int = MAX_ANSWER_BYTES) -> str:
    """Return the one JSON object in a text that has prose or a fence around it, as it stands there.

    It is for servers that cannot be asked for JSON. Raises AnswerUnfit where there is no object, or more than one:
    which of two was meant is not guessed.
    """
    _check_bytes(text, max_bytes)
    match list(_objects(text)):
        case [found]:
            return found
        case []:
            raise AnswerUnfit([("", "there is no whole JSON object in it")])
        case several:
            raise AnswerUnfit([("", f"there are {len(several)} JSON objects in it, and one is needed")])


def _check_bytes(text: object, limit: int) -> None:
    if not isinstance(text, str):
        raise AnswerUnfit([("", "there is no text in it")])
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise AnswerUnfit([("", "it holds half of a character (a lone surrogate)")]) from error
    if size > limit:
        raise AnswerUnfit([("", f"it has {size:,} bytes and {limit:,} is the limit")])


def _check_items(text: str, limit: int) -> None:
    """Count before anything is built or complained about: an answer may hold a million wrong items."""
    try:
        lists = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise AnswerUnfit([("", f"it is not JSON ({error})")]) from error
    if _infinite(lists):
        raise AnswerUnfit([("", "it holds a number that is too large")])
    if not isinstance(lists, dict):
        raise AnswerUnfit([("", f"an object is needed, not a {type(lists).__name__}")])
    if (count := sum(len(items) for items in lists.values() if isinstance(items, list))) > limit:
        raise AnswerUnfit([("", f"it has {count:,} items and {limit:,} is the limit")])


def _infinite(value: object) -> bool:
    """Whether a number came out infinite: decoding takes 1e999 for one, and so would a model within a kind."""
    match value:
        case float():
            return not isfinite(value)
        case list():
            return any(map(_infinite, value))
        case dict():
            return any(map(_infinite, value.values()))
        case _:
            return False


def _validated(text: str, form: AnswerForm) -> BaseModel:
    try:
        return form.model.model_validate_json(text)
    except ValidationError as error:
        raise AnswerUnfit(problems_of(error)) from error
    except Exception as error:  # a kind's own validator, at something its author did not think of
        raise AnswerUnfit([("", f"a value in it is none that is expected ({type(error).__name__})")]) from error


def _stated(answer: BaseModel, form: AnswerForm) -> Iterator[tuple[str, Any]]:
    for name, field in zip(form.lists, type(answer).model_fields, strict=True):
        for place, item in enumerate(getattr(answer, field)):
            yield f"{name}.{place}", item


def _item(path: str, item: Any, form: AnswerForm, shown: Mapping[str, Fact]) -> Item:
    if not form.wrapped:
        return Item(_canonical(path, item))
    fact = _canonical(f"{path}.fact", item.fact)
    cited = _cited(f"{path}.evidence", item.evidence, shown) if form.evidence else ()
    return Item(fact, cited, item.confidence if form.confidence else None)


def _canonical(path: str, fact: Fact) -> Fact:
    try:
        return identified(fact)[0]
    except FactInvalid as error:
        raise AnswerUnfit((f"{path}.{field}".rstrip("."), text) for field, text in error.problems) from error
    except FactTooLarge as error:
        raise AnswerUnfit([(path, str(error))]) from error


def _cited(path: str, given: list[str], shown: Mapping[str, Fact]) -> tuple[Fact, ...]:
    cited = [reference.strip("[]() ") for reference in given]  # a prompt may show them in brackets
    if unknown := [reference for reference in cited if reference not in shown]:
        known = f"the facts shown are {next(iter(shown))} to {list(shown)[-1]}" if shown else "no facts were shown"
        raise AnswerUnfit((path, f"there is no {reference[:40]!r}: {known}") for reference in unknown)
    return tuple(dict.fromkeys(shown[reference] for reference in cited))


def _written(item: Item, form: AnswerForm, known: Mapping[Fact, str]) -> Any:
    fact = from_json(identified(item.fact)[2])
    if not form.wrapped:
        return fact
    evidence = {"evidence": [known[cited] for cited in item.evidence]} if form.evidence else {}
    return {**evidence, "fact": fact, **({"confidence": item.confidence} if form.confidence else {})}


def _objects(text: str) -> Iterator[str]:
    """Find the objects that lie in no other. What begins like one and is none is passed over whole."""
    position = 0
    while begins := _BEGINS.search(text, position):
        start = begins.start()
        try:
            end = _DECODER.raw_decode(text, start)[1]
            yield text[start:end]
        except (ValueError, RecursionError):  # a template such as {"items": [...]}, or an answer that was cut
            end = _balanced(text, start)
        position = end


def _balanced(text: str, start: int) -> int:
    """Return where the braces opened at `start` are all closed, or the end of the text."""
    depth = 0
    for token in _BRACES.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        if depth == 0:
            return token.end()
    return len(text)


_DECODER = json.JSONDecoder()
_BEGINS = re.compile(r'\{\s*"')  # an empty one is prose: no answer is empty
_BRACES = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}]', re.DOTALL)  # "? and not ": a text that never ends is read once
