"""What a shell offers where a word is begun: the ids of jobs; commands and options it knows by itself.

`converge --install-completion` sets it up. Whatever goes wrong on the way, nothing is offered and nothing is said.
"""

__all__ = ["is_completing", "job_ids"]

import os
from collections.abc import Sequence

import anyio
import typer

from converge.cli.place import DEFAULT_STORE, reading
from converge.ports import JobSummary

_OPTIONS = ("--install-completion", "--show-completion")


def is_completing(arguments: Sequence[str]) -> bool:
    """Whether a shell asks what to offer, or is set up to."""
    return "_CONVERGE_COMPLETE" in os.environ or any(word.startswith(_OPTIONS) for word in arguments)


def job_ids(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the jobs of the store whose ids begin so, the newest first, each with its objective."""
    try:
        jobs = anyio.run(_jobs, context.params.get("store") or DEFAULT_STORE)
    except Exception:  # a shell shows what is printed here in the middle of what somebody types
        return []
    return [(job.job_id, job.objective) for job in jobs if job.job_id.startswith(incomplete)]


async def _jobs(address: str) -> Sequence[JobSummary]:
    async with reading(address) as store:
        return await store.jobs()
