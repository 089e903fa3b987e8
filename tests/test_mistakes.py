"""What people get wrong on the first day, and the sentence they get back: what is wrong, where, and the remedy."""

# mypy: ignore-errors
# The point of this file is what a type checker would have refused.

import re

import pytest

from converge import Engine, Fact, Retry, RootIntent, View, agent, invariant, kind_of, run
from converge.errors import ConvergeError
from converge_stores import MemoryStore


class Signal(Fact):
    text: str


class Risk(Fact, key=("name",)):
    name: str
    severity: int = 0


@agent(reads=Signal, writes=Risk)
def assess(view: View):
    return [Risk(signal.text).because(signal) for signal in view.new(Signal)]


async def stream():
    yield Signal("late")


class Assess:
    reads = Signal
    writes = Risk

    def run(self, view):
        return None


MISTAKES = {
    "an agent alone": (lambda: Engine(assess), "Engine([...])"),
    "no parentheses": (lambda: agent(lambda view: None), "@agent(reads=..., writes=...)"),
    "no view": (lambda: agent(reads=Signal)(lambda: None), "one argument, the view"),
    "a class": (lambda: Engine([Assess]), "pass an object of it, as in Assess()"),
    "a bare function": (lambda: Engine([lambda view: None]), "decorate the function with @agent"),
    "a kind by name": (lambda: agent(reads="Signal")(print), "reads takes subclasses of Fact, not 'Signal'"),
    "a kind that is an instance": (lambda: agent(writes=Signal("x"))(print), "writes takes subclasses of Fact"),
    "a timeout in text": (lambda: agent(timeout="5")(lambda view: None), "timeout='5' is not a number of seconds"),
    "a retry of 2.5": (lambda: agent(retry=2.5)(lambda view: None), "retry=2.5 is neither"),
    "no attempt": (lambda: agent(retry=Retry(0))(lambda view: None), "at least 1"),
    "a name that is a number": (lambda: agent(name=7)(lambda view: None), "must be a text"),
    "an async accepts": (lambda: agent(accepts=stream.__call__)(lambda: None), "one argument"),
    "two of one name": (lambda: Engine([assess, assess]), "two agents are named 'assess'"),
    "a path for a store": (lambda: Engine([assess], store="jobs.db"), "SQLiteStore('jobs.db')"),
    "the class of a store": (lambda: Engine([assess], store=MemoryStore), "takes a store"),
    "an intent in a dict": (lambda: run([assess], {"objective": "x"}), "takes a RootIntent"),
    "text for facts": (lambda: run([assess], "x", "late"), "facts= takes facts"),
    "a stream for facts": (lambda: run([assess], "x", stream()), "facts= takes facts"),
    "a dict for a fact": (lambda: run([assess], "x", [{"text": "late"}]), "facts= takes facts"),
    "a rule nobody gave": (lambda: run([assess], RootIntent("x", success=("good",))), "Engine(invariants=[...])"),
    "a kind nobody declares": (lambda: run([assess], "x", [Odd(1)]), "Engine(inputs=[...])"),
    "an input nobody declared": (lambda: Engine([assess], inputs=[]), "add it to Engine(inputs=[...])"),
}


class Odd(Fact):
    n: int


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_with_its_remedy(mistake):
    """One sentence of the library's own, and never an error of something behind it."""
    make, said = MISTAKES[mistake]
    with pytest.raises(ConvergeError, match=re.escape(said)):
        make()


@pytest.mark.asyncio
async def test_a_job_is_used_within_its_block():
    """Asking a job that was not entered, or entering one twice, says how it is done."""
    job = Engine([assess]).start("x")
    with pytest.raises(ConvergeError, match=r"async with engine\.start"):
        await job.outcome()
    async with job:
        await job.outcome()
    with pytest.raises(ConvergeError, match="start another one"):
        async with job:
            pass


def test_one_fact_needs_no_list():
    """What is meant by it cannot be mistaken."""
    assert run([assess], "x", Signal("late")).context.live(Risk) == (Risk("late"),)


def test_a_function_is_an_invariant_when_it_is_given_as_one():
    """So is the invariant itself where its name is asked for."""

    @invariant
    def named(view: View) -> bool:
        return True

    def plain(view: View) -> str:
        return "never"

    intent = RootIntent("x", success=(named, "plain"))
    outcome = run(Engine([assess], invariants=[named, plain]), intent)
    assert intent.success == ("named", "plain")
    assert outcome.stop.detail == ("plain: never",)


def test_a_key_may_be_given_as_the_class_spells_it():
    """`key=("name",)` and a key in another Unicode form find the fact; a view never misses it in silence."""
    context = run([assess], "x", Signal("caf\u00e9")).context
    assert context.get(Risk, "caf\u00e9") == context.get(Risk, ("caf\u00e9",)) == context.get(Risk, "cafe\u0301")
    assert context.get(Risk, "caf\u00e9") is not None


def test_the_kind_of_something_else_is_refused():
    """A name is not a class."""
    with pytest.raises(TypeError, match="a subclass of Fact is needed"):
        kind_of("Signal")


def test_an_agents_own_bug_is_named_with_its_place():
    """The file and line are in the stop, and the error itself is in the outcome."""

    @agent(reads=Signal)
    def broken(view: View):
        return {}["no such key"]

    outcome = run([broken], "x", Signal("late"))
    assert "KeyError: 'no such key' (test_mistakes.py, line" in str(outcome.stop)
    with pytest.raises(KeyError):
        raise outcome.errors["broken"]
