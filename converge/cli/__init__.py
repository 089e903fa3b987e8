"""The command line: `converge --help` lists its commands, and each has a file here.

Data goes to stdout, everything else to stderr. An error that Converge foresees is one sentence and an exit code.
"""

__all__ = ["app", "execute", "main"]

import os
import sys
import threading
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated

import typer

from converge import __version__
from converge.cli.again import fork, restart
from converge.cli.audit import audit
from converge.cli.bench import bench
from converge.cli.completion import is_completing
from converge.cli.console import news, one_line, write_line
from converge.cli.decide import decide
from converge.cli.doctor import doctor
from converge.cli.exit_codes import EXIT_CODES_HELP, ExitCode, code_of_error
from converge.cli.files import export, import_
from converge.cli.give import give
from converge.cli.history import history
from converge.cli.inspect import inspect
from converge.cli.jobs import jobs
from converge.cli.mcp import mcp
from converge.cli.new import new
from converge.cli.plan import plan
from converge.cli.prune import prune
from converge.cli.run import resume, run
from converge.cli.schema import schema
from converge.cli.show import show
from converge.cli.trace import trace
from converge.cli.verify import verify
from converge.cli.why import cost, diff, why, why_not
from converge.cli.worker import worker
from converge.errors import ConvergeError

app = typer.Typer(name="converge", epilog=EXIT_CODES_HELP, pretty_exceptions_enable=False)
_BEGIN, _RUN, _ASK, _LOOK, _KEEP, _CHECK = "Begin", "Run a job", "Ask why", "Look at jobs", "Keep jobs", "Check"
app.command(rich_help_panel=_BEGIN)(new)
app.command(rich_help_panel=_BEGIN)(plan)
app.command(rich_help_panel=_BEGIN)(schema)
app.command(rich_help_panel=_BEGIN)(doctor)
app.command(epilog=EXIT_CODES_HELP, rich_help_panel=_RUN)(run)
app.command(epilog=EXIT_CODES_HELP, rich_help_panel=_RUN)(resume)
app.command(epilog=EXIT_CODES_HELP, rich_help_panel=_RUN)(restart)
app.command(epilog=EXIT_CODES_HELP, rich_help_panel=_RUN)(fork)
app.command(rich_help_panel=_RUN)(give)
app.command(rich_help_panel=_RUN)(decide)
app.command(rich_help_panel=_RUN)(worker)
app.command(rich_help_panel=_ASK)(why)
app.command("why-not", rich_help_panel=_ASK)(why_not)
app.command(rich_help_panel=_ASK)(diff)
app.command(rich_help_panel=_ASK)(history)
app.command(rich_help_panel=_ASK)(cost)
app.command(rich_help_panel=_LOOK)(jobs)
app.command(rich_help_panel=_LOOK)(show)
app.command(rich_help_panel=_LOOK)(trace)
app.command(rich_help_panel=_LOOK)(inspect)
app.command(rich_help_panel=_LOOK)(mcp)
app.command(rich_help_panel=_KEEP)(export)
app.command("import", rich_help_panel=_KEEP)(import_)
app.command(rich_help_panel=_KEEP)(prune)
app.command(epilog=EXIT_CODES_HELP, rich_help_panel=_CHECK)(verify)
app.command(epilog=EXIT_CODES_HELP, rich_help_panel=_CHECK)(audit)
app.command(rich_help_panel=_CHECK)(bench)


@app.callback(invoke_without_command=True)
def _converge(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Run decision jobs: agents add facts to one context until nothing new follows."""
    if version:
        typer.echo(f"converge {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> int:
    """Run the command of this process and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without € or █ shows a question mark
    code = execute(sys.argv[1:])
    if _is_held():
        _leave(code)
    return code


def _is_held() -> bool:
    """Whether threads are left: some that may never end, or those of Temporal's driver, which may crash at the end."""
    others = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
    return "temporalio.bridge.runtime" in sys.modules or any(not thread.daemon for thread in others)


def execute(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code, whatever happens."""
    try:
        code = typer.main.get_command(app).main(list(arguments), prog_name="converge", standalone_mode=False)
        sys.stdout.flush()
        return _code(code)
    except ConvergeError as error:
        return _refused(one_line(error), code_of_error(error))
    except typer.TyperException as error:
        return _refused(_usage(error), ExitCode.BAD_INPUT)
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and is_completing(arguments):
            return error.code if isinstance(error.code, int) else 0
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            return _refused(
                "the target's own code ended the program: let it return, or raise an Exception", ExitCode.BAD_INPUT
            )
        return _unheard()  # typer turns the one into the other
    except Exception:
        traceback.print_exc()
        return _refused("this is a defect of Converge: please report it with the lines above", ExitCode.DEFECT)


def _code(code: object) -> int:
    if code == _INTERRUPTED:
        return _refused("interrupted", ExitCode.CANCELLED)
    return code if isinstance(code, int) else 0


_INTERRUPTED = 130  # what typer makes of a KeyboardInterrupt


def _refused(sentence: str, code: ExitCode) -> int:
    write_line(news(), ("error: ", "bold red"), sentence)
    return code


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    return f"{one_line(error.format_message()).rstrip('.')}{hint}"


def _unheard() -> int:
    """Whoever read stdout has had enough, as `head` does; say nothing, also when the interpreter flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _leave(code: int) -> None:
    """End without waiting for threads: that of an agent that was abandoned may never return."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
