"""What every agent of every peer makes: one validated value, a frozen and slotted pydantic dataclass like a fact."""

__all__ = ["Echo", "Timer"]

from time import perf_counter

from pydantic.dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Echo:
    listener: int
    n: int


class Timer:
    """`with Timer() as timer`, then `timer.seconds`."""

    def __enter__(self) -> "Timer":
        self._started = perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = perf_counter() - self._started
