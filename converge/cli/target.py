"""The target of a command: `package.module:engine`, found in the current folder or among installed packages."""

__all__ = ["Target", "load_target"]

import sys
import traceback
from contextlib import redirect_stdout
from difflib import get_close_matches
from importlib import import_module
from inspect import isfunction
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from converge.engine import Engine
from converge.errors import ConvergeError, TargetInvalid
from converge.intent import RootIntent


class Target(NamedTuple):
    """An engine, and the root intent that stands beside it in its module, if one does."""

    name: str
    engine: Engine
    intent: RootIntent | None


def load_target(name: str) -> Target:
    """Import the module and return what it holds. Raises TargetInvalid, whatever the module raises."""
    module_name, colon, attribute = name.partition(":")
    if not (colon and module_name and attribute) or _is_path(module_name):
        raise TargetInvalid(name, f"write it as package.module:name, for example {_example(module_name, attribute)}")
    module = _imported(name, module_name)
    found = getattr(module, attribute, _MISSING)
    if found is _MISSING:
        raise TargetInvalid(name, f"module {module_name} has no {attribute!r}{_perhaps(module, attribute)}")
    if not isinstance(found, Engine):
        what = "a function" if isfunction(found) else f"of type {type(found).__name__}"
        raise TargetInvalid(name, f"{attribute} is {what}, not an Engine: name one, as in engine = Engine([...])")
    intent = getattr(module, "intent", None)
    return Target(name, found, RootIntent(intent) if isinstance(intent, str) else _if_intent(intent))


_MISSING = object()


def _imported(target: str, module_name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with redirect_stdout(sys.stderr):  # stdout is for data, whatever a module prints
            return import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise TargetInvalid(target, _not_found(module_name, error.name)) from error
        raise TargetInvalid(target, _raised(module_name, error)) from error
    except (Exception, SystemExit) as error:
        raise TargetInvalid(target, _raised(module_name, error)) from error


def _not_found(module_name: str, missing: str) -> str:
    near = get_close_matches(missing, sorted(path.stem for path in Path.cwd().glob("*.py")), n=1)
    hint = f"did you mean {near[0]}?" if near else "run this from the folder that holds it, or install it"
    return f"there is no module {missing}: {hint}"


def _raised(module_name: str, error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"importing {module_name} ended the program: put what it runs under if __name__ == '__main__'"
    said = str(error) if isinstance(error, ConvergeError) else f"{type(error).__name__}: {error}"
    return f"importing {module_name} failed: {said}{_where(error)}"


def _where(error: BaseException) -> str:
    """Name the line of the user's that raised: the last one that is neither the importer's nor Converge's."""
    if isinstance(error, SyntaxError):
        return ""  # its text says where
    places = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_theirs(frame.filename)]
    return f" ({Path(places[-1].filename).name}, line {places[-1].lineno})" if places else ""


def _is_theirs(filename: str) -> bool:
    return not filename.startswith("<") and not Path(filename).is_relative_to(_HOUSE)


_HOUSE = Path(__file__).parent.parent


def _is_path(module_name: str) -> bool:
    return module_name.startswith(".") or module_name.endswith(".py") or "/" in module_name or "\\" in module_name


def _example(module_name: str, attribute: str) -> str:
    module = module_name.removesuffix(".py").replace("\\", "/").strip("./").replace("/", ".")
    return f"{module or 'package.module'}:{attribute or 'engine'}"


def _perhaps(module: ModuleType, attribute: str) -> str:
    engines = [name for name, value in vars(module).items() if isinstance(value, Engine)]
    near = get_close_matches(attribute, engines, n=1, cutoff=0.4) or engines[:1]
    return f" (did you mean {near[0]}?)" if near else ": it holds no Engine, as in engine = Engine([...])"


def _if_intent(value: object) -> RootIntent | None:
    return value if isinstance(value, RootIntent) else None
