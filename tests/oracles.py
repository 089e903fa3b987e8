"""Independent references, which are no part of this project: where they lie and how a test gets one.

They are looked for in the folder that CONVERGE_ORACLES names, else in `../shared/oracles` beside the project.
"""

__all__ = ["reference"]

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(os.environ.get("CONVERGE_ORACLES") or Path(__file__).parents[2] / "shared" / "oracles")


def reference(name: str) -> ModuleType:
    """Return the reference of this name; skip the test where it is absent."""
    path = FOLDER / f"{name}.py"
    if not path.is_file():
        pytest.skip(f"{path} is not there: set CONVERGE_ORACLES to the folder that holds {path.name}")
    spec = importlib.util.spec_from_file_location(f"reference_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
