"""Ordered bytes to bytes: the one place where the ledger touches a database.

`KeyValue` is what `ledger/chain.py` needs and no more. `LevelDB` keeps it on a disk, `MemoryKV` in
a dictionary for tests and for the simulator; one contract test runs over both.

Invariants:
- A `write` is one atomic, synced batch: all of it is on the disk when the call returns, or none
  of it ever is.
- After the first failure a handle refuses everything. LevelDB goes on acknowledging synced writes
  after a full disk and loses them at the next start, so the process has to stop (see `_fail`).
- A frozen image answers as the store did when it was taken, whatever is written afterwards. Of all
  that is overwritten or deleted meanwhile in its database LevelDB keeps every version, and reads
  and writes it again as it merges. So an image is of the records under one prefix.
- Records that are looked up one by one (`LOOKUPS`) lie in a second database of LevelDB's, inside
  the directory of the first. LevelDB counts a reading against each table that it asks in vain
  before an older one, and merges it the sooner: so reading them must not have all else merged. The
  batch of the first holds what is to be written to the second, and is written before it; opening
  writes it again where it did not come there. Batches are numbered in both: two that do not belong
  together are refused.
- A database comes into being in `LevelDB.create` only. LevelDB that may create also deletes every
  table when its file CURRENT is lost; LevelDB's repair drops blocks in silence. Neither is used.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, ClassVar, Protocol
from weakref import WeakValueDictionary

import msgspec
import plyvel

from ledger.errors import StorageError as StorageError

LOOKUPS = frozenset((b"t", b"v", b"k", b"i"))
"""What the keys of records begin with of which a block reads some at places that lie anywhere: ids
of transactions, balances of addresses, objects. And blocks by their hashes: by those a start finds
holes among them."""
WRITE_BUFFER_BYTES = 4 << 20
"""Of each of the two databases; twice as much may be in memory. Four tables of that size are merged
in one go, on all nodes at the same moment: with 16 MiB that takes seconds, in which a network
decides half of what it could. Smaller ones have more read and written again."""
BLOCK_CACHE_BYTES = 8 << 20
"""Blocks of tables, for each; the operating system's page cache stands behind it."""
BLOOM_BITS_PER_KEY = 10
"""1 % of the lookups of an absent key read a table in vain."""
ROWS_REMEMBERED_MAX = 16_384
"""Answers of late, that there is nothing too; then all are forgotten. An output is read when its
spender comes and again in the block, the balance of an address and whether it is frozen in block
after block."""
ROW_BYTES_MAX = 256
"""Of a key and its value. What is longer is not remembered, so all of it takes 6 MiB at most."""
OPEN_FILES_MAX = 1_000
"""Of 2 MiB each. Below the number of tables every lookup opens files: 3 million records answer in
12 us with this many, in 100 us with 74. LevelDB maps open tables, so that clean, reclaimable pages
of theirs count as resident memory of the process."""

Row = tuple[bytes, bytes]
Redo = tuple[int, dict[bytes, bytes], list[bytes]]
"""The number of a batch, what it puts into the second database and what it deletes there."""

SECOND_NAME = "lookups"
"""Of the second database's directory, in that of the first."""
_BATCH_KEY = b"\xff" * 64
"""Of a `Redo` in the first database, of its number alone in the second: those of the last batch.
Above all keys of the ledger; no scan shows it."""
_redo_decoder = msgspec.msgpack.Decoder(Redo)


class DataDirectoryInUse(StorageError):
    """Somebody else has this directory open."""


class NoSecondDatabase(StorageError):
    """Half of this store is not there: it was lost, or an earlier version wrote the store."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"There is no {SECOND_NAME}/CURRENT in {path}: an earlier version of marsa wrote the "
            "database there, or half of it is lost. Stop the node, let `marsa node reset` delete "
            "its chain and start it: it copies the chain from its peers; one node after the other, "
            "each once the one before votes again. Nothing was changed."
        )


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


class _LevelReader:
    """Reading, in a database and in an image of one: plyvel's two have the same methods."""

    def __init__(self, path: Path, first: Any, second: Any) -> None:
        self._path = path
        self._db = first
        self._second = second
        self._fault: str | None = None

    def get(self, key: bytes) -> bytes | None:
        self._check_usable()
        source = self._second if key[:1] in LOOKUPS else self._db
        try:
            value: bytes | None = source.get(key, verify_checksums=True)
        except (plyvel.Error, RuntimeError) as error:  # RuntimeError: an image of a closed store
            raise self._fail("read", error) from error
        return value

    def scan(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False, limit: int
    ) -> Iterator[Row]:
        self._check_usable()
        low, high = _bounds(prefix, start, reverse=reverse)
        try:
            iterators = [
                source.iterator(
                    # plyvel's descending iterator skips a lone row at its start: `takewhile` ends
                    # it.
                    start=None if reverse else low,
                    stop=_BATCH_KEY if high is None else high,
                    include_start=True,
                    include_stop=False,
                    reverse=reverse,
                    verify_checksums=True,
                    fill_cache=False,  # a long listing must not push out what execution needs
                )
                for source in self._sources(prefix)
            ]
        except (plyvel.Error, RuntimeError) as error:
            raise self._fail("read", error) from error
        rows = heapq.merge(*iterators, reverse=reverse) if len(iterators) > 1 else iterators[0]
        inside = takewhile(lambda row: row[0] >= low, rows) if reverse else rows
        return self._rows(iterators, islice(inside, limit))

    def _sources(self, prefix: bytes) -> tuple[Any, ...]:
        if not prefix:
            return self._db, self._second
        return (self._second,) if prefix[:1] in LOOKUPS else (self._db,)

    def _rows(self, iterators: list[Any], rows: Iterator[Row]) -> Iterator[Row]:
        try:
            yield from rows
        except (plyvel.Error, RuntimeError) as error:  # RuntimeError: closed while being read
            raise self._fail("read", error) from error
        finally:
            for iterator in iterators:
                iterator.close()

    def _check_usable(self) -> None:
        if self._fault is not None:
            raise StorageError(self._fault)

    def _fail(self, action: str, error: Exception) -> StorageError:
        """Remember the failure for ever: whatever this handle acknowledged now could be lost."""
        if self._fault is None:
            self._fault = (
                f"Cannot {action} {self._path}: {_text(error)}. The node must stop; check the disk "
                "and its free space, then start it again."
            )
        return StorageError(self._fault)


class LevelDB(_LevelReader):
    """A directory of LevelDB's. Made by `create` or `open`, never by its constructor."""

    # LevelDB locks with fcntl. A second attempt in the same process closes a descriptor of the
    # lock file, and that drops the process's lock without a word: the next process gets in and
    # both write. So that attempt must never reach LevelDB.
    _open: ClassVar[WeakValueDictionary[Path, LevelDB]] = WeakValueDictionary()

    @classmethod
    def create(cls, path: Path) -> LevelDB:
        """A new, empty database in a new or empty directory, whose parent exists.

        The caller makes the entry in the parent durable.
        """
        if path.exists() and any(path.iterdir()):
            raise StorageError(
                f"{path} is not empty: a database is created in an empty directory only. Choose "
                "another directory, or start the node that lives here instead of a new one."
            )
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise _refusal(path, error) from error
        return cls._start(path, is_new=True)

    @classmethod
    def open(cls, path: Path) -> LevelDB:
        """The database that `create` made; refuses a missing or damaged one."""
        if not path.is_dir():
            raise StorageError(
                f"There is no database at {path}. Check the data directory's name, or make a new "
                "node with `marsa node init`."
            )
        if not (path / "CURRENT").is_file():
            raise StorageError(
                f"The file CURRENT is missing in {path}, so the database there cannot be read. "
                "Let `marsa node reset` delete the chain and start the node: it copies the chain "
                "from its peers. Nothing was changed."
            )
        if not cls.is_made(path):
            raise NoSecondDatabase(path)
        return cls._start(path, is_new=False)

    @staticmethod
    def is_made(path: Path) -> bool:
        """Whether `create` came to its end there."""
        return all((place / "CURRENT").is_file() for place in (path, path.joinpath(SECOND_NAME)))

    @classmethod
    def _start(cls, path: Path, *, is_new: bool) -> LevelDB:
        path = path.resolve()
        if path in cls._open:
            raise DataDirectoryInUse(f"{path} is open in this process already.")
        first = _open(path, is_new=is_new)
        try:
            handle = cls(path, first, _open(path.joinpath(SECOND_NAME), is_new=is_new))
        except StorageError:
            first.close()
            raise
        try:
            handle._complete()
        except StorageError:
            handle.close()
            raise
        cls._open[path] = handle
        return handle

    def __init__(self, path: Path, first: Any, second: Any) -> None:
        super().__init__(path, first, second)
        self._remembered: dict[bytes, bytes | None] = {}
        self._batch = 0
        """The number of the last batch that concerned both."""

    def _complete(self) -> None:
        """Write to the second database what the last batch had for it, where it did not come there;
        raises StorageError where they are not of one store."""
        try:
            data = self._db.get(_BATCH_KEY, verify_checksums=True)
            number = int.from_bytes(
                self._second.get(_BATCH_KEY, verify_checksums=True) or b"", "big"
            )
            redo: Redo = (0, {}, []) if data is None else _redo_decoder.decode(data)
        except (plyvel.Error, msgspec.DecodeError) as error:
            raise self._fail("read", error) from error
        self._batch = redo[0]
        if number == self._batch:
            return
        if number != self._batch - 1:
            raise StorageError(
                f"The two databases in {self._path} are of different moments: batch {self._batch} "
                f"and batch {number}. Stop the node, let `marsa node reset` delete its chain and "
                "start it: it copies the chain from its peers. Nothing was changed."
            )
        try:
            _second_batch(self._second, redo).write()
        except plyvel.Error as error:
            raise self._fail("write to", error) from error

    def start_merging(self) -> None:
        """LevelDB's own thread, one a process, is there afterwards; it has the priority of the one
        that opened the first database. Waits for what is being merged, a second or so."""
        self._db.compact_range(start=b"", stop=b"")  # of no record

    def get(self, key: bytes) -> bytes | None:
        self._check_usable()
        if key in self._remembered:
            return self._remembered[key]
        value = super().get(key)
        self._remember(key, value)
        return value

    def _remember(self, key: bytes, value: bytes | None) -> None:
        if len(key) + len(value or b"") <= ROW_BYTES_MAX:
            if len(self._remembered) >= ROWS_REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[key] = value

    def write(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes]) -> None:
        self._check_usable()
        gone, changed = list(deletes), self._remembered.keys() & puts.keys()
        for key in (*gone, *changed):  # whatever happens, nothing old is left
            self._remembered.pop(key, None)
        redo: Redo = (self._batch + 1, {}, [key for key in gone if key[:1] in LOOKUPS])
        first = self._db.write_batch(sync=True)
        for key in gone:
            if key[:1] not in LOOKUPS:
                first.delete(key)
        for key, value in puts.items():
            if key[:1] in LOOKUPS:
                redo[1][key] = value
            else:
                first.put(key, value)
        second = _second_batch(self._second, redo)
        concerns_both = bool(redo[1] or redo[2])
        if concerns_both:
            first.put(_BATCH_KEY, msgspec.msgpack.encode(redo))
        try:
            first.write()
            if concerns_both:
                second.write()
                self._batch = redo[0]
        except plyvel.Error as error:
            raise self._fail("write to", error) from error
        for key in changed:
            self._remember(key, puts[key])

    def frozen(self, prefix: bytes) -> Reader:
        self._check_usable()
        (source,) = self._sources(prefix)
        return _LevelImage(self._path, source.snapshot())

    def close(self) -> None:
        self._fault = self._fault or f"The database {self._path} is closed."
        self._db.close()
        self._second.close()
        if LevelDB._open.get(self._path) is self:
            del LevelDB._open[self._path]


class _LevelImage(_LevelReader):
    """A snapshot of one of the two."""

    def __init__(self, path: Path, snapshot: Any) -> None:
        super().__init__(path, snapshot, snapshot)

    def close(self) -> None:
        self._fault = self._fault or f"The image of {self._path} is closed."
        self._db.close()


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
        low, high = _bounds(prefix, start, reverse=reverse)
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


def _bounds(prefix: bytes, start: bytes | None, *, reverse: bool) -> tuple[bytes, bytes | None]:
    """The keys of a scan: from the first, inclusive, to the second, exclusive (None: no end)."""
    stem = prefix.rstrip(b"\xff")
    high = stem[:-1] + bytes((stem[-1] + 1,)) if stem else None
    if start is None:
        return prefix, high
    if not reverse:
        return max(prefix, start), high
    after_start = start + b"\0"  # no key lies between the two
    return prefix, after_start if high is None else min(high, after_start)


def _open(path: Path, *, is_new: bool) -> Any:
    try:
        return plyvel.DB(
            str(path),
            create_if_missing=is_new,
            error_if_exists=is_new,
            paranoid_checks=True,  # else one flipped byte of the log is a hole in the history
            write_buffer_size=WRITE_BUFFER_BYTES,
            compression=None,
            lru_cache_size=BLOCK_CACHE_BYTES,
            max_open_files=OPEN_FILES_MAX,
            bloom_filter_bits=BLOOM_BITS_PER_KEY,
        )
    except plyvel.Error as error:
        raise _refusal(path, error) from error


def _second_batch(second: Any, redo: Redo) -> Any:
    """A batch for the second database; its `write` is up to the caller."""
    number, puts, deletes = redo
    batch = second.write_batch(sync=True)
    for key in deletes:
        batch.delete(key)
    for key, value in puts.items():
        batch.put(key, value)
    batch.put(_BATCH_KEY, number.to_bytes(8, "big"))
    return batch


def _refusal(path: Path, error: Exception) -> StorageError:
    text = _text(error)
    if f"lock {path / 'LOCK'}" in text:
        return DataDirectoryInUse(
            f"{path} is open in another process. Stop that node first; two must never share a "
            "data directory."
        )
    return StorageError(
        f"Cannot open the database {path}: {text}. If it is damaged, let `marsa node reset` delete "
        "the chain and start the node: it copies the chain from its peers; it is never repaired in "
        "place."
    )


def _text(error: Exception) -> str:
    detail = error.args[0] if error.args else ""
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
