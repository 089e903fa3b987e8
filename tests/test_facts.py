"""Identity is content: equal content gives one id whatever its form, its author's machine or the order it came in."""

import dataclasses
import json
import math
import pickle
import subprocess
import sys
import unicodedata
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from typing import Any

import pydantic
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

import converge
from converge import Fact, Invalidation, RootIntent, agent, id_of, kind_of
from converge.errors import FactInvalid, FactTooLarge, KindInvalid
from converge.fact import Failure, identified
from converge.intent import Budget
from converge.kind import MAX_FACT_BYTES


class Risk(Fact, key=("name",)):
    name: str
    severity: int


class Reversed(Fact, name="Risk"):
    severity: int
    name: str


class Newer(Fact, name="Risk", version=2):
    name: str
    severity: int


@dataclasses.dataclass
class Point:
    y: float
    x: float


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Nested(pydantic.BaseModel):
    z: int
    a: set[str]


class Typed(TypedDict):
    z: int
    a: int


class Mixed(Fact):
    text: str
    labels: frozenset[str]
    limits: dict[str, float]
    at: datetime


class Anything(Fact):
    content: Any


class Numbers(Fact):
    values: list[float]


class Sets(Fact):
    sets: set[frozenset[int]]


class Words(Fact):
    words: set[str]


class Moment(Fact):
    at: datetime


class Holder(Fact):
    point: Point


class Deep(Fact):
    nested: Nested
    typed: Typed
    levels: dict[str, set[Level]]
    price: Decimal
    day: date | None = None


class Named(Fact):
    id: str
    kind: str
    key: str


words = st.text(max_size=6)
numbers = st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
moments = st.datetimes(min_value=datetime(1900, 1, 2), max_value=datetime(2199, 1, 1))  # noqa: DTZ001 -- zones come below
zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def body_of(fact: Fact) -> str:
    return identified(fact)[2].decode()


# --- the encoding, written out so that a change of it is noticed -----------------------------------------------------


def test_an_id_is_the_kind_and_a_digest_of_the_content():
    """The digest is BLAKE2b of the canonical JSON, 16 bytes in hex."""
    body = b'{"name":"late","severity":3}'
    assert id_of(Risk("late", 3)) == f"Risk:{blake2b(body, digest_size=16).hexdigest()}"


@pytest.mark.parametrize(
    ("fact", "body", "known"),
    [
        (Risk("late", 3), '{"name":"late","severity":3}', "Risk:c1f83c89aaf6b3068072f345b973cabf"),
        (Newer("late", 3), '{"name":"late","severity":3}', "Risk@2:c1f83c89aaf6b3068072f345b973cabf"),
        (
            Mixed("e\u0301", frozenset("ba"), {"low": -0.0, "high": 1.5}, datetime(2024, 2, 29, 11, 30, tzinfo=UTC)),
            '{"at":"2024-02-29T11:30:00Z","labels":["a","b"],"limits":{"high":1.5,"low":0.0},"text":"\u00e9"}',
            "Mixed:af18d4fb1d259e43cc1b04db9c845445",
        ),
        (
            Risk("late", 3).invalidate("new regulation"),
            '{"reason":"new regulation","target":"Risk:c1f83c89aaf6b3068072f345b973cabf"}',
            "Invalidation:6f123a9fb33f4e82b019747777a38ef4",
        ),
        (
            RootIntent("find the risks", budget=Budget(rounds=3)),
            '{"constraints":[],"objective":"find the risks","scope":[],"success":[]}',
            "RootIntent:57c6aa2a8f9025205424fb16904754f3",
        ),
        (
            Failure("a", "v", "ValueError"),
            '{"agent":"a","error":"ValueError","view":"v"}',
            "Failure:fc201387e156a38fecf53c14ce337eeb",
        ),
    ],
    ids=["plain", "version", "mixed", "invalidation", "intent", "failure"],
)
def test_a_known_content_keeps_its_id_for_ever(fact: Fact, body: str, known: str):
    """Stored jobs are compared by these very ids, so no release may change them."""
    assert body_of(fact) == body
    assert id_of(fact) == known


# --- one content in many forms ---------------------------------------------------------------------------------------


def test_the_order_of_fields_in_the_class_is_not_content():
    """A kind may be written down in another order without becoming another kind."""
    assert id_of(Reversed(severity=3, name="late")) == id_of(Risk("late", 3))


@given(words, st.sets(words), st.dictionaries(words, numbers), moments, st.randoms())
def test_a_permutation_of_sets_and_mappings_is_the_same_fact(text, labels, limits, at, order):
    """Insertion order shows in no id."""
    shuffled, pairs = list(labels), list(limits.items())
    order.shuffle(shuffled)
    order.shuffle(pairs)
    one = Mixed(text, frozenset(labels), limits, at.replace(tzinfo=UTC))
    other = Mixed(text, frozenset(shuffled), dict(pairs), at.replace(tzinfo=UTC))
    assert id_of(one) == id_of(other)


@given(st.sets(st.frozensets(st.integers(0, 40), max_size=4), max_size=5), st.randoms())
def test_sets_within_sets_are_sorted_by_their_encoding(sets, order):
    """What hash order a set has in memory shows nowhere."""
    shuffled = [frozenset(order.sample(sorted(inner), len(inner))) for inner in sets]
    order.shuffle(shuffled)
    assert body_of(Sets(sets)) == body_of(Sets(set(shuffled)))


@given(plain, st.randoms())
def test_the_order_of_keys_in_undeclared_content_is_not_content(content, order):
    """A mapping inside a field of type Any is sorted like a declared one."""

    def shuffled(value):
        if isinstance(value, dict):
            return {key: shuffled(value[key]) for key in order.sample(sorted(value), len(value))}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    assert id_of(Anything(content)) == id_of(Anything(shuffled(content)))


@pytest.mark.parametrize("wrap", [lambda inner: inner, lambda inner: {"of": inner}, lambda inner: [inner, {1}]])
def test_a_set_inside_undeclared_content_has_no_order(wrap):
    """0 and 8 fall into one slot of a small table, so the two sets iterate differently within one process."""
    one, other = set([0, 8]), set([8, 0])  # noqa: C405 -- a display would be made in one order
    assert list(one) != list(other)
    assert id_of(Anything(wrap(one))) == id_of(Anything(wrap(other)))


@given(words)
def test_text_is_compared_in_nfc(text):
    """A letter with its accent is the same content however it was composed, as text, key or member of a set."""
    composed, decomposed = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
    for form in (composed, decomposed):
        assert id_of(Risk(form, 1)) == id_of(Risk(text, 1))
        assert id_of(Anything({form: [form]})) == id_of(Anything({text: [text]}))
        assert id_of(Words({form})) == id_of(Words({text}))


def test_readers_see_text_in_nfc():
    """The form that enters the context is the canonical one, so no reader can tell which was given."""
    assert identified(Risk("e\u0301", 1))[0].name == "\u00e9"


@given(st.lists(numbers))
def test_negative_zero_is_zero(values):
    """The sign of zero is not content."""
    assert id_of(Numbers(values)) == id_of(Numbers([value + 0.0 for value in values]))


def test_negative_zero_in_text_is_left_alone():
    """Only numbers are mended."""
    assert body_of(Risk("-0.0 degrees", 1)) == '{"name":"-0.0 degrees","severity":1}'


class Share(BaseModel):
    part: float | None


class Portion(Fact):
    share: Share


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "make", [lambda n: Numbers([n]), Anything, lambda n: Anything({"a": [n]}), lambda n: Portion(Share(part=n))]
)
def test_what_json_has_no_number_for_is_refused(number: float, make):
    """NaN is not equal to itself, so it could have no identity."""
    with pytest.raises(ValueError, match=r"finite|number|float"):
        id_of(make(number))


@given(moments, zones)
def test_an_instant_is_the_same_in_every_time_zone(at, zone):
    """Aware datetimes are content as instants, in UTC."""
    instant = at.replace(tzinfo=UTC)
    assert id_of(Moment(instant)) == id_of(Moment(instant.astimezone(zone)))


class Calendar(Fact):
    days: dict[datetime, int]


class Either(Fact):
    at: datetime | int | None


@given(moments, zones)
@pytest.mark.parametrize("make", [lambda at: Calendar({at: 1}), Either, Anything, lambda at: Anything([{"at": at}])])
def test_an_instant_is_the_same_wherever_it_stands(make, at, zone):
    """As a key, in a union or in undeclared content, an instant is written in UTC."""
    instant = at.replace(tzinfo=UTC)
    assert id_of(make(instant)) == id_of(make(instant.astimezone(zone)))


def test_a_naive_datetime_is_kept_as_written():
    """It names no instant; reading it in this machine's zone would make identity depend on the machine."""
    at = datetime(2024, 2, 29, 12)  # noqa: DTZ001 -- the point of this test
    assert body_of(Moment(at)) == '{"at":"2024-02-29T12:00:00"}'
    assert id_of(Moment(at)) != id_of(Moment(at.replace(tzinfo=UTC)))


def test_a_nested_dataclass_is_written_with_its_fields_sorted():
    """Keys are sorted at every depth."""
    assert body_of(Holder(Point(y=1.5, x=0.5))) == '{"point":{"x":0.5,"y":1.5}}'


def test_a_nested_model_is_written_with_its_fields_sorted():
    """A pydantic model and a TypedDict are no different from a dataclass."""
    deep = Deep(Nested(z=1, a={"b", "a"}), {"z": 1, "a": 2}, {}, Decimal("1.10"))
    assert body_of(deep) == (
        '{"day":null,"levels":{},"nested":{"a":["a","b"],"z":1},"price":"1.10","typed":{"a":2,"z":1}}'
    )


def test_enumerations_dates_and_decimals_are_written_as_their_values():
    """Sets of enumerations are sorted by what is written."""
    deep = Deep(
        Nested(z=1, a=set()), {"z": 1, "a": 2}, {"l": {Level.LOW, Level.HIGH}}, Decimal("1.10"), date(2024, 2, 29)
    )
    content = json.loads(body_of(deep))
    assert (content["levels"], content["price"], content["day"]) == ({"l": ["high", "low"]}, "1.10", "2024-02-29")


@given(plain, plain)
def test_different_content_has_different_ids(one, other):
    """Whatever JSON tells apart, an id tells apart."""
    forms = [json.dumps(identified(Anything(value))[0].content, sort_keys=True) for value in (one, other)]
    assume(forms[0] != forms[1])
    assert id_of(Anything(one)) != id_of(Anything(other))


@given(plain)
def test_the_canonical_form_is_a_fixed_point(content):
    """Encoding, reading back and encoding again gives the same bytes: what a store returns has the id it had."""
    canonical, fact_id, body = identified(Anything(content))
    again = kind_of(Anything).load(json.loads(body))
    assert identified(again)[1:] == (fact_id, body)
    assert canonical == again


# --- identity in use -------------------------------------------------------------------------------------------------


def test_facts_are_equal_when_kind_and_content_are():
    """Equality and hash follow the id, so facts can be members of sets and keys of mappings."""
    assert Risk("late", 3) == Risk("late", 3)
    assert Risk("late", 3) != Risk("late", 4)
    assert Risk("late", 3) != Newer("late", 3)
    assert len({Risk("late", 3), Risk("late", 3), Reversed(severity=3, name="late")}) == 1


def test_fields_may_be_named_id_kind_and_key():
    """The words of the library are not taken from its users."""
    fact = Named(id="1", kind="small", key="k")
    assert (fact.id, fact.kind, fact.key) == ("1", "small", "k")
    assert body_of(fact) == '{"id":"1","key":"k","kind":"small"}'


def test_a_fact_cannot_be_changed():
    """Fields are frozen and there is room for no others."""
    risk = Risk("late", 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        risk.severity = 4  # type: ignore[misc]  # the point of this test
    with pytest.raises(dataclasses.FrozenInstanceError):
        risk.other = 4  # type: ignore[attr-defined]  # the point of this test
    with pytest.raises(dataclasses.FrozenInstanceError):
        del risk.severity


@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_kind_takes_fields_over_from_a_plain_dataclass(is_frozen: bool):
    """It shows them, and they can be changed no more than its own."""
    place = dataclasses.make_dataclass("Place", [("town", str)], frozen=is_frozen)
    made_by: Any = type(Fact)
    kind = made_by("Fire", (place, Fact), {"__annotations__": {"floor": int}, "__module__": __name__})
    fire = kind("Graz", 3)
    assert repr(fire) == "Fire(town='Graz', floor=3)"
    for field in ("town", "floor"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(fire, field, 1)


@pytest.mark.parametrize("method", ["__setattr__", "__delattr__"])
def test_a_kind_may_not_say_how_its_facts_are_changed(method: str):
    """Neither by itself nor through a base."""
    made_by: Any = type(Fact)
    loose = type("Loose", (), {method: lambda *_: None})
    for bases, own in (((Fact,), vars(loose)[method]), ((loose, Fact), None)):
        with pytest.raises(KindInvalid, match=f"{method} of .* would let a fact be changed"):
            made_by("Fire", bases, {"__annotations__": {"floor": int}, **({method: own} if own else {})})


def test_a_fact_comes_back_from_another_process_as_it_was():
    """What is pickled is its fields, so that its id is made anew."""
    fact = Mixed("t", frozenset("a"), {"a": 1.0}, datetime(2026, 1, 1, tzinfo=UTC))
    id_of(fact)
    again = pickle.loads(pickle.dumps(fact))
    assert again == fact
    assert repr(again) == repr(fact)


def test_values_are_validated_when_a_fact_is_made():
    """What does not fit is refused with the field named, and so is a field that is not there."""
    with pytest.raises(pydantic.ValidationError, match="severity"):
        Risk(name="late", severity="grave")  # type: ignore[arg-type]  # the point of this test
    with pytest.raises(pydantic.ValidationError, match="colour"):
        Risk("late", 3, colour="red")  # type: ignore[call-arg]  # the point of this test


def test_a_kind_of_the_library_says_how_it_is_called_before_its_first_fact_and_after():
    """Though it is built with that one: a notebook asks before."""
    code = """
from inspect import signature
from converge import RootIntent
before = list(signature(RootIntent).parameters)
RootIntent("x")
print(before, list(signature(RootIntent).parameters), sep="\\n")
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split("\n")[:2] == [str([field.name for field in dataclasses.fields(RootIntent)])] * 2


def test_a_budget_is_not_content_of_an_intent():
    """More budget is not another intent: a resume may bring some."""
    assert id_of(RootIntent("x", budget=Budget(rounds=1))) == id_of(RootIntent("x"))


@pytest.mark.parametrize("loosely", [True, False])
def test_what_an_author_changes_after_emission_does_not_reach_the_context(loosely: bool):
    """A list that stays in the author's hands is copied when the fact enters the context."""
    values = [1.0, 2.0]

    @agent(writes=[Numbers, Anything])
    def tell(view: converge.View):
        return Anything(values) if loosely else Numbers(values)

    outcome = converge.run([tell], "remember")
    before = outcome.digest
    values.append(3.0)
    (fact,) = outcome.context.all(Anything if loosely else Numbers)
    assert body_of(fact).count("3.0") == 0
    assert outcome.digest == before == converge.run([_telling([1.0, 2.0], loosely)], "remember").digest


def _telling(values: list[float], loosely: bool):
    @agent(writes=[Numbers, Anything])
    def tell(view: converge.View):
        return Anything(values) if loosely else Numbers(values)

    return tell


def test_a_list_given_as_a_premise_is_copied_too():
    """The caller's hands are no different from an agent's."""
    given_fact = Numbers([1.0])
    outcome = converge.run(converge.Engine([], inputs=[Numbers]), "remember", [given_fact])
    given_fact.values.append(2.0)
    assert outcome.context.all(Numbers)[0].values == [1.0]


def test_a_nested_object_is_copied_too():
    """A mutable dataclass within a fact cannot be changed from outside either."""
    point = Point(y=1.0, x=1.0)
    outcome = converge.run(converge.Engine([], inputs=[Holder]), "remember", [Holder(point)])
    point.x = 7.0
    assert outcome.context.all(Holder)[0].point.x == 1.0


def test_a_changed_list_is_another_fact_when_it_is_emitted_again():
    """An id is made from the content of the moment of emission, not remembered from an earlier one."""
    fact = Numbers([1.0])
    first = identified(fact)[1]
    fact.values.append(2.0)
    assert identified(fact)[1] != first


# --- what cannot be a fact or a kind ---------------------------------------------------------------------------------


def test_a_fact_larger_than_the_limit_is_refused():
    """Twenty megabytes of text are named by size, limit and remedy."""
    with pytest.raises(FactTooLarge, match=r"20,000,0\d\d bytes.*keep the bulk elsewhere"):
        id_of(Risk("x" * 20_000_000, 1))


def test_a_fact_of_the_limit_is_taken():
    """The limit itself is allowed."""
    room = MAX_FACT_BYTES - len(body_of(Risk("", 1)))
    assert id_of(Risk("x" * room, 1)).startswith("Risk:")
    with pytest.raises(FactTooLarge):
        id_of(Risk("x" * (room + 1), 1))


def test_content_that_json_cannot_hold_is_refused():
    """An object of no known form has no canonical JSON."""
    with pytest.raises(FactInvalid, match="Anything"):
        id_of(Anything(object()))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"key": ("colour",)}, "key names 'colour'"),
        ({"policy": "last-wins"}, "policy 'last-wins'"),
        ({"name": "two words"}, "a name is made of"),
        ({"flavour": 1}, "there is no option 'flavour'"),
    ],
)
def test_a_kind_that_says_nothing_sensible_is_refused_with_its_name(options: dict[str, Any], reason: str):
    """Found when the class is made, before any job runs."""
    with pytest.raises(KindInvalid, match=reason):

        class Wrong(Fact, **options):
            n: int


def test_a_field_that_hides_a_word_of_every_fact_is_refused():
    """`because` and `invalidate` must mean the same of every fact."""
    with pytest.raises(KindInvalid, match="because"):

        class Wrong(Fact):
            because: str  # type: ignore[assignment]  # the point of this test


def test_because_without_evidence_is_refused():
    """Naming nothing as a reason is not the same as leaving the reason out."""
    with pytest.raises(TypeError, match="names no fact"):
        Risk("late", 3).because()


def test_because_takes_facts_only():
    """A list of facts is unpacked by the author, not guessed at."""
    with pytest.raises(TypeError, match="takes facts"):
        Risk("late", 3).because([Risk("a", 1)])  # type: ignore[arg-type]  # the point of this test


def test_an_invalidation_is_about_an_id():
    """It names its target by id and is itself a fact."""
    marker = Risk("late", 3).invalidate("new regulation")
    assert isinstance(marker, Invalidation)
    assert marker.target == id_of(Risk("late", 3))


class Tagged(Fact, key=("tags",)):
    tags: list[str]


def test_a_key_that_cannot_be_looked_up_is_refused_with_its_kind():
    """A list cannot be a key, and this is said before anything is merged."""
    with pytest.raises(KindInvalid, match=r"Tagged.*hashable"):
        converge.run(converge.Engine([], inputs=[Tagged]), "remember", [Tagged(["a"])])


def test_a_kind_can_extend_another():
    """The fields of the class it extends come along; the kind is its own."""

    class Grave(Risk):
        cause: str

    assert body_of(Grave("late", 3, "rain")) == '{"cause":"rain","name":"late","severity":3}'
    assert kind_of(Grave).label == "Grave"
    assert Grave("late", 3, "rain") != Risk("late", 3)


def test_a_budget_is_no_part_of_what_a_root_intent_says():
    """More budget is not another intent, and the first intent of a process may have one of its own."""
    code = "from converge import Budget, RootIntent, id_of; print(id_of(RootIntent('x', budget=Budget(rounds=3))))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == id_of(RootIntent("x"))


def test_a_kind_that_would_not_read_back_is_refused_at_its_first_fact():
    """What a store could not give back as it was must not be kept in the first place."""

    class Hidden(Fact):
        word: pydantic.SecretStr

    class Renamed(Fact):
        word: str = pydantic.Field(alias="w")

    with pytest.raises(KindInvalid, match="field word"):
        id_of(Hidden(word="x"))  # type: ignore[arg-type]
    with pytest.raises(KindInvalid, match="read back"):
        id_of(Renamed(w="x"))


def test_a_field_left_out_of_the_json_is_refused_when_the_class_is_made():
    """It would be lost on the first resume."""
    with pytest.raises(KindInvalid, match="'note' is excluded"):

        class Lossy(Fact):
            word: str
            note: str = pydantic.Field(default="", exclude=True)
