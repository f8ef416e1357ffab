"""The lock of a data directory, the priority of what merges there, its room and its faults."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from ledger.kv import StorageError
from ledger.leveldb import PART_NAMES, DataDirectoryInUse, LevelDB
from node.errors import NodeError
from node.files import sync_directory, write_all

LOCK_NAME = "LOCK"
PID_BYTES_MAX = 20
"""A process id in decimal digits, and then some; more is not read from a lock file."""
MERGING_NICE = 5
"""LevelDB's thread gives way to the event loop of its process: where cores are few a merge would
have half of its time. It is left a quarter, and needs a sixth."""
DISK_FAULTS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS))


@contextmanager
def storage_errors() -> Iterator[None]:
    """What a directory or a database has to say against it, as NodeError for the operator."""
    try:
        yield
    except DataDirectoryInUse as error:
        raise NodeError("directory_in_use", str(error)) from None
    except StorageError as error:
        raise NodeError("storage", str(error)) from error


class DirectoryLock:
    """A directory belongs to one process; the kernel frees it when that process ends, however.

    The lock is on an open file (flock), so it also holds against a second attempt in the same
    process. It passes to children made by fork: start workers by spawn. The file stays when the
    lock is released: removing it would let two processes lock two files of one name.
    """

    def __init__(self, directory: Path) -> None:
        """Take the lock at once; raises DataDirectoryInUse."""
        self.path = directory / LOCK_NAME
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            write_all(self._descriptor, b"%d\n" % os.getpid())
        except BlockingIOError:
            holder = os.read(self._descriptor, PID_BYTES_MAX).strip()
            self.release()
            raise DataDirectoryInUse(
                f"{directory} is in use by {_name_of_process(holder)}. Stop it first; two "
                "must never share a data directory."
            ) from None
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Let the next process in; releasing twice is harmless."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> DirectoryLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def sync_tree(directory: Path) -> None:
    """Every file below it and every name is durable."""
    for folder, _, names in os.walk(directory):
        for name in names:
            descriptor = os.open(Path(folder) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(Path(folder))


def create_store(path: Path) -> LevelDB:
    """A new database whose files keep their names through a power failure, which LevelDB leaves to
    the file system; the caller makes the entry of `path` itself durable."""
    made = LevelDB.create(path)
    for name in ("", *PART_NAMES):
        sync_directory(path.joinpath(name))
    return made


def open_giving_way(path: Path) -> LevelDB:
    """The first database of a process, opened in a thread of low priority: LevelDB's own one begins
    there and has the same. Raises what `LevelDB.open` does."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_open_giving_way, path).result()


def _open_giving_way(path: Path) -> LevelDB:
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        with suppress(OSError):  # a sandbox may refuse: then it has what all have
            os.nice(MERGING_NICE)
    database = LevelDB.open(path)
    database.start_merging()
    return database


def free_bytes(path: Path) -> int:
    """What an ordinary user may still write on the file system of `path`."""
    return shutil.disk_usage(path).free


def in_words(fault: BaseException) -> str:
    """The fault, and what to do where the system only named it."""
    if isinstance(fault, OSError) and fault.errno in DISK_FAULTS:
        return f"{fault}; check the disk and its free space, then start the node again"
    return str(fault)


def _name_of_process(holder: bytes) -> str:
    return f"process {int(holder)}" if holder.isdigit() else "another process"
