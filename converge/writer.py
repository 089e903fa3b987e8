"""The store-writer actor: everything that a job must make durable passes through its one inbox."""

__all__ = ["Writer"]

from math import inf
from typing import NamedTuple

import anyio

from converge.errors import ConvergeError, StoreUnavailable
from converge.ports import CycleRow, JobHeader, Store


class _Request(NamedTuple):
    row: CycleRow
    kept: anyio.Event


class Writer:
    """Appends rows to one job. Rows that pile up while a commit is under way share the next one."""

    def __init__(self, store: Store, header: JobHeader, *, is_new: bool) -> None:
        self._store, self._header, self._is_new = store, header, is_new
        self._failure: Exception | None = None
        # Unbounded, yet never more than one commit and the captures of open activations wait here.
        self._requests, self._inbox = anyio.create_memory_object_stream[_Request](inf)

    async def commit(self, row: CycleRow) -> None:
        """Return when the row is kept. Raises what the store raised, now and from then on.

        A cancellation waits until it is known whether the store has the row.
        """
        if not self._store.durable and self._failure is None:
            await self._keep([row])  # nothing to wait for, so no hop to the actor
            return
        if self._failure is None:
            request = _Request(row, anyio.Event())
            self._requests.send_nowait(request)
            with anyio.CancelScope(shield=True):
                await request.kept.wait()
        if self._failure is not None:
            raise self._failure

    async def run(self) -> None:
        """Write until closed. What was begun is finished even when the job is cancelled."""
        with self._inbox, anyio.CancelScope(shield=True):
            async for first in self._inbox:
                batch = [first]
                while True:
                    try:
                        batch.append(self._inbox.receive_nowait())
                    except (anyio.WouldBlock, anyio.EndOfStream):
                        break
                await self._write(batch)

    def close(self) -> None:
        """Let `run` end once it has written what it was given."""
        self._requests.close()

    async def _write(self, batch: list[_Request]) -> None:
        try:
            if self._failure is None:
                await self._keep([request.row for request in batch])
        except ConvergeError as error:
            self._failure = error
        # A store is other people's code: nobody may wait for ever for what it did not foresee. It is shielded, so a
        # cancellation that it raises is its own.
        except (Exception, anyio.get_cancelled_exc_class()) as error:
            self._failure = StoreUnavailable(repr(self._store), f"{type(error).__name__}: {error}")
            self._failure.__cause__ = error
        finally:
            for request in batch:
                request.kept.set()

    async def _keep(self, rows: list[CycleRow]) -> None:
        if self._is_new:
            self._is_new = False
            await self._store.create(self._header, rows.pop(0))
        if rows:
            await self._store.append(self._header.job_id, rows)
