"""`converge verify`: what it prints, and with which exit code it ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import Cli, command_line

STORE = "sqlite:///jobs.db"
WORDS = """
from converge import Engine, Fact, agent

class Text(Fact):
    words: str

class Word(Fact):
    word: str

class Echo(Fact):
    word: str

class Veto(Fact):
    word: str

class Line(Fact):
    words: str

heard = []
calls = []

@agent(reads=Text, writes=Word)
def split(view):
    print("an agent may print")
    for text in view.new(Text):
        for word in text.words.split():
            yield Word(word).because(text)

@agent(reads=Word)
def hear(view):
    heard.extend(word.word for word in view.new(Word))

@agent(reads=Word, writes=Echo)
def repeat(view):
    for word in view.new(Word):
        if word.word in heard:
            yield Echo(word.word).because(word)

@agent(reads=Word, writes=Veto)
def veto(view):
    for word in view.new(Word):
        if word.word == "no":
            yield Veto("no").because(word)

@agent(reads=[Word, Veto], writes=Echo)
def unless(view):
    for word in view.new(Word):
        if not view.all(Veto):
            yield Echo(word.word).because(word)

def model(word):
    calls.append(word)
    return f"{word} {len(calls)}"

@agent(reads=Word, writes=Echo)
async def ask(view):
    for word in view.new(Word):
        yield Echo(await view.capture("model", model, word.word)).because(word)

@agent(reads=Word, writes=Line)
def join(view):
    return Line(" ".join({word.word for word in view.new(Word)}))

sound = Engine([split, ask])
shared = Engine([split, hear, repeat])
arriving = Engine([split, veto, unless])
hashed = Engine([split, join])
"""
FACTS = '{"kind": "Text", "fact": {"words": "one two three four no five six seven"}}\n'


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Run a command in this process, in a folder that holds the module `words` and its facts."""
    files = {"words.py": WORDS, "facts.jsonl": FACTS}
    with command_line(tmp_path, files, monkeypatch, capsys) as run:
        yield run


def verified(cli: Cli, engine: str, *options: str):
    """Run a job of one of the engines, and verify it."""
    place = ("--store", STORE)
    assert cli("run", f"words:{engine}", "--facts", "facts.jsonl", "--objective", "x", "--job", "j", *place).code == 0
    return cli("verify", f"words:{engine}", "j", *place, *options)


def test_a_sound_job_ends_with_0(cli: Cli):
    """With a model that says something else each time; two of the schedules are processes with other hash seeds."""
    ran = verified(cli, "sound")
    assert ran.code == 0
    first, second = ran.out.splitlines()
    assert first == "job j is sound: every schedule comes to the same facts"
    assert second.startswith("14 schedules: as it is 1, starve 2, reversed 1, prefer 2, singles 1, twice 1, crash")
    assert second.endswith(" 4, hash seed 2")
    assert "an agent may print" in ran.err


def test_a_defect_ends_with_1_and_says_what_to_do(cli: Cli):
    """Two agents share a list."""
    ran = verified(cli, "shared", "--schedules", "40")
    assert ran.code == 1
    head, tried, empty, found, fact, what, remedy = ran.out.splitlines()
    assert head == "job j has a defect: it depends on more than its facts"
    assert tried == "3 schedules: as it is 2, starve 1"
    assert empty == ""
    assert found == "defect, shown by schedule 3: starve hear, as if never run before"
    assert fact.startswith("  first fact that differs: Echo(word='")
    assert what == (
        "  agent repeat emits other facts from the same view of round 1: "
        "it reads `heard`, a list that agent hear holds too"
    )
    assert remedy == "  remedy: make it a fact that hear writes and repeat reads, or record it with view.capture"


def test_what_a_stream_would_show_is_a_warning_and_ends_with_0(cli: Cli):
    """The job did not ask for the stream schedule, so it is sound all the same."""
    ran = verified(cli, "arriving", "--schedules", "30", "--stream")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == "job j is sound under its own schedule, and would depend on arrival as a stream"
    assert lines[3].startswith("warning, shown by schedule ")
    assert (
        "  agent unless reads Veto with view.all(Veto); what it concludes depends on how much of it has arrived"
        in lines
    )
    assert lines[-1] == "  remedy: declare reads=[Live(Veto)] or when='settled', or let it conclude per fact"


def test_json_has_one_shape(cli: Cli):
    """A finding's fields are always all there."""
    ran = verified(cli, "shared", "--json")
    assert ran.code == 1
    data = ran.data
    assert list(data) == [
        *("job_id", "store", "exit_code", "sound", "schedules", "families", "digests", "defects", "warnings")
    ]
    assert (data["job_id"], data["exit_code"], data["sound"], data["warnings"]) == ("j", 1, False, [])
    assert data["schedules"] == sum(data["families"].values())
    assert list(data["digests"]) == ["digest", "live_digest", "proof_digest"]
    (found,) = data["defects"]
    assert (found["agent"], found["round"], found["read"]) == ("repeat", 1, "heard")
    assert {"schedule", "number", "differs", "what", "remedy", "fact", "text", "only_in"} < found.keys()


def test_the_number_of_schedules_is_bounded(cli: Cli):
    """One schedule leaves no room for another process."""
    ran = verified(cli, "sound", "--schedules", "1", "--json")
    assert (ran.code, ran.data["families"]) == (0, {"as it is": 1})


def test_what_comes_out_of_a_set_is_found_by_another_hash_seed(cli: Cli):
    """In this process the order of a set is always the same; in the next it is not."""
    ran = verified(cli, "hashed", "--json")
    (found,) = ran.data["defects"]
    assert found["schedule"] in ("hash seed 0", "hash seed 1")
    assert (found["agent"], found["round"], found["differs"]) == ("join", 1, "digest")
    assert found["remedy"].startswith("sort what comes out of a set")


def test_a_job_that_cannot_be_verified_is_refused_in_a_sentence(cli: Cli):
    """It is unfinished, unknown, or was run by others."""
    place = ("--store", STORE)
    options = ("--facts", "facts.jsonl", "--objective", "x", "--job", "j", "--budget", "rounds=1")
    cli("run", "words:sound", *options, *place)
    unsettled, unknown = (cli("verify", "words:sound", job, *place) for job in ("j", "k"))
    assert (unsettled.code, unknown.code) == (2, 2)
    assert unsettled.sentence.endswith("resume it first, and verify it then")
    assert unknown.sentence.startswith("there is no job 'k'")
    cli("resume", "words:sound", "j", "--budget", "rounds=9", *place)
    foreign = cli("verify", "words:arriving", "j", *place)
    assert foreign.code == 2
    assert foreign.sentence.startswith("agent ask, which ran job 'j', is not in this engine as it was then")
    assert cli("verify", "words:sound", "j", "--schedules", "0", *place).code == 2
    assert cli("verify", "words:sound", "j", "--store", "sqlite:///other.db").code == 10
