"""The write-ahead log: recover what was synced or refuse, whatever happened to the bytes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kv import StorageError
from node.wal import (
    FRAME_BYTES,
    HEADER_BYTES,
    LOG_BYTES_MAX,
    LOG_BYTES_ROTATE,
    RECORD_BYTES_MAX,
    DiskLogFile,
    LogDamaged,
    LogFile,
    Record,
    WriteAheadLog,
)
from tests.sim.storage import MemoryLogFile

INSTANCE = bytes(range(16))
CHILD_SECONDS_MAX = 60


@pytest.fixture(params=["disk", "memory"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> LogFile:
    return DiskLogFile(tmp_path / "votes.wal") if request.param == "disk" else MemoryLogFile()


def written(records: list[Record]) -> bytes:
    """The bytes of a log of `records`."""
    file = MemoryLogFile()
    log = WriteAheadLog.create(file, INSTANCE)
    for record in records:
        log.append(record.kind, record.payload)
    log.sync()
    return file.read_all()


def reopened(content: bytes) -> tuple[WriteAheadLog, list[Record]]:
    return WriteAheadLog.open(MemoryLogFile(content))


def fill(log: WriteAheadLog, size_bytes: int) -> None:
    """Append largest records and one smaller, so that a fresh log comes to this size."""
    left = size_bytes - HEADER_BYTES
    while left:
        frame = min(left, FRAME_BYTES + RECORD_BYTES_MAX)
        log.append(1, bytes(frame - FRAME_BYTES))
        left -= frame


TWENTY = [Record(number % 5, bytes([number]) * (number % 13)) for number in range(20)]
LOG = written(TWENTY)
ENDS = [HEADER_BYTES]
for _record in TWENTY:
    ENDS.append(ENDS[-1] + FRAME_BYTES + len(_record.payload))


# --- The contract of a log file -------------------------------------------------------------


def test_file_without_a_first_replace_does_not_exist(file: LogFile) -> None:
    """Nothing is created by reading or appending: a lost log must not start afresh."""
    with pytest.raises(FileNotFoundError):
        file.read_all()
    with pytest.raises(FileNotFoundError):
        file.append(b"x")
    with pytest.raises(FileNotFoundError):
        file.read_all()


def test_file_appends_behind_its_end_and_replaces_whole(file: LogFile) -> None:
    """Appending goes on in the new file after a replace, and after a close."""
    file.replace(b"head")
    file.append(b"+1")
    file.append(b"+2")
    file.sync()
    assert file.read_all() == b"head+1+2"
    file.replace(b"new")
    file.sync()
    file.append(b"+3")
    file.close()
    file.close()
    file.append(b"+4")
    file.sync()
    assert file.read_all() == b"new+3+4"
    file.close()


def test_memory_file_forgets_or_tears_what_was_not_synced() -> None:
    """A crash keeps the synced bytes and the asked number of the others."""
    file = MemoryLogFile()
    file.replace(b"head")
    file.append(b"one")
    file.sync()
    file.append(b"two")
    assert file.unsynced_bytes == 3
    file.crash(keep_bytes=1)
    assert file.read_all() == b"headonet"
    file.append(b"x")
    file.crash()
    assert file.read_all() == b"headonet"


# --- Writing and reading --------------------------------------------------------------------


def test_records_come_back_in_order_with_the_instance_id(file: LogFile) -> None:
    """Create, append in two turns, close, open; every kind and an empty payload."""
    log = WriteAheadLog.create(file, INSTANCE)
    for kind in range(256):
        log.append(kind, bytes(kind))
        if kind % 100 == 0:
            log.sync()
    log.sync()
    log.close()
    again, records = WriteAheadLog.open(file)
    assert records == [Record(kind, bytes(kind)) for kind in range(256)]
    assert (again.instance_id, again.torn_bytes) == (INSTANCE, 0)
    again.append(7, b"later")
    again.sync()
    again.close()
    assert WriteAheadLog.open(file)[1][-1] == Record(7, b"later")


def test_the_layout_is_the_documented_one() -> None:
    """Bytes by hand: header with checksum, then length, checksum over kind and payload, kind."""
    header = b"marsawal" + (1).to_bytes(4, "big") + INSTANCE
    record = (3).to_bytes(4, "big") + crc32(b"\x09abc").to_bytes(4, "big") + b"\x09abc"
    assert written([Record(9, b"abc")]) == header + crc32(header).to_bytes(4, "big") + record


def test_create_never_overwrites(file: LogFile) -> None:
    """Neither a sound log nor a file of another kind."""
    log = WriteAheadLog.create(file, INSTANCE)
    log.append(1, b"vote")
    log.sync()
    with pytest.raises(FileExistsError):
        WriteAheadLog.create(file, INSTANCE)
    assert WriteAheadLog.open(file)[1] == [Record(1, b"vote")]


def test_a_missing_log_is_not_created_by_open(file: LogFile) -> None:
    """The owner must be able to tell fresh from lost."""
    with pytest.raises(FileNotFoundError):
        WriteAheadLog.open(file)


def test_nothing_is_written_before_sync_and_sync_is_one_fdatasync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts the calls of fdatasync over a turn of three records and an empty turn."""
    calls: list[int] = []
    monkeypatch.setattr("node.wal._fdatasync", calls.append)
    path = tmp_path / "votes.wal"
    log = WriteAheadLog.create(DiskLogFile(path), INSTANCE)
    for number in range(3):
        log.append(1, bytes([number]))
    assert path.stat().st_size == HEADER_BYTES
    assert calls == []
    log.sync()
    log.sync()
    assert path.stat().st_size == HEADER_BYTES + 3 * (FRAME_BYTES + 1)
    assert len(calls) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    log.close()


def test_a_record_has_a_largest_size() -> None:
    """At the limit it is kept, one byte above it is refused and nothing is pending."""
    log = WriteAheadLog.create(file := MemoryLogFile(), INSTANCE)
    with pytest.raises(ValueError, match="a record holds"):
        log.append(1, bytes(RECORD_BYTES_MAX + 1))
    log.append(1, bytes(RECORD_BYTES_MAX))
    log.sync()
    assert [len(record.payload) for record in WriteAheadLog.open(file)[1]] == [RECORD_BYTES_MAX]


@pytest.mark.parametrize("kind", [-1, 256])
def test_a_kind_is_one_byte(kind: int) -> None:
    """Refused at append, not cut to eight bits."""
    log = WriteAheadLog.create(MemoryLogFile(), INSTANCE)
    with pytest.raises(ValueError, match=r"range\(0, 256\)"):
        log.append(kind, b"")


# --- Rotation and size ----------------------------------------------------------------------


def test_rotation_keeps_what_is_given_and_the_instance(file: LogFile) -> None:
    """Old records go, the given ones and later ones stay, no draft file is left."""
    log = WriteAheadLog.create(file, INSTANCE)
    for number in range(50):
        log.append(1, bytes([number]))
    log.sync()
    log.rotate([Record(2, b"state"), Record(1, bytes([49]))])
    log.append(1, bytes([50]))
    log.sync()
    log.close()
    again, records = WriteAheadLog.open(file)
    assert records == [Record(2, b"state"), Record(1, bytes([49])), Record(1, bytes([50]))]
    assert again.instance_id == INSTANCE


def test_rotation_leaves_one_file(tmp_path: Path) -> None:
    """The draft is renamed or removed."""
    log = WriteAheadLog.create(DiskLogFile(tmp_path / "votes.wal"), INSTANCE)
    log.rotate([])
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["votes.wal"]


def test_rotation_with_unsynced_records_is_a_mistake() -> None:
    """They would be neither in the old file nor in the new."""
    log = WriteAheadLog.create(MemoryLogFile(), INSTANCE)
    log.append(1, b"vote")
    with pytest.raises(AssertionError, match="sync before rotate"):
        log.rotate([])


def test_the_log_says_when_to_rotate() -> None:
    """One byte below LOG_BYTES_ROTATE not yet, at it yes, after the rotation no longer."""
    log = WriteAheadLog.create(MemoryLogFile(), INSTANCE)
    fill(log, LOG_BYTES_ROTATE - 1)
    assert not log.must_rotate
    log = WriteAheadLog.create(MemoryLogFile(), INSTANCE)
    fill(log, LOG_BYTES_ROTATE)
    assert log.must_rotate
    log.sync()
    log.rotate([Record(1, b"kept")])
    assert not log.must_rotate


def test_the_log_stops_where_nobody_rotates(monkeypatch: pytest.MonkeyPatch) -> None:
    """At LOG_BYTES_MAX it is read and full; the next record and a larger rotation are refused."""
    log = WriteAheadLog.create(file := MemoryLogFile(), INSTANCE)
    fill(log, LOG_BYTES_MAX)
    log.sync()
    assert len(file.read_all()) == LOG_BYTES_MAX
    log, records = WriteAheadLog.open(file)
    with pytest.raises(StorageError, match="not rotated"):
        log.append(1, b"")
    log.rotate(records)
    with pytest.raises(StorageError, match="cannot be kept"):
        log.rotate([*records, Record(1, b"")])
    assert WriteAheadLog.open(file)[1] == records


def test_a_file_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    """A sparse file of a terabyte is not read into memory."""
    path = tmp_path / "votes.wal"
    path.write_bytes(LOG)
    os.truncate(path, 1 << 40)
    with pytest.raises(LogDamaged, match="larger than"):
        WriteAheadLog.open(DiskLogFile(path))


# --- Damage: recover or refuse, never wrong -------------------------------------------------


@pytest.mark.parametrize("size", range(len(LOG) + 1))
def test_every_prefix_recovers_its_whole_records(size: int) -> None:
    """What a power failure leaves of the last write: cut off, counted, and the log goes on."""
    file = MemoryLogFile(LOG[:size])
    if size < HEADER_BYTES:
        with pytest.raises(LogDamaged) as caught:
            WriteAheadLog.open(file)
        assert caught.value.offset == size
        return
    whole = max(index for index, end in enumerate(ENDS) if end <= size)
    log, records = WriteAheadLog.open(file)
    assert records == TWENTY[:whole]
    assert log.torn_bytes == size - ENDS[whole]
    assert file.read_all() == LOG[: ENDS[whole]]
    log.append(9, b"next")
    log.sync()
    assert WriteAheadLog.open(file)[1] == [*TWENTY[:whole], Record(9, b"next")]


@pytest.mark.parametrize("mask", [1, 2, 4, 8, 16, 32, 64, 128, 0xFF])
def test_every_flipped_byte_is_refused_or_takes_the_last_record_only(mask: int) -> None:
    """Each bit of each byte, and each byte inverted: no record is ever different or missing."""
    for offset in range(len(LOG)):
        damaged = bytearray(LOG)
        damaged[offset] ^= mask
        if offset >= ENDS[-2]:  # indistinguishable from a torn write
            log, records = reopened(bytes(damaged))
            assert records == TWENTY[:-1], f"byte {offset}"
            assert log.torn_bytes == len(LOG) - ENDS[-2]
            continue
        with pytest.raises(LogDamaged) as caught:
            reopened(bytes(damaged))
        begun = [end for end in ENDS if end <= offset]
        assert caught.value.offset == (begun[-1] if begun else 0), f"byte {offset}"


@given(st.integers(0, len(LOG) - 1), st.binary(min_size=1, max_size=64))
def test_any_overwritten_range_is_refused_or_leaves_a_beginning(offset: int, junk: bytes) -> None:
    """Random bytes over a random range, past the end as well."""
    damaged = LOG[:offset] + junk + LOG[offset + len(junk) :]
    try:
        _, records = reopened(damaged)
    except LogDamaged:
        return
    intact = max((index for index, end in enumerate(ENDS) if end <= offset), default=0)
    assert records == TWENTY[: len(records)]
    assert len(records) >= intact


@pytest.mark.parametrize("size", [1, 8, FRAME_BYTES, 4096])
def test_zeros_behind_the_end_are_a_torn_write(size: int) -> None:
    """File systems extend a file before its data arrives: no zeros ever read as a record."""
    log, records = reopened(LOG + bytes(size))
    assert (records, log.torn_bytes) == (TWENTY, size)


def test_zeros_in_the_middle_are_damage() -> None:
    """A sector that was lost after it was synced."""
    with pytest.raises(LogDamaged, match="damaged at byte") as caught:
        reopened(LOG[: ENDS[5]] + bytes(ENDS[7] - ENDS[5]) + LOG[ENDS[7] :])
    assert caught.value.offset == ENDS[5]


@pytest.mark.parametrize("content", [b"", bytes(len(LOG)), b"SQLite format 3\0" * 9])
def test_what_is_no_log_is_refused(content: bytes) -> None:
    """Empty, zeroed, and another program's file."""
    with pytest.raises(LogDamaged):
        reopened(content)


def test_etcd_cve_2020_15106_a_huge_length_is_not_believed() -> None:
    """A record that claims 4 GiB: torn at the end, damage before the end; nothing is allocated."""
    claim = b"\xff\xff\xff\xff" + bytes(5)
    log, records = reopened(LOG + claim)
    assert (records, log.torn_bytes) == (TWENTY, len(claim))
    with pytest.raises(LogDamaged):
        reopened(LOG[: ENDS[3]] + claim + LOG[ENDS[3] :])


def test_a_sound_record_above_the_limit_is_not_believed() -> None:
    """This program cannot have written it, whatever its checksum says."""
    payload = bytes(RECORD_BYTES_MAX + 1)
    frame = len(payload).to_bytes(4, "big") + crc32(b"\x01" + payload).to_bytes(4, "big")
    log, records = reopened(LOG + frame + b"\x01" + payload)
    assert (records, log.torn_bytes) == (TWENTY, FRAME_BYTES + len(payload))


def test_a_later_format_is_refused_and_not_called_damaged() -> None:
    """Damage would let the owner start over; this log is sound and only newer."""
    header = b"marsawal" + (2).to_bytes(4, "big") + INSTANCE
    with pytest.raises(StorageError, match="format 2") as caught:
        reopened(header + crc32(header).to_bytes(4, "big"))
    assert not isinstance(caught.value, LogDamaged)


@pytest.mark.parametrize("keep_bytes", range(2 * (FRAME_BYTES + 4) + 1))
def test_a_crash_between_append_and_sync_keeps_all_that_was_synced(keep_bytes: int) -> None:
    """A turn of two records is torn at every byte; the turn before it was synced."""
    file = MemoryLogFile()
    log = WriteAheadLog.create(file, INSTANCE)
    log.append(1, b"kept")
    log.sync()
    turn = written([Record(2, b"torn"), Record(3, b"torn")])[HEADER_BYTES:]
    file.append(turn)
    file.crash(keep_bytes)
    _, records = WriteAheadLog.open(file)
    whole = keep_bytes // (FRAME_BYTES + 4)
    assert records == [Record(1, b"kept"), Record(2, b"torn"), Record(3, b"torn")][: 1 + whole]


# --- Failure of the machine -----------------------------------------------------------------


@pytest.mark.parametrize("operation", ["append", "sync", "replace"])
def test_after_a_failed_operation_the_log_refuses_everything(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed sync may have dropped the pages: a second one that succeeds proves nothing."""
    file = MemoryLogFile()
    log = WriteAheadLog.create(file, INSTANCE)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(file, operation, fail)
        with pytest.raises(OSError, match="Input/output"):
            if operation == "replace":
                log.rotate([])
            else:
                log.append(1, b"vote")
                log.sync()
    with pytest.raises(StorageError, match="failed before"):
        log.sync()


def test_what_a_failed_sync_left_in_memory_is_written_anew() -> None:
    """A sync fails, the process starts again on the same machine and reads the record; then the
    power fails: what `open` gave back is there, and so is what came after it."""
    log = WriteAheadLog.create(file := MemoryLogFile(), INSTANCE)
    log.append(1, b"synced")
    log.sync()
    log.append(1, b"never written")
    pending = b"".join(log._pending)
    file.append(pending)
    file.lose_sync()
    again, records = WriteAheadLog.open(file)
    again.append(1, b"later")
    again.sync()
    file.crash()
    assert WriteAheadLog.open(file)[1] == [*records, Record(1, b"later")]


def test_a_closed_log_refuses_to_sync(file: LogFile) -> None:
    """Closing twice is harmless; what was pending is not written."""
    log = WriteAheadLog.create(file, INSTANCE)
    log.append(1, b"vote")
    log.close()
    log.close()
    with pytest.raises(StorageError, match="closed"):
        log.sync()
    assert WriteAheadLog.open(file)[1] == []


FULL_DISK_CHILD = """
import pathlib, resource, sys
from node.wal import DiskLogFile, WriteAheadLog
log, records = WriteAheadLog.open(DiskLogFile(pathlib.Path(sys.argv[1])))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
acknowledged, refused = 0, 0
for number in range(100):
    log.append(1, b"%03d" % number)
    try:
        log.sync()
        assert not refused, "acknowledged after a failure"
        acknowledged += 1
    except OSError:
        refused += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(acknowledged, refused)
"""


def test_a_log_that_cannot_grow_loses_nothing_that_was_synced(tmp_path: Path) -> None:
    """A real failure: the kernel takes half a record, then there is room again, then a restart."""
    path = tmp_path / "votes.wal"
    WriteAheadLog.create(DiskLogFile(path), INSTANCE).close()
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK_CHILD, str(path)],
        capture_output=True,
        text=True,
        timeout=CHILD_SECONDS_MAX,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    acknowledged, refused = map(int, done.stdout.split())
    assert (acknowledged, refused) == (80, 20)  # 32 + 80 * 12 = 992; eight bytes of the next fit
    log, records = WriteAheadLog.open(DiskLogFile(path))
    assert records == [Record(1, b"%03d" % number) for number in range(acknowledged)]
    assert log.torn_bytes == 8
    log.close()
