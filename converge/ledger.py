"""What calls cost: a line for each request, first with what it may come to, then with what it came to.

A line is written before its request is made, so that one that was under way when a process died counts as spent. Money
is counted in whole billionths: sums must not depend on the order of their parts.
"""

__all__ = ["BILLION", "Ledger", "Line", "billionths"]

from collections.abc import Iterator, Mapping
from math import ceil
from typing import NamedTuple

from converge.errors import BudgetSpent
from converge.intent import Allowance, Budget

BILLION = 10**9


class Line(NamedTuple):
    """One request of an agent: the tokens and the money (in billionths) that it may come to, or came to."""

    number: int
    agent: str
    tokens: int
    money: int


class _Sum(NamedTuple):
    calls: int = 0
    tokens: int = 0
    money: int = 0

    def plus(self, line: Line, sign: int = 1) -> "_Sum":
        return _Sum(self.calls + sign, self.tokens + sign * line.tokens, self.money + sign * line.money)


class Ledger:
    """The lines of one job. `limits` is the job's budget, `allowances` those of agents by name."""

    def __init__(self) -> None:
        self.limits: Budget | None = None
        self.allowances: Mapping[str, Allowance] = {}
        self.unpriced: set[str] = set()  # what costs money that nobody has named a price for
        self._lines: dict[int, Line] = {}
        self._sums: dict[str | None, _Sum] = {None: _Sum()}  # by agent; None: of all
        self._open: dict[int, Line] = {}
        self._unkept: dict[int, Line] = {}

    @property
    def spent(self) -> tuple[int, int, float]:
        """The calls, tokens and money that were spent in all; of requests under way, what they may come to."""
        calls, tokens, money = self._sums[None]
        return calls, tokens, money / BILLION

    def limits_money(self, agent: str) -> bool:
        """Whether it matters what an agent's calls cost."""
        limits = (self.limits, self.allowances.get(agent))
        return any(limit is not None and limit.money is not None for limit in limits)

    def refusal(self, agent: str, tokens: int, money: int) -> BudgetSpent | None:
        """Return why a request finds no room now; None where it does. See `may_pass`."""
        for whose, limit in self._limits(agent):
            total = self._sums.get(whose, _Sum()).plus(Line(0, agent, tokens, money))
            for unit, asked, most in zip(_Sum._fields, total, limit, strict=True):
                if most is not None and asked > most:
                    return BudgetSpent(unit, whose)
        return None

    def may_pass(self, refusal: BudgetSpent, agent: str, tokens: int, money: int) -> bool:
        """Whether there may be room when requests under way have come to less than they may."""
        if refusal.unit == "calls":
            return False
        whose = refusal.agent
        settled = self._sums.get(whose, _Sum()).plus(Line(0, agent, tokens, money))
        for line in self._open.values():
            if whose in (None, line.agent):
                settled = settled.plus(line, -1)
        limit = dict(self._limits(agent))[whose][_Sum._fields.index(refusal.unit)]
        return bool(self._open) and limit is not None and getattr(settled, refusal.unit) <= limit

    def reserve(self, agent: str, tokens: int, money: int) -> int:
        """Write a line for a request that finds room; return its number."""
        number = len(self._lines) + 1
        line = self._open[number] = Line(number, agent, tokens, money)
        self._write(line)
        return number

    def settle(self, number: int, tokens: int, money: int) -> None:
        """Write what a request came to."""
        self._write(self._lines[number]._replace(tokens=tokens, money=money))

    def close(self, number: int) -> None:
        """Note that a request is not under way any more; if it was not settled, it stays at what it may have cost."""
        self._open.pop(number, None)

    def take(self) -> list[Line]:
        """Return the lines that were written since this was last called, for a store to keep."""
        lines, self._unkept = [*self._unkept.values()], {}
        return lines

    def restore(self, line: Line) -> None:
        """Take over a line as it was kept."""
        self._write(line)
        self._unkept.pop(line.number)

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())

    def _write(self, line: Line) -> None:
        before = self._lines.get(line.number)
        for whose in (None, line.agent):
            total = self._sums.get(whose, _Sum()).plus(line)
            self._sums[whose] = total if before is None else total.plus(before, -1)
        self._lines[line.number] = self._unkept[line.number] = line

    def _limits(self, agent: str) -> Iterator[tuple[str | None, tuple[float | None, ...]]]:
        for whose, limit in ((agent, self.allowances.get(agent)), (None, self.limits)):
            if limit is not None:
                money = None if limit.money is None else int(limit.money * BILLION)
                yield whose, (limit.calls, limit.tokens, money)


def billionths(money: float) -> int:
    """Return money in billionths, rounded up; what is less than a thousandth of one is an error of the arithmetic."""
    return ceil(round(money * BILLION, 3))
