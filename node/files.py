"""Small file operations that survive a power failure.

A new name is durable only when its directory was synced as well, not only the file: every
operation here that makes or changes a name ends with `sync_directory`. No file ever has wider
permissions than `mode`, not even for a moment, whatever the umask. Imports no database: wallets
are written with it too.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomic(path: Path, data: bytes, mode: int) -> None:
    """Put `data` under `path`, durably: a reader or a crash sees the old file or the new, whole.

    One writer of a path at a time: the draft has a fixed name, so that a crash leaves at most one.
    """
    draft = path.with_name(path.name + ".tmp")
    draft.unlink(missing_ok=True)  # left by a crash, perhaps with other permissions
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        _fill(descriptor, data, mode)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_new(path: Path, data: bytes, mode: int) -> None:
    """As `write_atomic`, but a file that exists stays: raises FileExistsError.

    Several may try at once, and one of them wins.
    """
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        _fill(descriptor, data, mode)
        path.hardlink_to(draft)
    finally:
        Path(draft).unlink()
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte: one system call may take fewer than it was given."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _fill(descriptor: int, data: bytes, mode: int) -> None:
    """Write and sync a new file, and close it however that ends."""
    try:
        os.fchmod(descriptor, mode)
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
