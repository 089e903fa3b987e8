"""`converge schema`: the JSON Schema of the kinds of an engine, for whoever writes facts to be read, or reads them."""

__all__ = ["schema"]

from difflib import get_close_matches
from typing import Annotated

import typer

from converge.cli.console import write_json
from converge.cli.follow import TargetName
from converge.cli.target import load_target
from converge.cli.usage import OptionInvalid
from converge.engine import Engine
from converge.jsonl import lines_schema
from converge.kind import Kind


def schema(
    target: TargetName,
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help="Only what facts of this kind hold.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, which it does anyway.")] = False,
) -> None:
    """Print the JSON Schema of what `--facts` takes: a line for each fact, of any kind that agents of TARGET declare.

    With KIND, of what stands under "fact" in such a line.

    Example: converge schema shop.risks:engine Risk > risk.schema.json
    """
    engine = load_target(target).engine
    write_json(lines_schema(engine.kinds) if kind is None else _named(engine, kind).json_schema())


def _named(engine: Engine, label: str) -> Kind:
    """Return a kind by its label. Raises OptionInvalid."""
    if label in engine.kinds:
        return engine.kinds[label]
    near = get_close_matches(label, engine.kinds, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(engine.kinds))}"
    raise OptionInvalid("KIND", f"no agent of the target declares {label!r}: {hint}")
