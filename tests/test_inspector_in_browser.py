"""The inspector in a headless Chromium: a job followed live, taken back in time, asked why, decided on, and reloaded.

Debian's `chromium` is driven; where it is absent the tests are skipped, and say so. No request may leave loopback.
"""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import Page, async_playwright, expect

from converge import Engine, View, agent
from converge.inspector import inspector
from converge.stores import SQLiteStore
from tests.inspecting import LONG, SCRIPT, Alarm, Signal, Step, alarms

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium in the path: apt-get install chromium makes this run"),
]
SECONDS = 20_000  # milliseconds to wait for what must come


class Shown(NamedTuple):
    """A page in the browser, the address of the inspector, its store, and every complaint and request so far."""

    page: Page
    address: str
    store: SQLiteStore
    complaints: list[str]
    requests: list[str]


@asynccontextmanager
async def serving(store: SQLiteStore) -> AsyncIterator[str]:
    """Serve an inspector on loopback; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(inspector(store, every=0.05), log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve(sockets=[listening]))  # `serve` would take the signals of pytest
        try:
            yield f"http://localhost:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def browsing(store: SQLiteStore, width: int = 1280) -> AsyncIterator[Shown]:
    """Open a browser whose name server knows this machine only."""
    async with serving(store) as address, async_playwright() as playwright:
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = await browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(SECONDS)
        complaints: list[str] = []
        requests: list[str] = []
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        try:
            yield Shown(page, address, store, complaints, requests)
        finally:
            await browser.close()
        assert complaints == []
        assert {urlsplit(url).hostname for url in requests if not url.startswith("data:")} <= {"localhost"}


@pytest_asyncio.fixture
async def store(tmp_path):
    return SQLiteStore(tmp_path / "jobs.db")


class Gate:
    """Lets a job take one step each time somebody says so."""

    def __init__(self) -> None:
        self._open = asyncio.Semaphore(0)

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self._open.release()

    async def wait(self) -> None:
        await self._open.acquire()


def stepping(store: SQLiteStore, gate: Gate, upto: int = 6) -> Engine:
    """Return an engine whose agent counts, a round each time the gate lets it."""

    @agent(reads=Step, writes=Step)
    async def count(view: View) -> AsyncIterator[Any]:
        await gate.wait()
        for step in view.new(Step):
            if step.n < upto:
                yield Step(step.n + 1).because(step)

    return Engine([count], store=store)


async def figure(page: Page, name: str) -> str:
    return await page.locator(".figures div", has_text=name).locator("dd").inner_text()


async def until(page: Page, name: str, value: str) -> None:
    await expect(page.locator(".figures div", has_text=name).locator("dd")).to_have_text(value, timeout=SECONDS)


async def test_a_job_is_followed_live_and_a_reload_in_the_middle_loses_nothing(store):
    """Rounds appear as they happen, and after a reload each of them is there once."""
    gate = Gate()
    async with stepping(store, gate) as engine, browsing(store) as shown:
        page = shown.page
        async with engine.start("count", [Step(1)]) as job:
            await job.events().__anext__()
            await page.goto(f"{shown.address}/jobs/{job.job_id}")
            await expect(page.locator("#state .badge")).to_have_text("running", timeout=SECONDS)
            gate.step(2)
            await until(page, "rounds", "2")
            await expect(page.locator("#agents .badge.at_work")).to_have_count(1, timeout=SECONDS)
            await page.reload()
            await until(page, "rounds", "2")
            gate.step(10)
            await expect(page.locator("#state .badge")).to_have_text("fixed point", timeout=SECONDS)
            await until(page, "facts", "6")
            outcome = await job.outcome()
        grew = await page.locator("#log .RoundMerged").all_inner_texts()
        rounds = [int(found[1]) for text in grew if (found := re.search(r"round (\d+) grew", text))]
        assert sorted(rounds) == [1, 2, 3, 4, 5]
        assert await page.locator("#log li").count() == len(outcome.trace)
        bars = await page.locator("#rounds .grew").count()
        assert bars == 6


async def test_a_stream_that_breaks_goes_on_where_it_was(store):
    """The browser names the last event it saw, and is given what came after."""
    gate = Gate()
    async with stepping(store, gate) as engine, browsing(store) as shown:
        page = shown.page
        async with engine.start("count", [Step(1)]) as job:
            await job.events().__anext__()
            await page.goto(f"{shown.address}/jobs/{job.job_id}")
            gate.step(1)
            await until(page, "rounds", "1")
            await page.context.set_offline(True)
            gate.step(10)
            outcome = await job.outcome()
            await page.context.set_offline(False)
        await page.reload()
        await until(page, "facts", "6")
        assert await page.locator("#log li").count() == len(outcome.trace)
        shown.complaints.clear()  # a browser that is offline says so


async def test_the_slider_goes_back_in_time_and_keeps_its_place_on_reload(store):
    """With the keyboard alone."""
    gate = Gate()
    gate.step(20)
    async with stepping(store, gate) as engine:
        job = (await engine.run("count", [Step(1)])).job_id
    async with browsing(store) as shown:
        page = shown.page
        await page.goto(f"{shown.address}/jobs/{job}")
        await expect(page.locator("#facts output")).to_contain_text("6 live")
        await page.locator("#cycle").focus()
        for _ in range(4):
            await page.keyboard.press("ArrowLeft")
        await expect(page.locator("#facts output")).to_contain_text("as of cycle", timeout=SECONDS)
        await expect(page.locator("#facts output")).not_to_contain_text("6 live", timeout=SECONDS)
        assert "cycle=" in page.url
        said = await page.locator("#facts output").inner_text()
        assert await page.evaluate("document.activeElement.id") == "cycle"
        await page.reload()
        assert await page.locator("#facts output").inner_text() == said


async def asked(store: SQLiteStore, *texts: str) -> str:
    async with alarms(store) as engine:
        return (await engine.run("listen", [Signal(text) for text in texts])).job_id


async def test_a_proof_is_unfolded_box_by_box_with_the_keyboard(store):
    """From the answer to what was given, folded at first."""
    gate = Gate()
    gate.step(20)
    async with stepping(store, gate) as engine:
        job = (await engine.run("count", [Step(1)])).job_id
    async with browsing(store) as shown:
        page = shown.page
        await page.goto(f"{shown.address}/jobs/{job}/facts?kind=Step")
        await page.locator("ul.facts a.kind").last.click()
        await expect(page.locator(".canvas .node")).to_have_count(2)
        for boxes in (3, 4, 5, 6):
            await page.locator(".canvas .node[aria-expanded=false]").focus()
            await page.keyboard.press("Enter")
            await expect(page.locator(".canvas .node")).to_have_count(boxes)
        await expect(page.locator(".canvas .node.given")).to_have_count(1)
        await expect(page.locator(".told")).to_contain_text("Open this fact")


@pytest.mark.parametrize("width", [1280, 390])
async def test_a_person_decides_and_the_job_goes_on_from_it(store, width):
    """Refused first for want of a name, then approved, on a wide screen and on a telephone."""
    job = await asked(store, "smoke")
    async with browsing(store, width) as shown:
        page = shown.page
        await page.goto(f"{shown.address}/jobs/{job}")
        await expect(page.locator("#state")).to_contain_text("It waits for officer")
        await page.locator("button.yes").click()  # the browser asks for a name
        assert page.url.endswith(job)
        await page.get_by_label("Your name").fill("ada")
        await page.locator("button.yes").click()
        await expect(page.locator("[role=status]")).to_contain_text("The decision is kept")
        async with alarms(store) as engine:
            outcome = await engine.resume(job)
        assert outcome.context.live(Alarm) == (Alarm("smoke", 5),)
        await expect(page.locator("#state .badge")).to_have_text("fixed point", timeout=SECONDS)
        await expect(page.locator("#answer")).to_contain_text("look after smoke")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_what_is_being_typed_outlasts_an_update(store):
    """A form that somebody fills in stays as it is while the job goes on around it."""
    job = await asked(store, "smoke", "fire")
    async with browsing(store) as shown:
        page = shown.page
        await page.goto(f"{shown.address}/jobs/{job}")
        forms = page.locator("form.request")
        await expect(forms).to_have_count(2)
        await forms.nth(1).get_by_label("Reason").fill("because of the roof")
        first = await forms.nth(0).locator("input[name=request]").get_attribute("value")
        assert first is not None
        async with alarms(store) as engine:
            await engine.decide(job, first, "approve", by="bob")
            await engine.resume(job)
        await expect(forms).to_have_count(1, timeout=SECONDS)
        assert await forms.get_by_label("Reason").input_value() == "because of the roof"


async def test_a_fact_with_a_script_and_one_of_100_kb_do_no_harm(store):
    """On every page where they are shown, and in a graph."""
    job = await asked(store, SCRIPT, LONG)
    async with browsing(store) as shown:
        page = shown.page
        await page.goto(f"{shown.address}/jobs/{job}/facts")
        links = await page.locator("ul.facts a.kind").evaluate_all("all => all.map(one => one.href)")
        for address in [f"{shown.address}/jobs/{job}", *links]:
            await page.goto(address)
            assert "harmed" not in await page.title() or "<script>" in await page.title()
            assert await page.locator("main img, main script, main b:text-is('bold')").count() == 0
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            if await page.locator(".canvas").count():
                await page.locator(".canvas .node").last.click()
                await expect(page.locator(".told")).to_contain_text("Open this fact")
                assert await page.locator("main img").count() == 0


async def ask_in_three_clicks(page: Page, job: str, *clicks: Callable[[], Awaitable[None]]) -> str:
    assert len(clicks) <= 3
    await page.goto(job)
    for click in clicks:
        await click()
    return await page.locator("main").inner_text()


async def test_four_questions_are_answered_in_three_clicks_or_fewer(store):
    """Why did this win, why not that, what did it cost, what is it waiting for: from the job's page alone."""
    long = "x" * 200
    job_id = await asked(store, "smoke", "fire", long)
    async with browsing(store) as shown:
        page, job = shown.page, f"{shown.address}/jobs/{job_id}"
        waits = await ask_in_three_clicks(page, job)
        assert "It waits for officer: 2 decisions" in waits
        cost = await ask_in_three_clicks(page, job)
        assert "nothing was asked" in cost
        why = await ask_in_three_clicks(page, job, page.get_by_text("Why is this proposed?").first.click)
        assert "stated by listen in round 1" in why
        refused = page.locator("#instead li", has_text="refused").get_by_text("Why not?")
        await page.goto(job)
        why_not = await ask_in_three_clicks(page, job, refused.click)
        assert "Proposal.Alarm" in why_not


async def test_every_control_has_a_name_and_can_be_reached_with_the_keyboard(store):
    """What a screen reader says of each is not empty."""
    job = await asked(store, "smoke")
    async with browsing(store) as shown:
        page = shown.page
        for address in (shown.address, f"{shown.address}/jobs/{job}", f"{shown.address}/compare"):
            await page.goto(address)
            nameless = await page.evaluate(
                """() => [...document.querySelectorAll("a, button, input, select, textarea, summary")]
                .filter(one => one.type !== "hidden")
                .filter(one => !(one.textContent.trim() || one.labels?.length || one.getAttribute("aria-label")))
                .map(one => one.outerHTML)"""
            )
            assert nameless == []
            assert await page.locator("h1").count() == 1
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.className") == "skip"
