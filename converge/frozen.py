"""Lists, dicts and sets that cannot be changed: what a fact holds is shared by every agent that reads it."""

__all__ = ["frozen"]

from typing import Any, NoReturn


def frozen(value: Any) -> Any:
    """Return a value with every list, dict and set in it made unchangeable; they stay lists, dicts and sets."""
    match value:
        case list():
            return _List(map(frozen, value))
        case dict():
            return _Dict((key, frozen(item)) for key, item in value.items())
        case set():
            return _Set(value)
        case tuple() if type(value) is tuple:
            return tuple(map(frozen, value))
        case _:
            return value


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError("a fact cannot be changed, nor what it holds: make a copy, as in list(...), and emit a new fact")


class _List(list[Any]):
    append = extend = insert = pop = remove = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def __reduce__(self) -> Any:
        return list, (list(self),)


class _Dict(dict[Any, Any]):
    update = setdefault = pop = popitem = clear = _refuse
    __setitem__ = __delitem__ = __ior__ = _refuse

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


class _Set(set[Any]):
    add = update = remove = discard = pop = clear = _refuse
    difference_update = intersection_update = symmetric_difference_update = _refuse
    __iand__ = __ior__ = __isub__ = __ixor__ = _refuse

    def __reduce__(self) -> Any:
        return set, (set(self),)
