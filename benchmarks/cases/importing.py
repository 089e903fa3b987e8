"""(j) Time to the first useful import: a whole process, from its start to its end."""

__all__ = ["cases"]

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import perf_counter

from benchmarks.case import Case, Plan, Setting, Variant


def cases(setting: Setting) -> Iterator[Plan]:
    """Beside what `import converge` cannot do without, and beside a peer's."""
    yield Plan("import", partial(_imports, setting))


@asynccontextmanager
async def _imports(setting: Setting) -> AsyncIterator[Case]:
    own, peers = Path(sys.executable), setting.python_of_peers
    yield Case(
        "(j) a process that imports",
        "ms",
        [
            _process("nothing", own, "pass"),
            _process("anyio, pydantic", own, "import anyio, pydantic"),
            _process("anyio, pydantic.dataclasses", own, "import anyio, pydantic.dataclasses"),
            _process("converge", own, "import converge"),
            _process("LangGraph", peers, "from langgraph.graph import StateGraph"),
        ],
        base="anyio, pydantic",
        rounds=setting.of(1, 5),
        warm=not setting.quick,
    )


def _process(name: str, python: Path, code: str) -> Variant:
    return Variant(name, partial(_started, python, code))


async def _started(python: Path, code: str) -> float:
    began = perf_counter()
    process = await asyncio.create_subprocess_exec(str(python), "-c", code)
    assert await process.wait() == 0
    return (perf_counter() - began) * 1e3
