"""The simulated disk's log file: it forgets what was not synced and tears what was half written."""

from __future__ import annotations

from node.wal import LOG_BYTES_MAX


class MemoryLogFile:
    """The contract of `node.wal.LogFile` in memory; None is a file that does not exist."""

    def __init__(self, content: bytes | None = None) -> None:
        self._durable = None if content is None else bytearray(content)
        self._unsynced = b""

    @property
    def unsynced_bytes(self) -> int:
        """How much the next crash may take or tear."""
        return len(self._unsynced)

    def crash(self, keep_bytes: int = 0) -> None:
        """Power fails: of what was not synced only the first `keep_bytes` reached the disk."""
        if self._durable is not None:
            self._durable += self._unsynced[:keep_bytes]
        self._unsynced = b""

    def read_all(self) -> bytes:
        if self._durable is None:
            raise FileNotFoundError("no such file in memory")
        return bytes(self._durable + self._unsynced)[: LOG_BYTES_MAX + 1]

    def append(self, data: bytes) -> None:
        if self._durable is None:
            raise FileNotFoundError("no such file in memory")
        self._unsynced += data

    def sync(self) -> None:
        if self._durable is not None:
            self._durable += self._unsynced
            self._unsynced = b""

    def replace(self, data: bytes) -> None:
        self._durable = bytearray(data)
        self._unsynced = b""

    def close(self) -> None:
        """There is no descriptor to give back."""
