"""`converge plan`: how an engine is wired, before it runs. No store is opened and no agent runs."""

__all__ = ["plan"]

from typing import Annotated

import typer

from converge.cli.console import AsJson, data, write_json, write_line
from converge.cli.follow import TargetName
from converge.cli.target import load_target
from converge.cli.usage import OptionInvalid


def plan(
    target: TargetName,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flowchart instead of text.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how the agents of TARGET are wired: who reads and writes what, in which order; nothing runs.

    A stratum lies above all that its agents must find complete. What a word beside an agent says:

    settled: it reads when all it depends on is quiet.

    Live: what it read wakes it again by falling or returning.

    replaces: it is declared with replaces=True. Of all three, only the latest conclusions count.

    Example: converge plan shop.risks:engine --mermaid > risks.mmd
    """
    if mermaid and as_json:
        raise OptionInvalid("--mermaid", "give it or --json, not both")
    explained = load_target(target).engine.explain()
    if as_json:
        write_json(explained.to_dict())
        return
    console = data()
    for line in (explained.mermaid() if mermaid else str(explained)).splitlines():
        write_line(console, (line, "" if mermaid or line.startswith(" ") else "bold"))
