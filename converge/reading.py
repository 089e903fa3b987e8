"""A stored job is read beside the event loop: off it, where that takes longer than a turn.

A thread slows the loop down, and does not stop it: other jobs, and the app around them, go on.
"""

__all__ = ["read"]

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio
import anyio.to_thread

from converge.ports import StoredJob

T = TypeVar("T")
_LONG = 250_000  # characters of rows, which take about as long as a worker may keep the loop


async def read(stored: StoredJob, make: Callable[[StoredJob], T]) -> T:
    """Return what `make` makes of a stored job, and raise what it raises."""
    if sum(map(len, stored.bodies)) < _LONG:
        return make(stored)
    # A limit of its own: agents that block may hold all the threads there are by default, for as long as they like.
    return await anyio.to_thread.run_sync(_made, stored, make, limiter=anyio.CapacityLimiter(1))


def _made(stored: StoredJob, make: Callable[[StoredJob], T]) -> T:
    with _uncollected():
        return make(stored)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from walking, again and again, over facts of which none is garbage.

    What was made meanwhile is old at once: else the next collection would walk over all of it, and so on for each
    generation. Where somebody has frozen objects, thawing would undo that, and they stay young.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        if not gc.get_freeze_count():
            gc.freeze()  # every object there is, to where nothing is collected
            gc.unfreeze()  # and from there to the oldest generation
    finally:
        gc.enable()
