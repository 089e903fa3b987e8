"""Signals, and agents that never give way: the one place where a job is stopped from outside its event loop.

The first SIGINT or SIGTERM cancels the job; a second one ends the process at once. An agent that runs in place and
does not return keeps the event loop from hearing of either, and of the job's deadline: a thread looks after that.
Ending the process loses nothing that is committed, and the job can be resumed.
"""

__all__ = ["Interruption"]

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, NoReturn, Self

from converge.cli.exit_codes import ExitCode
from converge.engine import Engine
from converge.job import Job

_GRACE_SECONDS = 1.0  # between two looks: an agent that is met in the same activation twice is not about to return
_WHY = {ExitCode.CANCELLED: "the job was cancelled", ExitCode.BUDGET: "the budget of seconds is spent"}


class Interruption:
    """While it is entered, signals cancel `job`, and an agent that outstays `seconds` in place ends the process."""

    def __init__(self, job: Job, engine: Engine, seconds: float) -> None:
        self._job = job
        self._keeps = engine.store.durable
        self._agents: dict[CodeType | None, list[str]] = {None: []}  # agents made by one factory share their code
        for agent in engine.agents:
            self._agents.setdefault(_code(agent.run), []).append(agent.name)
        self._due = time.monotonic() + seconds
        self._reason = ExitCode.BUDGET
        self._ended = threading.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)}
            threading.Thread(target=self._watch, name="converge watch", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._reason is ExitCode.CANCELLED:
            self._leave(f"left at the second {signal.Signals(number).name}", frame)
        self._due, self._reason = time.monotonic(), ExitCode.CANCELLED
        self._loop.call_soon_threadsafe(self._job.cancel)

    def _watch(self) -> None:
        met: FrameType | None = None
        while not self._ended.wait(_GRACE_SECONDS):
            if time.monotonic() < self._due:
                continue
            before, met = met, self._agent_frame(sys._current_frames().get(threading.main_thread().ident or 0))
            if met is not None and met is before:
                self._leave(_WHY[self._reason], met)

    def _agent_frame(self, frame: FrameType | None) -> FrameType | None:
        while frame is not None and frame.f_code not in self._agents:
            frame = frame.f_back
        return frame

    def _leave(self, why: str, frame: FrameType | None) -> NoReturn:
        """End the process without another word from the event loop."""
        inside = self._agent_frame(frame)
        if inside is not None:
            names = " or ".join(self._agents[inside.f_code])
            why += f", and agent {names} does not return: it runs in place, where nothing can stop it "
            why += "(make it async, or declare it threaded=True)"
        kept = f"; what was committed is kept: resume job {self._job.job_id}" if self._keeps else ""
        end = f"error: {why}{kept}\n"
        if os.isatty(2):
            end = "\x1b[?25h\n" + end  # the live picture has hidden the cursor
        os.write(2, end.encode())  # not print: the main thread may be in the middle of one
        os._exit(self._reason)


def _code(run: Callable[..., Any]) -> CodeType | None:
    """Return the code that a call of an agent's function executes, if Python can tell."""
    function = getattr(run, "func", run)  # a functools.partial
    if not hasattr(function, "__code__"):  # an object that is called
        function = getattr(type(function), "__call__")  # noqa: B004, B009
    code = getattr(function, "__code__", None)
    return code if isinstance(code, CodeType) else None
