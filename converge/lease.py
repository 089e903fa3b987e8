"""Leases: who runs a job. They are taken before it is read, renewed from a thread, and given back at its end.

A thread renews them, because an agent that keeps the event loop busy must not lose its job. Another process may take a
lease that has expired, or whose holder is known to have ended on this very machine; the epoch it gets with it is what
keeps the earlier holder from writing, should that wake up after all.
"""

__all__ = ["Leases", "is_gone", "this_process"]

import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from platform import node
from secrets import token_hex

import anyio

from converge.errors import JobExists, JobLeased
from converge.ports import Clock, Holder, Lease, Store

_NEVER = 253_402_300_799.0  # the last second of the year 9999, which can still be written as a date
_ENDED = "ended"  # of a process that is only there until its parent asks how it ended
_held: set[str] = set()  # tokens of this process: what it no longer holds it has let go of, however that came about


def this_process() -> Holder:
    """Return a holder for one lease of this process."""
    return Holder(token_hex(8), *_itself(os.getpid()))


def is_gone(holder: Holder) -> bool:
    """Whether a holder is known to have ended: it was on this machine, and its process is not there any more."""
    here, there = _place(), holder.place
    if holder.host != node() or _machine(there) != _machine(here):
        return False
    if _boot(there) != _boot(here):
        return bool(_machine(here)) and bool(_boot(there))  # the machine was started anew since
    if there != here:
        return False
    if holder.process == os.getpid() and holder.started == _started(holder.process):
        return holder.token not in _held
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return False
    try:
        os.kill(holder.process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    started = _started(holder.process)
    return started == _ENDED or ("" not in (started, holder.started) and started != holder.started)


class Leases:
    """The leases that one engine holds in one store."""

    def __init__(self, store: Store, clock: Clock, seconds: float) -> None:
        self._store, self._clock, self._seconds = store, clock, seconds
        self._leases: dict[str, Lease] = {}  # by token; read by the thread that renews
        self._ended: threading.Event | None = None

    @asynccontextmanager
    async def of(self, job_id: str, *, is_new: bool = False) -> AsyncIterator[Lease]:
        """Hold the lease of a job. Raises JobLeased while another process runs it; JobExists where it is to be new."""
        holder = this_process()
        _held.add(holder.token)
        try:
            try:
                with anyio.CancelScope(shield=True):  # a lease that was taken must be given back
                    lease = self._leases[holder.token] = await self._take(job_id, holder)
            except JobLeased as error:
                if is_new:
                    raise JobExists(job_id, repr(self._store)) from error
                raise
            self._renewing()
            yield lease
        finally:
            _held.discard(holder.token)
            await self._give_back(holder.token)

    async def _take(self, job_id: str, holder: Holder) -> Lease:
        now = self._clock.now()
        # In memory nothing renews it, and nothing has to: whoever else comes is of this process, and sees what is held.
        expires = now + self._seconds if self._store.durable else _NEVER
        try:
            return await self._store.take(job_id, holder, now, expires)
        except JobLeased as refusal:
            if not is_gone(refusal.holder):
                raise
            return await self._store.take(job_id, holder, now, expires, over=refusal.holder.token)

    async def _give_back(self, token: str) -> None:
        lease = self._leases.pop(token, None)
        if not self._leases and self._ended is not None:
            self._ended.set()
            self._ended = None
        if lease is not None:
            with anyio.CancelScope(shield=True), suppress(Exception):  # it expires by itself
                await self._store.release(lease)

    def _renewing(self) -> None:
        if self._store.durable and self._ended is None:
            self._ended = threading.Event()
            threading.Thread(target=self._renew, args=(self._ended,), name="converge leases", daemon=True).start()

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(self._seconds / 3):
            with suppress(Exception):  # the next commit says what is wrong
                self._store.renew(tuple(self._leases.values()), self._clock.now() + self._seconds)


@cache
def _itself(process: int) -> tuple[str, str, int, str]:
    """Return what a process is told by: looked up once, since every job has a lease, and none of it changes."""
    return node(), _place(), process, _started(process)


def _place() -> str:
    """Return what tells this machine, since it was started, from all others, and one container on it from the next."""
    return "/".join((_read("/etc/machine-id"), _read("/proc/sys/kernel/random/boot_id"), _namespace()))


def _machine(place: str) -> str:
    return place.partition("/")[0]


def _boot(place: str) -> str:
    return place.partition("/")[2].partition("/")[0]


def _started(process: int) -> str:
    """Return when a process began, in the system's own count; "" where that cannot be told."""
    fields = _read(f"/proc/{process}/stat").rpartition(")")[2].split()
    if len(fields) < 20:
        return ""
    return _ENDED if fields[0] in "ZX" else fields[19]


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
