"""A run as a file: every sample, with the versions, the machine and its load."""

__all__ = ["write"]

import json
import os
import platform
import sqlite3
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.case import Measured
from benchmarks.harness import Noise
from benchmarks.peer import Peer
from benchmarks.targets import TARGETS

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("converge-runtime", "anyio", "pydantic", "pydantic-core", "aiosqlite", "openai", "aiohttp", "tenacity")


def write(
    folder: Path,
    results: Mapping[str, Measured],
    noise: Noise,
    loads: Mapping[str, tuple[float, float, float]],
    peers: Mapping[str, Peer],
    *,
    quick: bool,
) -> Path:
    """Write the run to a new file in `folder` and return its path."""
    now = datetime.now(UTC)
    record = {
        "at": now.isoformat(timespec="seconds"),
        "quick": quick,
        "commit": _commit(),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
        },
        "load": loads,
        "calibration": {"spread": noise.spread, "seconds": noise.samples},
        "versions": {package: version for package in _PACKAGES if (version := _version(package))},
        "peers": {name: peer.versions or peer.failure for name, peer in peers.items()},
        "cases": {key: _case(measured) for key, measured in results.items()},
        "targets": [_target(target, results) for target in TARGETS],
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{now:%Y%m%d-%H%M%S}-{'quick' if quick else 'full'}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path


def _case(case: Measured) -> dict[str, Any]:
    return {
        **case._asdict(),
        "medians": {name: case.median(name) for name in case.samples},
        "best": {name: case.best(name) for name in case.samples},
        "ratios": {name: case.ratio(name, case.base) for name in case.samples} if case.base else None,
    }


def _target(target: Any, results: Mapping[str, Measured]) -> dict[str, Any]:
    figure = target.figure(results)
    told = {name: getattr(target, name) for name in ("case", "what", "unit", "must", "stretch", "sign")}
    return {**told, "figure": figure, "reached": target.reached(figure).value}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=_ROOT, capture_output=True, check=False)
    return git.stdout.decode().strip() or "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
