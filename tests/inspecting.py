"""Jobs to look at, and the inspector of their store, for the tests of its pages."""

__all__ = ["LONG", "SCRIPT", "Alarm", "Call", "Signal", "Step", "alarms", "client", "counting", "decided", "form_of"]

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from html import unescape
from typing import Any

import httpx2

from converge import Engine, Fact, View, agent, human
from converge.inspector import inspector
from converge.ports import Store

SCRIPT = "<script>document.title = 'harmed'</script><img src=x onerror=\"document.title='harmed'\">"
LONG = "word & <b>bold</b> " * 5_000  # about 100 kB


class Signal(Fact):
    text: str


class Alarm(Fact, key="text"):
    text: str
    grade: int


class Call(Fact):
    text: str


class Step(Fact):
    n: int


@agent(reads=Signal, writes=Alarm, gate=[lambda alarm: alarm.grade < 100 or "too long to be one", human("officer")])
def listen(view: View) -> Iterator[Any]:
    for signal in view.new(Signal):
        yield Alarm(signal.text, min(len(signal.text), 100)).propose(confidence=0.7).because(signal)


@agent(reads=Alarm, writes=Call)
def call_out(view: View) -> Iterator[Any]:
    for alarm in view.new(Alarm):
        yield Call(f"look after {alarm.text}").because(alarm)


@agent(reads=Step, writes=Step)
def count(view: View) -> Iterator[Any]:
    for step in view.new(Step):
        if step.n < 5:
            yield Step(step.n + 1).because(step)


def alarms(store: Store) -> Engine:
    """Return an engine whose jobs ask the officer about each short signal."""
    return Engine([listen, call_out], store=store)


def counting(store: Store) -> Engine:
    """Return an engine whose jobs count to five, one a round."""
    return Engine([count], store=store)


@asynccontextmanager
async def client(store: Store, host: str = "localhost", **options: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve an inspector and ask it, as a browser on this machine does."""
    caller = options.pop("caller", ("127.0.0.1", 1))
    app = inspector(store, every=0, **options)
    transport = httpx2.ASGITransport(app, client=caller)
    async with httpx2.AsyncClient(transport=transport, base_url=f"http://{host}") as asking:
        yield asking


def form_of(page: str) -> dict[str, str]:
    """Return the hidden fields of the first form that decides."""
    form = re.search(r'<form [^>]*class="request".*?</form>', page, re.DOTALL)
    assert form is not None, "there is no form to decide with"
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form[0])
    return {name: unescape(value) for name, value in found}


def decided(page: str, choice: str, by: str = "ada", **more: str) -> dict[str, str]:
    """Return what a browser sends when somebody decides."""
    return {**form_of(page), "choice": choice, "by": by, "reason": "seen", **more}
