"""Context variables of one activation are its own.

A worker runs many agents one after the other in one task. What one of them sets must not be seen by whoever the same
worker runs next: facts would depend on who ran where. An object that a variable holds is shared all the same: use
`decimal.localcontext()` rather than changing `decimal.getcontext()`.
"""

__all__ = ["Isolated"]

from collections.abc import Coroutine, Generator
from contextvars import copy_context
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Isolated(Generic[T]):
    """Await a coroutine in a copy of the current context: each of its steps runs there, in the same task.

    waited: whether it let anybody else have a turn.
    """

    __slots__ = ("_context", "_coroutine", "waited")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine, self._context, self.waited = coroutine, copy_context(), False

    def __await__(self) -> Generator[Any, Any, T]:
        step: Any = self._coroutine.send
        value: Any = None
        while True:
            try:
                waited = self._context.run(step, value)
            except StopIteration as ended:
                return ended.value  # type: ignore[no-any-return]
            self.waited = True
            try:
                value = yield waited
                step = self._coroutine.send
            except BaseException as error:  # a cancellation: the coroutine decides what becomes of it
                step, value = self._coroutine.throw, error
