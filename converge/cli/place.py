"""The store that `--store` names.

`sqlite:///relative.db`, `sqlite:////absolute.db?level=power`, `postgresql://user@host/database?schema=jobs`, or
`memory:`.
"""

__all__ = ["DEFAULT_STORE", "StoreAddress", "existing_store", "reading", "store_at"]

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, cast
from urllib.parse import parse_qsl, quote, urlencode

import typer

from converge.cli.usage import OptionInvalid
from converge.errors import StoreUnavailable
from converge.ports import Store
from converge_stores.memory import MemoryStore
from converge_stores.postgres import PostgresStore
from converge_stores.sqlite import Level, SQLiteStore

DEFAULT_STORE = "sqlite:///converge.db"
_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql:", "postgres:")
_LEVEL = "?level="


class Address(str):
    """An address as it may be printed; `whole` has the password in it as well."""

    __slots__ = ("whole",)
    whole: str


def _shown(whole: str) -> Address:
    without = re.sub(r"^(\w+://[^:@/]*):[^@/]*@", r"\1@", whole)
    address = Address(re.sub(r"\b(\w*password)=[^&]*", r"\1=...", without))
    address.whole = whole
    return address


StoreAddress = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="ADDRESS",
        parser=_shown,
        help="sqlite:///file.db, postgresql://user@host/database, or memory:",
    ),
]


def store_at(address: str) -> Store:
    """Return the store at an address; it is made on first use. Raises OptionInvalid for what is not an address."""
    address = getattr(address, "whole", address)
    if address == "memory:":
        return MemoryStore()
    if address.startswith(_POSTGRES):
        return _postgres_at(address, create=True)
    path, _, level = address.removeprefix(_SQLITE).partition(_LEVEL)
    if not address.startswith(_SQLITE) or not path.strip("/"):
        raise OptionInvalid("--store", _advice(address))
    if level not in ("", "process", "power"):
        raise OptionInvalid("--store", f"there is no level {level!r}: write {_LEVEL}process or {_LEVEL}power")
    return SQLiteStore(path, cast("Level", level or "process"))


def existing_store(address: str, how: str = "--store ") -> Store:
    """Return a store that is there already; `how` a command takes its address.

    Raises StoreUnavailable, so that a wrong name does not make a file.
    """
    if address.startswith(_POSTGRES):
        return _postgres_at(getattr(address, "whole", address), create=False)
    store = store_at(address)
    if isinstance(store, SQLiteStore) and not store.path.exists():
        raise StoreUnavailable(str(store.path), f"there is no such file; name the store with {how}sqlite:///FILE")
    return store


@asynccontextmanager
async def reading(address: str) -> AsyncIterator[Store]:
    """Open a store that is there already, to read from it."""
    store = existing_store(address)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def _postgres_at(address: str, *, create: bool) -> PostgresStore:
    """Return the store of a URL; `schema`, `level` and `patience` are for it, and everything else for the driver."""
    place, _, query = address.partition("?")
    given = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))  # a plus is no space to libpq
    schema, level, patience = given.pop("schema", "converge"), given.pop("level", "power"), given.pop("patience", "15")
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", patience):
        raise OptionInvalid("--store", f"patience is a number of seconds, and {patience!r} is none: write ?patience=15")
    # By hand: urllib leaves out an empty host with its slashes, and writes a space as libpq does not read it.
    url = f"{place}?{urlencode(given, quote_via=quote)}" if given else place
    try:
        return PostgresStore(url, cast("Level", level), schema=schema, patience=float(patience), create=create)
    except StoreUnavailable as error:
        raise OptionInvalid("--store", str(error)) from error


def _advice(address: str) -> str:
    scheme, colon, rest = address.partition(":")
    path = rest.lstrip("/")
    if scheme in ("", "memory") or (scheme == "sqlite" and not path):
        return f"{address!r} names no store: {_SORTS}"
    if not colon:
        return f"{address!r} is not an address: did you mean {_SQLITE}{address}?"
    if scheme != "sqlite":
        return f"there is no store of the sort {scheme!r}: {_SORTS}"
    return f"write {_SQLITE}{path} for a file in the current folder, or {_SQLITE}/{path} for one at the root"


_SORTS = "write sqlite:///file.db, postgresql://user@host/database, or memory:"
