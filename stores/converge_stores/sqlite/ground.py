"""What a store file stands on: the SQLite library, the folder, the disk, and what a level survives there."""

__all__ = [
    "Level",
    "access",
    "disk",
    "in_bytes",
    "known_mounts",
    "level_of",
    "library",
    "seconds_of_fsync",
    "space",
    "syncing",
]

import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from converge_stores.check import Check

Level = Literal["process", "power"]
Version = tuple[int, int, int]


# --- SQLite -------------------------------------------------------------------------------------------------------


class _Bug(NamedTuple):
    """A bug, the version that brought it, and those that are without it again: the first and its backports."""

    since: Version
    fixed: tuple[Version, ...]
    text: str


# What concerns a file in WAL mode that is appended to. Left out, since a store makes no SAVEPOINT and attaches no file:
# 3.35.0-3.37.1 and 3.50.0-3.50.1 (a rolled back SAVEPOINT), 3.53.3 (the rollback of a commit to several files).
_BUGS = (
    _Bug(  # https://sqlite.org/wal.html#walresetbug
        (3, 7, 0),
        ((3, 51, 3), (3, 50, 7), (3, 44, 6)),
        "has the WAL-reset bug (two connections that write or checkpoint at the same instant may, very rarely, damage "
        "the file): use SQLite 3.51.3 or newer, or let one process at a time use the store",
    ),
    _Bug(  # https://sqlite.org/releaselog/3_51_2.html
        (3, 51, 0),
        ((3, 51, 2),),
        "may hang when two threads of a process open and close files in WAL mode: use SQLite 3.51.3 or newer",
    ),
    _Bug(  # https://sqlite.org/changes.html#version_3_52_0
        (3, 52, 0), ((3, 53, 0),), "was withdrawn by its makers: use SQLite 3.51.3, or 3.53.0 or newer"
    ),
)
_STRICT: Version = (3, 37, 0)  # RETURNING came earlier, with 3.35.0
_JSON: Version = (3, 38, 0)  # before it, JSON was there only where it was asked for
_THREADS = {0: "single-thread", 1: "multi-thread", 3: "serialized"}
_NEWER = "use a Python with another SQLite"


def library(version: Version, threadsafety: int, options: Collection[str]) -> list[Check]:
    """Return what is wrong with an SQLite library, or that it will do; and the bugs its version is known for."""
    number = ".".join(map(str, version))
    threads = _THREADS.get(threadsafety, "unknown threading")
    checks = [Check("sqlite", "failed", f"{number} {fault}") for fault in _faults(version, threadsafety, options)]
    if not checks:
        checks = [Check("sqlite", "ok" if threadsafety == 3 else "note", f"{number}, {threads}")]
    return checks + [Check("sqlite", "warning", f"{number} {bug.text}") for bug in _BUGS if _affects(bug, version)]


def _faults(version: Version, threadsafety: int, options: Collection[str]) -> Iterator[str]:
    if version < _STRICT:
        yield f"is older than 3.37.0 and has no STRICT tables: {_NEWER}"
    if threadsafety == 0:
        yield f"is built for one thread, and a store has a thread of its own: {_NEWER}"
    if "OMIT_WAL" in options:
        yield f"is built without WAL: {_NEWER}"
    if "OMIT_JSON" in options or (version < _JSON and "ENABLE_JSON1" not in options):
        yield f"is built without JSON, which lists the jobs: {_NEWER}"
    if "NO_SYNC" in options:
        yield f"is built to never sync, so that a power cut may damage the file: {_NEWER}"


def _affects(bug: _Bug, version: Version) -> bool:
    newest, *backports = bug.fixed
    mended = version >= newest or any(version[:2] == fix[:2] and version >= fix for fix in backports)
    return version >= bug.since and not mended


# --- its folder and disk ------------------------------------------------------------------------------------------

_SCARCE = 100_000_000  # bytes
_QUICK = 20e-6  # seconds: no disk answers sooner that a block is safe
# WAL keeps its index in memory that all processes of one machine share: https://sqlite.org/wal.html
_REMOTE = {
    "afs", "auristorfs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.davfs",
    "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs",
    "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb3", "smbfs",
}  # fmt: skip
_OF_THE_HOST = {
    "9p", "drvfs", "fakeowner", "fuse.grpcfuse", "fuse.osxfs", "fuse.vmhgfs-fuse", "hostfs", "osxfs", "prl_fs",
    "vboxsf", "virtiofs", "vmhgfs",
}  # fmt: skip
_LOST_WITH = {  # what its jobs end with, and what outlives that
    "tmpfs": ("machine", "disk"),
    "ramfs": ("machine", "disk"),
    "overlay": ("container", "volume"),
    "aufs": ("container", "volume"),
}


def access(mode: int | None, writable: bool, folder_writable: bool) -> Check:
    """Return whether the file (`mode` is None if there is none) and its folder can be written, and by whom read."""
    if not writable:
        return Check("access", "failed", "the file cannot be read and written: chmod u+rw, or run as its owner")
    if not folder_writable:
        return Check("access", "failed", "its folder cannot be written, where SQLite makes side files: chmod u+rwx")
    if mode is None or os.name == "nt":
        return Check("access", "ok", "the folder can be written")
    if mode & 0o066:
        who = "everyone" if mode & 0o006 else "its group"
        verb = "changed" if mode & 0o022 else "read"
        text = f"it can be {verb} by {who} (mode {mode & 0o777:o}), and facts and prompts are private: chmod 600"
        return Check("access", "warning", text)
    return Check("access", "ok", f"for its owner alone (mode {mode & 0o777:o})")


def space(free: int, size: int) -> Check:
    """Return whether the disk has room for a file of that size to grow."""
    if free < _SCARCE or free < size:
        what = "less than the file has" if free < size else "less than 100 MB"
        return Check("space", "warning", f"{in_bytes(free)} free, {what}: make room, or a job will stop for want of it")
    return Check("space", "ok", f"{in_bytes(free)} free")


def disk(folder: Path, mountinfo: str | None) -> Check:
    """Return whether the disk under a folder suits WAL, from the text of /proc/self/mountinfo, if there is one."""
    point, sort = _mount(folder, mountinfo or "")
    if not sort:
        return Check("disk", "note", "unknown on this system: WAL needs a local disk, not one of the network")
    where = f"{sort} at {point}"
    if sort in _REMOTE:
        text = "WAL needs memory that all processes share, which a network disk has not: use a local disk"
        return Check("disk", "failed", f"{where}: {text}")
    if sort in _OF_THE_HOST:
        text = "shared with a host, where WAL holds only if this side alone uses the file: use a disk of its own"
        return Check("disk", "warning", f"{where}: {text}")
    if sort in _LOST_WITH:
        end, remedy = _LOST_WITH[sort]
        return Check("disk", "warning", f"{where}: its jobs are lost with the {end}: use a {remedy} for what must last")
    if sort.startswith("fuse."):
        return Check("disk", "warning", f"{where}: a program serves it, which may lack locks or shared memory for WAL")
    return Check("disk", "ok", where)


def _mount(folder: Path, mountinfo: str) -> tuple[str, str]:
    """Return the mount point above a folder and its sort of file system: the longest, and of equals the newest."""
    found = ("/", "")
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        if separator:
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), before.split()[4])
            if folder.is_relative_to(point) and len(point) >= len(found[0]):
                found = (point, after.split()[0])
    return found


def known_mounts() -> str | None:
    """Return what the kernel says of its mounts; None where it does not say it, as on macOS."""
    try:
        return Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return None


def seconds_of_fsync(folder: Path, times: int = 20) -> float:
    """Return the median time to make 4 KiB safe in a temporary file of the folder, in seconds. Raises OSError."""
    taken = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as stream:
        for _ in range(times):
            begun = time.perf_counter()
            stream.write(bytes(4096))
            os.fsync(stream.fileno())
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def syncing(seconds: float, level: Level) -> Check:
    """Return what a sync of the disk costs, and whether it can be believed."""
    took = f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"
    if seconds < _QUICK:
        return Check("fsync", "note", f"{took}, too quick for a disk: it probably does not really sync")
    cost = "added to each commit" if level == "power" else "which --level power adds to each commit"
    return Check("fsync", "ok", f"{took}, {cost}")


def level_of(level: Level, platform: str = sys.platform) -> Check:
    """Return what survives at a level."""
    if level == "process":
        loss = "a power cut may lose the newest cycles and captures, and damages nothing"
        return Check("level", "ok", f"process: every commit survives the end of the process; {loss}")
    text = "power: every commit survives a power cut, if the disk does not lie about fsync"
    if platform == "darwin":  # https://sqlite.org/pragma.html#pragma_fullfsync
        return Check("level", "note", f"{text}; that of macOS leaves it in the drive unless PRAGMA fullfsync is on")
    return Check("level", "ok", text)


def in_bytes(count: int) -> str:
    """Return a size as people read it: 24.6 kB."""
    size, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"
