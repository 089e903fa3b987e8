"""What a job costs as it grows: bytes and milliseconds a cycle, the file against its facts, and taking it up again.

Run it with `python benchmarks/growth.py` (a minute), or with `--million` for a job of a million facts as well.
"""

import argparse
import asyncio
import gc
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "agents", "stores")]

from converge import Engine, Outcome, RootIntent  # noqa: E402
from converge.fact import identified  # noqa: E402
from converge.restore import restore  # noqa: E402
from converge.stores import SQLiteStore  # noqa: E402
from tests.test_growth import UNBOUNDED, Step, bare, measured, see, the_only_job, walked  # noqa: E402

CYCLES = (1_000, 4_000, 16_000)


async def grow(folder: Path, cycles: int) -> None:
    path = folder / f"{cycles}.db"
    began = time.perf_counter()
    outcome = await walked(path, cycles)
    seconds = time.perf_counter() - began
    assert outcome.converged
    raw = sum(len(identified(fact)[2]) for fact in outcome.context.all(Step))
    laps, size = _laps(outcome), path.stat().st_size
    print(
        f"{cycles:>6,} cycles of 1 kB: {seconds / cycles * 1e3:.2f} ms and {size / cycles:,.0f} bytes each; "
        f"the file is {size / raw:.2f} x its facts; median ms of a cycle in the first and the last "
        f"thousand: {median(laps[:1000]) * 1e3:.2f}, {median(laps[-1000:]) * 1e3:.2f}"
    )


def _laps(outcome: Outcome) -> list[float]:
    times = [event.at for event in outcome.trace if type(event).__name__ == "RoundMerged"]
    return [later - earlier for earlier, later in pairwise(times)]


async def take_up(folder: Path, facts: int) -> None:
    path = folder / f"items-{facts}.db"
    engine = Engine([see], store=SQLiteStore(path))
    given = [Step(n, f"word {n}") for n in range(facts // 2)]
    began = time.perf_counter()
    await engine.run(RootIntent("see", budget=UNBOUNDED), given, job_id="items")
    ran = time.perf_counter() - began
    del given
    seconds = [await _resumed(path) for _ in range(3)]
    print(
        f"{facts:>9,} facts: run in {ran:.1f} s, {path.stat().st_size / 1e6:.0f} MB on disk, resumed in "
        f"{median(seconds):.2f} s (median of 3)"
    )


async def _resumed(path: Path) -> float:
    gc.collect()
    began = time.perf_counter()
    await Engine([see], store=SQLiteStore(path)).resume("items")
    return time.perf_counter() - began


async def memory(folder: Path, facts: int) -> None:
    """Compare a restored job with its bare facts."""
    engine = Engine([see])
    stored = await the_only_job(SQLiteStore(folder / f"items-{facts}.db"))
    whole, snapshot = measured(lambda: restore(stored, engine.kinds))
    known = [(type(fact).__name__, *identified(fact)[1:]) for fact in snapshot.context.facts[1:]]
    alone, _ = measured(lambda: [bare(engine, *one) for one in known])
    print(
        f"{len(known):>9,} facts restored: {whole / len(known):.0f} bytes a fact, {whole / alone:.2f} x the bare facts"
    )


async def large(folder: Path) -> None:
    store = SQLiteStore(folder / "large.db")
    began = time.perf_counter()
    await Engine([see], store=store).run("see", Step(1, "x" * 1_000_000), job_id="large")
    outcome = await Engine([see], store=store).resume("large")
    assert len(outcome.context.all(Step)[0].text) == 1_000_000
    print(f"a fact of 1 MB: run and resumed in {time.perf_counter() - began:.2f} s")


async def main(*, million: bool) -> None:
    with TemporaryDirectory(prefix="converge-growth-") as name:
        folder = Path(name)
        for cycles in CYCLES:
            await grow(folder, cycles)
        await large(folder)
        for facts in (100_000, 1_000_000) if million else (100_000,):
            await take_up(folder, facts)
        await memory(folder, 100_000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true", help="a job of a million facts as well (a minute more)")
    asyncio.run(main(million=parser.parse_args().million))
