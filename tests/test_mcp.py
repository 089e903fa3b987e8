"""MCP both ways, with a real server in a process of its own and a real client, over stdio and streamable HTTP."""

import json
import os
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import uvicorn
from mcp import Client, StdioServerParameters

from converge import Engine, Fact, StopReason, View, agent, human, id_of
from converge.agents import LLMAgent, mcp_tools
from converge.errors import AgentInvalid
from converge.mcp import job_server
from converge.stores import MemoryStore, SQLiteStore
from converge.testing import Reply, ScriptedModel
from converge.trace import Captured
from converge_agents.errors import ToolServerFailed, ToolUnknown, ToolWrites

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow  # a process for each test, which takes a second to import what it needs
PATHS = os.pathsep.join(str(ROOT / part) for part in (".", "agents", "stores"))


class Signal(Fact):
    text: str


class Risk(Fact, key="name"):
    name: str
    severity: int


@agent(reads=Signal, writes=Risk)
def assess(view: View):
    for signal in view.new(Signal):
        yield Risk(signal.text, len(signal.text)).because(signal)


# --- tools of a server, for an agent ---------------------------------------------------------------------------------


def insurer(tmp_path):
    """A client of the server, and the calls that were made to it."""
    calls = tmp_path / "calls"
    calls.touch()
    command = [str(ROOT / "tests" / "mcp_server.py"), str(calls)]
    return Client(StdioServerParameters(command=sys.executable, args=command)), calls


def asking(*replies):
    """A model that calls tools as it is told, then states what the last one said."""

    def answer(request):
        done = [message for message in request["messages"] if message["role"] == "tool"]
        if len(done) < len(replies):
            return replies[len(done)]
        return {"items": [{"name": done[-1]["content"][:200], "severity": len(done)}]}

    return ScriptedModel(answer)


def calling(tool, /, **arguments):
    return Reply(tool_calls=[(tool, arguments)])


def consulting(model, tools, **options):
    return LLMAgent("consult", model, "Consult the insurer about {facts}", Signal, Risk, tools=tools, **options)


@pytest.mark.asyncio
async def test_an_agents_model_calls_a_tool_of_a_server_and_reads_its_result(tmp_path):
    client, calls = insurer(tmp_path)
    async with client, asking(calling("policy", name="fire")) as model:
        outcome = await Engine([consulting(model, await mcp_tools(client))]).run("go", Signal("fire"))
    assert outcome.converged
    [risk] = outcome.context.live(Risk)
    assert json.loads(risk.name) == {"insured": "fire", "by": "the hall's owner"}
    assert calls.read_text().split("\n") == ["policy fire", ""]


@pytest.mark.asyncio
async def test_a_call_of_a_tool_is_captured_and_never_made_again(tmp_path):
    client, calls = insurer(tmp_path)
    store = SQLiteStore(tmp_path / "jobs.db")
    async with client, asking(calling("premium", name="fire", years=2)) as model:
        tools = await mcp_tools(client)
        first = await Engine([consulting(model, tools)], store=store).run("go", Signal("fire"))
        again = await Engine([consulting(model, tools)], store=store).restart(first.job_id)
    assert again.live_digest == first.live_digest
    assert "tool premium" in {event.name for event in first.trace if isinstance(event, Captured)}
    assert calls.read_text() == "premium fire 2\n"


@pytest.mark.asyncio
async def test_what_a_tool_complains_of_is_told_to_the_model(tmp_path):
    client, _ = insurer(tmp_path)
    replies = calling("premium", name="war"), calling("premium"), calling("premium", name="fire")
    async with client, asking(*replies) as model:
        outcome = await Engine([consulting(model, await mcp_tools(client))]).run("go", Signal("fire"))
    said = [message["content"] for message in model.requests[-1]["messages"] if message["role"] == "tool"]
    assert outcome.converged
    assert said[0].startswith("error: Error executing tool premium")
    assert said[1].startswith("error: Error executing tool premium")
    assert "name" in said[1]


@pytest.mark.asyncio
async def test_a_tool_that_writes_is_not_offered_and_refused_where_the_model_asks_for_it(tmp_path):
    client, calls = insurer(tmp_path)
    async with client, asking(calling("cancel", name="fire"), calling("report_claim", name="fire")) as model:
        tools = await mcp_tools(client, writes=["report.claim"])
        await Engine([consulting(model, tools)]).run("go", Signal("fire"))
    offered = {tool["function"]["name"] for tool in model.requests[0]["tools"]}
    assert offered == {"policy", "premium", "vanish"}
    said = [message["content"] for message in model.requests[-1]["messages"] if message["role"] == "tool"]
    assert [line.split(", and")[0] for line in said] == [
        "error: tool cancel writes", "error: tool report_claim writes",
    ]  # fmt: skip
    assert calls.read_text() == ""


@pytest.mark.asyncio
async def test_a_tool_reads_only_unless_the_user_or_the_servers_hints_say_otherwise(tmp_path):
    client, _ = insurer(tmp_path)
    async with client:
        plain = {tool.name: tool.writes for tool in await mcp_tools(client)}
        said = {tool.name: tool.writes for tool in await mcp_tools(client, reads=["cancel"], writes=["premium"])}
    assert plain == {"policy": False, "premium": False, "cancel": True, "report_claim": False, "vanish": False}
    assert said["premium"], "a hint that it only reads proves nothing"
    assert not said["cancel"], "the user vouches for it"


@pytest.mark.asyncio
async def test_tools_are_named_as_the_server_has_them_and_a_wrong_name_is_told(tmp_path):
    client, _ = insurer(tmp_path)
    async with client:
        [one] = await mcp_tools(client, only=["report.claim"], prefix="insurer-")
        assert one.name == "insurer-report_claim"
        with pytest.raises(ToolUnknown, match=r"no tool 'polcy': it has cancel, policy, premium, report.claim, vanish"):
            await mcp_tools(client, only=["polcy"])
        with pytest.raises(ToolWrites, match="tool cancel writes"):
            await mcp_tools(client, only=["cancel"])
        with pytest.raises(AgentInvalid, match="two of its tools are called policy"):
            consulting(asking(), [*await mcp_tools(client, only=["policy"]), *await mcp_tools(client, only=["policy"])])


@pytest.mark.asyncio
async def test_a_server_that_ends_fails_the_activation_and_nothing_is_captured(tmp_path):
    client, calls = insurer(tmp_path)
    async with client, asking(calling("vanish")) as model:
        outcome = await Engine([consulting(model, await mcp_tools(client))]).run("go", Signal("fire"))
    assert outcome.stop.reason is StopReason.AGENT_FAILED
    assert type(outcome.errors["consult"]).__name__ == "ToolServerFailed"
    assert {event.name for event in outcome.trace if isinstance(event, Captured)} == {"ask"}
    assert calls.read_text() == "vanish\n"


@pytest.mark.asyncio
async def test_a_server_that_does_not_list_its_tools_is_named_as_what_failed(tmp_path):
    client, _ = insurer(tmp_path)
    with pytest.raises(ToolServerFailed, match=r"the list of tools: its MCP server did not answer .*, then ask again"):
        await mcp_tools(client)  # not entered


# --- jobs of a store, for a client -----------------------------------------------------------------------------------


@asynccontextmanager
async def served(store, *options):
    """A client of `converge mcp` in a process of its own."""
    command = ["-m", "converge.cli", "mcp", "--store", f"sqlite:///{store.path}", *options]
    environment = {"PYTHONPATH": PATHS}
    async with Client(StdioServerParameters(command=sys.executable, args=command, env=environment)) as client:
        yield client


async def answered(client, tool, **arguments):
    """The structured content that a tool returns."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def refused(client, tool, **arguments):
    """What a tool says that fails."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return result.content[0].text


def gated():
    return agent(name="propose", reads=Signal, writes=Risk, gate=[human()])(assess.run)


@pytest.mark.asyncio
async def test_a_client_lists_jobs_and_facts_and_asks_why_and_why_not(tmp_path):
    store = SQLiteStore(tmp_path / "jobs.db")
    outcome = await Engine([assess], store=store).run("find the risks", [Signal("fire"), Signal("flood")], job_id="j")
    async with served(store) as client:
        [job] = (await answered(client, "jobs"))["jobs"]
        assert (job["job_id"], job["stop"], job["running"]) == ("j", "fixed_point", False)
        state = await answered(client, "job", job_id="j")
        assert state["objective"] == "find the risks"
        assert {risk["fact"]["name"] for risk in state["conclusions"]} == {"fire", "flood"}
        facts = await answered(client, "facts", job_id="j", kind="Risk", limit=1)
        assert (len(facts["facts"]), facts["total"]) == (1, 2)
        [fire] = [risk for risk in outcome.context.live(Risk) if risk.name == "fire"]
        why = await answered(client, "why", job_id="j", fact="Risk name=fire")
        assert why["data"]["fact"]["id"] == id_of(fire)
        assert why["text"].startswith("Risk [assess, round 1] name='fire'")
        why_not = await answered(client, "why_not", job_id="j", fact="Risk name=war")
        assert why_not["data"]["what"] == "why_not"
        course = await answered(client, "history", job_id="j", fact=id_of(fire))
        assert course["data"]["what"] == "history"
        rows = await answered(client, "history", job_id="j")
        assert len(rows["data"]["rows"]) == outcome.cycles


@pytest.mark.asyncio
async def test_every_tool_has_a_schema_of_what_it_takes_and_returns_and_says_that_it_only_reads(tmp_path):
    store = SQLiteStore(tmp_path / "jobs.db")
    await Engine([assess], store=store).run("go", Signal("fire"), job_id="j")
    async with served(store) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"jobs", "job", "facts", "why", "why_not", "history", "questions"}
    for tool in tools.values():
        assert tool.annotations.read_only_hint
        assert tool.description
        assert tool.output_schema["type"] == "object"


@pytest.mark.asyncio
async def test_what_is_wrong_is_one_sentence_that_names_it(tmp_path):
    store = SQLiteStore(tmp_path / "jobs.db")
    await Engine([assess], store=store).run("go", Signal("fire"), job_id="j")
    async with served(store) as client:
        assert "'nowhere'" in await refused(client, "job", job_id="nowhere")
        assert "Risk" in await refused(client, "why", job_id="j", fact="Risk name=war")
        assert "name a fact" in await refused(client, "why", job_id="j", fact=" ")
        assert "decide" in await refused(client, "decide", job_id="j", request="1234", choice="approve")


@pytest.mark.asyncio
async def test_a_client_decides_under_the_name_that_was_given_and_the_job_goes_on(tmp_path):
    store = SQLiteStore(tmp_path / "jobs.db")
    engine = Engine([gated()], store=store)
    waiting = await engine.run("go", Signal("fire"), job_id="j")
    assert waiting.stop.reason is StopReason.WAITING
    async with served(store, "--decide", "ada") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools["decide"].annotations.read_only_hint is False
        [question] = (await answered(client, "questions", job_id="j"))["questions"]
        assert (question["kind"], question["fact"]) == ("Risk", {"name": "fire", "severity": 4})
        said = await answered(
            client, "decide", job_id="j", request=question["request"], choice="approve", reason="insured"
        )
        assert (said["by"], said["running"]) == ("ada", False)
        assert "ada has decided" in await refused(
            client, "decide", job_id="j", request=question["request"], choice="reject"
        )
    outcome = await engine.resume("j")
    assert outcome.converged
    assert outcome.context.live(Risk) == (Risk("fire", 4),)


@pytest.mark.asyncio
async def test_it_follows_a_job_that_somebody_else_goes_on_with(tmp_path):
    store = SQLiteStore(tmp_path / "jobs.db")
    engine = Engine([assess], store=store)
    await engine.run("go", Signal("fire"), job_id="j")
    async with served(store) as client:
        before = await answered(client, "facts", job_id="j", kind="Risk")
        await engine.resume("j", Signal("flood"))
        after = await answered(client, "facts", job_id="j", kind="Risk")
    assert (before["total"], after["total"]) == (1, 2)


@pytest.mark.asyncio
async def test_the_same_server_is_an_app_to_mount_for_streamable_http():
    store = MemoryStore()
    engine = Engine([assess], store=store)
    async with engine:
        await engine.run("go", Signal("fire"), job_id="j")
        app = job_server(store, engine.wiring).streamable_http_app()
        listening = socket.create_server(("127.0.0.1", 0))
        running = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.serve, [listening])
            async with Client(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp") as client:
                why_not = await answered(client, "why_not", job_id="j", fact="Risk name=war")
            running.should_exit = True
        listening.close()
    assert why_not["data"]["agents_known"]


def test_a_store_that_is_not_there_is_named(tmp_path):
    from converge.cli import execute

    assert execute(["mcp", "--store", f"sqlite:///{tmp_path / 'none.db'}"]) != 0
    assert not (tmp_path / "none.db").exists()
