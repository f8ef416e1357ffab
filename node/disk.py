"""The lock of a data directory, who reads its disk first, how much room it has, what its faults
mean."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from ledger.kv import DataDirectoryInUse
from node.files import write_all

LOCK_NAME = "LOCK"
PID_BYTES_MAX = 20
"""A process id in decimal digits, and then some; more is not read from a lock file."""
MERGING_NICE = 5
"""LevelDB's thread gives way to the event loop: where cores are few a merge of seconds would have
half of one. It is left a quarter in the worst case, twice what it needs."""
DISK_FAULTS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS))

T = TypeVar("T")


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


def giving_way(open_database: Callable[[], T]) -> T:
    """Open the first database of a process in a thread of low priority: LevelDB's own one, which it
    starts there, has the same."""
    with ThreadPoolExecutor(1, initializer=_give_way) as pool:
        return pool.submit(open_database).result()


def _give_way() -> None:
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        os.nice(MERGING_NICE)


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
