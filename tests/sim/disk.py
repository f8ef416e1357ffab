"""A node's disk, and the power cuts that hit between two of its effects.

A write of the database is atomic and synced. The log forgets what was not synced, or keeps a torn
part of it (`storage.MemoryLogFile`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random

from ledger.kv import MemoryKV, Reader, Row
from tests.sim.storage import MemoryLogFile

ROWS_MAX = 1_000_000
"""More than any simulated chain has."""
Boundary = Callable[[str], None]
"""Called before and after each effect; may raise `PowerCut`, or OSError for a disk that fails."""


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

    def flip(self, rng: Random) -> None:
        """One bit of what is stored is another from now on."""
        data = bytearray(self.read_all())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        super().replace(bytes(data))


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

    def frozen(self) -> Reader:
        return self._store.frozen()

    def image(self) -> MemoryKV:
        """What a copy of the directory holds now."""
        return self._store.copy()

    def restore(self, image: MemoryKV) -> None:
        """The copy comes back. While the machine is down."""
        self._store = image.copy()

    def flip(self, rng: Random) -> None:
        """One bit of one stored value is another from now on."""
        rows = [row for row in self._store.scan(b"", limit=ROWS_MAX) if row[1]]
        key, value = rng.choice(rows)
        data = bytearray(value)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        self._store.write({key: bytes(data)}, ())

    def close(self) -> None:
        """The disk outlives the process."""
