"""A view that notes what it is asked, and what it refused to answer."""

__all__ = ["Call", "Watched"]

from typing import Any, NamedTuple

from converge.errors import AuthorError
from converge.fact import Fact, id_of, kind_of
from converge.view import View


class Call(NamedTuple):
    """One call of a view: its name, the kind and the key it is about, and what it answered.

    `answer` is equal for equal answers and `facts` says how many facts it held; `refused` is the error where there was
    no answer.
    """

    name: str
    kind: str
    key: str
    answer: int = 0
    facts: int = 0
    refused: AuthorError | None = None

    def __str__(self) -> str:
        return f"view.{self.name}({self.kind}{self.key and ', ' + self.key})"

    @property
    def question(self) -> tuple[str, str, str]:
        """What was asked."""
        return self.name, self.kind, self.key


class Watched(View):
    """A view that notes each call made of it, and of the views that are made fresh from it."""

    __slots__ = ("_depth", "calls")

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.calls: list[Call] = []
        self._depth = 0

    def fresh(self) -> "Watched":
        """Return the same view with nothing asked yet; what it is asked is noted with what this one was."""
        other = super().fresh()
        assert isinstance(other, Watched)
        other.calls = self.calls
        return other

    def _watch(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Make a call; calls that a call makes in turn are its own affair."""
        self._depth += 1
        try:
            answer = getattr(View, name)(self, *arguments, **options)
        except AuthorError as error:
            if self._depth == 1:
                self.calls.append(Call(name, *_asked(arguments, options), refused=error))
            raise
        finally:
            self._depth -= 1
        if not self._depth:
            told = _told(answer)
            facts = len(told) if isinstance(answer, (tuple, Fact)) else 0
            self.calls.append(Call(name, *_asked(arguments, options), hash(told), facts))
        return answer


_CALLS = (
    *("new", "all", "get", "current", "conflicts"),
    *("live", "dead", "disputed", "lost", "revived", "absent", "count", "best", "is_live"),
    *("live_digest", "proof_digest", "depending_on", "why"),
)


def _watched(name: str) -> Any:
    def call(self: Watched, *arguments: Any, **options: Any) -> Any:
        return self._watch(name, arguments, options)

    return call


for _name in _CALLS:
    setattr(Watched, _name, _watched(_name))


def _asked(arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[str, str]:
    """Return the label of the kind a call is about, and the key if one was named."""
    given = [*arguments, *options.values()]
    first = given[0] if given else None
    is_kind = isinstance(first, Fact) or (isinstance(first, type) and issubclass(first, Fact))
    key = next((f"{value!r:.60}" for value in given[1:] if not callable(value)), "")
    return (kind_of(first).label if is_kind else ""), key  # type: ignore[arg-type]


def _told(answer: object) -> tuple[str, ...]:
    """Return what a call answered as lines that can be compared."""
    if isinstance(answer, Fact):
        return (id_of(answer),)
    if isinstance(answer, tuple):
        return tuple(line for item in answer for line in _told(item))
    return (str(answer),)
