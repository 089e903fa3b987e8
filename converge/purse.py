"""Reservations of calls: kept before a call is made, and waited for where others may yet leave some room."""

__all__ = ["Purse"]

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from converge.capture import Bill
from converge.errors import PriceUnknown
from converge.latch import Latch
from converge.ledger import Ledger, billionths


class Purse:
    """What the calls of one running job are paid from. `kept` returns when all lines of the ledger are kept."""

    def __init__(self, ledger: Ledger, kept: Callable[[], Awaitable[None]]) -> None:
        self._ledger, self._kept = ledger, kept
        self._closed = Latch()

    @asynccontextmanager
    async def reserve(self, agent: str, tokens: int, money: float | None, what: str) -> AsyncIterator[Bill]:
        """Hold a reservation for one request. Raises BudgetSpent, PriceUnknown, and what `kept` raises."""
        if money is None:
            if self._ledger.limits_money(agent):
                raise PriceUnknown(what)
            self._ledger.unpriced.add(what)
        worst = billionths(money or 0)
        while (refusal := self._ledger.refusal(agent, tokens, worst)) is not None:
            if not self._ledger.may_pass(refusal, agent, tokens, worst):
                raise refusal
            await self._closed.wait()
        number = self._ledger.reserve(agent, tokens, worst)
        try:
            await self._kept()
            yield lambda tokens, money=0.0: self._ledger.settle(number, tokens, billionths(money))
        finally:
            self._ledger.close(number)
            self._closed.set()
            self._closed = Latch()
