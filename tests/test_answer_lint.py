"""The lint names, by kind and field and with the remedy, each thing a strict server would refuse."""

import types
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, RootModel, SecretStr, create_model
from pydantic.json_schema import WithJsonSchema

from converge import Fact
from converge.errors import AuthorError
from converge_agents.lint import Problem, SchemaInvalid, check, lint


def kind(annotation: Any, name: str = "K", **default: Any) -> type[Fact]:
    """A kind with one field, `x`."""
    space = {"__annotations__": {"x": annotation}, "__module__": __name__, **default}
    made: Any = types.new_class(name, (Fact,), {}, lambda into: into.update(space))
    return made  # type: ignore[no-any-return]


def refused(*kinds: Any) -> list[tuple[str, str]]:
    return [(f"{found.kind}.{found.field}", found.text) for found in lint(kinds) if found.refused]


class Dog(BaseModel):
    of: Literal["dog"]
    barks: bool


class Cat(BaseModel):
    of: Literal["cat"]
    lives: int


class Loud(BaseModel):
    sound: str
    at: int


class Quiet(BaseModel):
    sound: str
    why: str


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Pair(NamedTuple):
    left: int
    right: int


class Mixed(Enum):
    ONE = 1
    TWO = "two"


class Tree(BaseModel):
    name: str
    branches: list["Tree"]


class Undrawn:
    """A class pydantic knows nothing of."""


LONG: Any = {"n" * 65: (int, ...)}
Pet = Annotated[Dog | Cat, Field(discriminator="of")]


@pytest.mark.parametrize(
    ("annotation", "field", "text"),
    [
        (dict[str, int], "x", "a free dict"),
        (dict, "x", "a free dict"),
        (list[dict[str, str]], "x[]", "a free dict"),
        (dict[str, int] | None, "x", "a free dict"),
        (RootModel[dict[str, int]], "x", "a free dict"),
        (Annotated[dict[str, int], Field(min_length=1)], "x", "'minProperties' is refused"),
        (dict[Literal["a", "b"], int], "x", "a free dict with a type for keys"),
        (dict[Annotated[str, Field(pattern="^a$")], int], "x", "a free dict with a pattern for keys"),
        (Pet, "x", "a discriminated union"),
        (list[Pet], "x[]", "a discriminated union"),
        (Loud | Quiet, "x", "a union of objects that begin with the same field"),
        (Open, "x", "open to further fields"),
        (Any, "x", "no type is declared"),
        (object, "x", "no type is declared"),
        (list, "x[]", "no type is declared"),
        (list[Any], "x[]", "no type is declared"),
        (tuple, "x[]", "no type is declared"),
        (set[str], "x", "a set"),
        (frozenset[str], "x", "a set"),
        (tuple[int, str], "x", "a tuple of fixed length"),
        (Pair, "x", "a tuple of fixed length"),
        (bytes, "x", "the format 'binary' is refused"),
        (Path, "x", "the format 'path' is refused"),
        (AnyUrl, "x", "the format 'uri' is refused"),
        (SecretStr, "x", "the format 'password' is refused"),
        (Literal["a", 1], "x", "of several types"),
        (Literal["a", None], "x", "of several types"),
        (Mixed, "x", "of several types"),
        (Annotated[str, WithJsonSchema({"type": "string", "pattern": "^(?!a)b"})], "x", "looks around or back"),
        (Annotated[str, WithJsonSchema({"type": "string", "pattern": r"(a)\1"})], "x", "looks around or back"),
        (Annotated[str, WithJsonSchema({"type": "string", "contentEncoding": "base64"})], "x", "'contentEncoding'"),
        (Annotated[int, WithJsonSchema({"allOf": [{"type": "integer"}]})], "x", "an intersection"),
        (Annotated[int, WithJsonSchema({"not": {"type": "string"}})], "x", "'not' is refused"),
        (create_model("Named", grün=(int, ...)), "x.grün", "its name is refused"),
        (create_model("Named", **LONG), "x." + "n" * 65, "its name is refused"),
        (Callable[[], int], "x", "there is no JSON schema for its type"),
    ],
)
def test_what_a_strict_server_refuses_is_named_by_kind_and_field(annotation: Any, field: str, text: str) -> None:
    assert any(where == f"K.{field}" and text in said for where, said in refused(kind(annotation)))


@pytest.mark.parametrize(
    "annotation",
    [
        str,
        int | None,
        int | str,
        list[str],
        tuple[str, ...],
        list[list[int]],
        Dog,
        Dog | Cat,
        Dog | None,
        Literal["a"],
        Literal[1, 2],
        RootModel[list[int]],
        Tree,
        datetime,
        date,
        time,
        timedelta,
        UUID,
        IPv4Address,
        Decimal,
        Annotated[str, Field(pattern=r"^\d+\.\w(?:a|b)$")],
        Annotated[str, Field(min_length=1, max_length=3)],
        Annotated[int, Field(ge=0, lt=9, multiple_of=3)],
        Annotated[list[int], Field(min_length=1, max_length=3)],
        Annotated[str, Field(examples=["a"], deprecated=True)],
        None,
    ],
)
def test_what_servers_take_is_not_refused(annotation: Any) -> None:
    assert refused(kind(annotation)) == []


def test_everything_wrong_is_said_at_once_in_one_error_a_line_each() -> None:
    class Risk(Fact):
        name: str
        details: dict[str, str]
        tags: set[str]

    class Note(Fact):
        about: Any

    with pytest.raises(SchemaInvalid) as caught:
        check([Risk, Note])
    assert isinstance(caught.value, AuthorError)
    assert str(caught.value).splitlines() == [
        "a strict server would refuse the schema of these kinds:",
        "  Risk.details: a free dict, whose keys are not known: use a list of a model with a field for the key",
        "  Risk.tags: a set: use tuple[X, ...] or list[X]",
        "  Note.about: no type is declared (Any, object or a bare list): declare the type of what is expected",
    ]
    assert [problem.kind for problem in caught.value.problems] == ["Risk", "Risk", "Note"]


def test_kinds_with_nothing_wrong_are_given_their_form() -> None:
    form = check([kind(str)], evidence=True)
    assert form.evidence
    assert form.response_format["json_schema"]["strict"] is True


def test_a_default_is_no_refusal_and_what_becomes_of_it_is_said() -> None:
    [found] = lint([kind(int, x=3)])
    assert not found.refused
    assert str(found) == (
        "K.x: its default is left out of the schema, where every field is required: "
        "say in its description when to answer what"
    )


def test_a_default_made_by_a_factory_or_unknown_to_json_is_said_too() -> None:
    made = lint([kind(list[int], x=Field(default_factory=list)), kind(str, "L", x=object())])
    assert [(found.kind, found.refused) for found in made] == [("K", False), ("L", False)]


def test_a_default_of_none_is_worth_no_word() -> None:
    assert lint([kind(int | None, x=None)]) == []


@pytest.mark.parametrize(("annotation", "text"), [(Decimal, "asked for as text"), (Tree, "holds itself")])
def test_what_is_sent_in_another_form_or_not_taken_everywhere_is_said(annotation: Any, text: str) -> None:
    assert [(found.refused, text in found.text) for found in lint([kind(annotation)])] == [(False, True)]


@pytest.mark.parametrize("given", [int, RootModel[list[int]], list[int], Dog, "Risk"])
def test_what_is_not_a_kind_is_a_problem_by_its_name(given: Any) -> None:
    [found] = lint([given])
    assert found.refused
    assert found.text == "this is not a kind"
    assert "an object" in found.remedy


def test_a_type_that_is_not_defined_is_named() -> None:
    [found] = [found for found in lint([kind("NoSuchThing")]) if found.refused]
    assert (found.kind, found.field) == ("K", "x")


def test_a_part_that_several_fields_share_is_named_once() -> None:
    shared: Any = create_model("Shared", notes=(dict[str, str], ...))
    assert [where for where, _ in refused(kind(tuple[shared, ...] | shared))] == ["K.x[].notes"]


def test_two_kinds_of_one_name_are_told_apart_by_their_labels() -> None:
    class Risk(Fact, version=2):
        x: Any

    assert refused(kind(Any, "Risk"), Risk) == [
        ("Risk.x", "no type is declared (Any, object or a bare list)"),
        ("Risk@2.x", "no type is declared (Any, object or a bare list)"),
    ]


# --- limits ---------------------------------------------------------------------------------------------------------


def deep(levels: int) -> Any:
    made: Any = str
    for _ in range(levels):
        made = create_model("Level", down=(made, ...))
    return made


def test_ten_levels_are_taken_and_eleven_are_not() -> None:
    assert refused(kind(deep(7))) == []  # the answer, its list and the kind are three
    assert refused(kind(deep(8))) == [("K.", "the schema has 11 levels within each other and 10 is the limit")]


def test_an_item_that_cites_is_a_level_of_its_own() -> None:
    assert [found.text for found in lint([kind(deep(7))], evidence=True)] == [
        "the schema has 11 levels within each other and 10 is the limit"
    ]


def test_a_thousand_values_of_enums_are_taken_over_all_kinds_and_not_one_more() -> None:
    def values(count: int, name: str) -> type[Fact]:
        return kind(Enum(name, {f"v{place}": place for place in range(count)}), name)

    assert refused(values(500, "A"), values(500, "B")) == []
    assert lint([values(500, "A"), values(501, "B")]) == [
        Problem("", "", "the schema has 1,001 values in enums and 1,000 is the limit", "use str and a validator")
    ]
    assert str(lint([values(500, "A"), values(501, "B")])[0]).startswith("all kinds together: ")


def test_an_enum_of_many_long_texts_is_refused() -> None:
    def texts(count: int, length: int) -> type[Fact]:
        return kind(Enum("E", {f"v{place}": f"{place:0{length}}" for place in range(count)}))

    assert refused(texts(250, 70)) == []
    assert refused(texts(251, 50)) == []
    assert refused(texts(251, 60)) == [
        ("K.", "the schema has 15,060 characters in one enum of 251 values and 15,000 is the limit")
    ]


@pytest.mark.slow
def test_five_thousand_fields_are_the_limit() -> None:
    def wide(count: int) -> type[Fact]:
        fields: Any = {f"f{place}": (int, ...) for place in range(count)}
        return kind(create_model("Wide", **fields))

    assert refused(wide(4_998)) == []  # and `items` and `x`
    assert refused(wide(4_999)) == [("K.", "the schema has 5,001 fields and 5,000 is the limit")]


def test_the_characters_of_all_names_are_counted() -> None:
    fields: Any = {f"f{place:059}": (int, ...) for place in range(2_000)}
    assert refused(kind(create_model("Wide", **fields))) == [
        ("K.", "the schema has 120,011 characters in names and values and 120,000 is the limit")
    ]
