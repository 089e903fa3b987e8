"""What a model's tokens cost, in whatever currency the budget is in; a price that nobody names is unknown, never 0."""

__all__ = ["Price", "Prices", "price_of"]

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from converge_agents.errors import ModelInvalid


class Price(NamedTuple):
    """Money per million tokens of prompts and of answers."""

    input: float
    output: float

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """Return what so many tokens cost."""
        return (input_tokens * self.input + output_tokens * self.output) / 1_000_000


Prices = Price | Mapping[str, Any] | str | os.PathLike[str]


def price_of(model: str, given: Prices | None) -> Price | None:
    """Return a model's price: given as such, from a table by models' names, or from a JSON file with such a table.

    A row of a table is a Price, or {"input": ..., "output": ...}. None where it is not there. Raises ModelInvalid.
    """
    if given is None or isinstance(given, Price):
        return None if given is None else _checked(model, given)
    table = _read(model, given) if isinstance(given, (str, os.PathLike)) else given
    row = table.get(model)
    if row is None or isinstance(row, Price):
        return None if row is None else _checked(model, row)
    if not isinstance(row, Mapping) or row.keys() != {"input", "output"}:
        raise ModelInvalid(model, f'its price is {{"input": ..., "output": ...}} per million tokens, not {row!r:.80}')
    return _checked(model, Price(row["input"], row["output"]))


def _checked(model: str, price: Price) -> Price:
    for name, value in price._asdict().items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
            raise ModelInvalid(model, f"the price of its {name} is a number of 0 or more, not {value!r:.80}")
    return price


def _read(model: str, path: str | os.PathLike[str]) -> Mapping[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  # any path-like is taken
            table = json.load(file)
    except (OSError, ValueError) as error:
        raise ModelInvalid(model, f"the prices in {os.fspath(path)} cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise ModelInvalid(model, f"the prices in {os.fspath(path)} are not an object of models by name")
    return table
