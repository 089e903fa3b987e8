"""What is written down of an error that an agent raised: its text, and where in the agent's own file it came from."""

__all__ = ["described", "legible", "text_of"]

from posixpath import basename
from traceback import walk_tb

from pydantic import ValidationError

from converge.agent import Agent
from converge.errors import FactInvalid
from converge.kind import problems_of

_TEXT_LIMIT = 4_000  # characters


def described(error: BaseException, agent: Agent) -> str:
    """Return an error's text and place, as something that can be kept, whatever a foreign library put into it."""
    return text_of(error) + _place(error, agent)


def text_of(error: BaseException) -> str:
    """Return an error's text as something that can be kept, whatever a foreign library put into it."""
    said = FactInvalid(error.title, problems_of(error)) if isinstance(error, ValidationError) else error
    try:
        text = str(said)
    except Exception:
        text = "an error whose text cannot be had"
    return legible(text)


def legible(text: str) -> str:
    """Return a text that UTF-8 can write, and not more of it than is worth keeping."""
    return text.encode("utf-8", "backslashreplace").decode()[:_TEXT_LIMIT]


def _place(error: BaseException, agent: Agent) -> str:
    """Return where in the agent's own file an error came from, if it came from there."""
    file = getattr(getattr(agent.run, "__code__", None), "co_filename", None)
    frames = [frame for frame in walk_tb(error.__traceback__) if frame[0].f_code.co_filename == file]
    if not frames:
        return ""
    frame, line = frames[-1]
    return f" ({basename(str(file))}, line {line}, in {frame.f_code.co_name})"
