"""`converge decide`: what a job asks people, and a person's answer, from any process."""

__all__ = ["decide"]

import json
import shlex
import time
from collections.abc import Sequence
from typing import Annotated, Any

import anyio
import typer

from converge.archive.deciding import decision_on, post
from converge.cli.asked import asked_data, content_of, show_asked
from converge.cli.console import AsJson, JobId, counted, data, news, one_line, printable, write_json, write_line
from converge.cli.outcome import spent
from converge.cli.place import DEFAULT_STORE, StoreAddress, reading
from converge.cli.stored import load_job
from converge.cli.usage import OptionInvalid
from converge.deciding import Asked, asked
from converge.proposal import Decision
from converge.snapshot import Snapshot
from converge.view import UNRESTRICTED, View

RequestId = Annotated[
    str | None, typer.Argument(metavar="REQUEST", help="Its id, or the first digits of it; leave it out for a list.")
]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who decides; it is kept with the job.")]
Approve = Annotated[bool, typer.Option("--approve", help="What is proposed is to be believed.")]
Reject = Annotated[bool, typer.Option("--reject", help="It is not.")]
Refine = Annotated[
    str | None, typer.Option("--refine", metavar="JSON", help='It is, with changes, as in {"severity": 2}.')
]


def decide(
    job: JobId,
    request: RequestId = None,
    approve: Approve = False,
    reject: Reject = False,
    refine: Refine = None,
    by: By = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")] = "",
    store: StoreAddress = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Decide on what a job asks, whoever runs it; without REQUEST, list what it asks, why, and what it has cost so far.

    Whoever runs the job goes on from the decision. If nobody does, it is merged when the job is next resumed.

    Example: converge decide job-1f2e3d4c 9c01 --approve --by ada --reason "it is insured"
    """
    if request is None:
        _list(job, store, as_json=as_json, decides=approve or reject or refine is not None)
        return
    content = {**_choice(approve=approve, reject=reject, refine=refine), "by": _named(by), "reason": reason}
    decision, is_run = anyio.run(_decided, store, job, request, content)
    if as_json:
        write_json(_told(job, store, decision, is_run=is_run))
        return
    state = "which is running: it goes on" if is_run else "which nobody runs: merged when it is resumed"
    write_line(data(), f"{decision.choice} by {one_line(decision.by)}, stated to job {one_line(job)}, {state}")
    if not is_run:
        place = [] if store == DEFAULT_STORE else ["--store", store]
        write_line(news(), (f"to go on: {shlex.join(['converge', 'resume', 'TARGET', job, *place])}", "dim"))


async def _decided(address: str, job: str, request: str, content: dict[str, Any]) -> tuple[Decision, bool]:
    async with reading(address) as place:
        decision = await decision_on(place, job, request, None, content)
        return decision, await post(place, job, time.time(), [decision])


def _list(job: str, address: str, *, as_json: bool, decides: bool) -> None:
    if decides:
        raise OptionInvalid("REQUEST", f"name what is decided: `converge decide {job}` lists it")
    snapshot = anyio.run(load_job, address, job)
    view = View(snapshot.context, snapshot.context.highest, UNRESTRICTED)
    several = asked(view)
    if as_json:
        write_json(_listed(snapshot, address, several))
        return
    console = data()
    if not several:
        write_line(console, f"job {one_line(job)} asks nothing")
    for one in several:
        show_asked(console, one)
        for line in str(view.why(one.proposal)).splitlines():
            write_line(console, (f"    {printable(line)}", "dim"))
    write_line(console, (f"{counted(len(several), 'request')}; {spent(snapshot.spend)} so far", "dim"))


def _listed(snapshot: Snapshot, store: str, several: Sequence[Asked]) -> dict[str, Any]:
    """Return JSON data of this shape; a row of `asked` is as in `asked_data`.

    {"job_id", "store": text, "asked": [{"request", …}]}
    """
    return {"job_id": snapshot.job_id, "store": store, "asked": [asked_data(one) for one in several]}


def _told(job: str, store: str, decision: Decision, *, is_run: bool) -> dict[str, Any]:
    """Return JSON data of this shape; `running` says whether somebody runs the job and will go on from it now.

    {"job_id", "store": text, "running": bool,
    "decision": {"request", "choice", "by", "reason": text, "changes": object}}
    """
    return {"job_id": job, "store": store, "decision": content_of(decision), "running": is_run}


def _choice(*, approve: bool, reject: bool, refine: str | None) -> dict[str, Any]:
    if approve + reject + (refine is not None) != 1:
        raise OptionInvalid("--approve", "choose one of --approve, --reject and --refine JSON")
    if refine is None:
        return {"choice": "approve" if approve else "reject"}
    try:
        changes = json.loads(refine)
    except ValueError as error:
        raise OptionInvalid("--refine", f"{refine!r:.80} is not JSON: {error}") from error
    if not isinstance(changes, dict):
        raise OptionInvalid("--refine", f'it takes an object of fields, as in {{"severity": 2}}, not {refine!r:.80}')
    return {"choice": "refine", "changes": changes}


def _named(by: str | None) -> str:
    if by is None or not by.strip():
        raise OptionInvalid("--by", "say who decides: it is kept with the job")
    return by
