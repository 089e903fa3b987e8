"""Measure the cases and print what came of them: `python -m benchmarks [--quick] [--only fan,chain]`."""

import argparse
import os
import signal
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.alone import measured_alone
from benchmarks.case import Measured, Setting
from benchmarks.cases import ALL
from benchmarks.harness import Noise
from benchmarks.peer import Peers
from benchmarks.record import write
from benchmarks.table import measuring, print_case, print_noise, print_targets

_HERE = Path(__file__).parent


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds: under a minute")
    parser.add_argument("--only", default=",".join(ALL), help="files of cases/, by name and with commas between them")
    parser.add_argument("--peers", default=_HERE.parent / ".venv-peers/bin/python", type=Path, help="their Python")
    parser.add_argument("--results", default=_HERE / "results", type=Path, help="folder for the JSON of each run")
    given = parser.parse_args()
    given.only = given.only.split(",")
    if unknown := set(given.only) - set(ALL):
        parser.error(f"there is no {', '.join(sorted(unknown))} in cases/: there are {', '.join(ALL)}")
    return given


def main(given: argparse.Namespace) -> int:
    """Return 1 where something failed, missed targets not counted."""
    results, noise = dict[str, Measured](), Noise()
    loads = {"before": os.getloadavg()}
    with TemporaryDirectory(prefix="converge-bench-") as folder, closing(Peers(given.peers, Path(folder))) as peers:
        rounds, patience = (2, 1.5) if given.quick else (5, 6.0)
        setting = Setting(given.quick, rounds, patience, Path(folder), given.peers, peers.known)
        for file in given.only:
            for plan in ALL[file](setting):
                with measuring(plan.key):
                    peers.start(plan.peers)
                    report = measured_alone(file, plan.key, setting)
                results[plan.key] = report.measured
                noise.samples += report.noise
                print_case(report.measured)
    loads["after"] = os.getloadavg()
    print_targets(results, quick=given.quick)
    print_noise(noise, loads["after"])
    print(f"Every sample: {write(given.results, results, noise, loads, peers.known, quick=given.quick)}")
    return int(any(result.failed for result in results.values()))


if __name__ == "__main__":
    # Where bytecode is not kept, whatever is imported would be compiled anew in each process, ours and the peers'.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started is ended on the way
    raise SystemExit(main(options()))
