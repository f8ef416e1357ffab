"""A node's disk: power cuts between two of its effects, and everything a bad disk does.

A write of the database is atomic and synced. The log forgets what was not synced, or keeps a torn
part of it (`storage.MemoryLogFile`). A disk lies where its owner said so (`lies`): what it
acknowledged is gone with the power. After a failed write the database goes on acknowledging and
keeps nothing of it, as LevelDB does after a full disk; only a process that stops is safe.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from random import Random

from ledger import schema
from ledger.kv import MemoryKV, Reader, Row, StorageError
from node.wal import FRAME_BYTES, HEADER_BYTES
from tests.sim.storage import MemoryLogFile

ROWS_MAX = 1_000_000
"""More than any simulated chain has."""
LENGTH_BYTES = 4
"""Of a record of the log, where its frame begins."""
Boundary = Callable[[str], None]
"""Called before and after each effect; may raise `PowerCut`, or OSError for a disk that fails."""

WRITE_POINTS = (
    "log.append",
    "log.sync",
    "log.synced",
    "log.replace",
    "log.renamed",
    "log.replaced",
    "kv.write",
    "kv.written",
)
"""Where a write can fail, and where the power can go."""

CHAIN_PLACES = {
    "schema": schema.SCHEMA_KEY,
    "tip": schema.TIP_KEY,
    "header": schema.HEADER,
    "height by hash": schema.HEIGHT_BY_HASH,
    "leaves": schema.LEAVES,
    "validators": schema.VALIDATORS,
    "body": schema.BODY,
    "certificate": schema.CERTIFICATE,
    "place": schema.TRANSACTION,
    "output": schema.OUTPUT,
    "spender": schema.SPENT_BY,
    "node": schema.NODE,
    "chunk": schema.CHUNK,
    "object": schema.OBJECT,
    "coin": schema.COIN,
    "balance": schema.BALANCE,
    "history": schema.HISTORY,
}
"""What a bit of the chain can belong to, each as likely as the others."""
LOG_PLACES = ("header", "middle", "last record", "cut", "removed")
"""What can happen to a log; the last record and a cut between two look like a shorter log."""


class PowerCut(BaseException):
    """The machine stops here. Not an Exception: no handler of the node may survive it."""


class Misread(StrEnum):
    """What one read answers instead of what is stored."""

    ERROR = "an error"
    STALE = "an older value"
    MISDIRECTED = "another row"
    MISSING = "nothing"


class SimLogFile(MemoryLogFile):
    """A log file whose effects are boundaries."""

    def __init__(self, boundary: Boundary, content: bytes | None = None) -> None:
        super().__init__(content)
        self._boundary = boundary
        self.lies = False

    def append(self, data: bytes) -> None:
        try:
            self._boundary("log.append")
        except OSError:
            super().append(data[: len(data) // 2])  # a call may write less than it was given
            raise
        super().append(data)
        self._boundary("log.appended")

    def sync(self) -> None:
        try:
            self._boundary("log.sync")
        except OSError:
            self.lose_sync()
            raise
        if self.lies:
            self.lose_sync()
        else:
            super().sync()
        self._boundary("log.synced")

    def replace(self, data: bytes) -> None:
        self._boundary("log.replace")
        try:
            self._boundary("log.renamed")
        except OSError:
            self.lose_replace(data)  # the sync of the directory failed
            raise
        if self.lies:
            self.lose_replace(data)
        else:
            super().replace(data)
        self._boundary("log.replaced")

    def restore(self, data: bytes) -> None:
        """A copy comes back. While the machine is down."""
        super().replace(data)

    def place_of(self, rng: Random, wanted: Collection[str]) -> str:
        """Something of what is wanted that can happen to the log as it is; empty if none can."""
        records = self._record_offsets()
        places = [place for place in wanted if place != "middle" or len(records) > 1]
        places = [place for place in places if records or place in ("header", "removed")]
        return rng.choice(places) if places else ""

    def harm(self, place: str, rng: Random) -> None:
        """One bit of what is stored is another from now on, or a part is gone."""
        data = bytearray(self.read_all())
        records = self._record_offsets()
        low, high = 0, min(HEADER_BYTES, len(data))
        if place == "removed":
            self.remove()
            return
        if place == "cut":
            super().replace(bytes(data[: rng.choice(records)]))
            return
        if place == "middle":
            low, high = HEADER_BYTES, records[-1]
        elif place == "last record":
            low, high = records[-1], len(data)
        data[rng.randrange(low, high)] ^= 1 << rng.randrange(8)
        super().replace(bytes(data))

    def _record_offsets(self) -> list[int]:
        """Where whole records begin."""
        data = self.read_all()
        offset, found = HEADER_BYTES, []
        while offset + FRAME_BYTES <= len(data):
            end = offset + FRAME_BYTES + int.from_bytes(data[offset : offset + LENGTH_BYTES], "big")
            if end > len(data):
                break
            found.append(offset)
            offset = end
        return found


class SimKV:
    """A database whose writes are boundaries."""

    def __init__(self, boundary: Boundary, store: MemoryKV) -> None:
        self._boundary = boundary
        self._store = store
        self._kept: MemoryKV | None = None
        """What the next start finds, where that is not what the present handle shows."""
        self._before: dict[bytes, bytes] | None = None
        """The value before the last write of each key, where reads go wrong."""
        self._misread: tuple[Misread, int] | None = None
        """How one of the next reads goes wrong, and in how many."""
        self.on_misread: Callable[[Misread, str], None] = lambda kind, place: None
        self.may_misread = False
        self._rng = Random(0)

    def get(self, key: bytes) -> bytes | None:
        value = self._store.get(key)
        if self._misread is None or not self.may_misread:
            return value
        kind, left = self._misread
        if left > 0:
            self._misread = (kind, left - 1)
            return value
        return self._read_wrong(kind, key, value)

    def scan(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False, limit: int
    ) -> Iterator[Row]:
        return self._store.scan(prefix, start=start, reverse=reverse, limit=limit)

    def write(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes]) -> None:
        try:
            self._boundary("kv.write")
        except OSError:
            self.begin_lying()
            raise
        if self._before is not None:
            held = {key: self._store.get(key) for key in puts}
            self._before.update({key: old for key, old in held.items() if old is not None})
        self._store.write(puts, deletes)
        try:
            self._boundary("kv.written")
        except OSError:
            self.begin_lying()
            raise

    def begin_lying(self) -> None:
        """Nothing that is written from now on outlives the next `end_handle`."""
        if self._kept is None:
            self._kept = self._store.copy()

    def end_handle(self) -> None:
        """The process is gone, or the power: what was never kept is lost."""
        if self._kept is not None:
            self._store, self._kept = self._kept, None
        self._misread = None

    def keep_all(self) -> None:
        """All that the handle shows is on the disk after all."""
        self._kept = None

    def forget_misread(self) -> None:
        """Reads are right again."""
        self._misread = None

    def watch_values(self) -> None:
        """Remember older values, for a read that is to answer with one."""
        self._before = {}

    def misread(self, kind: Misread, after: int, rng: Random) -> None:
        """The read after so many others goes wrong, once."""
        self._misread, self._rng = (kind, after), rng

    def _read_wrong(self, kind: Misread, key: bytes, value: bytes | None) -> bytes | None:
        if value is None:
            return value
        other = value
        if kind is Misread.STALE:
            other = (self._before or {}).get(key, value)
        elif kind is Misread.MISDIRECTED:
            rows = self._store.scan(key[:1], limit=ROWS_MAX)
            others = [row[1] for row in rows if row[1] != value]
            other = self._rng.choice(others) if others else value
        if kind in (Misread.STALE, Misread.MISDIRECTED) and other == value:
            return value  # waits for a key that has another value to show
        self._misread = None
        self.on_misread(kind, _place(key))
        if kind is Misread.ERROR:
            raise StorageError("Corruption: block checksum mismatch")
        return None if kind is Misread.MISSING else other

    def frozen(self, prefix: bytes) -> Reader:
        return self._store.frozen(prefix)

    def image(self) -> MemoryKV:
        """What a copy of the directory holds now."""
        return self._store.copy()

    def restore(self, image: MemoryKV) -> None:
        """The copy comes back. While the machine is down."""
        self._store, self._kept = image.copy(), None

    def harm(self, rng: Random) -> str:
        """One bit of one stored value is another from now on, of a coin, which has none, one of its
        key; answers what it belonged to."""
        places = {place: list(self._rows(prefix)) for place, prefix in CHAIN_PLACES.items()}
        place = rng.choice([place for place, rows in places.items() if rows])
        key, value = rng.choice(places[place])
        data = bytearray(value or key[1:])
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        if value:
            self._store.write({key: bytes(data)}, ())
        else:
            self._store.write({key[:1] + bytes(data): b""}, [key])
        return place

    def _rows(self, prefix: bytes) -> Iterator[Row]:
        rows = self._store.scan(prefix, limit=ROWS_MAX)
        return (row for row in rows if row[1] or prefix == schema.COIN)

    def close(self) -> None:
        """The disk outlives the process."""


def _place(key: bytes) -> str:
    return next(place for place, prefix in CHAIN_PLACES.items() if key.startswith(prefix))
