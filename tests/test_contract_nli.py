"""The contract team over 12 contracts that somebody else labelled: the labels are what a scripted model answers.

The texts and the labels are ContractNLI's (Koreeda and Manning 2021, CC-BY-4.0); none of them is kept here. Run as a
program, this file is a process that dies by `kill -9` in the middle of the job.
"""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest

from converge import Certificate, Engine, Fact, Outcome, Proof, StopReason
from converge.capture import SAID
from converge.chain import Row
from converge.errors import StoreUnavailable
from converge.ports import Lease
from converge.proposal import Proposal
from converge.snapshot import Records
from converge_agents.scripted import ScriptedModel
from converge_agents.teams import contract
from converge_agents.teams.contract.judge import JUDGES
from converge_agents.teams.contract.kinds import Document, Hypothesis, Judgement, Question, Span
from converge_stores.sqlite import SQLiteStore
from tests.problems import folder, needs, table

pytestmark = needs("contract_nli")

ROOT = Path(__file__).parents[1]
FOLDER = folder("contract_nli")
WITH_SPAN_5 = {("82", f"nda-{number}") for number in (4, 5, 7, 10, 16, 18, 20)}  # of document 82

Pair = tuple[str, str]  # a document and a hypothesis
Request = Mapping[str, Any]


# --- what is given, and what is known to be right --------------------------------------------------------------------


class Label(NamedTuple):
    choice: str
    spans: tuple[int, ...]


def texts() -> list[Fact]:
    facts: list[Fact] = [Hypothesis(*row) for row in table(FOLDER / "hypotheses.tsv")[1:]]
    for text in json.loads((FOLDER / "docs_dev_12_shortest.json").read_text("utf-8")):
        doc = str(text["id"])
        facts.append(Document(doc, text["file_name"], len(text["spans"])))
        facts += [Span(doc, number, span) for number, span in enumerate(text["spans"])]
    return facts


def labels() -> dict[Pair, Label]:
    docs = {fact.doc for fact in FACTS if isinstance(fact, Document)}
    rows = table(FOLDER / "labels_dev.tsv")[1:]
    return {(doc, key): Label(choice, numbers(spans)) for doc, key, choice, spans in rows if doc in docs}


def about(doc: str) -> list[Fact]:
    """Return what is given, of one document."""
    return [fact for fact in FACTS if getattr(fact, "doc", doc) == doc]


def spans_of(facts: Iterable[Fact]) -> list[Span]:
    return [fact for fact in facts if isinstance(fact, Span)]


def numbers(listed: str) -> tuple[int, ...]:
    return tuple(map(int, filter(None, listed.split(","))))


FACTS = texts() if FOLDER.is_dir() else []
GOLD = labels() if FOLDER.is_dir() else {}
ONCE = Counter([*GOLD])


# --- a model that knows the labels -----------------------------------------------------------------------------------


def prompt(request: Request) -> str:
    return str(request["messages"][1]["content"])


def asked(text: str) -> Pair:
    ((doc, key),) = re.findall(r"^Document (\S+):.*^Statement (\S+):", text, re.MULTILINE | re.DOTALL)
    return doc, key


def shown(text: str) -> list[tuple[int, str]]:
    """Return the spans that a prompt shows, as they stand there."""
    lines = re.findall(r'^(\d+) (".*")$', text, re.MULTILINE)
    return [(int(number), json.loads(quoted)) for number, quoted in lines]


def answer(request: Request) -> Any:
    """Say what the label says, of the spans that are there."""
    text = prompt(request)
    label, there = GOLD[asked(text)], dict(shown(text))
    return {"items": [{"choice": label.choice, "spans": [number for number in label.spans if number in there]}]}


def pairs(requests: Iterable[Request]) -> Counter[Pair]:
    return Counter(asked(prompt(request)) for request in requests)


# --- a job, and what is asked of it ----------------------------------------------------------------------------------


class Story(NamedTuple):
    """Span 5 of document 82 is struck out, at first with no call to spend on that, and put back in the end."""

    whole: Outcome
    poor: Outcome
    mended: Outcome
    certificate: Certificate
    restored: Outcome
    requests: Sequence[Request]


async def told() -> Story:
    model = ScriptedModel(answer)
    (span,) = (span for span in spans_of(about("82")) if span.number == 5)
    marker = span.invalidate("it was struck out")
    async with judge(model) as engine:
        whole = await engine.run(contract.intent, FACTS, job_id="review")
        poor = await engine.resume("review", [marker], budget={"calls": 204})
        mended = await engine.resume("review", budget={"calls": 1_000})
        certificate = await engine.certify(mended)
        restored = await engine.resume("review", [marker.invalidate("it was put back")])
    return Story(whole, poor, mended, certificate, restored, model.requests)


@pytest.fixture(scope="module")
def story() -> Story:
    return anyio.run(told)


def judge(model: ScriptedModel, store: SQLiteStore | None = None) -> Engine:
    return contract.build(model, judges=1, store=store)


def judgements(outcome: Outcome) -> dict[Pair, str]:
    return {(one.doc, one.hypothesis): one.choice for one in outcome.context.live(Judgement)}


def digests(outcome: Outcome) -> tuple[str, str, str]:
    return outcome.digest, outcome.live_digest, outcome.proof_digest


# --- what is judged --------------------------------------------------------------------------------------------------


def test_twelve_contracts_and_seventeen_statements_are_204_judgements(story: Story):
    """Each label is a judgement, each is asked for once, and the job is done."""
    assert story.whole.converged
    assert judgements(story.whole) == {pair: label.choice for pair, label in GOLD.items()}
    counted = Counter(judgements(story.whole).values())
    assert counted == {"Entailment": 80, "Contradiction": 12, "NotMentioned": 112}
    assert pairs(story.requests[:204]) == ONCE
    assert story.whole.spend.calls == 204


def test_a_judgement_rests_on_its_question_and_on_the_spans_that_the_label_names(story: Story):
    """And on nothing else. What is not mentioned rests on the document: there is no span that says so."""
    spans: dict[tuple[str, int], Fact] = {(span.doc, span.number): span for span in spans_of(FACTS)}
    documents = {fact.doc: fact for fact in FACTS if isinstance(fact, Document)}
    for judgement in story.whole.context.live(Judgement):
        doc, key = judgement.doc, judgement.hypothesis
        gold = {spans[doc, number] for number in GOLD[doc, key].spans}
        assert cited(story.whole.why(judgement)) == {Question(doc, key), *(gold or {documents[doc]})}


def cited(proof: Proof) -> set[Fact]:
    """Return the evidence of what was proposed."""
    (proposed,) = {one.fact: one for one in walked(proof) if isinstance(one.fact, Proposal)}.values()
    return {one.fact for one in proposed.because}


def walked(proof: Proof) -> Iterator[Proof]:
    yield proof
    for reason in proof.because:
        yield from walked(reason)


def test_a_prompt_shows_the_spans_of_its_own_document_in_order_and_no_others(story: Story):
    """However many documents a job has, a question costs what its own document costs."""
    for text in map(prompt, story.requests[:204]):
        assert shown(text) == sorted((span.number, span.text) for span in spans_of(about(asked(text)[0])))


# --- a span that falls -----------------------------------------------------------------------------------------------


def test_an_invalidated_span_drops_the_seven_judgements_that_cite_it_and_no_other(story: Story):
    """With no call left, that is all that happens, and the job says what it could not ask for."""
    assert story.poor.stop.reason is StopReason.BUDGET
    dropped = judgements(story.whole).keys() - judgements(story.poor).keys()
    assert dropped == WITH_SPAN_5
    assert judgements(story.poor).items() < judgements(story.whole).items()


def test_what_lost_its_evidence_is_asked_again_with_the_spans_that_are_left(story: Story):
    """Seven calls, whose prompts show the 40 other spans, and there are 204 judgements again."""
    again = story.requests[204:]
    assert pairs(again) == Counter(WITH_SPAN_5)
    for text in map(prompt, again):
        assert [number for number, _ in shown(text)] == [number for number in range(41) if number != 5]
    assert story.mended.converged
    assert judgements(story.mended) == judgements(story.whole)


def test_the_fixed_point_after_that_is_certified(story: Story):
    """Every capture is found, those of the seven on what was left included."""
    assert story.certificate


def test_taking_the_marker_back_asks_nobody(story: Story):
    """What was judged on all the spans is live again, beside what was judged without the one."""
    assert story.restored.converged
    assert judgements(story.restored) == judgements(story.whole)
    assert len(story.requests) == 204 + 7 == story.restored.spend.calls


# --- a crash ---------------------------------------------------------------------------------------------------------


class Vanishing(SQLiteStore):
    """A file that keeps so many answers, and is out of reach when the next one is to be kept."""

    def __init__(self, path: Path, answers: int) -> None:
        super().__init__(path)
        self._left = answers

    async def append(self, lease: Lease, after: int, rows: Sequence[Row]) -> int:
        """Keep rows while there is room for the answers in them."""
        captures = (capture for row in rows if isinstance(row, Records) for capture in row.captures)
        self._left -= sum(question.name != SAID for question, *_ in captures)
        if self._left < 0:
            raise StoreUnavailable(str(self.path), "it is gone")
        return await super().append(lease, after, rows)


def kept(path: Path) -> Counter[Pair]:
    """Return the questions whose answers a file holds, as plain SQLite reads it."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT answer FROM captures WHERE name = 'ask'").fetchall()
    finally:
        connection.close()
    return pairs(json.loads(answer) for (answer,) in rows)


@pytest.mark.parametrize("answers", [1, 60, 203])
@pytest.mark.asyncio
async def test_a_job_that_crashed_after_k_answers_asks_for_the_others_alone(story: Story, tmp_path: Path, answers: int):
    """204 − k calls, one of them for the second time: that which was in flight at the crash."""
    path, first, second = tmp_path / "jobs.db", ScriptedModel(answer, concurrency=1), ScriptedModel(answer)
    with pytest.raises(StoreUnavailable):
        await judge(first, Vanishing(path, answers)).run(contract.intent, FACTS, job_id="review")
    known = kept(path)
    in_flight = pairs(first.requests) - known
    assert known.total() == answers
    assert in_flight.total() == 1
    resumed = await judge(second, SQLiteStore(path)).resume("review")
    assert len(second.requests) == 204 - answers
    assert pairs(first.requests) + pairs(second.requests) == ONCE + in_flight
    assert digests(resumed) == digests(story.whole)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_job_that_was_killed_asks_for_the_others_alone(story: Story, tmp_path: Path):
    """`kill -9` at the 121st question, of a process of its own."""
    path, diary, second = tmp_path / "jobs.db", tmp_path / "diary", ScriptedModel(answer)
    first = killed(path, diary, 120)
    known = kept(path)
    assert 0 < known.total() <= 120 < first.total()
    resumed = await judge(second, SQLiteStore(path)).resume("review")
    assert len(second.requests) == 204 - known.total()
    assert first + pairs(second.requests) == ONCE + (first - known)
    assert digests(resumed) == digests(story.whole)


def killed(path: Path, diary: Path, answers: int) -> Counter[Pair]:
    """Run the job in a process that dies, and return what it asked."""
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "agents", ROOT / "stores")))
    command = [sys.executable, __file__, str(path), str(diary), str(answers)]
    died = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    return Counter((doc, key) for doc, key in table(diary))


def die_at(path: Path, diary: Path, answers: int) -> None:
    """Run the job and note what is asked; die when it has so many answers and wants another."""
    notes = os.open(diary, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    left = iter(range(answers))

    def last_words(request: Request) -> Any:
        os.write(notes, "\t".join(asked(prompt(request))).encode() + b"\n")
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer(request)

    engine = judge(ScriptedModel(last_words), SQLiteStore(path))
    anyio.run(lambda: engine.run(contract.intent, FACTS, job_id="review"))


# --- a panel ---------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_two_judges_who_agree_are_one_judgement():
    """Each is asked each question, in words of its own, and the labels are what both say."""
    model = ScriptedModel(answer)
    outcome = await contract.build(model, judges=2).run(contract.intent, about("82"))
    assert outcome.converged
    assert judgements(outcome) == {pair: label.choice for pair, label in GOLD.items() if pair[0] == "82"}
    assert pairs(model.requests) == Counter([*judgements(outcome)] * 2)
    assert len({json.dumps(request["messages"]) for request in model.requests}) == 2 * 17


@pytest.mark.asyncio
async def test_two_judges_who_differ_leave_the_judgement_contested():
    """Neither is preferred: both stay, the stop names the key, and the job is not converged."""

    def differing(request: Request) -> Any:
        is_sceptic = JUDGES["sceptic"] in request["messages"][0]["content"]
        if is_sceptic and asked(prompt(request)) == ("82", "nda-4"):
            return {"items": [{"choice": "NotMentioned", "spans": []}]}
        return answer(request)

    outcome = await contract.build(ScriptedModel(differing), judges=2).run(contract.intent, about("82"))
    assert not outcome.converged
    assert outcome.stop.reason is StopReason.CONTESTED
    assert "Judgement ('82', 'nda-4')" in str(outcome.stop)
    both = outcome.context.live(Judgement, ("82", "nda-4"))
    assert {judgement.choice for judgement in both} == {"Entailment", "NotMentioned"}
    assert len(outcome.context.live(Judgement)) == 17 + 1


if __name__ == "__main__":
    die_at(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
