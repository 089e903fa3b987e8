"""The commands that explain a stored job: why, why-not, diff, cost, and the history of one fact."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import Cli, command_line
from tests.test_cli_stored import SHOP, SIGNALS, STRIKE

DOCS = Path(__file__).parents[1] / "docs"
QUESTIONS = [
    ("why", "one"),
    ("why", "two"),
    ("why", "one", "Risk"),
    ("why-not", "one", "Risk", "rail"),
    ("why-not", "one", "Risk", "rail", "--target", "shop:engine"),
    ("diff", "one", "two"),
    ("cost", "one"),
    ("cost", "one", "Risk"),
    ("history", "one", "Risk"),
]


DRAWN = [one for one in QUESTIONS if one[0] != "history" and one != ("why", "two")]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Run a command in this process, in a folder with job "one" and job "two", which was given a signal more."""
    files = {"shop.py": SHOP, "signals.jsonl": SIGNALS, "strike.jsonl": STRIKE}
    with command_line(tmp_path, files, monkeypatch, capsys) as run:
        assert run("run", "shop:engine", "--facts", "signals.jsonl", "--job", "one").code == 0
        assert run("fork", "shop:engine", "one", "--facts", "strike.jsonl", "--job", "two").code == 0
        yield run


def test_why_shows_the_only_conclusion_down_to_what_was_given(cli: Cli):
    """Fact by fact, with who stated it and in which round, and the answer of a call."""
    ran = cli("why", "one")
    assert ran.out.splitlines() == [
        "Advice [advise, round 2] text='mind the port'",
        "│  ask answered: mind the port",
        "└─ Risk [assess, round 1] name='port'",
        "   └─ Signal [given] source='port', text='late'",
    ]
    assert ran.err.splitlines() == ["3 facts, 1 of them given; 2 agents; 1 call, 0 tokens (--calls shows them)"]


def test_why_lists_the_conclusions_where_there_are_several(cli: Cli):
    """With the digits that name each, which work."""
    ran = cli("why", "two")
    rows = [line.split(maxsplit=2) for line in ran.out.splitlines()]
    assert [row[1] for row in rows] == ["Advice", "Advice"]
    for digits, _, said in rows:
        assert cli("why", "two", digits).out.splitlines()[0].endswith(said)
    hint = ran.err.strip().rpartition("converge ")[2].split()
    assert cli(*hint).code == 0


def test_why_of_what_does_not_hold_says_why_not(cli: Cli):
    fact = json.dumps({"kind": "Invalidation", "fact": {"target": id_of(cli, "Signal"), "reason": "a mistake"}})
    Path("mistake.jsonl").write_text(fact + "\n", "utf-8")
    assert cli("resume", "shop:engine", "one", "--facts", "mistake.jsonl").code == 0
    ran = cli("why", "one", "Signal")
    assert ran.out.startswith("no Signal(source='port', text='late') holds\n")
    assert "somebody outside says that it does not hold: a mistake" in ran.out
    assert [line.split()[1:3] for line in cli("history", "one", "Risk").out.splitlines()[1:]] == [
        ["round", "1"],
        ["round", "3"],
    ]


def id_of(cli: Cli, kind: str) -> str:
    return str(cli("why", "one", kind, "--json").data["fact"]["id"])


def test_why_not_names_the_agents_where_a_target_does(cli: Cli):
    """Without, only those that stated such facts are known, and it says how to learn of the others."""
    ran = cli("why-not", "one", "Advice", "mind the rail")
    assert "silent  advise: it ran once and stated 1 Advice, none of them so" in ran.out
    assert "--target" in ran.err
    ran = cli("why-not", "one", "Signal", "source=rail", "--target", "shop:engine")
    assert "no agent writes Signal: it comes from outside, and none such was given" in ran.out
    assert ran.err == ""


def test_diff_names_where_they_part(cli: Cli):
    out = cli("diff", "one", "two").out
    assert out.startswith("one and two: they part in round 3, where two alone was given something\n")
    assert "Signal source='rail', text='a strike'" in out
    assert cli("diff", "one", "one").out == "one and one: nothing that they state differs\n"


def test_two_stores_are_compared(cli: Cli):
    cli("export", "two", "two.job")
    assert cli("import", "two.job", "--store", "sqlite:///other.db").code == 0
    told = cli("diff", "two", "two", "--other-store", "sqlite:///other.db", "--json").data
    assert (told["differs"], [side["job_id"] for side in told["sides"]]) == (False, ["two", "two"])


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_the_json_of_every_question_is_as_documented(cli: Cli, question: tuple[str, ...]):
    """And says beside which job in which store it is about."""
    jsonschema = pytest.importorskip("jsonschema")
    ran = cli(*question, "--json")
    assert (ran.code, ran.err) == (0, "")
    jsonschema.Draft202012Validator(json.loads((DOCS / "explaining.schema.json").read_text("utf-8"))).validate(ran.data)
    assert ran.data["store"] == "sqlite:///converge.db"
    assert ran.data.get("job_id", "one") == question[1]


@pytest.mark.parametrize(
    "question", [one for one in QUESTIONS if one[0] != "history" and one != ("why", "two")], ids=" ".join
)
def test_every_question_is_answered_as_a_flowchart_and_a_page(cli: Cli, question: tuple[str, ...]):
    assert cli(*question, "--mermaid").out.startswith("flowchart TD\n")
    assert cli(*question, "--html").out.startswith("<!DOCTYPE html>\n")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("why", "one", "Rsk"), "'Rsk': the job has no fact of such a kind: did you mean Risk?"),
        (("why", "one", "Risk", "harbour"), "\"Risk('harbour')\": no Risk is so; there are "),
        (("why-not", "one", "Rsk"), "'Rsk': the job has no fact of such a kind: did you mean Risk?"),
        (
            ("why-not", "one", "Rsk", "--target", "shop:engine"),
            "'Rsk': no agent declares such a kind: did you mean Risk?",
        ),
        (("why-not", "one", "Risk", "port"), " holds: ask why it does"),
        (("why", "one", "--json", "--html"), "--json: give it or --html, not both"),
        (("why", "two", "--html"), "FACT: name one of the 2 conclusions: `converge why two` lists them"),
        (("why", "ones"), "did you mean one?"),
        (("diff", "one", "tow"), "did you mean two?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_answered_is_one_sentence_with_a_remedy(cli: Cli, command: tuple[str, ...], sentence: str):
    ran = cli(*command)
    assert ran.code == 2
    assert ran.out == ""
    assert sentence in ran.sentence


def test_a_job_is_asked_as_it_stood_at_a_cycle(cli: Cli):
    assert "Risk [assess, round 1]" in cli("why", "one", "--cycle", "2").out.splitlines()[0]


def test_all_of_a_large_proof_is_shown_where_it_is_wanted(cli: Cli):
    signals = [json.dumps({"kind": "Signal", "fact": {"source": f"s{n}", "text": "late"}}) for n in range(100)]
    Path("many.jsonl").write_text("\n".join(signals), "utf-8")
    Path("tally.py").write_text(TALLY, "utf-8")
    cli("run", "tally:engine", "--facts", "many.jsonl", "--job", "many")
    ran = cli("why", "many")
    assert ran.out.splitlines()[1:] == ["└─ 100 Signal [given] …"]
    assert "--all shows what is left out here" in ran.err
    assert len(cli("why", "many", "--all").out.splitlines()) == 102


TALLY = """
from converge import Engine, Fact, agent

class Signal(Fact):
    source: str
    text: str

class Tally(Fact):
    n: int

@agent(reads=Signal, writes=Tally)
def count(view):
    yield Tally(len(view.all(Signal)))

engine = Engine([count])
intent = "count the signals"
"""


def test_what_a_job_waits_for_is_named_with_the_command_that_lists_it(cli: Cli):
    gated = TALLY.replace("writes=Tally", 'writes=Tally, gate=human("lead")').replace("agent\n", "agent, human\n", 1)
    Path("waiting.py").write_text(gated, "utf-8")
    ran = cli("run", "waiting:engine", "--facts", "signals.jsonl", "--job", "asks")
    assert ran.code == 6
    assert cli("why", "asks").err.splitlines()[-1] == "1 decision awaited: converge decide asks"
    ran = cli("why-not", "asks", "Tally")
    assert "waiting  count: it proposed it, and lead has not decided on request " in ran.out
