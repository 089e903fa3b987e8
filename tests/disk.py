"""A disk in memory on which SQLite keeps its files, for tests that cut the power or break the disk.

What was written and not synced may be kept, lost or torn when the power goes, in any order; that a file was made or
deleted is lost likewise until its directory is synced. A sync that fails leaves what it was to write in that state for
good, though it can be read as long as the machine is on.
"""

__all__ = ["Disk"]

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count, pairwise
from math import inf
from types import MappingProxyType
from typing import Any, NamedTuple

import apsw

_SECTOR = 512  # bytes that are written whole or not at all
_numbers = count()


class _Change(NamedTuple):
    """What was written, and where; without data, the file was cut there."""

    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
        else:
            content.extend(bytes(max(0, self.offset - len(content))))
            content[self.offset : self.offset + len(self.data)] = self.data


class _File:
    """What is read of a file, what the platters hold for certain, and what they may hold."""

    def __init__(self, content: bytes | bytearray = b"") -> None:
        self.content, self.durable = bytearray(content), bytes(content)
        self.unsynced: list[_Change] = []
        self.locks: dict[_Handle, int] = {}

    def copy(self) -> "_File":
        twin = _File()
        twin.content, twin.durable, twin.unsynced = self.content[:], self.durable, self.unsynced[:]
        return twin

    def change(self, change: _Change) -> None:
        change.apply(self.content)
        self.unsynced.append(change)

    def sync(self, changes: Iterable[_Change]) -> None:
        """Bring these changes to the platters; what else was unsynced stays behind for good."""
        self.durable = self.with_changes(changes)
        self.unsynced.clear()

    def with_changes(self, changes: Iterable[_Change]) -> bytes:
        """Return what the platters hold when these changes have come to them."""
        content = bytearray(self.durable)
        for change in changes:
            change.apply(content)
        return bytes(content)

    def left(self, chance: random.Random) -> Iterator[_Change]:
        """Yield what chance has brought to the platters of what nobody has waited for."""
        loss = chance.choice((0.0, 0.1, 0.5, 1.0))
        for change in chance.sample(self.unsynced, len(self.unsynced)):
            if chance.random() >= loss:
                yield change
            elif change.data is not None and chance.random() < 0.5:
                yield from _torn(change.offset, change.data, chance)


def _torn(offset: int, data: bytes, chance: random.Random) -> Iterator[_Change]:
    """Yield what becomes of each sector of a write: it is there, it is not, or it holds anything at all."""
    edges = [0, *range(_SECTOR - offset % _SECTOR, len(data), _SECTOR), len(data)]
    for start, end in pairwise(edges):
        fate = chance.randrange(3)
        if fate:
            yield _Change(offset + start, data[start:end] if fate == 1 else chance.randbytes(end - start))


class Disk(apsw.VFS):
    """A disk. `operations` counts every open, write, cut, sync and deletion; `watch` is called in the middle of each.

    It fails as it is told: no file grows beyond a `room` of so many bytes in all, the next `bad_syncs` fail, one that
    is `read_only` refuses whatever would change it, and from operation `off_at` on the machine is off.
    """

    def __init__(self, seed: int = 0, contents: Mapping[str, bytes | bytearray] = MappingProxyType({})) -> None:
        self.name = f"disk-{next(_numbers)}"
        super().__init__(self.name, base="")
        self.chance = random.Random(seed)
        self.files = {name: _File(content) for name, content in contents.items()}
        self.listed = dict(self.files)  # what the directory says for certain
        self.unlisted: list[tuple[str, _File | None]] = []  # what happened since: a file was made or deleted
        self.operations, self.breaks_at, self.off_at = 0, inf, inf
        self.watch: Callable[[], None] = lambda: None
        self.mend()

    def crash_at(self, operation: int) -> None:
        """Turn the machine off in the middle of its n-th operation from now."""
        self.off_at = self.operations + operation

    def break_at(self, operation: int, **how: float) -> None:
        """Have the n-th operation from now be the first on a disk that fails like this."""
        self.breaks_at, self.broken = self.operations + operation, how

    def mend(self) -> None:
        """Have nothing fail any more."""
        self.room, self.bad_syncs, self.read_only, self.off_at, self.broken = inf, 0, False, inf, {}

    def copy(self) -> "Disk":
        """Return a disk in the very state of this one, with all that is not certain yet."""
        twin, twins = Disk(), {id(file): file.copy() for file in self._all_files()}
        twin.files = {name: twins[id(file)] for name, file in self.files.items()}
        twin.listed = {name: twins[id(file)] for name, file in self.listed.items()}
        twin.unlisted = [(name, file and twins[id(file)]) for name, file in self.unlisted]
        return twin

    def after_crash(self, seed: int) -> "Disk":
        """Return the disk as it is found when the power has gone and is back."""
        chance = random.Random(seed)
        names = self._names_left(chance)
        return Disk(seed, {name: file.with_changes(file.left(chance)) for name, file in names.items()})

    def after_kill(self) -> "Disk":
        """Return the disk as the next process finds it when only this one has ended."""
        return Disk(0, {name: file.content for name, file in self.files.items()})

    def holds(self, name: str) -> bool:
        """Whether a file of that name has anything in it."""
        return name in self.files and len(self.files[name].content) > 0

    @property
    def used(self) -> int:
        """How many bytes the files have."""
        return sum(len(file.content) for file in self.files.values())

    def _all_files(self) -> Iterator[_File]:
        yield from (*self.files.values(), *self.listed.values())
        yield from (file for _, file in self.unlisted if file is not None)

    def _names_left(self, chance: random.Random) -> dict[str, _File]:
        """Return the directory; of each name the last things that happened to it may be missing."""
        names, stale, loss = dict(self.listed), set(), chance.choice((0.0, 0.5, 1.0))
        for name, file in self.unlisted:
            if name in stale or chance.random() < loss:
                stale.add(name)
            else:
                _enter(names, name, file)
        return names

    # --- what can fail ------------------------------------------------------------------------------------------

    def check_on(self) -> None:
        """Raise if the machine is off."""
        if self.operations >= self.off_at:
            raise apsw.exception_for(apsw.SQLITE_IOERR)

    def operate(self, refusal: int = 0) -> None:
        """Begin an operation. Raises if the machine is off, or a disk that is read-only has a refusal for it."""
        self.check_on()
        self.operations += 1
        if self.operations == self.breaks_at:
            vars(self).update(self.broken)
        if refusal and self.read_only:
            raise apsw.exception_for(refusal)

    def half_done(self) -> None:
        """Be in the middle of an operation. Raises if that is where the machine goes off."""
        self.watch()
        self.check_on()

    def rename(self, name: str, file: _File | None) -> None:
        """Have a name stand for a file, or for none."""
        _enter(self.files, name, file)
        self.unlisted.append((name, file))

    def sync_names(self) -> None:
        """Make certain which files there are."""
        self.listed = dict(self.files)
        self.unlisted.clear()

    # --- what SQLite calls --------------------------------------------------------------------------------------

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802 - SQLite's name, as all that follow
        return self.holds(pathname)

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        wanted = flags[0]
        self.operate()
        if path is not None and path not in self.files:
            if self.read_only or not wanted & apsw.SQLITE_OPEN_CREATE:
                raise apsw.exception_for(apsw.SQLITE_CANTOPEN)
            self.rename(path, _File())
        if self.read_only:
            wanted = wanted & ~(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE) | apsw.SQLITE_OPEN_READONLY
        flags[1] = wanted
        self.half_done()
        return _Handle(self, _File() if path is None else self.files[path], wanted)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.operate(apsw.SQLITE_IOERR_DELETE)
        if filename not in self.files:
            raise apsw.exception_for(apsw.SQLITE_IOERR_DELETE_NOENT)
        self.rename(filename, None)
        self.half_done()
        if syncdir:
            self.sync_names()


class _Handle(apsw.VFSFile):
    """A file that is open. Without shared memory: whoever opens it in WAL mode must lock it exclusively."""

    def __init__(self, disk: Disk, file: _File, flags: int) -> None:  # has no file below it, so nothing to inherit
        self.disk, self.file = disk, file
        new = flags & (apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL) and flags & apsw.SQLITE_OPEN_CREATE
        self.syncs_names = bool(new)  # with its first sync, as SQLite does it on unix

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self.disk.check_on()
        return bytes(self.file.content[offset : offset + amount])

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        self.disk.operate(apsw.SQLITE_IOERR_WRITE)
        grows = max(0, offset + len(data) - len(self.file.content))
        lacks = min(grows, max(0, grows + self.disk.used - self.disk.room))
        self.file.change(_Change(offset, bytes(data)[: len(data) - int(lacks)]))
        self.disk.half_done()
        if lacks:
            raise apsw.exception_for(apsw.SQLITE_FULL)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self.disk.operate(apsw.SQLITE_IOERR_TRUNCATE)
        self.file.change(_Change(newsize, None))
        self.disk.half_done()

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.disk.operate()
        self.disk.half_done()
        if self.disk.bad_syncs:
            self.disk.bad_syncs -= 1
            self.file.sync(self.file.left(self.disk.chance))
            raise apsw.exception_for(apsw.SQLITE_IOERR_FSYNC)
        self.file.sync(self.file.unsynced)
        if self.syncs_names:
            self.disk.sync_names()
            self.syncs_names = False

    def xFileSize(self) -> int:  # noqa: N802
        return len(self.file.content)

    def xLock(self, level: int) -> None:  # noqa: N802
        others = max((held for handle, held in self.file.locks.items() if handle is not self), default=0)
        allowed = {apsw.SQLITE_LOCK_SHARED: apsw.SQLITE_LOCK_RESERVED, apsw.SQLITE_LOCK_RESERVED: 1}
        if others > allowed.get(level, 0):
            raise apsw.exception_for(apsw.SQLITE_BUSY)
        self.file.locks[self] = level

    def xUnlock(self, level: int) -> None:  # noqa: N802
        self.file.locks[self] = level

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return any(held >= apsw.SQLITE_LOCK_RESERVED for held in self.file.locks.values())

    def xClose(self) -> None:  # noqa: N802
        self.file.locks.pop(self, None)

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802
        return False

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE  # as on unix

    def xSectorSize(self) -> int:  # noqa: N802
        return _SECTOR


def _enter(names: dict[str, _File], name: str, file: _File | None) -> None:
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file
