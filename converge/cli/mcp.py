"""`converge mcp`: the jobs of a store for MCP clients, over stdin and stdout."""

__all__ = ["mcp"]

from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from converge.cli.answer import OfTarget
from converge.cli.place import DEFAULT_STORE, StoreAddress, existing_store
from converge.cli.target import load_target
from converge.cli.usage import OptionInvalid
from converge.opening import opening_of

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from converge.ports import Store


def mcp(
    store: StoreAddress = DEFAULT_STORE,
    decide: Annotated[
        str | None,
        typer.Option("--decide", metavar="NAME", help="Let clients decide what jobs ask, under this person's name."),
    ] = None,
    target: OfTarget = None,
) -> None:
    """Serve the jobs of a store to an MCP client over stdin and stdout: facts, why, why not, history, questions.

    A client starts it by itself: give it this command and its options. It ends with its stdin.

    Clients may only look, unless --decide names who decides; whoever talks to the client then decides as that person.

    Example: converge mcp --store sqlite:////home/ada/jobs.db --decide ada
    """
    from converge.mcp import job_server

    if decide is not None and not decide.strip():
        raise OptionInvalid("--decide", "say who decides: it is kept with the job")
    place, engine = existing_store(store), load_target(target).engine if target else None
    server = job_server(place, None if engine is None else engine.wiring, decides=decide)
    anyio.run(_serve, place, server)


async def _serve(store: "Store", server: "MCPServer") -> None:
    async with opening_of(store):  # between questions too
        await server.run_stdio_async()
