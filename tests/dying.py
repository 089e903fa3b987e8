"""A small job that dies by `kill -9` at every place where that could matter, and processes that go on with it.

    python tests/dying.py '{"folder": "...", "schedule": "frontier"}'

runs a job once, noting every boundary that it crosses, as label#n: before and after each outside call, each record of
a capture, each effect that is kept, each merge, each call of the store and each statement of SQL. Then one process
dies at each of them and another goes on with what it left; what they came to is printed as JSON. Every process is
forked from this one, which has imported everything and never starts a thread or an event loop.

Time stands still in all of them, so that no lease expires: whoever goes on does so because the holder is known dead.
"""

__all__ = ["AGENTS", "Plan", "go_on"]

import gc
import json
import os
import shutil
import signal
import sqlite3
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial, wraps
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, NamedTuple

import aiosqlite  # noqa: F401 -- what a job imports when it begins, this program imports once for all
import anyio
import anyio._backends._asyncio
import anyio.lowlevel
import anyio.to_thread
import psycopg_pool  # noqa: F401 -- as above

import converge_stores.sqlite.store
from converge import Engine, Fact, Live, Outcome, View, agent
from converge.capture import SAID, Captures
from converge.chain import Row
from converge.clock import SystemClock
from converge.errors import JobUnknown
from converge.machine import Machine
from converge.snapshot import Cycle, Records
from converge.trace import Activated
from converge.writer import Writer
from converge_stores.postgres import PostgresStore
from converge_stores.sqlite import SQLiteStore
from converge_stores.sqlite.connection import Connection
from converge_stores.sqlite.preparing import prepare


class Plan(NamedTuple):
    """What is swept: every `every`th of the boundaries that hold `only`; every `again`th who goes on dies as well."""

    folder: str
    schedule: str = "frontier"
    checkpoints: int | str = 1
    level: str = "process"
    parts: int = 5  # how large the job is
    only: str = ""
    every: int = 1
    again: int = 0
    address: str = ""  # of a database; a file in the folder if there is none
    schema: str = ""  # how those of the database begin, one for each trial
    broken: str = ""  # what is to lose what it was given to keep: "captures" or "effects"


# --- the boundaries of one process ------------------------------------------------------------------------------------


class Life:
    """What one process of a job lives through; it dies at the boundary named `end`, or at the `last`th of all."""

    def __init__(self, diary: Path, end: str = "", last: int = 0) -> None:
        self._end, self._last = end, last
        self._diary = os.open(diary, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._passed: Counter[str] = Counter()
        self.is_over = False
        self._turn = threading.Lock()  # statements run in another thread, leases are renewed in a third
        self.renewed = threading.Event()

    def passes(self, label: str) -> None:
        """Note a boundary, or end here."""
        if self.is_over:
            return
        with self._turn:
            self._passed[label] += 1
            boundary = f"{label}#{self._passed[label]}"
            if boundary == self._end or self._passed.total() == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
            self.notes("passed", boundary)

    def notes(self, word: str, about: str) -> None:
        """Write one line, whole, and out of this process."""
        os.write(self._diary, f"{word} {about}\n".encode())


life: Life  # of this process, once it has begun to live


async def ask(question: str) -> str:
    """Stand for an outside call: the one that is called `question`."""
    life.passes(f"ask {question}")
    await anyio.lowlevel.checkpoint()
    if question == "step 1":  # long enough for the lease to be renewed once
        await anyio.to_thread.run_sync(life.renewed.wait)
    life.notes("answered", question)
    life.passes(f"answered {question}")
    return f"{question}, says the world"


def around(owner: type, name: str, label: Callable[..., str] | str) -> None:
    """Make a boundary before and after each call of a method; a label of "" is none."""
    call = getattr(owner, name)

    def named(*arguments: Any) -> str:
        return label if isinstance(label, str) else label(*arguments)

    @wraps(call)
    async def awaited(*arguments: Any, **options: Any) -> Any:
        if not (about := named(*arguments)):
            return await call(*arguments, **options)
        life.passes(f"before {about}")
        result = await call(*arguments, **options)
        life.passes(f"after {about}")
        return result

    @wraps(call)
    def called(*arguments: Any) -> Any:
        if not (about := named(*arguments)):
            return call(*arguments)
        life.passes(f"before {about}")
        result = call(*arguments)
        life.passes(f"after {about}")
        return result

    instead(owner, **{name: awaited if iscoroutinefunction(call) else called})


def instead(owner: Any, **attributes: Any) -> None:
    """Have something of the library be something else, in this process only."""
    for name, value in attributes.items():
        setattr(owner, name, value)


def surround(store: type, broken: str) -> None:
    """Put a boundary around everything that a kill could come between."""
    if broken == "captures":
        instead(Writer, record=_kept_by_nobody)
    elif broken == "effects":
        instead(Writer, remark=lambda writer, captures: None)
    _note_what_is_kept(store)
    around(Captures, "record", lambda _, question, *rest: f"record {question.name}")
    around(Writer, "remark", lambda _, captures: "remark" if captures else "")
    around(Machine, "_merge", "merge")
    for name in ("open", "close", "take", "release", "create", "append", "load", "letters"):
        around(store, name, name)
    around(store, "renew", lambda *_: "" if life.renewed.is_set() else "renewal")
    _note_renewals(store)
    for owner, name in ((Connection, "read"), (Connection, "write")) if store is SQLiteStore else ((store, "_fetch"),):
        around(owner, name, lambda _, query, *values: "" if "INTO log" in query else f"sql {_first_words(query)}")
    if store is SQLiteStore:
        _trace_preparing()


async def _kept_by_nobody(*_: object) -> None:
    """Do not keep it."""


def _note_what_is_kept(store: Any) -> None:
    """Note which answers the job may rely on: whose record has returned, or whose row is in the store.

    A finished effect is kept by whatever is appended after it was said.
    """
    record, remark, append = Captures.record, Writer.remark, store.append
    said: list[str] = []

    async def recorded(self: Captures, question: Any, value: object, describe: Any = None) -> Any:
        answer = await record(self, question, value, describe)
        life.notes("kept", question.name)
        return answer

    def remarked(self: Writer, captures: Any) -> None:
        said.extend(question.agent for question, *_ in captures)
        remark(self, captures)

    async def appended(self: Any, lease: Any, after: int, rows: Any) -> int:
        kept = [*said, *_found_in(rows)]
        letter: int = await append(self, lease, after, rows)
        for name in kept:
            life.notes("kept", name)
        return letter

    instead(Captures, record=recorded)
    instead(Writer, remark=remarked)
    instead(store, append=appended)


def _found_in(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        if isinstance(row, Records):
            yield from (question.agent if question.name == SAID else question.name for question, *_ in row.captures)
        elif isinstance(row, Cycle):
            events = (row.trace[place] for place in range(row.since[2], row.upto[2]))
            yield from (event.agent for event in events if isinstance(event, Activated))


def _note_renewals(store: Any) -> None:
    renew = store.renew

    @wraps(renew)
    def renewed(*arguments: Any) -> None:
        renew(*arguments)
        life.renewed.set()

    instead(store, renew=renewed)


def _trace_preparing() -> None:
    """Make a boundary of each statement that opens a file.

    Once it is open, leases are renewed on the same connection by another thread, and there is no trace: its callback
    needs the interpreter, for which a thread may wait that has SQLite's own lock.
    """

    def traced(connection: sqlite3.Connection, *rest: Any) -> Any:
        connection.set_trace_callback(lambda statement: life.passes(f"sql {_first_words(statement)}"))
        try:
            return prepare(connection, *rest)
        finally:
            connection.set_trace_callback(None)

    instead(converge_stores.sqlite.store, prepare=traced)


def _first_words(statement: str) -> str:
    return " ".join(statement.split()[:3])


# --- the job ----------------------------------------------------------------------------------------------------------


class Need(Fact):
    name: str
    parts: int


class Part(Fact):
    number: int
    said: str


class Step(Fact):
    number: int
    said: str


class Note(Fact):
    said: str


class Verdict(Fact):
    parts: int
    said: str


@agent(reads=Need, writes=Part)
async def survey(view: View):
    """Ask several times in one activation."""
    for need in view.new(Need):
        for number in range(need.parts):
            said = await view.capture(f"part {number}", ask, f"part {number}")
            yield Part(number, said).because(need)


@agent(reads=Need, writes=Note)
async def look(view: View):
    """Ask without a capture, and be done long before `survey` is."""
    return [Note(await ask("look")).because(need) for need in view.new(Need)]


@agent(reads=[Need, Step], writes=Step)
async def climb(view: View):
    """Ask once a cycle."""
    for below in (*view.new(Need), *view.new(Step)):
        number = below.number + 1 if isinstance(below, Step) else 1
        if number < 4:
            yield Step(number, await view.capture(f"step {number}", ask, f"step {number}")).because(below)


@agent(reads=Part, writes=Note)
async def weigh(view: View):
    """Ask without a capture, a round later."""
    parts = view.new(Part)
    return [Note(await ask("weigh")).because(*parts)] if parts else []


@agent(reads=[Live(Part), Live(Note), Live(Step)], writes=Verdict, when="settled")
async def conclude(view: View):
    """Ask about all that there is, with a call that is known by its view."""
    said = await view.capture("verdict", partial(ask, "verdict"))
    return Verdict(view.count(Part) + view.count(Note) + view.count(Step), said)


AGENTS = (survey, look, climb, weigh, conclude)


class StillClock(SystemClock):
    """Time that does not pass, so that no lease ever expires."""

    def now(self) -> float:
        """Return the same moment always."""
        return 1_700_000_000.0


def store_of(plan: Plan, folder: Path) -> SQLiteStore | PostgresStore:
    """Return the store of one trial, whose folder it is."""
    if plan.address:
        schema = f"{plan.schema}_{folder.name.replace(' ', '_')}"
        return PostgresStore(plan.address, plan.level, schema=schema)  # type: ignore[arg-type]
    return SQLiteStore(folder / "jobs.db", plan.level)  # type: ignore[arg-type]


async def go_on(plan: Plan, store: SQLiteStore | PostgresStore, *, is_new: bool) -> dict[str, Any]:
    """Run the job, or resume it unless it is not in the store yet, and say how it ended."""
    engine = Engine(
        AGENTS,
        store=store,
        schedule=plan.schedule,  # type: ignore[arg-type]
        checkpoints=plan.checkpoints,  # type: ignore[arg-type]
        clock=StillClock(),
        lease_seconds=0.006,
    )
    run = partial(engine.run, "get what is needed", Need("all", plan.parts), job_id="job")
    try:
        outcome = await (run() if is_new else engine.resume("job"))
    except JobUnknown:
        outcome = await run()
    life.is_over = True
    async with engine:
        return {**_digests(outcome), **await _kept(store, outcome)}


def _digests(outcome: Outcome) -> dict[str, Any]:
    known = outcome.context
    return {
        "stop": str(outcome.stop),
        "digest": known.digest(),
        "live_digest": known.live_digest(),
        "proof_digest": known.proof_digest(),
    }


async def _kept(store: SQLiteStore | PostgresStore, outcome: Outcome) -> dict[str, Any]:
    """Say what must be so of the file, whoever wrote it."""
    rows = await store.rows("job")
    chain = zip(rows[1:], rows, strict=False)
    cycles = [row.cycle for row in rows if row.cycle is not None]
    return {
        "cycles are numbered without a gap": cycles == [*range(1, outcome.cycles + 1)],
        "the chain is whole": all(row.digest_after(before.digest) == row.digest for row, before in chain),
        "nobody holds the job": await store.holder("job", StillClock().now()) is None,
    }


# --- the processes ----------------------------------------------------------------------------------------------------


def forked(work: Callable[[], None]) -> int:
    """Have some work done in a process of its own, and return its number."""
    process = os.fork()
    if not process:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return process


def ended(process: int) -> int:
    """Wait for a process; return its exit code, below 0 the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


class Trial:
    """One job, in a folder of its own, and the processes that live for it."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan, self._folder = plan, Path(plan.folder, name)
        self._folder.mkdir()
        self._lives = 0

    def live(self, end: str = "", last: int = 0) -> bool:
        """Run the job in one more process; return whether that was killed."""
        self._lives += 1
        code = ended(forked(partial(self._live, self._lives, end, last)))
        if code not in (0, -signal.SIGKILL):
            raise SystemExit(f"the process that was to die at {end or last or 'no boundary'} ended with {code}")
        return code != 0

    def _live(self, number: int, end: str, last: int) -> None:
        global life  # noqa: PLW0603 -- a process has one
        signal.alarm(_MOST_SECONDS)
        life = Life(self._diary(number), end, last)
        store = store_of(self.plan, self._folder)
        surround(type(store), self.plan.broken)
        told = anyio.run(partial(go_on, self.plan, store, is_new=number == 1))
        (self._folder / "told").write_text(json.dumps(told))

    def _diary(self, number: int) -> Path:
        return self._folder / f"life {number}"

    def _noted(self, number: int, word: str) -> list[str]:
        lines = (line.partition(" ") for line in self._diary(number).read_text().splitlines())
        return [about for found, _, about in lines if found == word]

    @property
    def told(self) -> Any:
        """How the job ended."""
        return json.loads((self._folder / "told").read_text())

    @property
    def boundaries(self) -> list[str]:
        """What the first process passed."""
        return self._noted(1, "passed")

    @property
    def answered(self) -> Counter[str]:
        """How often the world was asked what, by all of them."""
        return Counter(about for number in range(1, self._lives + 1) for about in self._noted(number, "answered"))

    @property
    def in_flight(self) -> Counter[str]:
        """How often a call was answered to a process that died before the answer was kept."""
        lost: Counter[str] = Counter()
        for number in range(1, self._lives):
            lost.update(set(self._noted(number, "answered")) - set(self._noted(number, "kept")))
        return lost

    def forget(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder)


def sweep(plan: Plan) -> dict[str, Any]:
    """Die at the boundaries of a job, one process each, and return what came of it."""
    whole = Trial(plan, "whole")
    whole.live()
    found = [boundary for boundary in whole.boundaries if plan.only in boundary][:: plan.every]
    numbered = [*enumerate(found)]
    shares = [Path(plan.folder, f"share {start}") for start in range(_AT_ONCE)]
    works = [partial(_sweep, plan, whole, numbered[start::_AT_ONCE], share) for start, share in enumerate(shares)]
    processes = [forked(work) for work in works]
    if [*map(ended, processes)] != [0] * _AT_ONCE:
        raise SystemExit("the sweep is not complete")
    reports = [json.loads(share.read_text()) for share in shares]
    report = {"told": whole.told, "boundaries": whole.boundaries, "asked": whole.answered}
    return report | {word: {name: said for one in reports for name, said in one[word].items()} for word in _WORDS}


_MOST_SECONDS = 100  # of one process: who hangs is found out
_AT_ONCE = 3  # they wait for the disk, most of the time
_WORDS = ("missed", "killed again", "repeated", "wrong")


def _sweep(plan: Plan, whole: Trial, boundaries: Iterable[tuple[int, str]], share: Path) -> None:
    report: dict[str, dict[str, Any]] = {word: {} for word in _WORDS}
    for number, boundary in boundaries:
        trial = Trial(plan, f"trial {number}")
        if not trial.live(end=boundary):
            report["missed"][boundary] = "it did not come there"
        elif plan.again and number % plan.again == 0:
            last = 1 + number * 7 % len(whole.boundaries)
            if trial.live(last=last):
                report["killed again"][boundary] = last
        trial.live()
        _compare(report, boundary, whole, trial)
        trial.forget()
    share.write_text(json.dumps(report))


def _compare(report: dict[str, dict[str, Any]], boundary: str, whole: Trial, trial: Trial) -> None:
    extra = trial.answered - whole.answered
    if extra:
        report["repeated"][boundary] = extra
    if trial.told != whole.told:
        report["wrong"][boundary] = f"it came to {trial.told}"
    elif trial.answered.keys() != whole.answered.keys():
        report["wrong"][boundary] = f"asked: {sorted(trial.answered)}"
    elif beyond := extra - trial.in_flight:
        report["wrong"][boundary] = f"asked again, though the answer was kept: {sorted(beyond)}"


if __name__ == "__main__":
    gc.freeze()
    sys.stdout.write(json.dumps(sweep(Plan(**json.loads(sys.argv[1])))))
