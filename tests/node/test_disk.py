"""Atomic files, the lock of a data directory and free space, on the real file system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.kv import DataDirectoryInUse
from node.disk import LOCK_NAME, DirectoryLock, free_bytes, sync_directory, write_all, write_atomic

CHILD_SECONDS_MAX = 60
ROOT = Path(__file__).parents[2]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_write_atomic_creates_and_replaces(tmp_path: Path) -> None:
    """Content and permissions are exactly those asked for, whatever the umask; no draft stays."""
    path = tmp_path / "key"
    before = os.umask(0o077)
    try:
        write_atomic(path, b"one", 0o644)
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"one", 0o644)
        os.umask(0)
        write_atomic(path, b"", 0o600)
    finally:
        os.umask(before)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"", 0o600)
    assert names(tmp_path) == ["key"]


def test_write_atomic_does_not_reuse_the_draft_of_a_crash(tmp_path: Path) -> None:
    """A draft that others may read, or that is a link elsewhere, is removed and not written to."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    (tmp_path / "key.tmp").symlink_to(victim)
    write_atomic(tmp_path / "key", b"secret", 0o600)
    assert victim.read_bytes() == b"untouched"
    assert names(tmp_path) == ["key", "victim"]


def test_a_failed_write_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails at the sync of the draft."""
    path = tmp_path / "key"
    write_atomic(path, b"old", 0o600)

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("node.disk.os.fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_atomic(path, b"new", 0o600)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["key"]


def test_write_atomic_syncs_the_file_before_and_the_directory_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watches fsync: first the draft while the name is not there yet, then the directory."""
    path = tmp_path / "key"
    seen = []

    def watch(descriptor: int) -> None:
        seen.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, path.exists()))

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to name a descriptor")
    monkeypatch.setattr("node.disk.os.fsync", watch)
    write_atomic(path, b"data", 0o600)
    assert seen == [("key.tmp", False), (tmp_path.name, True)]


def test_sync_directory_refuses_a_file(tmp_path: Path) -> None:
    """Synced would be the wrong thing, in silence."""
    sync_directory(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_directory(tmp_path / "file")


def test_write_all_goes_on_after_a_short_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes three bytes at a time."""
    real_write = os.write
    monkeypatch.setattr("node.disk.os.write", lambda fd, data: real_write(fd, data[:3]))
    with (tmp_path / "file").open("wb", buffering=0) as file:
        write_all(file.fileno(), b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_a_full_device_is_an_error() -> None:
    """A real one: /dev/full refuses every byte."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with (
        Path("/dev/full").open("wb", buffering=0) as file,
        pytest.raises(OSError, match="No space left"),
    ):
        write_all(file.fileno(), b"x")


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
