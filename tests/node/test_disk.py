"""The lock of a data directory and free space, on the real file system."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.kv import StorageError
from ledger.leveldb import DataDirectoryInUse, LevelDB
from node import disk
from node.disk import LOCK_NAME, MERGING_NICE, DirectoryLock, free_bytes, in_words, open_giving_way

CHILD_SECONDS_MAX = 60
NICE_MAX = 19
ROOT = Path(__file__).parents[2]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


HOLD_IN_CHILD = """
import pathlib, sys
from node.disk import DirectoryLock
lock = DirectoryLock(pathlib.Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_by_the_first_ones_id_until_that_dies(tmp_path: Path) -> None:
    """A real child holds the lock and is killed: the kernel frees it, the file stays."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD_IN_CHILD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        with pytest.raises(DataDirectoryInUse, match=f"in use by process {child.pid}\\b"):
            DirectoryLock(tmp_path)
    finally:
        child.kill()
        child.communicate(timeout=CHILD_SECONDS_MAX)
    assert names(tmp_path) == [LOCK_NAME]
    with DirectoryLock(tmp_path):
        assert int((tmp_path / LOCK_NAME).read_bytes()) == os.getpid()


def test_the_lock_also_holds_within_one_process(tmp_path: Path) -> None:
    """Refused while held, free after release; releasing twice is harmless."""
    first = DirectoryLock(tmp_path)
    with pytest.raises(DataDirectoryInUse, match=f"process {os.getpid()}"):
        DirectoryLock(tmp_path)
    with pytest.raises(DataDirectoryInUse):  # the refused attempt did not free it
        DirectoryLock(tmp_path)
    first.release()
    first.release()
    DirectoryLock(tmp_path).release()


def test_an_unreadable_process_id_does_not_hide_the_refusal(tmp_path: Path) -> None:
    """The holder has not written its id yet, or somebody else wrote nonsense."""
    with DirectoryLock(tmp_path):
        (tmp_path / LOCK_NAME).write_bytes(b"nonsense that is much longer than any process id")
        with pytest.raises(DataDirectoryInUse, match="another process"):
            DirectoryLock(tmp_path)


def test_a_missing_directory_cannot_be_locked(tmp_path: Path) -> None:
    """The lock makes no directories: that is `init`."""
    with pytest.raises(FileNotFoundError):
        DirectoryLock(tmp_path / "missing")


def test_free_bytes_is_what_the_file_system_reports(tmp_path: Path) -> None:
    """Positive, and not more than the whole file system; a missing path is an error."""
    stat = os.statvfs(tmp_path)
    assert 0 < free_bytes(tmp_path) < stat.f_blocks * stat.f_frsize
    with pytest.raises(FileNotFoundError):
        free_bytes(tmp_path / "missing")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_fault_of_the_disk_says_what_to_do(number: int) -> None:
    """The system's own words lead; what is no fault of the disk, or says more itself, stays."""
    assert in_words(OSError(number, os.strerror(number))).startswith(f"[Errno {number}] ")
    assert "check the disk" in in_words(OSError(number, os.strerror(number)))
    assert in_words(StorageError("as it is")) == "as it is"
    assert "disk" not in in_words(OSError(errno.EADDRINUSE, "in use"))


OPEN_IN_CHILD = """
import json, os, sys
from pathlib import Path
from node.disk import open_giving_way

if sys.argv[2:]:
    def refuse(nice):
        raise PermissionError(1, "a sandbox")
    os.nice = refuse
database = open_giving_way(Path(sys.argv[1]))
own = os.getpriority(os.PRIO_PROCESS, 0)
threads = [int(name) for name in os.listdir("/proc/self/task") if int(name) != os.getpid()]
print(own, *{os.getpriority(os.PRIO_PROCESS, thread) - own for thread in threads})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority of its own")
@pytest.mark.parametrize(("refused", "nice"), [((), MERGING_NICE), (("refused",), 0)])
def test_merging_gives_way_to_all_else(tmp_path: Path, refused: tuple[str, ...], nice: int) -> None:
    """LevelDB's thread is there as soon as the first database is open, and below all others; where
    that is not allowed it is like them."""
    LevelDB.create(tmp_path / "db").close()
    command = [sys.executable, "-c", OPEN_IN_CHILD, str(tmp_path / "db"), *refused]
    ended = subprocess.run(
        command, capture_output=True, cwd=ROOT, timeout=CHILD_SECONDS_MAX, check=True
    )
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert ended.stdout.decode().split() == [str(own), str(min(nice, NICE_MAX - own))]


def test_what_cannot_be_opened_is_said_where_it_was_asked(tmp_path: Path) -> None:
    """An error of the other thread is the caller's."""
    with pytest.raises(StorageError, match="There is no database"):
        open_giving_way(tmp_path / "none")


def test_a_new_store_keeps_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory of each of its databases is synced once its files are there."""
    synced: dict[str, bool] = {}

    def noted(path: Path) -> None:
        synced[str(path.relative_to(tmp_path))] = path.joinpath("CURRENT").is_file()

    monkeypatch.setattr(disk, "sync_directory", noted)
    disk.create_store(tmp_path / "db").close()
    assert synced == dict.fromkeys(("db", "db/lookups", "db/outputs", "db/bodies"), True)
