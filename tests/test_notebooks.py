"""What notebooks show and tables take: outcomes, facts and proofs as HTML, facts as records."""

import json
from typing import Any

import pytest

from converge import Engine, Fact, Outcome, agent, run


class Signal(Fact):
    text: str


class Risk(Fact, key="name"):
    name: str
    severity: int
    tags: list[str]
    more: dict[str, Any]


@agent(reads=Signal, writes=Risk)
def assess(view):
    for signal in view.new(Signal):
        yield Risk(signal.text, len(signal.text), ["new"], {signal.text: 1}).because(signal)


@pytest.fixture
def outcome() -> Outcome:
    return run(Engine([assess]), "find the <risks>", [Signal("late"), Signal("<b>lost</b>")])


def test_a_fact_is_a_table_of_its_fields():
    shown = Signal("<b>bold</b>")._repr_html_()
    assert shown.startswith("<table><caption>Signal</caption>")
    assert "&lt;b&gt;bold&lt;/b&gt;" in shown
    assert "<b>" not in shown


def test_an_outcome_shows_why_it_stopped_and_each_conclusion_with_its_proof(outcome: Outcome):
    """Without a browser, it can be read as text as well."""
    shown = outcome._repr_html_()
    assert "fixed point: no agent would add anything" in shown
    assert shown.count('<span class="kind">Risk</span>') == shown.count('<span class="kind">Signal</span>') == 2
    assert "<b>" not in shown
    assert "&lt;risks&gt;" in shown


def test_a_proof_shows_as_html(outcome: Outcome):
    shown = outcome.why(["Risk", "late"])._repr_html_()
    assert '<span class="kind">Risk</span>' in shown


def test_records_of_a_kind_have_its_fields_as_columns(outcome: Outcome):
    """Whoever reads them needs no case for what is missing: all have the same names."""
    rows = outcome.to_records(Risk)
    assert [row["name"] for row in rows] == [fact.name for fact in outcome.context.all(Risk)]
    for row in rows:
        assert list(row) == [*META, "more", "name", "severity", "tags"]
        assert (row["fact_label"], row["fact_round"], row["fact_agents"], row["tags"]) == (
            "live",
            1,
            ["assess"],
            ["new"],
        )
        assert json.loads(row["more"]) == {row["name"]: 1}
    assert rows == outcome.to_records("Risk")


META = ["fact_id", "fact_kind", "fact_label", "fact_round", "fact_agents"]


def test_records_of_all_kinds_hold_their_content_as_text(outcome: Outcome):
    rows = outcome.to_records()
    assert [row["fact_kind"] for row in rows] == ["Risk", "Risk", "Signal", "Signal"]
    assert all(list(row) == [*META, "fact"] for row in rows)
    assert {json.loads(row["fact"])["text"] for row in rows[2:]} == {"late", "<b>lost</b>"}


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_records_are_read_as_they_are(outcome: Outcome, library: str):
    frames = pytest.importorskip(library)
    for rows in (outcome.to_records(), outcome.to_records(Risk)):
        frame = frames.DataFrame(rows)
        assert list(frame.columns) == list(rows[0])
        assert len(frame) == len(rows)
