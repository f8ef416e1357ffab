"""The key-value contract over both twins, and what only a real disk can show of LevelDB."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import plyvel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import kv
from ledger.kv import (
    DataDirectoryInUse,
    KeyValue,
    LevelDB,
    MemoryKV,
    NoSecondDatabase,
    StorageError,
)

CHILD_SECONDS_MAX = 60


@pytest.fixture(params=["leveldb", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValue]:
    opened = LevelDB.create(tmp_path / "db") if request.param == "leveldb" else MemoryKV()
    yield opened
    opened.close()


def run_child(code: str, *arguments: object) -> dict[str, object]:
    """Run Python code in a process of its own; it prints one JSON object."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=CHILD_SECONDS_MAX,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def incompressible(number: int) -> bytes:
    """A value that LevelDB stores as it is: only a checksum tells that a byte of it changed."""
    return b"".join(sha256(b"%d/%d" % (number, part)).digest() for part in range(4))


def filled(path: Path, prefix: bytes = b"r") -> None:
    """A database of many batches, all of them in LevelDB's own log."""
    database = LevelDB.create(path)
    for number in range(200):
        database.write({prefix + b"%04d" % number: incompressible(number)}, ())
    database.close()


def flip(path: Path, offset: int) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[offset] ^= 0x10
    path.write_bytes(damaged)


# --- The contract ---------------------------------------------------------------------------


def test_a_written_value_is_read_and_a_deleted_one_is_gone(store: KeyValue) -> None:
    """Write, overwrite and delete; also the empty key and the empty value."""
    store.write({b"a": b"1", b"b": b"", b"": b"root"}, ())
    assert (store.get(b"a"), store.get(b"b"), store.get(b"")) == (b"1", b"", b"root")
    store.write({b"a": b"2"}, [b"b", b"never there"])
    assert (store.get(b"a"), store.get(b"b")) == (b"2", None)
    assert list(store.scan(b"", limit=9)) == [(b"", b"root"), (b"a", b"2")]


def test_an_empty_batch_changes_nothing(store: KeyValue) -> None:
    """Neither puts nor deletes."""
    store.write({b"a": b"1"}, ())
    store.write({}, ())
    assert list(store.scan(b"", limit=9)) == [(b"a", b"1")]


def test_of_a_key_in_both_the_put_wins(store: KeyValue) -> None:
    """The same key deleted and put in one batch, existing and not."""
    store.write({b"old": b"1"}, ())
    store.write({b"old": b"2", b"new": b"3"}, [b"old", b"new"])
    assert list(store.scan(b"", limit=9)) == [(b"new", b"3"), (b"old", b"2")]


def test_a_batch_that_raises_half_way_leaves_nothing(store: KeyValue) -> None:
    """The deletes raise after the first; plyvel's default would have kept that first one."""

    def deletes() -> Iterator[bytes]:
        yield b"a"
        raise KeyError("half-way")

    store.write({b"a": b"1"}, ())
    with pytest.raises(KeyError):
        store.write({b"b": b"2"}, deletes())
    assert list(store.scan(b"", limit=9)) == [(b"a", b"1")]
    store.write({b"b": b"2"}, ())  # the caller's mistake is no failure of the storage
    assert store.get(b"b") == b"2"


def test_what_was_read_before_a_batch_that_raises_stays(tmp_path: Path) -> None:
    """The second of its values is none: the first is not on the disk, nor remembered."""
    database = LevelDB.create(tmp_path / "db")
    database.write({b"a": b"1", b"b": b"1"}, ())
    assert (database.get(b"a"), database.get(b"b")) == (b"1", b"1")
    with pytest.raises(TypeError):
        database.write({b"a": b"2", b"c": cast("bytes", None)}, [b"b"])
    assert (database.get(b"a"), database.get(b"b")) == (b"1", b"1")
    database.close()


def test_rows_are_remembered_within_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many, none of which is long, also where it became so after it was read."""
    monkeypatch.setattr(kv, "ROWS_REMEMBERED_MAX", 2)
    database = LevelDB.create(tmp_path / "db")
    longest, longer = bytes(kv.ROW_BYTES_MAX - 1), bytes(kv.ROW_BYTES_MAX)
    database.write({b"a": b"1", b"b": longest, b"c": longer, b"d": b"4"}, ())
    assert [database.get(key) for key in (b"a", b"b", b"c")] == [b"1", longest, longer]
    assert database._remembered.keys() == {b"a", b"b"}
    database.write({b"a": b"2", b"b": longer}, ())
    assert database._remembered == {b"a": b"2"}
    assert [database.get(key) for key in (b"a", b"b", b"d")] == [b"2", longer, b"4"]
    assert [database.get(key) for key in (b"e", b"f")] == [None, None]
    database.write({b"e": b"5"}, [b"f"])
    assert database.get(b"e") == b"5"
    assert database._remembered == {b"e": b"5"}
    assert database.get(bytes(kv.ROW_BYTES_MAX + 1)) is None
    assert database._remembered == {b"e": b"5"}
    database.close()


@pytest.mark.parametrize(
    ("prefix", "start", "reverse", "limit", "expected"),
    [
        (b"p", None, False, 9, [b"p", b"p\x01", b"p\x05", b"p\xff", b"p\xff\xff"]),
        (b"p", None, True, 2, [b"p\xff\xff", b"p\xff"]),
        (b"p", b"p\x05", False, 2, [b"p\x05", b"p\xff"]),
        (b"p", b"p\x02", False, 1, [b"p\x05"]),
        (b"p", b"p\x05", True, 9, [b"p\x05", b"p\x01", b"p"]),
        (b"p", b"p\x04", True, 1, [b"p\x01"]),
        (b"p", b"a", False, 1, [b"p"]),
        (b"p", b"a", True, 9, []),
        (b"p", b"q", False, 9, []),
        (b"p", b"q", True, 1, [b"p\xff\xff"]),
        (b"p", None, False, 0, []),
        (b"p\xff", None, False, 9, [b"p\xff", b"p\xff\xff"]),
        (b"\xff", None, False, 9, [b"\xff\xff"]),
        (b"\xff", b"\xff\xff", True, 9, [b"\xff\xff"]),
        (b"", None, False, 2, [b"o", b"p"]),
        (b"", None, True, 1, [b"\xff\xff"]),
        (b"missing", None, False, 9, []),
        (b"missing", None, True, 9, []),
        (b"q", None, True, 9, [b"q"]),  # the only row is the first of its range
        (b"p\xff\xff", b"p\xff\xff", True, 9, [b"p\xff\xff"]),
    ],
)
def test_scans_stay_inside_prefix_start_and_limit(
    store: KeyValue,
    prefix: bytes,
    start: bytes | None,
    reverse: bool,
    limit: int,
    expected: list[bytes],
) -> None:
    """Both directions, `start` inclusive, neighbours of the prefix and prefixes that end in ff."""
    keys = [b"o", b"p", b"p\x01", b"p\x05", b"p\xff", b"p\xff\xff", b"q", b"\xff\xff"]
    store.write({key: b"of " + key for key in keys}, ())
    rows = list(store.scan(prefix, start=start, reverse=reverse, limit=limit))
    assert rows == [(key, b"of " + key) for key in expected]


def test_a_negative_limit_is_refused(store: KeyValue) -> None:
    """A mistake of the caller, seen at the call and not at the first row."""
    with pytest.raises(ValueError, match=r"islice|limit"):
        store.scan(b"", limit=-1)


def test_a_scan_shows_the_moment_of_its_call(store: KeyValue) -> None:
    """Rows written and deleted while it is read do not appear in it."""
    store.write({b"a": b"1", b"b": b"2"}, ())
    rows = store.scan(b"", limit=9)
    assert next(rows) == (b"a", b"1")
    store.write({b"c": b"3", b"a": b"9"}, [b"b"])
    assert list(rows) == [(b"b", b"2")]


def test_a_frozen_image_does_not_move(store: KeyValue) -> None:
    """Write, overwrite and delete after freezing: the image answers as before, in both orders."""
    for kind in (b"a", b"k"):  # of the first database and of the second
        keys = [kind + end for end in (b"a", b"b", b"c")]
        store.write({keys[0]: b"1", keys[1]: b"2"}, ())
        image = store.frozen(kind)
        store.write({keys[0]: b"other", keys[2]: b"3"}, [keys[1]])
        assert [image.get(key) for key in keys] == [b"1", b"2", None]
        assert list(image.scan(kind, limit=9)) == [(keys[0], b"1"), (keys[1], b"2")]
        assert list(image.scan(kind, reverse=True, limit=1)) == [(keys[1], b"2")]
        later = store.frozen(kind)
        image.close()
        image.close()
        for read in (partial(image.get, keys[0]), partial(image.scan, kind, limit=1)):
            with pytest.raises(StorageError):
                read()
        assert list(later.scan(kind, limit=9)) == [(keys[0], b"other"), (keys[2], b"3")]
        later.close()


def test_an_image_keeps_nothing_of_the_other_database(tmp_path: Path) -> None:
    """What is written over in the first goes when it is merged, though objects are held."""
    store = LevelDB.create(tmp_path / "db")
    store.write({b"b": b"", b"k": b"1"}, ())
    image = store.frozen(b"k")
    for _ in range(2):  # the second table is merged with the first
        for count in range(50):
            store.write({b"b": bytes((count,)) * 50_000, b"k": b"2"}, ())
        store._db.compact_range(start=b"a", stop=b"z")
    assert sum(path.stat().st_size for path in tmp_path.joinpath("db").glob("*.ldb")) < 100_000
    assert image.get(b"k") == b"1"
    image.close()
    store.close()


def test_an_image_ends_with_its_database(tmp_path: Path) -> None:
    """An image that was left open when the database was closed refuses, and harms nothing."""
    store = LevelDB.create(tmp_path / "db")
    store.write({b"a": b"1"}, ())
    image, scanned = store.frozen(b"a"), store.frozen(b"a")
    store.close()
    with pytest.raises(StorageError):
        image.get(b"a")
    with pytest.raises(StorageError):
        list(scanned.scan(b"a", limit=1))
    other = LevelDB.open(tmp_path / "db")
    assert other.get(b"a") == b"1"
    other.close()
    image.close()


def test_a_closed_handle_refuses_everything(store: KeyValue) -> None:
    """Closing twice is harmless; every other call raises StorageError, also for what was read."""
    store.write({b"a": b"1"}, ())
    assert store.get(b"a") == b"1"
    store.close()
    store.close()
    calls: list[Callable[[], object]] = [
        lambda: store.get(b"a"),
        lambda: store.scan(b"", limit=1),
        lambda: store.write({b"b": b"2"}, ()),
    ]
    for call in calls:
        with pytest.raises(StorageError, match="closed"):
            call()


KEYS = st.binary(max_size=3)
BATCHES = st.lists(
    st.tuples(st.dictionaries(KEYS, st.binary(max_size=3)), st.lists(KEYS, max_size=4)), max_size=6
)


@given(BATCHES, KEYS, st.none() | KEYS, st.booleans(), st.integers(0, 5))
def test_the_memory_twin_is_a_sorted_dictionary(
    batches: list[tuple[dict[bytes, bytes], list[bytes]]],
    prefix: bytes,
    start: bytes | None,
    reverse: bool,
    limit: int,
) -> None:
    """Random batches and one random scan against the plainest model there is."""
    store, model = MemoryKV(), dict[bytes, bytes]()
    for puts, deletes in batches:
        store.write(puts, deletes)
        model = {key: value for key, value in model.items() if key not in deletes} | puts
    expected = [
        (key, model[key])
        for key in sorted(model, reverse=reverse)
        if key.startswith(prefix) and (start is None or (key <= start if reverse else key >= start))
    ]
    assert list(store.scan(prefix, start=start, reverse=reverse, limit=limit)) == expected[:limit]


def test_both_twins_answer_alike(tmp_path: Path) -> None:
    """Two hundred fixed pseudo-random batches and a scan of every kind after each."""
    disk, memory = LevelDB.create(tmp_path / "db"), MemoryKV()
    state = 1
    for _ in range(200):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        drawn = state.to_bytes(8, "big")
        puts = {drawn[:1]: drawn, drawn[2:4]: drawn[1:]}
        for key in (drawn[:1], drawn[4:5]):
            assert disk.get(key) == memory.get(key)
        for twin in (disk, memory):
            twin.write(puts, [drawn[4:5], drawn[1:2]])
        for key in (drawn[:1], drawn[2:4], drawn[4:5], drawn[1:2]):
            assert disk.get(key) == memory.get(key)
        for reverse in (False, True):
            for start in (None, drawn[5:6], drawn[2:4]):
                for prefix in (b"", drawn[:1], drawn[2:3], drawn[2:4]):
                    from_disk, from_memory = (
                        list(twin.scan(prefix, start=start, reverse=reverse, limit=drawn[6] % 8))
                        for twin in (disk, memory)
                    )
                    assert from_disk == from_memory
    disk.close()


def test_a_copy_in_memory_is_an_independent_image() -> None:
    """What a simulated disk restores: neither side sees the other's later writes."""
    store = MemoryKV()
    store.write({b"a": b"1"}, ())
    image = store.copy()
    store.write({b"b": b"2"}, [b"a"])
    store.close()
    image.write({b"c": b"3"}, ())
    assert list(image.scan(b"", limit=9)) == [(b"a", b"1"), (b"c", b"3")]
    assert list(store.copy().scan(b"", limit=9)) == [(b"b", b"2")]


# --- LevelDB's directory --------------------------------------------------------------------


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    """Create, write, close, open again."""
    for prefix in (b"r", b"k"):
        filled(tmp_path / prefix.decode(), prefix)
        database = LevelDB.open(tmp_path / prefix.decode())
        assert len(list(database.scan(prefix, limit=1_000))) == 200
        database.close()


def test_every_batch_is_whole_and_synced(tmp_path: Path) -> None:
    """Asks the database itself what it was told: a power failure cannot be had in a test."""
    database = LevelDB.create(tmp_path / "db")
    asked: list[object] = []

    class Listener:
        def __init__(self, real: Any) -> None:
            self.real = real

        def write_batch(self, **options: object) -> object:
            asked.append(options)
            return self.real.write_batch(**options)

    listeners = Listener(database._db), Listener(database._second)
    database._db, database._second = listeners
    database.write({b"k": b"v", b"r": b"w"}, [b"gone"])
    database._db, database._second = [listener.real for listener in listeners]
    assert asked == [{"sync": True}, {"sync": True}]
    assert (database.get(b"k"), database.get(b"r")) == (b"v", b"w")
    database.close()


def test_open_never_creates(tmp_path: Path) -> None:
    """A missing directory is refused with the command that makes one, and stays missing."""
    with pytest.raises(StorageError, match="marsa node init"):
        LevelDB.open(tmp_path / "db")
    assert list(tmp_path.iterdir()) == []


def test_a_lost_current_file_is_refused_and_no_table_deleted(tmp_path: Path) -> None:
    """LevelDB that may create would take it for new and delete every table."""
    path = tmp_path / "db"
    filled(path)
    LevelDB.open(path).close()
    (path / "CURRENT").unlink()
    before = sorted((file.name, file.read_bytes()) for file in path.glob("*.*"))
    assert any(name.endswith(".ldb") for name, _ in before)
    with pytest.raises(StorageError, match=r"CURRENT is missing.*`marsa node reset`"):
        LevelDB.open(path)
    with pytest.raises(StorageError, match="is not empty"):
        LevelDB.create(path)
    assert sorted((file.name, file.read_bytes()) for file in path.glob("*.*")) == before


def test_a_batch_that_came_to_the_first_database_alone_is_whole_when_opened(
    tmp_path: Path,
) -> None:
    """Killed between the two writes, at every batch: nothing of it is lost, nothing is half."""
    path = tmp_path / "db"
    database = LevelDB.create(path)
    database.write({b"k1": b"old", b"r1": b"old", b"k2": b"old"}, ())
    for number in range(3):

        class Killed:
            def write_batch(self, **options: object) -> object:
                return SimpleNamespace(
                    put=lambda *row: None, delete=lambda key: None, write=self.write
                )

            def write(self) -> None:
                raise plyvel.Error(b"killed here")

        real, database._second = database._second, Killed()
        value = b"%d" % number
        with pytest.raises(StorageError, match="killed here"):
            database.write({b"k1": value, b"r1": value}, [b"k2"])
        with pytest.raises(StorageError, match="must stop"):
            database.get(b"r1")
        database._second = real
        assert real.get(b"k1") != value
        database.close()
        database = LevelDB.open(path)
        rows = [(b"k1", value), (b"r1", value)]
        assert list(database.scan(b"", limit=9)) == rows
        database.write({b"r1": b"later"}, ())  # concerns the first alone
        database.close()
        database = LevelDB.open(path)
        assert (database.get(b"k1"), database.get(b"r1")) == (value, b"later")
    database.close()


def test_half_a_store_is_refused_by_name_and_stays_as_it_is(tmp_path: Path) -> None:
    """One that was killed while it was made, one of an earlier version, one that lost a half."""
    path = tmp_path / "db"
    filled(path)
    assert LevelDB.is_made(path)
    shutil.rmtree(path / kv.SECOND_NAME)
    before = sorted(path.iterdir())
    with pytest.raises(NoSecondDatabase, match=r"earlier version.*marsa node reset"):
        LevelDB.open(path)
    assert sorted(path.iterdir()) == before
    assert not LevelDB.is_made(path)


def test_two_databases_of_different_moments_are_refused(tmp_path: Path) -> None:
    """Either of them is an older copy: by more than the batch between the two writes."""
    path, name = tmp_path / "db", kv.SECOND_NAME
    database = LevelDB.create(path)
    for number in range(4):
        database.write({b"k": b"%d" % number, b"r": b"%d" % number}, ())
        database.close()
        shutil.copytree(path, tmp_path / str(number))
        database = LevelDB.open(path)
    database.close()
    for first, second, is_refused in ((3, 3, False), (3, 2, False), (3, 1, True), (2, 3, True)):
        mixed = tmp_path / f"{first}{second}"
        shutil.copytree(tmp_path / str(first), mixed)
        shutil.rmtree(mixed / name)
        shutil.copytree(tmp_path / str(second) / name, mixed / name)
        if is_refused:
            with pytest.raises(StorageError, match="of different moments"):
                LevelDB.open(mixed)
        else:
            database = LevelDB.open(mixed)
            assert list(database.scan(b"", limit=9)) == [(b"k", b"3"), (b"r", b"3")]
            database.close()


def test_create_takes_an_empty_directory_and_no_other(tmp_path: Path) -> None:
    """An empty one is fine, an existing database or a missing parent is not."""
    (tmp_path / "db").mkdir()
    LevelDB.create(tmp_path / "db").close()
    with pytest.raises(StorageError, match="is not empty"):
        LevelDB.create(tmp_path / "db")
    with pytest.raises(StorageError, match="Cannot open"):
        LevelDB.create(tmp_path / "missing" / "db")


OPEN_IN_CHILD = """
import json, pathlib, sys
from ledger.kv import LevelDB
try:
    LevelDB.open(pathlib.Path(sys.argv[1]))
    print(json.dumps({"error": None}))
except OSError as error:
    print(json.dumps({"error": type(error).__name__, "text": str(error)}))
"""


def test_a_second_open_is_refused_in_this_process_and_in_another(tmp_path: Path) -> None:
    """In this order: LevelDB alone loses its lock by the first attempt and lets the other in."""
    path = tmp_path / "db"
    first = LevelDB.create(path)
    with pytest.raises(DataDirectoryInUse, match="in this process"):
        LevelDB.open(path)
    with pytest.raises(DataDirectoryInUse, match="in this process"):
        LevelDB.open(tmp_path / "." / "db")
    answer = run_child(OPEN_IN_CHILD, path)
    assert answer["error"] == "DataDirectoryInUse"
    assert "another process" in str(answer["text"])
    first.close()
    assert run_child(OPEN_IN_CHILD, path) == {"error": None}
    LevelDB.open(path).close()


# --- Damage and failure ---------------------------------------------------------------------


@pytest.mark.parametrize("part", ["", kv.SECOND_NAME])
def test_a_flipped_byte_in_the_log_is_refused(tmp_path: Path, part: str) -> None:
    """LevelDB's default would open and miss blocks below its tip."""
    path = tmp_path / "db"
    filled(path, b"k" if part else b"r")
    (log,) = (path / part).glob("*.log")
    flip(log, log.stat().st_size // 2)
    with pytest.raises(StorageError, match="never repaired"):
        LevelDB.open(path)


@pytest.mark.parametrize("part", ["", kv.SECOND_NAME])
@pytest.mark.parametrize("read", ["get", "scan"])
def test_a_flipped_byte_in_a_table_is_an_error_and_the_last_answer(
    tmp_path: Path, read: str, part: str
) -> None:
    """The checksum of a block is checked on each read; afterwards the handle refuses all."""
    path, prefix = tmp_path / "db", b"k" if part else b"r"
    filled(path, prefix)
    LevelDB.open(path).close()  # moves the log into a table
    for table in (path / part).glob("*.ldb"):
        flip(table, 100)  # inside the first value
    database = LevelDB.open(path)
    with pytest.raises(StorageError, match="must stop"):
        database.get(prefix + b"0000") if read == "get" else list(database.scan(prefix, limit=9))
    with pytest.raises(StorageError, match="must stop"):
        database.write({b"a": b"1"}, ())
    database.close()


FULL_DISK_CHILD = """
import json, pathlib, resource, sys
from ledger.kv import LevelDB, StorageError
database = LevelDB.create(pathlib.Path(sys.argv[1]))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
acknowledged, refusals, text = 0, 0, ""
for number in range(200):
    try:
        database.write({b"k%04d" % number: b"v" * 1000}, ())
        acknowledged += 1
        assert not refusals, "acknowledged after a failure"
    except StorageError as error:
        refusals, text = refusals + 1, text or str(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))  # there is room again
try:
    database.get(b"k0000")
    read_refused = False
except StorageError:
    read_refused = True
print(json.dumps({"acknowledged": acknowledged, "refusals": refusals, "text": text,
                  "read_refused": read_refused}))
"""


@pytest.mark.parametrize("limit_bytes", [40_000, 65_536, 70_001, 100_000])
def test_leveldb_issue_578_nothing_is_acknowledged_after_a_failed_write(
    tmp_path: Path, limit_bytes: int
) -> None:
    """A real failure (the kernel refuses to grow the log), then room again, then a restart.

    LevelDB itself goes on acknowledging and loses those batches; here the first failure is the
    last answer, and all that was acknowledged before is found again.
    """
    path = tmp_path / "db"
    outcome = run_child(FULL_DISK_CHILD, path, limit_bytes)
    acknowledged = int(str(outcome["acknowledged"]))
    assert 0 < acknowledged < 200
    assert outcome["refusals"] == 200 - acknowledged
    assert outcome["read_refused"] is True
    assert "free space" in str(outcome["text"])
    database = LevelDB.open(path)
    keys = [key for key, _ in database.scan(b"k", limit=1_000)]
    assert keys[:acknowledged] == [b"k%04d" % number for number in range(acknowledged)]
    database.close()
