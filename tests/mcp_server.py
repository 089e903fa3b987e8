"""An MCP server as somebody else writes one, for the tests: it notes each call in the file that is its argument."""

import os
import sys
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

server: MCPServer = MCPServer("insurer", log_level="WARNING")
calls = Path(sys.argv[1])


def note(text: str) -> None:
    with calls.open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")


@server.tool()
def policy(name: str) -> dict[str, str]:
    """Look up how something is insured."""
    note(f"policy {name}")
    return {"insured": name, "by": "the hall's owner"}


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def premium(name: str, years: int = 1) -> str:
    """Say what insurance costs."""
    note(f"premium {name} {years}")
    if name == "war":
        raise ValueError("nobody insures that")
    return f"{years * 10} a year"


@server.tool(annotations=ToolAnnotations(read_only_hint=False))
def cancel(name: str) -> str:
    """Cancel a policy."""
    note(f"cancel {name}")
    return "cancelled"


@server.tool(name="report.claim")
def report(name: str) -> str:
    """Report a claim: that it writes, nobody says."""
    note(f"report {name}")
    return "reported"


@server.tool()
def vanish() -> str:
    """End without an answer."""
    note("vanish")
    os._exit(3)


if __name__ == "__main__":
    server.run()
