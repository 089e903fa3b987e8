"""What OpenTelemetry is told of jobs: spans with the right parents, links, words only when asked for, and metrics."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from converge import Engine, Fact, RootIntent, View, agent
from converge.agents import LLMAgent, Price
from converge.errors import EngineInvalid
from converge.stores import SQLiteStore
from converge.telemetry import Telemetry
from converge.testing import Reply, ScriptedModel, VirtualClock

ROOT = Path(__file__).parents[1]


class Signal(Fact):
    text: str


class Risk(Fact):
    name: str


class Advice(Fact):
    text: str


@agent(reads=Signal, writes=Risk)
def assess(view: View):
    for signal in view.new(Signal):
        yield Risk(signal.text).because(signal)


def advising(model, **options):
    return LLMAgent("advise", model, "What about {facts}?", Risk, Advice, **options)


def advisor(**options):
    return ScriptedModel([("", {"items": [{"text": "leave"}]})], price=Price(input=1_000, output=2_000), **options)


class Telling:
    """A Telemetry whose spans and metrics can be looked at."""

    def __init__(self, sampler=None, **options):
        self._spans, self._metrics = InMemorySpanExporter(), InMemoryMetricReader()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.telemetry = Telemetry(self.provider, MeterProvider([self._metrics]), **options)

    @property
    def spans(self):
        return self._spans.get_finished_spans()

    def named(self, name):
        return [span for span in self.spans if span.name == name]

    def parent(self, span):
        """The span that a span is a child of; None for the first of its trace."""
        [parent] = [one for one in self.spans if span.parent and one.context.span_id == span.parent.span_id] or [None]
        return parent

    def line(self, span):
        """The names of a span and of all it lies in."""
        return [] if span is None else [span.name, *self.line(self.parent(span))]

    def metric(self, name):
        """The points of a metric, by the values of their attributes."""
        data = self._metrics.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        metrics = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        return {
            tuple((point.attributes or {}).values()): point for metric in metrics for point in metric.data.data_points
        }


FIRE = Signal("fire")


async def advised(telling, facts=(FIRE,), **options):
    model = advisor()
    engine = Engine([assess, advising(model)], telemetry=telling.telemetry, **options)
    outcome = await engine.run("find the risks", facts)
    await model.aclose()
    return outcome


# --- spans -----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_call_lies_in_its_activation_in_its_round_in_its_job():
    telling = Telling()
    await advised(telling)
    calls = telling.named("chat scripted")
    assert [telling.line(call) for call in calls] == [
        ["chat scripted", "invoke_agent advise", "converge.round", "converge.job"]
    ] * len(calls)
    assert calls
    assert len({span.context.trace_id for span in telling.spans}) == 1


@pytest.mark.asyncio
async def test_a_call_is_told_as_the_genai_conventions_name_it():
    telling = Telling()
    await advised(telling)
    call = telling.named("chat scripted")[-1]
    told = dict(call.attributes)
    assert call.kind is SpanKind.CLIENT
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.request.model"] == told["gen_ai.response.model"] == "scripted"
    assert told["gen_ai.request.max_tokens"] == 1024
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    money = (1_000 * told["gen_ai.usage.input_tokens"] + 2_000 * told["gen_ai.usage.output_tokens"]) / 1_000_000
    assert told["converge.cost"] == money > 0
    activation = telling.parent(call)
    assert activation.attributes["gen_ai.agent.name"] == "advise"
    assert activation.attributes["gen_ai.agent.version"] == "1"


@pytest.mark.asyncio
async def test_a_job_says_why_it_stopped_and_what_it_spent():
    telling = Telling()
    outcome = await advised(telling)
    [job] = telling.named("converge.job")
    assert job.attributes["converge.job.id"] == outcome.job_id
    assert job.attributes["converge.stop"] == "fixed_point"
    assert job.attributes["converge.spend.calls"] == outcome.spend.calls > 0
    assert job.status.status_code is StatusCode.UNSET


@pytest.mark.asyncio
async def test_a_job_lies_in_the_span_of_whoever_runs_it():
    telling = Telling()
    with telling.provider.get_tracer("app").start_as_current_span("request"):
        await Engine([assess], telemetry=telling.telemetry).run("go", Signal("a"))
    [job] = telling.named("converge.job")
    assert telling.line(job) == ["converge.job", "request"]


@pytest.mark.asyncio
async def test_an_activation_is_linked_to_those_whose_facts_it_read():
    telling = Telling()

    @agent(reads=(Signal, Risk), writes=Advice)
    def advise(view: View):
        return [Advice(f"{len(view.all(Risk))} risks")] if view.all(Risk) else []

    await Engine([assess, advise], telemetry=telling.telemetry).run("go", [Signal("a"), Signal("b")])
    [assessed] = telling.named("invoke_agent assess")
    early, late = sorted(telling.named("invoke_agent advise"), key=lambda span: span.attributes["converge.round"])
    assert early.links == ()
    assert [link.context.span_id for link in late.links] == [assessed.context.span_id]


@pytest.mark.asyncio
async def test_evidence_that_is_cited_is_linked_to_where_the_view_was_asked_for_an_item_alone():
    telling, model = Telling(), advisor()
    advise = advising(model, each=Risk)
    await Engine([assess, advise], telemetry=telling.telemetry).run("go", Signal("a"))
    [assessed] = telling.named("invoke_agent assess")
    [advice] = telling.named("invoke_agent advise")
    assert [link.context.span_id for link in advice.links] == [assessed.context.span_id]
    await model.aclose()


@pytest.mark.asyncio
async def test_parents_are_right_with_many_jobs_and_agents_at_once():
    """Agents that wait for each other's turn, each with a span of its own; every span lies in its own job."""
    telling = Telling()
    own, turns = telling.provider.get_tracer("app"), asyncio.Barrier(5)

    def looking(number):
        @agent(name=f"look-{number}", reads=Signal, writes=Risk)
        async def look(view: View):
            for signal in view.new(Signal):
                with own.start_as_current_span(f"look-{number} at {signal.text}"):
                    await turns.wait()
                    await view.capture("see", len, signal.text)
                yield Risk(f"{number} {signal.text}").because(signal)

        return look

    @agent(reads=Risk, writes=Advice)
    async def conclude(view: View):
        for risk in view.new(Risk):
            await asyncio.sleep(0)
            with own.start_as_current_span(f"conclude from {risk.name}"):
                yield Advice(risk.name).because(risk)

    engine = Engine([*map(looking, range(5)), conclude], telemetry=telling.telemetry)
    names = [f"job-{number}" for number in range(8)]
    await asyncio.gather(*(engine.run("go", Signal(name), job_id=name) for name in names))
    for name in names:
        for number in range(5):
            [seen] = [one for one in telling.spans if one.name == f"look-{number} at {name}"]
            assert telling.line(seen)[1:] == [f"invoke_agent look-{number}", "converge.round", "converge.job"]
            [job] = [one for one in telling.named("converge.job") if one.context.trace_id == seen.context.trace_id]
            assert job.attributes["converge.job.id"] == name
            [call] = [one for one in telling.named("call see") if telling.parent(one) is seen]
            assert call.attributes["converge.call"] == "see"
            [concluded] = [one for one in telling.spans if one.name == f"conclude from {number} {name}"]
            assert telling.line(concluded)[1:] == ["invoke_agent conclude", "converge.round", "converge.job"]
            assert concluded.context.trace_id == seen.context.trace_id
    assert len({span.context.trace_id for span in telling.spans}) == len(names)


@pytest.mark.asyncio
async def test_every_span_that_began_has_ended_and_lies_within_its_parent():
    telling = Telling()
    engine = Engine([assess], telemetry=telling.telemetry)
    await asyncio.gather(*(engine.run("go", Signal(str(number))) for number in range(5)))
    for span in telling.spans:
        parent = telling.parent(span)
        assert span.start_time <= span.end_time
        assert parent is None or parent.start_time <= span.start_time <= span.end_time <= parent.end_time, span.name


@pytest.mark.asyncio
async def test_times_are_those_of_the_jobs_clock():
    telling = Telling()

    @agent(reads=Signal, writes=Risk)
    async def ponder(view: View):
        await clock.sleep(60)

    async with VirtualClock() as clock:
        await Engine([ponder], telemetry=telling.telemetry, clock=clock).run("go", Signal("a"))
    [span] = telling.named("invoke_agent ponder")
    assert (span.end_time - span.start_time) / 1e9 == pytest.approx(60)


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_failed_activation_names_its_error_and_says_no_word_of_it():
    telling = Telling()

    @agent(reads=Signal, writes=Risk, retry=2)
    def break_down(view: View):
        raise ValueError("the secret is 7")

    await Engine([break_down], telemetry=telling.telemetry).run("go", Signal("a"))
    [span] = telling.named("invoke_agent break_down")
    assert span.attributes["error.type"] == "ValueError"
    assert span.attributes["converge.attempts"] == 2
    assert span.status.status_code is StatusCode.ERROR
    assert "secret" not in "".join(one.to_json() for one in telling.spans)
    assert telling.metric("converge.failures")["break_down", "ValueError"].value == 1


@pytest.mark.asyncio
async def test_a_call_that_fails_has_a_span_with_its_error():
    telling, model = Telling(), ScriptedModel([])
    await Engine([advising(model, each=None)], telemetry=telling.telemetry).run("go", Risk("fire"))
    [call] = telling.named("chat scripted")
    assert call.attributes["error.type"] == "ScriptSilent"
    assert [*telling.metric("gen_ai.client.operation.duration")] == [("chat", "openai", "scripted", "ScriptSilent")]
    await model.aclose()


@pytest.mark.asyncio
async def test_a_job_that_is_cancelled_ends_all_its_spans():
    telling, begun = Telling(), asyncio.Event()

    @agent(reads=Signal, writes=Risk)
    async def wait(view: View):
        begun.set()
        await asyncio.Event().wait()

    engine = Engine([wait], telemetry=telling.telemetry)
    async with engine.start("go", Signal("a")) as job:
        await begun.wait()
        job.cancel()
        await job.outcome()
    told = {span.name: span.attributes for span in telling.spans}
    assert set(told) == {"converge.job", "converge.round", "invoke_agent wait"}
    assert told["invoke_agent wait"]["error.type"] == "cancelled"
    assert told["converge.job"]["converge.stop"] == "cancelled"


@pytest.mark.asyncio
async def test_a_job_that_cannot_begin_has_a_span_with_its_error():
    telling = Telling()
    engine = Engine([assess], telemetry=telling.telemetry)
    with pytest.raises(Exception, match="absent"):
        await engine.resume("absent")
    [job] = telling.named("converge.job")
    assert job.attributes["error.type"] == "JobUnknown"
    assert job.status.status_code is StatusCode.ERROR


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_no_prompt_answer_objective_or_fact_is_told_unless_that_is_asked_for():
    telling = Telling()
    await advised(telling, [Signal("fire in the hall")])
    told = "".join(span.to_json() for span in telling.spans)
    assert not [word for word in ("fire in the hall", "leave", "find the risks", "What about") if word in told]


@pytest.mark.asyncio
async def test_prompts_and_answers_are_told_as_the_conventions_write_them():
    telling = Telling(content=True)
    await advised(telling)
    [*_, call] = telling.named("chat scripted")
    [asked] = json.loads(call.attributes["gen_ai.input.messages"])
    assert (asked["role"], asked["parts"][0]["type"]) == ("user", "text")
    assert '"name":"fire"' in asked["parts"][0]["content"]
    [answer] = json.loads(call.attributes["gen_ai.output.messages"])
    assert json.loads(answer["parts"][0]["content"]) == {"items": [{"text": "leave"}]}
    assert "find the risks" in json.loads(call.attributes["gen_ai.system_instructions"])[0]["content"]
    assert telling.named("converge.job")[0].attributes["converge.objective"] == "find the risks"


@pytest.mark.asyncio
async def test_what_is_redacted_is_in_no_span():
    telling = Telling(content=True)

    @agent(reads=Signal, writes=Risk)
    def fail(view: View):
        raise ValueError("no fire")

    hiding = Engine([fail], telemetry=telling.telemetry, redact=lambda text: text.replace("fire", "█"))
    await hiding.run("fight the fire", Signal("a"))
    await advised(telling, [Signal("fire")], redact=lambda text: text.replace("fire", "█"))
    told = "".join(f"{dict(span.attributes)} {span.status.description}" for span in telling.spans)
    assert [text for text in ("no █", "fight the █", "name") if text not in told] == []
    assert "fire" not in told


@pytest.mark.asyncio
async def test_a_tool_is_a_call_of_its_own_beside_those_of_the_model():
    telling = Telling(content=True)

    def look_up(name: str) -> str:
        return f"{name} is insured"

    model = ScriptedModel(
        [("", [Reply(tool_calls=[("look_up", {"name": "fire"})]), {"items": [{"text": "leave"}]}])], name="m"
    )
    await Engine([advising(model, tools=[look_up])], telemetry=telling.telemetry).run("go", Risk("fire"))
    [tool] = telling.named("execute_tool look_up")
    assert telling.parent(tool).name == "invoke_agent advise"
    assert tool.attributes["gen_ai.operation.name"] == "execute_tool"
    assert json.loads(tool.attributes["gen_ai.tool.call.arguments"]) == {"name": "fire"}
    assert json.loads(tool.attributes["gen_ai.tool.call.result"]) == "fire is insured"
    [_, last] = telling.named("chat m")
    roles = [message["role"] for message in json.loads(last.attributes["gen_ai.input.messages"])]
    assert roles == ["user", "assistant", "tool"]
    await model.aclose()


@pytest.mark.asyncio
async def test_what_cannot_be_told_of_a_call_is_left_out_and_fails_nothing():
    """A model of somebody else's, whose messages and answers are in no form that is known."""
    telling = Telling(content=True)

    class Theirs:
        name = "theirs"

        def ask(self, question):
            return question.upper()

    @agent(reads=Risk, writes=Advice)
    async def advise(view: View):
        return [Advice(await view.capture("ask", Theirs().ask, risk.name)) for risk in view.new(Risk)]

    outcome = await Engine([advise], telemetry=telling.telemetry).run("go", Risk("fire"))
    assert outcome.context.live(Advice) == (Advice("FIRE"),)
    [call] = telling.named("chat theirs")
    assert "gen_ai.output.messages" not in call.attributes


# --- as little as will do --------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_of_quick_activations_the_first_have_spans_and_the_rest_are_counted_on_their_round():
    telling = Telling(quick_spans=1)

    @agent(name="slow", reads=Signal, writes=Risk)
    async def ponder(view: View):
        await clock.sleep(1)

    quick = [agent(name=f"quick-{n}", reads=Signal, writes=Risk)(lambda view: None) for n in range(5)]
    async with VirtualClock() as clock:
        engine = Engine([*quick, ponder], telemetry=telling.telemetry, clock=clock)
        await engine.run("go", Signal("a"))
    names = [span.name for span in telling.spans if span.name.startswith("invoke_agent")]
    assert sorted(names) == ["invoke_agent quick-0", "invoke_agent slow"]
    [round] = telling.named("converge.round")
    assert round.attributes["converge.quick_activations"] == 4
    assert telling.metric("converge.activations")[()].value == 6


@pytest.mark.asyncio
async def test_one_that_begins_a_span_or_fails_has_its_own_however_many_there_were():
    telling = Telling(quick_spans=0)

    @agent(reads=Signal, writes=Risk)
    def trace_it(view: View):
        with telling.provider.get_tracer("app").start_as_current_span("inner"):
            pass

    @agent(reads=Signal, writes=Risk, required=False)
    def fail(view: View):
        raise ValueError

    await Engine([trace_it, fail, assess], telemetry=telling.telemetry, clock=VirtualClock()).run("go", Signal("a"))
    assert telling.line(telling.named("inner")[0])[1] == "invoke_agent trace_it"
    names = {span.name for span in telling.spans}
    assert names == {"inner", "invoke_agent trace_it", "invoke_agent fail", "converge.round", "converge.job"}


@pytest.mark.asyncio
async def test_a_trace_that_is_not_sampled_has_no_spans_and_metrics_all_the_same():
    telling = Telling(sampler=ALWAYS_OFF)
    outcome = await advised(telling)
    assert outcome.converged
    assert telling.spans == ()
    assert telling.metric("converge.activations")[()].value == outcome.spend.activations


@pytest.mark.asyncio
async def test_what_was_captured_is_no_call_again_when_the_job_is_begun_anew(tmp_path):
    telling, model = Telling(), advisor()
    store = SQLiteStore(tmp_path / "jobs.db")
    engine = Engine([assess, advising(model)], telemetry=telling.telemetry, store=store)
    first = await engine.run("go", Signal("fire"))
    calls = len(telling.named("chat scripted"))
    again = await engine.restart(first.job_id)
    assert again.live_digest == first.live_digest
    assert len(telling.named("chat scripted")) == calls > 0
    assert len(telling.named("converge.job")) == 2
    await model.aclose()


# --- metrics ---------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_metrics_count_what_the_outcome_says(tmp_path):
    telling = Telling()
    outcome = await advised(telling, [Signal("a"), Signal("b")], store=SQLiteStore(tmp_path / "jobs.db"))
    spend = outcome.spend
    assert telling.metric("converge.activations")[()].value == spend.activations
    assert telling.metric("converge.rounds")[()].value == spend.rounds
    assert telling.metric("converge.facts")[()].value == len(outcome.context.facts()) - 1
    tokens = telling.metric("gen_ai.client.token.usage")
    assert sum(point.sum for point in tokens.values()) == spend.tokens > 0
    assert {key[-1] for key in tokens} == {"input", "output"}
    assert telling.metric("converge.cost")["chat", "openai", "scripted"].value == pytest.approx(spend.money)
    assert telling.metric("gen_ai.client.operation.duration")["chat", "openai", "scripted"].count == spend.calls
    assert telling.metric("converge.commit.duration")[()].count == outcome.cycles - 1  # the end comes with the last one
    assert telling.metric("converge.queue.duration")[()].count >= 1
    assert telling.metric("converge.job.duration")[("fixed_point",)].count == 1


@pytest.mark.asyncio
async def test_several_engines_may_share_one_telemetry():
    telling = Telling()
    for _ in range(2):
        await Engine([assess], telemetry=telling.telemetry).run("go", Signal("a"))
    assert telling.metric("converge.activations")[()].value == 2


# --- on and off ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_facts_rounds_and_trace_are_the_same_with_and_without_it():
    watched, plain = [
        await Engine([assess], telemetry=telemetry).run("go", Signal("a"), job_id="j")
        for telemetry in (Telling().telemetry, None)
    ]
    assert watched.proof_digest == plain.proof_digest
    assert [type(event) for event in watched.trace] == [type(event) for event in plain.trace]


def test_an_engine_without_it_loads_nothing_of_it():
    program = (
        "import sys\nfrom converge import Engine, Fact, agent, run\n"
        "class A(Fact):\n    n: int\n"
        "run([agent(reads=A, writes=A)(lambda view: None)], 'go', A(1))\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'converge.telemetry'))])"
    )
    assert in_python(program).stdout.strip() == "[]"


@pytest.mark.parametrize("given", [Telemetry, True, "on"])
def test_what_is_no_telemetry_is_refused_by_its_name(given):
    with pytest.raises(EngineInvalid, match=r"Engine\(telemetry=\.\.\.\)"):
        Engine([assess], telemetry=given)


@pytest.mark.asyncio
async def test_by_default_it_tells_the_providers_the_application_has_set_up():
    """Here none is: what is told goes nowhere, and the job runs as ever."""
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    outcome = await Engine([assess], telemetry=Telemetry()).run(RootIntent("go"), Signal("a"))
    assert outcome.converged


def in_python(program):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in (".", "agents", "stores"))}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
