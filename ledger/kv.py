"""Ordered bytes to bytes: the one place where the ledger touches a database.

`KeyValue` is what `ledger/chain.py` needs and no more. `ledger/leveldb.py` keeps it on a disk,
`MemoryKV` in a dictionary for tests and for the simulator; one contract test runs over both.

Invariants:
- A `write` is one atomic, synced batch: all of it is on the disk when the call returns, or none
  of it ever is.
- After the first failure a handle refuses everything: a disk that failed may have lost more than
  it says.
- A frozen image answers as the store did when it was taken, whatever is written afterwards.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, TypeAlias

from ledger.errors import StorageError as StorageError

Row: TypeAlias = tuple[bytes, bytes]


class Reader(Protocol):
    """Keys and values are bytes; keys are ordered as bytes."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None when there is none."""

    def scan(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False, limit: int
    ) -> Iterator[Row]:
        """At most `limit` rows whose key begins with `prefix`, as they are at the call.

        `start` is inclusive in both directions: ascending rows are at or above it, descending rows
        (`reverse`) at or below. To page, ask for one row more and start the next page at its key.
        """

    def close(self) -> None:
        """Give back what is held; a closed handle refuses everything but closing again."""


class KeyValue(Reader, Protocol):
    """A store that can be written; closing gives its directory back, its images first."""

    def write(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes]) -> None:
        """One atomic batch, durable on return. Of a key in both the put wins."""

    def frozen(self, prefix: bytes) -> Reader:
        """The records under a prefix as they are now, to be read while the store moves on; whether
        it has others is not said.

        Close it in time: the disk keeps what it still sees. It does not outlive the process.
        """


class MemoryKV:
    """The same contract in memory, as durable as the value that `copy` returned last."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []  # sorted
        self._closed = False

    def copy(self) -> MemoryKV:
        """An open, independent image of what was written until now, also of a closed one."""
        image = MemoryKV()
        image._values = self._values.copy()
        image._keys = self._keys.copy()
        return image

    def frozen(self, prefix: bytes) -> Reader:
        self._check_usable()
        image = MemoryKV()
        image.write(dict(self.scan(prefix, limit=len(self._keys))), ())
        return image

    def get(self, key: bytes) -> bytes | None:
        self._check_usable()
        return self._values.get(key)

    def scan(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False, limit: int
    ) -> Iterator[Row]:
        self._check_usable()
        if limit < 0:
            raise ValueError(f"a limit of {limit} rows")
        low, high = bounds(prefix, start, reverse=reverse)
        first = bisect_left(self._keys, low)
        end = len(self._keys) if high is None else bisect_left(self._keys, high)
        if reverse:
            keys = self._keys[max(first, end - limit) : end][::-1]
        else:
            keys = self._keys[first : min(end, first + limit)]
        return iter([(key, self._values[key]) for key in keys])

    def write(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes]) -> None:
        self._check_usable()
        for key in list(deletes):  # read to its end before anything changes
            if self._values.pop(key, None) is not None:
                del self._keys[bisect_left(self._keys, key)]
        for key, value in puts.items():
            if key not in self._values:
                insort(self._keys, key)
            self._values[key] = value

    def close(self) -> None:
        self._closed = True

    def _check_usable(self) -> None:
        if self._closed:
            raise StorageError("The database in memory is closed.")


def bounds(prefix: bytes, start: bytes | None, *, reverse: bool) -> tuple[bytes, bytes | None]:
    """The keys of a scan: from the first, inclusive, to the second, exclusive (None: no end)."""
    stem = prefix.rstrip(b"\xff")
    high = stem[:-1] + bytes((stem[-1] + 1,)) if stem else None
    if start is None:
        return prefix, high
    if not reverse:
        return max(prefix, start), high
    after_start = start + b"\0"  # no key lies between the two
    return prefix, after_start if high is None else min(high, after_start)
