"""A switch that keeps tests from asking a real model."""

__all__ = ["are_forbidden", "forbid_model_requests"]

from collections.abc import Iterator
from contextlib import contextmanager

_forbidders: list[object] = []  # of the whole process: a request may start in any thread


@contextmanager
def forbid_model_requests() -> Iterator[None]:
    """Let no model but a ScriptedModel be asked, in any task or thread, until the block is left.

    Whoever asks one gets RequestsForbidden. A test suite enters it once, in a fixture of the session.
    """
    forbidder = object()
    _forbidders.append(forbidder)
    try:
        yield
    finally:
        _forbidders.remove(forbidder)


def are_forbidden() -> bool:
    """Whether somebody forbids requests to models."""
    return bool(_forbidders)
