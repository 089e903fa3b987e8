"""The inspector's pages, asked without a browser: what they say, whom they answer, and what they never do."""

import json
import re
from contextlib import suppress
from html.parser import HTMLParser
from urllib.parse import quote

import anyio
import pytest

from converge.errors import JobUnknown
from converge.inspector.links import Links
from converge.inspector.listing import Listing, Search, listing_page
from converge.inspector.markup import render, tag
from converge.inspector.reading import Readings
from converge.inspector.stream import events
from converge.ports import JobSummary
from converge.stores import MemoryStore, SQLiteStore
from tests.inspecting import LONG, SCRIPT, Alarm, Signal, Step, alarms, client, counting, decided, form_of

pytestmark = pytest.mark.asyncio


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "jobs.db")


async def counted(store):
    async with counting(store) as engine:
        return (await engine.run("count to five", [Step(1)])).job_id


async def waiting(store, *texts):
    async with alarms(store) as engine:
        return (await engine.run("listen", [Signal(text) for text in texts])).job_id


class Elements(HTMLParser):
    """Collects the elements of a page, with their attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


# --- what is shown ----------------------------------------------------------------------------------------------------


async def test_jobs_are_listed_with_state_figures_and_objective(store):
    """Whoever opens the inspector sees how each job stands."""
    job = await counted(store)
    async with client(store) as asking:
        page = (await asking.get("/")).text
    for said in ("count to five", job, "fixed point", "Rounds", "Spend", "Age"):
        assert said in page


async def test_jobs_are_found_by_words_and_by_state(store):
    """A search narrows the list, and says so when nothing is left."""
    await counted(store)
    await waiting(store, "smoke")
    async with client(store) as asking:
        by_words, by_state, none = [
            (await asking.get(f"/?{query}")).text for query in ("q=COUNT+five", "state=waiting", "q=nonsense")
        ]
    assert "count to five" in by_words
    assert ">listen<" not in by_words
    assert ">listen<" in by_state
    assert "count to five" not in by_state
    assert "No job is so." in none


async def test_a_job_says_its_answer_before_all_else(store):
    """The stop reason and the answer stand above what led to them."""
    job = await counted(store)
    async with client(store) as asking:
        page = (await asking.get(f"/jobs/{job}")).text
    order = [
        page.index(f'id="{part}"') for part in ("state", "answer", "rounds", "agents", "spend", "facts", "happened")
    ]
    assert order == sorted(order)
    assert "fixed point: no agent would add anything" in page


async def test_what_is_given_late_is_no_answer(store):
    """Only agents conclude."""
    job = await counted(store)
    async with counting(store) as engine:
        outcome = await engine.resume(job, [Step(9)])
    assert {*outcome.explained.conclusions()} == {Step(n) for n in range(2, 6)}


async def test_a_job_is_shown_as_it_stood_at_an_earlier_cycle(store):
    """What came later is not there yet."""
    job = await counted(store)
    async with client(store) as asking:
        then, now = [(await asking.get(f"/jobs/{job}/at{query}")).text for query in ("?cycle=2", "")]
    assert "as of cycle 2 of" in then
    assert then.count("<li ") < now.count("<li ")


async def test_a_fact_says_why_it_holds_what_became_of_it_and_what_it_cost(store):
    """One click from the answer."""
    job = await counted(store)
    async with client(store) as asking:
        page = (await asking.get(f"/jobs/{job}")).text
        to = re.findall(r'href="(/jobs/[^"]*/facts/[^"#]*)"', page)[0]
        fact = (await asking.get(to)).text
        drawn = (await asking.get(f"{to}/graph")).json()
    assert all(said in fact for said in ("Why does it hold?", "stated by count", "What became of it", "Cost"))
    assert {node["id"] for node in drawn["nodes"]} >= {drawn["root"]}
    assert drawn["complete"]


async def test_it_says_why_something_does_not_hold(store):
    """A refused proposal names the step of the gate that refused it."""
    job = await waiting(store, "x" * 200)
    async with client(store) as asking:
        page = (await asking.get(f"/jobs/{job}/why-not?kind=Alarm")).text
    assert "too long to be one" in page


async def test_asked_why_not_of_what_holds_it_says_why(store):
    """The question is turned round, not refused."""
    job = await counted(store)
    async with client(store) as asking:
        answer = await asking.get(f"/jobs/{job}/why-not?kind=Step&where=n%3D3")
    assert answer.status_code == 303
    assert "/facts/Step" in answer.headers["location"]


async def test_two_jobs_stand_side_by_side_and_where_they_part_is_said(store):
    """Both answers, and the first effect that differs."""
    one = await counted(store)
    async with counting(store) as engine:
        other = (await engine.run("count to five", [Step(3)])).job_id
    async with client(store) as asking:
        page = (await asking.get(f"/compare?a={one}&b={other}")).text
    assert "they part in round 0" in page


async def test_an_export_is_one_file_that_loads_nothing(store):
    """No script, no address, and a policy that forbids both."""
    job = await waiting(store, "smoke", SCRIPT)
    async with client(store) as asking:
        page = (await asking.get(f"/jobs/{job}/export")).text
    elements = Elements(page).found
    assert not {name for name, _ in elements} & {"script", "link", "img", "iframe", "a"}
    assert any("default-src 'none'" in (attributes.get("content") or "") for _, attributes in elements)
    assert "smoke" in page


async def test_what_there_is_not_is_said_in_a_sentence(store):
    """A wrong address is a page, not a traceback."""
    job = await counted(store)
    async with client(store) as asking:
        for path in ("/jobs/none", f"/jobs/{job}?cycle=99", f"/jobs/{job}/facts/Step:0000", "/nowhere", "/assets/x"):
            answer = await asking.get(path)
            assert answer.status_code == 404, path
            assert "This cannot be shown" in answer.text
        assert (await asking.get("/jobs/none/events")).status_code == 404


async def test_it_can_be_mounted_in_a_service_that_runs_the_jobs(tmp_path):
    """Under any prefix, over the store that an engine holds open, with no lifespan of its own."""
    from starlette.applications import Starlette

    from converge.inspector import inspector

    store = SQLiteStore(tmp_path / "jobs.db")
    service = Starlette()
    service.mount("/converge", inspector(store))
    async with counting(store) as engine:
        job = (await engine.run("count to five", [Step(1)])).job_id
        import httpx2

        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(service), base_url="http://localhost") as asking:
            page = await asking.get("/converge/")
            shown = await asking.get(f"/converge/jobs/{job}")
        assert f'href="/converge/jobs/{job}"' in page.text
        assert 'src="/converge/assets/app.js"' in shown.text
        assert "Path=/converge" in page.headers["set-cookie"]
        assert (await engine.resume(job)).converged  # the store is still open


async def test_a_job_of_any_id_has_pages(tmp_path):
    """Ids are quoted, whatever stands in them."""
    store, job = SQLiteStore(tmp_path / "jobs.db"), "a b/ü?#&<'\">"
    async with counting(store) as engine:
        await engine.run("count", [Step(4)], job_id=job)
    async with client(store) as asking:
        assert quote(job, safe="@:~") in (await asking.get("/")).text
        for part in ("", "facts", "live", "at", "export"):
            assert (await asking.get(Links().job(job, part))).status_code == 200, part


async def test_an_engine_that_is_known_tells_what_its_agents_could_do(tmp_path):
    """Its declarations are used; a job of another engine is read as plain JSON all the same."""
    store = SQLiteStore(tmp_path / "jobs.db")
    own, other = await counted(store), await waiting(store, "smoke")
    async with client(store, engine=counting(store)) as asking:
        page, plain = [(await asking.get(f"/jobs/{job}")).text for job in (own, other)]
    assert "as far as it was seen" not in page
    assert "as far as it was seen" in plain


# --- what facts say is text -------------------------------------------------------------------------------------------


async def test_what_facts_say_is_never_markup(store):
    """Every page that shows a fact shows it as it is written."""
    job = await waiting(store, SCRIPT, LONG)
    paths = ["", "/facts", "/at?cycle=1", "/live", "/export", "/why-not?kind=Alarm&where=" + quote(f"text={SCRIPT}")]
    async with client(store) as asking:
        page = (await asking.get(f"/jobs/{job}/facts?kind=Signal")).text
        facts = re.findall(r'href="(/jobs/[^"]*/facts/[^"]*)"', page)
        for path in [*(f"/jobs/{job}{part}" for part in paths), *facts]:
            answer = await asking.get(path)
            elements = Elements(answer.text).found
            assert not [name for name, _ in elements if name == "img"], path
            assert all(attributes.get("src") for name, attributes in elements if name == "script"), path
            assert not [one for _, attributes in elements for one in attributes if one.startswith("on")], path


async def test_no_page_carries_a_style_or_a_script_of_its_own(store):
    """The policy forbids both, so a page that had one would be broken."""
    job = await waiting(store, "smoke")
    async with client(store) as asking:
        for path in ("/", f"/jobs/{job}", "/compare"):
            elements = Elements((await asking.get(path)).text).found
            assert not [name for name, attributes in elements if name == "style" or "style" in attributes]


def markup_of(text):
    return render(tag("p", text, title=text))


@pytest.mark.parametrize("text", ["<b>&\"'", "\x00\x1b[31m", "\ud800", "\u202e"])
async def test_markup_escapes_text_and_attributes(text):
    """What no page may hold is written as an escape."""
    made = markup_of(text)
    assert "<b>" not in made
    assert "\x00" not in made
    made.encode()


# --- whom it answers --------------------------------------------------------------------------------------------------


async def test_a_foreign_name_of_this_machine_is_refused(store):
    """A page elsewhere that has its name resolve to 127.0.0.1 learns nothing."""
    async with client(store, host="evil.example") as asking:
        assert (await asking.get("/")).status_code == 421


async def test_another_machine_is_refused_without_a_token(store):
    """Whatever name it uses."""
    async with client(store, caller=("192.0.2.7", 1)) as asking:
        assert (await asking.get("/")).status_code == 403


async def test_with_a_token_only_who_has_it_is_answered(store):
    """The token moves from the address into a cookie that scripts cannot read."""
    await counted(store)
    async with client(store, host="jobs.example", caller=("192.0.2.7", 1), token="open sesame") as asking:
        assert (await asking.get("/")).status_code == 401
        assert (await asking.get("/?token=wrong")).status_code == 401
        assert (await asking.get("/?token=")).status_code == 401
        let_in = await asking.get("/?token=open+sesame&q=count")
        assert let_in.headers["location"] == "/?q=count"
        assert all(said in let_in.headers["set-cookie"] for said in ("HttpOnly", "SameSite=Strict"))
        assert "count to five" in (await asking.get("/?q=count")).text


async def test_a_cookie_that_nobody_signed_is_none(store):
    """A made-up session opens nothing."""
    async with client(store, token="sesame") as asking:
        for made_up in ("converge_inspector=a.b", "converge_inspector=", "converge_inspector=.", "=;;"):
            assert (await asking.get("/", headers={"cookie": made_up})).status_code == 401


async def test_every_answer_carries_a_strict_policy(store):
    """Refusals and errors included."""
    async with client(store) as asking:
        answers = [await asking.get(path) for path in ("/", "/assets/app.js", "/nowhere", "/jobs/none")]
    for answer in answers:
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


# --- decisions --------------------------------------------------------------------------------------------------------


async def test_a_decision_reaches_the_job_and_what_follows_from_it(store):
    """Approved from a form, merged when the job is resumed."""
    job = await waiting(store, "smoke")
    async with client(store) as asking:
        page = (await asking.get(f"/jobs/{job}")).text
        assert "officer is asked by listen, 70% sure" in page
        answer = await asking.post(f"/jobs/{job}/decide", data=decided(page, "approve"))
        assert answer.status_code == 303
        after = (await asking.get(answer.headers["location"])).text
    assert "it is merged when the job is resumed" in after
    assert "is decided; the decision is merged" in after
    async with alarms(store) as engine:
        outcome = await engine.resume(job)
    assert outcome.context.live(Alarm) == (Alarm("smoke", 5),)


async def test_a_refinement_changes_the_fields_that_were_written_anew(store):
    """Text stays text, and a number is read as one."""
    job = await waiting(store, "smoke")
    async with client(store) as asking:
        page = (await asking.get(f"/jobs/{job}")).text
        changed = {"field text": "smoke", "field grade": "9"}
        await asking.post(f"/jobs/{job}/decide", data=decided(page, "refine", **changed))
    async with alarms(store) as engine:
        outcome = await engine.resume(job)
    assert outcome.context.live(Alarm) == (Alarm("smoke", 9),)


async def test_a_rejection_keeps_the_fact_out(store):
    """And the job stops."""
    job = await waiting(store, "smoke")
    async with client(store) as asking:
        page = (await asking.get(f"/jobs/{job}")).text
        await asking.post(f"/jobs/{job}/decide", data=decided(page, "reject"))
    async with alarms(store) as engine:
        outcome = await engine.resume(job)
    assert not outcome.context.live(Alarm)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"choice": "refine"}, "nothing was changed"),
        ({"choice": "refine", "field grade": "nine"}, "is not JSON"),
        ({"choice": "shrug"}, "choose one of"),
        ({"by": " "}, "does not say who decides"),
        ({"request": "0000"}, "0000"),
    ],
)
async def test_a_decision_that_is_none_is_refused_in_a_sentence(change, said):
    """Nothing is posted then."""
    store = MemoryStore()
    job = await waiting(store, "smoke")
    async with client(store) as asking:
        page = (await asking.get(f"/jobs/{job}")).text
        answer = await asking.post(f"/jobs/{job}/decide", data={**decided(page, "approve"), **change})
    assert answer.status_code == 409
    assert said in answer.text
    assert not await store.letters(job, 0)


async def test_a_form_that_another_site_sends_is_refused():
    """By its token, by where it comes from, and by what the browser says of it."""
    store = MemoryStore()
    job = await waiting(store, "smoke")
    async with client(store) as asking:
        form = decided((await asking.get(f"/jobs/{job}")).text, "approve")
        foreign = [
            ({**form, "csrf": "guessed"}, {}),
            ({**form, "csrf": ""}, {}),
            (form, {"origin": "http://evil.example"}),
            (form, {"sec-fetch-site": "cross-site"}),
        ]
        for data, headers in foreign:
            assert (await asking.post(f"/jobs/{job}/decide", data=data, headers=headers)).status_code == 403
        assert (await asking.get(f"/jobs/{job}/decide")).status_code in (404, 405)
    async with client(store) as another:  # another session, another token
        assert (await another.post(f"/jobs/{job}/decide", data=form)).status_code == 403
    assert not await store.letters(job, 0)


async def test_a_form_of_one_page_holds_what_the_next_needs(store):
    """The session and its token stay the same from page to page."""
    job = await waiting(store, "smoke")
    async with client(store) as asking:
        first, second = [form_of((await asking.get(f"/jobs/{job}")).text) for _ in range(2)]
    assert first == second


# --- following a job --------------------------------------------------------------------------------------------------


class Enough(Exception):
    """Raised where a reader would wait for more."""


async def followed(store, job, last_id=""):
    """Return what is sent of a job that has stopped, and the id of each message."""
    readings = Readings(store, None, lambda: 0.0)
    told, seen = [], []

    async def enough():
        raise Enough

    stream = events(readings, job, last_id, enough)
    with suppress(Enough):
        async for message in stream:
            found = dict(line.split(": ", 1) for line in message.strip().splitlines() if ": " in line)
            if "data" in found:
                told.append((found["event"], json.loads(found["data"])))
                seen.append(found.get("id"))
    return told, seen


async def test_the_events_of_a_job_are_its_trace(store):
    """In order, each once, and one at the end of each cycle."""
    job = await counted(store)
    async with client(store):
        engine = counting(store)
        async with engine:
            told, seen = await followed(store, job)
            outcome = await engine.resume(job)
    happened = [data["type"] for event, data in told if event == "happened"]
    assert happened == [type(event).__name__ for event in outcome.trace[: len(happened)]]
    assert len({*seen}) == len(seen)
    assert happened[-1] == "JobStopped"


async def test_a_reader_that_comes_back_is_given_what_it_missed_and_no_more(store):
    """From any place in the stream."""
    job = await counted(store)
    async with counting(store):
        told, seen = await followed(store, job)
        for place, last_id in enumerate(seen[:-1]):
            later, _ = await followed(store, job, last_id)
            assert later == told[place + 1 :]


async def test_an_id_that_is_none_begins_at_the_beginning(store):
    """Whatever a header says, nothing breaks."""
    job = await counted(store)
    async with counting(store):
        whole, _ = await followed(store, job)
        for last_id in ("x", "1", "-1.2", "1.x", "99999999999999999999.1"):
            told, _ = await followed(store, job, last_id)
            assert told == whole


# --- many jobs --------------------------------------------------------------------------------------------------------


class Many(MemoryStore):
    """A store that says it holds ten thousand jobs."""

    looked = 0

    async def jobs(self):
        return [JobSummary(f"job-{n}", n, n, f"objective {n}", 1, 1, n, None) for n in range(10_000)]

    async def rows(self, job_id, after=-1):
        self.looked += 1
        return []


async def test_of_ten_thousand_jobs_only_those_on_the_page_are_looked_into():
    """However many there are."""
    store = Many()
    listing = await Listing.read(Readings(store, None, lambda: 0.0), Search(place=3), {})
    assert len(listing.jobs) == store.looked == 50
    assert "page 3 of 200" in listing_page(Links(), listing, 0.0)


class Pruned(Many):
    """A store whose jobs are removed as soon as they were listed."""

    async def rows(self, job_id, after=-1):
        raise JobUnknown(job_id, "memory", [])


async def test_a_job_that_is_removed_while_the_list_is_made_does_not_take_the_list_along():
    """What it spent is not known any more."""
    listing = await Listing.read(Readings(Pruned(), None, lambda: 0.0), Search(), {})
    assert {spend for _, _, spend in listing.jobs} == {None}


async def test_a_job_is_read_once_until_rows_are_added():
    """Looking at a page twice restores nothing twice."""
    store = MemoryStore()
    async with counting(store) as engine:
        job = (await engine.run("count to five", [Step(3)])).job_id
        readings = Readings(store, None, lambda: 0.0)
        first, again = await readings.of(job), await readings.of(job)
        assert first.explained is again.explained
        await engine.resume(job, facts=[Step(1)])
        assert (await readings.of(job)).explained is not first.explained


async def test_several_pages_at_once_are_all_answered(store):
    """They wait for each other, and none for ever."""
    job = await waiting(store, "smoke", "fire")
    async with client(store) as asking, anyio.create_task_group() as group:

        async def look(path):
            assert (await asking.get(path)).status_code == 200

        for path in (f"/jobs/{job}", f"/jobs/{job}/at?cycle=1", f"/jobs/{job}/export", "/") * 3:
            group.start_soon(look, path)
