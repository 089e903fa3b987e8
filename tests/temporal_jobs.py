"""A job for workers in processes of their own: it climbs, asks the outside at each step, and asks a person at the top.

What is asked is counted in the file CONVERGE_TEST_CALLS names. Where a question is the one in CONVERGE_TEST_AT, the
process sends itself CONVERGE_TEST_SIGNAL in the middle of the call.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from converge import Assertion, Engine, Fact, View, agent, human

TOP = 6
SECONDS = float(os.environ.get("CONVERGE_TEST_LEASE", "0.5"))  # of a lease


class Rung(Fact):
    ladder: str
    number: int
    said: str = ""


class Flag(Fact):
    ladder: str


def ask(ladder: str, number: int) -> str:
    """Stand for an outside call, in the middle of which a process may be stopped, or end."""
    question = f"{ladder} {number}"
    if path := os.environ.get("CONVERGE_TEST_CALLS"):
        with open(path, "a") as calls:  # noqa: PTH123  # one write that is appended whole, whoever else writes
            calls.write(f"{question}\n")
    if os.environ.get("CONVERGE_TEST_AT") == question:
        os.kill(os.getpid(), getattr(signal, os.environ["CONVERGE_TEST_SIGNAL"]))
    return f"{question}, says the world"


def calls(path: Path) -> Counter[str]:
    """Return how often each question was asked."""
    return Counter(path.read_text().splitlines())


@agent(reads=Rung, writes=Rung)
async def climb(view: View):
    """Climb to the top."""
    for rung in view.new(Rung):
        if rung.number < TOP:
            said = await view.capture("ask", ask, rung.ladder, rung.number + 1)
            yield Rung(rung.ladder, rung.number + 1, said).because(rung)


@agent(reads=Rung, writes=Flag, gate=human("warden"))
def plant(view: View) -> Iterator[Assertion]:
    """Ask whether a flag may be planted at the top of the second ladder."""
    for rung in view.new(Rung):
        if rung.number == TOP and rung.ladder == "steep":
            yield Flag(rung.ladder).because(rung)


engine = Engine([climb, plant], lease_seconds=SECONDS)
FACTS = [Rung("flat", 0), Rung("long", 0)]
STEEP = [Rung("steep", 0)]
