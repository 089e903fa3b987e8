"""`converge schema`: what other programs check facts against is what Converge reads and writes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Engine, Fact, agent
from converge.fact import Invalidation, id_of, identified, kind_of
from converge.jsonl import fact_line, lines_schema
from converge.testing import facts_of
from tests.commands import Cli, command_line
from tests.test_cli_plan import SHOP
from tests.test_frames import Risk, Wide


class Renamed(Fact, name="Risk", version=2):
    title: str


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with command_line(tmp_path, {"shop.py": SHOP}, monkeypatch, capsys) as run:
        yield run


KINDS = Engine([agent(reads=[Wide, Risk, Renamed], name="reader")(lambda view: None)]).kinds
LINES = lines_schema(KINDS)


@given(st.one_of(facts_of(Wide), facts_of(Risk), facts_of(Renamed)))
@settings(max_examples=60)
def test_every_line_that_is_written_fits_the_schema(fact: Fact):
    """Whatever the kind; a marker on it as well."""
    for one in (fact, fact.invalidate("no longer")):
        jsonschema.validate(json.loads(fact_line(one)), LINES)
    jsonschema.validate(json.loads(identified(fact)[2]), kind_of(fact).json_schema())


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "Risk", "fact": {"name": "fire"}},
        {"kind": "Risk", "fact": {"name": "fire", "severity": 1, "more": 2}},
        {"kind": "Risk", "version": 2, "fact": {"name": "fire", "severity": 1}},
        {"kind": "Risc", "fact": {"name": "fire", "severity": 1}},
        {"kind": "Risk", "fact": {"name": "fire", "severity": 1}, "more": 1},
    ],
)
def test_a_line_that_would_be_refused_does_not_fit(line: Any):
    """A field that is missing or too much, another version, an unknown kind."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(line, LINES)


def test_the_schema_of_a_target_is_printed(cli: Cli):
    """A module may print: that goes elsewhere. With --json it is the same."""
    ran = cli("schema", "shop:engine")
    assert ran.code == 0
    assert [line["title"] for line in ran.data["oneOf"]] == ["Offer", "Choice", "Ban", "Invalidation"]
    jsonschema.Draft202012Validator.check_schema(ran.data)
    jsonschema.validate({"kind": "Ban", "fact": {"shop": "one"}}, ran.data)
    marker = Invalidation(target=id_of(Risk("fire", 1)), reason="law")
    jsonschema.validate(json.loads(fact_line(marker)), ran.data)
    assert cli("schema", "shop:engine", "--json").data == ran.data


def test_the_schema_of_one_kind_is_that_of_its_content(cli: Cli):
    told = cli("schema", "shop:engine", "Offer").data
    assert (told["title"], told["required"]) == ("Offer", ["shop"])


def test_an_unknown_kind_is_refused_with_a_hint(cli: Cli):
    ran = cli("schema", "shop:engine", "Ofer")
    assert ran.code == 2
    assert "error: KIND: no agent of the target declares 'Ofer': did you mean Offer?" in ran.err
    assert "it has Ban, Choice, Offer" in cli("schema", "shop:engine", "Xyz").err
