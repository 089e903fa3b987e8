"""Every Python block of the README runs as pasted, and prints what the README says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
PRINTED = re.findall(r"```python\n((?:(?!```).)*?)```\n\n```text\n(.*?)```", TEXT, flags=re.DOTALL)


def _run(block: str, folder: Path) -> str:
    path = os.pathsep.join(str(ROOT / part) for part in (".", "agents", "stores"))
    script = folder / "pasted.py"
    script.write_text(block, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, script.name], cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_of_the_readme_runs_as_pasted(number, tmp_path):
    """Nothing to add, nothing to install but the project."""
    _run(BLOCKS[number], tmp_path)


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_a_program_prints_what_the_readme_shows(number, tmp_path):
    """The text block under it is its output, letter for letter."""
    block, printed = PRINTED[number]
    assert _run(block, tmp_path) == printed
