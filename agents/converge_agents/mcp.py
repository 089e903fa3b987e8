"""Tools of MCP servers, for agents that ask an LLM: each call is captured, and none is made to a tool that writes.

1. Inside a job nothing is written: what is to be done follows from the outcome, and others do it. A tool is taken to
   read only, unless it is declared otherwise: by you (`writes=`), or by the server's own hints.
2. A hint that a tool writes is believed, since nobody gains by it. A hint that it only reads proves nothing, as the
   specification says: choose servers you trust, name the tools you want (`only=`), and those that write.
3. Descriptions and results are words from outside: they reach the model as data, and no fact by themselves.
"""

__all__ = ["MCPTool", "mcp_tools"]

import dataclasses
import json
import re
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from converge import View
from converge_agents.answer import ToolCall
from converge_agents.errors import ToolServerFailed, ToolUnknown, ToolWrites

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult
    from mcp.types import Tool as Listed


async def mcp_tools(
    client: "Client",
    *,
    only: Collection[str] | None = None,
    reads: Collection[str] = (),
    writes: Collection[str] = (),
    prefix: str = "",
) -> list["MCPTool"]:
    """Return the tools of an MCP server for `LLMAgent(tools=...)`; the client is entered, and stays yours to close.

    only: these tools, by the server's names, and no other. reads: tools that only read, whatever the server's hints
    say; writes: tools that write, whatever it says. One that writes is never called: a model that asks for it is told.
    prefix: before each name, where tools of several servers are given to one agent. Raises ToolUnknown for a name that
    the server does not have, ToolWrites where `only` names a tool that writes, and ToolServerFailed.
    """
    listed = {tool.name: tool async for tool in _listed(client)}
    for name in (*(only or ()), *reads, *writes):
        if name not in listed:
            raise ToolUnknown(name, listed)
    chosen = [tool for name, tool in listed.items() if only is None or name in only]
    tools = [MCPTool.of(client, tool, prefix, writes=_writes(tool, reads, writes)) for tool in chosen]
    for tool in tools:
        if only is not None and tool.writes:
            raise ToolWrites(tool.name)
    return tools


@dataclasses.dataclass(frozen=True)
class MCPTool:
    """A tool of an MCP server. writes: whether it may change something, for which it is refused."""

    name: str
    schema: Mapping[str, Any]
    writes: bool
    _client: "Client" = dataclasses.field(repr=False)
    _known_as: str = dataclasses.field(repr=False)  # to its server

    @classmethod
    def of(cls, client: "Client", tool: "Listed", prefix: str, *, writes: bool) -> "MCPTool":
        """Return a tool as a server lists it, by a name that model servers take."""
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", prefix + tool.name)[:64]
        about = {"name": name, "description": tool.description or "", "parameters": tool.input_schema}
        return cls(name, {"type": "function", "function": about}, writes, client, tool.name)

    async def called(self, view: View, call: ToolCall) -> str:
        """Return what a call comes to as text for the model; it is captured, and made once.

        Raises ToolServerFailed where no answer came, which is not captured.
        """
        if self.writes:
            return f"error: {ToolWrites(self.name)}"
        try:
            arguments = json.loads(call.arguments or "{}")
        except ValueError as error:
            return f"error: these arguments are not JSON: {error}"
        if not isinstance(arguments, dict):
            return "error: arguments are an object of names and values"
        return str(await view.capture(f"tool {self.name}", self._made, arguments))

    async def _made(self, arguments: dict[str, Any]) -> str:
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED, REQUEST_TIMEOUT

        try:
            return _text_of(await self._client.call_tool(self._known_as, arguments))
        except MCPError as error:
            if error.code in (CONNECTION_CLOSED, REQUEST_TIMEOUT):
                raise ToolServerFailed(self.name, str(error)) from error
            return f"error: {error}"
        except (OSError, RuntimeError) as error:  # a process that ended, a client that was left
            raise ToolServerFailed(self.name, f"{type(error).__name__}: {error}") from error


async def _listed(client: "Client") -> AsyncIterator["Listed"]:
    from mcp import MCPError

    cursor: str | None = None
    while True:
        try:
            page = await client.list_tools(cursor=cursor)
        except (MCPError, OSError, RuntimeError) as error:
            raise ToolServerFailed(None, f"{type(error).__name__}: {error}") from error
        for tool in page.tools:
            yield tool
        cursor = page.next_cursor
        if cursor is None:
            return


def _writes(tool: "Listed", reads: Iterable[str], writes: Iterable[str]) -> bool:
    """Whether a tool is declared to write: by the user, else by a hint that only one that writes has a use for."""
    if tool.name in writes:
        return True
    hints = tool.annotations
    if tool.name in reads or hints is None:
        return False
    if hints.read_only_hint:
        return bool(hints.destructive_hint)
    return hints.read_only_hint is False or hints.destructive_hint is not None or hints.idempotent_hint is not None


def _text_of(result: "CallToolResult") -> str:
    """Return a result as a model reads it: the JSON where there is some, else its texts; what is no text is named."""
    if result.structured_content is not None and not result.is_error:
        return json.dumps(result.structured_content, ensure_ascii=False)
    parts = [getattr(part, "text", None) or f"[{part.type}, left out]" for part in result.content]
    return ("error: " if result.is_error else "") + "\n".join(parts)
