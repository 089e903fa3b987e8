"""What a Model promises of many questions at once: nobody is asked too much, and a server in trouble is left alone."""

import asyncio
import threading
from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converge.testing import VirtualClock
from converge_agents.answer import judged
from converge_agents.circuit import Circuit
from converge_agents.errors import DeadlinePassed, ModelElsewhere, ModelError, RateLimited, ServerDown
from converge_agents.pacing import Pause, Window
from converge_agents.reply import Reply
from converge_agents.scripted import ScriptedModel

HELLO = [{"role": "user", "content": "hello"}]


class Server:
    """A scripted server that notes when each request came, and how many were there at once."""

    def __init__(self, clock, serve, seconds=0.05):
        self.clock, self.serve, self.seconds = clock, serve, seconds
        self.times: list[float] = []

    def __call__(self, request):
        self.times.append(self.clock.elapsed())
        reply = self.serve(len(self.times))
        return Reply(reply, delay=self.seconds) if isinstance(reply, str) else reply


async def ask_at_once(model, count, **asking):
    """Return what came of so many questions at once: answers and failures."""
    ends: list[Any] = []

    async def ask():
        try:
            ends.append(judged(await model.ask(HELLO, **asking)))
        except ModelError as failure:
            ends.append(failure)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(ask)
    return ends


async def crowd(count, serve, *, seconds=0.05, asking=None, **options):
    async with VirtualClock() as clock:
        server = Server(clock, serve, seconds)
        async with ScriptedModel(server, clock=clock, **options) as model:
            return server, await ask_at_once(model, count, **(asking or {})), clock.elapsed()


def most_in(times, seconds):
    """Return the most requests that came within any such time."""
    return max(sum(1 for time in times if start <= time < start + seconds) for start in times)


# --- at once, and per minute --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_no_more_are_asked_at_once_than_concurrency_allows():
    server, ends, seconds = await crowd(20, lambda n: "yes", concurrency=4)
    assert len(ends) == 20
    assert set(Counter(server.times).values()) == {4}
    assert seconds == pytest.approx(5 * 0.05)


@pytest.mark.asyncio
async def test_in_no_minute_more_requests_are_made_than_allowed():
    server, ends, seconds = await crowd(50, lambda n: "yes", requests_per_minute=20)
    assert len(ends) == 50
    assert most_in(server.times, 59.99) == 20
    assert seconds == pytest.approx(120, abs=1)


@pytest.mark.asyncio
async def test_tokens_are_reserved_at_the_worst_and_given_back():
    worst = 1000
    async with VirtualClock() as clock:
        server = Server(clock, lambda n: "yes")
        async with ScriptedModel(server, clock=clock, max_tokens=worst, tokens_per_minute=3500) as model:
            await ask_at_once(model, 40)
            (answer,) = await ask_at_once(model, 1)
            used = answer.input_tokens + answer.output_tokens
    assert max(Counter(server.times).values()) == 3  # three worst cases fit
    assert used * 41 < 3500
    assert clock.elapsed() < 60  # but what is not used is for the next: nobody waits for the minute to pass


@pytest.mark.asyncio
async def test_a_request_larger_than_a_minute_waits_for_a_minute_of_its_own():
    server, ends, _ = await crowd(2, lambda n: "yes", tokens_per_minute=100)
    assert len(ends) == 2
    assert len(server.times) == 2


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(1, 30), st.floats(0, 1)), max_size=30))
def test_a_window_is_never_exceeded(takes):
    window, now, taken = Window(30), 0.0, []
    for pause, amount, used in takes:
        now += pause
        wait = window.wait(now, amount)
        assert wait >= 0
        now += wait + 1e-9
        assert window.wait(now, amount) <= 1e-6
        settle = window.take(now, amount)
        settle(amount * used)
        taken.append((now, amount * used))
    for start, _ in taken:
        assert sum(amount for at, amount in taken if start <= at < start + 59.99) <= 30 + 1e-6


# --- patience -----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_after_one_429_everybody_waits_and_nobody_rushes_back():
    def serve(n):
        return Reply(status=429, headers={"retry-after": "10"}, delay=0.01) if n == 1 else "yes"

    server, ends, _ = await crowd(200, serve, concurrency=20)
    assert not [end for end in ends if isinstance(end, ModelError)]
    assert len(server.times) == 201
    first_wave = [time for time in server.times if time < 10]
    assert len(first_wave) == 20  # who was under way already
    back = [time for time in server.times if 10 <= time < 20]
    assert min(later - earlier for earlier, later in pairwise(back)) >= 10 / 20 / 2 - 1e-6
    assert most_in(back, 1.0) <= 5


@pytest.mark.asyncio
async def test_a_server_that_wants_hours_is_asked_by_nobody_meanwhile():
    def serve(n):
        return Reply(status=429, headers={"retry-after": "3600"})

    server, ends, seconds = await crowd(50, serve, concurrency=5)
    assert len(server.times) <= 5
    assert {type(end) for end in ends} == {RateLimited}
    assert seconds == 0


def test_a_longer_pause_is_not_cut_short_by_a_shorter_one():
    pause = Pause(wide=10, random=lambda: 0.5)
    pause.begin(0.0, 60.0)
    pause.begin(1.0, 5.0)
    assert pause.wait(30.0) == 30.0


# --- the circuit --------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_dead_server_is_not_hammered_by_a_thousand_agents():
    server, ends, seconds = await crowd(1000, lambda n: Reply(harm="unreachable"), concurrency=32, failures=10)
    assert len(ends) == 1000
    assert all(isinstance(end, ModelError) for end in ends)
    assert len(server.times) <= 32 + 10 + 5  # under way, failed before, and one trial for each attempt
    assert seconds < 60
    down = next(end for end in ends if isinstance(end, ServerDown))
    assert down.until > 1_700_000_000
    assert "left alone until" in str(down)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.asyncio
async def test_a_server_that_restarts_is_waited_for_and_nobody_fails(seed):
    async with VirtualClock() as clock:
        server = Server(clock, lambda n: Reply(harm="unreachable") if clock.elapsed() < 4 else "yes")
        async with ScriptedModel(server, clock=clock, random=Random(seed).random) as model:
            ends = await ask_at_once(model, 300)
    assert not [end for end in ends if isinstance(end, ModelError)]
    assert len(server.times) <= 300 + 32 + 10 + 5
    back = next(time for time in server.times if time >= 4)
    assert sum(1 for time in server.times if time == back) == 1  # one tries for all


@pytest.mark.asyncio
async def test_one_success_between_failures_keeps_the_circuit_closed():
    _, ends, _ = await crowd(
        30, lambda n: "yes" if n % 3 == 0 else Reply(status=500), concurrency=1, failures=3, attempts=4
    )
    assert not [end for end in ends if isinstance(end, ServerDown)]


@pytest.mark.asyncio
async def test_what_a_server_refuses_does_not_open_the_circuit():
    _, ends, _ = await crowd(50, lambda n: Reply(status=400), failures=3)
    assert not [end for end in ends if isinstance(end, ServerDown)]


@pytest.mark.asyncio
async def test_a_probe_that_is_cancelled_leaves_the_trial_to_the_next():
    async with VirtualClock() as clock:
        circuit = Circuit("m", clock, failures=1)
        assert not await circuit.enter()
        circuit.ended(False, False)
        with pytest.raises(ServerDown):
            await circuit.enter()
        await clock.sleep(1.1)
        assert await circuit.enter()
        circuit.ended(True, None)
        assert await circuit.enter()
        assert circuit.ended(True, True)
        assert not await circuit.enter()


@pytest.mark.asyncio
async def test_a_server_is_left_alone_longer_each_time():
    async with VirtualClock() as clock:
        circuit = Circuit("m", clock, failures=1, first=1.0, longest=5.0)
        circuit.ended(False, False)
        waits = []
        for _ in range(5):
            with pytest.raises(ServerDown) as down:
                await circuit.enter()
            left = down.value.retry_after or 0
            waits.append(round(left))
            await clock.sleep(left + 0.01)
            assert await circuit.enter()
            circuit.ended(True, False)
    assert waits == [1, 2, 4, 5, 5]


# --- leaving ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_places_are_given_back_however_a_question_ends():
    async with VirtualClock() as clock:
        server = Server(clock, lambda n: Reply(delay=1000) if n <= 4 else "yes")
        async with ScriptedModel(server, clock=clock, concurrency=2, timeout=5000) as model:
            ends = await ask_at_once(model, 4, deadline=10)
            assert {type(end) for end in ends} == {DeadlinePassed}
            assert judged((await ask_at_once(model, 1))[0]).text == "yes"


@pytest.mark.asyncio
async def test_who_hears_a_piece_may_ask_the_same_model_from_there():
    async with ScriptedModel(lambda request: "good day") as model:
        inner = []
        async with anyio.create_task_group() as tasks:

            async def ask():
                inner.append(await model.ask(HELLO))

            await model.ask(HELLO, on_text=lambda text, attempt: tasks.start_soon(ask))
    assert [answer.text for answer in inner] == ["good day"]


def test_a_model_at_work_in_one_loop_is_not_asked_from_another():
    reached, done = threading.Event(), threading.Event()

    async def first(model):
        def listen(text, attempt):
            reached.set()
            assert done.wait(30)

        async with model:
            await model.ask(HELLO, on_text=listen)

    model = ScriptedModel(lambda request: "good day")
    thread = threading.Thread(target=lambda: asyncio.run(first(model)))
    thread.start()
    try:
        assert reached.wait(30)
        with pytest.raises(ModelElsewhere):
            asyncio.run(model.ask(HELLO))
    finally:
        done.set()
        thread.join()


# --- all of it together -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.asyncio
async def test_under_any_trouble_every_question_ends_by_name_and_every_limit_holds(seed):
    chance = Random(seed)
    troubles = [Reply(status=status) for status in (400, 408, 429, 500, 503)]
    troubles += [Reply(status=429, headers={"retry-after": "3"}), Reply("good day", harm="cut"), Reply(delay=90)]
    troubles += [Reply("good day", harm=harm) for harm in ("unreachable", "unfinished", "corrupt", "stalled")]
    troubles += [Reply("good", finish_reason="length", delay=1), Reply(refusal="no")]
    async with VirtualClock() as clock:
        server = Server(clock, lambda n: chance.choice(troubles) if chance.random() < 0.5 else "yes", seconds=1.0)
        limits: dict[str, Any] = {
            "concurrency": 7,
            "requests_per_minute": 100,
            "tokens_per_minute": 60_000,
            "failures": 4,
        }
        async with ScriptedModel(server, clock=clock, random=chance.random, attempts=3, **limits) as model:
            ends = []

            async def ask(streaming, deadline):
                try:
                    on_text = (lambda text, attempt: None) if streaming else None
                    ends.append(judged(await model.ask(HELLO, on_text=on_text, deadline=deadline)).text)
                except ModelError as failure:
                    ends.append(type(failure).__name__)

            async with anyio.create_task_group() as tasks:
                for number in range(120):
                    tasks.start_soon(ask, number % 2 == 0, chance.choice([None, 5, 100]))
            server.serve = lambda n: "yes"
            await clock.sleep(120)  # whatever was wrong, it is over: all places are free again
            assert [judged(end).text for end in await ask_at_once(model, 20)] == ["yes"] * 20
    assert len(ends) == 120
    assert "yes" in ends
    assert most_in(server.times, 59.99) <= 100
