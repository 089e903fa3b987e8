"""What `Engine(redact=...)` takes out of a text reaches no file, no trace and no event."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from converge import Engine, Outcome, RootIntent, View, agent
from converge.errors import EngineInvalid
from converge.trace import Captured, TextArrived
from converge_stores import SQLiteStore
from tests.proposing import Note, Signal

CANARY = "sk-canary-0123456789abcdef"
LATE = Signal("late")


def redact(text: str) -> str:
    return text.replace(CANARY, "[key]")


class Careless:
    """An agent that says the key in every way but by stating a fact: what is stated is knowledge."""

    @staticmethod
    def answer() -> Any:
        return {"text": f"the key is {CANARY}", CANARY: [CANARY, {"deep": CANARY}], "usage": 3}

    def agents(self) -> list[Any]:
        @agent(reads=Signal, writes=Note)
        async def ask(view: View):
            view.hear(CANARY[:10])
            view.hear(CANARY[10:])
            said = await view.capture("ask", self.answer, describe=lambda data: {"said": data["text"]})
            return Note(said["text"])

        @agent(reads=Signal, required=False)
        def stumble(view: View):
            raise RuntimeError(f"401 for Bearer {CANARY}")

        return [ask, stumble]


async def ran(path: Path, agents: Iterable[Any], **options: Any) -> tuple[Outcome, list[Any]]:
    """Run a job in a file and return what came of it, and every event that somebody heard."""
    engine = Engine(agents, store=SQLiteStore(path), **options)
    async with engine.start(RootIntent("look after the keys"), LATE, job_id="one") as job:
        heard = [event async for event in job.events()]
        return await job.outcome(), heard


def files(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.asyncio
async def test_a_key_in_an_answer_or_an_error_is_in_no_file_no_trace_and_no_event(tmp_path: Path):
    outcome, heard = await ran(tmp_path / "jobs.db", Careless().agents(), redact=redact)
    assert CANARY not in repr([*outcome.trace]) + repr(heard) + repr(outcome.stop) + repr(outcome.context.facts())
    assert CANARY.encode() not in files(tmp_path / "jobs.db")
    assert outcome.context.live(Note) == (Note("the key is [key]"),)


@pytest.mark.asyncio
async def test_a_key_in_a_warning_is_in_no_file_no_trace_and_no_event(tmp_path: Path):
    """A letter that no job can take is named with the reason, which may quote it."""
    store = SQLiteStore(tmp_path / "jobs.db")
    engine = Engine(Careless().agents(), store=store, redact=redact)
    async with engine:
        await engine.run("look after the keys", LATE, job_id="one")
        before = files(tmp_path / "jobs.db").count(CANARY.encode())
        await store.give("one", 0.0, f'{{"facts":[["Signal:{"0" * 32}",{{"{CANARY}":1}}]]}}')
        async with engine.reopen("one") as job:
            heard = [event async for event in job.events()]
            outcome = await job.outcome()
    warning = [text for text in outcome.warnings if "letter 1 is left out" in text]
    assert (len(warning), "[key]" in warning[0], before) == (1, True, 0)
    assert CANARY not in repr([*outcome.trace]) + repr(heard)


@pytest.mark.asyncio
async def test_what_a_model_is_saying_is_not_passed_on_where_there_is_something_to_take_out(tmp_path: Path):
    """It comes in pieces, and no piece shows what the next one makes of it; without `redact` it is."""
    for options, pieces in (({"redact": redact}, []), ({}, [CANARY[:10], CANARY[10:]])):
        _, heard = await ran(tmp_path / f"{len(options)}.db", Careless().agents(), **options)
        assert [event.text for event in heard if isinstance(event, TextArrived)] == pieces


@pytest.mark.asyncio
async def test_what_happens_is_found_again_whatever_is_taken_out(tmp_path: Path):
    """Ids and digests are no texts: a resume that did not know them would tell of captures twice."""
    engine = Engine(
        Careless().agents()[:1],
        store=SQLiteStore(tmp_path / "jobs.db"),
        redact=lambda text: re.sub("[0-9a-f]{32}|frontier|ask", "[key]", text),
    )
    await engine.run("look after the keys", LATE, job_id="one")
    outcome = await engine.resume("one", Signal("later"))
    captured = [event for event in outcome.trace if isinstance(event, Captured)]
    assert len({event.arguments for event in captured}) == len(captured) == 2
    assert {event.agent for event in captured} == {"ask"}


@pytest.mark.asyncio
async def test_a_job_whose_stop_is_told_otherwise_is_not_stopped_anew_by_each_resume(tmp_path: Path):
    """To go on with nothing to do adds nothing."""
    store, without = SQLiteStore(tmp_path / "jobs.db"), lambda text: text.replace("fixed", "[word]")
    engine = Engine(Careless().agents()[:1], store=store, redact=without)
    first = await engine.run("look after the keys", LATE, job_id="one")
    assert (await engine.resume("one")).cycles == first.cycles


def test_what_cannot_be_called_takes_nothing_out():
    with pytest.raises(EngineInvalid, match=r"Engine\(redact=...\) takes a function of a text, not 'keys'"):
        Engine([], redact="keys")  # type: ignore[arg-type]
