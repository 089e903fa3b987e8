"""Where a database is, as a URL that libpq takes, and as what may be shown of it: never its password."""

__all__ = ["Address"]

from urllib.parse import urlsplit

from converge.errors import StoreUnavailable

_BEGINNINGS = ("postgresql://", "postgres://")


class Address:
    """The URL of a database. Raises StoreUnavailable for what is none."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise StoreUnavailable("the database", f"its URL cannot be read ({error}): write {_FORM}") from error
        if not url.startswith(_BEGINNINGS):
            raise StoreUnavailable("the database", f"its URL does not begin with postgresql://: write {_FORM}")
        user = f"{parts.username}@" if parts.username else ""
        place = (parts.hostname or "") + (f":{port}" if port else "")
        self.url = url
        self._shown = f"postgresql://{user}{place}{parts.path}"

    def __str__(self) -> str:
        return self._shown


_FORM = "postgresql://user@host:5432/database"
