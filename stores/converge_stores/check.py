"""A check: one thing that was looked at to say whether a place can be trusted with jobs."""

__all__ = ["Check", "State"]

from typing import Literal, NamedTuple

State = Literal["ok", "note", "warning", "failed"]


class Check(NamedTuple):
    """What was looked at, how it stands, and in one line what was found, with the remedy where it is not ok."""

    name: str
    state: State
    text: str
