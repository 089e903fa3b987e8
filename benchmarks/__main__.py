"""Measure the cases and print what came of them: `python -m benchmarks [--quick] [--only fan,chain]`."""

import argparse
import asyncio
import os
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.case import Measured, Setting
from benchmarks.cases import ALL
from benchmarks.harness import Noise, measured
from benchmarks.peer import Peers
from benchmarks.record import write
from benchmarks.table import print_case, print_noise, print_targets

_HERE = Path(__file__).parent


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds: under a minute")
    parser.add_argument("--only", default=",".join(ALL), help="files of cases/, by name and with commas between them")
    parser.add_argument("--peers", default=_HERE.parent / ".venv-peers/bin/python", type=Path, help="their Python")
    parser.add_argument("--results", default=_HERE / "results", type=Path, help="folder for the JSON of each run")
    return parser.parse_args()


async def main(given: argparse.Namespace) -> int:
    """Return 1 where something failed, missed targets not counted."""
    results, noise, peers = dict[str, Measured](), Noise(), Peers(given.peers)
    loads = {"before": os.getloadavg()}
    with TemporaryDirectory(prefix="converge-bench-") as folder:
        rounds, patience = (2, 1.5) if given.quick else (5, 10.0)
        setting = Setting(given.quick, rounds, patience, Path(folder), peers)
        for name in given.only.split(","):
            async with aclosing(ALL[name](setting)) as cases:
                async for case in cases:
                    results[case.key] = await measured(case, setting, noise)
                    print_case(results[case.key])
            await peers.leave()
    loads["after"] = os.getloadavg()
    print_targets(results, quick=given.quick)
    print_noise(noise, loads["after"])
    print(f"Every sample: {write(given.results, results, noise, loads, peers.versions, quick=given.quick)}")
    return int(any(result.failed for result in results.values()))


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main(options())))
