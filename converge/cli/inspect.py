"""`converge inspect`: the jobs of a store in a browser."""

__all__ = ["inspect"]

import ipaddress
import secrets
import socket
from typing import Annotated
from urllib.parse import urlencode

import typer

from converge.cli.answer import OfTarget
from converge.cli.console import data, news, write_line
from converge.cli.place import DEFAULT_STORE, existing_store
from converge.cli.target import load_target
from converge.cli.usage import OptionInvalid


def inspect(
    store: Annotated[
        str, typer.Argument(metavar="[STORE]", help="sqlite:///file.db or sqlite:////absolute/file.db")
    ] = (DEFAULT_STORE),
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where it listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", help="0 takes any that is free.")] = 7413,
    token: Annotated[
        str | None, typer.Option("--token", metavar="TEXT", help="Who has it may look; made up where one is needed.")
    ] = None,
    target: OfTarget = None,
) -> None:
    """Show the jobs of a store in a browser: live, back in time, why and why not, what they cost, what they ask people.

    It listens on this machine alone. On any other address it asks for a token, which stands in the address it prints.

    Example: converge inspect sqlite:///jobs.db
    """
    try:
        import uvicorn

        from converge.inspector import inspector
    except ModuleNotFoundError as error:
        raise OptionInvalid(
            "inspect", f"there is no module {error.name}: pip install 'converge-runtime[inspect]'"
        ) from error
    needed = token or (None if _is_here(host) else secrets.token_urlsafe(24))
    app = inspector(existing_store(store, how=""), load_target(target).engine if target else None, needed)
    with _listening(host, port) as listening:
        write_line(data(), _address(host, listening.getsockname()[1], needed))
        write_line(news(), ("Ctrl-C ends it", "dim"))
        # An open page holds a stream of events: it is not waited for.
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise OptionInvalid("--port", f"nothing can listen on {host} port {port}: {error}") from error


def _address(host: str, port: int, token: str | None) -> str:
    query = f"?{urlencode({'token': token})}" if token else ""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/{query}"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
