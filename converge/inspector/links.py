"""The addresses of the inspector's pages, wherever it is mounted."""

__all__ = ["Links", "page_in"]

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlencode


class Links(NamedTuple):
    """Addresses under a root, empty for an inspector by itself. Ids are quoted: anything may stand in them."""

    root: str = ""

    def jobs(self, **query: object) -> str:
        """Return where jobs are listed."""
        return f"{self.root}/{_query(query)}"

    def asset(self, name: str) -> str:
        """Return where a file of the pages lies."""
        return f"{self.root}/assets/{name}"

    def job(self, job_id: str, part: str = "", **query: object) -> str:
        """Return where a job is shown, or a part of what there is of it."""
        return f"{self.root}/jobs/{_quoted(job_id)}{f'/{part}' if part else ''}{_query(query)}"

    def fact(self, job_id: str, fact_id: str, part: str = "", **query: object) -> str:
        """Return where a fact is explained."""
        return f"{self.job(job_id)}/facts/{_quoted(fact_id)}{f'/{part}' if part else ''}{_query(query)}"

    def compare(self, **query: object) -> str:
        """Return where two jobs stand side by side."""
        return f"{self.root}/compare{_query(query)}"


def page_in(query: Mapping[str, str]) -> int:
    """Return the page that a query asks for; what is no number is the first."""
    place = query.get("page", "1")
    return max(int(place), 1) if place.isdecimal() else 1


def _quoted(text: str) -> str:
    return quote(text, safe="@:~")


def _query(query: dict[str, object]) -> str:
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"?{urlencode(given)}" if given else ""
