"""`converge decide`: what a job asks, and answers from another process, in sentences one would be glad to get."""

import json

import pytest

from tests.commands import command_line

SHOP = """
from converge import Engine, Fact, RootIntent, agent, human, min_confidence

class Signal(Fact):
    text: str

class Risk(Fact, key="name"):
    name: str
    severity: int

@agent(reads=Signal, writes=Risk, gate=[min_confidence(0.5), human("counsel")])
def assess(view):
    for signal in view.new(Signal):
        yield Risk(signal.text, len(signal.text)).propose(confidence=0.9).because(signal)

engine, intent = Engine([assess]), RootIntent("find the risks")
"""
LINES = "".join(json.dumps({"kind": "Signal", "fact": {"text": text}}) + "\n" for text in ("late", "lost"))


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    with command_line(tmp_path, {"bureau.py": SHOP, "signals.jsonl": LINES}, monkeypatch, capsys) as run:
        ran = run("run", "bureau:engine", "--facts", "signals.jsonl", "--job", "one", "--quiet")
        assert ran.code == 6
        yield run


def requests(cli):
    return [row["request"] for row in cli("decide", "one", "--json").data["asked"]]


def test_a_job_that_waits_says_what_it_asks_and_what_to_type(cli):
    ran = cli("resume", "bureau:engine", "one")
    first = requests(cli)[0].rpartition(":")[2][:8]
    assert ran.code == 6
    assert ran.out.startswith("a decision is awaited on 2 requests\n")
    assert "counsel is asked by assess, 90% sure" in ran.out
    assert f"converge decide one {first} --approve --by NAME" in ran.err


def test_without_a_request_it_lists_what_is_asked_with_the_reason_and_the_cost(cli):
    ran = cli("decide", "one")
    assert ran.code == 0
    assert ran.out.count("counsel is asked by assess") == 2
    assert "Signal(text='late')  [given]" in ran.out
    assert "2 requests; spent" in ran.out


def test_each_decision_moves_the_job_on_and_the_rest_is_still_asked(cli):
    one, other = requests(cli)
    assert cli("decide", "one", one, "--approve", "--by", "ada", "--reason", "seen").code == 0
    assert cli("resume", "bureau:engine", "one", "--quiet").code == 6
    assert requests(cli) == [other]
    digits = other.rpartition(":")[2][:6]
    assert cli("decide", "one", digits, "--refine", '{"severity": 1}', "--by", "bob").code == 0
    ran = cli("resume", "bureau:engine", "one", "--json")
    assert ran.code == 0
    assert sorted(row["fact"]["severity"] for row in ran.data["answer"]) == [1, 4]


def test_a_rejection_ends_the_asking_and_is_recorded_with_its_reason(cli):
    for request in requests(cli):
        cli("decide", "one", request, "--reject", "--by", "ada", "--reason", "not ours")
    assert cli("resume", "bureau:engine", "one", "--quiet").code == 0
    shown = cli("show", "one", "--kind", "converge.Verdict", "--json").data["facts"]
    assert [row["fact"]["reason"] for row in shown if not row["fact"]["passed"]] == ["ada rejects it: not ours"] * 2


def test_what_was_decided_is_told_as_json(cli):
    request = requests(cli)[0]
    told = cli("decide", "one", request, "--approve", "--by", "ada", "--json").data
    assert told["running"] is False
    assert told["decision"] == {"request": request, "choice": "approve", "by": "ada", "reason": "", "changes": {}}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ffff", "--approve", "--by", "ada"], "job 'one' has no request 'ffff': it asks converge.Request:"),
        (["{id}", "--approve"], "--by: say who decides: it is kept with the job"),
        (["{id}", "--approve", "--by", " "], "--by: say who decides: it is kept with the job"),
        (["{id}", "--by", "ada"], "--approve: choose one of --approve, --reject and --refine JSON"),
        (["{id}", "--approve", "--reject", "--by", "ada"], "--approve: choose one of"),
        (["{id}", "--refine", "severity=2", "--by", "ada"], "--refine: 'severity=2' is not JSON"),
        (["{id}", "--refine", "[2]", "--by", "ada"], "--refine: it takes an object of fields"),
        (["{id}", "--refine", "{}", "--by", "ada"], "a refinement says what changes"),
        (["--approve", "--by", "ada"], "REQUEST: name what is decided: `converge decide one` lists it"),
    ],
)
def test_a_mistake_gets_one_sentence_with_the_remedy(cli, arguments, sentence):
    request = requests(cli)[0]
    ran = cli("decide", "one", *(argument.replace("{id}", request) for argument in arguments))
    assert ran.code == 2
    assert sentence in ran.sentence


def test_a_second_decision_is_refused_before_and_after_the_first_is_merged(cli):
    request = requests(cli)[0]
    cli("decide", "one", request, "--approve", "--by", "ada")
    before = cli("decide", "one", request, "--reject", "--by", "bob")
    assert "ada has decided (approve), which is merged when the job next goes on" in before.sentence
    cli("resume", "bureau:engine", "one", "--quiet")
    after = cli("decide", "one", request, "--reject", "--by", "bob")
    assert "is not open: ada has decided: approve" in after.sentence


def test_changes_that_do_not_fit_are_left_out_when_they_are_merged_and_the_job_goes_on_asking(cli):
    """From here the kind is not known, so that it cannot be said earlier."""
    request = requests(cli)[0]
    assert cli("decide", "one", request, "--refine", '{"severity": "x"}', "--by", "ada").code == 0
    ran = cli("resume", "bureau:engine", "one")
    assert ran.code == 6
    assert "letter 1 is left out: the decision cannot be used" in ran.err
    assert request in requests(cli)


def test_a_job_that_asks_nothing_says_so(cli):
    for request in requests(cli):
        cli("decide", "one", request, "--approve", "--by", "ada")
    cli("resume", "bureau:engine", "one", "--quiet")
    assert cli("decide", "one").out.startswith("job one asks nothing\n0 requests; spent")
