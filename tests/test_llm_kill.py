"""A job killed at any moment of asking goes on and asks nothing that was recorded: the server's journal says so."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.asking import ITEMS
from tests.servers import aimock

ROOT = Path(__file__).parents[1]
NIGHTLY = os.environ.get("CONVERGE_NIGHTLY") == "1"
CONCURRENT = 3  # requests under way at a kill, at most


def fixtures() -> list[dict[str, Any]]:
    grades = [
        {
            "match": {"userMessage": f"item {n}."},
            "response": {"content": json.dumps({"items": [{"item": n, "mark": n}]})},
        }
        for n in range(ITEMS)
    ]
    summed = {"match": {"userMessage": "Sum up"}, "response": {"content": json.dumps({"items": [{"text": "fine"}]})}}
    return [*grades, summed]


def questions(journal: list[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Return, by life, what was asked and how often."""
    found: dict[str, Counter[str]] = {}
    for entry in journal:
        if entry["body"] is None:  # cut off by the kill before it was whole: nobody answered that
            continue
        text = entry["body"]["messages"][-1]["content"]
        name = re.findall(r"whole|life\d+", text)[0]
        question = re.findall(r"item \d|Sum up", text)[0]
        found.setdefault(name, Counter())[question] += 1
    return found


def lives(folder: Path, base_url: str) -> Any:
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "agents", ROOT / "stores")))
    plan = {"folder": str(folder), "base_url": base_url, "every": 1 if NIGHTLY else 5}
    command = [sys.executable, str(ROOT / "tests" / "asking.py"), json.dumps(plan)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_job_killed_at_any_moment_asks_nothing_again_that_was_recorded(tmp_path: Path):
    """Only what was in flight is asked once more; the trace of who lived on is the journal, call for call."""
    (tmp_path / "fixtures").mkdir()
    with aimock(tmp_path / "fixtures", fixtures()) as server:
        report = lives(tmp_path, server.base_url)
        journal = server.journal()
    asked, whole = questions(journal), report["whole"]
    assert whole["stop"].startswith("fixed point")
    assert asked["whole"].total() == whole["requests"] == whole["calls"] == ITEMS + 1
    assert len(report["lives"]) >= whole["moments"] // 5
    for name, life in report["lives"].items():
        again = asked[name].total() - (ITEMS + 1)
        assert life["killed"], name
        assert life["grades"] == whole["grades"], name
        assert life["stop"] == whole["stop"], name
        assert 0 <= again <= CONCURRENT, (name, asked[name])
        assert max(asked[name].values()) <= 2, (name, asked[name])
        # What the trace tells of was answered and recorded, once; what was paid for is at least what was asked.
        assert life["requests"] == ITEMS + 1, name
        assert asked[name].total() <= life["calls"] <= asked[name].total() + CONCURRENT, name
