"""Who may start when: so many per minute, and nobody rushes after a pause. Plain bookkeeping on times passed in."""

__all__ = ["MOMENT", "Pause", "Window"]

from collections import deque
from collections.abc import Callable

MOMENT = 1e-6  # less than this is no wait: it may be lost when it is added to a clock
_MINUTE = 60.0


class Window:
    """A promise: in no minute more than `limit` is taken. What is taken is reserved, and may be less in the end."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._taken: deque[list[float]] = deque()  # [when, how much]
        self._sum = 0.0

    def wait(self, now: float, amount: float) -> float:
        """Return in how many seconds so much may be taken. More than the limit counts as the limit."""
        if self._limit is None:
            return 0.0
        self._forget(now)
        over = self._sum + min(amount, self._limit) - self._limit
        wait = 0.0
        for when, taken in self._taken:
            if over <= 0:
                break
            over -= taken
            wait = when + _MINUTE - now
        return wait

    def take(self, now: float, amount: float) -> Callable[[float], None]:
        """Take, and return what tells how much it came to."""
        if self._limit is None:
            return lambda spent: None
        taken = [now, amount]
        self._taken.append(taken)
        self._sum += amount
        return lambda spent: self._settle(taken, spent)

    def _settle(self, taken: list[float], spent: float) -> None:
        if self._taken and taken[0] >= self._taken[0][0]:  # else it is forgotten already
            self._sum += spent - taken[1]
            taken[1] = spent

    def _forget(self, now: float) -> None:
        while self._taken and self._taken[0][0] + _MINUTE <= now + MOMENT:
            self._sum -= self._taken.popleft()[1]


class Pause:
    """Everybody waits, and then nobody rushes: after a pause, starts are spread over as long as it lasted."""

    def __init__(self, wide: int, random: Callable[[], float], longest: float = 30.0) -> None:
        self._wide, self._random, self._longest = wide, random, longest
        self._over = self._calm = self._next = self._gap = 0.0

    def begin(self, now: float, seconds: float) -> None:
        """Let nobody start for so long; a longer pause that holds already stays."""
        if now + seconds > self._over:
            self._over = now + seconds
            self.spread(now + seconds, seconds)

    def spread(self, start: float, seconds: float) -> None:
        """From `start` on, for so long, let them start one by one: as many as there are places, evenly, with chance."""
        seconds = min(seconds, self._longest)
        self._calm, self._gap = max(self._calm, start + seconds), seconds / self._wide

    def wait(self, now: float) -> float:
        """Return in how many seconds the next may start."""
        return max(self._over, self._next) - now

    def started(self, now: float) -> None:
        """Note a start."""
        if now < self._calm:
            self._next = now + self._gap * (0.5 + self._random())
