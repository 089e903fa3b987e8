"""What an LLM is asked for and what is read from its answer: facts there and back, and one error for all else."""

import copy
import json
import subprocess
import sys
import types
from contextlib import suppress
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model, field_validator

from converge import Fact
from converge.errors import KindInvalid
from converge.fact import id_of
from converge_agents.answers import AnswerUnfit, Item, object_in, read, references, write
from converge_agents.lint import lint
from converge_agents.schema import AnswerForm


class Risk(Fact, key="name"):
    """What may go wrong."""

    name: str
    severity: Annotated[int, Field(ge=0, le=10, description="how bad it would be")] = 3


class Doubt(Fact):
    about: str


RISK, FIRE = Risk(name="flood", severity=7), Doubt(about="fire")
ONE = AnswerForm([Risk])
CITING = AnswerForm([Risk, Doubt], evidence=True, confidence=True)
SHOWN = references([RISK, FIRE])


def problems(text: str, form: AnswerForm = ONE, **limits: int) -> tuple[tuple[str, str], ...]:
    with pytest.raises(AnswerUnfit) as caught:
        read(text, form, SHOWN, **limits)
    return caught.value.problems


# --- kinds at random ------------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


NAMES = st.sampled_from(["a", "b", "default", "title", "evidence", "items", "json", "examples"])
LEAVES = [
    (str, st.text()),
    (int, st.integers()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (Colour, st.sampled_from(Colour)),
    (Literal["x", "y"], st.sampled_from(["x", "y"])),
    (Literal[1, 2], st.sampled_from([1, 2])),
]
Typed = tuple[Any, st.SearchStrategy[Any]]


@st.composite
def typed(draw: Any, depth: int = 2) -> Typed:
    """An annotation and its values."""
    shape = draw(st.sampled_from(["leaf", "leaf", "list", "tuple", "optional", "model"] if depth else ["leaf"]))
    if shape == "leaf":
        return draw(st.sampled_from(LEAVES))  # type: ignore[no-any-return]
    if shape == "model":
        parts = draw(st.dictionaries(NAMES.filter(lambda name: name != "json"), typed(depth=depth - 1), max_size=3))
        fields: dict[str, Any] = {name: (annotation, ...) for name, (annotation, _) in parts.items()}
        made: Any = create_model("Part", **fields)
        return made, st.builds(made, **{name: values for name, (_, values) in parts.items()})
    annotation: Any
    annotation, values = draw(typed(depth=depth - 1))
    match shape:
        case "list":
            return list[annotation], st.lists(values, max_size=3)
        case "tuple":
            return tuple[annotation, ...], st.lists(values, max_size=3).map(tuple)
        case _:
            return annotation | None, st.none() | values


@st.composite
def stated(draw: Any) -> tuple[AnswerForm, list[Item]]:
    """A form of one to three kinds, and what an answer of it says about them."""
    kinds: list[type[Fact]] = []
    items: list[Item] = []
    for name in draw(st.sampled_from([["One"], ["One", "Two"], ["One", "Two", "One"]])):
        fields = draw(st.dictionaries(NAMES, typed(), min_size=1, max_size=4))
        annotations = {field: annotation for field, (annotation, _) in fields.items()}
        body = partial(dict.update, __annotations__=annotations, __module__=__name__)
        kind: Any = types.new_class(name, (Fact,), {"version": len(kinds) + 1}, body)
        kinds.append(kind)
        facts = draw(st.lists(st.builds(kind, **{field: values for field, (_, values) in fields.items()}), max_size=3))
        items += [Item(fact) for fact in facts]
    form = AnswerForm(kinds, evidence=draw(st.booleans()), confidence=draw(st.booleans()))
    cited = st.lists(st.sampled_from([RISK, FIRE]), unique=True).map(tuple) if form.evidence else st.just(())
    sure = st.floats(0, 1) if form.confidence else st.none()
    return form, [Item(item.fact, draw(cited), draw(sure)) for item in items]


@settings(max_examples=60, deadline=None)
@given(stated())
def test_what_is_written_as_an_answer_is_read_as_the_same_facts(given: tuple[AnswerForm, list[Item]]) -> None:
    form, items = given
    again = read(write(items, form, SHOWN), form, SHOWN)
    assert [id_of(item.fact) for item in again] == [id_of(item.fact) for item in items]
    assert again == items


@settings(max_examples=40, deadline=None)
@given(stated())
def test_kinds_of_plain_types_are_not_refused_and_their_schema_is_within_the_subset(
    given: tuple[AnswerForm, list[Item]],
) -> None:
    form, _ = given
    assert not [found for found in lint(form.kinds) if found.refused]
    within_the_subset(form.schema)


@settings(max_examples=40, deadline=None)
@given(stated())
def test_the_schema_accepts_what_is_written_and_neither_it_nor_reading_accepts_more_or_fewer_fields(
    given: tuple[AnswerForm, list[Item]],
) -> None:
    jsonschema: Any = pytest.importorskip("jsonschema", reason="pip install jsonschema: an outside judge of schemas")
    form, items = given
    valid = jsonschema.Draft202012Validator(form.schema).is_valid
    answer = json.loads(write(items, form, SHOWN))
    assert valid(answer)
    for wrong in changed(answer):
        assert not valid(wrong)
        assert problems(json.dumps(wrong), form)


def changed(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer with one field more, and with one less, at the root and in the first item of each list."""
    places: list[list[Any]] = [[], *([name, 0] for name, items in answer.items() if items)]
    wrong = []
    for place in places:
        for more in (True, False):
            whole = copy.deepcopy(answer)
            part: Any = whole
            for step in place:
                part = part[step]
            if more:
                part["surplus"] = 1
            else:
                part.pop(next(iter(part)))
            wrong.append(whole)
    return wrong


TAKEN = {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs"}
TAKEN |= {"title", "description", "pattern", "format", "multipleOf", "minimum", "maximum", "minItems", "maxItems"}


def within_the_subset(node: dict[str, Any]) -> None:
    """Hold a schema against the documented subset, by other code than the lint's."""
    assert node.keys() <= TAKEN
    assert "$ref" not in node or len(node) == 1
    assert node.keys() & {"type", "anyOf", "$ref"}
    if node.get("type") == "object":
        assert node["additionalProperties"] is False
        assert set(node["required"]) == set(node["properties"])
    parts = [*node.get("properties", {}).values(), *node.get("$defs", {}).values(), *node.get("anyOf", ())]
    for part in [*parts, *([node["items"]] if node.get("type") == "array" else [])]:
        within_the_subset(part)


# --- what is asked for ----------------------------------------------------------------------------------------------


def test_one_kind_is_asked_for_as_items_and_several_by_their_names() -> None:
    assert list(ONE.lists) == ["items"]
    assert list(CITING.lists) == ["Risk", "Doubt"]


def test_kinds_whose_names_would_be_refused_or_fall_together_get_names_of_their_own() -> None:
    class Groesse(Fact, name="grö.ße"):
        cm: int

    class Other(Fact, name="gr__ße"):
        cm: int

    assert list(AnswerForm([Groesse, Other]).lists) == ["gr___e", "gr___e_2"]


def test_two_kinds_of_one_class_name_stay_apart() -> None:
    def kind(version: int) -> type[Fact]:
        class Same(Fact, version=version):
            at: int

        return Same

    form = AnswerForm([kind(1), kind(2)], evidence=True)
    items = [Item(cls(at=place)) for place, cls in enumerate(form.kinds)]  # type: ignore[call-arg]
    assert read(write(items, form), form) == items


def test_the_words_of_the_author_are_in_the_schema() -> None:
    risk = ONE.schema["$defs"]["Risk"]
    assert risk["description"] == "What may go wrong."
    assert risk["properties"]["severity"]["description"] == "how bad it would be"


def test_every_field_is_required_and_no_default_is_sent() -> None:
    risk = ONE.schema["$defs"]["Risk"]
    assert risk["required"] == ["name", "severity"]
    assert risk["additionalProperties"] is False
    assert "default" not in risk["properties"]["severity"]


def test_a_field_may_be_called_like_a_keyword_or_like_a_part_of_an_item() -> None:
    class Odd(Fact):
        default: str
        examples: int
        evidence: str
        confidence: str

    form = AnswerForm([Odd], evidence=True, confidence=True)
    odd = Item(Odd(default="d", examples=1, evidence="e", confidence="c"), (RISK,), 0.5)
    assert set(form.schema["$defs"]["Odd"]["properties"]) == {"default", "examples", "evidence", "confidence"}
    assert read(write([odd], form, SHOWN), form, SHOWN) == [odd]


def test_the_response_format_is_strict_and_named_in_plain_letters() -> None:
    sent = ONE.response_format
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["strict"] is True
    assert sent["json_schema"]["name"] == "answer"
    within_the_subset(sent["json_schema"]["schema"])


def test_a_decimal_is_asked_for_as_text_and_read_exactly() -> None:
    class Price(Fact):
        euros: Decimal

    form = AnswerForm([Price])
    assert form.schema["$defs"]["Price"]["properties"]["euros"] == {"type": "string"}
    assert read('{"items":[{"euros":"0.10000000000000000001"}]}', form)[0].fact == Price(
        euros=Decimal("0.10000000000000000001")
    )


def test_an_answer_needs_a_kind() -> None:
    with pytest.raises(TypeError, match="at least one kind"):
        AnswerForm([])
    with pytest.raises(TypeError, match="subclass of Fact"):
        AnswerForm([int])  # type: ignore[list-item]


def test_the_sdk_is_imported_by_the_schema_alone() -> None:
    program = (
        "import sys\n"
        "from converge import Fact\n"
        "from converge_agents.answers import read\n"
        "from converge_agents.lint import check\n"
        "class A(Fact):\n    x: int\n"
        "form = check([A]); read('{\"items\": []}', form)\n"
        "assert 'openai' not in sys.modules\n"
        "assert form.schema and 'openai' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(sys.path)})


# --- what is read ---------------------------------------------------------------------------------------------------


def test_an_answer_is_read_kind_by_kind_with_what_it_cites() -> None:
    items = [Item(RISK, (FIRE, RISK), 0.25), Item(FIRE, (), 1.0)]
    assert read(write(items, CITING, SHOWN), CITING, SHOWN) == items


def test_a_reference_in_brackets_and_one_given_twice_is_one_reference() -> None:
    text = '{"Risk": [], "Doubt": [{"evidence": ["[F2]", "F2"], "fact": {"about": "x"}, "confidence": 1}]}'
    assert read(text, CITING, SHOWN)[0].evidence == (FIRE,)


def test_a_reference_to_no_fact_shown_is_named() -> None:
    text = '{"Risk": [], "Doubt": [{"evidence": ["F1", "F9"], "fact": {"about": "x"}, "confidence": 1}]}'
    assert problems(text, CITING) == (("Doubt.0.evidence", "there is no 'F9': the facts shown are F1 to F2"),)
    with pytest.raises(AnswerUnfit, match="no facts were shown"):
        read(text, CITING)


@pytest.mark.parametrize("confidence", [1.01, -0.01, None, "sure"])
def test_a_confidence_that_is_none_is_refused(confidence: object) -> None:
    item = {"evidence": [], "fact": {"about": "x"}, "confidence": confidence}
    [(path, _)] = problems(json.dumps({"Risk": [], "Doubt": [item]}), CITING)
    assert path == "Doubt.0.confidence"


def test_each_field_that_is_wrong_is_named_by_its_path() -> None:
    text = '{"items": [{"name": "a", "severity": 11}, {"severity": "x"}, {"name": "b", "severity": 1, "job": "end"}]}'
    assert [path for path, _ in problems(text)] == [
        "items.0.severity",
        "items.1.name",
        "items.1.severity",
        "items.2.job",
    ]


def test_a_missing_field_with_a_default_takes_it() -> None:
    assert read('{"items": [{"name": "a"}]}', ONE)[0].fact == Risk(name="a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "null",
        "[]",
        "3",
        '"items"',
        "{",
        '{"items": [{"name": "a"',
        '{"items": [{"name": "a"}]} and more',
        "```json\n{}\n```",
        "{}",
        '{"items": null}',
        '{"items": {"name": "a"}}',
        '{"items": [[]]}',
        '{"items": [null]}',
        '{"items": [{"name": "\\ud800"}]}',
        '{"items": [{"name": "a", "severity": NaN}]}',
        '{"items": [{"name": "a", "severity": 1e999}]}',
        '{"items": ' + "[" * 5_000 + "]" * 5_000 + "}",
        '{"items": [], "items ": []}',
        "\ud800",
    ],
)
def test_whatever_is_no_answer_raises_the_one_error(text: str) -> None:
    assert problems(text)


@settings(max_examples=100, deadline=None)
@given(st.text() | st.recursive(st.none() | st.text(), lambda part: st.lists(part) | st.dictionaries(st.text(), part)))
def test_any_text_and_any_json_is_read_or_raises_the_one_error(content: Any) -> None:
    for text in (str(content), json.dumps(content), json.dumps({"items": content})):
        for attempt in (lambda text=text: read(text, ONE), lambda text=text: object_in(text)):
            with suppress(AnswerUnfit):
                attempt()


def test_no_text_at_all_raises_the_one_error() -> None:
    with pytest.raises(AnswerUnfit, match="no text"):
        read(None, ONE)  # type: ignore[arg-type]  # what a refusal leaves in its place


def test_a_validator_that_fails_in_its_own_way_raises_the_one_error() -> None:
    class Ratio(Fact):
        part: int

        @field_validator("part")
        @classmethod
        def _divides(cls, part: int) -> int:
            return part + 1 // part * 0

    with pytest.raises(AnswerUnfit, match="ZeroDivisionError"):
        read('{"items": [{"part": 0}]}', AnswerForm([Ratio]))


def test_a_kind_that_no_answer_can_be_read_back_from_is_its_authors_error() -> None:
    class Renamed(Fact):
        part: Annotated[int, Field(alias="share")]

    with pytest.raises(KindInvalid, match="does not read back"):
        read('{"items": [{"share": 1}]}', AnswerForm([Renamed]))


def test_a_number_that_json_cannot_hold_is_named_inside_a_nested_model_too() -> None:
    class Part(BaseModel):
        share: float

    class Whole(Fact):
        part: Part

    with pytest.raises(AnswerUnfit):
        read('{"items": [{"part": {"share": 1e999}}]}', AnswerForm([Whole]))


def test_an_answer_with_too_many_items_is_refused_before_any_is_looked_at() -> None:
    text = json.dumps({"items": [{"name": str(place)} for place in range(4)]})
    assert len(read(text, ONE, max_items=4)) == 4
    assert problems(text, max_items=3) == (("", "it has 4 items and 3 is the limit"),)


def test_an_answer_with_too_many_bytes_is_refused_unread() -> None:
    text = '{"items": [{"name": "ä"}]}'
    assert read(text, ONE, max_bytes=27)
    assert problems(text, max_bytes=26) == (("", "it has 27 bytes and 26 is the limit"),)


def test_an_error_says_what_to_send_back_and_stays_short_whatever_the_answer_was() -> None:
    with pytest.raises(AnswerUnfit) as caught:
        read(json.dumps({"items": [{"x" * 500: 1}] * 900}), ONE)
    assert len(caught.value.repair) < 5_000
    assert "and 1790 more" in str(caught.value)
    assert caught.value.repair.endswith("Answer again with the whole JSON object, mended, and with nothing else.")


def test_the_facts_read_cannot_be_changed() -> None:
    class Several(Fact):
        names: list[str]

    several: Any = read('{"items": [{"names": ["a"]}]}', AnswerForm([Several]))[0].fact
    with pytest.raises(TypeError, match="cannot be changed"):
        several.names.append("b")


# --- text around the object -----------------------------------------------------------------------------------------

ANSWER = '{"items": [{"name": "a {b}", "severity": 1}]}'


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        f"```json\n{ANSWER}\n```",
        f"Sure! Here it is:\n\n```\n{ANSWER}\n```\nAnything else?",
        f"In the set {{a, b}} I see {{ }} nothing.\n{ANSWER} }} done {{",
        f'As asked, {{"items": [...]}} becomes {ANSWER}',
        f"[{ANSWER}]",
    ],
)
def test_the_one_object_is_found_in_the_text_around_it(text: str) -> None:
    assert object_in(text) == ANSWER


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I would rather not.", "no whole JSON object"),
        (ANSWER[:-1], "no whole JSON object"),
        (f'{{"wrapped": {ANSWER}', "no whole JSON object"),
        (f'{{"broken": oops, "wrapped": {ANSWER}}}', "no whole JSON object"),
        (f"{ANSWER} or rather {ANSWER}", "there are 2 JSON objects"),
        ('{"a": ' * 5_000, "no whole JSON object"),
    ],
)
def test_no_object_is_guessed(text: str, reason: str) -> None:
    with pytest.raises(AnswerUnfit, match=reason):
        object_in(text)


def test_the_search_for_an_object_is_bounded() -> None:
    with pytest.raises(AnswerUnfit, match="the limit"):
        object_in("x" * 11, max_bytes=10)
