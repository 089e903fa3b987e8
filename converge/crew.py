"""Tasks that are over when a block is: a task group for many that do little.

A task of anyio's group takes three times as long to begin and end as one of asyncio's own, which is most of what an
agent costs that only waits. One in a cancel scope of its own can be cancelled just as well: again until it hears of
it, and never where it is shielded.
"""

__all__ = ["Crew"]

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

import anyio


class Crew:
    """Runs tasks until all are over; where one of them fails, or the block does, the others are cancelled.

    `scope` is the block's. Raises what the block raised, or an exception group of what the tasks did.
    """

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self._tasks: dict[asyncio.Task[None], anyio.CancelScope] = {}
        self._errors: list[BaseException] = []
        self._over: asyncio.Future[None] | None = None  # while somebody waits for the last task

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin a task; one that comes after the others were cancelled is cancelled as well."""
        scope = anyio.CancelScope()
        if self.scope.cancel_called:
            scope.cancel()
        task = asyncio.create_task(_within(scope, work))
        self._tasks[task] = scope
        task.add_done_callback(self._ended)

    def cancel(self) -> None:
        """Cancel the block and all tasks."""
        self.scope.cancel()
        for scope in self._tasks.values():
            scope.cancel()

    async def __aenter__(self) -> Self:
        self.scope.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is not None:
            self.cancel()
        interrupted = await self._all_over()
        raised = error if error is not None else interrupted
        is_ours = self.scope.__exit__(type(raised) if raised is not None else None, raised, traceback)
        if self._errors:
            own = [] if raised is None or isinstance(raised, asyncio.CancelledError) else [raised]
            raise BaseExceptionGroup("tasks of a job failed", [*own, *self._errors])
        if error is None and raised is not None and not is_ours:
            raise raised
        return bool(is_ours)

    async def _all_over(self) -> asyncio.CancelledError | None:
        """Wait for all tasks; return what interrupted that, which cancels them."""
        interrupted: asyncio.CancelledError | None = None
        while self._tasks:
            self._over = asyncio.get_running_loop().create_future()
            try:
                with anyio.CancelScope(shield=self.scope.cancel_called):  # who is cancelled is told so once
                    await self._over
            except asyncio.CancelledError as error:
                interrupted = error
                self.cancel()
        return interrupted

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)
            self.cancel()
        if not self._tasks and self._over is not None and not self._over.done():
            self._over.set_result(None)


async def _within(scope: anyio.CancelScope, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with scope:
        if not scope.cancel_called:
            await work()
