"""Files that are written whole or not at all, on the real file system."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from node.files import sync_directory, write_all, write_atomic, write_new


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

    monkeypatch.setattr("node.files.os.fsync", fail)
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
    monkeypatch.setattr("node.files.os.fsync", watch)
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
    monkeypatch.setattr("node.files.os.write", lambda fd, data: real_write(fd, data[:3]))
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


def test_a_new_file_has_its_mode_and_takes_no_name(tmp_path: Path) -> None:
    """Exactly the permissions asked for; a second one is refused and leaves no draft."""
    path = tmp_path / "wallet"
    write_new(path, b"one", 0o640)
    with pytest.raises(FileExistsError):
        write_new(path, b"two", 0o600)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"one", 0o640)
    assert names(tmp_path) == ["wallet"]


def test_of_many_new_files_of_one_name_one_wins_whole(tmp_path: Path) -> None:
    """Eight threads at once: one file, of one writer, and seven refusals."""
    path, refused = tmp_path / "wallet", []
    together = threading.Barrier(8)

    def write(letter: bytes) -> None:
        together.wait()
        try:
            write_new(path, letter * 100_000, 0o600)
        except FileExistsError:
            refused.append(letter)

    threads = [threading.Thread(target=write, args=(bytes((97 + n,)),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    data = path.read_bytes()
    assert data == data[:1] * 100_000
    assert len(refused) == 7
    assert data[:1] not in refused
    assert names(tmp_path) == ["wallet"]


def test_no_database_is_imported() -> None:
    """Wallets are written with this module; loading LevelDB for them was why there were two."""
    code = "import sys, node.files, cli.home; sys.exit('plyvel' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
