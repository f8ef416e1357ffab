"""The ledger's records in a directory of LevelDB's: four databases that are one store.

LevelDB writes what it collected into a table, and merges tables whose keys overlap, with all kinds
of records in one of them again and again. So records lie together with those that come and are read
in the same way:

- `outputs` and `bodies` are only ever added above those that are there: their tables do not
  overlap, and are not merged. Where old bodies are pruned, and under the chunks of a snapshot,
  which come in any order, they do and are.
- `lookups` are read one by one, at places that lie anywhere. LevelDB counts a reading against each
  table that it asks in vain before an older one, and merges it the sooner: reading them must not
  have all else merged.
- The main database, in the directory itself, has everything else.

Invariants:
- One batch for all: what is added comes first, then the main database, which says that the batch
  came to be, then the lookups and what is deleted from the other three. Opening finishes or takes
  back what a crash left between: the main database's batch holds what is to follow it and the last
  keys of what came before; rows above these belong to a batch that never came to be.
- Databases that do not belong together, because one was copied or lost its end, are refused.
- After the first failure a handle refuses everything. LevelDB goes on acknowledging synced writes
  after a full disk and loses them at the next start, so the process has to stop (see `_fail`).
- Of all that is overwritten or deleted in a database while an image of it is open LevelDB keeps
  every version, and reads and writes it again as it merges. So an image is of one of the four.
- A database comes into being in `LevelDB.create` only. LevelDB that may create also deletes every
  table when its file CURRENT is lost; LevelDB's repair drops blocks in silence. Neither is used.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, ClassVar, Final
from weakref import WeakValueDictionary

import msgspec
import plyvel

from ledger.errors import StorageError
from ledger.kv import Reader, Row, bounds

LOOKUPS: Final = "lookups"
ADDED_ONLY: Final = ("outputs", "bodies")
PART_NAMES: Final = (LOOKUPS, *ADDED_ONLY)
"""Of the databases that lie inside the directory of the main one."""
PART_OF: Final = {
    b"t": LOOKUPS,  # ids of transactions
    b"v": LOOKUPS,  # balances of addresses
    b"k": LOOKUPS,  # objects
    b"i": LOOKUPS,  # blocks by their hashes: by those a start finds holes among the others
    b"O": "outputs",
    b"r": "bodies",
}
"""By what the keys of records begin with; all others are in the main one."""

WRITE_BUFFER_BYTES = 4 << 20
"""Of each of the four; twice as much may be in memory. Four tables of that size are merged in one
go, on all nodes at the same moment: with 16 MiB that takes seconds, in which a network decides half
of what it could. Smaller ones have more read and written again."""
BLOCK_CACHE_BYTES = 8 << 20
"""Blocks of tables, for each; the operating system's page cache stands behind it."""
BLOOM_BITS_PER_KEY = 10
"""1 % of the lookups of an absent key read a table in vain. What is only added needs none: of its
tables one can hold a key."""
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
TRIMMED_KEYS_MAX = 10_000
"""Deleted in one batch."""

_BATCH_KEY: Final = b"\xff" * 64
"""Of a `_Batch` in the main database, of its number alone in the lookups: those of the last batch.
Above all keys of the ledger; no scan shows it."""


class _Batch(msgspec.Struct, array_like=True, frozen=True):
    """What is to follow the main database's part of a batch, and what came before it."""

    number: int
    lookups: dict[bytes, bytes]
    deletes: list[bytes]  # outside the main database
    ends: dict[str, bytes]  # the last key of each database that is only added to


_decoder = msgspec.msgpack.Decoder(_Batch)


class DataDirectoryInUse(StorageError):
    """Somebody else has this directory open."""


class PartMissing(StorageError):
    """A part of this store is not there: it was lost, or an earlier version wrote the store."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(
            f"There is no {name}/CURRENT in {path}: an earlier version of marsa wrote the database "
            "there, or a part of it is lost. Stop the node, let `marsa node reset` delete its "
            "chain and start it: it copies the chain from its peers; one node after the other, "
            "each once the one before votes again. Nothing was changed."
        )


class _LevelReader:
    """Reading, in databases and in an image of one: plyvel's two have the same methods."""

    def __init__(self, path: Path, main: Any, parts: Mapping[str, Any]) -> None:
        self._path = path
        self._main = main
        self._parts = parts
        self._source = {kind: parts.get(name, main) for kind, name in PART_OF.items()}
        self._fault: str | None = None

    def get(self, key: bytes) -> bytes | None:
        self._check_usable()
        source = self._source.get(key[:1], self._main)
        try:
            value: bytes | None = source.get(key, verify_checksums=True)
        except (plyvel.Error, RuntimeError) as error:  # RuntimeError: an image of a closed store
            raise self._fail("read", error) from error
        return value

    def scan(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False, limit: int
    ) -> Iterator[Row]:
        self._check_usable()
        low, high = bounds(prefix, start, reverse=reverse)
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
            return self._main, *self._parts.values()
        return (self._source.get(prefix[:1], self._main),)

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

    def _fail(self, action: str, error: BaseException) -> StorageError:
        """Remember the failure for ever: whatever this handle acknowledged now could be lost."""
        if self._fault is None:
            self._fault = (
                f"Cannot {action} {self._path}: {_text(error)}. The node must stop; check the disk "
                "and its free space, then start it again."
            )
        return StorageError(self._fault)

    def close(self) -> None:
        self._fault = self._fault or f"The database {self._path} is closed."
        for database in (self._main, *self._parts.values()):
            database.close()


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
        if not _is_database(path):
            raise StorageError(
                f"The file CURRENT is missing in {path}, so the database there cannot be read. "
                "Let `marsa node reset` delete the chain and start the node: it copies the chain "
                "from its peers. Nothing was changed."
            )
        for name in PART_NAMES:
            if not _is_database(path.joinpath(name)):
                raise PartMissing(path, name)
        return cls._start(path, is_new=False)

    @staticmethod
    def is_made(path: Path) -> bool:
        """Whether `create` came to its end there."""
        return all(_is_database(path.joinpath(name)) for name in ("", *PART_NAMES))

    @classmethod
    def _start(cls, path: Path, *, is_new: bool) -> LevelDB:
        path = path.resolve()
        if path in cls._open:
            raise DataDirectoryInUse(f"{path} is open in this process already.")
        opened: dict[str, Any] = {}
        try:
            for name in ("", *PART_NAMES):
                opened[name] = _open(path.joinpath(name), name, is_new=is_new)
            handle = cls(path, opened.pop(""), opened)
        except StorageError:
            for database in opened.values():
                database.close()
            raise
        try:
            handle._complete()
        except StorageError:
            handle.close()
            raise
        cls._open[path] = handle
        return handle

    def __init__(self, path: Path, main: Any, parts: Mapping[str, Any]) -> None:
        super().__init__(path, main, parts)
        self._remembered: dict[bytes, bytes | None] = {}
        self._last = _Batch(0, {}, [], {})
        """The last batch that concerned more than the main database."""

    def _complete(self) -> None:
        """Finish the last batch where it came to the main database, and take back what was added
        for one that did not; raises StorageError where databases are not of one store."""
        try:
            data = self._main.get(_BATCH_KEY, verify_checksums=True)
            number = int.from_bytes(
                self._parts[LOOKUPS].get(_BATCH_KEY, verify_checksums=True) or b"", "big"
            )
            last = self._last = self._last if data is None else _decoder.decode(data)
            if number not in (last.number, last.number - 1):
                raise self._not_of_one_store(f"batch {last.number} and batch {number}")
            for name, end in last.ends.items():
                if end and self._parts[name].get(end, verify_checksums=True) is None:
                    raise self._not_of_one_store(f"{name} end before {end.hex()}")
            if number != last.number:
                for batch in self._following(last):
                    batch.write()
            for name in ADDED_ONLY:
                self._trim(self._parts[name], last.ends.get(name, b""))
        except (plyvel.Error, msgspec.DecodeError) as error:
            raise self._fail("read", error) from error

    def _not_of_one_store(self, detail: str) -> StorageError:
        return StorageError(
            f"The databases in {self._path} are of different moments: {detail}. Stop the node, let "
            "`marsa node reset` delete its chain and start it: it copies the chain from its peers. "
            "Nothing was changed."
        )

    def _last_key(self, name: str, gone: Collection[bytes]) -> bytes:
        """Of what such a database holds, but for what is `gone`."""
        database = self._parts[name]
        with database.iterator(reverse=True, include_value=False, verify_checksums=True) as keys:
            return next((key for key in keys if key not in gone), b"")

    @staticmethod
    def _trim(database: Any, end: bytes) -> None:
        with database.iterator(start=end, include_start=False, include_value=False) as keys:
            while some := list(islice(keys, TRIMMED_KEYS_MAX)):
                _deleting(database, some).write()

    def start_merging(self) -> None:
        """LevelDB's own thread, one a process, is there afterwards; it has the priority of the one
        that opened the first database. Waits for what is being merged, a second or so."""
        self._main.compact_range(start=b"", stop=b"")  # of no record

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
        """As the contract says. What is put into a database that is only added to is above all
        that it holds, or is there already with that value: a batch that did not come to be is
        taken back by its end alone."""
        self._check_usable()
        gone, changed = list(deletes), self._remembered.keys() & puts.keys()
        for key in (*gone, *changed):  # whatever happens, nothing old is left
            self._remembered.pop(key, None)
        batches = {name: self._parts[name].write_batch(sync=True) for name in ADDED_ONLY}
        main = self._main.write_batch(sync=True)
        lookups: dict[bytes, bytes] = {}
        added: dict[str, bytes] = {}  # the last key of each
        for key in gone:
            if key[:1] not in PART_OF:
                main.delete(key)
        for key, value in puts.items():
            name = PART_OF.get(key[:1])
            if name is None:
                main.put(key, value)
            elif name == LOOKUPS:
                lookups[key] = value
            else:
                batches[name].put(key, value)
                added[name] = max(key, added.get(name, b""))
        removed = [key for key in gone if key[:1] in PART_OF and key not in puts]
        try:
            last, following = self._last, []
            if lookups or added or removed:
                ends = self._ends(added, removed)
                last = _Batch(self._last.number + 1, lookups, removed, ends)
                main.put(_BATCH_KEY, msgspec.msgpack.encode(last))
                following = self._following(last)
            self._write_all([*[batches[name] for name in added], main, *following])
        except plyvel.Error as error:
            raise self._fail("write to", error) from error
        self._last = last
        for key in changed:
            self._remember(key, puts[key])

    def _write_all(self, batches: Sequence[Any]) -> None:
        try:
            for batch in batches:
                batch.write()
        except BaseException as error:  # Ctrl-C too: what came to be is known at the next start
            self._fail("write to", error)
            raise

    def _ends(self, added: Mapping[str, bytes], removed: Collection[bytes]) -> dict[str, bytes]:
        """The last keys once these are added and those removed."""
        ends, gone = dict(self._last.ends), set(removed)
        for name, end in ends.items():
            if end in gone:
                ends[name] = self._last_key(name, gone)
        return {name: max(ends.get(name, b""), added.get(name, b"")) for name in ADDED_ONLY}

    def _following(self, batch: _Batch) -> list[Any]:
        """What is to be written after the main database: once or again."""
        deletes: dict[str, list[bytes]] = {name: [] for name in PART_NAMES}
        for key in batch.deletes:
            deletes[PART_OF[key[:1]]].append(key)
        lookups = _deleting(self._parts[LOOKUPS], deletes[LOOKUPS])
        for key, value in batch.lookups.items():
            lookups.put(key, value)
        lookups.put(_BATCH_KEY, batch.number.to_bytes(8, "big"))
        others = [name for name in ADDED_ONLY if deletes[name]]
        return [*[_deleting(self._parts[name], deletes[name]) for name in others], lookups]

    def frozen(self, prefix: bytes) -> Reader:
        self._check_usable()
        (source,) = self._sources(prefix)
        return _LevelReader(self._path, source.snapshot(), {})

    def close(self) -> None:
        super().close()
        if LevelDB._open.get(self._path) is self:
            del LevelDB._open[self._path]


def _is_database(path: Path) -> bool:
    return (path / "CURRENT").is_file()


def _deleting(database: Any, keys: Iterable[bytes]) -> Any:
    """A batch; its `write` is up to the caller."""
    batch = database.write_batch(sync=True)
    for key in keys:
        batch.delete(key)
    return batch


def _open(path: Path, name: str, *, is_new: bool) -> Any:
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
            bloom_filter_bits=0 if name in ADDED_ONLY else BLOOM_BITS_PER_KEY,
        )
    except plyvel.Error as error:
        raise _refusal(path, error) from error


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


def _text(error: BaseException) -> str:
    detail = error.args[0] if error.args else type(error).__name__
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
