"""Digests depend on neither the seed of Python's hashes nor its version: the same script, run in other processes."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OTHERS = [name for name in os.environ.get("CONVERGE_OTHER_PYTHONS", "").split(":") if name]

SCRIPT = """
from datetime import datetime, timedelta, timezone
from typing import Any

from converge import Engine, Fact, Live, agent, id_of, run


class Signal(Fact):
    text: str
    tags: frozenset[str]
    more: dict[str, Any]
    at: datetime


class Risk(Fact, key=("name",), policy="many"):
    name: str
    words: set[str]


class Rank(Fact):
    names: tuple[str, ...]


class Note(Fact):
    text: str


class Total(Fact):
    text: str


@agent(reads=Signal, writes=Risk)
def assess(view):
    for signal in view.new(Signal):
        for tag in signal.tags:
            yield Risk(tag, {*signal.tags, *signal.more}).because(signal)


@agent(reads=Risk, writes=Note)
def note(view):
    return {Note(risk.name) for risk in view.new(Risk)}


@agent(reads=[Live(Risk), Note], writes=Total)
def count(view):
    return Total(str(view.count(Risk)))


@agent(reads=[Risk, Note, Total], writes=Rank, when="settled")
def rank(view):
    texts = (note.text for kind in (Note, Total) for note in view.live(kind))
    return Rank((*(risk.name for risk in view.live(Risk)), *texts))


@agent(reads=[Note, Signal], invalidates=Signal)
def doubt(view):
    for signal in view.all(Signal):
        for text in view.all(Note):
            if text.text in signal.text:
                yield signal.invalidate(f"{text.text} was noted").because(text)


words = ["late", "dear", "new", "far", "big", "odd"]
start = datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(hours=2)))
facts = [
    Signal(
        f"{word} e\\u0301 2", frozenset(words[n:]),
        {"set": set(words[: n + 1]), "at": start, word: [1.5, -0.0, None]}, start + timedelta(hours=n),
    )
    for n, word in enumerate(words)
]
engine = Engine([assess, note, count, rank, doubt], schedule="lockstep")  # whose trace has one order
outcome = run(engine, "find the risks", facts)
print(outcome.digest, outcome.live_digest, outcome.proof_digest)
print(*(id_of(fact) for fact in outcome.context.facts()))
print(outcome.stop, outcome.spend.rounds, outcome.spend.facts, outcome.spend.activations)
print(*(f"{type(event).__name__} {getattr(event, 'agent', '')}" for event in outcome.trace))
"""


@cache
def printed(python: str, seed: str) -> str:
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "agents", ROOT / "stores")))
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths}
    done = subprocess.run([python, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(done.stdout.split()[0])
    return done.stdout


@pytest.mark.parametrize("seed", ["1", "2", "4294967295"])
def test_the_seed_of_hashes_shows_in_nothing(seed: str):
    """Digests, the order of facts in views, spend and trace are those of seed 0."""
    assert printed(sys.executable, seed) == printed(sys.executable, "0")


@pytest.mark.skipif(not OTHERS, reason="CONVERGE_OTHER_PYTHONS names no interpreters: set it to paths joined by ':'")
@pytest.mark.parametrize("python", OTHERS)
@pytest.mark.parametrize("seed", ["0", "1"])
def test_the_version_of_python_shows_in_nothing(python: str, seed: str):
    """Another interpreter, with the packages installed, prints what this one prints."""
    assert printed(python, seed) == printed(sys.executable, "0")


def test_the_script_finds_something_to_compare():
    """A job that ended early, or without dead facts, would prove little."""
    digests, ids, stop, trace = printed(sys.executable, "0").splitlines()
    digest, live, proof = digests.split()
    assert len({digest, live, proof}) == 3
    assert len(ids.split()) > 20
    assert stop.startswith("fixed point")
    assert {"assess", "note", "count", "rank", "doubt"} <= set(trace.split())
