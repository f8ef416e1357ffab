"""A log of votes where there is none, or only one that cannot be read."""

from __future__ import annotations

import secrets
from itertools import count
from pathlib import Path

from node.wal import INSTANCE_ID_BYTES, DiskLogFile, WriteAheadLog


def new_log(path: Path) -> WriteAheadLog:
    """An empty one; raises what `WriteAheadLog.create` does, FileExistsError too."""
    return WriteAheadLog.create(DiskLogFile(path), secrets.token_bytes(INSTANCE_ID_BYTES))


def kept_logs(path: Path) -> list[Path]:
    """Those that stood at `path` and were replaced, or were to be when the power failed."""
    return sorted(path.parent.glob(f"{path.stem}.damaged*"))


def replace_log(path: Path) -> WriteAheadLog:
    """An empty one. What stands there is kept beside it, under a name that nothing has: it is the
    only evidence of what a key signed."""
    if path.exists():
        kept = (path.with_suffix(f".damaged{number or ''}") for number in count())
        path.rename(next(name for name in kept if not name.exists()))
    return new_log(path)
