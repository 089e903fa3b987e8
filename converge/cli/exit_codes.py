"""The exit codes of the command line: one for each stop reason, and one for each party that must act on an error."""

__all__ = ["EXIT_CODES_HELP", "ExitCode", "code_of_error", "code_of_stop"]

from enum import IntEnum

from converge.errors import ConvergeError, OperatorError
from converge.stop import StopReason


class ExitCode(IntEnum):
    """What the process ends with. Scripts rely on these numbers: they never change their meaning."""

    FIXED_POINT = 0
    DEFECT = 1
    BAD_INPUT = 2
    BUDGET = 3
    AGENT_FAILED = 4
    INVARIANT = 5
    WAITING = 6
    CONTESTED = 7
    UNACCEPTED = 8
    CANCELLED = 9
    STORE = 10


_MEANINGS = {
    ExitCode.FIXED_POINT: "fixed point: the answer stands",
    ExitCode.DEFECT: "a defect: of Converge itself, or one that `verify` or `audit` found",
    ExitCode.BAD_INPUT: "bad usage, input, agent or kind",
    ExitCode.BUDGET: "the budget is spent",
    ExitCode.AGENT_FAILED: "a required agent still fails",
    ExitCode.INVARIANT: "a constraint does not hold",
    ExitCode.WAITING: "a decision is awaited from outside",
    ExitCode.CONTESTED: "facts contest each other",
    ExitCode.UNACCEPTED: "a success criterion is not met",
    ExitCode.CANCELLED: "cancelled (Ctrl-C, SIGTERM)",
    ExitCode.STORE: "the store cannot be used",
}

# The first line keeps the help's renderer from joining the others into a paragraph.
EXIT_CODES_HELP = "\b\nExit codes:\n" + "\n".join(f"{code:>3}  {text}" for code, text in _MEANINGS.items())


def code_of_stop(reason: StopReason) -> ExitCode:
    """Return the exit code of a job that stopped for this reason."""
    return ExitCode[reason.name]


def code_of_error(error: ConvergeError) -> ExitCode:
    """Return the exit code of an error: by whether whoever runs the store must act, or someone else."""
    return ExitCode.STORE if isinstance(error, OperatorError) else ExitCode.BAD_INPUT
