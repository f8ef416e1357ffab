"""A node's disk, and the power cuts that hit between two of its effects.

A write of the database is atomic and synced. The log forgets what was not synced, or keeps a torn
part of it (`storage.MemoryLogFile`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from ledger.kv import MemoryKV, Row
from tests.sim.storage import MemoryLogFile

Boundary = Callable[[str], None]
"""Called before and after each effect; may raise `PowerCut`."""


class PowerCut(BaseException):
    """The machine stops here. Not an Exception: no handler of the node may survive it."""


class SimLogFile(MemoryLogFile):
    """A log file whose effects are boundaries."""

    def __init__(self, boundary: Boundary, content: bytes | None = None) -> None:
        super().__init__(content)
        self._boundary = boundary

    def append(self, data: bytes) -> None:
        self._boundary("log.append")
        super().append(data)
        self._boundary("log.appended")

    def sync(self) -> None:
        super().sync()
        self._boundary("log.synced")

    def replace(self, data: bytes) -> None:
        self._boundary("log.replace")
        super().replace(data)
        self._boundary("log.replaced")


class SimKV:
    """A database whose writes are boundaries."""

    def __init__(self, boundary: Boundary, store: MemoryKV) -> None:
        self._boundary = boundary
        self._store = store

    def get(self, key: bytes) -> bytes | None:
        return self._store.get(key)

    def scan(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False, limit: int
    ) -> Iterator[Row]:
        return self._store.scan(prefix, start=start, reverse=reverse, limit=limit)

    def write(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes]) -> None:
        self._boundary("kv.write")
        self._store.write(puts, deletes)
        self._boundary("kv.written")

    def copy_from(self, other: SimKV) -> None:
        self._store = other._store.copy()

    def close(self) -> None:
        """The disk outlives the process."""
