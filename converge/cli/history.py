"""`converge history`: how a job came to be what it is, one line per row of its store."""

__all__ = ["history"]

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import anyio

from converge.archive.timeline import Moment, timeline
from converge.cli.answer import FactWords, asked, show_answer
from converge.cli.console import AsJson, JobId, Part, counted, data, one_line, write_json, write_line, write_rows
from converge.cli.place import DEFAULT_STORE, StoreAddress, reading
from converge_stores.sqlite.ground import in_bytes


def history(job: JobId, fact: FactWords = None, store: StoreAddress = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """List how a job came to be what it is: what each row added, when, and under which lease.

    With FACT, what became of it: who stated it in which round, who marked it, when it fell and returned.

    A row without a cycle holds what could not wait for one, such as the answers of models.

    The epoch counts how often the job was taken up, by `run`, `resume` or `restart`, here or elsewhere.

    Example: converge history job-1f2e3d4c, then converge show job-1f2e3d4c --cycle 3
    """
    if fact:
        explained = asked(store, job)
        told = {"job_id": explained.job_id, "store": store}
        show_answer(explained.history(fact), "json" if as_json else "text", told, everything=True)
        return
    moments = anyio.run(_moments, store, job)
    if as_json:
        write_json(_told(job, store, moments))
    elif moments:
        write_rows(data(), [[(heading, "dim") for heading in _HEADINGS], *_rows(moments)])
    else:
        write_line(data(), f"nothing has happened in job {one_line(job)} yet")


async def _moments(address: str, job_id: str) -> list[Moment]:
    async with reading(address) as store:
        return await timeline(store, job_id)


def _told(job_id: str, store: str, moments: Sequence[Moment]) -> dict[str, object]:
    """Return JSON data of this shape; `at` is ISO 8601 in UTC, `cycle` is null for records, `stop` for what went on.

    {"job_id", "store": text, "rows": [{"number": int, "cycle": int | null, "at": text, "round", "facts": int,
    "stop": text | null, "epoch", "bytes": int, "what": text}]}
    """
    rows = [moment._asdict() | {"at": datetime.fromtimestamp(moment.at, UTC).isoformat()} for moment in moments]
    return {"job_id": job_id, "store": store, "rows": rows}


_HEADINGS = ("row", "cycle", "round", "facts", "when", "size", "epoch", "what")


def _rows(moments: Sequence[Moment]) -> Iterator[list[Part]]:
    facts = 0
    for moment in moments:
        cycle = "" if moment.cycle is None else str(moment.cycle)
        when = datetime.fromtimestamp(moment.at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        numbers = str(moment.number), cycle, f"{moment.round:,}", f"{moment.facts:,}"
        yield [*numbers, when, in_bytes(moment.bytes), str(moment.epoch), _what(moment, facts)]
        facts = moment.facts


def _what(moment: Moment, facts: int) -> Part:
    """Say what a row is, where the job had so many facts before it."""
    added = moment.facts - (facts if moment.facts >= facts else 0)  # whoever begins anew has fewer
    new = counted(added, "new fact") if moment.facts != facts else ""
    said = ", ".join(filter(None, (moment.what, new, moment.stop))) or "nothing new"
    return one_line(said), "" if moment.stop is None else "green" if moment.stop == "fixed_point" else "yellow"
