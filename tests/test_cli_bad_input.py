"""What bad input gets: one clear sentence with the name of what is wrong and the remedy, an exit code, no traceback."""

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.commands import Cli, Ran, command_line

SHOP = """
import itertools
import time

import anyio
from converge import Engine, Fact, RootIntent, agent, invariant
from converge.clock import SystemClock

class Signal(Fact):
    text: str

class Risk(Fact, key=("name",)):
    name: str
    severity: float

class Label(Fact):
    kind: str
    tags: frozenset[str] = frozenset()

class Hidden(Fact):
    number: int

@agent(reads=[Signal, Label], writes=Risk)
def assess(view):
    for signal in view.new(Signal):
        yield Risk(signal.text, 1.0).because(signal)
    for label in view.new(Label):
        yield Risk(label.kind, 1.0).because(label)

@invariant
def always(view):
    return True

engine = Engine([assess], invariants=[always])
empty = Engine([])
intent = RootIntent("find the risks")

number = 5

def build():
    return engine

def only(run):
    return Engine([agent(reads=Signal, writes=Risk)(run), start], clock=clock, max_emissions=1_000)

@agent(writes=Signal)
def start(view):
    return Signal("begin")

def peeks(view):
    view.all(Hidden)

def misuses(view):
    view.count(Risk)

def leaks(view):
    return Hidden(1)

def strings(view):
    return [Risk("a", 1.0), "a text"]

def floods(view):
    for number in itertools.count():
        yield Risk(str(number), 1.0)

async def drips(view):
    for number in itertools.count():
        yield Risk(str(number), 1.0)

def raises(view):
    raise ValueError("no luck\\ntoday")

def doubts(view):
    return Risk("a", float("nan"))

def exits(view):
    raise SystemExit(3)

def bloats(view):
    return Risk("a" * 20_000_000, 1.0)

class Clock(SystemClock):
    def move_on_after(self, seconds):
        self.deadline = anyio.CancelScope()
        return self.deadline

clock = Clock()

async def sleeps(view):
    clock.deadline.cancel()  # at this moment the seconds are spent
    await anyio.sleep_forever()

peeking, misusing, leaking, stringing = only(peeks), only(misuses), only(leaks), only(strings)
flooding, dripping, raising, doubting = only(floods), only(drips), only(raises), only(doubts)
bloating, exiting, sleeping = only(bloats), only(exits), only(sleeps)
"""
BROKEN = {
    "needs.py": "import a_package_that_is_not_there\n",
    "raises.py": "\nraise RuntimeError('no configuration')\n",
    "syntax.py": "def f(:\n",
    "quits.py": "import sys\nsys.exit(4)\n",
    "twins.py": "from converge import Engine, agent\nf = agent()(lambda view: None)\nengine = Engine([f, f])\n",
    "odd.py": "from converge import agent\n\n@agent(reads=5)\ndef f(view): ...\n",
    "plain.py": "from converge import Engine\nengine = Engine([])\n",
}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Run a command in this process, in a folder that holds the module `shop` and broken ones."""
    with command_line(tmp_path, {"shop.py": SHOP, **BROKEN}, monkeypatch, capsys) as command:

        def run(*arguments: str) -> Ran:
            ran = command(*arguments)
            assert "Traceback" not in ran.err
            return ran

        yield run


@pytest.fixture
def given(cli: Cli, tmp_path: Path) -> Callable[..., Ran]:
    """Run the engine in memory on a facts file of these lines."""

    def run(*lines: str | bytes, target: str = "shop:engine") -> Ran:
        content = b"\n".join(line.encode() if isinstance(line, str) else line for line in lines)
        (tmp_path / "facts.jsonl").write_bytes(content)
        return cli("run", target, "--facts", "facts.jsonl", "--store", "memory:", "--json", "--quiet")

    return run


# --- facts --------------------------------------------------------------------------------------------------------

GOOD = '{"kind": "Signal", "fact": {"text": "late"}}'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"kind": "Signal",', "not JSON"),
        ("late", "not JSON"),
        (b'{"kind": "\xff"}', "UTF-8"),
        ("[" * 100_000, "not JSON"),
        ("[1, 2]", 'a line is {"kind": "...", "fact": {...}}'),
        ('{"kind": "Signal", "text": "late"}', 'a line is {"kind": "...", "fact": {...}}'),
        ('{"kind": "Signl", "fact": {"text": "late"}}', "did you mean Signal?"),
        ('{"kind": "Order", "fact": {}}', "Label, Risk, Signal"),
        ('{"kind": "Signal", "version": 2, "fact": {"text": "late"}}', "Signal"),
        ('{"kind": "Signal", "fact": {"txt": "late"}}', "txt"),
        ('{"kind": "Signal", "fact": {"text": 5}}', "text: Input should be a valid string"),
        ('{"kind": "Signal", "fact": {"text": "\\ud800"}}', "a fact of kind Signal is not valid"),
        ('{"kind": "Signal", "fact": "late"}', "an object of fields is needed"),
        ('{"kind": "Risk", "fact": {"name": "a", "severity": NaN}}', "NaN"),
        ('{"kind": "Risk", "fact": {"name": "a", "severity": 1e999}}', "severity: Input should be a finite number"),
    ],
)
def test_a_line_that_is_no_fact_is_named_with_its_reason(given: Callable[..., Ran], line: str | bytes, said: str):
    """File, number and reason; the lines before it were fine."""
    ran = given(GOOD, "", line)
    assert ran.code == 2
    assert ran.sentence.startswith("facts.jsonl, line 3: ")
    assert said in ran.sentence


def test_a_fact_of_20_mb_is_refused_with_its_size(given: Callable[..., Ran]):
    """Facts are read whole, compared and kept: bulk belongs elsewhere."""
    ran = given(json.dumps({"kind": "Signal", "fact": {"text": "x" * 20_000_000}}))
    assert ran.code == 2
    assert "a fact of kind Signal has 20,000,011 bytes" in ran.sentence
    assert "keep the bulk elsewhere" in ran.sentence


@pytest.mark.parametrize(("path", "said"), [("nowhere.jsonl", "No such file"), (".", "Is a directory")])
def test_a_facts_file_that_cannot_be_read_is_named(cli: Cli, path: str, said: str):
    """With the system's reason."""
    ran = cli("run", "shop:engine", "--facts", path)
    assert ran.code == 2
    assert ran.sentence.startswith(f"facts file {path} cannot be read: {said}")


def test_nothing_is_stored_of_a_job_whose_facts_are_refused(cli: Cli, tmp_path: Path):
    """A mistake in the input leaves no half job behind."""
    (tmp_path / "facts.jsonl").write_text("late", "utf-8")
    assert cli("run", "shop:engine", "--facts", "facts.jsonl").code == 2
    assert not (tmp_path / "converge.db").exists()


def test_a_set_in_a_fact_has_no_order(given: Callable[..., Ran]):
    """The same content, whatever the order it is written in: one fact."""
    lines = [f'{{"kind": "Label", "fact": {{"kind": "x", "tags": {tags}}}}}' for tags in ('["b", "a"]', '["a", "b"]')]
    ran = given(*lines)
    assert ran.code == 0
    assert ran.data["kinds"]["Label"]["live"] == 1


def test_two_unicode_forms_of_a_text_are_one_fact(given: Callable[..., Ran]):
    """é as one character and as e with an accent."""
    ran = given(*(json.dumps({"kind": "Signal", "fact": {"text": text}}) for text in ("\u00e9", "e\u0301")))
    assert ran.code == 0
    assert ran.data["kinds"]["Signal"]["live"] == 1


def test_a_field_may_be_called_kind(given: Callable[..., Ran]):
    """The kind of a fact stands beside its fields, not among them."""
    ran = given('{"kind": "Label", "fact": {"kind": "red"}}')
    assert ran.code == 0
    assert ran.data["answer"][0]["fact"]["name"] == "red"


def test_zero_agents_are_at_their_fixed_point_at_once(cli: Cli):
    """Nobody would add anything."""
    ran = cli("run", "shop:empty", "--store", "memory:", "--json", "--quiet")
    assert ran.code == 0
    assert ran.data["spend"]["rounds"] == 0


# --- targets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("shop", "write it as package.module:name, for example shop:engine"),
        ("shop:", "for example shop:engine"),
        (":engine", "write it as package.module:name"),
        ("shop.py:engine", "for example shop:engine"),
        ("teams/shop.py:engine", "for example teams.shop:engine"),
        ("nowhere:engine", "there is no module nowhere: run this from the folder that holds it"),
        ("shap:engine", "there is no module shap: did you mean shop?"),
        ("shop.inner:engine", "there is no module shop.inner"),
        ("needs:engine", "No module named 'a_package_that_is_not_there' (needs.py, line 1)"),
        ("raises:engine", "RuntimeError: no configuration (raises.py, line 2)"),
        ("syntax:engine", "SyntaxError: invalid syntax (syntax.py, line 1)"),
        ("quits:engine", "importing quits ended the program"),
        ("twins:engine", "two agents are named"),
        ("odd:engine", "agent f: reads takes subclasses of Fact, not 5 (odd.py, line 3)"),
        ("shop:engin", "module shop has no 'engin' (did you mean engine?)"),
        ("json:engine", "module json has no 'engine': it holds no Engine"),
        ("shop:number", "number is of type int, not an Engine"),
        ("shop:build", "build is a function, not an Engine"),
    ],
)
def test_a_target_that_is_no_engine_is_named_with_its_reason(cli: Cli, target: str, said: str):
    """Whatever the module does when it is imported."""
    ran = cli("run", target)
    assert ran.code == 2
    assert ran.sentence.startswith(f"target {target!r}: ")
    assert said in ran.sentence


# --- root intents and budgets -------------------------------------------------------------------------------------


def test_a_target_without_an_intent_asks_for_one(cli: Cli):
    """And says how to give it."""
    ran = cli("run", "plain:engine")
    assert ran.code == 2
    assert "give --objective TEXT or --intent FILE" in ran.sentence


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ("[]", "it is an object"),
        ("{}", "objective: is missing"),
        ('{"objectiv": "x"}', "did you mean objective?"),
        ('{"objective": 5}', "objective: Input should be a valid string"),
        ('{"objective": "x", "budget": 5}', "its budget is an object"),
        ('{"objective": "x", "budget": {"round": 5}}', "did you mean rounds?"),
        ('{"objective": "x", "budget": {"rounds": "5"}}', "rounds='5' is not a"),
    ],
)
def test_an_intent_file_that_is_no_intent_is_named_with_its_reason(cli: Cli, tmp_path: Path, content: str, said: str):
    """As for facts files."""
    (tmp_path / "intent.json").write_text(content, "utf-8")
    ran = cli("run", "shop:engine", "--intent", "intent.json")
    assert ran.code == 2
    assert ran.sentence.startswith("the root intent in intent.json cannot be used: ")
    assert said in ran.sentence


def test_an_intent_that_names_an_unknown_invariant_gets_the_known_one(cli: Cli, tmp_path: Path):
    """The engine has what an intent may demand."""
    (tmp_path / "intent.json").write_text('{"objective": "x", "success": ["alway"]}', "utf-8")
    ran = cli("run", "shop:engine", "--intent", "intent.json", "--quiet")
    assert ran.code == 2
    assert "(did you mean always?)" in ran.sentence


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("rounds", "'rounds' is not NAME=VALUE, as in rounds=50"),
        ("round=5", "there is no budget 'round' (did you mean rounds?)"),
        ("=5", "there is no budget ''"),
        ("rounds=", "rounds='' is not a"),
        ("rounds=many", "rounds='many' is not a"),
        ("rounds=-1", "rounds=-1 is not a"),
        ("rounds=1.5", "rounds=1.5 is not a"),
        ("seconds=-0.5", "seconds=-0.5 is not a"),
        ("seconds=nan", "seconds=nan is not a"),
    ],
)
def test_a_budget_that_is_no_limit_is_refused(cli: Cli, budget: str, said: str):
    """Before anything is imported or stored."""
    ran = cli("run", "nowhere:engine", "--budget", budget)
    assert ran.code == 2
    assert said in ran.sentence


@pytest.mark.parametrize("unit", ["rounds", "facts", "activations", "seconds"])
def test_a_budget_of_0_stops_as_spent(cli: Cli, tmp_path: Path, unit: str):
    """It is a limit like any other: the outcome says which one, and who had more to read."""
    (tmp_path / "facts.jsonl").write_text(GOOD, "utf-8")
    ran = cli("run", "shop:engine", "--facts", "facts.jsonl", "--budget", f"{unit}=0", "--json", "--quiet")
    assert ran.code == 3
    assert ran.data["stop"]["detail"] == [unit]


# --- stores -------------------------------------------------------------------------------------------------------


def run_on(cli: Cli, path: object) -> Ran:
    return cli("run", "shop:engine", "--store", f"sqlite:///{path}", "--quiet")


def test_a_store_that_is_a_directory_is_refused(cli: Cli, tmp_path: Path):
    """A file is needed."""
    (tmp_path / "jobs").mkdir()
    ran = run_on(cli, "jobs")
    assert (ran.code, ran.sentence) == (10, "jobs cannot be used: it is a directory: name a file")


def test_a_store_in_a_folder_that_is_not_there_is_refused(cli: Cli):
    """It is not made: the path is probably wrong."""
    ran = run_on(cli, "nowhere/jobs.db")
    assert ran.code == 10
    assert "the folder nowhere does not exist" in ran.sentence


@pytest.mark.parametrize("content", [b"hello, I am a text file", bytes(range(256)) * 20])
def test_a_store_that_is_not_sqlite_is_refused_and_left_as_it_is(cli: Cli, tmp_path: Path, content: bytes):
    """Someone else's file."""
    (tmp_path / "jobs.db").write_bytes(content)
    ran = run_on(cli, "jobs.db")
    assert ran.code == 10
    assert "jobs.db is not a Converge store (not an SQLite file)" in ran.sentence
    assert (tmp_path / "jobs.db").read_bytes() == content


def test_another_program_s_database_is_refused(cli: Cli, tmp_path: Path):
    """It is SQLite, and not ours."""
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    ran = run_on(cli, "jobs.db")
    assert ran.code == 10
    assert "another program's SQLite file" in ran.sentence


def test_a_store_of_a_newer_schema_is_refused(cli: Cli, tmp_path: Path):
    """An old version must not write what it does not understand."""
    assert run_on(cli, "jobs.db").code == 0
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    ran = run_on(cli, "jobs.db")
    assert ran.code == 10
    assert "jobs.db has schema 99" in ran.sentence
    assert "upgrade" in ran.sentence


@pytest.fixture
def shut_folder(cli: Cli) -> Iterator[Path]:
    """A folder with a store that this process may read and not write; root gives up its rights for the test."""
    folder = Path(tempfile.mkdtemp())
    assert run_on(cli, folder / "jobs.db").code == 0
    (folder / "jobs.db").chmod(0o444)
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65_534)
    yield folder
    if is_root:
        os.seteuid(0)
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_store_that_is_read_only_is_refused(cli: Cli, shut_folder: Path):
    """Its job is lost by nobody: the file stays as it is."""
    before = (shut_folder / "jobs.db").read_bytes()
    ran = run_on(cli, shut_folder / "jobs.db")
    assert ran.code == 10
    assert f"{shut_folder}/jobs.db cannot be used: " in ran.sentence
    assert "make it writable" in ran.sentence
    assert (shut_folder / "jobs.db").read_bytes() == before


def test_a_store_that_cannot_be_made_is_refused(cli: Cli, shut_folder: Path):
    """The folder is there, and shut."""
    ran = run_on(cli, shut_folder / "new.db")
    assert ran.code == 10
    assert f"{shut_folder}/new.db cannot be used: " in ran.sentence


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("jobs.db", "did you mean sqlite:///jobs.db?"),
        ("sqlite://jobs.db", "write sqlite:///jobs.db for a file in the current folder"),
        ("sqlite:///", "names no store"),
        ("memory", "or memory:"),
        ("", "names no store"),
        ("oracle://jobs", "there is no store of the sort 'oracle'"),
    ],
)
def test_a_store_address_that_is_none_gets_the_right_one(cli: Cli, address: str, said: str):
    """Three slashes are easily miscounted."""
    ran = cli("run", "shop:engine", "--store", address)
    assert ran.code == 2
    assert ran.sentence.startswith("--store: ")
    assert said in ran.sentence


@pytest.mark.parametrize("command", [("jobs",), ("show", "one"), ("trace", "one"), ("resume", "shop:engine", "one")])
def test_reading_a_store_that_is_not_there_does_not_make_one(cli: Cli, tmp_path: Path, command: tuple[str, ...]):
    """A wrong folder is the likely cause."""
    ran = cli(*command)
    assert ran.code == 10
    assert "converge.db cannot be used: there is no such file" in ran.sentence
    assert not (tmp_path / "converge.db").exists()


# --- jobs and usage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("show",), ("trace",), ("resume", "shop:engine")])
def test_an_unknown_job_gets_the_nearest_one(cli: Cli, command: tuple[str, ...]):
    """Ids are long and easily mistyped."""
    cli("run", "shop:engine", "--job", "incident-7", "--quiet")
    ran = cli(*command, "incident-8")
    assert ran.code == 2
    assert ran.sentence == "there is no job 'incident-8' in converge.db (did you mean incident-7?)"


def test_a_job_id_that_is_taken_is_refused_and_its_job_kept(cli: Cli):
    """Running again under the same name must not mix two jobs."""
    cli("run", "shop:engine", "--job", "one", "--quiet")
    before = cli("trace", "one").out
    ran = cli("run", "shop:engine", "--job", "one", "--quiet")
    assert ran.code == 2
    assert "is in converge.db already: resume it, or choose another id" in ran.sentence
    assert cli("trace", "one").out == before


def test_an_unknown_kind_to_show_gets_the_nearest_one(cli: Cli, tmp_path: Path):
    """As everywhere."""
    (tmp_path / "facts.jsonl").write_text(GOOD, "utf-8")
    cli("run", "shop:engine", "--facts", "facts.jsonl", "--job", "one", "--quiet")
    ran = cli("show", "one", "--kind", "Signl")
    assert ran.code == 2
    assert "did you mean Signal?" in ran.sentence


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run",), "Missing argument 'TARGET' (see converge run --help)"),
        (("resume", "shop:engine"), "Missing argument 'JOB'"),
        (("rnu", "shop:engine"), "No such command 'rnu'"),
        (("run", "shop:engine", "--fact", "x"), "--facts"),
        (("run", "shop:engine", "--facts"), "'--facts' requires an argument"),
        (("run", "shop:engine", "--intent", "x", "--objective", "y"), "--intent: give it or --objective, not both"),
        (("bench", "--agents", "0"), "--agents"),
    ],
)
def test_bad_usage_is_one_sentence_too(cli: Cli, arguments: tuple[str, ...], said: str):
    """With the command that helps on."""
    ran = cli(*arguments)
    assert ran.code == 2
    assert said in ran.sentence


# --- agents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("peeking", "agent peeks reads Hidden without declaring it: add Hidden to its reads="),
        ("misusing", "agent misuses reads Risk without declaring it"),
        ("leaking", "agent leaks emits Hidden without declaring it: add Hidden to its writes="),
        ("stringing", "agent strings emitted a value of type str: an agent emits facts"),
        ("flooding", "agent floods emitted more than 1,000 facts in one activation"),
        ("dripping", "agent drips emitted more than 1,000 facts in one activation"),
        ("raising", "raises (ValueError: no luck today (shop.py, line"),
        ("exiting", "exits (SystemExit: 3 (shop.py, line"),
        ("doubting", "finite number"),
        ("bloating", "a fact of kind Risk has 20,000,026 bytes"),
    ],
)
def test_an_agent_that_breaks_its_word_is_named_and_the_rest_is_kept(cli: Cli, target: str, said: str):
    """The job ends as agent_failed; what its siblings stated stands and is stored."""
    ran = cli("run", f"shop:{target}", "--job", "one", "--quiet")
    assert (ran.code, ran.err) == (4, "")
    assert ran.out.startswith("a required agent still fails: ")
    assert said in ran.out.splitlines()[0]
    told = cli("show", "one", "--json", "--kind", "Signal").data
    assert told["stop"]["reason"] == "agent_failed"
    assert [fact["fact"] for fact in told["facts"]] == [{"text": "begin"}]


def test_an_agent_that_never_returns_is_ended_by_the_budget_and_named(cli: Cli):
    """Waiting agents are cancelled when the seconds are spent; what was merged is kept."""
    ran = cli("run", "shop:sleeping", "--job", "one", "--quiet")
    assert ran.code == 3
    assert "seconds (sleeps had more to read)" in ran.out
    assert [fact["kind"] for fact in cli("show", "one", "--json").data["facts"]] == ["Signal"]
