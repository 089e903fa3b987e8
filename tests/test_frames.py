"""Facts as frames and tables, and back: what comes back is what went in, or a sentence says what does not fit."""

import io
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal, NamedTuple
from uuid import UUID

import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from converge import Fact, View, agent, run
from converge.errors import FrameInvalid, LibraryMissing
from converge.fact import FactMeta, identified
from converge.frames import from_arrow, from_pandas, from_polars, to_arrow, to_pandas, to_polars
from converge.testing import facts_of


class Library(NamedTuple):
    write: Callable[..., Any]
    read: Callable[..., Any]
    frame: Callable[[dict[str, list[Any]]], Any]


LIBRARIES = {
    "pandas": Library(to_pandas, from_pandas, pandas.DataFrame),
    "polars": Library(to_polars, from_polars, polars.DataFrame),
    "pyarrow": Library(to_arrow, from_arrow, pyarrow.table),
}
in_each = pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Place(IntEnum):
    FIRST = 1
    SECOND = 2


class Part(BaseModel):
    number: int
    words: list[str]


class Risk(Fact, key="name"):
    name: str
    severity: int
    owner: str | None = None


class Wide(Fact):
    name: str
    count: int
    maybe: int | None
    share: float
    sure: bool
    unsure: bool | None
    level: Level
    place: Place
    word: Literal["yes", "no"] | None
    price: Decimal
    at: datetime | None
    day: date
    clock: time
    lasts: timedelta
    number: UUID
    part: Part
    parts: list[Part] | None
    tags: frozenset[str]
    counts: list[int] | None
    pair: tuple[int, str]
    either: int | str
    rest: dict[str, Any]
    anything: Any
    risk: Risk | None


WIDE = Wide(
    name="ü, \u2028 and \0",
    count=-(2**63),
    maybe=None,
    share=0.1,
    sure=True,
    unsure=None,
    level=Level.HIGH,
    place=Place.SECOND,
    word=None,
    price=Decimal("1.10"),
    at=datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    day=date(9999, 12, 31),
    clock=time(1, 2, 3, 4),
    lasts=timedelta(days=-1, microseconds=1),
    number=UUID(int=7),
    part=Part(number=1, words=["a"]),
    parts=[Part(number=2, words=[])],
    tags=frozenset({"b", "a"}),
    counts=[],
    pair=(1, "one"),
    either="7",
    rest={"b": [1.0, {"c": None}], "a": 1},
    anything="null",
    risk=Risk("fire", 3),
)


# --- there and back ---------------------------------------------------------------------------------------------------

TYPES: list[Any] = [
    *(str, int, float, bool, date, time, timedelta, Decimal, UUID, Level, Place, Part, Risk, Any),
    *(datetime, list[str], list[int | None], frozenset[int], tuple[str, ...], tuple[int, str], list[list[int]]),
    *(dict[str, int], dict[str, Any], int | str, int | float, Literal["a", "b"], Literal["a", 1], list[Level]),
]
kinds_of_fields = st.lists(
    st.sampled_from(TYPES).flatmap(lambda declared: st.sampled_from([declared, declared | None])),
    min_size=1,
    max_size=3,
)


def kind_with(types: list[Any]) -> type[Fact]:
    names = {f"field_{place}": declared for place, declared in enumerate(types)}
    made: Any = FactMeta("Made", (Fact,), {"__annotations__": names, "__module__": __name__})
    return made  # type: ignore[no-any-return]


@in_each
@given(types=kinds_of_fields, data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_facts_to_a_frame_and_back_are_the_same_facts(library: Library, types: list[Any], data: st.DataObject):
    """Of whatever kind; where one is refused, the sentence is about whole numbers or about zones."""
    kind = kind_with(types)
    facts = data.draw(st.lists(facts_of(kind), max_size=4))
    try:
        frame = library.write(facts, kind)
    except FrameInvalid as error:
        event(re.sub(r"-?\d+", "N", error.reason))
        expected = "more than 64 bits hold" in error.reason or "some have none" in error.reason
        assume(not expected)
        raise
    back = library.read(kind, frame)
    assert back == facts
    assert [identified(fact)[2] for fact in back] == [identified(fact)[2] for fact in facts]


@in_each
def test_a_fact_of_every_sort_of_field_comes_back(library: Library):
    """None, dates long ago, decimals with their zeros, enums, and what is nested."""
    other = replace(WIDE, maybe=2**53 + 1, at=None)
    assert library.read(Wide, library.write([WIDE, other])) == [WIDE, other]


@in_each
def test_no_facts_are_an_empty_frame(library: Library):
    """With the columns of a kind where it is named."""
    assert library.read(Risk, library.write([])) == []
    frame = library.write([], Risk)
    assert list(getattr(frame, "column_names", None) or frame.columns) == ["name", "severity", "owner"]
    assert library.read(Risk, frame) == []


NOON = datetime(2026, 1, 2, 12)  # noqa: DTZ001 -- what has no zone is what the tests are about


@in_each
def test_datetimes_without_a_zone_stay_without_one(library: Library):
    """They name no moment, and are given none."""

    class Noon(Fact):
        at: datetime

    facts = [Noon(NOON), Noon(NOON.replace(hour=13))]
    assert library.read(Noon, library.write(facts)) == facts


def test_facts_go_through_parquet():
    """A file as other programs read it; a list comes back to pandas as an array."""
    file = io.BytesIO()
    pyarrow.parquet.write_table(to_arrow([WIDE]), file)
    assert from_arrow(Wide, pyarrow.parquet.read_table(file)) == [WIDE]

    class Tagged(Fact):
        tags: list[str]

    file = io.BytesIO()
    to_pandas([Tagged(["a", "b"])]).to_parquet(file)
    assert from_pandas(Tagged, pandas.read_parquet(file)) == [Tagged(["a", "b"])]


# --- what users expect ------------------------------------------------------------------------------------------------


class Signal(Fact):
    source: str
    text: str


@agent(reads=Signal, writes=Risk)
def assess(view: View):
    for signal in view.new(Signal):
        yield Risk(signal.source, len(signal.text)).because(signal)


def test_an_answer_is_a_frame_and_a_frame_is_the_facts_of_a_job():
    """In at one end, out at the other."""
    signals = pandas.DataFrame({"source": ["harbour", "station"], "text": ["late", "closed"]})
    outcome = run([assess], "find the risks", from_pandas(Signal, signals))
    risks = to_pandas(outcome.context.live(Risk)).sort_values("severity", ascending=False)
    assert risks[["name", "severity"]].to_dict("list") == {"name": ["station", "harbour"], "severity": [6, 4]}


def test_columns_have_the_types_of_their_fields():
    """Whatever stands in them, and none where there is nothing."""
    empty, full = (to_pandas(facts, Wide) for facts in ([], [WIDE]))
    names = ["name", "count", "maybe", "share", "sure", "unsure", "at", "tags", "rest"]
    types = ["str", "int64", "Int64", "float64", "bool", "boolean", "datetime64[us, UTC]", "object", "str"]
    assert [str(empty[name].dtype) for name in names] == [str(full[name].dtype) for name in names] == types
    assert to_polars([], Wide).schema == to_polars([WIDE]).schema
    assert to_arrow([], Wide).schema == to_arrow([WIDE]).schema
    assert to_polars([WIDE]).schema["tags"] == polars.List(polars.String)
    assert to_arrow([WIDE]).schema.field("day").type == pyarrow.date32()


def test_gaps_and_numbers_as_pandas_leaves_them_are_understood():
    """Whole numbers become floats beside a NaN, and a missing text is NaN too."""
    frame = pandas.DataFrame({"name": ["a", "b"], "severity": [1.0, 2.0], "owner": ["ada", float("nan")]})
    assert from_pandas(Risk, frame) == [Risk("a", 1, "ada"), Risk("b", 2, None)]


@in_each
def test_a_column_whose_field_has_a_default_may_be_left_out(library: Library):
    assert library.read(Risk, library.frame({"name": ["a"], "severity": [1]})) == [Risk("a", 1)]


# --- what does not fit ------------------------------------------------------------------------------------------------


@in_each
@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"name": ["a"]}, "a frame of kind Risk: there is no column 'severity', which it needs"),
        ({"name": ["a"], "severty": [1]}, "column 'severty' is no field of it: rename it to 'severity'"),
        ({"name": ["a"], "severity": [1], "fact_id": ["x"]}, "column 'fact_id' is no field of it: leave it out"),
        (
            {"name": ["a", "b"], "severity": [1.0, 1.5]},
            "kind Risk, row 1: severity: Input should be a valid",
        ),
        (
            {"name": ["a", None], "severity": [1, 2]},
            "kind Risk, row 1: name: Input should be a valid string",
        ),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_by_column_or_row(library: Library, columns: Any, said: str):
    with pytest.raises(FrameInvalid) as caught:
        library.read(Risk, library.frame(columns))
    assert said in str(caught.value)


@in_each
def test_facts_that_do_not_fit_a_frame_are_refused_by_field(library: Library):
    """Several kinds, whole numbers of more than 64 bits, and datetimes with and without a zone in one column."""

    class Moment(Fact):
        at: datetime

    with pytest.raises(FrameInvalid, match=r"Signal\(.*\) is none: make one frame for each kind"):
        library.write([Risk("a", 1), Signal("b", "c")])
    with pytest.raises(FrameInvalid, match=r"severity: \d+ is more than 64 bits hold: declare the field as str"):
        library.write([Risk("a", 2**63)])
    with pytest.raises(FrameInvalid, match="at: some datetimes have a zone and some have none"):
        library.write([Moment(NOON), Moment(NOON.replace(tzinfo=UTC))])


@in_each
def test_text_that_is_no_json_is_refused_where_json_is_held(library: Library):
    """A field of any content is written as JSON."""

    class Open(Fact):
        rest: dict[str, int]

    assert library.read(Open, library.frame({"rest": ['{"a": 1}']})) == [Open({"a": 1})]
    with pytest.raises(FrameInvalid, match=r"row 0: rest: 'a=1' is not JSON text, .* write json\.dumps"):
        library.read(Open, library.frame({"rest": ["a=1"]}))


def test_what_is_finer_than_a_microsecond_is_refused():
    """It would be rounded, and no fact would say so."""

    class Moment(Fact):
        at: datetime

    frame = pandas.DataFrame({"at": [pandas.Timestamp(1, unit="ns", tz="UTC")]})
    with pytest.raises(FrameInvalid, match=r"row 0: at: .* is finer than a microsecond: round it, as in \.dt\.round"):
        from_pandas(Moment, frame)
    assert from_pandas(Moment, frame.assign(at=frame["at"].dt.round("us"))) == [
        Moment(datetime(1970, 1, 1, tzinfo=UTC))
    ]


class Begun(Fact):
    at: datetime | None


class Lasted(Fact):
    at: timedelta | None


class Daily(Fact):
    at: time | None


NANOSECONDS = [1_000, None, 1_001]
FINE = r"row 2: at: 1,001 ns is finer than a microsecond: round it, as in "


@pytest.mark.parametrize(
    ("kind", "type_"),
    [(Begun, polars.Datetime("ns", "UTC")), (Lasted, polars.Duration("ns")), (Daily, polars.Time)],
)
def test_polars_has_nothing_rounded_without_a_word_either(kind: type[Fact], type_: Any):
    """Its own `to_list` would."""
    frame = polars.DataFrame({"at": polars.Series(NANOSECONDS).cast(type_)})
    with pytest.raises(FrameInvalid, match=FINE):
        from_polars(kind, frame)
    assert len(from_polars(kind, frame[:2])) == 2


@pytest.mark.parametrize(
    ("kind", "type_"),
    [(Begun, pyarrow.timestamp("ns", "UTC")), (Lasted, pyarrow.duration("ns")), (Daily, pyarrow.time64("ns"))],
)
def test_arrow_has_nothing_rounded_without_a_word_either(kind: type[Fact], type_: Any):
    """Its own `to_pylist` gives what pydantic would round."""
    table = pyarrow.table({"at": pyarrow.array(NANOSECONDS, type_)})
    with pytest.raises(FrameInvalid, match=FINE):
        from_arrow(kind, table)
    assert len(from_arrow(kind, table[:2])) == 2


def test_two_columns_of_one_name_are_refused():
    frame = pandas.DataFrame([["a", 1, 2]], columns=["name", "severity", "severity"])
    with pytest.raises(FrameInvalid, match="two columns are named 'severity': name each once"):
        from_pandas(Risk, frame)


@in_each
def test_what_is_no_frame_is_refused(library: Library):
    with pytest.raises(FrameInvalid, match="is needed, not a list"):
        library.read(Risk, [Risk("a", 1)])


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_that_is_not_there_is_named(name: str, monkeypatch: pytest.MonkeyPatch):
    """The others go on working."""
    monkeypatch.setitem(sys.modules, name, None)
    library = LIBRARIES[name]
    for call in (lambda: library.write([Risk("a", 1)]), lambda: library.read(Risk, None)):
        with pytest.raises(LibraryMissing, match=rf"needs {name}, which is not installed: pip install {name}"):
            call()
