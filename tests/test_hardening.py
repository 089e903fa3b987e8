"""What other people's code does to a job: threads, late functions, errors that cannot be printed, shared lists."""

import threading
from contextvars import ContextVar

import anyio
import anyio.lowlevel
import pytest

from converge import Engine, Fact, Failure, StopReason, View, agent, run
from converge.errors import EngineElsewhere
from converge.testing import VirtualClock
from converge_stores import SQLiteStore


class Signal(Fact):
    text: str


class Tags(Fact):
    words: list[str]
    marks: dict[str, list[int]]


class Third(Fact):
    by: str
    value: str


def test_what_a_fact_holds_cannot_be_changed_by_who_reads_it():
    """An append in one agent would be seen by the next, and the fact would no longer be what its id says."""

    @agent(reads=Tags)
    def greedy(view: View):
        view.all(Tags)[0].words.append("mine")

    outcome = run([greedy], "read", [Tags(words=["a"], marks={"b": [1]})])
    assert outcome.stop.reason is StopReason.AGENT_FAILED
    assert "a fact cannot be changed" in str(outcome.stop)
    (tags,) = outcome.context.all(Tags)
    assert (tags.words, tags.marks) == (["a"], {"b": [1]})
    with pytest.raises(TypeError):
        tags.marks["b"].append(2)


unit = ContextVar("unit", default="none")


def test_what_one_agent_sets_is_not_seen_by_another_on_the_same_worker():
    """Facts must not depend on who ran where."""

    def telling(name: str, sets: str | None):
        @agent(name=name, reads=Signal, writes=Third)
        async def tell(view: View):
            if sets:
                unit.set(sets)
            await anyio.lowlevel.checkpoint()
            yield Third(by=name, value=unit.get())

        return tell

    outcome = run([telling("a", "km"), telling("b", None), telling("c", "mile")], "tell", [Signal("x")])
    told = {third.by: third.value for third in outcome.context.live(Third)}
    assert told == {"a": "km", "b": "none", "c": "mile"}
    assert unit.get() == "none"


def test_an_error_without_a_text_ends_its_own_activation_only():
    """Not even its `__str__` can end the job."""

    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    @agent(reads=Signal, required=False)
    def broken(view: View):
        raise Unprintable

    outcome = run([broken], "try", [Signal("x")])
    assert outcome.converged
    assert outcome.missing == ("broken",)
    assert outcome.timing_dependent == ("agents that are optional failed: broken",)


def test_an_agent_that_reads_failures_is_not_woken_by_its_own():
    """It would fail on that one next, and so on until a budget ends it."""

    @agent(reads=[Signal, Failure], required=False)
    def watching(view: View):
        raise ValueError(len(view.all(Failure)))

    assert run([watching], "watch", [Signal("x")]).spend.activations == 1


@pytest.mark.asyncio
async def test_a_plain_function_that_is_late_has_not_kept_its_timeout():
    """Nothing could interrupt it, so it is refused when it returns, with the remedy."""
    async with VirtualClock() as clock:

        @agent(reads=Signal, timeout=1.0)
        def slow(view: View):
            clock._time += 5  # what a function that blocks does to everybody

        outcome = await Engine([slow], clock=clock).run("try", [Signal("x")])
    assert outcome.stop.reason is StopReason.AGENT_FAILED
    assert "declare it threaded=True" in str(outcome.stop)


def test_an_engine_at_work_in_one_thread_is_refused_to_another(tmp_path):
    """And is free again when the work is done; nobody waits for ever."""
    begun, over = threading.Event(), threading.Event()

    @agent(reads=Signal, threaded=True)
    def wait(view: View):
        begun.set()
        over.wait()

    engine = Engine([wait], store=SQLiteStore(tmp_path / "jobs.db"))
    first = threading.Thread(target=lambda: run(engine, "one", Signal("x")))
    first.start()
    begun.wait()
    with pytest.raises(EngineElsewhere, match="one engine for each thread"):
        run(engine, "two", [Signal("x")])
    over.set()
    first.join()
    assert run(engine, "three", Signal("x")).converged
