"""A store whose server is cut off while its connections are open: `unshare -n` runs this, in a network of its own.

It prints what the store says when it is asked then, and what it finds when the network is back.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "agents"), str(ROOT / "stores")]

from converge.errors import StoreUnavailable  # noqa: E402
from converge.stores import PostgresStore  # noqa: E402
from tests.postgres import postgres  # noqa: E402


def plug(word: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", word], check=True)


async def main(url: str) -> None:
    """Ask a store with the network up, down, and up again."""
    store = PostgresStore(url, patience=2.0)
    await store.open()
    plug("down")
    try:
        await store.jobs()
    except StoreUnavailable as error:
        sys.stdout.write(f"{error}\n")
    plug("up")
    sys.stdout.write(f"{await store.jobs()}\n")
    await store.close()


if __name__ == "__main__":
    plug("up")
    with postgres() as server:
        asyncio.run(main(server.url))
