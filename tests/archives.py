"""Jobs in a real file, as the tests of audits, job files and their commands use them."""

import json
from collections.abc import Sequence
from pathlib import Path

import anyio

from converge.chain import JobHeader
from converge.lease import this_process
from converge_stores.sqlite import SQLiteStore

BEGAN = 1_700_000_000.0


class Text:
    """A row that is nothing but its text."""

    stop = None
    epoch = 1

    def __init__(self, number: int) -> None:
        self.cycle, self.at, self.round, self.facts = number, BEGAN + number, number, 2 * number

    def body(self) -> str:
        """Return the row as JSON."""
        return json.dumps({"form": 3, "cycle": self.cycle, "facts": [], "text": "ä\u2028"})

    def lighten(self) -> None:
        """Keep all of it."""


def kept_jobs(path: Path, *names: str, rows: int = 5) -> Path:
    """Return a file that holds jobs of these names, each left in order after so many rows."""
    anyio.run(_keep, SQLiteStore(path), names, rows)
    return path


async def _keep(store: SQLiteStore, names: Sequence[str], rows: int) -> None:
    await store.open()
    try:
        for name in names:
            lease = await store.take(name, this_process(), BEGAN, BEGAN + 30)
            header = JobHeader(name, BEGAN, '{"objective":"count"}')
            await store.create(lease, header, [Text(number) for number in range(1, rows + 1)])
            await store.release(lease)
    finally:
        await store.close()
