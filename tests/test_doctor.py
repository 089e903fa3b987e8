"""Whether a place can be trusted: each check by what makes it true and by what makes it false, on real files."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from converge.chain import JobHeader
from converge.ports import Holder
from converge.testing.stores import StoredText
from converge_stores.sqlite import SQLiteStore, examination
from converge_stores.sqlite.examination import examine, file
from converge_stores.sqlite.ground import (
    access,
    disk,
    known_mounts,
    level_of,
    library,
    seconds_of_fsync,
    space,
    syncing,
)
from converge_stores.sqlite.schema import VERSION
from tests.commands import Cli, command_line

PAGE = 8192
LETTERS = 7 * PAGE  # where the letters are, which nobody has read before
NEWEST = (3, 53, 1)
OPTIONS = {"THREADSAFE=1", "ENABLE_FTS5"}


async def _keep(path: Path, jobs: int) -> None:
    store = SQLiteStore(path)
    await store.open()
    try:
        for number in range(jobs):
            lease = await store.take(f"job-{number}", Holder("a", "host", "place", 1, ""), 0.0, 9.0)
            header = JobHeader(lease.job_id, 1.0, '{"objective": "find the risks"}')
            await store.create(lease, header, [StoredText(1)])
    finally:
        await store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store file that nobody has open, with two jobs."""
    path = tmp_path / "jobs ?#%.db"  # what an address must quote
    anyio.run(_keep, path, 2)
    return path


def states(path: Path, **options):
    """What is said of a place, by the name of the check; the library of this machine is left out."""
    return {check.name: (check.state, check.text) for check in examine(path, **options) if check.name != "sqlite"}


def patched(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(content)


def tables_of(path: Path) -> dict[str, bytes]:
    """Every file of the folder; the index of the log is memory, which readers share and write."""
    return {each.name: each.read_bytes() for each in path.parent.iterdir() if not each.name.endswith("-shm")}


# --- the library ------------------------------------------------------------------------------------------------------


def test_a_library_that_will_do_is_one_line():
    """Its version, and how it treats threads."""
    assert library(NEWEST, 3, OPTIONS) == [("sqlite", "ok", "3.53.1, serialized")]
    assert library(NEWEST, 1, OPTIONS) == [("sqlite", "note", "3.53.1, multi-thread")]


@pytest.mark.parametrize(
    ("version", "threads", "option", "reason"),
    [
        ((3, 36, 0), 3, "ENABLE_JSON1", "older than 3.37.0 and has no STRICT tables"),
        ((3, 37, 2), 3, "ENABLE_FTS5", "without JSON"),
        (NEWEST, 3, "OMIT_JSON", "without JSON"),
        (NEWEST, 3, "OMIT_WAL", "without WAL"),
        (NEWEST, 3, "NO_SYNC", "built to never sync"),
        (NEWEST, 0, "THREADSAFE=0", "built for one thread"),
    ],
)
def test_a_library_that_lacks_what_a_store_needs_fails(version, threads, option, reason):
    """It names what is missing, and what to do."""
    failed = [check for check in library(version, threads, {option}) if check.state == "failed"]
    assert len(failed) == 1
    assert reason in failed[0].text
    assert failed[0].text.endswith("use a Python with another SQLite")


@pytest.mark.parametrize(
    ("version", "bug"),
    [
        *[(version, "WAL-reset") for version in [(3, 37, 2), (3, 40, 1), (3, 44, 5), (3, 45, 0), (3, 50, 6)]],
        *[(version, "WAL-reset") for version in [(3, 51, 0), (3, 51, 2)]],
        *[(version, "may hang") for version in [(3, 51, 0), (3, 51, 1)]],
        ((3, 52, 0), "withdrawn"),
    ],
)
def test_a_version_with_a_known_bug_is_warned_of(version, bug):
    """It is no failure: the bug may never be met."""
    warnings = [check.text for check in library(version, 3, {*OPTIONS, "ENABLE_JSON1"}) if check.state == "warning"]
    assert any(bug in text and ": use SQLite 3.51.3" in text for text in warnings)


@pytest.mark.parametrize("version", [(3, 44, 6), (3, 44, 9), (3, 50, 7), (3, 51, 3), (3, 53, 0), (3, 54, 0), (4, 0, 0)])
def test_a_version_that_mended_its_bugs_is_not_warned_of(version):
    """The backports count, each in its own line of versions."""
    assert [check.state for check in library(version, 3, OPTIONS)] == ["ok"]


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_store_at_rest_is_known_and_read_through(path: Path):
    """Its schema, its journal mode, its size and its jobs."""
    identity, content = file(path)
    assert identity[:2] == ("file", "ok")
    assert identity.text.startswith(f"a store of schema {VERSION} in WAL mode, ")
    assert content == ("content", "ok", "2 jobs; quick_check finds nothing wrong")


def test_what_is_examined_stays_byte_for_byte_as_it_is(path: Path):
    """Nothing is made beside it either, whether it is in WAL mode or not."""
    for mode in ("wal", "delete"):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA journal_mode = {mode}")
        before = tables_of(path)
        examine(path, deep=True)
        assert tables_of(path) == before
        assert not list(path.parent.glob("*-shm"))


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path):
    """Its folder is examined all the same."""
    found = states(tmp_path / "none.db")
    assert found["file"] == ("note", "it does not exist yet: the first job makes it")
    assert list(found) == ["file", "access", "disk", "space", "fsync", "level"]
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_a_store_to_be(tmp_path: Path):
    """So is one that SQLite has begun."""
    (tmp_path / "empty.db").touch()
    identity, content = file(tmp_path / "empty.db")
    assert identity == ("file", "ok", "it is empty: the first job makes a store of it")
    assert content == ("content", "ok", "no jobs; quick_check finds nothing wrong")


def test_a_log_whose_file_is_gone_is_warned_of(path: Path):
    """What it holds is in no other file."""
    path.with_name(path.name + "-wal").write_bytes(b"frames")
    path.unlink()
    (check,) = file(path)
    assert check[:2] == ("file", "warning")
    assert check.text.endswith("-wal: bring the file back")


def test_a_store_that_is_being_written_is_read_and_its_writer_goes_on(path: Path):
    """The writer holds its lock all the while; what it has not committed is not counted."""
    row = "VALUES ('job-2', ?, 1, 1.0, 0, 0, NULL, 0, '', '{}')"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as writer:
        writer.execute(f"INSERT INTO log {row}", (0,))
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO log VALUES ('job-3', 0, 1, 1.0, 0, 0, NULL, 0, '', '{}')")
        before = tables_of(path)
        identity, content = file(path)
        assert tables_of(path) == before
        writer.execute("COMMIT")
        writer.execute(f"INSERT INTO log {row}", (1,))
    assert identity.text.endswith(" in its -wal")
    assert content.text == "3 jobs; quick_check finds nothing wrong"


def test_who_has_the_file_open_keeps_its_locks(path: Path):
    """A process loses all its locks on a file when it closes that file once, however it was opened."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO log VALUES ('job-2', 0, 1, 1.0, 0, 0, NULL, 0, '', '{}')")
        connection.commit()
        examine(path)
        program = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('PRAGMA journal_mode = DELETE')"
        done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
    assert "database is locked" in done.stderr


def test_who_comes_while_a_file_at_rest_is_read_is_seen(path: Path, monkeypatch):
    """What was read without locks is read again with them."""
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:

        def come(path: Path) -> str:
            writer.execute("INSERT INTO log VALUES ('job-2', 0, 1, 1.0, 0, 0, NULL, 0, '', '{}')")
            return "wal"

        monkeypatch.setattr(examination, "_journal", come)  # asked just before the file is read
        assert file(path)[1].text == "3 jobs; quick_check finds nothing wrong"


def test_a_link_is_followed_to_the_file_and_its_log(path: Path, tmp_path: Path):
    """SQLite's side files lie beside the file, not beside the link."""
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("INSERT INTO log VALUES ('job-2', 0, 1, 1.0, 0, 0, NULL, 0, '', '{}')")
        assert states(link)["content"] == ("ok", "3 jobs; quick_check finds nothing wrong")


def test_what_a_killed_process_leaves_is_read_and_left(path: Path):
    """The newest commits are in the log, and stay there."""
    program = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute(\"INSERT INTO log VALUES ('job-2', 0, 1, 1.0, 0, 0, NULL, 0, '', '{}')\"); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, path], check=False)
    before = tables_of(path)
    assert len(before) == 2
    assert file(path)[1].text == "3 jobs; quick_check finds nothing wrong"
    assert tables_of(path) == before


def test_a_change_that_was_cut_off_is_left_to_the_next_who_opens(path: Path):
    """To examine is not to roll back."""
    program = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA journal_mode = DELETE'); c.execute('PRAGMA cache_size = 5'); c.execute('BEGIN');"
        "c.executemany(\"INSERT INTO log VALUES ('x', ?, 1, 1.0, 0, 0, NULL, 0, '', ?)\","
        "[(n, '{}' + ' ' * 9000) for n in range(99)]); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, path], check=False)
    before = tables_of(path)
    assert len(before) == 2
    (check,) = file(path)
    assert check[:2] == ("file", "note")
    assert "rolled back when the store is opened" in check.text
    assert tables_of(path) == before


def test_a_file_that_another_keeps_locked_is_no_failure(path: Path):
    """The one that locks it may be at work."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM log")
        (check,) = file(path)
        assert check[:2] == ("file", "warning")
        assert check.text.startswith("another process keeps it locked: ")


def test_an_older_schema_and_another_journal_mode_are_noted_and_kept(path: Path):
    """The store brings both up to date when it is opened; this does not."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    assert file(path)[0].text.startswith("journal mode delete, set to WAL when the store is next opened")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION - 1}")
    identity, content = file(path)
    assert (identity.state, content.state) == ("note", "ok")
    assert identity.text.startswith(f"schema {VERSION - 1}, brought to {VERSION} when the store is next opened")


def test_a_newer_schema_fails(path: Path):
    """It is named, and so is the remedy."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    (check,) = file(path)
    assert check[:2] == ("file", "failed")
    assert check.text.startswith(f"it has schema {VERSION + 1} and this version of Converge knows up to {VERSION}: ")


def test_a_file_of_another_program_fails(tmp_path: Path):
    """Be it SQLite's or not."""
    (tmp_path / "text.db").write_text("a text, and no short one " * 99)
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE jobs (x)")
    assert file(tmp_path / "text.db") == [("file", "failed", "it is not an SQLite file: choose another path")]
    assert file(tmp_path / "other.db") == [
        ("file", "failed", "it is another program's SQLite file: choose another path")
    ]


def test_a_file_that_was_cut_fails(path: Path):
    """Its own header says that pages are missing."""
    os.truncate(path, 2 * PAGE)
    (check,) = file(path)
    assert check[:2] == ("file", "failed")
    assert check.text.startswith("it cannot be read (database disk image is malformed): keep a copy, then save")


def test_a_page_that_was_overwritten_fails(path: Path):
    """The file is known, and what is wrong with it is said."""
    patched(path, LETTERS, b"\xff" * PAGE)
    identity, content = file(path)
    assert (identity.state, content.state) == ("ok", "failed")
    assert re.match(r"damaged \(.+\): keep a copy, then save", content.text)


def test_an_index_that_belies_its_table_is_found_when_all_is_read(path: Path):
    """As the WAL-reset bug leaves it; the quick check does not compare the two."""
    whole = path.read_bytes()
    pages = [whole[start : start + PAGE] for start in range(0, len(whole), PAGE)]
    leaves = [page.replace(b"job-1", b"job-8") if page[0] == 10 else page for page in pages]
    path.write_bytes(b"".join(leaves))
    assert file(path)[1].state == "ok"
    assert file(path, deep=True)[1].state == "failed"


def test_a_large_file_is_read_through_only_when_asked(path: Path):
    """Its tail is a hole here, which no page refers to."""
    os.truncate(path, 1_100_000_000)
    assert file(path)[1] == ("content", "note", "2 jobs; 1.1 GB are not read through: --deep does it")
    assert file(path, deep=True)[1] == ("content", "ok", "2 jobs; integrity_check finds nothing wrong")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (":memory:", "it is not a file"),
        ("folder", "it is a directory"),
        ("pipe", "it is a device or a pipe"),
        ("nowhere/jobs.db", "the folder nowhere does not exist"),
        ("a" * 300, "file name too long"),
    ],
)
def test_what_can_hold_no_store_fails_in_one_line(name, reason, tmp_path: Path, monkeypatch):
    """The disk under it is not asked: there is no place."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    found = states(Path(name))
    assert list(found) == ["file", "level"]
    assert found["file"][0] == "failed"
    assert found["file"][1].startswith(f"{reason}: ")


# --- its folder and disk ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "state", "said"),
    [
        (0o600, "ok", "for its owner alone"),
        (0o640, "warning", "read by its group"),
        (0o660, "warning", "changed by its group"),
        (0o604, "warning", "read by everyone"),
        (0o666, "warning", "changed by everyone"),
        (0o602, "warning", "changed by everyone"),
    ],
)
def test_who_else_can_read_the_file_is_warned_of(mode, state, said, path: Path):
    """Facts and prompts are private."""
    path.chmod(mode)
    found = states(path)["access"]
    assert found[0] == state
    assert said in found[1]
    assert f"(mode {mode:o})" in found[1]


def test_what_cannot_be_written_fails():
    """The file, or the folder that its side files lie in."""
    assert access(0o100600, writable=True, folder_writable=True).state == "ok"
    assert access(None, writable=True, folder_writable=True) == ("access", "ok", "the folder can be written")
    assert access(0o100600, writable=False, folder_writable=True).text.startswith("the file cannot be read and")
    assert access(0o100600, writable=True, folder_writable=False).text.startswith("its folder cannot be written")
    assert access(None, writable=True, folder_writable=False).state == "failed"


def test_a_folder_that_cannot_be_written_is_told_and_its_store_read():
    """Root gives up its rights for this test."""
    folder = Path(tempfile.mkdtemp())
    anyio.run(_keep, folder / "jobs.db", 1)
    is_root = os.geteuid() == 0
    (folder / "jobs.db").chmod(0o444)
    (folder / "shut.db").touch(0o000)
    folder.chmod(0o555)
    try:
        if is_root:
            os.seteuid(65_534)
        found, nothing, shut = (states(folder / name) for name in ("jobs.db", "none.db", "shut.db"))
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)
    shutil.rmtree(folder)
    assert found["content"] == ("ok", "1 job; quick_check finds nothing wrong")
    assert (found["access"][0], nothing["access"][0]) == ("failed", "failed")
    assert shut["file"] == ("failed", "it cannot be read: chmod u+rw, or run as its owner")
    assert found["fsync"] == ("note", "not measured: permission denied")


def test_too_little_room_is_warned_of():
    """Less than a floor, or than what is there already."""
    assert space(5_000_000_000, 20_000) == ("space", "ok", "5.0 GB free")
    assert space(99_000_000, 20_000)[:2] == ("space", "warning")
    assert "less than 100 MB" in space(99_000_000, 20_000).text
    assert "less than the file has" in space(2_000_000_000, 3_000_000_000).text


MOUNTS = r"""
21 27 0:20 / /proc rw shared:5 - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:40 / /mnt rw - tmpfs tmpfs rw
41 40 0:41 / /mnt/team rw shared:1 master:2 - nfs4 server:/export rw,vers=4.2
42 27 0:42 / /mnt/a\040share rw - cifs //server/share rw
43 27 0:43 / /home rw - overlay overlay rw
44 27 0:43 / /home rw - xfs /dev/vdb rw
45 27 0:45 / /layer rw - overlay overlay rw
46 27 0:46 / /host rw - 9p C:\134 rw
47 27 0:47 / /ssh rw - fuse.sshfs me@there: rw
48 27 0:48 / /odd rw - fuse.oddfs odd rw
49 27 0:49 / /stick rw - fuseblk /dev/sdb1 rw
"""


@pytest.mark.parametrize(
    ("folder", "state", "said"),
    [
        ("/srv/jobs", "ok", "ext4 at /"),
        ("/home/me", "ok", "xfs at /home"),  # of two that are mounted at one place, the newer one
        ("/stick", "ok", "fuseblk at /stick"),
        ("/mnt/teamwork", "warning", "tmpfs at /mnt: its jobs are lost with the machine"),
        ("/mnt/team/jobs", "failed", "nfs4 at /mnt/team: WAL needs memory that all processes share"),
        ("/mnt/a share/jobs", "failed", "cifs at /mnt/a share: "),
        ("/ssh", "failed", "fuse.sshfs at /ssh: "),
        ("/layer/app", "warning", "overlay at /layer: its jobs are lost with the container"),
        ("/host/c", "warning", "9p at /host: shared with a host"),
        ("/odd", "warning", "fuse.oddfs at /odd: a program serves it"),
    ],
)
def test_the_disk_under_a_folder_is_judged_by_its_sort(folder, state, said):
    """The longest mount point above the folder counts, and never one that is only the beginning of its name."""
    check = disk(Path(folder), MOUNTS)
    assert check.state == state
    assert check.text.startswith(said)


def test_where_the_system_does_not_say_the_disk_is_unknown():
    """No warning follows from not knowing."""
    assert disk(Path("/srv"), None)[:2] == disk(Path("/srv"), "")[:2] == ("disk", "note")
    mounts = known_mounts()
    assert (mounts is None) == (not Path("/proc/self/mountinfo").exists())
    assert disk(Path("/proc"), mounts).text in ("proc at /proc", disk(Path("/proc"), None).text)


def test_the_cost_of_a_sync_is_measured_and_nothing_is_left(tmp_path: Path):
    """In the folder of the store, for another one may be on another disk."""
    assert seconds_of_fsync(tmp_path, times=3) > 0
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="No such file"):
        seconds_of_fsync(tmp_path / "nowhere")


def test_a_sync_that_is_too_quick_is_not_believed():
    """No disk answers within microseconds that a block is safe."""
    assert syncing(158e-6, "power") == ("fsync", "ok", "158 µs, added to each commit")
    assert syncing(4.21e-3, "process") == ("fsync", "ok", "4.2 ms, which --level power adds to each commit")
    assert syncing(3e-6, "power")[:2] == ("fsync", "note")
    assert "probably does not really sync" in syncing(3e-6, "power").text


def test_a_level_says_what_survives():
    """`process` does not promise what `power` does, and macOS needs more for it."""
    assert "a power cut may lose the newest" in level_of("process").text
    assert level_of("power", "linux")[:2] == ("level", "ok")
    assert "every commit survives a power cut" in level_of("power", "linux").text
    assert level_of("power", "darwin")[:2] == ("level", "note")


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def cli(tmp_path: Path, monkeypatch, capsys):
    with command_line(tmp_path, {}, monkeypatch, capsys) as run:
        yield run


@pytest.fixture
def store(tmp_path: Path, cli: Cli) -> str:
    """The address of a store in the current folder."""
    anyio.run(_keep, tmp_path / "jobs.db", 1)
    return "sqlite:///jobs.db"


def test_the_command_prints_one_line_per_check(cli: Cli, store: str):
    """The verdict comes first; each line has a mark, what was looked at, and what was found."""
    ran = cli("doctor", "--store", store)
    verdict, *lines = ran.out.splitlines()
    assert (ran.code, ran.err) == (0, "")
    assert verdict.startswith(f"{store} can be trusted")
    assert {line.split()[0] for line in lines} <= {"ok", "note", "warning"}
    names = [line.split()[1] for line in lines]
    assert names[:2] == ["python", "sqlite"]
    assert [name for name in names[2:] if name != "sqlite"] == [
        *("file", "content", "access", "disk", "space", "fsync", "level")
    ]
    assert any(re.match(r"ok +content +1 job; quick_check finds nothing wrong$", line) for line in lines)


def test_the_json_has_one_shape(cli: Cli, store: str):
    """The same checks, as data."""
    ran = cli("doctor", "--store", store, "--level", "power", "--json")
    assert list(ran.data) == ["store", "level", "exit_code", "trusted", "checks"]
    assert (ran.data["store"], ran.data["level"], ran.code) == (store, "power", 0)
    assert (ran.data["exit_code"], ran.data["trusted"]) == (0, True)
    assert all(list(check) == ["name", "state", "text"] for check in ran.data["checks"])
    assert ran.data["checks"][-1]["text"].startswith("power: every commit survives a power cut")


def test_a_failed_check_is_the_store_s_exit_code(cli: Cli, store: str, tmp_path: Path):
    """Ten, as where a job refuses to use the store; the file stays as it is."""
    patched(tmp_path / "jobs.db", LETTERS, b"\xff" * PAGE)
    ran, told = cli("doctor", "--store", store), cli("doctor", "--store", store, "--json")
    assert (ran.code, told.code, told.data["exit_code"], told.data["trusted"]) == (10, 10, 10, False)
    assert ran.out.startswith(f"{store} cannot be trusted: 1 check failed\n")
    assert ran.err == ""


def test_warnings_alone_are_no_failure(cli: Cli, store: str, tmp_path: Path):
    """Someone may want it so."""
    (tmp_path / "jobs.db").chmod(0o644)
    ran = cli("doctor", "--store", store)
    assert ran.code == 0
    assert re.search(r"^sqlite:///jobs.db can be trusted, with \d+ warnings?$", ran.out.splitlines()[0])
    assert "warning  access " in ran.out


def test_the_command_makes_no_store(cli: Cli, tmp_path: Path):
    """It speaks of the default one when none is named."""
    ran = cli("doctor")
    assert ran.code == 0
    assert ran.out.startswith("sqlite:///converge.db can be trusted")
    assert list(tmp_path.iterdir()) == []


def test_memory_and_what_is_no_address_are_told_apart(cli: Cli):
    """The one keeps nothing, the other is refused in a sentence."""
    memory, wrong, level = cli("doctor", "--store", "memory:"), cli("doctor", "--store", "jobs.db"), None
    assert memory.code == 0
    assert "jobs in memory end with the process" in memory.out
    assert wrong.code == 2
    assert wrong.sentence.endswith("did you mean sqlite:///jobs.db?")
    level = cli("doctor", "--level", "none")
    assert level.code == 2
    assert "'none' is not one of 'process', 'power'" in level.sentence


def test_on_a_terminal_a_long_line_goes_on_below_its_own_column(cli: Cli, store: str, tmp_path: Path, monkeypatch):
    """Nothing is cut off: the remedy stands at the end."""
    patched(tmp_path / "jobs.db", LETTERS, b"\xff" * PAGE)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "70")
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in cli("doctor", "--store", store).out.splitlines()]
    assert max(map(len, lines)) <= 70
    start = next(number for number, line in enumerate(lines) if line.startswith("failed   content  damaged ("))
    assert lines[start + 1].startswith(" " * 18 + lines[start + 1].strip()[0])
    assert "or go back to a backup" in " ".join(line.strip() for line in lines)
