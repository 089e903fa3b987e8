"""Programs that are run in a network of their own, where it can be cut; without root on Linux they are skipped."""

__all__ = ["run_apart"]

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parent
_SKIPPED = "networks of one's own cannot be made here: be root on Linux, with iproute2"


def run_apart(program: str, *arguments: str) -> str:
    """Run a program of this folder in a network of its own, and return what it prints."""
    tried = subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True) if shutil.which("ip") else None
    if tried is None or tried.returncode:
        pytest.skip(_SKIPPED)
    command = ["unshare", "-n", sys.executable, str(_FOLDER / program), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
