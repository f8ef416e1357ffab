"""The write-ahead log: what this node must remember before the world may see it.

A file of checked records, appended only, outside the database so that one damaged store cannot
take the memory of votes with it. Layout, numbers big-endian:

    header   magic 8 | version u32 | instance id 16 | crc32 u32
    record   payload length u32 | crc32 u32 over kind and payload | kind u8 | payload

Invariants:
- What `sync` returned from is on the disk. What was only appended may be lost or torn.
- `open` gives exactly the records that were written, without the unfinished last ones, or refuses.
  A bad record with nothing readable behind it is what a power failure leaves: it is cut off and
  counted in `torn_bytes`. With a readable record behind it, it is damage: `LogDamaged`.
- A file cut exactly between two records looks like a shorter log. The log cannot know; its owner
  compares with what the other validators saw.
- After the first failed operation the log refuses everything: the kernel forgets unwritten pages
  after a failed sync, so that a second one that succeeds proves nothing. The next `open` may read
  such pages from memory: it writes what it read into a new file before anybody relies on it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Protocol
from zlib import crc32

from ledger.kv import StorageError
from node.files import write_all, write_atomic

MAGIC = b"marsawal"
FORMAT_VERSION = 1
INSTANCE_ID_BYTES = 16
RECORD_BYTES_MAX = 2 << 20
"""The payload of one record: the largest thing that is logged, a block. Its length has three bytes
behind a zero, which a search for records relies on."""
LOG_BYTES_ROTATE = 32 << 20
"""The owner rotates from here on: a start reads and checks this much in 0.1 s."""
LOG_BYTES_MAX = 96 << 20
"""Never read or grown beyond: an owner that does not rotate stops here, not at the full disk."""
FILE_MODE = 0o600

_HEADER = Struct(f">8sI{INSTANCE_ID_BYTES}s")
_CRC = Struct(">I")
_FRAME = Struct(">IIB")
_LENGTH_AND_CRC_BYTES = 8
_RECORD_BEGINS = re.compile(rb"\0(?!\0{7})")
assert RECORD_BYTES_MAX < 1 << 24
HEADER_BYTES = _HEADER.size + _CRC.size
FRAME_BYTES = _FRAME.size

# `os.fdatasync` does not exist on every platform.
_fdatasync = getattr(os, "fdatasync", os.fsync)


@dataclass(frozen=True, slots=True)
class Record:
    """`kind` is the owner's number, 0..255; `payload` its bytes."""

    kind: int
    payload: bytes


class LogDamaged(StorageError):
    """The log does not hold what was written; `offset` is the first byte that is not understood."""

    def __init__(self, offset: int, detail: str) -> None:
        super().__init__(
            f"The write-ahead log is damaged at byte {offset}: {detail}. Restore nothing by hand: "
            "without its log this validator follows, and votes only after `marsa node recover`."
        )
        self.offset = offset


class LogFile(Protocol):
    """One file, as the log uses it. Every method may raise OSError."""

    def read_all(self) -> bytes:
        """Its content, up to one byte more than LOG_BYTES_MAX; FileNotFoundError without a file."""

    def append(self, data: bytes) -> None:
        """Write behind the end of an existing file. Not durable yet."""

    def sync(self) -> None:
        """Everything appended is on the disk on return."""

    def replace(self, data: bytes) -> None:
        """Put a new file in its place, whole or not at all, durable on return."""

    def close(self) -> None:
        """Give the descriptor back; closing twice is harmless."""


class DiskLogFile:
    """A real file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def read_all(self) -> bytes:
        with self._path.open("rb") as file:
            return file.read(LOG_BYTES_MAX + 1)

    def append(self, data: bytes) -> None:
        if self._descriptor < 0:  # without O_CREAT: a log that vanished must not start afresh
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        write_all(self._descriptor, data)

    def sync(self) -> None:
        if self._descriptor >= 0:
            _fdatasync(self._descriptor)

    def replace(self, data: bytes) -> None:
        self.close()  # it belongs to the file that goes
        write_atomic(self._path, data, FILE_MODE)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class WriteAheadLog:
    """Made by `create` or `open`, never by its constructor. One owner, one thread at a time."""

    def __init__(self, file: LogFile, instance_id: bytes, size_bytes: int, torn_bytes: int) -> None:
        self.instance_id = instance_id
        """16 bytes that tell this log from any other that was ever created."""
        self.torn_bytes = torn_bytes
        """What `open` cut off the end; 0 after an orderly stop."""
        self._file = file
        self._size_bytes = size_bytes
        self._pending: list[bytes] = []
        self._failed = False

    @classmethod
    def create(cls, file: LogFile, instance_id: bytes) -> WriteAheadLog:
        """A new, empty, durable log; raises FileExistsError rather than overwrite one."""
        try:
            file.read_all()
        except FileNotFoundError:
            file.replace(_header(instance_id))
            return cls(file, instance_id, HEADER_BYTES, torn_bytes=0)
        raise FileExistsError("There is a write-ahead log already; it is never overwritten.")

    @classmethod
    def open(cls, file: LogFile) -> tuple[WriteAheadLog, list[Record]]:
        """The log and its records, oldest first; all of them are on the disk.

        Raises LogDamaged, StorageError for a format of a later version, FileNotFoundError.
        """
        data = file.read_all()
        if len(data) > LOG_BYTES_MAX:
            raise LogDamaged(LOG_BYTES_MAX, f"it is larger than {LOG_BYTES_MAX} bytes")
        instance_id = _read_header(data)
        records, end = _read_records(data)
        torn_bytes = len(data) - end
        if torn_bytes:
            following = _next_record_offset(data, end)
            if following is not None:
                raise LogDamaged(end, f"the record there is bad, one at byte {following} is good")
        # Written anew, not synced: after a sync that failed, the kernel may show bytes that it
        # takes for written and that are not on the disk; one more sync would do nothing.
        file.replace(data[:end])
        return cls(file, instance_id, end, torn_bytes), records

    @property
    def must_rotate(self) -> bool:
        """The owner calls `rotate` at its next opportunity."""
        return self._size_bytes >= LOG_BYTES_ROTATE

    def append(self, kind: int, payload: bytes) -> None:
        """Remember a record for the next `sync`; nothing is written yet."""
        frame = _frame(Record(kind, payload))
        if self._size_bytes + len(frame) > LOG_BYTES_MAX:
            raise StorageError(f"The write-ahead log was not rotated below {LOG_BYTES_MAX} bytes.")
        self._pending.append(frame)
        self._size_bytes += len(frame)

    def sync(self) -> None:
        """Write what was appended, with one fdatasync; without anything new do nothing."""
        with self._operation():
            if self._pending:
                self._file.append(b"".join(self._pending))
                self._file.sync()
                self._pending.clear()

    def rotate(self, records: Iterable[Record]) -> None:
        """Replace the log by one that holds `records` only; a crash leaves the old or the new."""
        assert not self._pending, "sync before rotate: the new file would lose what is pending"
        data = _header(self.instance_id) + b"".join([_frame(record) for record in records])
        if len(data) > LOG_BYTES_MAX:
            raise StorageError(f"{len(data)} bytes cannot be kept, at most {LOG_BYTES_MAX}.")
        with self._operation():
            self._file.replace(data)
            self._size_bytes = len(data)

    def close(self) -> None:
        """Give the file back. What was appended and not synced is dropped."""
        self._failed = True
        self._file.close()

    @contextmanager
    def _operation(self) -> Iterator[None]:
        if self._failed:
            raise StorageError(
                "The write-ahead log failed before or is closed; the node must stop. Check the "
                "disk and its free space, then start it again."
            )
        self._failed = True
        yield
        self._failed = False  # not reached when the operation raised


def _header(instance_id: bytes) -> bytes:
    assert len(instance_id) == INSTANCE_ID_BYTES, "an instance id has 16 bytes"
    header = _HEADER.pack(MAGIC, FORMAT_VERSION, instance_id)
    return header + _CRC.pack(crc32(header))


def _read_header(data: bytes) -> bytes:
    """The instance id; refuses before a byte of any record is looked at."""
    if len(data) < HEADER_BYTES:
        raise LogDamaged(len(data), f"the header has {HEADER_BYTES} bytes")
    magic, version, instance_id = _HEADER.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _HEADER.size)
    if magic != MAGIC or crc != crc32(data[: _HEADER.size]):
        raise LogDamaged(0, "the header is not one of a write-ahead log")
    if version != FORMAT_VERSION:
        raise StorageError(
            f"The write-ahead log has format {version}, this program reads {FORMAT_VERSION}. Start "
            "the program that wrote it."
        )
    return bytes(instance_id)


def _frame(record: Record) -> bytes:
    if len(record.payload) > RECORD_BYTES_MAX:
        raise ValueError(f"{len(record.payload)} bytes, a record holds {RECORD_BYTES_MAX}")
    body = bytes((record.kind,)) + record.payload
    return _FRAME.pack(len(record.payload), crc32(body), record.kind) + record.payload


def _record_at(data: bytes, offset: int) -> Record | None:
    """The record that starts at `offset`, or None when none does that is whole and sound."""
    if offset + FRAME_BYTES > len(data):
        return None
    length, crc, kind = _FRAME.unpack_from(data, offset)
    end = offset + FRAME_BYTES + length
    if length > RECORD_BYTES_MAX or end > len(data):
        return None
    if crc != crc32(data[offset + _LENGTH_AND_CRC_BYTES : end]):
        return None
    return Record(kind, data[offset + FRAME_BYTES : end])


def _read_records(data: bytes) -> tuple[list[Record], int]:
    """The records from the first on, and the offset where the last sound one ends."""
    records = []
    offset = HEADER_BYTES
    while (record := _record_at(data, offset)) is not None:
        records.append(record)
        offset += FRAME_BYTES + len(record.payload)
    return records, offset


def _next_record_offset(data: bytes, bad: int) -> int | None:
    """Where a sound record starts behind the bad one, at any byte: its length cannot be trusted.

    Each begins with a zero, the first byte of a length, and no length and checksum are zeros alone:
    of torn megabytes few places are tried.
    """
    places = _RECORD_BEGINS.finditer(data, bad + 1)
    return next((at.start() for at in places if _record_at(data, at.start()) is not None), None)
