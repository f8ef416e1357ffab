"""The simulated disk's log file: it forgets what was not synced and tears what was half written.

Between the program and the disk lies the kernel's cache. Reads see the cache. A sync writes what
changed since the last one; after a sync that failed nothing counts as changed any more, so that
the next one succeeds and writes nothing, and the power takes what only the cache held.
"""

from __future__ import annotations

from node.wal import LOG_BYTES_MAX


class MemoryLogFile:
    """The contract of `node.wal.LogFile` in memory; None is a file that does not exist."""

    def __init__(self, content: bytes | None = None) -> None:
        self._durable = None if content is None else bytearray(content)
        self._cached = None if content is None else bytearray(content)
        self._clean = len(content or b"")
        """Bytes of the cache that no sync writes any more, whether the disk has them or not."""
        self._is_renamed = False
        """The cache is a new, written file whose name is not on the disk yet."""

    @property
    def unsynced_bytes(self) -> int:
        """How much the next crash may take or tear."""
        return len(self._cached or b"") - self._clean

    @property
    def exists(self) -> bool:
        """Whether there is such a file."""
        return self._cached is not None

    def crash(self, keep_bytes: int = 0) -> None:
        """Power fails: of what was not synced only the first `keep_bytes` reached the disk."""
        if self._cached is not None and keep_bytes:
            self._write_back(self._clean + keep_bytes)
        self._cached = None if self._durable is None else self._durable.copy()
        self._clean = len(self._cached or b"")
        self._is_renamed = False

    def read_all(self) -> bytes:
        if self._cached is None:
            raise FileNotFoundError("no such file in memory")
        return bytes(self._cached[: LOG_BYTES_MAX + 1])

    def append(self, data: bytes) -> None:
        if self._cached is None:
            raise FileNotFoundError("no such file in memory")
        self._cached += data

    def sync(self) -> None:
        if self._cached is not None:
            self._write_back(len(self._cached))
            self._clean = len(self._cached)

    def lose_sync(self) -> None:
        """A sync that wrote nothing, whatever it reports: the cache takes itself for written."""
        self._clean = len(self._cached or b"")

    def replace(self, data: bytes) -> None:
        self._cached = bytearray(data)
        self._clean = len(data)
        self._durable = bytearray(data)
        self._is_renamed = False

    def lose_replace(self, data: bytes) -> None:
        """The new name is in the cache alone: before the next sync that succeeds, the power brings
        the old file back."""
        self._cached = bytearray(data)
        self._clean = len(data)
        self._is_renamed = True

    def remove(self) -> None:
        """The file is gone."""
        self._durable = self._cached = None
        self._clean = 0
        self._is_renamed = False

    def close(self) -> None:
        """There is no descriptor to give back."""

    def _write_back(self, end: int) -> None:
        """The changed part up to `end` reaches the disk; what was lost before it is a hole."""
        assert self._cached is not None
        if self._durable is None or self._is_renamed:
            self._durable = self._cached[: self._clean]
            self._is_renamed = False
        self._durable.extend(bytes(self._clean - len(self._durable)))
        self._durable += self._cached[self._clean : end]
