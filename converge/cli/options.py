"""What the options of `run` and `resume` say, as values: budgets, root intents and facts."""

__all__ = ["given_facts", "given_intent", "given_limits"]

import dataclasses
import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from converge.cli.usage import OptionInvalid
from converge.engine import Engine
from converge.errors import BudgetInvalid, FactInvalid, IntentInvalid
from converge.fact import Fact, kind_of
from converge.intent import Budget, RootIntent
from converge.jsonl import read_facts

_FIELDS = ("objective", "scope", "constraints", "success", "budget")


def given_facts(paths: Iterable[Path], engine: Engine) -> list[Fact]:
    """Return the facts of every file, in order. Raises FactFileUnreadable or FactLineInvalid."""
    return [fact for path in paths for fact in read_facts(path, engine.kinds)]


def given_limits(budgets: Iterable[str]) -> dict[str, object]:
    """Return limits by name from texts as `rounds=50`; what is no number is left for Budget to refuse."""
    limits: dict[str, object] = {}
    for text in budgets:
        name, equals, value = text.partition("=")
        if not equals:
            raise OptionInvalid("--budget", f"{text!r} is not NAME=VALUE, as in rounds=50")
        limits[name.strip()] = _number(value.strip())
    Budget().with_limits(limits)  # refused here and now, not when the target has been imported
    return limits


def given_intent(
    objective: str | None, path: Path | None, beside_target: RootIntent | None, limits: Mapping[str, object]
) -> RootIntent:
    """Return the root intent to run, with the limits put on its budget. Raises IntentInvalid or OptionInvalid."""
    if objective is not None and path is not None:
        raise OptionInvalid("--intent", "give it or --objective, not both")
    if objective is not None:
        intent: RootIntent | None = RootIntent(objective)
    else:
        intent = beside_target if path is None else _read_intent(path)
    if intent is None:
        advice = "give --objective TEXT or --intent FILE"
        raise OptionInvalid("--objective", f"the target's module defines no intent, so {advice}")
    return _with_budget(intent, intent.budget.with_limits(limits))


def _read_intent(path: Path) -> RootIntent:
    content = _read_object(path)
    if unknown := [name for name in content if name not in _FIELDS]:
        near = get_close_matches(unknown[0], _FIELDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(_FIELDS)}"
        raise IntentInvalid(str(path), f"there is no field {unknown[0]!r}: {hint}")
    limits = content.pop("budget", {})
    if not isinstance(limits, dict):
        raise IntentInvalid(str(path), 'its budget is an object, as in {"rounds": 50}')
    try:
        intent: RootIntent = kind_of(RootIntent).load(content)
    except FactInvalid as error:
        raise IntentInvalid(str(path), "; ".join(f"{field}: {text}" for field, text in error.problems)) from error
    try:
        return _with_budget(intent, Budget().with_limits(limits))
    except BudgetInvalid as error:
        raise IntentInvalid(str(path), str(error)) from error


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise IntentInvalid(str(path), error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise IntentInvalid(str(path), "it is not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        raise IntentInvalid(str(path), f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise IntentInvalid(str(path), 'it is an object, as in {"objective": "find the risks"}')
    return content


def _with_budget(intent: RootIntent, budget: Budget) -> RootIntent:
    return dataclasses.replace(intent, budget=budget)


def _number(text: str) -> object:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text
