"""Plans: how an engine is wired, as values, as text, as a flowchart and as data, before anything runs."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Engine, Fact, Failure, Live, Plan, RootIntent, View, agent
from converge.agent import Agent
from converge.plan import Circle, PlannedAgent, PlannedKind, Read
from tests.jobs import KINDS, agents_of, plans

North, East, South, Middle, Top = KINDS


def nothing(view: View) -> None:
    raise AssertionError("a plan runs nobody")


def declared(name: str, **options: Any) -> Agent:
    return agent(name=name, **options)(nothing)


def plan_of(*agents: Agent, **options: Any) -> Plan:
    return Engine(agents, **options).explain()


def planned(plan: Plan, name: str) -> PlannedAgent:
    (found,) = (one for one in plan.agents if one.name == name)
    return found


def kind(plan: Plan, label: str) -> PlannedKind:
    (found,) = (one for one in plan.kinds if one.label == label)
    return found


# --- agents ----------------------------------------------------------------------------------------------------------


def test_an_agent_is_planned_as_it_is_declared():
    """In the order of its author; what was left out has its default."""
    one = declared("one", reads=[South, North], writes=[Top, Middle], invalidates=North)
    assert planned(plan_of(one), "one") == PlannedAgent(
        name="one",
        version="1",
        reads=(Read("South", live=False), Read("North", live=False)),
        writes=("Top", "Middle"),
        invalidates=("North",),
        when="new",
        replaces=None,
        required=True,
        stratum=0,
    )


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"when": "settled"}, 'when="settled"'),
        ({"reads": [North, Live(East)]}, "reads Live(East)"),
        ({"reads": [Live(North), Live(East)], "replaces": True}, "reads Live(North), Live(East)"),
        ({"replaces": True}, "replaces=True"),
    ],
)
def test_an_agent_that_replaces_says_why_and_reads_all_with_liveness(options, why):
    """One Live read makes all its reads so."""
    one = planned(plan_of(declared("one", **({"reads": [North, East]} | options))), "one")
    assert one.replaces == why
    assert one.reads == (Read("North", live=True), Read("East", live=True))


def test_a_kind_declared_twice_by_an_agent_is_planned_once():
    """A list may name it twice by mistake, and a kind may be read both plainly and with its liveness."""
    one = planned(plan_of(declared("one", reads=[North, Live(North)], writes=[Top, Top])), "one")
    assert (one.reads, one.writes) == ((Read("North", live=True),), ("Top",))


def test_agents_stand_in_name_order_whatever_order_they_were_passed_in():
    """Equal engines have equal plans."""
    several = [declared(name, reads=North, writes=kind) for name, kind in zip("cab", (East, South, Top), strict=True)]
    assert [one.name for one in plan_of(*several).agents] == ["a", "b", "c"]
    assert plan_of(*several) == plan_of(*reversed(several))


# --- kinds -----------------------------------------------------------------------------------------------------------


def test_a_kind_says_who_writes_reads_and_invalidates_it():
    """By the names of the agents, in their order."""
    several = (
        declared("write", writes=North),
        declared("also", writes=North),
        declared("read", reads=North),
        declared("mark", invalidates=North),
    )
    assert kind(plan_of(*several), "North") == PlannedKind(
        label="North",
        key=(),
        policy="contest",
        writers=("also", "write"),
        readers=("read",),
        invalidated_by=("mark",),
        given=False,
        stated=False,
        unread=False,
    )


def test_a_kind_says_its_label_key_and_policy():
    """The label has the version."""

    class Offer(Fact, name="offer", version=3, key=("shop", "item"), policy="many"):
        shop: str
        item: str
        price: int

    offer = kind(plan_of(declared("one", reads=Offer)), "offer@3")
    assert (offer.key, offer.policy) == (("shop", "item"), "many")


def test_a_kind_that_is_read_and_no_agent_writes_is_an_input():
    """It can be given from outside only."""
    plan = plan_of(declared("one", reads=[South, North, East], writes=East))
    assert plan.inputs == ("North", "South")
    assert [one.label for one in plan.kinds if one.given] == ["North", "South"]


def test_a_kind_that_is_written_and_no_agent_reads_is_unread():
    """It is what the job answers, or what somebody forgot."""
    plan = plan_of(declared("one", reads=North, writes=[East, Top]), declared("other", reads=East))
    assert plan.unread == ("Top",)
    assert [one.label for one in plan.kinds if one.unread] == ["Top"]


def test_a_declared_input_that_nobody_reads_is_given_and_unread():
    """It is kept unread on purpose, so it is neither an input of anybody nor an answer."""
    plan = plan_of(declared("one", reads=North), inputs=[North, Top])
    assert (kind(plan, "Top").given, kind(plan, "Top").unread) == (True, True)
    assert (plan.inputs, plan.unread) == (("North",), ())


def test_what_the_runtime_states_is_no_input():
    """Failures and the root intent come from inside."""
    plan = plan_of(declared("one", reads=[Failure, RootIntent, North]))
    assert plan.inputs == ("North",)
    assert {one.label for one in plan.kinds if one.stated} == {"Failure", "RootIntent"}
    assert not kind(plan, "Failure").given


def test_kinds_go_from_what_is_given_to_the_answer():
    """By the lowest stratum that writes them, then by name."""
    low = declared("low", reads=Top, writes=South)
    high = declared("high", reads=South, writes=East, when="settled")
    also = declared("also", reads=Top, writes=North)
    assert [one.label for one in plan_of(low, high, also).kinds] == ["Top", "North", "South", "East"]


# --- strata and circles ----------------------------------------------------------------------------------------------


def test_strata_list_the_agents_lowest_first():
    """Each agent is in the one that it names."""
    one = declared("one", reads=North, writes=East)
    other = declared("other", reads=East, writes=South, when="settled")
    plan = plan_of(other, one, declared("and", reads=South))
    assert plan.strata == (("one",), ("and", "other"))
    assert [planned(plan, name).stratum for name in ("one", "other", "and")] == [0, 1, 1]


@given(plans())
@settings(max_examples=50)
def test_strata_hold_every_agent_once(plan):
    """None of them is empty."""
    explained = plan_of(*agents_of(plan), allow_disputes=True)
    assert all(explained.strata)
    names = [name for names in explained.strata for name in names]
    assert sorted(names) == [one.name for one in explained.agents]


def test_an_ordinary_circle_names_its_agents_and_what_goes_round():
    """Who only feeds it or reads from it is no part of it."""
    there = declared("there", reads=North, writes=East)
    back = declared("back", reads=[East, Middle], writes=North)
    plan = plan_of(there, back, declared("feed", writes=Middle), declared("read", reads=North, writes=Top))
    assert plan.circles == (Circle(("back", "there"), ("East", "North"), (), disputed=False),)


def test_an_agent_that_reads_what_it_writes_is_a_circle():
    """A rule that is applied to its own conclusions."""
    assert plan_of(declared("walk", reads=North, writes=North)).circles == (
        Circle(("walk",), ("North",), (), disputed=False),
    )


def test_a_circle_through_an_agent_that_replaces_is_disputed():
    """It is there only where disputes are allowed."""
    doubt = declared("doubt", reads=Live(North), invalidates=North)
    plan = plan_of(doubt, declared("state", writes=North), allow_disputes=True)
    assert plan.circles == (Circle(("doubt",), (), ("North",), disputed=True),)


def test_circles_that_do_not_meet_are_listed_apart():
    """By the names of their first agents."""
    several = [declared(name, reads=kind, writes=kind) for name, kind in (("b", North), ("a", East))]
    assert [circle.agents for circle in plan_of(*several).circles] == [("a",), ("b",)]


def test_failures_close_no_circle():
    """That an agent may fail is not something it declares."""
    nurse = declared("nurse", reads=Failure, writes=North)
    assert plan_of(nurse, declared("work", reads=North, writes=East)).circles == ()


@given(plans())
@settings(max_examples=50)
def test_circles_are_those_of_the_wiring(plan):
    """An engine that may not have disputes has none, and every agent on a circle is in exactly one."""
    strict = Engine(agents_of(plan))
    assert not any(circle.disputed for circle in strict.explain().circles)
    on_a_circle = {
        number
        for place, group in enumerate(strict.wiring.flow.groups)
        for number in group.members
        if any(leads_to(strict, other, place) for other in strict.wiring.flow.successors[place])
    }
    named = [name for circle in strict.explain().circles for name in circle.agents]
    assert sorted(named) == [strict.agents[number].name for number in sorted(on_a_circle)]


def leads_to(engine: Engine, start: int, end: int) -> bool:
    reached, front = set[int](), [start]
    while front:
        place = front.pop()
        if place not in reached:
            reached.add(place)
            front += engine.wiring.flow.successors[place]
    return end in reached


# --- text ------------------------------------------------------------------------------------------------------------


class Offer(Fact, key="shop"):
    shop: str
    price: int


class Ban(Fact):
    shop: str


class Cheapest(Fact):
    shop: str


def shop() -> list[Agent]:
    return [
        declared("comply", reads=[Offer, Ban], invalidates=Offer),
        declared("choose", reads=[Offer], writes=Cheapest, when="settled", required=False, version="2"),
    ]


def test_the_text_of_a_plan():
    """What an engineer sees: the order, the flow, what is given and what comes out."""
    assert str(plan_of(*shop())).splitlines() == [
        "2 agents, 3 kinds, 2 strata",
        "",
        "stratum 0",
        "  comply                                 Offer, Ban; invalidates Offer",
        "",
        "stratum 1",
        "  choose   settled, version 2, optional  Offer → Cheapest",
        "",
        "kinds       key    written by → read by",
        "  Ban       whole  given → comply",
        "  Offer     shop   given → choose, comply; invalidated by comply",
        "  Cheapest  whole  choose → nobody",
        "",
        "given from outside  Ban, Offer",
        "read by nobody      Cheapest",
        "circles             none",
    ]


def test_the_text_names_circles_and_what_may_come_of_them():
    """One line each."""
    doubt = declared("doubt", reads=Live(North), invalidates=North)
    walk = declared("walk", reads=[South], writes=South)
    text = str(plan_of(doubt, walk, allow_disputes=True))
    assert text.endswith(
        "circles             doubt through markers on North; facts may end as disputed\n"
        "                    walk through South"
    )


def test_the_text_of_an_engine_without_agents():
    """There is nothing to say, and it is said."""
    assert str(plan_of()).startswith("0 agents, 0 kinds, 0 strata\n\ngiven from outside  nothing\n")


def test_an_agent_that_reads_and_writes_nothing_is_said_to():
    """It may have been forgotten."""
    assert "  idle     reads nothing" in str(plan_of(declared("idle")))


def fifty(name: str) -> list[Agent]:
    return [
        declared(f"{name}{number}", reads=KINDS[: 1 + number % 3], writes=[Middle, Top][number % 2 :])
        for number in range(50)
    ]


@pytest.mark.parametrize("name", ["agent ", "a name of an agent that goes on and on and on ", "x" * 40])
def test_fifty_agents_fit_into_a_hundred_columns(name):
    """And no line ends in blanks. Who writes a kind together with many is counted."""
    lines = str(plan_of(*fifty(name))).splitlines()
    assert max(map(len, lines)) <= 100
    assert [line for line in lines if line != line.rstrip()] == []
    assert "and 44 more → nobody" in str(plan_of(*fifty("agent ")))


@given(plans())
@settings(max_examples=25)
def test_columns_are_aligned(plan):
    """Every agent's flow begins in one column."""
    text = str(plan_of(*agents_of(plan), allow_disputes=True)).partition("\n\nkinds")[0]
    starts = {len(line) - len(line.lstrip()) for line in text.splitlines() if line.startswith("  ")}
    assert starts == {2}
    manner = re.compile(r"  (\S+)( +)(settled|Live)?( +)\S")
    assert len({found.end() for line in text.splitlines() if (found := manner.match(line))}) == 1


def test_a_name_of_several_lines_takes_one():
    """A name may be any text."""
    assert "  a b" in str(plan_of(declared("a\n b")))


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True))
def test_no_name_steers_a_terminal(names):
    """What cannot be printed is spelled out, and the columns stay as they are."""
    text = str(plan_of(*[declared(name, reads=North) for name in names]))
    assert all(line.isprintable() for line in text.splitlines())
    assert re.search(r"^  ' ' +North$", str(plan_of(declared(" ", reads=North))), re.MULTILINE)


# --- flowchart -------------------------------------------------------------------------------------------------------

LINES = (
    r"flowchart TD",
    r'    subgraph s\d+\["stratum \d+"\]',
    r'        a\d+\["[^"]+"\]',
    r"    end",
    r'    k\d+\("[^"]+"\)',
    r"    k\d+ (-->|-\.->) a\d+",
    r"    a\d+ --> k\d+",
    r"    a\d+ -\. invalidates \.-> k\d+",
)


def test_the_flowchart_of_a_plan():
    """Agents as boxes by stratum, kinds rounded; dashed: liveness and markers."""
    assert plan_of(*shop()).mermaid().splitlines() == [
        "flowchart TD",
        '    subgraph s0["stratum 0"]',
        '        a1["comply"]',
        "    end",
        '    subgraph s1["stratum 1"]',
        '        a0["choose"]',
        "    end",
        '    k0("Ban")',
        '    k1("Offer")',
        '    k2("Cheapest")',
        "    k1 -.-> a0",
        "    a0 --> k2",
        "    k1 --> a1",
        "    k0 --> a1",
        "    a1 -. invalidates .-> k1",
    ]


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True))
def test_a_name_can_be_any_text_in_a_flowchart(names):
    """No sign of a name is taken for a sign of the chart: it says its name by numbers, and nothing is lost."""
    chart = plan_of(*[declared(name, reads=North, writes=East, invalidates=South) for name in names]).mermaid()
    lines = chart.splitlines()
    assert [line for line in lines if not any(re.fullmatch(form, line) for form in LINES)] == []
    shown = [found[1] for line in lines if (found := re.fullmatch(r'        a\d+\["(.*)"\]', line))]
    assert [re.sub(r"#(\d+);", lambda sign: chr(int(sign[1])), text) for text in shown] == sorted(names)


@pytest.mark.parametrize(
    "name",
    ["1. a list", "- an item", "# a head", "**bold**", "_slanted_", "`code`", "<b>", "a;b", 'a"b', "$$x$$", "%%c"],
)
def test_a_name_that_means_something_in_markdown_or_html_is_spelled_out(name):
    """A label is Markdown to Mermaid."""
    (label,) = re.findall(r'a0\["(.*)"\]', plan_of(declared(name)).mermaid())
    assert re.sub(r"#\d+;", "", label) == "".join(re.findall(r"[a-z0-9]|(?<=\w) (?=\w)", name))


def test_a_plain_name_stays_readable_in_a_flowchart():
    """As most are."""

    class Offered(Fact, name="shop.offer-made"):
        n: int

    chart = plan_of(declared("estimate_money 2.5", reads=Offered)).mermaid()
    assert '["estimate_money 2.5"]' in chart
    assert '("shop.offer-made")' in chart


@given(plans())
@settings(max_examples=25)
def test_every_node_of_a_flowchart_is_declared_once_and_every_edge_joins_two(plan):
    """As many edges as there are reads, writes and invalidations."""
    explained = plan_of(*agents_of(plan), allow_disputes=True)
    chart = explained.mermaid()
    nodes = re.findall(r'^ +([ak]\d+)[\[(]"', chart, re.MULTILINE)
    assert len(nodes) == len(set(nodes)) == len(explained.agents) + len(explained.kinds)
    edges = re.findall(r"^    (\w+) -.*?-?> (\w+)$", chart, re.MULTILINE)
    assert len(edges) == sum(len(one.reads) + len(one.writes) + len(one.invalidates) for one in explained.agents)
    assert {node for edge in edges for node in edge} <= set(nodes)


# --- data ------------------------------------------------------------------------------------------------------------


def test_the_data_of_a_plan_is_json_with_written_keys():
    """Whoever reads it by a program can rely on them."""
    data = plan_of(*shop(), declared("walk", reads=North, writes=North)).to_dict()
    assert json.loads(json.dumps(data)) == data
    assert list(data) == ["agents", "kinds", "strata", "inputs", "unread", "circles"]
    assert data["agents"][0] == {
        "name": "choose",
        "version": "2",
        "reads": [{"kind": "Offer", "live": True}],
        "writes": ["Cheapest"],
        "invalidates": [],
        "when": "settled",
        "replaces": 'when="settled"',
        "required": False,
        "stratum": 1,
    }
    assert data["kinds"][1] == {
        "label": "Offer",
        "key": ["shop"],
        "policy": "contest",
        "writers": [],
        "readers": ["choose", "comply"],
        "invalidated_by": ["comply"],
        "given": True,
        "stated": False,
        "unread": False,
    }
    assert data["strata"] == [["comply", "walk"], ["choose"]]
    assert data["circles"] == [{"agents": ["walk"], "kinds": ["North"], "invalidated": [], "disputed": False}]


@given(plans(), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_a_plan_does_not_depend_on_the_order_agents_were_passed_in(plan, random):
    """In none of its faces."""
    agents: Sequence[Agent] = agents_of(plan)
    mixed = list(agents)
    random.shuffle(mixed)
    one, other = plan_of(*agents, allow_disputes=True), plan_of(*mixed, allow_disputes=True)
    assert (str(one), one.mermaid(), one.to_dict()) == (str(other), other.mermaid(), other.to_dict())
