"""`converge give`: facts for a job, whoever runs it."""

__all__ = ["give"]

import shlex
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import typer

from converge.cli.console import AsJson, JobId, counted, data, news, one_line, write_json, write_line
from converge.cli.follow import TargetName
from converge.cli.options import given_facts
from converge.cli.place import DEFAULT_STORE, StoreAddress, existing_store
from converge.cli.target import load_target
from converge.cli.usage import OptionInvalid

Files = Annotated[
    list[Path], typer.Option("--facts", metavar="FILE", help='Lines as {"kind": "Risk", "fact": {…}}. Repeatable.')
]


def give(
    target: TargetName, job: JobId, facts: Files, store: StoreAddress = DEFAULT_STORE, as_json: AsJson = False
) -> None:
    """Give facts to a job that another process runs, or that lies still; they are kept in the store at once.

    Whoever runs the job merges them in its next round. If nobody does, they are merged when it is next resumed.

    Example: converge give shop.risks:engine job-1f2e3d4c --facts late.jsonl
    """
    engine = load_target(target).engine.with_store(existing_store(store))
    given = given_facts(facts, engine)
    if not given:
        raise OptionInvalid("--facts", f"there is no fact in {', '.join(map(str, facts))}")
    is_run = anyio.run(partial(engine.give, job, given))
    if as_json:
        write_json(_told(job, store, len(given), is_run=is_run))
        return
    state = "which is running: merged in its next round" if is_run else "which nobody runs: merged when it is resumed"
    write_line(data(), f"{counted(len(given), 'fact')} given to job {one_line(job)}, {state}")
    if not is_run:
        place = [] if store == DEFAULT_STORE else ["--store", store]
        write_line(news(), (f"to go on: {shlex.join(['converge', 'resume', target, job, *place])}", "dim"))


def _told(job_id: str, store: str, facts: int, *, is_run: bool) -> dict[str, object]:
    """Return JSON data of this shape; `running` says whether somebody runs the job and will merge them now.

    {"job_id", "store": text, "facts": int, "running": bool}
    """
    return {"job_id": job_id, "store": store, "facts": facts, "running": is_run}
